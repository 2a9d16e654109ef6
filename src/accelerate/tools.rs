//! The list of tools that may be paired, with the conditions of each, and of tools that never may. Pure.

/// What a tool is, which decides how it is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolKind {
    /// A compiler proper of GCC for C.
    C,
    /// A compiler proper of GCC for C++.
    Cxx,
    /// The compiler proper of GCC for Fortran.
    Fortran,
    /// The link-time optimizer of GCC.
    Lto,
    /// The GNU assembler.
    Assembler,
    /// A program that reads files or standard input, and writes files or standard output.
    Filter,
}

/// A tool that may be paired.
#[derive(Debug, PartialEq, Eq)]
pub struct Tool {
    /// File name of the program, without the prefix of a target.
    pub name: &'static str,
    /// What it is.
    pub kind: ToolKind,
    /// Package of Debian that has the program. The tools of GCC and binutils have their own rules.
    pub package: &'static str,
    /// Attribute of nixpkgs that has the program. Empty if `--nixpkgs` does not ask for it.
    pub attribute: &'static str,
    /// Reason why its output cannot depend on the machine.
    pub reason: &'static str,
    /// Names that the last part of `argv[0]` may have. Empty if the tool ignores its name.
    pub names: &'static [&'static str],
    /// Arguments with which the emulator runs the tool: exact, or the start of an argument if it ends with `*`.
    pub refused_arguments: &'static [&'static str],
    /// Variables of the environment with which the emulator runs the tool.
    pub refused_variables: &'static [&'static str],
}

impl Tool {
    /// Whether it is a part of GCC that looks for include files.
    pub fn has_include_directories(&self) -> bool {
        matches!(self.kind, ToolKind::C | ToolKind::Cxx)
    }

    /// Whether it makes input of the assembler.
    pub fn is_compiler(&self) -> bool {
        self.has_include_directories() || self.kind == ToolKind::Fortran
    }

    /// Whether a native program may run with this argument.
    pub fn accepts(&self, argument: &str) -> bool {
        let matches = |refused: &&str| match refused.strip_suffix('*') {
            Some(start) => argument.starts_with(start),
            None => *refused == argument,
        };
        !self.refused_arguments.iter().any(matches)
    }
}

/// Answer for the name of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// The tool may be paired.
    Yes(&'static Tool),
    /// The tool is never paired, for this reason.
    Never(&'static str),
    /// The list does not have it.
    Unknown,
}

/// Finds the program with this file name in the list. Programs of GCC and binutils may have the prefix of a target, and
/// those of GCC a version: `aarch64-linux-gnu-gcc-14`.
pub fn look_up(file_name: &str) -> Listed {
    let versionless = file_name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').trim_end_matches('-');
    let unprefixed = |name: &str| name.rsplit('-').next().unwrap_or_default().to_owned();
    let candidates = [file_name.to_owned(), versionless.to_owned(), unprefixed(file_name), unprefixed(versionless)];
    let is_tool = |name: &String| {
        TOOLS.iter().find(|tool| tool.name == name && (tool.kind != ToolKind::Filter || name == file_name))
    };
    let never = |name: &String| NEVER.iter().find(|(names, _)| names.contains(&name.as_str()));
    if let Some(tool) = candidates.iter().find_map(is_tool) {
        return Listed::Yes(tool);
    }
    candidates.iter().find_map(never).map_or(Listed::Unknown, |(_, reason)| Listed::Never(reason))
}

/// Reason for a program that neither list has.
pub const UNKNOWN: &str = "it is not on the list of tools whose output cannot depend on the machine";

/// GCC computes constants by MPFR and its own arithmetic, and never by that of the machine. It is deterministic: a cross
/// compiler and a native compiler of one source have to make the same code, or GCC could not be bootstrapped.
const GCC: &str = "GCC computes constants by its own arithmetic and MPFR, not by that of the machine";

/// Arguments of GCC's compilers that make the output depend on the compiler's own files, on the machine or on the time, or
/// that the corpus does not have.
macro_rules! gcc_arguments {
    ($($more:literal),*) => {
        &[
            // A file of arguments may have any of these.
            "@*",
            // Other include directories than those that were measured.
            "-nostdinc*", "-iprefix*", "-isysroot*", "--sysroot*", "-iwithprefix*",
            // Directories of another variant of the machine. The driver passes `-imultilib .` for the usual one.
            "-m32", "-mx32", "-m16", "-mabi=ilp32*",
            // It would name directories that the native tool gets as arguments.
            "-Wmissing-include-dirs", "-Werror=missing-include-dirs",
            // Libraries of the guest that the native tool cannot load.
            "-fplugin*", "-iplugindir*",
            // Precompiled headers and modules hold the memory of the compiler that made them.
            "--output-pch*", "-fmodule*", "-fpch-preprocess",
            // Character sets are converted by files of the C library.
            "-finput-charset*", "-fexec-charset*", "-fwide-exec-charset*",
            // These print times, paths or sizes of the compiler itself.
            "-v", "-version", "--version", "-Q", "--help*", "--target-help", "-ftime-report*", "-fmem-report*",
            "-fpre-ipa-mem-report", "-fpost-ipa-mem-report", "-fstats", "-freport-bug", "-fself-test*",
            // The machine itself.
            "-march=native", "-mcpu=native", "-mtune=native",
            // The corpus does not have them.
            "-fprofile-use*", "-fbranch-probabilities*", "-fauto-profile*", "-fsanitize*", "-fanalyzer*", "-fopenacc*",
            "-foffload*"
            $(, $more)*
        ]
    };
}

/// Variables that name include directories, or move those of the compiler.
const GCC_VARIABLES: &[&str] = &[
    "C_INCLUDE_PATH",
    "CPLUS_INCLUDE_PATH",
    "OBJC_INCLUDE_PATH",
    "GCC_EXEC_PREFIX",
    "GCC_ROOT",
    "G++_ROOT",
    "BINUTILS_ROOT",
    "GCC_COMPARE_DEBUG",
];

const fn gcc(name: &'static str, kind: ToolKind, refused_arguments: &'static [&'static str]) -> Tool {
    Tool {
        name,
        kind,
        package: "",
        attribute: "stdenv.cc.cc",
        reason: GCC,
        names: &[],
        refused_arguments,
        refused_variables: GCC_VARIABLES,
    }
}

const fn filter(
    name: &'static str,
    package: &'static str,
    attribute: &'static str,
    names: &'static [&'static str],
    refused_arguments: &'static [&'static str],
    reason: &'static str,
) -> Tool {
    Tool { name, kind: ToolKind::Filter, package, attribute, reason, names, refused_arguments, refused_variables: &[] }
}

/// Reason for compressors.
const COMPRESSOR: &str = "it compresses by integer arithmetic; its output depends on its version, options and input";
/// Reason for programs that pass bytes on.
const BYTES: &str = "it compares, selects or copies bytes, in the C locale";

/// Every tool that may be paired.
pub const TOOLS: &[Tool] = &[
    gcc("cc1", ToolKind::C, gcc_arguments!()),
    // The measured directories are passed by -isystem, which is for C: the line markers of -E would differ (" 3 4").
    gcc("cc1plus", ToolKind::Cxx, gcc_arguments!("-E")),
    // Its preprocessor would look for include files in directories that are not measured. nixpkgs has it outside of the
    // standard environment, and its binary cache may lack the cross compiler, which takes hours to build.
    Tool { attribute: "", ..gcc("f951", ToolKind::Fortran, gcc_arguments!("-cpp*")) },
    gcc("lto1", ToolKind::Lto, gcc_arguments!()),
    Tool {
        name: "as",
        kind: ToolKind::Assembler,
        package: "",
        attribute: "stdenv.cc.bintools.bintools",
        reason: "it computes by integers and its own floating point numbers",
        names: &[],
        // A listing may have the time, and these print the version or the memory of the program.
        refused_arguments: &["@*", "-a*", "-v", "-version", "--version", "--help", "--target-help", "--statistics"],
        refused_variables: &[],
    },
    filter(
        "xz",
        "xz-utils",
        "xz.bin",
        &["xz", "unxz", "xzcat", "lzma", "unlzma", "lzcat"],
        &["-v*", "--verbose", "--info-memory", "-l*", "--list"],
        COMPRESSOR,
    ),
    filter("gzip", "gzip", "gzip", &["gzip"], &[], COMPRESSOR),
    filter("bzip2", "bzip2", "bzip2.bin", &["bzip2", "bunzip2", "bzcat"], &[], COMPRESSOR),
    filter(
        "zstd",
        "zstd",
        "zstd.bin",
        &["zstd", "unzstd", "zstdcat"],
        // Benchmarks and times.
        &["-b*", "--adapt*", "-v*", "--verbose", "--auto-threads*", "--train*"],
        COMPRESSOR,
    ),
    filter("sed", "sed", "gnused", &["sed"], &["--debug"], BYTES),
    filter("grep", "grep", "gnugrep", &["grep", "egrep", "fgrep"], &[], BYTES),
    filter(
        "tar",
        "tar",
        "gnutar",
        &["tar"],
        &["-v*", "--verbose", "--totals*", "--checkpoint*"],
        "it copies bytes; names of users come from the guest's /etc/passwd, and the C library has no other source of them",
    ),
    filter("cat", "coreutils", "coreutils", &["cat"], &[], BYTES),
    filter("tr", "coreutils", "coreutils", &["tr"], &[], BYTES),
    filter("cut", "coreutils", "coreutils", &["cut"], &[], BYTES),
    filter("head", "coreutils", "coreutils", &["head"], &[], BYTES),
    filter("tail", "coreutils", "coreutils", &["tail"], &[], BYTES),
    filter("wc", "coreutils", "coreutils", &["wc"], &[], BYTES),
    filter("uniq", "coreutils", "coreutils", &["uniq"], &[], BYTES),
    filter("comm", "coreutils", "coreutils", &["comm"], &[], BYTES),
    filter("basename", "coreutils", "coreutils", &["basename"], &[], BYTES),
    filter("dirname", "coreutils", "coreutils", &["dirname"], &[], BYTES),
    filter("cmp", "diffutils", "diffutils", &["cmp"], &[], BYTES),
    filter("diff", "diffutils", "diffutils", &["diff"], &[], BYTES),
];

/// Programs that are never paired, each group with its reason.
const NEVER: &[(&[&str], &str)] = &[
    (
        &["seq", "printf", "numfmt", "od", "sort"],
        "it computes by long double, which has other digits on other machines",
    ),
    (
        &["awk", "gawk", "mawk", "bc", "units"],
        "it computes by the machine's mathematical functions, whose last digits differ",
    ),
    (
        &["uname", "arch", "nproc", "lscpu", "hostname", "hostid", "getconf", "dpkg", "dpkg-architecture"],
        "it reports the machine",
    ),
    (&["id", "whoami", "groups", "logname", "who", "users"], "it reports users of the system that it runs on"),
    (&["date", "touch", "stat", "ls", "df", "du", "ps", "uptime", "time"], "it reports clocks, devices or processes"),
    (
        &[
            "sh", "bash", "dash", "ksh", "zsh", "busybox", "toybox", "perl", "python", "python2", "python3", "ruby",
            "lua", "tclsh", "node", "guile", "m4",
        ],
        "it runs programs of its own language, which can ask for the machine",
    ),
    (
        &["gcc", "g++", "cc", "c++", "cpp", "gfortran", "collect2", "lto-wrapper"],
        "it starts the other programs of a compiler, and finds them and the libraries by paths of its own host",
    ),
    (
        &["ld", "ld.bfd", "ld.gold", "lld", "mold", "ar", "ranlib", "nm", "strip", "objcopy", "objdump"],
        "it loads plugins, which are libraries of the guest: GCC always passes its own to the linker",
    ),
    (
        &["clang", "clang++", "rustc", "go", "ghc", "ocamlopt", "javac"],
        "no corpus proves it: this version pairs the compilers of GCC for C, C++ and Fortran",
    ),
    (
        &["gnat1", "d21", "go1", "cc1obj", "cc1objplus", "crab1", "cc1gm2"],
        "no corpus proves it yet: this version pairs the compilers of GCC for C, C++ and Fortran",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_found_by_their_names() {
        let name = |file: &str| match look_up(file) {
            Listed::Yes(tool) => tool.name,
            Listed::Never(reason) => reason,
            Listed::Unknown => "unknown",
        };
        for (file, tool) in [("cc1", "cc1"), ("cc1plus", "cc1plus"), ("aarch64-linux-gnu-as", "as"), ("bzip2", "bzip2")]
        {
            assert_eq!(name(file), tool);
        }
        for never in
            ["seq", "sort", "python3.13", "bash", "aarch64-linux-gnu-gcc-14", "ld.bfd", "x86_64-linux-gnu-ld", "nproc"]
        {
            assert!(matches!(look_up(never), Listed::Never(_)), "{never}: {}", name(never));
        }
        assert_eq!(look_up("frobnicate"), Listed::Unknown);
    }

    #[test]
    fn each_tool_has_a_reason_and_each_name_one_place() {
        let mut names: Vec<&str> = TOOLS.iter().map(|tool| tool.name).collect();
        names.extend(NEVER.iter().flat_map(|(names, _)| *names));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(
            TOOLS
                .iter()
                .all(|tool| tool.reason.len() > 20 && (tool.names.is_empty() || tool.names.contains(&tool.name)))
        );
    }

    #[test]
    fn refused_arguments_are_whole_or_the_start() {
        let Listed::Yes(cc1) = look_up("cc1") else { panic!() };
        for refused in ["@file", "-nostdinc", "-nostdinc++", "-fplugin=x.so", "-v", "-march=native"] {
            assert!(!cc1.accepts(refused), "{refused}");
        }
        for accepted in ["-", "-o", "-E", "-O2", "-version-script", "-march=armv8-a", "x@y", "-fvisibility=hidden"] {
            assert!(cc1.accepts(accepted), "{accepted}");
        }
    }
}
