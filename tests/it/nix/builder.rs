//! `nix-conf --builder`: lines for this host in the machines files of other hosts.

use crate::support::Tree;

/// The fields of the lines; checks that each line has as many as Nix reads.
fn lines(out: &str) -> Vec<Vec<&str>> {
    let lines: Vec<Vec<_>> = out.lines().map(|line| line.split(' ').collect()).collect();
    assert!(lines.iter().all(|words| words.len() == 8), "{out}");
    lines
}

#[sandboxed]
fn registered_systems_have_a_line_of_their_own() {
    let tree = Tree::new();
    let alone = tree.run(&["nix-conf", "--builder", "nix@build"]).exits(0).says("nothing is emulated here");
    assert_eq!(lines(&alone.out).len(), 1);
    tree.register("aarch64").exits(0);
    let before = tree.snapshot();
    let done = tree.run(&["nix-conf", "--builder", "nix@build"]).exits(0).omits("nothing is emulated");
    before.is_untouched_in(&tree);
    let [native, emulated] = lines(&done.out).try_into().unwrap();
    assert_eq!((native[0], emulated[0]), ("ssh-ng://nix@build", "ssh-ng://nix@build"));
    assert!(native[1].split(',').next().unwrap().ends_with("-linux") && !native[1].contains("aarch64"), "{native:?}");
    assert_eq!(emulated[1], "aarch64-linux");
    assert_eq!(native[3], emulated[3]);
    assert!(emulated[4].parse::<u32>().unwrap() < native[4].parse().unwrap());
    assert!(native[5].contains("nixos-test"));
    assert_eq!(emulated[5], "big-parallel");
}

#[sandboxed]
fn a_disabled_system_is_omitted() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.write_kernel("qemu-aarch64", "0");
    let done = tree.run(&["nix-conf", "--builder", "build"]).exits(0).says("so it is left out");
    assert_eq!(lines(&done.out).len(), 1);
}

#[sandboxed]
fn named_systems_are_printed_without_a_registration() {
    let tree = Tree::new();
    let done = tree.run(&["nix-conf", "--builder", "unix:///run/s", "riscv64", "arm"]).exits(0);
    let done = done.says("riscv64 is not registered on this host yet");
    let emulated = &lines(&done.out)[1];
    assert_eq!(emulated[0], "unix:///run/s");
    assert_eq!((emulated[1], emulated[5]), ("riscv64-linux", "big-parallel"), "{emulated:?}");
    // Each line has only the features of its systems.
    let arm: Vec<_> = lines(&done.out)[2..].iter().map(|words| (words[1], words[5])).collect();
    let expected = [
        ("armv7l-linux,armv7a-linux", "big-parallel,gccarch-armv7-a"),
        ("armv6l-linux", "big-parallel,gccarch-armv6kz"),
        ("armv5tel-linux", "big-parallel,gccarch-armv5te"),
    ];
    assert_eq!(arm, expected);
    assert!(!lines(&done.out)[0][5].contains("gccarch-armv"));
    tree.run(&["nix-conf", "--builder", "build", "x86_64"]).exits(2).says("without an emulator");
    let all = tree.run(&["nix-conf", "--builder", "build", "all"]).exits(0);
    assert!(!lines(&all.out)[1][1].contains("x86_64-linux") && lines(&all.out)[1][1].contains("s390x-linux"));
}

#[sandboxed]
fn the_host_key_is_read_from_etc_ssh() {
    let tree = Tree::new().file("etc/ssh/ssh_host_rsa_key.pub", "ssh-rsa AAAA root@build\n");
    let done = tree.run(&["nix-conf", "--builder", "build"]).exits(0).omits("host key");
    assert_eq!(lines(&done.out)[0][7], "c3NoLXJzYSBBQUFBIHJvb3RAYnVpbGQ=");
    let tree = tree.file("etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAA root@build\n");
    let done = tree.run(&["nix-conf", "--builder", "build"]).exits(0);
    assert_eq!(lines(&done.out)[0][7], "c3NoLWVkMjU1MTkgQUFBQSByb290QGJ1aWxk");
}

#[sandboxed]
fn json_lists_the_machines() {
    let tree = Tree::new();
    let json = tree.run(&["--json", "nix-conf", "--builder", "build", "riscv64"]).exits(0).json();
    let emulated = &json["machines"][1];
    assert_eq!((&json["version"], &emulated["uri"]), (&1.into(), &"ssh-ng://build".into()), "{json:#}");
    assert_eq!(emulated["systems"], serde_json::json!(["riscv64-linux"]));
    assert_eq!(emulated["features"], serde_json::json!(["big-parallel"]));
    assert_eq!((&emulated["emulated"], &json["machines"][0]["emulated"]), (&true.into(), &false.into()));
}
