//! The command `accelerate`: native programs instead of guest programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use binfmt_magic::Arch;
use serde::Serialize;

use super::{acquire_lock, check_permission, finish, line_as_root, named_systems, print_dry_run, print_notes, switch};
use crate::accelerate::bundle::{self, BundleFile};
use crate::accelerate::find::{self, FoundPairs, LeftOut, NixQuestion};
use crate::accelerate::prove::{self, PairProof, ProofPlan, ProofSubject, RUN_LIMIT, Verdict};
use crate::binfmt::container::Container;
use crate::binfmt::table::Table;
use crate::cli;
use crate::error::{Error, ExitCode, Result};
use crate::host::env::kernel_release;
use crate::host::{self, Host};
use crate::nix::build_user::BuildUser;
use crate::nix::config_show;
use crate::nix::rebuild::{self, Rebuild};
use crate::paths;
use crate::qemu::download::Network;
use crate::register::acceleration::{self, AcceleratedTool, Acceleration, ToolAudit};
use crate::register::apply::Apply;
use crate::register::facts::Facts;
use crate::register::plan::Plan;
use crate::register::plan::accelerate::{check_system, plan_acceleration, plan_end};
use crate::register::receipt::Receipt;
use crate::register::report::{AcceleratedReport, Report};
use crate::register::request::{AccelerateRequest, ProvenTool};
use crate::sanitize::{AsText as _, command};
use crate::ui::{CheckBar, Ui};

pub(super) fn run(args: &cli::AccelerateArgs, host: &Host, container: Option<&Container>, ui: &Ui) -> Result<ExitCode> {
    if args.list {
        return list(args, host, ui);
    }
    if let Some(drv) = &args.check {
        return check(drv, host, ui);
    }
    switch::refuse_in_container(container)?;
    if args.off {
        let systems = requested(args, host)?;
        return change(args, host, ui, || {
            let facts = Facts::gather(host, &systems)?;
            let plan = plan_end(&systems, &facts)?;
            Ok((facts, plan))
        });
    }
    accelerate(args, host, ui)
}

/// Finds pairs, proves those that were not proven before, and registers them.
fn accelerate(args: &cli::AccelerateArgs, host: &Host, ui: &Ui) -> Result<ExitCode> {
    let [arch] = named_systems(&args.systems)?.0[..] else {
        return Err(Error::Usage("name one system: its programs are proven one system at a time".into()));
    };
    let facts = Facts::gather(host, &[arch])?;
    if matches!(facts.table, Table::Offline) {
        return Err(Error::Usage(
            "accelerate needs the table of a running kernel, and a tree below --root has no kernel".into(),
        ));
    }
    check_system(&facts, arch)?;
    let known = facts.receipt.accelerations.get(arch.target);
    let has_source = args.tree.is_some() || args.nixpkgs.is_some() || !args.pair.is_empty();
    if !has_source && (known.is_none() || args.audit.is_some()) {
        return Err(Error::Usage("name the programs: --tree DIR, --pair GUEST=NATIVE or --nixpkgs FLAKEREF".into()));
    }
    if !args.change.dry_run {
        check_permission(host, None)?;
    }
    let places = ToolTrees::open(args)?;
    let found = if has_source { find_pairs(args, host, &places, arch, ui)? } else { FoundPairs::default() };
    for left_out in &found.left_out {
        ui.print_note(&format!("{} stays emulated: {}", left_out.tool, left_out.reason));
    }
    if args.change.dry_run {
        for pair in &found.pairs {
            ui.print_result(&format!("would prove {} by {}", pair.guest.as_text(), pair.native.as_text()));
        }
        return Ok(ExitCode::Ok);
    }
    host.catch_signals().map_err(|e| Error::io("catch the signals of", &host::env::own_path(), e))?;
    let subjects: Vec<ProofSubject> = found
        .pairs
        .into_iter()
        .map(|pair| ProofSubject::read(arch, pair, &places.tree, &places.native))
        .collect::<Result<_>>()?;
    let (request, refused) = prove_pairs(args, host, &places, arch, known, subjects, ui)?;
    if has_source && request.tools.is_empty() {
        return Err(Error::Conflict {
            what: format!("no program of {} can be accelerated: {}", arch.target, refused.join("; ")),
            hint: "binfmt-nix-accelerate(8) says what a pair needs".into(),
        });
    }
    let code = change(args, host, ui, || {
        let mut facts = Facts::gather(host, &[arch])?;
        facts.inspect_acceleration(host, arch, &request)?;
        let plan = plan_acceleration(&request, &facts)?;
        Ok((facts, plan))
    })?;
    for refusal in &refused {
        ui.print_warning(refusal);
    }
    Ok(if refused.is_empty() { code } else { ExitCode::Findings })
}

/// Root directories in which the programs are found.
struct ToolTrees {
    tree: Host,
    native: Host,
}

impl ToolTrees {
    fn open(args: &cli::AccelerateArgs) -> Result<Self> {
        let open = |dir: &Option<PathBuf>| dir.as_ref().map_or_else(|| Ok(Host::live()), |dir| Host::new(dir));
        Ok(Self { tree: open(&args.tree)?, native: open(&args.native_tree)? })
    }

    /// What of the guest's root directory the proof sees: of this machine, only the store.
    fn parts(args: &cli::AccelerateArgs) -> Vec<PathBuf> {
        if args.tree.is_some() { Vec::new() } else { vec!["/nix/store".into()] }
    }
}

fn find_pairs(
    args: &cli::AccelerateArgs,
    host: &Host,
    places: &ToolTrees,
    arch: &'static Arch,
    ui: &Ui,
) -> Result<FoundPairs> {
    let mut found = match (&args.nixpkgs, &args.tree) {
        (Some(flake), _) => find_in_nixpkgs(flake, host, arch, ui)?,
        (None, Some(_)) if args.pair.is_empty() => find::in_debian_tree(arch, &places.tree, &places.native)?,
        _ => FoundPairs::default(),
    };
    for word in &args.pair {
        found.pairs.push(find::named_pair(&word.as_text())?);
    }
    Ok(found)
}

/// Asks Nix for the compilers and tools of one nixpkgs, which it builds or downloads.
fn find_in_nixpkgs(flake: &str, host: &Host, arch: &'static Arch, ui: &Ui) -> Result<FoundPairs> {
    let own = Arch::by_target(&kernel_release().0).ok_or_else(|| Error::Usage("this machine is unknown".into()))?;
    let user = BuildUser::choose(host).map_err(nix_error)?;
    let (mut guest, mut native, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for NixQuestion { installable: tool, is_native } in find::nix_questions(flake, arch, own) {
        ui.print_step("build", &tool);
        let args = ["--extra-experimental-features", "nix-command flakes", "build", "--no-link", "--print-out-paths"];
        let output = user.build(host, "nix", &[&args[..], &[&tool]].concat()).map_err(nix_error)?;
        let paths = output.stdout.lines().map(PathBuf::from);
        match (output.status.success(), is_native) {
            (true, true) => native.extend(paths),
            (true, false) => guest.extend(paths),
            (false, _) => {
                let reason = format!("Nix does not build it: {}", config_show::error_of(&output));
                missing.push(LeftOut { tool, reason });
            }
        }
    }
    if guest.is_empty() || native.is_empty() {
        let why = missing.first().map_or_else(String::new, |LeftOut { tool, reason }| format!("{tool}: {reason}"));
        return Err(nix_error(why));
    }
    let mut found = find::in_nix_store(host, &guest, &native)?;
    found.left_out.splice(0..0, missing);
    Ok(found)
}

/// Proves the pairs that the receipt does not have. Requests the good ones, and returns why others are refused.
fn prove_pairs(
    args: &cli::AccelerateArgs,
    host: &Host,
    places: &ToolTrees,
    arch: &'static Arch,
    known: Option<&Acceleration>,
    subjects: Vec<ProofSubject>,
    ui: &Ui,
) -> Result<(AccelerateRequest, Vec<String>)> {
    let tree = args.tree.as_ref().map(|_| places.tree.real_path(Path::new("/")));
    // A file may be several tools, and other trees have other include directories.
    let proof_of = |subject: &ProofSubject| {
        let mut tools = known.into_iter().flat_map(|known| known.tools.values());
        let is_same = |tool: &AcceleratedTool| {
            (tool.tool.as_str(), &tool.root) == (subject.pair.tool.name, &tree)
                && tool.guest.path == subject.guest.identity.path
                && tool.guest.sha256 == subject.guest.identity.sha256
                && tool.native.sha256 == subject.native.identity.sha256
        };
        tools.find(|tool| tool.proof.is_current() && is_same(tool)).map(|tool| tool.proof.clone())
    };
    let (proven, new): (Vec<_>, Vec<_>) =
        subjects.into_iter().map(|subject| (proof_of(&subject), subject)).partition(|(proof, _)| proof.is_some());
    let new: Vec<ProofSubject> = new.into_iter().map(|(_, subject)| subject).collect();
    let verdicts = if new.is_empty() {
        Vec::new()
    } else {
        for subject in &new {
            ui.print_step("prove", &format!("{} by {}", subject.pair.guest.as_text(), subject.pair.native.as_text()));
        }
        let plan = ProofPlan {
            tree: &places.tree,
            parts: &ToolTrees::parts(args),
            native: &places.native,
            emulator: &host.real_path(&paths::interpreter_path(arch)),
            target: arch.target,
            limit: RUN_LIMIT,
            stride: 1,
        };
        let bar = CheckBar::start();
        let mut shown = 0;
        let mut progress = |done: u32, all: u32| {
            if shown == 0 && all > 0 {
                bar.expect(usize::try_from(all).unwrap_or(0));
            }
            (shown..done).for_each(|_| bar.advance());
            shown = shown.max(done);
            host.pending_signal().map_or(Ok(()), |signal| Err(Error::Interrupted { signal }))
        };
        prove::prove(&plan, &new, &mut progress)?
    };
    // A copy of this program compares both in a build.
    let own = || bundle::plan(&Host::live(), &host::env::own_path(), &paths::native_dir(arch), "binfmt-nix");
    let auditor = args.audit.map(|_| own()).transpose()?;
    let mut request = AccelerateRequest { arch, tools: BTreeMap::new(), files: Vec::new() };
    let mut refused = Vec::new();
    let mut add = |subject: &ProofSubject, proof: PairProof| -> Result<()> {
        let guest = &subject.guest;
        let name = acceleration::entry_name(arch, subject.pair.tool.name, guest.identity.sha256);
        let rule = acceleration::build_rule(arch, &name, guest.head())?;
        let mut tool = AcceleratedTool::new(subject, proof, tree.clone());
        if let (Some(every), Some(program)) = (args.audit, &auditor) {
            tool.audit = Some(ToolAudit { every, start: program.start.clone() });
            request.files.extend(program.files.iter().cloned());
        }
        let original = |file: &BundleFile| BundleFile { source: places.native.real_path(&file.source), ..file.clone() };
        request.files.extend(subject.bundle.files.iter().map(original));
        request.tools.insert(name, ProvenTool { tool, rule });
        Ok(())
    };
    for (proof, subject) in &proven {
        proof.clone().map_or(Ok(()), |proof| add(subject, proof))?;
    }
    for (subject, verdict) in new.iter().zip(verdicts) {
        match verdict {
            Verdict::Proven(proof) => add(subject, proof)?,
            Verdict::Refused(why) => refused.push(format!("{} is refused: {why}", subject.pair.guest.as_text())),
        }
    }
    Ok((request, refused))
}

/// Returns the named systems, or all that may be accelerated, also by a run that was killed.
fn requested(args: &cli::AccelerateArgs, host: &Host) -> Result<Vec<&'static Arch>> {
    if !args.systems.is_empty() {
        return Ok(named_systems(&args.systems)?.0);
    }
    let receipt = Receipt::load(host)?.unwrap_or_default();
    Ok(Arch::ALL
        .iter()
        .filter(|arch| receipt.systems.contains_key(arch.target) || receipt.is_accelerated(arch))
        .collect())
}

/// Makes a change, or prints it for `--dry-run`.
fn change(
    args: &cli::AccelerateArgs,
    host: &Host,
    ui: &Ui,
    plan: impl Fn() -> Result<(Facts, Plan)>,
) -> Result<ExitCode> {
    if args.change.dry_run {
        return Ok(print_dry_run(ui, &Report::from_plan(&plan()?.1)));
    }
    check_permission(host, None)?;
    let _lock = acquire_lock(host, ui, args.change.wait)?;
    let (facts, plan) = plan()?;
    let mut report = Report::from_plan(&plan);
    if !plan.steps.is_empty() || !plan.rules.is_empty() {
        let apply = Apply::new(host, ui, facts, Network::default());
        report = report.with_result(&if args.off { apply.unregister(&plan)? } else { apply.register(&plan)? });
    }
    print_notes(ui, &report);
    print_programs(ui, &report.accelerated);
    Ok(finish(ui, &report))
}

fn print_programs(ui: &Ui, programs: &[AcceleratedReport]) {
    for program in programs {
        ui.print_result(program);
    }
    if programs.is_empty() {
        ui.print_result(&"no program is accelerated");
    }
}

/// What `accelerate --list --json` prints.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AcceleratedList {
    /// Version of this format: 1.
    pub version: u32,
    /// Programs that native ones replace.
    pub programs: Vec<AcceleratedReport>,
}

fn list(args: &cli::AccelerateArgs, host: &Host, ui: &Ui) -> Result<ExitCode> {
    let receipt = Receipt::load(host)?.unwrap_or_default();
    let systems = requested(args, host)?.into_iter();
    let systems = systems.filter_map(|arch| Some((arch, receipt.accelerations.get(arch.target)?)));
    let programs: Vec<_> =
        systems.flat_map(|(arch, acceleration)| AcceleratedReport::list_tools(arch, acceleration)).collect();
    if ui.is_json() {
        ui.print_json(&AcceleratedList { version: 1, programs });
    } else {
        print_programs(ui, &programs);
    }
    Ok(ExitCode::Ok)
}

/// What `accelerate --check --json` prints.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RebuildReport {
    /// Version of this format: 1.
    pub version: u32,
    /// Path of the derivation.
    pub derivation: String,
    /// Whether the outputs with native programs are those without them.
    pub same: bool,
    /// Seconds that the build with native programs took.
    pub accelerated_seconds: f64,
    /// Seconds that the build without native programs took.
    pub emulated_seconds: f64,
}

/// Builds a derivation again with the native programs and without them. Without their paths in the sandbox, the launcher
/// does not find them.
fn check(drv: &str, host: &Host, ui: &Ui) -> Result<ExitCode> {
    if !drv.starts_with("/nix/store/") || drv.strip_suffix(".drv").is_none() {
        return Err(Error::Usage(format!("{drv} is not a path of a derivation: /nix/store/….drv")));
    }
    let receipt = Receipt::load(host)?.unwrap_or_default();
    let native: BTreeSet<String> = Arch::ALL
        .iter()
        .filter_map(|arch| Some(receipt.accelerations.get(arch.target)?.sandbox_paths(arch)))
        .flatten()
        .map(|path| path.as_text())
        .collect();
    if native.is_empty() {
        return Err(Error::Conflict {
            what: "no program is accelerated".into(),
            hint: "first, accelerate a system: see binfmt-nix-accelerate(8)".into(),
        });
    }
    let Some(user) = BuildUser::choose_direct(host).map_err(nix_error)? else {
        return Err(Error::NotRoot { line: line_as_root(), rootless: None });
    };
    let config = config_show::show_config(host).map_err(nix_error)?;
    let is_native = |path: &&String| native.contains(path.trim_end_matches('?'));
    let without: Vec<String> = config.sandbox_paths.iter().filter(|path| !is_native(path)).cloned().collect();
    let with = without.iter().chain(&native).map(String::as_str).collect::<Vec<_>>().join(" ");
    if let Some(why) = rebuild::realise(host, &user, drv).map_err(nix_error)? {
        return Err(failed(drv, &why));
    }
    let build = |paths: &str| built(rebuild::rebuild(host, &user, drv, paths).map_err(nix_error)?, drv);
    let (with, without) = (build(&with)?, build(&without.join(" "))?);
    let seconds = |time: Duration| (time.as_secs_f64() * 10.0).round() / 10.0;
    let report = RebuildReport {
        version: 1,
        derivation: drv.to_owned(),
        same: with.0 && without.0,
        accelerated_seconds: seconds(with.1),
        emulated_seconds: seconds(without.1),
    };
    if ui.is_json() {
        ui.print_json(&report);
    } else {
        let mut text = match (with.0, without.0) {
            (true, true) => "the same output".to_owned(),
            (true, false) | (false, true) => "DIFFERENT outputs".to_owned(),
            (false, false) => {
                "unknown: each build has another output than the store, so the build is not reproducible or \
                               was made elsewhere"
                    .to_owned()
            }
        };
        let _ = write!(
            text,
            "; {} s with native programs, {} s without",
            report.accelerated_seconds, report.emulated_seconds
        );
        ui.print_result(&text);
    }
    Ok(if report.same { ExitCode::Ok } else { ExitCode::Findings })
}

/// Whether the outputs are those of the store, and the duration.
fn built(rebuild: Rebuild, drv: &str) -> Result<(bool, Duration)> {
    match rebuild {
        Rebuild::Same(time) => Ok((true, time)),
        Rebuild::Differs(time) => Ok((false, time)),
        Rebuild::Failed(why) => Err(failed(drv, &why)),
    }
}

fn nix_error(error: impl std::fmt::Display) -> Error {
    let hint = format!("{} shows what is wrong with Nix here", command::tool("doctor"));
    Error::Conflict { what: format!("Nix cannot be asked: {error}"), hint }
}

fn failed(drv: &str, why: &str) -> Error {
    let hint = format!("if it was started, its log is printed by: nix-store --read-log {drv}");
    Error::Conflict { what: format!("Nix does not build {drv}: {why}"), hint }
}
