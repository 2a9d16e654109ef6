//! `doctor`: entries that do not survive the next boot.

use std::fs;
use std::path::Path;
use std::process::Command;

use binfmt_nix::binfmt::boot::read_boot_rules;
use binfmt_nix::host::Host;

use crate::diagnose::doctor::reports::{finding, finds, registered_tree, repaired, run_repair};
use crate::diagnose::doctor::running_host::live;
use crate::register::conflicts::{FOREIGN_BOOT_FILE, distribution};
use crate::support::emulators::outside;
use crate::support::runs::RULE;
use crate::support::table::line;
use crate::support::tree::BOOT;
use crate::support::{Tree, qemu, skip};

#[sandboxed]
fn a_missing_boot_file_is_found_and_repaired() {
    let tree = registered_tree();
    tree.remove(BOOT);
    repaired(&tree, &["not-persistent"], "not-persistent", None, &[]);
    assert!(tree.exists(BOOT));
}

#[sandboxed]
fn a_foreign_entry_without_a_boot_file_is_found_and_repaired() {
    let tree = distribution("PF").without(FOREIGN_BOOT_FILE);
    repaired(&tree, &["not-persistent"], "not-persistent", Some("aarch64"), &[]);
}

#[sandboxed]
fn a_boot_file_without_a_reader_is_found() {
    let tree = registered_tree();
    tree.remove("usr/lib/systemd/systemd-binfmt");
    let found = finds(&tree, &["boot-reader-off"]);
    let what = finding(&found, "boot-reader-off")["what"].as_str().unwrap();
    assert!(what.contains("nothing on this system reads"), "{found:#}");
    assert!(found.to_string().contains("# after each restart"), "{found:#}");
    let tree = tree.program("usr/lib/systemd/systemd", "").dir("sbin").link("sbin/init", "/usr/lib/systemd/systemd");
    repaired(&tree, &["boot-reader-off"], "boot-reader-off", None, &[]);
    assert!(tree.exists("etc/systemd/system/binfmt-nix.service"));
}

#[sandboxed]
fn the_boot_file_of_a_rule_without_a_reader_is_found() {
    let tree = Tree::new().with_interpreter().program("usr/lib/systemd/systemd-binfmt", "");
    let tree = tree.program("usr/lib/systemd/systemd", "").dir("sbin").link("sbin/init", "/usr/lib/systemd/systemd");
    tree.run(&["register", "--rule", RULE]).exits(0);
    tree.run(&["register", "--rule", ":other:E::other::/usr/bin/interpreter:"]).exits(0);
    finds(&tree, &[]);
    tree.remove("usr/lib/systemd/systemd-binfmt");
    repaired(&tree, &["boot-reader-off"], "boot-reader-off", None, &[]);
    assert!(tree.exists("etc/systemd/system/binfmt-nix.service"));
    tree.remove("etc/systemd/system/binfmt-nix.service");
    repaired(&tree, &["boot-hook-changed"], "boot-hook-changed", None, &[]);
    assert!(tree.exists("etc/systemd/system/binfmt-nix.service"));
}

/// Type B: a kernel without `CONFIG_BINFMT_MISC_BPF` refuses the line, and others need a BPF program of this name.
#[sandboxed]
fn a_line_of_type_b_that_is_not_registered_is_found() {
    let tree = registered_tree().file("etc/binfmt.d/b.conf", ":handled:B::::my_handler:\n");
    let found = finds(&tree, &["boot-line-refused"]);
    assert!(finding(&found, "boot-line-refused")["what"].as_str().unwrap().contains(":handled:B"), "{found:#}");
    repaired(&tree, &["boot-line-refused"], "boot-line-refused", None, &[]);
}

/// Each part of the boot hook is missing once, and changed once.
#[sandboxed]
fn a_damaged_boot_hook_is_found_and_repaired() {
    let tree = Tree::new().program("sbin/init", "").dir("usr/bin");
    tree.register("aarch64").exits(0);
    finds(&tree, &[]);
    for part in ["etc/init.d/binfmt-nix", "etc/rc3.d/S99binfmt-nix", "usr/local/libexec/binfmt-nix/bin/binfmt-nix"] {
        tree.remove(part);
        let found = finds(&tree, &["boot-hook-changed"]);
        assert!(finding(&found, "boot-hook-changed")["what"].as_str().unwrap().contains(part), "{found:#}");
        assert!(tree.run(&["status", "--json"]).json()["boot"]["problem"].as_str().unwrap().contains("sysvinit"));
        repaired(&tree, &["boot-hook-changed"], "boot-hook-changed", None, &[]);
        assert!(tree.exists(part));
    }
    tree.append("etc/init.d/binfmt-nix", "# mine\n");
    finds(&tree, &["boot-hook-changed"]);
    tree.run(&["register", "aarch64"]).exits(3).says("etc/init.d/binfmt-nix is not as binfmt-nix wrote it");
    tree.unregister("all").exits(3).says("etc/init.d/binfmt-nix").says("left as it is");
    assert!(tree.text("etc/init.d/binfmt-nix").ends_with("# mine\n") && !tree.exists("etc/rc3.d/S99binfmt-nix"));
}

fn later_rule(tree: &Tree, name: &str, system: &str) -> String {
    let qemu = qemu("aarch64");
    let place = tree.path("usr/bin/another");
    fs::copy(qemu, &place).unwrap();
    format!("{}\n", line(name, system, std::path::Path::new("/usr/bin/another"), "PF"))
}

#[sandboxed]
fn a_later_file_of_a_package_is_masked() {
    let tree = registered_tree();
    let text = later_rule(&tree, "qemu-aarch64", "aarch64");
    tree.write("usr/lib/binfmt.d/zzz.conf", text);
    repaired(&tree, &["boot-file-overrides"], "boot-file-overrides", None, &[]);
    assert_eq!(fs::read_link(tree.path("etc/binfmt.d/zzz.conf")).unwrap().to_str(), Some("/dev/null"));
}

#[sandboxed]
fn a_later_file_of_the_administrator_is_moved_aside() {
    let tree = registered_tree();
    let text = later_rule(&tree, "mine", "aarch64");
    tree.write("etc/binfmt.d/zzz.conf", text);
    repaired(&tree, &["boot-file-overrides"], "boot-file-overrides", None, &[]);
    assert!(tree.exists("etc/binfmt.d/zzz.conf.off"));
}

#[sandboxed]
fn a_later_file_for_another_system_is_accepted() {
    let tree = registered_tree();
    let text = later_rule(&tree, "mine", "riscv64");
    tree.write("etc/binfmt.d/zzz.conf", text);
    finds(&tree, &[]);
}

/// At the next boot the kernel refuses a rule with flag F whose interpreter is missing.
#[sandboxed]
fn a_later_file_without_its_interpreter_does_not_override() {
    let tree = registered_tree();
    tree.write("etc/binfmt.d/zzz.conf", line("mine", "aarch64", std::path::Path::new("/usr/bin/gone"), "PF"));
    repaired(&tree, &["boot-line-refused"], "boot-line-refused", None, &[]);
}

/// Lines that people write into binfmt.d. Each line is accepted or refused as by the real systemd-binfmt on a real table.
#[sandboxed]
fn lines_are_refused_as_by_systemd_binfmt() {
    let reader = Path::new("/usr/lib/systemd/systemd-binfmt");
    if !reader.exists() {
        skip("systemd", "there is no systemd-binfmt");
    }
    live();
    outside("good", b"x");
    fs::write("/scratch/plain", "").unwrap();
    let lines = [
        "# comment",
        "; comment",
        "",
        ":ok:E::okx::/bin/sh:",
        "  :lead:E::ld::/bin/sh:P  ",
        ",comma,E,,cm,,/bin/sh,F",
        r":onefield:M::\x7fELF\x02\x01\x01:\xff\xff\xff\xff\xff\xff\xff/usr/bin/qemu-arm-static:",
        ":short:M::ab:/bin/sh",
        r":masklong:M::\x7fELF:\xff\xff\xff:/bin/sh:",
        r":hex:M::\x7:\xff:/bin/sh:",
        ":unended:E::un::/bin/sh",
        ":flag:E::fl::/bin/sh:X",
        ":offset:M:300:abcd::/bin/sh:",
        ":bad name/x:E::z::/bin/sh:",
        ":register:E::z::/bin/sh:",
        ":type:Q::z::/bin/sh:",
        "garbage",
        "update-binfmts --install x /bin/sh --magic y",
        ":nofile:E::nf::/nowhere/x:F",
        ":noexec:E::ne::/scratch/plain:F",
        ":exec:E::ex::/scratch/good:F",
        ":nofilelater:E::nl::/nowhere/x:",
    ];
    let tree = Tree::new().file("etc/binfmt.d/x.conf", lines.join("\n"));
    let file = tree.path("etc/binfmt.d/x.conf");
    let output = Command::new(reader).arg(&file).env_clear().output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let number =
        |line: &str| line.strip_prefix(&format!("{}:", file.display()))?.split(':').next()?.parse::<usize>().ok();
    let by_systemd: Vec<usize> = said.lines().filter_map(number).collect();
    assert!(by_systemd.len() > 10, "{said}");
    let boot = read_boot_rules(&Host::new(&tree.path("")).unwrap(), |_| false).unwrap();
    let by_us: Vec<usize> = boot.refused.iter().map(|line| line.number).collect();
    assert_eq!(by_us, by_systemd, "{said} {:#?}", boot.refused);
    let registered = fs::read_dir(crate::diagnose::doctor::running_host::TABLE).unwrap().count() - 2;
    assert_eq!(boot.accepted_rules().count(), registered);
}

/// A file in the format of update-binfmts, as packages have it in /usr/share/binfmts.
#[sandboxed]
fn a_file_in_debians_format_is_one_finding() {
    let text =
        "package qemu-user-static\ninterpreter /usr/bin/qemu-arm-static\nmagic \\x7f\\x45\\x4c\\x46\nmask \\xff\n";
    let tree = Tree::new().file("etc/binfmt.d/qemu-arm.conf", text).file("usr/lib/binfmt.d/jar.conf", "package jar\n");
    let found = finds(&tree, &["boot-line-refused", "boot-line-refused"]);
    assert!(found.to_string().contains("the format of update-binfmts"), "{found:#}");
    for finding in found["findings"].as_array().unwrap() {
        run_repair(&tree, finding, None);
    }
    finds(&tree, &[]);
    assert!(tree.exists("etc/binfmt.d/qemu-arm.conf.off"));
}

#[sandboxed]
fn a_refused_line_is_found_with_its_place_and_repaired() {
    for (file, after) in
        [("etc/binfmt.d/x.conf", "etc/binfmt.d/x.conf"), ("usr/lib/binfmt.d/x.conf", "etc/binfmt.d/x.conf")]
    {
        let text = ":good:E::good::/bin/sh:\n:onefield:M::ab:cd/bin/x:\n:gone:E::gone::/nowhere/qemu-x:F\n";
        let tree = Tree::new().file(file, text);
        let found = finds(&tree, &["boot-line-refused", "boot-line-refused"]);
        let whats: Vec<_> =
            found["findings"].as_array().unwrap().iter().map(|one| one["what"].as_str().unwrap()).collect();
        assert!(whats[0].starts_with(&format!("line 2 of /{file} is refused at boot: :onefield")), "{found:#}");
        assert!(whats[1].starts_with(&format!("line 3 of /{file} is refused at boot: :gone")), "{found:#}");
        assert!(found.to_string().contains("/nowhere/qemu-x has to exist"), "{found:#}");
        run_repair(&tree, &found["findings"][0], None);
        let found = finds(&tree, &["boot-line-refused"]);
        run_repair(&tree, &found["findings"][0], None);
        finds(&tree, &[]);
        assert_eq!(tree.text(after).lines().filter(|line| line.starts_with('#')).count(), 2);
        assert_eq!(tree.text(after).lines().next(), text.lines().next());
        tree.discard();
    }
}

#[sandboxed]
fn two_rules_with_one_name_are_found_and_repaired() {
    let rule = |ext: &str| format!("# a rule\n:mine:E::{ext}::/bin/sh:\n");
    for (earlier, later) in
        [("etc/binfmt.d/a.conf", "etc/binfmt.d/b.conf"), ("usr/lib/binfmt.d/a.conf", "etc/binfmt.d/b.conf")]
    {
        let tree = Tree::new().file(earlier, rule("one")).file(later, rule("two"));
        let found = finds(&tree, &["boot-name-twice"]);
        let what = finding(&found, "boot-name-twice")["what"].as_str().unwrap();
        assert!(what.contains(&format!("line 2 of /{earlier} and line 2 of /{later}")), "{what}");
        repaired(&tree, &["boot-name-twice"], "boot-name-twice", None, &[]);
        // The same rule twice does no harm, and a file in /etc hides the one of a package.
        tree.write(earlier, rule("two"));
        tree.write("etc/binfmt.d/a.conf", rule("two"));
        finds(&tree, &[]);
        tree.discard();
    }
}

/// Forms of a reader that will not be started. For the masks, the real systemctl agrees.
#[sandboxed]
fn a_reader_that_will_not_be_started_is_found_and_repaired() {
    const UNITS: &str = "usr/lib/systemd/system";
    const UNIT: &str = "etc/systemd/system/systemd-binfmt.service";
    let wants = format!("{UNITS}/sysinit.target.wants");
    let complete = || {
        let tree = registered_tree().file(&format!("{UNITS}/systemd-binfmt.service"), "[Service]\nExecStart=/x\n");
        tree.dir(&wants).link(&format!("{wants}/systemd-binfmt.service"), "../systemd-binfmt.service")
    };
    let tree = complete();
    finds(&tree, &[]);
    tree.discard();
    let drop_in = "etc/systemd/system/systemd-binfmt.service.d/off.conf";
    for (what, make) in [
        (
            "masked by /etc/systemd/system",
            &(|tree: Tree| tree.dir("etc/systemd/system").link(UNIT, "/dev/null")) as &dyn Fn(Tree) -> Tree,
        ),
        ("masked by /etc/systemd/system", &|tree| tree.file(UNIT, "")),
        ("masked by /run/systemd/system", &|tree| {
            tree.dir("run/systemd/system").link("run/systemd/system/systemd-binfmt.service", "/dev/null")
        }),
        ("sysinit.target.wants is missing", &|tree| tree.without(&format!("{wants}/systemd-binfmt.service"))),
        ("line 2 of /etc/systemd", &|tree| tree.file(drop_in, "[Service]\nExecStart=\n")),
        ("line 2 of /etc/systemd", &|tree| tree.file(drop_in, "[Service]\nExecStart=\nExecStart=/bin/true\n")),
        ("ConditionPathExists=/nowhere", &|tree| tree.file(drop_in, "[Unit]\nConditionPathExists=/nowhere\n")),
    ] {
        let tree = make(complete());
        let found = finds(&tree, &["boot-reader-off"]);
        let text = finding(&found, "boot-reader-off")["what"].as_str().unwrap();
        assert!(text.contains(what), "{what}: {text}");
        if text.contains("masked") && Path::new("/usr/bin/systemctl").exists() {
            let output = Command::new("/usr/bin/systemctl")
                .args(["--root=/tree", "is-enabled", "systemd-binfmt.service"])
                .output();
            let said = String::from_utf8_lossy(&output.unwrap().stdout).into_owned();
            assert!(said.starts_with("masked"), "{what}: {said}");
        }
        repaired(&tree, &["boot-reader-off"], "boot-reader-off", None, &[]);
        tree.discard();
    }
    // These drop-ins change nothing about that.
    for text in [
        "[Service]\nExecStart=\nExecStart=/usr/lib/systemd/systemd-binfmt\n",
        "[Unit]\nConditionPathExists=/etc\n",
        "[Unit]\nAfter=x\n",
    ] {
        let tree = complete().file(drop_in, text);
        finds(&tree, &[]);
        tree.discard();
    }
    let tree = complete().file(UNIT, "");
    tree.unregister("all").exits(0);
    finds(&tree, &[]);
    tree.register("aarch64")
        .exits(0)
        .says("is masked by /etc/systemd/system")
        .says("/etc/systemd/system/binfmt-nix.service will start");
    finds(&tree, &[]);
    tree.discard();
    // OpenRC, without systemd.
    let tree = registered_tree().without("usr/lib/systemd").file("etc/init.d/binfmt", "#!/sbin/openrc-run\n");
    repaired(&tree, &["boot-reader-off"], "boot-reader-off", None, &[]);
    assert!(tree.exists("etc/runlevels/boot/binfmt"));
}

#[sandboxed]
fn a_sysctl_that_switches_entries_off_is_found_and_repaired() {
    for (file, text) in [
        ("etc/sysctl.d/99-x.conf", "# mine\nfs.binfmt_misc.status = 0\n"),
        ("usr/lib/sysctl.d/50-x.conf", "vm.swappiness = 1\n-fs/binfmt_misc/status=-1\n"),
        ("etc/sysctl.conf", "\nfs.binfmt_misc.qemu-aarch64=0\n"),
        ("etc/sysctl.d/99-x.conf", "vm.swappiness = 1\nfs.binfmt_misc.* = 0\n"),
        ("etc/sysctl.d/99-x.conf", "fs.binfmt_misc.qemu-* = 1\nfs/binfmt_misc/[!r]emu-aarch?? = 0\n"),
    ] {
        let tree = registered_tree().file(file, text);
        let found = finds(&tree, &["boot-switched-off"]);
        let what = finding(&found, "boot-switched-off")["what"].as_str().unwrap();
        assert!(what.contains(&format!("line 2 of /{file}")), "{what}");
        repaired(&tree, &["boot-switched-off"], "boot-switched-off", None, &[]);
        tree.discard();
    }
    // The last line decides, and other entries do not matter.
    let tree = registered_tree().file("etc/sysctl.d/1.conf", "fs.binfmt_misc.status=0\nfs.binfmt_misc.other=0\n");
    let tree = tree.file("etc/sysctl.d/2.conf", "fs.binfmt_misc.status = 1\n");
    finds(&tree, &[]);
    tree.write("etc/sysctl.d/3.conf", "fs.binfmt_misc.status = 0\n");
    tree.unregister("all").exits(0);
    tree.register("aarch64").exits(0).says("line 1 of /etc/sysctl.d/3.conf switches all entries off at boot");
    tree.discard();
    // A line for one name counts more than a pattern.
    let text =
        "fs.binfmt_misc.status = 1\n-fs.binfmt_misc.qemu-aarch64\nfs.binfmt_misc.* = 0\nfs.binfmt_misc.*.x = 0\n";
    let tree = registered_tree().file("etc/sysctl.d/1.conf", text);
    finds(&tree, &[]);
    tree.discard();
    let tree = Tree::new().file("etc/sysctl.d/1.conf", "fs.binfmt_misc.qemu-a* = 0\n");
    tree.register("aarch64")
        .exits(0)
        .says("line 1 of /etc/sysctl.d/1.conf switches the entry qemu-aarch64 off at boot");
    tree.discard();
    // A setting for the entry that is registered now.
    let text = "fs.binfmt_misc.other=0\nfs.binfmt_misc.qemu-aarch64 = 0\n";
    let tree = Tree::new().file("etc/sysctl.d/1 x.conf", text);
    let done = tree.register("aarch64").exits(0).omits("the entry other");
    done.says("line 2 of /etc/sysctl.d/1 x.conf switches the entry qemu-aarch64 off at boot").says("binfmt-nix doctor");
}

/// `register` reports in the same run what the doctor would find about its boot file.
#[sandboxed]
fn register_reports_what_is_wrong_with_the_boot() {
    let tree = Tree::new();
    let theirs = later_rule(&tree, "theirs", "aarch64");
    let tree = tree.file("etc/binfmt.d/zzz.conf", theirs).file("etc/binfmt.d/a.conf", "garbage\nmore\n");
    let done = tree.register("aarch64").exits(0);
    let done = done.says("/etc/binfmt.d/zzz.conf is read after").says("2 lines of binfmt.d will be refused at boot");
    done.says("line 1 of /etc/binfmt.d/a.conf").says("binfmt-nix doctor");
    tree.run(&["register", "aarch64"]).exits(0).omits("refused");
}
