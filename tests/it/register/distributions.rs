//! Golden plans: the changes that `register` makes on each distribution and with each kind of Nix, from the files that
//! distinguish them. The field `unseen` says what was not seen on the real machine. `tests/machines` boots real ones.

use nix::mount::{MsFlags, mount};

use crate::register::boot_hook::{register, steps};
use crate::support::Tree;
use crate::support::tree::TABLE;

struct Machine {
    name: &'static str,
    /// What is only known from documentation or packages.
    unseen: &'static str,
    make: fn() -> Tree,
    /// Directories that are created.
    dirs: &'static [&'static str],
    /// All other changes, without those that every machine has (see [`COMMON`]).
    steps: &'static [&'static str],
    /// Exit status of `register`.
    status: i32,
}

const USUAL: Machine = Machine {
    name: "",
    unseen: "",
    make: bare,
    dirs: &[
        "/usr/local/libexec/",
        "/usr/local/libexec/binfmt-nix/",
        "/usr/local/libexec/binfmt-nix/bin/",
        "/etc/binfmt.d/",
    ],
    steps: &[],
    status: 0,
};

/// Changes of the settings of Nix.
const NIX: &[&str] = &[
    "write /etc/nix/binfmt-nix.conf",
    "edit /etc/nix/nix.conf: add \"!include binfmt-nix.conf\"",
    "restart nix-daemon, if it is running",
];

const MACHINES: &[Machine] = &[
    Machine {
        name: "Fedora Workstation",
        unseen: "the loaded policy of SELinux; the path's type was looked up in Fedora's file contexts only",
        make: || merged(os("fedora")).file("etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=targeted\n"),
        ..USUAL
    },
    Machine {
        name: "Fedora Silverblue",
        unseen: "a boot of rpm-ostree's deployment; tests/machines has the layout on Debian",
        make: || {
            let tree = merged(os("fedora")).file("run/ostree-booted", "").without("usr/local").dir("var/usrlocal");
            read_only(tree.link("usr/local", "../var/usrlocal"), &["usr"])
        },
        ..USUAL
    },
    Machine {
        name: "openSUSE MicroOS",
        unseen: "transactional-update, which replaces / by a snapshot; /usr/local, /etc and /var stay",
        make: || {
            let tree =
                merged(os("opensuse-microos")).program("usr/sbin/transactional-update", "").dir("usr/lib/binfmt.d");
            let tree = read_only(tree, &["usr"]);
            memory(tree, "usr/local")
        },
        ..USUAL
    },
    Machine {
        name: "Arch with its package of Nix",
        unseen: "pacman's hooks, which restart systemd-binfmt after upgrades of packages with files in binfmt.d",
        make: || {
            let tree = merged(os("arch")).dir("nix/store").program("usr/bin/nix", "");
            let tree = tree.file("usr/lib/systemd/system/nix-daemon.service", "");
            tree.nix_conf("build-users-group = nixbld\n")
        },
        steps: NIX,
        ..USUAL
    },
    Machine {
        name: "Void",
        unseen: "a boot; runit's first stage is run from its script by a test of the boot hook",
        make: || {
            let tree = bare().program("usr/bin/runit-init", "").dir("usr/sbin").file("etc/os-release", "ID=\"void\"\n");
            let tree = tree.link("sbin", "usr/bin").link("usr/bin/init", "runit-init").dir("etc/runit/core-services");
            tree.program("etc/runit/1", "for f in /etc/runit/core-services/*.sh; do\n [ -r $f ] && . $f\ndone\n")
        },
        steps: &[
            "place /usr/local/libexec/binfmt-nix/bin/binfmt-nix",
            "write /etc/runit/core-services/90-binfmt-nix.sh",
        ],
        ..USUAL
    },
    Machine {
        name: "Alpine",
        unseen: "a boot with musl and BusyBox; tests/machines boots OpenRC on Debian",
        make: || {
            let tree = bare().program("bin/busybox", "").dir("sbin").file("etc/alpine-release", "3.23.0\n");
            let tree = tree.link("sbin/init", "/bin/busybox").file("etc/inittab", "::sysinit:/sbin/openrc sysinit\n");
            tree.program("etc/init.d/binfmt", "#!/sbin/openrc-run\n")
                .dir("etc/runlevels/boot")
                .dir("etc/runlevels/default")
        },
        steps: &[
            "place /usr/local/libexec/binfmt-nix/bin/binfmt-nix",
            "write /etc/init.d/binfmt-nix",
            "link /etc/runlevels/default/binfmt-nix -> /etc/init.d/binfmt-nix",
        ],
        ..USUAL
    },
    Machine {
        name: "Ubuntu",
        unseen: "its kernel, which denies user namespaces to programs without a profile of AppArmor",
        make: || {
            let tree = merged(os("ubuntu")).dir("etc/apparmor.d").dir("etc/binfmt.d").dir("usr/local/libexec");
            tree.file("usr/lib/binfmt.d/python3.13.conf", ":python3.13:M::\\xf3\\x0d\\x0d\\x0a::/usr/bin/python3.13:\n")
        },
        dirs: &["/usr/local/libexec/binfmt-nix/", "/usr/local/libexec/binfmt-nix/bin/"],
        ..USUAL
    },
    Machine {
        name: "Guix System",
        unseen: "a boot; Guix has a service of its own, qemu-binfmt-service-type, and no /sbin/init",
        make: || {
            let tree = bare().dir("gnu/store/1-shepherd").dir("run/current-system").without("usr");
            tree.dir("usr/bin").link("etc/static", "/gnu/store/1-etc")
        },
        dirs: &[
            "/usr/local/",
            "/usr/local/libexec/",
            "/usr/local/libexec/binfmt-nix/",
            "/usr/local/libexec/binfmt-nix/bin/",
            "/etc/binfmt.d/",
        ],
        // It has no boot script, and Guix's own files are not changed.
        status: 3,
        ..USUAL
    },
    Machine {
        name: "upstream Nix, multi-user",
        unseen: "the installer; the plan is that of tests/e2e, which has a real nix-daemon",
        make: || upstream(merged(os("debian"))).nix_conf("build-users-group = nixbld\n"),
        steps: NIX,
        ..USUAL
    },
    Machine {
        name: "upstream Nix, single-user",
        unseen: "a store that belongs to a user, whose builds read /etc/nix/nix.conf as well (nix.conf(5))",
        make: || {
            let tree = merged(os("debian")).dir("nix/store").dir("nix/var/nix/profiles/per-user");
            tree.file("home/joe/.config/nix/nix.conf", "experimental-features = nix-command\n")
        },
        steps: &[
            "create /etc/nix/",
            "write /etc/nix/binfmt-nix.conf",
            "edit /etc/nix/nix.conf: add \"!include binfmt-nix.conf\"",
            "restart nix-daemon, if it is running",
        ],
        ..USUAL
    },
    Machine {
        name: "Determinate Nix",
        unseen: "determinate-nixd, which rewrites nix.conf",
        make: || {
            let tree = upstream(merged(os("debian"))).program("usr/local/bin/determinate-nixd", "");
            let tree =
                tree.nix_conf("# managed by Determinate Nix\n!include nix.custom.conf\n").dir("nix/var/determinate");
            tree.file("etc/nix/nix.custom.conf", "# written by the user\n")
        },
        steps: &[
            "write /etc/nix/binfmt-nix.conf",
            "edit /etc/nix/nix.custom.conf: add \"!include binfmt-nix.conf\"",
            "restart nix-daemon, if it is running",
        ],
        ..USUAL
    },
    Machine {
        name: "Lix",
        unseen: "Lix itself; its nix.conf and its paths are those of Nix",
        make: || {
            let tree = upstream(merged(os("debian"))).file("nix/receipt.json", "{}").program("nix/lix-installer", "");
            tree.nix_conf("build-users-group = nixbld\nextra-experimental-features = nix-command flakes\n")
        },
        steps: NIX,
        ..USUAL
    },
    Machine {
        name: "Debian's package of Nix",
        unseen: "nothing: tests/machines boots it (trixie, bookworm)",
        make: || {
            let tree = merged(os("debian")).dir("nix/store").program("usr/bin/nix", "").dir("etc/binfmt.d");
            tree.file("usr/lib/systemd/system/nix-daemon.socket", "").nix_conf("sandbox = true\n")
        },
        dirs: &["/usr/local/libexec/", "/usr/local/libexec/binfmt-nix/", "/usr/local/libexec/binfmt-nix/bin/"],
        steps: NIX,
        ..USUAL
    },
    Machine {
        name: "Nix in a snap",
        unseen: "any snap of Nix; one that has its own store and settings is not found, and Nix is not configured",
        make: || merged(os("ubuntu")).program("snap/bin/nix", "").dir("snap/nix/current/etc/nix"),
        ..USUAL
    },
];

/// The changes on every machine.
const COMMON: [&str; 5] = [
    "mount /proc/sys/fs/binfmt_misc",
    "copy ",
    "place /usr/local/libexec/binfmt-nix/bin/qemu-aarch64",
    "write /etc/binfmt.d/zz-binfmt-nix-aarch64.conf",
    "register qemu-aarch64 (flags PF)",
];

/// The directories of every distribution.
fn bare() -> Tree {
    Tree::on("mode=755").dir(TABLE).dir("usr/bin").dir("usr/local").dir("run").dir("var/lib").dir("etc")
}

/// A distribution with systemd.
fn os(id: &str) -> Tree {
    let tree = bare().file("usr/lib/os-release", format!("ID={id}\n")).link("etc/os-release", "../usr/lib/os-release");
    tree.program("usr/lib/systemd/systemd", "").program("usr/lib/systemd/systemd-binfmt", "").dir("usr/sbin")
}

/// The same, with everything below /usr.
fn merged(tree: Tree) -> Tree {
    tree.link("usr/sbin/init", "../lib/systemd/systemd").link("sbin", "usr/sbin").link("bin", "usr/bin")
}

fn upstream(tree: Tree) -> Tree {
    let tree = tree.dir("nix/store").program("nix/var/nix/profiles/default/bin/nix", "");
    tree.file("etc/systemd/system/nix-daemon.service", "")
}

fn read_only(tree: Tree, paths: &[&str]) -> Tree {
    for path in paths {
        let real = tree.path(path);
        mount(Some(&real), &real, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(None::<&str>, &real, None::<&str>, flags, None::<&str>).unwrap();
    }
    tree
}

fn memory(tree: Tree, path: &str) -> Tree {
    mount(None::<&str>, &tree.path(path), Some("tmpfs"), MsFlags::empty(), Some("mode=755")).unwrap();
    tree
}

#[sandboxed]
fn every_distribution_gets_exactly_its_plan() {
    for machine in MACHINES {
        let tree = (machine.make)();
        let before = tree.snapshot();
        let planned = register(&tree, &["--dry-run", "--json"]).json();
        before.is_untouched_in(&tree);
        let all = steps(&planned);
        let is_common = |step: &&String| COMMON.iter().any(|common| step.starts_with(common));
        assert_eq!(all.iter().filter(is_common).count(), COMMON.len(), "{}: {all:#?}", machine.name);
        let own: Vec<_> = all.iter().filter(|step| !is_common(step)).collect();
        let dirs = machine.dirs.iter().map(|dir| format!("create {dir}"));
        let expected: Vec<_> = dirs.chain(machine.steps.iter().map(ToString::to_string)).collect();
        assert_eq!(own, expected.iter().collect::<Vec<_>>(), "{}", machine.name);
        assert!(!machine.unseen.is_empty(), "{}", machine.name);
        drop(register(&tree, &[]).exits(machine.status));
        assert!(tree.runs("aarch64"), "{}", machine.name);
        tree.unregister("aarch64").exits(0);
        before.is_restored_in(&tree);
        tree.discard();
    }
}

/// NixOS generates the files that `register` would write.
#[sandboxed]
fn nixos_gets_the_lines_of_its_own_options() {
    let tree = bare().file("etc/NIXOS", "").dir("nix/store").dir("etc/static/nix").link("etc/nix", "static/nix");
    let before = tree.snapshot();
    for options in [&[][..], &["--dry-run"]] {
        let refused = register(&tree, options).exits(6);
        let refused = refused.says("boot.binfmt.emulatedSystems = [ \"aarch64-linux\" ];");
        let refused = refused.says("boot.binfmt.preferStaticEmulators = true;").says("nixos-rebuild switch");
        drop(refused.says("register aarch64 --no-persist"));
    }
    before.is_untouched_in(&tree);
    // NixOS has a rule for two of the four names of arm, and none for hexagon.
    tree.register("arm").exits(6).says("[ \"armv7l-linux\" \"armv6l-linux\" ]");
    tree.register("hexagon").exits(6).says("NixOS has no rule").omits("emulatedSystems");
    register(&tree, &["--no-persist", "--no-nix"]).exits(0);
    assert!(tree.runs("aarch64"));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}
