//! Rules that other projects publish: they are accepted, and their files start the interpreter.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};

use super::other_systems::runtime;
use crate::support::emulators::outside;
use crate::support::tree::ROOT;
use crate::support::{LiarBehavior, Tree, liar};

/// Each rule, the name of a file that it takes, and the first bytes of the file. The kernel's documentation has the first
/// four (`binfmt-misc.rst`, `java.rst`), Debian's packages openjdk-17-jre-headless, python3.11 and llvm-14-runtime have
/// /usr/share/binfmts/{jar,python3.11,llvm-14-runtime.binfmt}, NixOS's wiki has AppImage, and gorun's README has golang.
const RULES: [(&str, &str, &[u8]); 9] = [
    (":DOSWin:M::MZ::/usr/local/bin/wine:", "a.exe", b"MZ\x90\0"),
    (r":DEXE:M::\x0eDEX::/usr/bin/dosexec:", "a", b"\x0eDEX"),
    (":ExecutableJAR:E::jar::/usr/local/bin/jarwrapper:", "a.jar", b"PK\x03\x04"),
    (r":Java:M::\xca\xfe\xba\xbe::/usr/local/bin/javawrapper:", "A.class", b"\xca\xfe\xba\xbe\0\0\0\x45"),
    (r":jar:M::PK\x03\x04::/usr/bin/jexec:", "a.jar", b"PK\x03\x04\x14\0"),
    (r":python3.11:M::\xa7\x0d\x0d\x0a::/usr/bin/python3.11:", "a.pyc", b"\xa7\r\r\n\0\0\0\0"),
    (":llvm-14-runtime.binfmt:M::BC::/usr/bin/lli-14:", "a.bc", b"BC\xc0\xde"),
    (
        r":appimage:M::\x7fELF....AI\x02:\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff:/usr/bin/appimage-run:",
        "a.AppImage",
        b"\x7fELF\x02\x01\x01\0AI\x02\0\0\0\0\0\x03\0\x3e\0",
    ),
    (":golang:E::go::/usr/local/bin/gorun:OC", "a.go", b"package main\n"),
];

/// The text that the kernel's start of a file prints.
fn output_of(path: &Path) -> Option<String> {
    let output = Command::new(path).stdin(Stdio::null()).output().ok()?;
    Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned())
}

#[sandboxed]
fn rules_of_other_projects_start_their_interpreters() {
    let interpreter = |line: &str| line.rsplit(':').nth(1).unwrap().trim_start_matches('/').to_owned();
    let program = liar("hello", LiarBehavior::RightOutput);
    let tree = RULES.iter().fold(Tree::new(), |tree, (line, ..)| tree.program(&interpreter(line), &program));
    let fresh = tree.snapshot();
    for (line, name, bytes) in RULES {
        let file = outside(name, bytes);
        let rule = line.split(':').nth(1).unwrap();
        assert_ne!(output_of(&file).as_deref(), Some("hello"), "{line}");
        tree.run(&["register", "--rule", line]).exits(0).prints(&format!("{rule}: registered, not tested"));
        assert_eq!(output_of(&file).as_deref(), Some("hello"), "{line}");
        tree.unregister(rule).exits(0);
    }
    fresh.is_restored_in(&tree);
    let lines = RULES.map(|(line, ..)| format!("{line}\n")).concat();
    let file = outside("all.conf", lines.as_bytes());
    tree.run(&["register", "--rule", file.to_str().unwrap()]).exits(0).says("golang: flag C");
    assert_eq!(tree.entries().len(), RULES.len());
    tree.unregister("all").exits(0);
    fresh.is_restored_in(&tree);
}

/// Mozilla's Rhino is started by OpenJDK's jexec, which is the interpreter of Debian's rule.
#[sandboxed]
fn a_jar_is_run_by_a_real_java() {
    let (java, jar) = (runtime("java/runtime"), runtime("java/js.jar"));
    let tree = Tree::new().program("lib64/ld-linux-x86-64.so.2", "").program("usr/lib/jvm/lib/jexec", "");
    mount(Some(&java), &Path::new(ROOT).join("usr/lib/jvm"), None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    let file = outside("js.jar", &fs::read(jar).unwrap());
    let rule = r":jar:M::PK\x03\x04::/usr/lib/jvm/lib/jexec:";
    let done = tree.run(&["register", "--rule", rule, "--test", file.to_str().unwrap()]);
    done.exits(0).prints("jar: registered, tested");
    assert!(output_of(&file).is_some_and(|text| text.starts_with("Rhino ")));
    tree.unregister("jar").exits(0);
    assert_eq!(output_of(&file), None);
}
