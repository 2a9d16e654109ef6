//! Rules that would take programs which the machine needs to run itself.
//!
//! binfmt_misc comes before the kernel's own ELF loader (`insert_binfmt`), so such a rule makes the kernel start the
//! interpreter for every program, and, if the interpreter is such a program, to start the interpreter (ELOOP). Nothing
//! can be started any more. A rule is evaluated before it is registered, and before a command is proposed that puts it
//! in force.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use binfmt_magic::{Arch, Entry, Rule, WINDOW};

use crate::binfmt::table::{Table, entry_name};
use crate::host;
use crate::sorted;

/// The first bytes of programs that the machine runs natively, each with its name in messages.
#[derive(Debug)]
pub struct NativePrograms(Vec<(String, Vec<u8>)>);

impl NativePrograms {
    /// Reads some programs of this machine. `machine` is its name, as `uname -m` prints it.
    pub fn read(machine: &str) -> Self {
        let files = [("/proc/self/exe", "binfmt-nix itself"), ("/bin/sh", "/bin/sh"), ("/sbin/init", "/sbin/init")];
        let heads = files.into_iter().filter_map(|(path, what)| Some((what.to_owned(), read_head(Path::new(path))?)));
        let samples = Arch::of_host(machine).map(Arch::headers).unwrap_or_default();
        let samples = samples.into_iter().map(|head| (format!("programs of this {machine} machine"), head));
        Self(heads.chain(samples).collect())
    }

    /// Returns the name of a program that the rule takes.
    pub fn taken_by(&self, rule: &Rule) -> Option<&str> {
        self.0.iter().find(|(_, head)| rule.matches(head)).map(|(what, _)| what.as_str())
    }
}

/// The reason why an entry must not be put in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Harm {
    /// The rule takes this program, which the machine runs natively.
    TakesNative(String),
    /// The rule takes its own interpreter: what it takes is never started.
    TakesItself,
}

/// Returns the entries that are not in force and must not be, by name.
pub fn find_harmful_entries(table: &Table, machine: &str) -> BTreeMap<String, Harm> {
    let dormant: Vec<&Entry> =
        table.entries().iter().filter(|entry| !entry.enabled || table.is_switched_off()).collect();
    if dormant.is_empty() {
        return BTreeMap::new();
    }
    let natives = NativePrograms::read(machine);
    let harm = |entry: &Entry| {
        let native = natives.taken_by(&entry.rule).map(|what| Harm::TakesNative(what.to_owned()));
        native.or_else(|| takes_itself(&entry.rule).then_some(Harm::TakesItself))
    };
    sorted::map(dormant.into_iter().filter_map(|entry| Some((entry_name(entry), harm(entry)?))))
}

/// Whether the rule takes its own interpreter.
fn takes_itself(rule: &Rule) -> bool {
    let head = read_head(Path::new(OsStr::from_bytes(&rule.interpreter)));
    head.is_some_and(|head| rule.matches_file(&rule.interpreter, &head))
}

fn read_head(path: &Path) -> Option<Vec<u8>> {
    host::user_files::read_path_head(path, WINDOW as u64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rule: &str, table_enabled: bool, enabled: bool) -> Table {
        let entries = Rule::parse(rule.as_bytes()).map(|rule| Entry { enabled, rule }).into_iter().collect();
        Table::new(entries, Vec::new(), table_enabled)
    }

    #[test]
    fn an_entry_that_would_take_every_program_is_harmful_unless_it_is_in_force_already() {
        let machine = crate::host::env::kernel_release().0;
        let all = r":x:M::\x7fELF::/bin/p:C";
        let names = |table| find_harmful_entries(&table, &machine).into_keys().collect::<Vec<_>>();
        assert_eq!(names(table(all, true, false)), ["x"]);
        assert_eq!(names(table(all, false, true)), ["x"]);
        assert!(names(table(all, true, true)).is_empty());
        assert!(names(table(":y:E::exe::/bin/p:", true, false)).is_empty());
        // The interpreter is compared by its path, too.
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let own = find_harmful_entries(&table(&format!(":z:E::toml::{path}:"), true, false), &machine);
        assert_eq!(own.get("z"), Some(&Harm::TakesItself));
    }
}
