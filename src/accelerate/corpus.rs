//! The inputs of a proof: sources in C, C++ and Fortran, and commands of compressors and text tools. Pure.
//!
//! A native compiler differs from the guest's where it computes by the machine's own numbers, by plain `char` (signed on
//! x86, unsigned on Arm and RISC-V), or by addresses. So the sources are full of constants, floating point, bytes above
//! 127, large functions, switches, vectors, exceptions and templates. A change of a text changes [`digest`], so every
//! proof is repeated.

use crate::accelerate::tools::{Tool, ToolKind};
use crate::sha256::Sha256;

/// Sources, each after a line with its name.
const SOURCES: &str = include_str!("corpus/sources.txt");
/// Commands, one in a line: steps with ` ; ` between them, each with an input after ` < `. `\x20` is a space in a word.
/// No command records a time of a file: each run makes its own files.
const FILTERS: &str = include_str!("corpus/filters.txt");

/// A source text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CorpusSource {
    /// File name.
    pub name: &'static str,
    /// Content.
    pub text: &'static str,
}

/// A source with the options of one compilation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileCase {
    /// Source text.
    pub source: CorpusSource,
    /// Options, with spaces between them.
    pub options: &'static str,
}

/// One command of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterStep {
    /// Words, beginning with the name of the tool.
    pub words: Vec<String>,
    /// Name of the file that is standard input.
    pub input: Option<String>,
}

/// Options with which each source is compiled.
pub const OPTIONS: [&str; 4] = ["-O0 -g", "-O2", "-O3 -fPIC", "-O2 -g -flto"];

/// More options for some sources.
const MORE: [(&str, &str); 20] = [
    ("mac.c", "-E"),
    ("mac.c", "-E -dD"),
    ("str.c", "-E -P -C"),
    ("warn.c", "-O2 -Wall -Wextra -Wpedantic -Wconversion -std=c99"),
    ("posix.c", "-O1 -MD deps -MP -MT x.o"),
    ("attr.c", "-Os -frecord-gcc-switches -g3"),
    ("regs.c", "-O2 -fverbose-asm -fstack-usage -fomit-frame-pointer"),
    ("misc.c", "-O2 -fopenmp -funroll-loops -ffast-math"),
    ("str.c", "-O2 -fno-strict-aliasing -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fstack-clash-protection"),
    ("float.c", "-O2 -ffast-math -fno-math-errno -ftrapping-math"),
    ("loop.c", "-O3 -g -fopt-info-vec-optimized -fprofile-arcs -ftest-coverage"),
    ("cont.cc", "-O1 -MD deps -MMD deps2"),
    ("tmpl.cc", "-O2 -g -fPIC -fvisibility=hidden -fvisibility-inlines-hidden -std=c++17"),
    ("cls.cc", "-O2 -gdwarf-4 -ffunction-sections -fdata-sections -Wall -Wextra -Weffc++"),
    ("lam.cc", "-O2 -g1 -fno-exceptions -fno-rtti"),
    ("arr.f90", "-O3 -ffast-math -funroll-loops -fcheck=all"),
    ("old.f90", "-O2 -std=legacy -fno-automatic -Wall -Wextra"),
    ("par.f90", "-O2 -g -fopenmp"),
    ("str.f90", "-Os -fcheck=bounds -Wall -Wextra -fbackslash"),
    ("typ.f90", "-O2 -fstack-arrays -frecursive -finit-real=snan -finit-integer=-7"),
];

/// The sources that do not compile: their messages are compared.
pub const FAILING: [&str; 2] = ["err.cc", "wrong.f90"];

/// Returns every source.
pub fn sources() -> Vec<CorpusSource> {
    let parts = SOURCES.split("=== ").skip(1);
    parts.filter_map(|part| part.split_once('\n')).map(|(name, text)| CorpusSource { name, text }).collect()
}

/// Returns the compilations of a compiler. `-O0 -g` of all sources comes first.
pub fn compile_cases(kind: ToolKind) -> Vec<CompileCase> {
    let extension = match kind {
        ToolKind::Cxx => ".cc",
        ToolKind::Fortran => ".f90",
        _ => ".c",
    };
    let sources: Vec<CorpusSource> = sources().into_iter().filter(|source| source.name.ends_with(extension)).collect();
    let every = OPTIONS.iter().flat_map(|options| sources.iter().map(move |source| (*source, *options)));
    let find = |name: &str| sources.iter().find(|source| source.name == name).copied();
    let more = MORE.iter().filter_map(|(name, options)| Some((find(name)?, *options)));
    every.chain(more).map(|(source, options)| CompileCase { source, options }).collect()
}

/// Returns the commands of a filter, each as its steps.
pub fn filter_cases(tool: &Tool) -> Vec<Vec<FilterStep>> {
    let step = |text: &str| {
        let (words, input) = text.split_once(" < ").map_or((text, None), |(words, input)| (words, Some(input)));
        let words = words.split(' ').map(|word| word.replace("\\x20", " ")).collect();
        FilterStep { words, input: input.map(str::to_owned) }
    };
    let is_own = |line: &&str| {
        let name = line.split(' ').next().unwrap_or_default();
        name == tool.name || tool.names.contains(&name)
    };
    FILTERS.lines().filter(is_own).map(|line| line.split(" ; ").map(step).collect()).collect()
}

/// Returns the files that every command of a filter finds in its directory. A name that ends with a slash is a directory.
pub fn filter_files() -> Vec<(String, Vec<u8>)> {
    const WORDS: [&str; 12] =
        ["the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog", "xylophone", "Q", "a-b_c", "0x1f;"];
    let mut state = 1_u32;
    let mut random = || {
        // Numerical Recipes' generator.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    let mut lines: Vec<String> = Vec::new();
    for number in 0..1500_u32 {
        let mut line = String::new();
        for _ in 0..random() % 11 {
            line.push_str(WORDS.iter().cycle().nth(random() as usize % 12).copied().unwrap_or_default());
            line.push(if random() % 9 == 0 { '\t' } else { ' ' });
        }
        lines.push(if number % 7 == 0 { format!("{line}{number}\n") } else { line + "\n" });
    }
    let more = lines.iter().skip(40).step_by(3).map(String::as_str).collect::<String>();
    let bytes: Vec<u8> = (0..20_000).map(|_| random().to_le_bytes()[0]).collect();
    vec![
        ("text".to_owned(), lines.concat().into_bytes()),
        ("bytes".to_owned(), bytes),
        ("zeros".to_owned(), vec![0; 70_000]),
        ("empty".to_owned(), Vec::new()),
        ("dir/".to_owned(), Vec::new()),
        ("dir/more".to_owned(), more.into_bytes()),
    ]
}

/// Returns what identifies this corpus.
pub fn digest() -> Sha256 {
    let options: Vec<&str> =
        OPTIONS.into_iter().chain(MORE.iter().flat_map(|(name, options)| [*name, options])).collect();
    let options = options.join("\n");
    let files = filter_files().into_iter().flat_map(|(_, content)| content);
    let all: Vec<u8> = [SOURCES, FILTERS, &options].concat().into_bytes().into_iter().chain(files).collect();
    Sha256::of_bytes(&all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accelerate::tools::TOOLS;

    #[test]
    fn forty_sources_are_compiled_with_each_set_of_options() {
        let names: Vec<_> = sources().iter().map(|source| source.name).collect();
        let is_fortran = |name: &str| name.rsplit('.').next() == Some("f90");
        let compiled = names.iter().filter(|name| !FAILING.contains(name) && !is_fortran(name)).count();
        assert!(compiled >= 40, "{compiled}");
        let of = |kind| compile_cases(kind).len();
        let [c, cxx, fortran] = [ToolKind::C, ToolKind::Cxx, ToolKind::Fortran].map(of);
        assert_eq!(c + cxx + fortran, names.len() * OPTIONS.len() + MORE.len());
        assert!(fortran >= 40, "{fortran}");
        assert!(FAILING.iter().all(|failing| names.contains(failing)));
        for option in ["-O0", "-O2", "-O3", "-g", "-flto", "-fPIC"] {
            assert!(OPTIONS.iter().any(|set| set.split(' ').any(|word| word == option)), "{option}");
        }
    }

    #[test]
    fn each_filter_has_commands_that_it_accepts() {
        for tool in TOOLS.iter().filter(|tool| tool.kind == ToolKind::Filter) {
            let cases = filter_cases(tool);
            assert!(cases.len() >= 3, "{}: {}", tool.name, cases.len());
            for word in cases.iter().flatten().flat_map(|step| step.words.iter().skip(1)) {
                assert!(tool.accepts(word), "{} {word}", tool.name);
            }
        }
        let lines = TOOLS.iter().map(|tool| filter_cases(tool).len()).sum::<usize>();
        assert_eq!(lines, FILTERS.lines().count());
    }

    #[test]
    fn inputs_are_always_the_same() {
        assert_eq!(digest(), digest());
        let files = filter_files();
        assert!(files.iter().any(|(name, content)| name == "bytes" && content.iter().any(|byte| *byte > 127)));
    }
}
