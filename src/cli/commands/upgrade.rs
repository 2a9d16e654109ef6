//! The commands `upgrade` and `rollback`: another emulator for registered systems.

use super::{acquire_lock, check_permission, finish, named_systems, print_dry_run, print_notes, source, switch};
use crate::binfmt::container::Container;
use crate::cli;
use crate::error::{Error, ExitCode, Result};
use crate::host::{self, Host};
use crate::qemu::download::{Network, machine_config};
use crate::qemu::obtain::ObtainContext;
use crate::qemu::obtain::source::{RequestedRelease, Source};
use crate::qemu::version_query::VersionQuery;
use crate::register::apply::Apply;
use crate::register::facts::Facts;
use crate::register::plan::upgrade::{list_outdated, plan_upgrade};
use crate::register::plan::{Plan, Step};
use crate::register::receipt::Receipt;
use crate::register::report::{Report, SystemReport};
use crate::register::request::UpgradeRequest;
use crate::ui::Ui;

pub(super) fn run(args: &cli::UpgradeArgs, host: &Host, container: Option<&Container>, ui: &Ui) -> Result<ExitCode> {
    let (systems, all) = named_systems(&args.systems)?;
    let network = Network { mirror: machine_config::user_mirror(args.mirror.as_deref())?, offline: args.offline };
    let request = UpgradeRequest { systems, all, back: false, offline: args.offline };
    change(&request, &network, &args.change, host, container, ui)
}

pub(super) fn roll_back(
    args: &cli::SwitchArgs,
    host: &Host,
    container: Option<&Container>,
    ui: &Ui,
) -> Result<ExitCode> {
    let (systems, all) = named_systems(&args.systems)?;
    let request = UpgradeRequest { systems, all, back: true, offline: true };
    change(&request, &Network::default(), &args.change, host, container, ui)
}

fn change(
    request: &UpgradeRequest,
    network: &Network,
    args: &cli::ChangeArgs,
    host: &Host,
    container: Option<&Container>,
    ui: &Ui,
) -> Result<ExitCode> {
    switch::refuse_in_container(container)?;
    if args.dry_run {
        let (_, plan) = plan(request, network, host, ui)?;
        return Ok(print_dry_run(ui, &Report::from_plan(&plan)));
    }
    check_permission(host, None)?;
    host.catch_signals().map_err(|e| Error::io("catch the signals of", &host::env::own_path(), e))?;
    let lock = acquire_lock(host, ui, args.wait)?;
    let (facts, plan) = plan(request, network, host, ui)?;
    let mut report = Report::from_plan(&plan);
    if !plan.steps.is_empty() {
        if plan.steps.iter().any(|step| matches!(step, Step::DownloadEmulators(_))) {
            // On a full disk the record is missing, and other runs cannot say what they wait for.
            drop(lock.record_download());
        }
        report = report.with_result(&Apply::new(host, ui, facts, network.clone()).register(&plan)?);
    }
    print_notes(ui, &report);
    for system in &report.systems {
        ui.print_result(&describe(system, request.back));
    }
    if report.systems.is_empty() {
        ui.print_result(&if request.back { "nothing to go back to" } else { "nothing to upgrade" });
    }
    Ok(finish(ui, &report))
}

fn plan(request: &UpgradeRequest, network: &Network, host: &Host, ui: &Ui) -> Result<(Facts, Plan)> {
    let mut systems = request.systems.clone();
    if request.all {
        let registered = Receipt::load_packed(host)?.unwrap_or_default().systems.clone();
        systems.retain(|arch| registered.contains_key(arch.target));
    }
    let mut facts = Facts::gather(host, &systems)?;
    let outdated = list_outdated(request, &facts);
    if !outdated.is_empty() {
        let pinned = Source::Download(RequestedRelease::Pinned);
        let supply = source::open_source(ObtainContext { host, ui, network }, &pinned, &outdated, VersionQuery::Scan)?;
        facts.search(host, &outdated, supply)?;
    }
    let plan = plan_upgrade(request, &facts)?;
    Ok((facts, plan))
}

fn describe(report: &SystemReport, back: bool) -> String {
    let SystemReport { system, already, disabled, .. } = report;
    let done = match (already, back) {
        (true, _) => "up to date",
        (false, true) => "rolled back",
        (false, false) => "upgraded",
    };
    let proof = match (disabled, report.proven) {
        (true, _) => ", disabled",
        (false, true) if *already => "",
        (false, true) => ", proven",
        (false, false) => ", not proven",
    };
    let [entry, qemu] = [&report.entry, &report.qemu].map(|text| text.as_deref().unwrap_or_default());
    format!("{system}: {done}{proof} (entry {entry}, QEMU {qemu})")
}
