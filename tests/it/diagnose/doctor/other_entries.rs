//! `doctor`, `status` and `explain`: entries that run no system's programs, and entries that take a setuid program.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use crate::diagnose::doctor::reports::{finding, finds, registered_tree, repaired};
use crate::support::emulators::{outside, spy};
use crate::support::sandbox::{SCRATCH, itself, with_all_users};
use crate::support::table::line;
use crate::support::{Tree, qemu, skip};

/// Rules of packages, with their real magic: python3.11, llvm-14-runtime (Debian 12), jarwrapper and wine (Debian), and
/// the first bytes of WebAssembly.
const RULES: [(&str, &str); 5] = [
    ("python3.11", r"M::\xa7\x0d\x0d\x0a:"),
    ("llvm-14-runtime.binfmt", "M::BC:"),
    ("jar", "E::jar:"),
    ("wine", "M::MZ:"),
    ("wasm", r"M::\x00asm:"),
];

fn rule(name: &str, interpreter: &Path, flags: &str) -> String {
    let (_, takes) = RULES.iter().find(|(known, _)| *known == name).unwrap();
    format!(":{name}:{takes}:{}:{flags}", interpreter.display())
}

/// A machine with an interpreter that only root can change.
fn machine() -> (Tree, std::path::PathBuf) {
    let tree = Tree::without_nix().mounted().program("usr/bin/interpreter", fs::read("/bin/true").unwrap());
    let path = tree.path("usr/bin/interpreter");
    (tree, path)
}

#[sandboxed]
fn interpreters_of_other_files_are_examined_and_repaired() {
    for (name, _) in RULES {
        for (id, flags) in [
            ("", ""),
            ("other-interpreter-missing", ""),
            ("other-interpreter-not-executable", ""),
            ("other-interpreter-writable", ""),
            ("other-interpreter-unfit", ""),
            ("other-interpreter-dynamic", "F"),
        ] {
            let (tree, interpreter) = machine();
            tree.enter(&rule(name, &interpreter, flags));
            match id {
                "other-interpreter-missing" => fs::remove_file(&interpreter).unwrap(),
                "other-interpreter-not-executable" => {
                    fs::set_permissions(&interpreter, fs::Permissions::from_mode(0o644)).unwrap();
                }
                "other-interpreter-unfit" => fs::write(&interpreter, "#!/no/such/shell\n").unwrap(),
                "other-interpreter-writable" => {
                    fs::set_permissions(&interpreter, fs::Permissions::from_mode(0o757)).unwrap();
                }
                _ => {}
            }
            if id.is_empty() {
                finds(&tree, &[]);
            } else {
                let before = fs::metadata(&interpreter).ok().map(|meta| (meta.mode(), meta.uid()));
                let found = finds(&tree, &[id]);
                assert!(
                    finding(&found, id)["what"].as_str().unwrap().contains(&format!("the entry {name} (")),
                    "{found:#}"
                );
                repaired(&tree, &[id], id, None, &[]);
                // The owner and the mode of another tool's file are not changed.
                assert_eq!(fs::metadata(&interpreter).ok().map(|meta| (meta.mode(), meta.uid())), before);
            }
            tree.discard();
        }
    }
}

/// The boot file would register the entry again.
#[sandboxed]
fn the_boot_rule_of_an_entry_is_switched_off_as_well() {
    let (tree, interpreter) = machine();
    let line = rule("jar", &interpreter, "");
    tree.enter(&line);
    let tree = tree.file("usr/lib/binfmt.d/jar.conf", format!("# a package's\n{line}\n"));
    fs::remove_file(&interpreter).unwrap();
    repaired(&tree, &["other-interpreter-missing"], "other-interpreter-missing", None, &[]);
    assert_eq!(tree.text("etc/binfmt.d/jar.conf"), format!("# a package's\n# {line}\n"));
    // An entry that is off does no harm.
    assert!(tree.text("proc/sys/fs/binfmt_misc/jar").starts_with("disabled"));
}

/// A setuid program of this machine in `usr/bin` of a tree.
fn with_setuid(tree: Tree) -> Tree {
    // The rule for it does not match the interpreter.
    let interpreter = binfmt_magic::Arch::find("x86_64").unwrap().probe().unwrap();
    let tree = tree.program("usr/bin/interpreter", interpreter);
    tree.program("usr/bin/su", fs::read("/bin/true").unwrap()).mode("usr/bin/su", 0o4755)
}

/// A rule for the first bytes of one program: 128 of them, which the headers of another program do not share.
fn narrow_rule(name: &str, program: &Path, interpreter: &Path, flags: &str) -> String {
    let bytes = fs::read(program).unwrap();
    let head = bytes[..128].iter().map(|byte| format!(r"\x{byte:02x}")).collect::<Vec<_>>().concat();
    format!(":{name}:M::{head}::{}:{flags}", interpreter.display())
}

#[sandboxed]
fn an_entry_that_takes_a_setuid_program_is_found_and_repaired() {
    if !cfg!(target_arch = "x86_64") {
        skip("qemu", "the interpreter of this test is for x86_64");
    }
    for (flags, why, enabled) in
        [("C", "a known way to keep root", true), ("C", "a known way", false), ("", "instead of", true)]
    {
        let (tree, interpreter) = machine();
        let tree = with_setuid(tree);
        finds(&tree, &[]);
        tree.enter(&narrow_rule("update", &tree.path("usr/bin/su"), &interpreter, flags));
        if !enabled {
            tree.write_kernel("update", "0");
        }
        let found = finds(&tree, &["setuid-program-taken"]);
        let one = finding(&found, "setuid-program-taken");
        assert!(
            one["why"].as_str().unwrap().contains(why) && one["what"].as_str().unwrap().contains("/usr/bin/su"),
            "{one:#}"
        );
        assert_eq!(found["findings"][0]["urgency"], "danger");
        repaired(&tree, &["setuid-program-taken"], "setuid-program-taken", None, &[]);
        tree.discard();
    }
    // By its extension.
    let (tree, interpreter) = machine();
    let tree = tree.program("usr/sbin/mount.nfs", "x").mode("usr/sbin/mount.nfs", 0o4755);
    tree.enter(&format!(":nfs:E::nfs::{}:C", interpreter.display()));
    repaired(&tree, &["setuid-program-taken"], "setuid-program-taken", None, &[]);
    tree.discard();
    // A program of another system is taken by that system's entry.
    let tree = registered_tree();
    let probe = binfmt_magic::Arch::find("aarch64").unwrap().probe().unwrap();
    let tree = tree.program("usr/bin/foreign", probe).mode("usr/bin/foreign", 0o4755);
    finds(&tree, &[]);
}

/// What the finding says is true on the running kernel: with C, any user runs the interpreter as root.
#[sandboxed]
fn flag_c_on_a_setuid_program_gives_root_to_every_user() {
    with_all_users();
    crate::diagnose::doctor::running_host::live();
    fs::set_permissions(SCRATCH, fs::Permissions::from_mode(0o777)).unwrap();
    let program = outside("setuid", &fs::read("/bin/true").unwrap());
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    for (name, flags, owner) in [("with", "C", 0), ("without", "", 65534)] {
        let marker = Path::new(SCRATCH).join(name);
        let interpreter = outside(&format!("interpreter-{name}"), &spy(&marker, "x", "y"));
        let table = Path::new(crate::diagnose::doctor::running_host::TABLE);
        fs::write(table.join("register"), narrow_rule(name, &program, &interpreter, flags)).unwrap();
        let output = itself("stranger").unwrap().arg(&program).env("PATH", "/usr/bin:/bin").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(fs::metadata(&marker).unwrap().uid(), owner, "flags {flags:?}");
        fs::write(table.join(name), "-1").unwrap();
    }
}

/// `status` lists the entries shortly, and one by one on request. `explain` refers to that.
#[sandboxed]
fn status_lists_other_entries() {
    crate::binfmt::userns::usual_proc();
    let (tree, interpreter) = machine();
    tree.run(&["status"]).exits(0).omits("other entries");
    for (name, _) in RULES {
        tree.enter(&rule(name, &interpreter, ""));
    }
    tree.write_kernel("wine", "0");
    let done = tree.run(&["status"]).exits(0);
    done.prints("other entries: wasm wine (off) jar llvm-14-runtime.binfmt python3.11\n");
    let done = tree.run(&["status", "-v"]).exits(0);
    let done = done.prints(&format!("other entry wine, which is off: {}", interpreter.display()));
    done.prints("takes files named *.jar").prints("takes files that begin with a70d0d0a");
    let status = tree.run(&["status", "--json"]).exits(0).json();
    let others = status["other_entries"].as_array().unwrap();
    assert_eq!(others.len(), RULES.len(), "{status:#}");
    assert_eq!((&others[1]["name"], &others[1]["enabled"]), (&"wine".into(), &false.into()));
    for number in 0..30 {
        tree.enter(&format!(":entry{number}:E::x{number}::/bin/sh:"));
    }
    let done = tree.run(&["status"]).exits(0).prints(" more\n");
    let line = done.out.lines().find(|line| line.starts_with("other entries: ")).unwrap();
    assert!(line.chars().count() <= 80, "{done:#?}");
}

/// Each entry is in the table of systems or among the others: also one that is off, that another one precedes, or that takes
/// the machine's own programs.
#[sandboxed]
fn status_lists_every_entry() {
    crate::binfmt::userns::usual_proc();
    let (tree, interpreter) = machine();
    drop(tree.register("aarch64").exits(0));
    let theirs = outside("theirs", &fs::read(qemu("riscv64")).unwrap());
    tree.enter(&line("riscv-old", "riscv64", &theirs, "F"));
    tree.enter(&line("riscv-new", "riscv64", &theirs, "F"));
    tree.enter(&line("s390-off", "s390x", &theirs, "F"));
    tree.write_kernel("s390-off", "0");
    tree.write_kernel("status", "0");
    tree.enter(&format!(r":native:M:18:\x3e::{}:", interpreter.display()));
    tree.enter(&format!(r":all:M::\x7fELF::{}:", interpreter.display()));
    tree.enter(&rule("jar", &interpreter, ""));
    for entry in ["native", "all"] {
        tree.write_kernel(entry, "0");
    }
    tree.write_kernel("status", "1");
    let status = tree.run(&["status", "--json"]).exits(0).json();
    let systems: Vec<_> = status["systems"].as_array().unwrap().iter().map(|system| &system["entry"]).collect();
    assert_eq!(systems, ["qemu-aarch64", "riscv-new"]);
    let others = status["other_entries"].as_array().unwrap().iter();
    let others: Vec<_> = others.map(|other| (other["name"].as_str().unwrap(), &other["takes"])).collect();
    assert_eq!(
        others.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["jar", "all", "native", "s390-off", "riscv-old"]
    );
    let takes = |name| others.iter().find(|(other, _)| *other == name).unwrap().1.as_str().unwrap();
    assert_eq!((takes("riscv-old"), takes("native")), ("riscv64 programs", "x86_64 programs"));
    assert!(takes("all").starts_with("programs of aarch64 and ") && takes("all").ends_with(" other systems"));
    let done = tree.run(&["status"]).exits(0);
    done.prints("other entries: jar all (off) native (off) s390-off (off) riscv-old\n");
    // The doctor names each entry that is off and would take the machine's own programs.
    let found = tree.run(&["doctor", "--json"]).exits(3).json();
    for name in ["all", "native"] {
        let what = format!("the entry {name} is off, and would take x86_64 programs, which this machine runs natively");
        assert!(found["findings"].as_array().unwrap().iter().any(|finding| finding["what"] == *what), "{found:#}");
    }
}

#[sandboxed]
fn emulation_is_said_of_emulators_only() {
    // A static program: the tree has no loader.
    let native = binfmt_magic::Arch::find("x86_64").unwrap().probe().unwrap();
    let tree = registered_tree().program("usr/bin/java", native);
    // `explain` looks for it below the root directory.
    let interpreter = Path::new("/usr/bin/java");
    tree.enter(&rule("jar", interpreter, ""));
    let appimage = {
        let mut bytes = native.to_vec();
        bytes[8..11].copy_from_slice(b"AI\x02");
        outside("app", &bytes)
    };
    tree.enter(&format!(r":appimage:M:8:AI\x02::{}:", interpreter.display()));
    let explain = |file: &Path| tree.run(&["explain", file.to_str().unwrap()]);
    let jar = outside("hello.jar", b"PK\x03\x04");
    for file in [jar, appimage] {
        let inside = tree.path("usr/bin").join(file.file_name().unwrap());
        fs::copy(&file, &inside).unwrap();
        let done = explain(&Path::new("/usr/bin").join(file.file_name().unwrap()));
        done.exits(0).prints("runs by an interpreter").prints("status -v shows its entry").omits("emulat");
    }
    let probe = binfmt_magic::Arch::find("aarch64").unwrap().probe().unwrap();
    fs::write(tree.path("usr/bin/foreign"), probe).unwrap();
    fs::set_permissions(tree.path("usr/bin/foreign"), fs::Permissions::from_mode(0o755)).unwrap();
    explain(Path::new("/usr/bin/foreign")).exits(0).prints("runs by emulation");
}
