//! `doctor`: settings that Nix rejects, or with which it builds nothing. On the running machine a Nix decides, and each
//! repair is executed. Below `--root` the files decide.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::binfmt::userns::memory;
use crate::diagnose::doctor::reports::{finding, finding_ids, finds, registered_tree, repaired};
use crate::diagnose::doctor::running_host::live;
use crate::diagnose::situations::commands::paste;
use crate::support::output::{Done, tool, tool_path};
use crate::support::proposals::report_executed;
use crate::support::sandbox::{SCRATCH, itself};
use crate::support::tree::{NIX_CONF, OWN_CONF};
use crate::support::{Tree, settings_nix};

const CONF: &str = "/etc/nix/nix.conf";

/// A running machine with a Nix that has these settings.
fn machine(text: &str) {
    live();
    settings_nix::install("");
    fs::write(CONF, text).unwrap();
}

/// Runs `doctor` with these variables. Its findings are these.
#[track_caller]
fn finds_with(mut command: Command, variables: &[(&str, &str)], expected: &[&str]) -> Value {
    let done = Done::from(command.envs(variables.iter().copied()).output().unwrap()).omits("panicked");
    let found = done.json();
    assert_eq!(finding_ids(&found), expected, "{found:#}");
    done.exits(if expected.is_empty() { 0 } else { 3 });
    found
}

#[track_caller]
fn live_finds(expected: &[&str]) -> Value {
    finds_with(tool(&["doctor", "--json"]), &[], expected)
}

fn repair_of<'a>(found: &'a Value, id: &str) -> Vec<&'a str> {
    finding(found, id)["repair"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect()
}

/// Runs the commands in a shell, and then the doctor in the same shell.
#[track_caller]
fn obey_and_diagnose(lines: &[&str], variables: &[(&str, &str)]) -> Done {
    let script = format!("{}\n{} doctor --json", lines.join("\n"), tool_path());
    let mut command = Command::new("/bin/sh");
    command.args(["-ec", &script]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    report_executed(&lines.join("\n"));
    command.envs(variables.iter().copied()).output().unwrap().into()
}

/// Each of these lines keeps Nix from starting. The finding has the line and Nix's own message. Its repair changes that
/// line only.
#[sandboxed]
fn lines_that_nix_rejects_are_found_and_repaired() {
    machine("");
    live_finds(&[]);
    for (text, number, said, repaired) in [
        ("cores=1\n", 1, "configuration line 'cores=1'", "cores = 1\n"),
        ("a = b\n  cores= 1 # x\n", 2, "configuration line", "a = b\n  cores = 1 # x\n"),
        ("a = b\nfoo bar\nc = d\n", 2, "configuration line 'foo bar'", "a = b\n# foo bar\nc = d\n"),
        ("include\n", 1, "configuration line 'include'", "# include\n"),
        ("a = b\ninclude /nowhere/x.conf\n", 2, "/nowhere/x.conf", "a = b\n!include /nowhere/x.conf\n"),
        ("include x.conf # mine\n", 1, "/etc/nix/x.conf", "!include x.conf # mine\n"),
        (
            "sandbox = true\nsandbox = maybe\n",
            2,
            "'sandbox' has invalid value 'maybe'",
            "sandbox = true\n# sandbox = maybe\n",
        ),
    ] {
        fs::write(CONF, text).unwrap();
        let found = live_finds(&["nix-rejects-settings"]);
        let what = finding(&found, "nix-rejects-settings")["what"].as_str().unwrap();
        assert!(what.contains(&format!("line {number} of {CONF}")), "{text}: {found:#}");
        assert!(finding(&found, "nix-rejects-settings")["why"].as_str().unwrap().contains(said), "{text}: {found:#}");
        obey_and_diagnose(&repair_of(&found, "nix-rejects-settings"), &[]).exits(0);
        assert_eq!(fs::read_to_string(CONF).unwrap(), repaired);
    }
    // Of two faults Nix reports the first one, and after its repair the other one.
    fs::write(CONF, "foo\ncores=1\n").unwrap();
    for _ in 0..2 {
        let found = live_finds(&["nix-rejects-settings"]);
        obey_and_diagnose(&repair_of(&found, "nix-rejects-settings"), &[]);
    }
    live_finds(&[]);
    // The fault is in a file that another one includes.
    fs::write(CONF, "!include mine.conf\n").unwrap();
    fs::write("/etc/nix/mine.conf", "\ncores=1\n").unwrap();
    let found = live_finds(&["nix-rejects-settings"]);
    assert!(found.to_string().contains("line 2 of /etc/nix/mine.conf"), "{found:#}");
    obey_and_diagnose(&repair_of(&found, "nix-rejects-settings"), &[]).exits(0);
}

/// Nix 2.8 and 2.34 die of a segmentation fault then (measured).
#[sandboxed]
fn a_file_that_includes_itself_is_found_and_repaired() {
    machine("a = b\n!include nix.conf\n");
    let nix = Path::new(settings_nix::BIN).join("nix");
    fs::write(&nix, format!("#!/bin/sh\ngrep -q '^!include' {CONF} || echo extra-platforms = && kill -SEGV $$\n"))
        .unwrap();
    let found = live_finds(&["nix-rejects-settings"]);
    let what = finding(&found, "nix-rejects-settings")["what"].as_str().unwrap();
    assert!(what.starts_with(&format!("line 2 of {CONF} includes a file that includes this one")), "{found:#}");
    assert!(found["not_examined"].to_string().contains("signal: 11"), "{found:#}");
    let lines = repair_of(&found, "nix-rejects-settings").join("\n");
    assert_eq!(Done::from(Command::new("/bin/sh").args(["-ec", &lines]).output().unwrap()).code, Some(0));
    report_executed(&lines);
    assert_eq!(fs::read_to_string(CONF).unwrap(), "a = b\n# !include nix.conf\n");
}

/// The rule of Nix's parser, where no Nix can be asked.
#[sandboxed]
fn rejected_lines_below_root_are_found_and_repaired() {
    for (text, after) in [("cores=1\n", "cores = 1\n"), ("foo\n", "# foo\n"), ("include x\n", "!include x\n")] {
        let tree = Tree::new().nix_conf(text);
        repaired(&tree, &["nix-rejects-settings"], "nix-rejects-settings", None, &[]);
        assert_eq!(tree.text(NIX_CONF), after);
        tree.discard();
    }
}

#[sandboxed]
fn platforms_that_name_no_system_are_found_and_repaired() {
    for (text, after) in [
        ("extra-extra-platforms = arm64-darwin2 [ ]\n", "extra-extra-platforms = arm64-darwin2\n"),
        ("a = b\nextra-extra-platforms = [\"i686-linux\"]\n", "a = b\nextra-extra-platforms = i686-linux\n"),
        (
            "extra-extra-platforms = 'i686-linux',i386 # mine\n",
            "extra-extra-platforms = i686-linux i386-linux # mine\n",
        ),
        ("extra-extra-platforms = foo-linux\n", "# extra-extra-platforms = foo-linux\n"),
        ("extra-extra-platforms = x86_64-v2-linux aarch64-darwin wasm32-wasi\n", ""),
    ] {
        let tree = Tree::new().nix_conf(text);
        if after.is_empty() {
            finds(&tree, &[]);
        } else {
            repaired(&tree, &["nix-platform-name"], "nix-platform-name", None, &[]);
            assert_eq!(tree.text(NIX_CONF), after);
        }
        tree.discard();
    }
    // Nix does not build for the system that was meant, although it runs.
    let tree = registered_tree();
    tree.write(NIX_CONF, "extra-extra-platforms = arm64-linux\n");
    repaired(&tree, &["nix-platform-name", "nix-not-told"], "nix-platform-name", None, &[]);
    assert_eq!(tree.text(NIX_CONF), "extra-extra-platforms = aarch64-linux\n");
}

#[sandboxed]
fn a_foreign_native_system_is_found_and_repaired() {
    let tree = Tree::new().nix_conf("sandbox = true\nsystem = aarch64-linux\n");
    repaired(&tree, &["nix-foreign-system"], "nix-foreign-system", None, &[]);
    assert_eq!(tree.text(NIX_CONF), "sandbox = true\n# system = aarch64-linux\n");
    tree.write(NIX_CONF, "system = x86_64-linux\n");
    finds(&tree, &[]);
    tree.write(NIX_CONF, "system = nonsense\n");
    finds(&tree, &["nix-foreign-system"]);
}

#[sandboxed]
fn a_nix_that_builds_nothing_here_is_found_and_repaired() {
    let tree = Tree::new().nix_conf("max-jobs = 0\n");
    repaired(&tree, &["nix-no-local-jobs"], "nix-no-local-jobs", None, &[]);
    assert_eq!(tree.text(NIX_CONF), "max-jobs = auto\n");
    // A machine that only uses other builders, and then one that emulates.
    tree.write(NIX_CONF, "max-jobs = 0\nbuilders = ssh-ng://other aarch64-linux\n");
    finds(&tree, &[]);
    tree.register("aarch64").exits(0);
    repaired(&tree, &["nix-no-local-jobs"], "nix-no-local-jobs", None, &[]);
}

/// The same finding on a machine without a registration, after `register`, and after `unregister`.
#[sandboxed]
fn a_missing_sandbox_path_is_found_before_and_after_register() {
    let tree = Tree::new().nix_conf("extra-sandbox-paths = /run/binfmt\n");
    finds(&tree, &["sandbox-path-missing"]);
    tree.register("aarch64").exits(0);
    finds(&tree, &["sandbox-path-missing"]);
    tree.unregister("aarch64").exits(0);
    repaired(&tree, &["sandbox-path-missing"], "sandbox-path-missing", None, &[]);
    assert_eq!(tree.text(NIX_CONF), "extra-sandbox-paths = /run/binfmt?\n");
}

/// A distribution's default has a shell of its own, in a package that is not installed.
#[sandboxed]
fn a_missing_path_of_the_default_is_found_and_repaired() {
    for text in ["", "sandbox = true\n"] {
        machine(text);
        settings_nix::install("/bin/sh=/usr/bin/bash-static-x");
        let found = live_finds(&["sandbox-path-missing"]);
        assert!(found.to_string().contains("/bin/sh=/usr/bin/bash-static-x"), "{found:#}");
        obey_and_diagnose(&repair_of(&found, "sandbox-path-missing"), &[]).exits(0);
    }
}

/// `register` found no Nix. It was installed later.
#[sandboxed]
fn a_nix_that_was_installed_after_register_is_found_and_configured() {
    let later = || {
        let tree = Tree::without_nix();
        tree.register("aarch64").exits(0).says("Nix was not found");
        finds(&tree, &[]);
        tree.dir("nix/store").nix_conf("sandbox = true\n")
    };
    let tree = later();
    let found = finds(&tree, &["nix-not-told"]);
    let why = finding(&found, "nix-not-told")["why"].as_str().unwrap();
    assert!(why.contains("was not installed when the system was registered"), "{found:#}");
    repaired(&tree, &["nix-not-told"], "nix-not-told", None, &[]);
    assert!(tree.text(OWN_CONF).contains("aarch64-linux"));
    tree.discard();
    let tree = later();
    tree.run(&["doctor", "--fix"]).exits(0).prints("repaired: nix-not-told");
    finds(&tree, &[]);
    tree.discard();
    // The user asked for no configuration.
    let tree = Tree::without_nix();
    tree.register_with("aarch64", &["--no-nix"]).exits(0);
    finds(&tree.dir("nix/store").nix_conf("sandbox = true\n"), &[]);
}

const JOES: &str = "/home/joe/.config/nix/nix.conf";

/// A machine with the users root and joe.
fn machine_with_joe(text: &str) {
    machine(text);
    memory(Path::new("/home"));
    fs::create_dir_all("/home/joe/.config/nix").unwrap();
    for (name, text) in [("passwd", "root:x:0:0::/root:/bin/sh\njoe:x:1000:1000::/home/joe:/bin/sh\n"), ("group", "")] {
        let (mine, place) = (Path::new(SCRATCH).join(name), Path::new("/etc").join(name));
        fs::write(&mine, text).unwrap();
        if place.exists() { crate::binfmt::userns::bind(&mine, &place) } else { fs::write(&place, text).unwrap() }
    }
}

fn write_as_joe(path: &str, text: &str) {
    fs::write(path, text).unwrap();
    chown(path, Some(1000), Some(1000)).unwrap();
    for dir in Path::new(path).ancestors().skip(1).take_while(|dir| dir.starts_with("/home/joe")) {
        chown(dir, Some(1000), Some(1000)).unwrap();
    }
}

const BELOW_SUDO: [(&str, &str); 3] = [("SUDO_UID", "1000"), ("SUDO_GID", "1000"), ("SUDO_USER", "joe")];

/// Below sudo the settings of the calling user are in question, too. Nix and the reader of the files have only that
/// user's rights.
#[sandboxed]
fn settings_of_the_caller_that_nix_rejects_are_found() {
    machine_with_joe("");
    let as_joe = |variables: &[(&'static str, &'static str)], expected: &[&str]| {
        let variables = [&BELOW_SUDO[..], variables].concat();
        finds_with(tool(&["doctor", "--json"]), &variables, expected)
    };
    as_joe(&[], &[]);
    write_as_joe(JOES, "a = b\ncores=1\n");
    let found = as_joe(&[], &["nix-rejects-settings"]);
    let what = finding(&found, "nix-rejects-settings")["what"].as_str().unwrap();
    assert_eq!(what, format!("in the settings of joe: line 2 of {JOES} has no blanks around its =: cores=1"));
    assert_eq!(
        repair_of(&found, "nix-rejects-settings"),
        [format!("sudo -u joe sed -i '2s/[[:blank:]]*=[[:blank:]]*/ = /' {JOES}")]
    );
    // Root itself has other settings.
    live_finds(&[]);
    fs::remove_file(JOES).unwrap();
    for (name, value, place) in [
        ("NIX_CONFIG", "foo bar", "line 1 of NIX_CONFIG"),
        ("NIX_USER_CONF_FILES", "/home/joe/x.conf", "line 1 of /home/joe/x.conf"),
        ("XDG_CONFIG_HOME", "/home/joe/xdg", "line 1 of /home/joe/xdg/nix/nix.conf"),
    ] {
        fs::create_dir_all("/home/joe/xdg/nix").unwrap();
        write_as_joe("/home/joe/x.conf", "foo bar\n");
        write_as_joe("/home/joe/xdg/nix/nix.conf", "foo bar\n");
        let found = as_joe(&[(name, value)], &["nix-rejects-settings"]);
        assert!(
            found.to_string().contains(&format!("in the settings of joe: {place} is not a setting: foo bar")),
            "{found:#}"
        );
        // Root's own run of Nix gets none of these variables.
        finds_with(tool(&["doctor", "--json"]), &[(name, value)], &[]);
    }
    let found = as_joe(&[("NIX_CONFIG", "foo")], &["nix-rejects-settings"]);
    let lines = repair_of(&found, "nix-rejects-settings");
    assert_eq!(lines, ["unset NIX_CONFIG"]);
    obey_and_diagnose(&lines, &[&BELOW_SUDO[..], &[("NIX_CONFIG", "foo")]].concat()).exits(0);
}

/// An ordinary user without sudo repairs the own file without it.
#[sandboxed]
fn an_ordinary_user_repairs_the_own_settings() {
    machine("");
    fs::create_dir_all("/scratch/own/.config/nix").unwrap();
    for dir in [SCRATCH, "/scratch/own", "/scratch/own/.config", "/scratch/own/.config/nix"] {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).unwrap();
        chown(dir, Some(65534), Some(65534)).unwrap();
    }
    let conf = "/scratch/own/.config/nix/nix.conf";
    fs::write(conf, "max-jobs = 0\n").unwrap();
    chown(conf, Some(65534), Some(65534)).unwrap();
    let by_stranger = |program: &str, args: &[&str]| {
        let mut command = itself("stranger").unwrap();
        command.arg(program).args(args).env_clear().env("BINFMT_NIX_TEST_ROLE", "stranger");
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/scratch/own");
        command
    };
    let found = finds_with(by_stranger(tool_path(), &["doctor", "--json"]), &[], &["nix-no-local-jobs"]);
    let lines = repair_of(&found, "nix-no-local-jobs");
    assert_eq!(lines, [format!("sed -i '1s/=[[:blank:]]*0/= auto/' {conf}")]);
    assert!(found["looked_at"].as_str().unwrap().contains("and those of "), "{found:#}");
    let done: Done = by_stranger("/bin/sh", &["-ec", lines[0]]).output().unwrap().into();
    done.exits(0);
    report_executed(lines[0]);
    finds_with(by_stranger(tool_path(), &["doctor", "--json"]), &[], &[]);
}

/// A user's settings about emulation count if the daemon trusts the user, or if no daemon builds.
#[sandboxed]
fn platforms_that_the_caller_removes_are_found() {
    machine_with_joe("extra-extra-platforms = aarch64-linux\n");
    let qemu = Path::new("/usr/local/qemu-aarch64");
    fs::copy(crate::support::qemu("aarch64"), qemu).unwrap();
    let table = Path::new(crate::diagnose::doctor::running_host::TABLE);
    fs::write(table.join("register"), crate::support::table::line("qemu-aarch64", "aarch64", qemu, "PF")).unwrap();
    write_as_joe(JOES, "extra-platforms = i686-linux\n");
    let as_joe = |expected: &[&str]| finds_with(tool(&["doctor", "--json"]), &BELOW_SUDO, expected);
    let found = as_joe(&["nix-caller-overrides", "own-table"]);
    assert_eq!(
        repair_of(&found, "nix-caller-overrides"),
        [format!("sudo -u joe sed -i 1s/extra-platforms/extra-extra-platforms/ {JOES}")]
    );
    drop(paste(repair_of(&found, "nix-caller-overrides")[0]).exits(0));
    as_joe(&["own-table"]);
    write_as_joe(JOES, "extra-platforms = i686-linux\n");
    // With a daemon these settings of joe have no effect, and another finding reports that.
    fs::create_dir("/nix/store").unwrap();
    as_joe(&["user-not-trusted", "own-table"]);
    fs::write(CONF, "extra-extra-platforms = aarch64-linux\ntrusted-users = joe\n").unwrap();
    as_joe(&["nix-caller-overrides", "own-table"]);
    write_as_joe(JOES, "extra-extra-platforms = i686-linux\n");
    as_joe(&["own-table"]);
}

/// Nix is there, and the report has the reason why it was not asked.
#[sandboxed]
fn a_nix_that_root_does_not_run_is_reported_with_the_reason() {
    machine("max-jobs = 1\n");
    let nix = Path::new(settings_nix::BIN).join("nix");
    chown(&nix, Some(1000), None).unwrap();
    let found = live_finds(&[]);
    let gaps = found["not_examined"].to_string();
    assert!(
        gaps.contains("no nix was found that can be run safely") && gaps.contains("belongs to user 1000"),
        "{found:#}"
    );
    chown(&nix, Some(0), None).unwrap();
    assert_eq!(live_finds(&[])["not_examined"], serde_json::json!([]));
    fs::remove_file(&nix).unwrap();
    if !Path::new("/usr/bin/nix").exists() && !Path::new("/usr/local/bin/nix").exists() {
        let found = live_finds(&[]);
        assert!(found["not_examined"].to_string().contains("none of these paths exists"), "{found:#}");
    }
}

/// `register` does not report that Nix cannot be run safely if Nix rejects its settings.
#[sandboxed]
fn register_reports_that_nix_rejects_its_settings() {
    machine("foo\n");
    let qemu = crate::support::qemu("aarch64");
    let register = ["register", "aarch64", "--nix", "--qemu", qemu.to_str().unwrap()];
    let done: Done = tool(&register).output().unwrap().into();
    done.exits(3).says("configuration line 'foo' in").says("binfmt-nix doctor").omits("safely");
    fs::remove_file(Path::new(settings_nix::BIN).join("nix")).unwrap();
    Done::from(tool(&["unregister", "all"]).output().unwrap()).exits(0);
    let done: Done = tool(&register).output().unwrap().into();
    done.exits(0).says("could not be verified: no nix was found that can be run safely");
}

/// Wherever the caller sets it, the finding has the place, and its repair changes that line.
#[sandboxed]
fn the_place_of_a_setting_is_found_wherever_the_caller_sets_it() {
    machine_with_joe("");
    write_as_joe("/home/joe/x.conf", "# mine\nmax-jobs = 0\n");
    write_as_joe("/home/joe/y.conf", "include x.conf\n");
    for (name, value) in [
        ("NIX_CONFIG", "cores = 1\ninclude /home/joe/x.conf"),
        ("NIX_USER_CONF_FILES", "/home/joe/x.conf"),
        ("NIX_USER_CONF_FILES", "/home/joe/y.conf"),
    ] {
        let variables = [&BELOW_SUDO[..], &[(name, value)]].concat();
        let found = finds_with(tool(&["doctor", "--json"]), &variables, &["nix-no-local-jobs"]);
        assert!(found.to_string().contains("(line 2 of /home/joe/x.conf)"), "{value}: {found:#}");
        let repair = repair_of(&found, "nix-no-local-jobs");
        assert_eq!(repair, ["sudo -u joe sed -i '2s/=[[:blank:]]*0/= auto/' /home/joe/x.conf"]);
    }
    let variables = [&BELOW_SUDO[..], &[("NIX_CONFIG", "system = aarch64-linux")]].concat();
    let found = finds_with(tool(&["doctor", "--json"]), &variables, &["nix-foreign-system"]);
    assert_eq!(repair_of(&found, "nix-foreign-system"), ["unset NIX_CONFIG"]);
}

/// Words of Nix's settings that no examined file has. The command shows the line, and the finding is gone once it is correct.
#[sandboxed]
fn words_whose_line_was_not_found_are_found_by_the_command() {
    machine("sandbox = true\n");
    let (nix, file) = (Path::new(settings_nix::BIN).join("nix"), "/etc/nix/words of another.file");
    fs::write(&nix, format!("#!/bin/sh\ncat '{file}'\necho max-jobs = 2\necho system = x86_64-linux\n")).unwrap();
    fs::write(file, "extra-platforms = i686-linux linux/arm64\n").unwrap();
    let found = live_finds(&["nix-platform-name"]);
    let what = finding(&found, "nix-platform-name")["what"].as_str().unwrap();
    assert!(what.contains("lists linux/arm64, which names no system"), "{found:#}");
    let [line] = repair_of(&found, "nix-platform-name").try_into().unwrap();
    paste(line).exits(0).prints(&format!("{file}:1:extra-platforms = i686-linux linux/arm64\n"));
    fs::write(file, "extra-platforms = i686-linux i386-linux\n").unwrap();
    live_finds(&[]);
}

/// A value that Nix prints, and that no file has which could be read.
#[sandboxed]
fn a_setting_whose_line_was_not_found_has_no_repair() {
    machine("sandbox = true\n");
    let nix = Path::new(settings_nix::BIN).join("nix");
    fs::write(&nix, "#!/bin/sh\necho extra-platforms = i686-linux\necho max-jobs = 0\necho system = aarch64-linux\n")
        .unwrap();
    let found = live_finds(&["nix-foreign-system", "nix-no-local-jobs"]);
    for (id, setting) in [("nix-foreign-system", "system"), ("nix-no-local-jobs", "max-jobs")] {
        assert!(repair_of(&found, id).is_empty(), "{found:#}");
        let why = finding(&found, id)["why"].as_str().unwrap();
        let text = format!("The line that sets {setting} was not found; this was read: {CONF}");
        assert!(why.contains(&text), "{found:#}");
    }
}

/// Root looks at a path in a user's settings as that user, who may not know whether something is there.
#[sandboxed]
fn paths_in_the_callers_settings_are_looked_up_as_the_caller() {
    machine_with_joe("");
    fs::create_dir(Path::new(SCRATCH).join("hidden")).unwrap();
    fs::set_permissions(Path::new(SCRATCH).join("hidden"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(SCRATCH, fs::Permissions::from_mode(0o755)).unwrap();
    for (path, expected) in [("/scratch/hidden/none", &[][..]), ("/scratch/none", &["sandbox-path-missing"])] {
        let config = format!("extra-sandbox-paths = {path}");
        let variables = [&BELOW_SUDO[..], &[("NIX_CONFIG", config.as_str())]].concat();
        finds_with(tool(&["doctor", "--json"]), &variables, expected);
    }
    // The machine's own settings are root's.
    fs::write(CONF, "extra-sandbox-paths = /scratch/hidden/none\n").unwrap();
    live_finds(&["sandbox-path-missing"]);
}

/// The machine has the features, and the file of the user replaces them.
#[sandboxed]
fn features_that_the_caller_removes_are_found() {
    machine_with_joe("extra-extra-platforms = armv7l-linux\nextra-system-features = gccarch-armv7-a\n");
    let qemu = Path::new("/usr/local/qemu-arm");
    fs::copy(crate::support::qemu("arm"), qemu).unwrap();
    let table = Path::new(crate::diagnose::doctor::running_host::TABLE);
    fs::write(table.join("register"), crate::support::table::line("qemu-arm", "arm", qemu, "PF")).unwrap();
    live_finds(&["own-table"]);
    write_as_joe(JOES, "system-features = kvm\n");
    let as_joe = |expected: &[&str]| finds_with(tool(&["doctor", "--json"]), &BELOW_SUDO, expected);
    let found = as_joe(&["nix-lacks-feature", "own-table"]);
    let what = finding(&found, "nix-lacks-feature")["what"].as_str().unwrap();
    assert_eq!(what, "in the settings of joe: nixpkgs requires gccarch-armv7-a for arm, and Nix lacks that");
    let repair = repair_of(&found, "nix-lacks-feature");
    assert_eq!(repair, [format!("sudo -u joe sed -i '1a extra-system-features = gccarch-armv7-a' {JOES}")]);
    write_as_joe(JOES, "system-features = kvm\nextra-system-features = gccarch-armv7-a\n");
    as_joe(&["own-table"]);
    // A daemon ignores this setting of users that it does not trust.
    write_as_joe(JOES, "system-features = kvm\n");
    fs::create_dir("/nix/store").unwrap();
    as_joe(&["own-table"]);
}
