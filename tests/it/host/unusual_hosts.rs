//! Hosts with restricted kernels, unusual mounts and broken file systems.

use nix::mount::{MsFlags, mount};

use crate::support::output::{Done, tool};
use crate::support::tree::{BOOT, EMULATOR, NIX_CONF, TABLE};
use crate::support::{Tree, qemu};

/// Mounts a part of the tree on itself with these flags.
fn remount(tree: Tree, path: &str, flags: MsFlags) -> Tree {
    let (real, none) = (tree.path(path), None::<&str>);
    mount(Some(&real), &real, none, MsFlags::MS_BIND | MsFlags::MS_REC, none).unwrap();
    mount(none, &real, none, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | flags, none).unwrap();
    tree
}

#[sandboxed]
fn a_read_only_table_is_reported() {
    let tree = Tree::new().mounted();
    mount(
        None::<&str>,
        &tree.path(TABLE),
        None::<&str>,
        MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY,
        None::<&str>,
    )
    .unwrap();
    let before = tree.snapshot();
    tree.register("aarch64").exits(6).says("run: mount -o remount,rw /tree/proc/sys/fs/binfmt_misc");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn a_disabled_table_is_reported() {
    let tree = Tree::new().mounted();
    tree.write_kernel("status", "0");
    let before = tree.snapshot();
    tree.register("aarch64").exits(3).says("switched off").says("echo 1 >");
    before.is_unchanged_in(&tree);
    tree.write_kernel("status", "1");
    tree.register("aarch64").exits(0);
}

#[sandboxed]
fn an_emulator_is_not_copied_to_a_noexec_mount() {
    let bin = EMULATOR.rsplit_once('/').unwrap().0;
    let tree = remount(Tree::new().dir(bin), bin, MsFlags::MS_NOEXEC);
    let before = tree.snapshot();
    let done =
        tree.register("aarch64").exits(1).says("is mounted noexec").says("/tree/usr/local/libexec/binfmt-nix/bin");
    assert_eq!(done.out, "");
    before.is_restored_in(&tree);
}

#[sandboxed]
fn register_prepares_an_image_without_a_kernel() {
    let tree = Tree::offline();
    let before = tree.snapshot();
    tree.register("aarch64").exits(0).says("no entry is registered now").prints("aarch64: registered, not proven");
    assert!(!tree.exists("proc"));
    assert!(tree.exists(EMULATOR) && tree.text(BOOT).contains(":/usr/local/libexec/binfmt-nix/bin/qemu-aarch64:PF"));
    assert!(tree.text(NIX_CONF).contains("!include"));
    let registered = tree.snapshot();
    tree.register("aarch64").exits(0).prints("already registered");
    registered.is_unchanged_in(&tree);
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn an_empty_image_is_restored() {
    let tree = Tree::on("mode=755");
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--nix"]).exits(3).says("nothing on this system reads /etc/binfmt.d at boot");
    tree.unregister("aarch64").exits(0);
    let left = tree.snapshot_of("");
    let left: Vec<_> = left.iter().map(|(path, _)| path.as_str()).filter(|path| !path.is_empty()).collect();
    assert_eq!(left, ["run"]);
    tree.remove("run");
    before.is_restored_in(&tree);
}

#[track_caller]
fn assert_read_only_reported(path: &str) {
    let tree = remount(Tree::new().dir("etc/binfmt.d").dir("var/lib/binfmt-nix"), path, MsFlags::MS_RDONLY);
    let before = tree.snapshot();
    tree.register("aarch64").exits(1).says("read-only file system").says("remount it writable");
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_read_only_binfmt_d_is_reported() {
    assert_read_only_reported("etc/binfmt.d");
}

#[sandboxed]
fn a_read_only_usr_local_is_reported() {
    assert_read_only_reported("usr/local");
}

#[sandboxed]
fn a_read_only_var_is_reported() {
    assert_read_only_reported("var");
}

#[sandboxed]
fn a_noexec_mount_is_reported() {
    let tree = remount(Tree::new(), "usr/local", MsFlags::MS_NOEXEC);
    let before = tree.snapshot();
    tree.register("aarch64").exits(1).says("usr/local");
    before.is_restored_in(&tree);
}

/// All of /etc is generated, as on NixOS. With --no-persist the other changes are possible.
#[sandboxed]
fn settings_are_printed_when_etc_is_read_only() {
    let tree = remount(Tree::new(), "etc", MsFlags::MS_RDONLY);
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--no-persist"]).exits(3).says("extra-extra-platforms = aarch64-linux");
    assert!(tree.runs("aarch64"));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_missing_run_directory_is_created() {
    let tree = Tree::new().without("run");
    tree.register("aarch64").exits(0);
    assert_eq!(tree.mode_of("run"), 0o755);
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn run_may_be_a_link_to_var() {
    let tree = Tree::new().without("run").dir("var/run").link("run", "var/run");
    let before = tree.snapshot_of("etc");
    tree.register("aarch64").exits(0);
    tree.unregister("aarch64").exits(0);
    assert_eq!(before, tree.snapshot_of("etc"));
}

#[sandboxed]
fn a_file_instead_of_a_directory_is_reported() {
    for path in ["etc/binfmt.d", "usr/local/libexec", "var/lib/binfmt-nix"] {
        let tree = Tree::new().file(path, "x");
        let before = tree.snapshot();
        let done = tree.register("aarch64").omits("panicked");
        assert!(done.err.contains(path), "{done:#?}");
        before.is_restored_in(&tree);
    }
}

/// No directory is made at the target of a dangling link.
#[sandboxed]
fn a_dangling_link_instead_of_a_directory_is_reported() {
    let tree = Tree::new().link("etc/binfmt.d", "/nowhere/binfmt.d");
    let before = tree.snapshot();
    tree.register("aarch64").exits(1).says("etc/binfmt.d");
    before.is_restored_in(&tree);
}

/// The kernel's line has delimiters, and no escape for one in a path.
#[sandboxed]
fn a_root_path_with_colon_and_space_works() {
    let root = "/tree/a b:c";
    let tree = Tree::new().dir("a b:c/proc/sys/fs/binfmt_misc").dir("a b:c/etc/nix");
    let tree = tree.dir("a b:c/usr/lib/systemd").file("a b:c/usr/lib/systemd/systemd-binfmt", "");
    let before = tree.snapshot();
    let qemu = qemu("aarch64");
    let args = ["--root", root, "register", "aarch64", "--qemu", qemu.to_str().unwrap()];
    Done::from(tool(&args).output().unwrap()).exits(0);
    assert!(tree.runs("aarch64"));
    Done::from(tool(&args).output().unwrap()).exits(0).prints("already registered");
    Done::from(tool(&["--root", root, "unregister", "all"]).output().unwrap()).exits(0);
    tree.remove("a b:c/run");
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_root_path_that_is_a_link_works() {
    std::os::unix::fs::symlink("/tree", "/scratch/link").unwrap();
    let tree = Tree::new();
    let before = tree.snapshot();
    let qemu = qemu("aarch64");
    let args = ["--root", "/scratch/link", "register", "aarch64", "--qemu", qemu.to_str().unwrap()];
    Done::from(tool(&args).output().unwrap()).exits(0);
    assert!(tree.runs("aarch64"));
    tree.register("aarch64").exits(0).prints("already registered");
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_closed_pipe_is_not_an_error() {
    let tree = Tree::new();
    for args in [&["list"][..], &["list", "--json"], &["status"], &["unregister", "all"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut tool = tool(&[&["--root", "/tree"], args].concat());
        Done::from(tool.stdout(writer).output().unwrap()).exits(0).omits("panicked");
    }
    // The registration is complete nevertheless.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let qemu = qemu("aarch64");
    let mut tool = tool(&["--root", "/tree", "register", "aarch64", "--qemu", qemu.to_str().unwrap()]);
    assert!(tool.stdout(writer.try_clone().unwrap()).stderr(writer).status().unwrap().success());
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn a_full_stdout_does_not_panic() {
    let tree = Tree::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut tool = tool(&["--root", "/tree", "status", "--json"]);
    let done = Done::from(tool.stdout(full).output().unwrap()).omits("panicked");
    drop((done, tree));
}

/// This sandbox has no network: the error is reported at once, with help, and nothing is changed.
#[sandboxed]
fn an_unreachable_mirror_is_reported() {
    let tree = Tree::new();
    let before = tree.snapshot();
    let mirror = "http://127.0.0.1:9/debian";
    let done = tree.run(&["register", "aarch64", "--source", "download", "--mirror", mirror]).exits(1);
    done.says(mirror).says("--mirror").says("--qemu");
    before.is_restored_in(&tree);
}
