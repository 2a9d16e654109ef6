//! Checks that Nix's platforms and the kernel's table agree. Nix never reads binfmt_misc (2.36,
//! `derivation-building-goal.cc`): it accepts builds for the systems in `extra-platforms`.

use binfmt_magic::Arch;

use super::nix_edit::{ExaminedSettings, check_views};
use super::{Check, Fix, Occurrence, Snapshot, Urgency};
use crate::diagnose::doctor::snapshot::{NixSnapshot, NixView};
use crate::nix::conf;
use crate::nix::settings::{SettingLine, VARIABLE};
use crate::register::receipt::NixUse;
use crate::sanitize::{AsText as _, shell_quote};

pub(super) const CHECKS: &[Check] = &[
    Check { id: "nix-lost-i686", urgency: Urgency::Broken, run: |snapshot| check_views(snapshot, check_lost_i686) },
    Check { id: "nix-promises-too-much", urgency: Urgency::Broken, run: check_without_emulator },
    Check { id: "nix-not-told", urgency: Urgency::Broken, run: check_not_configured },
    Check { id: "nix-caller-overrides", urgency: Urgency::Broken, run: check_caller_overrides },
    Check { id: "no-aarch32", urgency: Urgency::Broken, run: check_no_aarch32 },
];

pub(super) const PLATFORMS: &[&str] = &["extra-platforms"];
const I686: &str = "i686-linux";

impl Snapshot {
    /// Returns the effective `extra-platforms` of the machine, as Nix reports it, or by its files.
    pub(super) fn extra_platforms(&self, nix: &NixSnapshot) -> Vec<String> {
        self.platforms_of(&nix.machine)
    }

    /// Returns the settings that count for builds of a system: inside of `run`, for its systems, those of its user.
    pub(super) fn view_for<'a>(&self, nix: &'a NixSnapshot, arch: &Arch) -> &'a NixView {
        let is_of_run = self.matching_entry(arch).is_some_and(|entry| self.is_of_run(entry));
        nix.caller.as_ref().filter(|_| is_of_run).map_or(&nix.machine, |user| &user.view)
    }

    pub(super) fn platforms_of(&self, view: &NixView) -> Vec<String> {
        let effective = view.effective.as_ref().map(|config| config.extra_platforms.clone());
        effective.unwrap_or_else(|| self.platforms_in_files(view))
    }

    fn platforms_in_files(&self, view: &NixView) -> Vec<String> {
        let default: &[&str] = if self.machine == "x86_64" { &[I686] } else { &[] };
        view.settings.effective_list(PLATFORMS, default)
    }
}

/// `extra-platforms` is the setting's real name, so `extra-platforms = aarch64-linux` replaces the default, and Wine,
/// Steam and everything else that needs i686-linux is refused (NixOS/nix#6604, open since 2022; nixpkgs#86506,
/// #168192). The appending name is `extra-extra-platforms` (Nix and Lix, `Config::set`).
fn check_lost_i686(settings: ExaminedSettings) -> Vec<Occurrence> {
    let snapshot = settings.snapshot;
    let is_needed = snapshot.machine == "x86_64" && snapshot.natives.contains("i386") && settings.decides_builds();
    if !is_needed || snapshot.platforms_of(settings.view).iter().any(|platform| platform == I686) {
        return Vec::new();
    }
    let Some(line) = replacing_line(settings.view) else { return Vec::new() };
    let what = format!("line {} of {} removes {I686} from Nix's platforms", line.number, line.file.as_text());
    let why = "extra-platforms is the setting itself: it replaces Nix's default, which contains i686-linux; \
               extra-extra-platforms appends";
    let occurrence = Occurrence { systems: vec!["i386"], ..Occurrence::general(what, why) };
    vec![with_append_fix(&settings, line, occurrence)]
}

/// Returns the last line that replaces the platforms.
fn replacing_line(view: &NixView) -> Option<&SettingLine> {
    let (replaces, lines) = view.settings.effective_lines(PLATFORMS);
    lines.into_iter().next().filter(|_| replaces)
}

/// Adds the command that turns the line into an appending one, if the file can be edited.
fn with_append_fix(settings: &ExaminedSettings, line: &SettingLine, occurrence: Occurrence) -> Occurrence {
    let script = "s/extra-platforms/extra-extra-platforms/";
    let by_hand = format!("write extra-extra-platforms = {}", line.words.join(" "));
    settings.with_edit(occurrence, (&line.file, line.number), script, &by_hand)
}

impl NixSnapshot {
    /// Adds the command that restarts the daemon, which is needed after a change of the settings.
    pub(super) fn with_restart(&self, occurrence: Occurrence) -> Occurrence {
        Occurrence { repair: [occurrence.repair, self.restart.iter().cloned().collect()].concat(), ..occurrence }
    }
}

/// Nix lists a platform without an emulator: it accepts the build, and the builder fails with "Exec format error"
/// (nixpkgs#110540, nixos-generators#59, #202). If the table itself is missing or switched off, another check reports
/// that instead.
fn check_without_emulator(snapshot: &Snapshot) -> Vec<Occurrence> {
    let Some(nix) = snapshot.nix.as_ref().filter(|_| snapshot.is_table_active()) else { return Vec::new() };
    let platforms = snapshot.extra_platforms(nix);
    let occurrences = Arch::ALL.iter().filter(|arch| !snapshot.natives.contains(arch.target)).filter_map(|arch| {
        let unsupported: Vec<&str> =
            arch.nix_systems.iter().copied().filter(|system| platforms.iter().any(|p| p == system)).collect();
        let first_system = unsupported.first().filter(|_| snapshot.matching_entry(arch).is_none())?;
        // i686-linux is in the default on every x86_64 machine; without IA-32 in the kernel only a 32-bit build fails.
        let by_default = *first_system == I686 && replacing_line(&nix.machine).is_none();
        if by_default || snapshot.registered.contains_key(arch.target) {
            return None;
        }
        let what = format!("Nix accepts builds for {}, but nothing runs such programs", unsupported.join(" "));
        let why = "Nix relies on its configuration and never reads the kernel's table: such a build starts, and fails \
                   with \"Exec format error\"";
        Some(Occurrence::for_system(arch, what, why).with_repair(snapshot.shell.register_command(arch)))
    });
    occurrences.collect()
}

/// Programs run, but Nix refuses their builds with "a 'aarch64-linux' with features {} is required"
/// (nixos-generators#219, raspberry-pi-nix#129). `--no-nix` is the user's choice, and not a finding.
fn check_not_configured(snapshot: &Snapshot) -> Vec<Occurrence> {
    let Some(nix) = &snapshot.nix else { return Vec::new() };
    let platforms = snapshot.extra_platforms(nix);
    let occurrences = snapshot.emulated_systems().filter_map(|(arch, entry)| {
        if snapshot.is_of_run(entry) {
            return find_unconfigured_in_run(snapshot, nix, arch);
        }
        let known = snapshot.registered.get(arch.target);
        let missing: Vec<&str> =
            arch.nix_systems.iter().copied().filter(|system| !platforms.iter().any(|p| p == system)).collect();
        // Nix cannot refuse a build while it does not start at all.
        let is_unknown = nix.machine.rejection.is_some();
        if missing.len() < arch.nix_systems.len().max(1)
            || known.is_some_and(|system| system.nix == NixUse::Declined)
            || is_unknown
        {
            return None;
        }
        let what = format!("{} programs run, but Nix refuses builds for {}", arch.target, missing.join(" "));
        let why = match known {
            Some(system) if system.nix == NixUse::Absent => {
                "Nix was not installed when the system was registered, so it is not configured: it builds only for the \
                 systems in extra-platforms, and never reads the kernel's table"
            }
            _ => "Nix builds only for the systems in extra-platforms, and never reads the kernel's table",
        };
        if nix.machine.effective.is_some() && is_configured_in_files(snapshot, nix, &missing) {
            let why = "the files in /etc/nix list the system, but root's own nix.conf, which is read later, or \
                       NIX_CONFIG replaces extra-platforms; extra-extra-platforms there would append";
            return Some(
                Occurrence::for_system(arch, what, why)
                    .with_repair(snapshot.shell.as_root("grep -n platforms /root/.config/nix/nix.conf")),
            );
        }
        let occurrence = Occurrence::for_system(arch, what, why);
        let names_missing = |line: &&SettingLine| line.words.iter().any(|word| missing.contains(&word.as_str()));
        let was_configured = nix.machine.settings.lines.iter().any(|line| names_missing(&line));
        Some(match replacing_line(&nix.machine).filter(|_| was_configured) {
            Some(line) => with_append_fix(&ExaminedSettings::of_machine(snapshot, nix), line, occurrence),
            None if known.is_some() => {
                let fix = (!nix.left_alone).then(|| Fix::Register(vec![arch.target]));
                Occurrence { fix, ..occurrence }.with_repair(snapshot.shell.register_command(arch))
            }
            None if snapshot.is_ours(entry) => {
                let line = snapshot.shell.tool_command(format_args!("register {} --nix", arch.target));
                occurrence.with_repair(line)
            }
            // The user did not register the system with this tool, and may not want builds for it.
            None => Occurrence { is_note: true, ..occurrence }.with_repair(snapshot.shell.register_command(arch)),
        })
    });
    occurrences.collect()
}

/// `run` adds the systems to `NIX_CONFIG`. A command inside of it may have another environment.
fn find_unconfigured_in_run(snapshot: &Snapshot, nix: &NixSnapshot, arch: &'static Arch) -> Option<Occurrence> {
    let user = nix.caller.as_ref().filter(|user| user.view.rejection.is_none())?;
    let platforms = snapshot.platforms_of(&user.view);
    if arch.nix_systems.iter().any(|system| platforms.iter().any(|p| p == system)) {
        return None;
    }
    let names = arch.nix_systems.join(" ");
    let what = format!("{} programs run inside of run, but Nix refuses builds for {names}", arch.target);
    let why = "run adds its systems to NIX_CONFIG, and the lines are missing here, or a later one replaces them";
    (!names.is_empty()).then(|| Occurrence::for_system(arch, what, why).with_repair(append_command(arch.nix_systems)))
}

/// Returns the command that adds the lines for systems to the lines of `NIX_CONFIG`.
pub(super) fn append_command(systems: &[&str]) -> String {
    export_command(&format!("\"${VARIABLE}\" "), systems)
}

/// Returns the command that replaces the lines of `NIX_CONFIG` by those for systems.
pub(super) fn replace_command(systems: &[&str]) -> String {
    export_command("", systems)
}

fn export_command(before: &str, systems: &[&str]) -> String {
    let lines: Vec<String> = conf::platform_lines(systems).iter().map(|line| shell_quote(line)).collect();
    format!("export {VARIABLE}=\"$(printf '%s\\n' {before}{})\"", lines.join(" "))
}

/// Whether the files in /etc/nix name these systems, regardless of other settings.
fn is_configured_in_files(snapshot: &Snapshot, nix: &NixSnapshot, systems: &[&str]) -> bool {
    let from_files = snapshot.platforms_in_files(&nix.machine);
    systems.iter().all(|system| from_files.iter().any(|platform| platform == system))
}

/// Nix is configured for a system, but the calling user's own files or `NIX_CONFIG`, which are read later, replace
/// `extra-platforms`. That counts where no daemon builds, or if the daemon trusts the user.
fn check_caller_overrides(snapshot: &Snapshot) -> Vec<Occurrence> {
    let user = snapshot.nix.as_ref().and_then(|nix| Some((nix, nix.caller.as_ref().filter(|user| user.decides)?)));
    let Some((nix, user)) = user.filter(|(_, user)| user.view.effective.is_some()) else { return Vec::new() };
    let (machine, own) = (snapshot.extra_platforms(nix), snapshot.platforms_of(&user.view));
    let settings = ExaminedSettings::of_caller(snapshot, nix, user);
    let occurrences = snapshot.emulated_systems().filter_map(|(arch, _)| {
        let is_lost = |system: &&str| machine.iter().any(|p| p == system) && !own.iter().any(|p| p == system);
        let lost: Vec<&str> = arch.nix_systems.iter().copied().filter(is_lost).collect();
        lost.first()?;
        let what = format!("the settings of {} remove {} from Nix's platforms", user.name, lost.join(" "));
        let why = "a user's own nix.conf and NIX_CONFIG are read after the files in /etc/nix, and extra-platforms there \
                   replaces what those set; extra-extra-platforms appends";
        let occurrence = Occurrence::for_system(arch, what, why);
        Some(match replacing_line(&user.view) {
            Some(line) => with_append_fix(&settings, line, occurrence),
            None => settings.with_unknown_place(occurrence, "extra-platforms"),
        })
    });
    occurrences.collect()
}

/// An arm64 processor without AArch32: Nix sets the personality PER_LINUX32 for these systems on any host and fails if
/// the kernel refuses, whatever is registered (NixOS/nix#2595: "cannot set 32-bit personality: Invalid argument";
/// nixpkgs#171297). `register` does not configure Nix for them.
const PERSONALITIES_32: [&str; 3] = ["armv7l-linux", "armv6l-linux", "armv5tel-linux"];

fn check_no_aarch32(snapshot: &Snapshot) -> Vec<Occurrence> {
    let Some(nix) = snapshot.nix.as_ref().filter(|_| snapshot.environment.refuses_personality_32) else {
        return Vec::new();
    };
    let platforms = snapshot.extra_platforms(nix);
    let is_accepted = |system: &&str| platforms.iter().any(|platform| platform == system);
    let unsupported: Vec<&str> = PERSONALITIES_32.into_iter().filter(is_accepted).collect();
    if unsupported.is_empty() {
        return Vec::new();
    }
    let what = format!("Nix accepts builds for {}, but this processor has no 32-bit mode", unsupported.join(" "));
    let why = "Nix first requests a 32-bit personality, which the arm64 kernel refuses here (\"cannot set \
               32-bit personality\"): no emulator is ever started";
    let occurrence = Occurrence { systems: vec!["arm"], ..Occurrence::general(what, why) };
    let known = snapshot.registered_systems().find(|(arch, system)| arch.target == "arm" && system.configures_nix());
    let occurrence = match known {
        Some((arch, _)) if !nix.left_alone => occurrence.with_repair(snapshot.shell.register_command(arch)),
        _ => without_platforms(&ExaminedSettings::of_machine(snapshot, nix), occurrence, &unsupported),
    };
    vec![occurrence.with_repair("# then build it on x86_64, where emulation works, or as a cross build")]
}

/// Adds the command that removes these systems from the first line that names one of them.
fn without_platforms(settings: &ExaminedSettings, occurrence: Occurrence, systems: &[&str]) -> Occurrence {
    let lines = settings.view.settings.effective_lines(PLATFORMS).1;
    let naming = lines.into_iter().find(|line| line.words.iter().any(|word| systems.contains(&word.as_str())));
    match naming {
        Some(line) => {
            let script = format!(r"s/[[:blank:]]\({}\)\>//g", systems.join(r"\|"));
            let by_hand = format!("remove {}", systems.join(" "));
            settings.with_edit(occurrence, (&line.file, line.number), &script, &by_hand)
        }
        None => settings.with_unknown_place(occurrence, "extra-platforms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::doctor::run_checks;
    use std::path::Path;

    use crate::diagnose::doctor::snapshot::Environment;
    use crate::nix::config_show::NixConfig;
    use crate::nix::settings::Settings;
    use crate::register::receipt::System;

    #[test]
    fn reports_armv7l_on_arm64_without_a_32_bit_mode() {
        let config = NixConfig { extra_platforms: vec!["armv7l-linux".into()], ..NixConfig::default() };
        let machine = NixView { effective: Some(config), ..NixView::default() };
        let nix = NixSnapshot { machine, ..NixSnapshot::default() };
        let environment = Environment { refuses_personality_32: true, ..Environment::default() };
        let mut snapshot = Snapshot { machine: "aarch64".into(), environment, nix: Some(nix), ..Snapshot::default() };
        let repair = |snapshot: &Snapshot| {
            let findings = run_checks(snapshot).into_iter();
            findings.filter(|finding| finding.id == "no-aarch32").flat_map(|finding| finding.occurrence.repair).next()
        };
        // A line of the user.
        let open = |_: &Path| Some("extra-extra-platforms = i686-linux armv7l-linux\n".to_owned());
        let settings = Settings::read_files("/etc/nix/nix.conf".as_ref(), &open);
        snapshot.nix.as_mut().into_iter().for_each(|nix| nix.machine.settings = settings.clone());
        assert!(repair(&snapshot).unwrap_or_default().contains(r"sed -i '1s/[[:blank:]]\(armv7l-linux\)\>//g'"));
        // Registered by an earlier version, which configured Nix.
        let system = System {
            entry: "qemu-arm".into(),
            interpreter: "/qemu-arm".into(),
            qemu: "10.0.13".into(),
            source: "this system".into(),
            adopted: false,
            nix: NixUse::Configured,
            proven: true,
            disabled: false,
            given: None,
            previous: None,
            nix_build: None,
        };
        snapshot.registered.insert("arm".into(), system);
        assert!(repair(&snapshot).unwrap_or_default().ends_with("register arm"));
        snapshot.environment.refuses_personality_32 = false;
        assert_eq!(repair(&snapshot), None);
    }
}
