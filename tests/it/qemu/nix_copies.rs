//! QEMUs in the store of Nix, in profiles, in the hands of others' entries; and releases that are known to be bad.

use std::fs;
use std::os::unix::fs::{lchown, symlink};
use std::path::Path;

use crate::support::emulators::busybox;
use crate::support::output::{Done, TOOL, tool};
use crate::support::sandbox::SCRATCH;
use crate::support::table::line;
use crate::support::{Then, Tree, liar, qemu};

use crate::binfmt::userns::{joe, memory, shown};
use crate::qemu::host_copies::not_used;

const OUTPUT: &str = "nix/store/00000000000000000000000000000000-qemu-user-static-x86_64-unknown-linux-musl-10.0.13";
const PROFILES: &str = "nix/var/nix/profiles";
const PROFILE: &str = "nix/var/nix/profiles/default/bin/qemu-aarch64";

/// A machine with Nix for several users: the store is root's, sticky, and its group may add to it.
fn store() -> Tree {
    let program = format!("{OUTPUT}/bin/qemu-aarch64");
    let tree = Tree::new().mode("nix/store", 0o1775).program(&program, fs::read(qemu("aarch64")).unwrap());
    tree.mode(&program, 0o555).mode(&format!("{OUTPUT}/bin"), 0o555).mode(OUTPUT, 0o555)
}

/// Its default profile, by two links as Nix makes them.
fn with_profile(tree: Tree) -> Tree {
    let links = tree.dir(PROFILES).link(&format!("{PROFILES}/default"), "default-1-link");
    links.link(&format!("{PROFILES}/default-1-link"), &format!("/tree/{OUTPUT}"))
}

#[track_caller]
fn taken(tree: &Tree, path: &str) -> Done {
    let done = tree.run(&["register", "aarch64", "--source", "host", "--json"]).exits(0);
    assert_eq!(done.json()["systems"][0]["source"], path);
    assert!(tree.runs("aarch64"));
    done
}

#[sandboxed]
fn a_profile_leads_to_it() {
    let tree = with_profile(store());
    let before = tree.snapshot();
    taken(&tree, &format!("/{PROFILE}"));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
    tree.run(&["register", "aarch64"]).exits(0);
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn a_profile_of_guix_leads_to_it() {
    let output = "gnu/store/0-qemu-static/bin";
    let tree = Tree::new().program(&format!("{output}/qemu-aarch64"), fs::read(qemu("aarch64")).unwrap());
    let tree =
        tree.dir("run/current-system/profile").link("run/current-system/profile/bin", &format!("/tree/{output}"));
    taken(&tree, "/run/current-system/profile/bin/qemu-aarch64");
}

#[sandboxed]
fn roots_own_profile_leads_to_it() {
    for profile in ["root/.nix-profile", "root/.local/state/nix/profile", "run/current-system/sw"] {
        let tree = store().dir(profile).without(profile).link(profile, &format!("/tree/{OUTPUT}"));
        taken(&tree, &format!("/{profile}/bin/qemu-aarch64"));
        tree.unregister("aarch64").exits(0);
    }
}

/// What he runs as himself, he may choose; what root runs, he may not.
#[sandboxed]
fn a_users_own_profile_is_for_him_alone() {
    let mut command = joe(&shown(Path::new(TOOL)));
    let profile = Path::new(SCRATCH).join("joe/.nix-profile");
    memory(Path::new("/usr/local/bin"));
    fs::create_dir_all(profile.join("bin")).unwrap();
    // Root's, as all that a profile leads to, and under no name that is looked for.
    fs::copy(qemu("aarch64"), "/usr/local/bin/emulator").unwrap();
    symlink("/usr/local/bin/emulator", profile.join("bin/qemu-aarch64")).unwrap();
    for his in [profile.clone(), profile.join("bin"), profile.join("bin/qemu-aarch64")] {
        lchown(his, Some(1000), Some(1000)).unwrap();
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

/// Every user's builds land there, and are root's. It is named, and how to take it.
#[sandboxed]
fn the_store_alone_is_not_enough() {
    let path = format!("/{OUTPUT}/bin/qemu-aarch64: ");
    not_used(&store(), &format!("{path}any user who may build with Nix can add a program to the store"));
    let tree = store();
    tree.register_by("aarch64", &tree.path(&format!("{OUTPUT}/bin/qemu-aarch64")), &[]).exits(0);
}

/// Nix for a single user: he could write anything there.
#[sandboxed]
fn a_store_of_another_user() {
    not_used(&with_profile(store()).mode("nix/store", 0o755).owner("nix/store", 1000), "user 1000");
    not_used(&with_profile(store()).owner("nix", 1000), "user 1000");
    not_used(&store().owner("nix/store", 1000), "user 1000");
}

/// What he makes it lead to is root's, but he chose it.
#[sandboxed]
fn a_profile_in_the_hands_of_another_user() {
    let per_user = "nix/var/nix/profiles/per-user";
    let profile = format!("{per_user}/root/profile");
    let tree = store().dir(&format!("{per_user}/root")).mode(per_user, 0o1777).owner(&format!("{per_user}/root"), 1000);
    let tree = tree.link(&profile, &format!("/tree/{OUTPUT}"));
    not_used(&tree.dir("root").link("root/.nix-profile", &format!("/tree/{profile}")), "user 1000");
}

#[sandboxed]
fn a_link_of_another_user() {
    let tree = store().link("usr/bin/qemu-aarch64", &format!("/tree/{OUTPUT}/bin/qemu-aarch64"));
    let link = tree.path("usr/bin/qemu-aarch64");
    if let Err(error) = lchown(link, Some(1000), Some(1000)) {
        crate::support::skip("users", format!("an ordinary user's namespace has one user: {error}"));
    }
    not_used(&tree, "user 1000");
}

/// Its -static names are such, and update-alternatives makes more.
#[sandboxed]
fn a_link_of_debian_is_followed() {
    let program = "usr/lib/qemu/qemu-aarch64";
    let tree = Tree::new().program(program, fs::read(qemu("aarch64")).unwrap());
    let tree = tree.link("usr/bin/qemu-aarch64-static", "../../etc/alternatives/qemu").dir("etc/alternatives");
    let tree = tree.link("etc/alternatives/qemu", &format!("/tree/{program}"));
    taken(&tree, "/usr/bin/qemu-aarch64-static");
}

#[sandboxed]
fn a_link_in_a_circle_is_told() {
    let tree = Tree::new().link("usr/bin/qemu-aarch64-static", "qemu-aarch64-static");
    not_used(&tree, "/usr/bin/qemu-aarch64-static: cannot");
}

/// The entry of a package that keeps its emulators elsewhere.
fn others() -> Tree {
    let theirs = "usr/libexec/qemu-binfmt/aarch64-binfmt-P";
    let tree = Tree::new().mounted().program(theirs, fs::read(qemu("aarch64")).unwrap());
    let entry = line("qemu-aarch64", "aarch64", &tree.path(theirs), "P");
    tree.entry(&entry)
}

#[sandboxed]
fn the_interpreter_of_an_entry_of_others() {
    let tree = others();
    let done = tree.run(&["register", "aarch64", "--source", "host", "--force", "--json"]).exits(0).json();
    assert_eq!(done["systems"][0]["source"], "/usr/libexec/qemu-binfmt/aarch64-binfmt-P");
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn an_entry_of_others_is_no_place_unasked() {
    let done = others().run(&["register", "aarch64", "--force", "--dry-run", "--json"]).exits(0).json();
    assert!(done["systems"][0]["source"].as_str().unwrap().contains(".deb of Debian"));
}

#[sandboxed]
fn of_equals_the_first_is_taken() {
    let bytes = fs::read(qemu("aarch64")).unwrap();
    let tree = with_profile(store()).program("usr/local/bin/qemu-aarch64", &bytes);
    taken(&tree, &format!("/{PROFILE}"));
    tree.unregister("aarch64").exits(0);
    let tree = tree.program("usr/bin/qemu-aarch64-static", &bytes);
    taken(&tree, "/usr/bin/qemu-aarch64-static");
}

#[sandboxed]
fn the_reasons_are_told() {
    let tree = with_profile(store())
        .program("usr/bin/qemu-aarch64", liar("qemu-aarch64 version 9.2.4", Then::Crash))
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
fn there_is_no_choice_and_no_reason() {
    with_profile(store()).run(&["register", "aarch64", "--source", "host", "-n"]).exits(0).omits("is used:");
}

/// The emulator of a system, of another release; static, and for this machine.
fn of_release(system: &str, version: &str) -> Tree {
    Tree::new().program(&format!("usr/bin/qemu-{system}"), movable(&format!("qemu-{system} version {version}")))
}

/// Such as says that it may be loaded anywhere, which is no lie: it asks for no address.
fn movable(version: &str) -> Vec<u8> {
    let mut program = liar(version, Then::Crash);
    program[16] = 3; // ET_DYN
    program
}

#[sandboxed]
fn a_release_that_crashes_in_ldconfig() {
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
fn a_release_that_aborts_on_zeroed_data() {
    not_used(&of_release("aarch64", "8.1.2"), "qemu-project/qemu/-/issues/1854");
}

#[sandboxed]
fn an_old_release_at_a_fixed_address() {
    let version = "qemu-aarch64 version 7.2.9 (Debian 1:7.2+dfsg-7+deb12u5)";
    let fixed = Tree::new().program("usr/bin/qemu-aarch64-static", liar(version, Then::Crash));
    not_used(&fixed, "QEMU 7.2.9 is linked at a fixed address");
    not_used(&fixed, "https://bugs.debian.org/1087822");
    of_release("aarch64", "7.2.22").run(&["register", "aarch64", "--source", "host", "-n"]).exits(0);
}

#[sandboxed]
fn a_bad_release_is_passed_over() {
    let tree =
        of_release("aarch64", "9.2.0").program("usr/local/bin/qemu-aarch64", movable("qemu-aarch64 version 7.2.22"));
    let done = tree.run(&["register", "aarch64", "--source", "host", "-n", "--json"]).exits(0).json();
    assert_eq!(done["systems"][0]["source"], "/usr/local/bin/qemu-aarch64");
    // Where none is left, one is downloaded.
    let done = of_release("aarch64", "9.2.0").run(&["register", "aarch64", "-n", "--json"]).exits(0).json();
    assert!(done["systems"][0]["source"].as_str().unwrap().contains(".deb of Debian"));
}

/// Who names it vouches for it.
#[sandboxed]
fn a_bad_release_may_be_named() {
    let tree = of_release("aarch64", "9.2.0");
    tree.register_by("aarch64", &tree.path("usr/bin/qemu-aarch64"), &["-n"]).exits(0);
}
