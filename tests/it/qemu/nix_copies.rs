//! Emulators in the Nix store, in profiles and in entries of other tools; and releases that are known to be bad.

use std::fs;
use std::os::unix::fs::{lchown, symlink};
use std::path::Path;

use crate::support::emulators::busybox;
use crate::support::output::{Done, tool, tool_path};
use crate::support::sandbox::SCRATCH;
use crate::support::table::line;
use crate::support::{LiarBehavior, Tree, liar, qemu};

use crate::binfmt::userns::{joe, memory, shown};
use crate::qemu::host_copies::not_used;

const OUTPUT: &str = "nix/store/00000000000000000000000000000000-qemu-user-static-x86_64-unknown-linux-musl-10.0.13";
const PROFILES: &str = "nix/var/nix/profiles";
const PROFILE: &str = "nix/var/nix/profiles/default/bin/qemu-aarch64";

/// A machine with multi-user Nix: the store belongs to root, is sticky, and its group may add to it.
fn store() -> Tree {
    let program = format!("{OUTPUT}/bin/qemu-aarch64");
    let tree = Tree::new().mode("nix/store", 0o1775).program(&program, fs::read(qemu("aarch64")).unwrap());
    tree.mode(&program, 0o555).mode(&format!("{OUTPUT}/bin"), 0o555).mode(OUTPUT, 0o555)
}

/// Adds the default profile, by two links as Nix makes them.
fn with_profile(tree: Tree) -> Tree {
    let links = tree.dir(PROFILES).link(&format!("{PROFILES}/default"), "default-1-link");
    links.link(&format!("{PROFILES}/default-1-link"), &format!("/tree/{OUTPUT}"))
}

#[track_caller]
fn assert_installs_from(tree: &Tree, path: &str) -> Done {
    let done = tree.run(&["register", "aarch64", "--source", "host", "--json"]).exits(0);
    assert_eq!(done.json()["systems"][0]["source"], path);
    assert!(tree.runs("aarch64"));
    done
}

#[sandboxed]
fn an_emulator_in_the_default_nix_profile_is_used() {
    let tree = with_profile(store());
    let before = tree.snapshot();
    assert_installs_from(&tree, &format!("/{PROFILE}"));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
    tree.run(&["register", "aarch64"]).exits(0);
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn an_emulator_in_a_guix_profile_is_used() {
    let output = "gnu/store/0-qemu-static/bin";
    let tree = Tree::new().program(&format!("{output}/qemu-aarch64"), fs::read(qemu("aarch64")).unwrap());
    let tree =
        tree.dir("run/current-system/profile").link("run/current-system/profile/bin", &format!("/tree/{output}"));
    assert_installs_from(&tree, "/run/current-system/profile/bin/qemu-aarch64");
}

#[sandboxed]
fn an_emulator_in_a_profile_of_root_is_used() {
    for profile in ["root/.nix-profile", "root/.local/state/nix/profile", "run/current-system/sw"] {
        let tree = store().dir(profile).without(profile).link(profile, &format!("/tree/{OUTPUT}"));
        assert_installs_from(&tree, &format!("/{profile}/bin/qemu-aarch64"));
        tree.unregister("aarch64").exits(0);
    }
}

/// A user chooses what runs as that user, and not what runs as root.
#[sandboxed]
fn the_profile_of_a_user_is_ignored_for_root() {
    let mut command = joe(&shown(Path::new(tool_path())));
    let profile = Path::new(SCRATCH).join("joe/.nix-profile");
    memory(Path::new("/usr/local/bin"));
    fs::create_dir_all(profile.join("bin")).unwrap();
    // The file belongs to root, like everything that a profile leads to, and has a name that is not searched for.
    fs::copy(qemu("aarch64"), "/usr/local/bin/emulator").unwrap();
    symlink("/usr/local/bin/emulator", profile.join("bin/qemu-aarch64")).unwrap();
    for link in [profile.clone(), profile.join("bin"), profile.join("bin/qemu-aarch64")] {
        lchown(link, Some(1000), Some(1000)).unwrap();
    }
    command.args(["run", "-s", "aarch64", "--source", "host", "--"]).arg(shown(&busybox())).args(["uname", "-m"]);
    Done::from(command.output().unwrap()).exits(0).prints("aarch64");
    let tree = Tree::new();
    let before = tree.snapshot();
    let mut root = tool(&["--root", "/tree", "register", "aarch64", "--source", "host"]);
    let done = Done::from(root.env("HOME", profile.parent().unwrap()).output().unwrap());
    done.exits(1).says("none is installed");
    before.is_unchanged_in(&tree);
}

/// The builds of every user are in the store and belong to root. The message names the file and how to use it anyway.
#[sandboxed]
fn an_emulator_only_in_the_nix_store_is_refused() {
    let path = format!("/{OUTPUT}/bin/qemu-aarch64: ");
    not_used(&store(), &format!("{path}any user who may build with Nix can add a program to the store"));
    let tree = store();
    tree.register_by("aarch64", &tree.path(&format!("{OUTPUT}/bin/qemu-aarch64")), &[]).exits(0);
}

/// Single-user Nix: the owner of the store could write anything there.
#[sandboxed]
fn a_store_of_another_user_is_refused() {
    not_used(&with_profile(store()).mode("nix/store", 0o755).owner("nix/store", 1000), "user 1000");
    not_used(&with_profile(store()).owner("nix", 1000), "user 1000");
    not_used(&store().owner("nix/store", 1000), "user 1000");
}

/// The target of the profile belongs to root, and the other user chose it.
#[sandboxed]
fn a_profile_of_another_user_is_refused() {
    let per_user = "nix/var/nix/profiles/per-user";
    let profile = format!("{per_user}/root/profile");
    let tree = store().dir(&format!("{per_user}/root")).mode(per_user, 0o1777).owner(&format!("{per_user}/root"), 1000);
    let tree = tree.link(&profile, &format!("/tree/{OUTPUT}"));
    not_used(&tree.dir("root").link("root/.nix-profile", &format!("/tree/{profile}")), "user 1000");
}

#[sandboxed]
fn a_link_of_another_user_is_refused() {
    let tree = store().link("usr/bin/qemu-aarch64", &format!("/tree/{OUTPUT}/bin/qemu-aarch64"));
    let link = tree.path("usr/bin/qemu-aarch64");
    if let Err(error) = lchown(link, Some(1000), Some(1000)) {
        crate::support::skip("users", format!("an ordinary user's namespace has one user: {error}"));
    }
    not_used(&tree, "user 1000");
}

/// Debian's -static names are links, and update-alternatives makes more of them.
#[sandboxed]
fn links_of_update_alternatives_are_followed() {
    let program = "usr/lib/qemu/qemu-aarch64";
    let tree = Tree::new().program(program, fs::read(qemu("aarch64")).unwrap());
    let tree = tree.link("usr/bin/qemu-aarch64-static", "../../etc/alternatives/qemu").dir("etc/alternatives");
    let tree = tree.link("etc/alternatives/qemu", &format!("/tree/{program}"));
    assert_installs_from(&tree, "/usr/bin/qemu-aarch64-static");
}

#[sandboxed]
fn a_circular_link_is_reported() {
    let tree = Tree::new().link("usr/bin/qemu-aarch64-static", "qemu-aarch64-static");
    not_used(&tree, "/usr/bin/qemu-aarch64-static: cannot");
}

/// A machine with an entry of a package that installs its emulators outside of the search path.
fn foreign_entry() -> Tree {
    let theirs = "usr/libexec/qemu-binfmt/aarch64-binfmt-P";
    let tree = Tree::new().mounted().program(theirs, fs::read(qemu("aarch64")).unwrap());
    let entry = line("qemu-aarch64", "aarch64", &tree.path(theirs), "P");
    tree.entry(&entry)
}

#[sandboxed]
fn source_host_uses_the_interpreter_of_a_foreign_entry() {
    let tree = foreign_entry();
    let done = tree.run(&["register", "aarch64", "--source", "host", "--force", "--json"]).exits(0).json();
    assert_eq!(done["systems"][0]["source"], "/usr/libexec/qemu-binfmt/aarch64-binfmt-P");
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn a_foreign_entry_is_not_searched_by_default() {
    let done = foreign_entry().run(&["register", "aarch64", "--force", "--dry-run", "--json"]).exits(0).json();
    assert!(done["systems"][0]["source"].as_str().unwrap().contains(".deb of Debian"));
}

#[sandboxed]
fn the_first_of_equal_releases_is_chosen() {
    let bytes = fs::read(qemu("aarch64")).unwrap();
    let tree = with_profile(store()).program("usr/local/bin/qemu-aarch64", &bytes);
    assert_installs_from(&tree, &format!("/{PROFILE}"));
    tree.unregister("aarch64").exits(0);
    let tree = tree.program("usr/bin/qemu-aarch64-static", &bytes);
    assert_installs_from(&tree, "/usr/bin/qemu-aarch64-static");
}

#[sandboxed]
fn the_choice_among_candidates_is_explained() {
    let tree = with_profile(store())
        .program("usr/bin/qemu-aarch64", liar("qemu-aarch64 version 9.2.4", LiarBehavior::Crash))
        .program("usr/bin/qemu-aarch64-static", "#!/bin/sh\n")
        .program("usr/local/bin/qemu-aarch64", fs::read(qemu("aarch64")).unwrap());
    let done = tree.run(&["register", "aarch64", "--source", "host", "--dry-run"]).exits(0);
    let profile = format!("/{PROFILE}");
    done.says(&format!("aarch64: {profile} is used: QEMU 10.0.13, the newest usable one of 4"))
        .says(&format!("/usr/bin/qemu-aarch64 is not used: it is QEMU 9.2.4, and {profile} is 10.0.13"))
        .says("/usr/bin/qemu-aarch64-static is not used: it is not an ELF program")
        .says(&format!(
            "/usr/local/bin/qemu-aarch64 is not used: it is QEMU 10.0.13, the same release as {profile}, which has priority"
        ));
}

#[sandboxed]
fn a_single_candidate_needs_no_explanation() {
    with_profile(store()).run(&["register", "aarch64", "--source", "host", "-n"]).exits(0).omits("is used:");
}

/// A machine with an emulator of another release for this system: static, and for this machine.
fn of_release(system: &str, version: &str) -> Tree {
    Tree::new().program(&format!("usr/bin/qemu-{system}"), movable(&format!("qemu-{system} version {version}")))
}

/// A program whose type says that it can be loaded at any address. It needs no particular address.
fn movable(version: &str) -> Vec<u8> {
    let mut program = liar(version, LiarBehavior::Crash);
    program[16] = 3; // ET_DYN
    program
}

#[sandboxed]
fn a_release_that_crashes_in_ldconfig_is_refused() {
    for version in ["8.2.2 (Debian 1:8.2.2+ds-0ubuntu1)", "9.1.2", "9.2.0"] {
        let number = version.split(' ').next().unwrap();
        let why = format!("QEMU {number} crashes in ldconfig");
        not_used(&of_release("aarch64", version), &why);
        not_used(&of_release("aarch64", version), "qemu-project/qemu/-/issues/1913");
    }
    let tree = of_release("riscv64", "9.1.2");
    tree.run(&["register", "riscv64", "--source", "host", "-n"]).exits(0);
}

#[sandboxed]
fn a_release_that_aborts_on_zeroed_data_is_refused() {
    not_used(&of_release("aarch64", "8.1.2"), "qemu-project/qemu/-/issues/1854");
}

#[sandboxed]
fn an_old_release_at_a_fixed_address_is_refused() {
    let version = "qemu-aarch64 version 7.2.9 (Debian 1:7.2+dfsg-7+deb12u5)";
    let fixed = Tree::new().program("usr/bin/qemu-aarch64-static", liar(version, LiarBehavior::Crash));
    not_used(&fixed, "QEMU 7.2.9 is linked at a fixed address");
    not_used(&fixed, "https://bugs.debian.org/1087822");
    of_release("aarch64", "7.2.22").run(&["register", "aarch64", "--source", "host", "-n"]).exits(0);
}

#[sandboxed]
fn a_known_bad_release_is_skipped() {
    let tree =
        of_release("aarch64", "9.2.0").program("usr/local/bin/qemu-aarch64", movable("qemu-aarch64 version 7.2.22"));
    let done = tree.run(&["register", "aarch64", "--source", "host", "-n", "--json"]).exits(0).json();
    assert_eq!(done["systems"][0]["source"], "/usr/local/bin/qemu-aarch64");
    // Without a usable emulator on the host, one is downloaded.
    let done = of_release("aarch64", "9.2.0").run(&["register", "aarch64", "-n", "--json"]).exits(0).json();
    assert!(done["systems"][0]["source"].as_str().unwrap().contains(".deb of Debian"));
}

/// A file that the user names with `--qemu` is used in spite of its release.
#[sandboxed]
fn a_known_bad_release_is_accepted_by_name() {
    let tree = of_release("aarch64", "9.2.0");
    tree.register_by("aarch64", &tree.path("usr/bin/qemu-aarch64"), &["-n"]).exits(0);
}
