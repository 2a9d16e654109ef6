#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test fails by panicking, and makes files")]

use std::fs;

use super::*;

fn arch(name: &str) -> &'static Arch {
    Arch::find(name).unwrap()
}

/// Makes a tree with these files, each with its path as its content, and a list of packages.
fn tree(files: &[&str], packages: &[(&str, &str, &str)]) -> (tempfile::TempDir, Host) {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(dir.path()).unwrap();
    for file in files {
        let path = host.real_path(Path::new(file));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    if !packages.is_empty() {
        fs::create_dir_all(dir.path().join("var/lib/dpkg")).unwrap();
        let paragraph = |(name, version, architecture): &(&str, &str, &str)| {
            format!("Package: {name}\nStatus: install ok installed\nVersion: {version}\nArchitecture: {architecture}\n")
        };
        let status: Vec<_> = packages.iter().map(paragraph).collect();
        fs::write(dir.path().join("var/lib/dpkg/status"), status.join("\n")).unwrap();
    }
    (dir, host)
}

const GUEST_GCC: &str = "/usr/libexec/gcc/aarch64-linux-gnu/14/cc1";
const CROSS_GCC: &str = "/usr/libexec/gcc-cross/aarch64-linux-gnu/14/cc1";
const AS: &str = "/usr/bin/aarch64-linux-gnu-as";

#[test]
fn a_tree_of_debian_has_the_pairs_of_the_same_version() {
    let (_guest, tree_host) = tree(
        &[GUEST_GCC, "/usr/libexec/gcc/aarch64-linux-gnu/14/cc1plus", AS, "/usr/bin/xz", "/usr/bin/sed"],
        &[
            ("libc6", "2.41-12", "arm64"),
            ("cpp-14-aarch64-linux-gnu", "14.2.0-19", "arm64"),
            ("g++-14-aarch64-linux-gnu", "14.2.0-19", "arm64"),
            ("binutils-aarch64-linux-gnu", "2.44-3", "arm64"),
            ("xz-utils", "5.8.1-1", "arm64"),
            ("sed", "4.9-2", "arm64"),
        ],
    );
    let (_native, native) = tree(
        &[CROSS_GCC, "/usr/libexec/gcc-cross/aarch64-linux-gnu/14/cc1plus", AS, "/usr/bin/xz"],
        &[
            ("cpp-14-aarch64-linux-gnu", "14.2.0-19cross1", "amd64"),
            ("g++-14-aarch64-linux-gnu", "14.2.0-18cross1", "amd64"),
            ("binutils-aarch64-linux-gnu", "2.44-3", "amd64"),
            ("xz-utils", "5.8.1-1+b2", "amd64"),
        ],
    );
    let found = in_debian_tree(arch("aarch64"), &tree_host, &native).unwrap();
    let pairs: Vec<_> = found.pairs.iter().map(|pair| (pair.tool.name, pair.native.as_text())).collect();
    let expected = [("cc1", CROSS_GCC), ("as", AS), ("xz", "/usr/bin/xz")];
    assert_eq!(pairs, expected.map(|(tool, path)| (tool, path.to_owned())));
    assert_eq!(found.pairs[0].multiarch.as_deref(), Some("aarch64-linux-gnu"));
    let reasons: Vec<_> = found.left_out.iter().map(|left| left.reason.as_str()).collect();
    assert!(reasons[0].contains("14.2.0-19") && reasons[0].contains("14.2.0-18"), "{reasons:?}");
    assert!(reasons[1].contains("apt install sed"), "{reasons:?}");
    assert!(in_debian_tree(arch("riscv64"), &tree_host, &native).is_err());
    assert!(in_debian_tree(arch("aarch64"), &Host::new(Path::new("/proc")).unwrap(), &native).is_err());
}

#[test]
fn pairs_of_the_user_are_on_the_list() {
    let pair = named_pair(&format!("{GUEST_GCC}={CROSS_GCC}")).unwrap();
    assert_eq!((pair.tool.name, pair.multiarch.as_deref()), ("cc1", Some("aarch64-linux-gnu")));
    for (word, part) in [
        ("/usr/bin/seq=/usr/bin/seq", "long double"),
        ("/usr/bin/python3=/usr/bin/python3", "language"),
        ("/usr/bin/frob=/usr/bin/frob", "not on the list"),
        ("/usr/bin/sed=/usr/bin/grep", "different tools"),
        ("/usr/bin/sed", "GUEST=NATIVE"),
        ("sed=/usr/bin/sed", "GUEST=NATIVE"),
    ] {
        let error = named_pair(word).unwrap_err().to_string();
        assert!(error.contains(part), "{word}: {error}");
    }
}

#[test]
fn nix_is_asked_for_the_tools_of_the_standard_environment() {
    let questions = nix_questions("nixpkgs", arch("aarch64"), arch("x86_64"));
    let asked = |installable: &str| questions.iter().any(|question| question.installable == installable);
    assert!(asked("nixpkgs#legacyPackages.aarch64-linux.stdenv.cc.cc"));
    assert!(asked("nixpkgs#legacyPackages.x86_64-linux.pkgsCross.aarch64-multiplatform.stdenv.cc.cc"));
    assert!(asked("nixpkgs#legacyPackages.x86_64-linux.pkgsCross.aarch64-multiplatform.stdenv.cc.bintools.bintools"));
    assert!(asked("nixpkgs#legacyPackages.x86_64-linux.xz.bin"));
}

/// The layout of nixpkgs' gcc and binutils: one machine in a store path, the prefix in the name of a cross tool.
#[test]
fn a_store_has_the_pairs_of_one_nixpkgs() {
    let s = "/nix/store/0c1p5z68a2d3jxq8gj2hw2a4lr6x7q5v";
    let gcc = format!("{s}-gcc-14.3.0");
    let cross = format!("{s}-aarch64-unknown-linux-gnu-gcc-14.3.0");
    let (binutils, xz) = (format!("{s}-binutils-2.44"), format!("{s}-xz-5.8.1-bin"));
    let cross_binutils = format!("{s}-aarch64-unknown-linux-gnu-binutils-2.44");
    let old = format!("{s}-xz-5.6.4-bin");
    let cc1 = "libexec/gcc/aarch64-unknown-linux-gnu/14.3.0/cc1";
    let files = [
        format!("{gcc}/{cc1}"),
        format!("{gcc}/{cc1}plus"),
        format!("{cross}/{cc1}"),
        format!("{binutils}/bin/as"),
        format!("{cross_binutils}/bin/aarch64-unknown-linux-gnu-as"),
        format!("{xz}/bin/xz"),
        format!("{old}/bin/xz"),
    ];
    let (_dir, host) = tree(&files.each_ref().map(String::as_str), &[]);
    let paths = |list: &[&String]| list.iter().map(PathBuf::from).collect::<Vec<_>>();
    let found = in_nix_store(&host, &paths(&[&gcc, &binutils, &xz]), &paths(&[&cross, &cross_binutils, &old])).unwrap();
    let pairs: Vec<_> = found.pairs.iter().map(|pair| (pair.tool.name, pair.version.as_str())).collect();
    assert_eq!(pairs, [("cc1", "14.3.0"), ("as", "2.44")]);
    let reason = |tool: &str| found.left_out.iter().find(|left| left.tool.ends_with(tool)).unwrap().reason.clone();
    assert!(reason("cc1plus").contains("no store path of the native host"));
    assert!(reason("/bin/xz").contains("5.8.1") && reason("/bin/xz").contains("5.6.4"));
}
