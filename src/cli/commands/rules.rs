//! Own rules of the user: the option `--rule`, and names of rules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use binfmt_magic::{Arch, Rule, Syntax};

use crate::binfmt::boot;
use crate::binfmt::table::{self, Table};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::register::acceleration;
use crate::register::facts::Facts;
use crate::register::other_emulator;
use crate::register::own_rule;
use crate::sanitize::{AsText as _, command};
use crate::sorted;

/// Parses the values of `--rule`. A file is one of this machine, also with `--root`, and only root may be able to change it.
///
/// A rule may have another delimiter than a colon, such as the one that this tool proposes if a path has a colon.
pub(super) fn parse_rules(values: &[String]) -> Result<BTreeMap<String, Rule>> {
    let mut rules = BTreeMap::new();
    for value in values {
        match Rule::parse(value.as_bytes()) {
            Ok(rule) => add_rule(&mut rules, rule)?,
            Err(error) if value.starts_with(':') => return Err(Error::Usage(format!("--rule {value}: {error}"))),
            Err(_) => read_rules(Path::new(value), &mut rules)?,
        }
    }
    Ok(rules)
}

fn read_rules(path: &Path, rules: &mut BTreeMap<String, Rule>) -> Result<()> {
    let path = std::path::absolute(path).map_err(|e| Error::io("find", path, e))?;
    let bytes = Host::live().read_trusted_through_links(&path)?;
    let shown = path.as_text();
    let Ok(text) = String::from_utf8(bytes) else {
        return Err(Error::Usage(format!("--rule {shown}: it is not UTF-8 text")));
    };
    let before = rules.len();
    for (number, _, parsed) in boot::parse_lines(&text, Syntax::Linux7_3) {
        let rule = parsed.map_err(|e| Error::Usage(format!("--rule {shown}: line {number}: {e}")))?;
        add_rule(rules, rule)?;
    }
    if rules.len() == before {
        return Err(Error::Usage(format!("--rule {shown}: it has no rule; a rule itself begins with a colon")));
    }
    Ok(())
}

/// Adds a rule whose text is acceptable.
pub(super) fn add_rule(rules: &mut BTreeMap<String, Rule>, rule: Rule) -> Result<()> {
    let name = own_rule::check_text(&rule)?;
    match rules.insert(name.clone(), rule) {
        Some(_) => Err(Error::Usage(format!("two rules have the name {name}"))),
        None => Ok(()),
    }
}

/// Adds the rules of the systems among `names` that another emulator than QEMU runs: one of this host, which `--emulator` may
/// name, together with whether it gets flag C. With `may_run` it is started with `--version`. Returns the other names.
pub(super) fn add_other_systems(
    host: &Host,
    names: &[String],
    emulator: Option<(&str, bool)>,
    may_run: bool,
    rules: &mut BTreeMap<String, Rule>,
) -> Result<Vec<String>> {
    let (emulator, credentials) = emulator.unzip();
    let mut others = Vec::new();
    for name in names {
        let Some(systems) = other_emulator::list_emulated(name, emulator)? else {
            others.push(name.clone());
            continue;
        };
        // A tree without a table may be of a machine whose programs do not run here.
        let may_run = may_run && !matches!(table::read_table(host)?, Table::Offline);
        let rule = other_emulator::find_rule(host, &systems, emulator, credentials == Some(true), may_run)?;
        rules.insert(rule.name.to_string(), rule);
    }
    Ok(others)
}

/// Separates names of own rules, which the receipt has, from names of systems.
pub(super) fn split_names(host: &Host, names: &[String]) -> Result<(Vec<String>, BTreeSet<String>)> {
    let is_unknown = |name: &&String| *name != "all" && Arch::find(name).is_err();
    let needs_receipt = names.iter().any(|name| name == "all") || names.iter().any(|name| is_unknown(&name));
    let known = if needs_receipt { registered_names(host)? } else { BTreeSet::new() };
    if names == ["all"] {
        return Ok((names.to_vec(), known));
    }
    let (rules, systems): (Vec<_>, Vec<_>) = names.iter().cloned().partition(|name| known.contains(name));
    if let Some(arch) = rules.iter().find_map(|name| acceleration::system_of_rule(name)) {
        let hint = command::tool_as_root(format!("accelerate --off {}", arch.target));
        return Err(Error::Usage(format!("accelerate has registered this rule; to end it, run: {hint}")));
    }
    Ok((systems, sorted::set(rules)))
}

/// Returns the names of all own rules, also of those that are recognised without a receipt.
pub(super) fn registered_names(host: &Host) -> Result<BTreeSet<String>> {
    Ok(Facts::gather(host, &[])?.receipt.rule_names())
}
