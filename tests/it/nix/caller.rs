//! The caller's environment: root's own runs of Nix get nothing of it, and what is asked for the caller runs as the
//! caller. The Nix of these tests is a script that writes down who runs it, and with which variables.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use binfmt_nix::host::env::VARIABLES;

use crate::binfmt::userns::{bind, memory, shown};
use crate::diagnose::doctor::running_host::live;
use crate::support::output::{Done, TOOL, tool};
use crate::support::sandbox::{SCRATCH, itself};

const WITNESS: &str = "/scratch/witness";

/// Installs a Nix that only root could have installed. It builds whatever it is asked for.
fn install_nix() {
    live();
    memory(Path::new("/nix"));
    let bin = Path::new("/nix/var/nix/profiles/default/bin");
    fs::create_dir_all(bin).unwrap();
    let write_down = format!("{{ echo \"[$0] $(id -u):$(id -g):$(id -G)\"; env; }} >> {WITNESS}\n");
    let program = "/nix/store/0a1b2c3d4e5f6g7h8i9j0a1b2c3d4e5f-binfmt-nix-probe";
    let scripts = [
        ("nix", "printf 'extra-platforms = aarch64-linux\\nsandbox = true\\n'\n".to_owned()),
        ("nix-instantiate", "echo /nix/store/x-binfmt-nix-probe.drv\n".to_owned()),
        (
            "nix-store",
            format!(
                "case $1 in\n--query) echo {program} ;;\n--realise) printf '%s\\n' 0a1b2c3d4e5f6g7h 'error: builder \
                 failed to produce output path' >&2; exit 1 ;;\nesac\n"
            ),
        ),
    ];
    for (name, text) in scripts {
        let path = bin.join(name);
        fs::write(&path, format!("#!/bin/sh\n{write_down}{text}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(WITNESS, "").unwrap();
    fs::set_permissions(WITNESS, fs::Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(SCRATCH, fs::Permissions::from_mode(0o755)).unwrap();
    for (file, text) in [
        ("passwd", "root:x:0:0::/root:/bin/sh\njoe:x:1000:1000::/scratch/home of joe:/bin/sh\n"),
        ("group", "root:x:0:\njoe:x:1000:\nnixers:x:1234:ann,joe\n"),
    ] {
        let mine = Path::new(SCRATCH).join(file);
        fs::write(&mine, text).unwrap();
        let place = Path::new("/etc").join(file);
        // An empty /etc in memory has no such file.
        if place.exists() { bind(&mine, &place) } else { fs::write(&place, text).unwrap() }
    }
}

/// Everything in an environment that can make Nix load a library, start a program or use another store.
const HOSTILE: [(&str, &str); 8] = [
    ("NIX_CONFIG", "plugin-files = /scratch/evil.so"),
    ("NIX_REMOTE", "unix:///scratch/evil.socket"),
    ("NIX_CONF_DIR", "/scratch/evil"),
    ("NIX_USER_CONF_FILES", "/scratch/evil/nix.conf"),
    ("XDG_CONFIG_HOME", "/scratch/evil"),
    ("XDG_CONFIG_DIRS", "/scratch/evil"),
    ("LD_PRELOAD", ""),
    ("HOME", "/scratch/evil"),
];

/// Runs `test --nix` with these variables. Returns the result, and what each program of Nix wrote down.
fn test_nix(mut command: Command, variables: &[(&str, &str)]) -> (Done, Vec<String>) {
    fs::write(WITNESS, "").unwrap();
    let done = command.envs(HOSTILE).envs(variables.iter().copied()).output().unwrap().into();
    let witness = fs::read_to_string(WITNESS).unwrap();
    let runs: Vec<String> = witness.split("[/nix/").skip(1).map(str::to_owned).collect();
    assert!(runs.len() >= 4, "{witness} {done:#?}");
    (done, runs)
}

fn as_root() -> Command {
    tool(&["test", "aarch64", "--nix"])
}

/// `plugin-files` made root load a library of another user.
#[sandboxed]
fn root_runs_nix_in_a_clean_environment() {
    install_nix();
    let (done, runs) = test_nix(as_root(), &[]);
    done.prints("Nix built with it, in its sandbox").omits("(as ");
    for run in &runs {
        assert!(run.contains("] 0:0:"), "{run}");
        assert!(!run.contains("evil"), "{run}");
        let mut names: Vec<_> = run.lines().skip(1).filter_map(|line| Some(line.split_once('=')?.0)).collect();
        // The shell adds these.
        names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
        names.sort_unstable();
        assert_eq!(names, ["HOME", "LC_ALL", "PATH"], "{run}");
        assert!(run.contains("HOME=/root\n"), "{run}");
    }
    // The doctor asks for the settings of this machine.
    fs::write(WITNESS, "").unwrap();
    drop(tool(&["doctor"]).envs(HOSTILE).output().unwrap());
    let witness = fs::read_to_string(WITNESS).unwrap();
    assert!(witness.contains("bin/nix] 0:0:") && !witness.contains("evil"), "{witness}");
}

/// Below sudo, the builds of the caller are the ones in question. They run with the caller's rights only.
#[sandboxed]
fn below_sudo_nix_runs_as_the_caller() {
    install_nix();
    let by_joe = [("SUDO_UID", "1000"), ("SUDO_GID", "1000"), ("SUDO_USER", "joe")];
    let (done, runs) = test_nix(as_root(), &by_joe);
    done.prints("Nix built with it, in its sandbox (as joe)");
    let (settings, builds): (Vec<_>, Vec<_>) = runs.iter().partition(|run| run.contains("bin/nix]"));
    assert!(!settings.is_empty() && builds.len() >= 4, "{runs:#?}");
    for run in builds {
        assert!(run.contains("] 1000:1000:1000 1234\n"), "{run}");
        assert!(run.contains("HOME=/scratch/home of joe\n"), "{run}");
        // These are the variables that joe's own shell passes to Nix.
        assert!(run.contains("NIX_CONFIG=plugin-files") && run.contains("NIX_REMOTE=unix:"), "{run}");
        assert!(run.contains("NIX_USER_CONF_FILES=") && run.contains("XDG_CONFIG_HOME="), "{run}");
        assert!(!run.contains("NIX_CONF_DIR") && !run.contains("LD_PRELOAD"), "{run}");
    }
    for run in settings {
        assert!(run.contains("] 0:0:") && !run.contains("evil"), "{run}");
    }
    // passwd(5) does not list this user.
    let (done, runs) = test_nix(as_root(), &[("SUDO_UID", "4711"), ("SUDO_GID", "4712")]);
    done.prints("(as 4711)");
    assert!(
        runs.iter().any(|run| run.contains("] 4711:4712:4712\n") && run.contains("HOME=/nonexistent\n")),
        "{runs:#?}"
    );
    // An ordinary user cannot become another one by a variable.
    let mut stranger = itself("stranger").unwrap();
    stranger.arg(shown(Path::new(TOOL))).args(["test", "aarch64", "--nix"]).env_clear().env("PATH", "/usr/bin:/bin");
    stranger.env("BINFMT_NIX_TEST_ROLE", "stranger");
    let (done, runs) = test_nix(stranger, &by_joe);
    done.omits("(as ");
    assert!(runs.iter().all(|run| run.contains("] 65534:65534:")), "{runs:#?}");
}

/// If the machine's settings do not enable the sandbox, only root can choose it.
#[sandboxed]
fn below_sudo_root_forces_the_sandbox_after_the_caller() {
    install_nix();
    let nix = Path::new("/nix/var/nix/profiles/default/bin/nix");
    let text = fs::read_to_string(nix).unwrap().replace("sandbox = true", "sandbox = false");
    fs::write(nix, text).unwrap();
    let (done, runs) = test_nix(as_root(), &[("SUDO_UID", "1000"), ("SUDO_GID", "1000")]);
    done.prints("Nix built with it, in its sandbox (as joe, then as root in the sandbox)");
    let realised = |ids: &str| runs.iter().any(|run| run.contains(&format!("bin/nix-store] {ids}:")));
    assert!(realised("1000:1000") && realised("0:0"), "{runs:#?}");
    assert!(!runs.iter().any(|run| run.contains("] 0:0:") && run.contains("evil")), "{runs:#?}");
}

/// Promise 8 of SECURITY.md names every variable that the program can read, and no other one can be read.
#[test]
fn every_variable_that_is_read_is_documented() {
    let text = include_str!("../../../.github/SECURITY.md");
    let promise = text.split_once("8. **").unwrap().1.split_once("\n9. **").unwrap().0;
    let missing: Vec<_> = VARIABLES.iter().filter(|name| !promise.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let words = promise.split('`').skip(1).step_by(2);
    let is_name = |word: &&str| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let libraries = [
        "NO_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "TERM",
        "COLUMNS",
        "LINES",
        "CI",
        "COLORTERM",
        "LANG",
        "RUST_BACKTRACE",
        "LC_ALL",
        "O_PATH",
    ];
    let unread: Vec<_> =
        words.filter(is_name).filter(|word| !VARIABLES.contains(word) && !libraries.contains(word)).collect();
    assert!(unread.is_empty(), "{unread:?}");
}
