//! The command `apply`: brings the host to the systems of a configuration file.
//!
//! It is a registration of the listed systems that also removes the others: one plan, which is rolled back as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::{acquire_lock, check_permission, named_systems, nix_proof, print_dry_run, print_report};
use crate::binfmt::container::Container;
use crate::cli;
use crate::cli::commands::rules::{add_other_systems, add_rule, registered_names};
use crate::cli::commands::{register, source, watch};
use crate::cli::config::{Config, EntryFlags};
use crate::error::{Error, ExitCode, Failure, Result};
use crate::host::{Host, user_files};
use crate::qemu::version_query::VersionQuery;
use crate::register::facts::Facts;
use crate::register::nixos;
use crate::register::plan::difference::{Difference, list_differences};
use crate::register::plan::{self, Plan};
use crate::register::report::Report;
use crate::register::request::{NixChoice, OtherSystems, RegisterRequest};
use crate::register::unregister::unregister;
use crate::sanitize::AsText as _;
use crate::ui::Ui;

/// Result of `apply --check`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ConfigCheck {
    /// Version of this format: 1.
    pub version: u32,
    /// Path of the configuration file.
    pub config: String,
    /// What `apply` would change, in order; empty if nothing differs.
    pub diff: Vec<Difference>,
    /// Facts that the user should know.
    pub notes: Vec<String>,
    /// Problems that `apply` would not repair.
    pub findings: Vec<String>,
}

/// A failure of an emulator. The hint of the error names options of `register`, and here the source is in the file.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct EmulatorError(Error);

impl Failure for EmulatorError {
    fn hint(&self) -> Option<String> {
        Some("write another source into the file: source = \"download\", or from = \"PATH\", a static QEMU".into())
    }

    fn exit_code(&self) -> ExitCode {
        self.0.exit_code()
    }
}

pub(super) fn run(args: &cli::ApplyArgs, host: &Host, container: Option<&Container>, ui: &Ui) -> Result<ExitCode> {
    if container.is_some() {
        return Err(Error::Unsupported {
            what: "apply keeps files on a machine, and the files of this container end with it".into(),
            hint: "run apply on the machine that this container is on".into(),
        });
    }
    let request = read_request(&args.config, host, !args.check && !args.change.dry_run)?;
    if request.is_wanted() {
        nixos::check_not_nixos(host, &request)?;
    }
    if !args.check && !args.change.dry_run {
        check_permission(host, None)?;
    }
    watch::refuse_if_watched(host, &request.removal_of_others(&BTreeSet::new()))?;
    if args.check || args.change.dry_run {
        let (facts, plan) = plan_only(&request, host, ui).map_err(name_keys)?;
        return Ok(if args.check {
            print_check(args, &plan, &facts, ui)
        } else {
            let mut report = Report::from_plan(&plan);
            if request.nix != NixChoice::No {
                nix_proof::plan_build(host, &plan, &mut report);
            }
            print_dry_run(ui, &report)
        });
    }
    let report = apply_request(&request, host, ui, args.change.wait).map_err(name_keys)?;
    Ok(print_report(ui, &report))
}

fn name_keys(error: Error) -> Error {
    match error {
        Error::NoInterpreter { .. } | Error::Unfit { .. } | Error::NotWorking { .. } | Error::NotProven { .. } => {
            Error::other(EmulatorError(error))
        }
        error => error,
    }
}

/// Reads the configuration file, or standard input. The path is one of this machine, also with `--root`.
fn read_request(path: &Path, host: &Host, may_run: bool) -> Result<RegisterRequest> {
    let config = if path == Path::new("-") {
        Config::parse(Path::new("/dev/stdin"), &user_files::read_stdin()?)
    } else {
        let path = std::path::absolute(path).map_err(|e| Error::io("find", path, e))?;
        Config::parse(&path, &Host::live().read_trusted_through_links(&path)?)
    };
    build_request(&config.map_err(Error::other)?, host, may_run)
}

fn build_request(config: &Config, host: &Host, may_run: bool) -> Result<RegisterRequest> {
    let mut rules = BTreeMap::new();
    let names = add_other_systems(host, &config.systems, None, may_run, &mut rules)?;
    let (systems, all) = named_systems(&names)?;
    let (source, network) = source::parse_source(&config.source_args(), systems.len())
        .map_err(|error| Error::other(config.source_error(&error.to_string())))?;
    for rule in &config.rules {
        add_rule(&mut rules, rule.clone())?;
    }
    Ok(RegisterRequest {
        systems,
        rules,
        tests: config.tests.clone(),
        all,
        source,
        network,
        credentials: config.flags == Some(EntryFlags::Credentials),
        nix: match config.nix {
            Some(true) => NixChoice::Yes,
            Some(false) => NixChoice::No,
            None => NixChoice::Auto,
        },
        persist: true,
        force: config.force == Some(true),
        others: OtherSystems::Remove,
    })
}

fn plan_only(request: &RegisterRequest, host: &Host, ui: &Ui) -> Result<(Facts, Plan)> {
    if !request.is_wanted() {
        let facts = Facts::gather(host, &[])?;
        let plan = plan::unregister::plan_removal(&request.removal_of_others(&facts.receipt.rule_names()), &facts);
        return Ok((facts, plan));
    }
    let supply = source::supply(host, ui, request, VersionQuery::Scan)?;
    register::plan_registration(request, host, supply)
}

/// Registers the requested systems and removes the others. Without a requested system it is `unregister all`.
fn apply_request(request: &RegisterRequest, host: &Host, ui: &Ui, wait: u64) -> Result<Report> {
    if !request.is_wanted() {
        return acquire_lock(host, ui, wait).and_then(|_lock| {
            let rules = registered_names(host)?;
            unregister(&request.removal_of_others(&rules), host, ui)
        });
    }
    let (plan, mut report) = register::register_systems(request, host, ui, wait)?;
    if request.nix != NixChoice::No {
        let registered = plan.systems.iter().filter(|planned| planned.system.is_some());
        let systems: Vec<_> = registered.map(|planned| planned.arch).collect();
        nix_proof::prove_by_building(host, ui, &systems, wait, &mut report)?;
    }
    Ok(report)
}

fn print_check(args: &cli::ApplyArgs, plan: &Plan, facts: &Facts, ui: &Ui) -> ExitCode {
    let check = ConfigCheck {
        version: 1,
        config: args.config.as_text(),
        diff: list_differences(plan, facts),
        notes: plan.notes.clone(),
        findings: plan.findings.clone(),
    };
    for finding in &check.findings {
        ui.print_warning(finding);
    }
    if ui.is_json() {
        ui.print_json(&check);
    } else if check.diff.is_empty() {
        ui.print_result(&"nothing differs");
    } else {
        ui.print_result(&format!("--- {}", host_name(facts)));
        ui.print_result(&format!("+++ {}", check.config));
        for difference in &check.diff {
            difference.to_string().lines().for_each(|line| ui.print_result(&line));
        }
    }
    if check.diff.is_empty() && check.findings.is_empty() { ExitCode::Ok } else { ExitCode::Findings }
}

/// Names the host for the head of the diff.
fn host_name(facts: &Facts) -> String {
    match facts.real_path(Path::new("/")) {
        root if root == Path::new("/") => "this machine".into(),
        root => root.as_text().trim_end_matches('/').to_owned(),
    }
}
