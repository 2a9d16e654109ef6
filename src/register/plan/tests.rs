use super::register::plan_registration;
use super::{Plan, Step};
use binfmt_magic::Arch;
use std::collections::BTreeMap;

use crate::host::Host;
use crate::nix::machines::{BuilderHost, DEFAULT_FEATURES};
use crate::paths::NIX_OWN_CONF;
use crate::qemu::download::Network;
use crate::qemu::obtain::source::Source;
use crate::qemu::obtain::{Caching, ObtainContext, PipelineOptions, Purpose, ResolvedSource};
use crate::qemu::version_query::VersionQuery;
use crate::register::facts::Facts;
use crate::register::receipt::NixUse;
use crate::register::request::{NixChoice, OtherSystems, RegisterRequest};
use crate::ui::Ui;

fn archs(targets: &[&str]) -> Vec<&'static Arch> {
    targets.iter().filter_map(|target| Arch::by_target(target)).collect()
}

/// Plans the registration of these systems on a machine.
fn plan_on(machine: &str, targets: &[&str]) -> Plan {
    plan_in(None, machine, targets)
}

/// The same in a container of this kind, which uses the machine's table.
fn plan_in(container: Option<&str>, machine: &str, targets: &[&str]) -> Plan {
    let network = Network::default();
    let options = PipelineOptions {
        source: &Source::Auto,
        machine,
        kernel: (6, 12),
        purpose: Purpose::Machine,
        caching: Caching::Ignore,
        version_query: VersionQuery::Run,
    };
    let (host, ui) = (Host::live(), Ui::new(false, &[]));
    let context = ObtainContext { host: &host, ui: &ui, network: &network };
    let supply = ResolvedSource::open(context, &options, &[]).unwrap_or_else(|e| panic!("{e}"));
    let request = RegisterRequest {
        systems: archs(targets),
        rules: BTreeMap::new(),
        tests: Vec::new(),
        all: false,
        source: Source::Auto,
        network: network.clone(),
        credentials: false,
        nix: NixChoice::Auto,
        persist: true,
        force: false,
        others: OtherSystems::Keep,
    };
    let mut facts = Facts::of_machine(machine, supply);
    facts.shared_table = container.map(str::to_owned);
    plan_registration(&request, &facts).unwrap_or_else(|e| panic!("{e}"))
}

/// A container with an init system has no table of its own: `tests/machines` starts such containers.
#[test]
fn a_container_that_uses_the_table_of_the_machine_says_so() {
    let says_so = |plan: &Plan| plan.notes.iter().any(|note| note.contains("(lxc) uses the machine's table"));
    assert!(says_so(&plan_in(Some("lxc"), "x86_64", &["aarch64"])));
    assert!(!says_so(&plan_on("x86_64", &["aarch64"])));
}

/// No test machine has an arm64 processor: the plan for one.
#[test]
fn an_arm64_machine_emulates_x86() {
    let plan = plan_on("aarch64", &["i386", "x86_64"]);
    let downloads: Vec<_> = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::DownloadEmulators(archs) => Some(archs.iter().map(|arch| arch.target).collect::<Vec<_>>()),
            _ => None,
        })
        .collect();
    assert_eq!(downloads, [["i386", "x86_64"]]);
    for (arch, name) in archs(&["i386", "x86_64"]).into_iter().zip(["qemu-i386", "qemu-x86_64"]) {
        let rules: Vec<_> = plan
            .steps
            .iter()
            .filter_map(|step| match step {
                Step::AddEntry { subject, rule, replaces, .. }
                    if replaces.is_empty() && subject.name() == arch.target =>
                {
                    Some(rule)
                }
                _ => None,
            })
            .collect();
        let [rule] = rules.as_slice() else { panic!("{:?}", plan.steps) };
        assert_eq!((rule.name.as_bytes(), rule.pattern()), (name.as_bytes(), Some(&arch.pattern())));
        assert!(rule.flags.fix_binary && rule.flags.preserve_argv0 && !rule.flags.credentials);
        // The machine's own programs are not taken.
        let own = archs(&["aarch64"]).into_iter().flat_map(Arch::headers).any(|head| rule.matches(&head));
        assert!(!own && arch.headers().iter().all(|head| rule.matches(head)));
    }
    let settings = plan.steps.iter().find_map(|step| match step {
        Step::WriteFile { path, text, .. } if path.to_str() == Some(NIX_OWN_CONF) => {
            Some(String::from_utf8_lossy(text))
        }
        _ => None,
    });
    let settings: Vec<_> =
        settings.as_deref().unwrap_or_default().lines().filter(|line| !line.starts_with('#')).collect();
    // nixpkgs requires no feature for these systems.
    let paths = "/usr/local/libexec/binfmt-nix/bin/qemu-i386? /usr/local/libexec/binfmt-nix/bin/qemu-x86_64?";
    assert_eq!(
        settings,
        [
            "extra-extra-platforms = i686-linux i586-linux i486-linux i386-linux x86_64-linux",
            &format!("extra-sandbox-paths = {paths}")
        ]
    );
    assert!(plan.steps.iter().any(|step| matches!(step, Step::AddInclude(_))));
    assert!(plan.findings.is_empty() && !plan.notes.iter().any(|note| note.contains("features per system")));
}

/// Nix fails each build for 32-bit ARM on an arm64 processor without AArch32: `tests/machines` has such a machine.
#[test]
fn nix_is_not_configured_for_builds_that_the_processor_refuses() {
    let plan = plan_on("aarch64", &["arm"]);
    let is_of_nix = |step: &Step| {
        matches!(step, Step::AddInclude(_) | Step::RestartNixDaemon)
            || matches!(step, Step::WriteFile { path, .. } if path.to_str() == Some(NIX_OWN_CONF))
    };
    let systems = |plan: &Plan| plan.systems.iter().filter_map(|plan| plan.system.clone()).collect::<Vec<_>>();
    assert!(plan.steps.iter().any(|step| matches!(step, Step::AddEntry { .. })));
    assert!(!plan.steps.iter().any(is_of_nix), "{:?}", plan.steps);
    assert!(systems(&plan).iter().all(|system| system.nix == NixUse::Declined));
    assert!(plan.notes.iter().any(|note| note.starts_with("arm: ") && note.contains("no 32-bit mode")));
    let plan = plan_on("aarch64", &["arm", "x86_64"]);
    let settings = plan.steps.iter().find_map(|step| match step {
        Step::WriteFile { text, .. } if is_of_nix(step) => Some(String::from_utf8_lossy(text)),
        _ => None,
    });
    assert!(settings.is_some_and(|text| text.contains("x86_64-linux") && !text.contains("armv7l-linux")));
    // 32-bit ARM needs no such mode on other machines.
    assert!(systems(&plan_on("x86_64", &["arm"])).iter().all(|system| system.nix == NixUse::Configured));
}

/// The lines for other hosts offer x86 without kvm and without features of the host's processor.
#[test]
fn an_arm64_builder_offers_x86_without_features_of_its_processor() {
    let features = DEFAULT_FEATURES.into_iter().chain(["kvm", "gccarch-armv8-a"]).map(str::to_owned).collect();
    let builder = BuilderHost { uri: "ssh-ng://arm".into(), max_jobs: 8, features, host_key: None };
    let emulated: Vec<String> =
        archs(&["i386", "x86_64"]).iter().flat_map(|arch| arch.nix_systems).map(|name| (*name).to_owned()).collect();
    let lines = builder.machine_lines(&["aarch64-linux".to_owned()], &emulated);
    let lines: Vec<&str> = lines.iter().map(|line| line.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "ssh-ng://arm aarch64-linux - 8 10 benchmark,big-parallel,gccarch-armv8-a,kvm,nixos-test - -",
            "ssh-ng://arm i686-linux,i586-linux,i486-linux,i386-linux,x86_64-linux - 8 1 big-parallel - -"
        ]
    );
}
