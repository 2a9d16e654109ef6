//! The cases of a proof: what is run for each kind of tool, and the results so far.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::compare::{Outcome, PairRefusal, difference};
use super::worker::{EMULATOR, WORK_DIR};
use super::{Job, JobPair};
use crate::accelerate::corpus::{self, CompileCase, FilterStep};
use crate::accelerate::tools::{Tool, ToolKind};
use crate::host::capture::{CapturedCommand, create_filled_dir, run_captured, take_dir};
use crate::sanitize::{AsText as _, text_of_bytes};

/// Files that a command finds in its directory.
type Files<'a> = Vec<(String, &'a [u8])>;

/// A part of the work that one thread does.
#[derive(Debug)]
pub(super) struct Task {
    /// Number, which is also the name of its directory.
    number: usize,
    /// Number of the pair.
    pair: usize,
    case: Case,
}

#[derive(Debug)]
enum Case {
    Compile(CompileCase),
    Filter(Vec<FilterStep>),
}

/// Result of one pair so far.
#[derive(Debug, Default)]
pub(super) struct PairResult {
    pub(super) runs: u32,
    pub(super) bytes: u64,
    pub(super) refusal: Option<PairRefusal>,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<String>,
}

/// The pairs of a job, and their results.
pub(super) struct Bench<'a> {
    job: &'a Job,
    results: Vec<Mutex<PairResult>>,
    filter_files: Vec<(String, Vec<u8>)>,
}

/// Directory that does not exist. GCC looks for its own include files in it instead of in its own directories, which a
/// sandbox may show (`update_path`, gcc/prefix.cc).
const NOWHERE: &str = "/.binfmt-nix/none";

/// Questions whose answers have every default of a compiler: its version and libraries, its target, and its options.
const QUESTIONS: [&[&str]; 7] = [
    &["-quiet", "-version", "e", "-o", "e.s"],
    &["-Q", "--help=target", "-o", "e.s"],
    &["-Q", "--help=optimizers", "-o", "e.s"],
    &["-Q", "--help=common", "-o", "e.s"],
    &["-Q", "--help=params", "-o", "e.s"],
    &["-Q", "--help=warnings", "-o", "e.s"],
    &["-quiet", "-E", "-dM", "e"],
];

impl<'a> Bench<'a> {
    /// Compares the versions and configurations of all pairs, and measures the include directories.
    pub(super) fn new(job: &'a Job) -> Self {
        let results = job.pairs.iter().map(|_| Mutex::default()).collect();
        let bench = Self { job, results, filter_files: corpus::filter_files() };
        for pair in 0..job.pairs.len() {
            if let Err(refusal) = bench.prepare(pair) {
                bench.result(pair).refusal = Some(refusal);
            }
        }
        bench
    }

    /// Returns all tasks: the cases of compilers, which also make the input of the assembler, and those of filters.
    pub(super) fn tasks(&self) -> Vec<Task> {
        let mut cases = Vec::new();
        for (pair, subject) in self.job.pairs.iter().enumerate() {
            match subject.kind() {
                kind @ (ToolKind::C | ToolKind::Cxx | ToolKind::Fortran) => {
                    let compiled = corpus::compile_cases(kind).into_iter().map(|case| (pair, Case::Compile(case)));
                    cases.extend(compiled.step_by(self.job.stride));
                }
                ToolKind::Filter => {
                    let steps = subject.tool().map(corpus::filter_cases).unwrap_or_default();
                    cases.extend(steps.into_iter().map(|steps| (pair, Case::Filter(steps))).step_by(self.job.stride));
                }
                ToolKind::Lto | ToolKind::Assembler => {}
            }
        }
        cases.into_iter().enumerate().map(|(number, (pair, case))| Task { number, pair, case }).collect()
    }

    /// Runs one task. A difference is added to the result of its pair.
    pub(super) fn run(&self, task: &Task) {
        let dir = Path::new(WORK_DIR).join(task.number.to_string());
        match &task.case {
            Case::Compile(case) => self.compile(task.pair, &dir, case),
            Case::Filter(steps) => self.filter(task.pair, &dir, steps),
        }
    }

    pub(super) fn into_results(self) -> Vec<PairResult> {
        self.results.into_iter().map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
    }

    fn result(&self, pair: usize) -> MutexGuard<'_, PairResult> {
        #[expect(clippy::indexing_slicing, reason = "each pair has a result")]
        self.results[pair].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compares both programs before the corpus: a program of another version would differ in many cases.
    fn prepare(&self, number: usize) -> Result<(), PairRefusal> {
        #[expect(clippy::indexing_slicing, reason = "the caller counts them")]
        let pair = &self.job.pairs[number];
        let dir = Path::new(WORK_DIR).join(format!("v{number}"));
        let questions: &[&[&str]] = match pair.kind() {
            ToolKind::C | ToolKind::Cxx => &QUESTIONS,
            ToolKind::Fortran => &QUESTIONS[..6],
            ToolKind::Lto => &QUESTIONS[1..6],
            ToolKind::Assembler | ToolKind::Filter => &[&["--version"]],
        };
        if pair.kind() != ToolKind::Filter && pair.kind() != ToolKind::Assembler {
            let environment = ["GCC_ROOT", "G++_ROOT", "BINUTILS_ROOT"].map(|name| format!("{name}={NOWHERE}"));
            self.result(number).environment = environment.to_vec();
        }
        for words in questions {
            let files = || vec![("e".to_owned(), b"".as_slice())];
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let case = describe(pair, &words);
            let run = |native| self.execute(number, &dir, &files(), &words, b"", native, None);
            let (mut guest, mut native) = (run(false)?, run(true)?);
            for outcome in [&mut guest, &mut native] {
                outcome.output.stderr = without_own_version(&outcome.output.stderr);
            }
            if let Some(difference) = difference(&guest, &native) {
                return Err(PairRefusal::new(&case, &format!("both are configured differently: {difference}")));
            }
        }
        if pair.tool().is_some_and(Tool::has_include_directories) {
            self.measure_directories(number, &dir)?;
        }
        Ok(())
    }

    /// Reads the include directories of the guest's compiler, and checks that the native one then has the same.
    fn measure_directories(&self, number: usize, dir: &Path) -> Result<(), PairRefusal> {
        #[expect(clippy::indexing_slicing, reason = "the caller counts them")]
        let pair = &self.job.pairs[number];
        let mut words = vec!["-quiet".to_owned(), "-v".to_owned()];
        words.extend(self.include_options(pair));
        words.extend(["e", "-o", "e.s"].map(str::to_owned));
        let list = |native| {
            let files = vec![("e".to_owned(), b"".as_slice())];
            let outcome = self.execute(number, dir, &files, &words, b"", native, None)?;
            let dirs = include_directories(&text_of_bytes(&outcome.output.stderr));
            dirs.ok_or_else(|| PairRefusal::new(&describe(pair, &words), "the list of include directories is missing"))
        };
        let guest = list(false)?;
        let arguments = guest.iter().flat_map(|dir| ["-isystem".to_owned(), dir.clone()]);
        self.result(number).arguments = arguments.collect();
        let native = list(true)?;
        if native != guest {
            let what =
                format!("the include directories are {}, and by the emulator {}", native.join(" "), guest.join(" "));
            return Err(PairRefusal::new(&describe(pair, &words), &what));
        }
        Ok(())
    }

    /// Options that the driver passes so that the compiler finds include files.
    fn include_options(&self, pair: &JobPair) -> impl Iterator<Item = String> {
        let multiarch = pair.multiarch.iter().flat_map(|name| ["-imultiarch".to_owned(), name.clone()]);
        split(machine_options(&self.job.target).include).chain(multiarch)
    }

    fn compile(&self, number: usize, dir: &Path, case: &CompileCase) {
        let Some(pair) = self.job.pairs.get(number) else { return };
        // The output of the guest's compiler is the input of the assembler, even if the compiler itself is refused.
        let assemblers = self.open_pairs(ToolKind::Assembler);
        if assemblers.is_empty() && self.result(number).refusal.is_some() {
            return;
        }
        let name = case.source.name;
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
        let machine = machine_options(&self.job.target);
        let mut words: Vec<String> = vec!["-quiet".into()];
        match pair.kind() {
            ToolKind::Fortran => {}
            ToolKind::Cxx => {
                words.extend(self.include_options(pair));
                words.extend(["-D_GNU_SOURCE".to_owned(), "-std=gnu++20".to_owned()]);
            }
            _ => words.extend(self.include_options(pair)),
        }
        words.extend([name, "-dumpbase", name, "-dumpbase-ext"].map(str::to_owned));
        words.push(format!(".{extension}"));
        words.extend(split(machine.compiler));
        words.extend(split(case.options));
        // Names of sections of -flto are random otherwise.
        words.extend(split("-frandom-seed=x -o"));
        words.push(format!("{stem}.s"));
        let files: Files = vec![(name.to_owned(), case.source.text.as_bytes())];
        let Some(guest) = self.compare(number, dir, &files, &words, b"") else { return };
        if corpus::FAILING.contains(&name) || case.options.contains("-E") {
            return;
        }
        let text = guest.file(&format!("{stem}.s")).filter(|_| guest.output.status.success());
        let Some(text) = text else {
            let why = format!("the guest's program failed: {}", text_of_bytes(&guest.output.stderr));
            return self.refuse(number, PairRefusal::new(&describe(pair, &words), &why));
        };
        let is_lto = case.options.contains("-flto");
        for other in assemblers {
            let input: Files = vec![(format!("{stem}.s"), text)];
            let mut words: Vec<String> = split(machine.assembler).collect();
            if case.options.contains("-g") {
                words.push("--gdwarf-5".into());
            }
            if case.options.contains("-fPIC") {
                words.push("--compress-debug-sections".into());
            }
            words.extend(["-o".to_owned(), format!("{stem}.o"), format!("{stem}.s")]);
            let object = self.compare(other, dir, &input, &words, b"");
            let object = object.as_ref().and_then(|object| object.file(&format!("{stem}.o")));
            if let Some(object) = object.filter(|_| is_lto) {
                self.optimize(pair, dir, stem, object);
            }
        }
    }

    /// Returns the pairs of this kind that are not refused.
    fn open_pairs(&self, kind: ToolKind) -> Vec<usize> {
        let pairs = self.job.pairs.iter().enumerate().filter(|(_, pair)| pair.kind() == kind);
        pairs.map(|(number, _)| number).filter(|number| self.result(*number).refusal.is_none()).collect()
    }

    /// Runs the link-time optimizer of the same compiler over an object.
    fn optimize(&self, compiler: &JobPair, dir: &Path, stem: &str, object: &[u8]) {
        let machine = machine_options(&self.job.target);
        for (number, pair) in self.job.pairs.iter().enumerate() {
            if pair.kind() != ToolKind::Lto || pair.guest.parent() != compiler.guest.parent() {
                continue;
            }
            let input: Files = vec![(format!("{stem}.o"), object)];
            let whole = format!("-O2 {stem}.o -o {stem}.s");
            let parts = format!("-O2 -fwpa -fltrans-output-list={stem}.list {stem}.o -o {stem}");
            for options in [whole, parts] {
                let mut words: Vec<String> = split("-quiet -dumpbase x -frandom-seed=x").collect();
                words.extend(split(machine.compiler).chain(split(&options)));
                self.compare(number, dir, &input, &words, b"");
            }
        }
    }

    fn filter(&self, number: usize, dir: &Path, steps: &[FilterStep]) {
        let Some(pair) = self.job.pairs.get(number) else { return };
        let mut kept: Vec<(String, Vec<u8>)> = self.filter_files.clone();
        for step in steps {
            let input = step.input.as_ref().and_then(|name| kept.iter().find(|(file, _)| file == name));
            let input = input.map(|(_, content)| content.clone()).unwrap_or_default();
            let files: Files = kept.iter().map(|(name, content)| (name.clone(), content.as_slice())).collect();
            let name = step.words.first().map_or("", String::as_str);
            let words = step.words.get(1..).unwrap_or_default();
            let Some(outcome) = self.compare_named(number, dir, &files, words, &input, Some(name)) else { return };
            // A tool may fail in a case, but not crash.
            if let Some(signal) = outcome.output.status.signal() {
                let why = format!("the guest's program was ended by signal {signal}");
                return self.refuse(number, PairRefusal::new(&describe(pair, words), &why));
            }
            let plain = outcome.files.into_iter().filter(|file| file.mode & 0o170_000 == 0o100_000);
            let dirs = kept.iter().filter(|(name, _)| name.ends_with('/')).cloned().collect::<Vec<_>>();
            kept = dirs.into_iter().chain(plain.map(|file| (file.path.as_text(), file.content))).collect();
        }
    }

    /// Runs both programs of a pair, compares them, and returns what the guest's left. Once the pair is refused, only the
    /// guest's program is run: its output may be the input of another pair.
    fn compare(&self, number: usize, dir: &Path, files: &Files, words: &[String], input: &[u8]) -> Option<Outcome> {
        self.compare_named(number, dir, files, words, input, None)
    }

    fn compare_named(
        &self,
        number: usize,
        dir: &Path,
        files: &Files,
        words: &[String],
        input: &[u8],
        name: Option<&str>,
    ) -> Option<Outcome> {
        let pair = self.job.pairs.get(number)?;
        let is_refused = self.result(number).refusal.is_some();
        if is_refused && !pair.tool().is_some_and(Tool::is_compiler) {
            return None;
        }
        let guest = match self.execute(number, dir, files, words, input, false, name) {
            Ok(guest) => guest,
            Err(refusal) => {
                self.refuse(number, refusal);
                return None;
            }
        };
        if is_refused {
            return Some(guest);
        }
        match self.execute(number, dir, files, words, input, true, name) {
            Ok(native) => {
                if let Some(what) = difference(&guest, &native) {
                    self.refuse(number, PairRefusal::new(&describe(pair, words), &what));
                } else {
                    let mut result = self.result(number);
                    result.runs = result.runs.saturating_add(1);
                    result.bytes = result.bytes.saturating_add(guest.size());
                }
            }
            Err(refusal) => self.refuse(number, refusal),
        }
        Some(guest)
    }

    /// Keeps the first refusal of a pair.
    fn refuse(&self, number: usize, refusal: PairRefusal) {
        self.result(number).refusal.get_or_insert(refusal);
    }

    /// Runs one program of a pair in a new directory with these files, and returns everything that it left.
    #[expect(clippy::too_many_arguments, reason = "each is one part of the command")]
    fn execute(
        &self,
        number: usize,
        dir: &Path,
        files: &Files,
        words: &[String],
        input: &[u8],
        is_native: bool,
        name: Option<&str>,
    ) -> Result<Outcome, PairRefusal> {
        let pair = self.job.pairs.get(number).ok_or_else(PairRefusal::without_result)?;
        let (added, variables) = {
            let result = self.result(number);
            (result.arguments.clone(), result.environment.clone())
        };
        let argv0 = name.map_or_else(|| pair.guest.as_text(), str::to_owned);
        let mut environment: Vec<(String, OsString)> = [("PATH", "/usr/bin:/bin"), ("LC_ALL", "C"), ("HOME", "/")]
            .map(|(name, value)| (name.to_owned(), value.into()))
            .to_vec();
        let mut command: Vec<String> = Vec::new();
        let program = if is_native {
            command.extend(pair.start.words().into_iter().map(|word| word.unwrap_or_else(|| argv0.clone())));
            command.extend(words.iter().chain(&added).cloned());
            let variables = variables.iter().filter_map(|variable| variable.split_once('='));
            environment.extend(variables.map(|(name, value)| (name.to_owned(), value.into())));
            pair.start.path().to_owned()
        } else {
            command.extend(["emulator".to_owned(), "-0".to_owned(), argv0, pair.guest.as_text()]);
            command.extend(words.iter().cloned());
            PathBuf::from(EMULATOR)
        };
        let who = if is_native { "native" } else { "guest's" };
        let failed = |e: &io::Error| {
            let what = match e.kind() {
                io::ErrorKind::TimedOut => {
                    format!("the {who} program did not end within {} s", self.job.limit.as_secs())
                }
                _ => format!("the {who} program cannot be run: {e}"),
            };
            PairRefusal::new(&describe(pair, words), &what)
        };
        create_filled_dir(dir, files).map_err(|e| failed(&e))?;
        let output = run_captured(&CapturedCommand {
            program: &program,
            words: command.into_iter().map(OsString::from).collect(),
            environment,
            directory: dir,
            input,
            timeout: self.job.limit,
        });
        let files = take_dir(dir).map_err(|e| failed(&e))?;
        Ok(Outcome { output: output.map_err(|e| failed(&e))?, files })
    }
}

/// Options that GCC's driver passes for a machine.
struct MachineOptions {
    /// To find include files.
    include: &'static str,
    compiler: &'static str,
    assembler: &'static str,
}

/// Returns the options that `gcc -###` of Debian 13 shows.
fn machine_options(target: &str) -> MachineOptions {
    match target {
        "aarch64" => MachineOptions {
            include: "",
            compiler: "-mlittle-endian -mabi=lp64 -fasynchronous-unwind-tables",
            assembler: "-EL -mabi=lp64",
        },
        "riscv64" => MachineOptions {
            include: "-imultilib .",
            compiler: "-march=rv64imafdc_zicsr_zifencei -mabi=lp64d -misa-spec=20191213 -mtls-dialect=trad",
            assembler: "--traditional-format -fpic -march=rv64imafdc_zicsr_zifencei -mabi=lp64d -misa-spec=20191213",
        },
        _ => MachineOptions { include: "", compiler: "-fasynchronous-unwind-tables", assembler: "" },
    }
}

fn split(words: &str) -> impl Iterator<Item = String> {
    words.split(' ').filter(|word| !word.is_empty()).map(str::to_owned)
}

fn describe(pair: &JobPair, words: &[String]) -> String {
    format!("{} {}", pair.tool, words.join(" "))
}

/// Removes what two builds of one version may differ in: the compiler that built them, and the checksum of the program.
fn without_own_version(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().filter(|line| !line.starts_with("Compiler executable checksum"));
    let lines = lines.map(|line| match line.split_once("compiled by ") {
        Some((start, by)) => format!("{start}{}", by.split_once(", ").map_or("", |(_, libraries)| libraries)),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n").into_bytes()
}

/// Returns the directories of `#include <...>` that a compiler lists with `-v`.
fn include_directories(text: &str) -> Option<Vec<String>> {
    let (_, list) = text.split_once("#include <...> search starts here:\n")?;
    let (list, _) = list.split_once("End of search list.")?;
    Some(list.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn include_directories_are_read_in_their_order() {
        let text = "ignoring nonexistent directory \"/x\"\n#include \"...\" search starts here:\n\
                    #include <...> search starts here:\n /usr/lib/gcc/aarch64-linux-gnu/14/include\n /usr/include\nEnd of search list.\n";
        let dirs = include_directories(text);
        assert_eq!(dirs, Some(vec!["/usr/lib/gcc/aarch64-linux-gnu/14/include".to_owned(), "/usr/include".to_owned()]));
        assert_eq!(include_directories("no list"), None);
    }

    #[test]
    fn the_checksum_of_a_compiler_is_not_its_version() {
        let text = |by: &str, sum: &str| {
            format!(
                "GNU C17 (Debian 14.2.0-19) version 14.2.0\n\tcompiled by GNU C version {by}, GMP version 6.3.0\nCompiler executable checksum: {sum}\n"
            )
        };
        let version = |text: &str| without_own_version(text.as_bytes());
        assert_eq!(version(&text("14.2.0", "1")), version(&text("12.2.0", "2")));
        assert_ne!(version(&text("14.2.0", "1")), version(&text("14.2.0", "1").replace("6.3.0", "6.2.0")));
    }
}
