//! The command `run`: runs one command with emulation in a user namespace, without root.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::Arch;

use super::{find_rule, named_systems};
use crate::binfmt::native;
use crate::binfmt::native::NativeSupport;
use crate::binfmt::table;
use crate::binfmt::table::Table;
use crate::binfmt::userns::enter::{enter_namespace, keep_all_ids};
use crate::binfmt::userns::id_map;
use crate::binfmt::userns::id_map::IdMapping;
use crate::binfmt::userns::run_table::RunTable;
use crate::binfmt::userns::{inherit, limits};
use crate::cli;
use crate::cli::commands::{run_format, source};
use crate::error::{Error, ExitCode, Result};
use crate::host::{self, Host};
use crate::nix::env;
use crate::paths;
use crate::qemu::binary::QemuVersion;
use crate::qemu::obtain::emulators::{self, Emulator, Storage};
use crate::qemu::obtain::{ObtainContext, SystemRequest};
use crate::register::acceleration;
use crate::register::receipt::Receipt;
use crate::sanitize::{AsText as _, command};
use crate::ui::Ui;

/// Replaces this process by the command; returns only if the command cannot be started.
pub(super) fn run(args: &cli::RunArgs, host: &Host, ui: &Ui) -> Result<ExitCode> {
    if !host.is_live() {
        return Err(Error::Usage("run acts on this machine, so it cannot be combined with --root".into()));
    }
    let (machine, kernel) = crate::host::env::kernel_release();
    // Inside, accelerated programs are emulated.
    let is_accelerated = |name: &str| acceleration::system_of_rule(name).is_some();
    let machine_table = table::read_table_without(host, is_accelerated)?;
    let mut archs = requested_systems(args, &machine, &machine_table)?;
    let targets: Vec<&str> = archs.iter().map(|arch| arch.target).collect();
    limits::check_support(kernel, host.exists(Path::new("/proc/self")), &targets.join(" "))?;
    let mapping = choose_id_mapping(host, args.map_root)?;
    let (source, network) = source::parse_source(&args.source_args, archs.len())?;
    let keep = if args.no_cache { Storage::Temporary } else { Storage::Cached };
    let context = ObtainContext { host, ui, network: &network };
    let request = emulators::ObtainOptions { source: &source, skip_missing: args.all, storage: keep };
    let wanted = wanted(host, &machine_table, &archs)?;
    let emulators = emulators::obtain_emulators(context, &wanted, (&machine, kernel), &request)?;
    archs.retain(|arch| emulators.iter().any(|emulator| emulator.arch.target == arch.target));
    let rule = |emulator: &Emulator| emulator.build_rule(&paths::emulator_name(emulator.arch), false);
    let rules = emulators.iter().map(rule).collect::<Result<Vec<_>>>()?;
    let older = inherit::inheritable_rules(&machine_table, &rules);
    let (program, words) = command_line(args);
    warn_about_nix_daemon(host, ui, &program, &words, &archs);
    // The user ids must be read before this process enters the namespace.
    let variables = environment_variables(&archs, args.map_root);
    // In a `run` inside of a `run`, the entries of the outer one are inherited.
    let mut mark = RunTable::find(host).unwrap_or_default();
    mark.targets.extend(archs.iter().map(|arch| arch.target));
    let lost = enter_namespace(host, &mapping, &mark, &older, &rules)?;
    if args.verbose {
        print_inherited(ui, older.len(), &lost);
    }
    run_format::check_format(host, &program, args)?;
    let source = host::exec::exec_caller_command(&program, &words, &variables);
    Err(run_format::describe_failure(host, &program, args, source))
}

fn requested_systems(args: &cli::RunArgs, machine: &str, table: &Table) -> Result<Vec<&'static Arch>> {
    let names = if args.all { &["all".to_owned()][..] } else { &args.systems };
    if let Some((name, _)) = find_rule(names) {
        let register = command::tool_as_root(format_args!("register {name}"));
        return Err(Error::Usage(format!(
            "{name} is a rule without QEMU, and run brings QEMU alone; the rules of the machine are in force in it, too: \
             {register}"
        )));
    }
    let (archs, all) = named_systems(names)?;
    let native = native::find_native(&archs, machine, table);
    if let (false, Some((target, NativeSupport::Runs))) = (all, native.iter().next()) {
        return Err(Error::Native { system: (*target).to_owned(), machine: machine.to_owned() });
    }
    Ok(archs.into_iter().filter(|arch| !native.contains_key(arch.target)).collect())
}

/// Returns the systems with the emulators that `register` installed for all users, and the interpreters of the
/// machine's own entries.
fn wanted(host: &Host, table: &Table, archs: &[&'static Arch]) -> Result<Vec<SystemRequest>> {
    let is_there = |arch: &&&'static Arch| host.open_trusted(&paths::interpreter_path(arch)).is_ok();
    let installed: Vec<&str> = archs.iter().filter(is_there).map(|arch| arch.target).collect();
    let receipt = if installed.is_empty() { None } else { Receipt::load_packed(host)? }.unwrap_or_default();
    let wanted = archs.iter().map(|arch| {
        let system = receipt.systems.get(arch.target).filter(|_| installed.contains(&arch.target));
        let entries =
            arch.headers().into_iter().filter_map(|head| Some(table.matching_entry(&head)?.rule.interpreter.clone()));
        SystemRequest {
            arch,
            installed: system.and_then(|system| QemuVersion::parse(&system.qemu)),
            interpreters: entries.map(|path| PathBuf::from(OsString::from_vec(path))).collect(),
        }
    });
    Ok(wanted.collect())
}

fn choose_id_mapping(host: &Host, map_root: bool) -> Result<IdMapping> {
    let (uid, gid) = host::env::effective_ids();
    if uid == 0 {
        return Ok(keep_all_ids());
    }
    if !map_root {
        return Ok(IdMapping::CallerOnly);
    }
    let passwd = host.read_lossy(Path::new("/etc/passwd")).unwrap_or_default();
    let name = id_map::find_user_name(&passwd, uid);
    let ranges = |file: &str, own: u32| {
        let text = host.read_lossy(Path::new(file)).unwrap_or_default();
        let ranges = id_map::parse_subordinate_ids(&text, name, uid, own);
        if ranges.len() > 1 { Ok(ranges) } else { Err(id_map::missing_ids_error(file, name, uid)) }
    };
    Ok(IdMapping::Subordinate { uids: ranges("/etc/subuid", uid)?, gids: ranges("/etc/subgid", gid)? })
}

fn command_line(args: &cli::RunArgs) -> (OsString, Vec<OsString>) {
    match args.command.split_first() {
        Some((program, words)) => (program.clone(), words.to_vec()),
        None => (host::env::var("SHELL").unwrap_or_else(|| "/bin/sh".into()).into(), Vec::new()),
    }
}

fn environment_variables(archs: &[&'static Arch], map_root: bool) -> Vec<(&'static str, String)> {
    let systems: Vec<&str> = archs.iter().flat_map(|arch| arch.nix_systems).copied().collect();
    let nix = env::extend_nix_config(host::env::var("NIX_CONFIG").as_deref(), &systems);
    let (uid, gid) = host::env::effective_ids();
    let containers = if map_root { Vec::from(env::container_variables(uid, gid)) } else { Vec::new() };
    nix.map(|value| ("NIX_CONFIG", value)).into_iter().chain(containers).collect()
}

/// Prints a note if the command is Nix and a nix-daemon builds for its store: emulation in the namespace does not reach
/// the daemon.
fn warn_about_nix_daemon(host: &Host, ui: &Ui, program: &OsStr, words: &[OsString], archs: &[&'static Arch]) {
    let name = Path::new(program).file_name().unwrap_or_default().as_text();
    let own_store = words.iter().any(|word| word.to_string_lossy().starts_with("--store"));
    let is_remote_set = host::env::var("NIX_REMOTE").is_some_and(|remote| remote != "daemon");
    let daemon = host.exists(Path::new("/nix/var/nix/daemon-socket/socket"));
    if (name == "nix" || name.starts_with("nix-"))
        && daemon
        && !own_store
        && !is_remote_set
        && host::env::effective_ids().0 != 0
    {
        let systems: Vec<&str> = archs.iter().map(|arch| arch.target).collect();
        ui.print_note(&format!(
            "the nix-daemon builds for this machine's store outside of this namespace, so these builds are not emulated; \
             use a store of your own (--store ~/store), or register the systems: {}",
            command::tool_as_root(format_args!("register {}", systems.join(" ")))
        ));
    }
}

fn print_inherited(ui: &Ui, older: usize, lost: &[String]) {
    ui.print_note(&format!("entries copied from the machine's own table: {}", older.saturating_sub(lost.len())));
    for entry in lost {
        ui.print_note(entry);
    }
}
