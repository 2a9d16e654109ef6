//! The proof of pairs: both programs of each pair run over the corpus, in the guest's root directory, and everything that
//! they leave is compared.
//!
//! A worker makes a mount namespace with a root directory in memory, which shows the guest's tree, the emulator, and the
//! bundles at their final paths. It gives up its rights and its network, and runs each case twice in one directory: the
//! guest's program by the emulator, and the native one. Exit status, standard output, standard error, and each file have to
//! be the same, byte for byte. The first difference refuses the pair, and so does a native program that crashes or hangs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use binfmt_magic::Arch;
use serde::{Deserialize, Serialize};

use crate::accelerate::bundle::{self, Bundle, NativeStart};
use crate::accelerate::corpus;
use crate::accelerate::find::FoundPair;
use crate::accelerate::identity::{ToolFile, read_tool};
use crate::accelerate::tools::{TOOLS, Tool, ToolKind};
use crate::error::{Error, Failure, Result};
use crate::host::{Host, Worker, memfd};
use crate::paths;
use crate::sandbox::frame::{Frame, FrameReader};
use crate::sandbox::pace::{MIN_PROGRESS, PaceLimits};
use crate::sandbox::{self, WorkerState};
use crate::sha256::Sha256;
use crate::sorted;

mod cases;
mod compare;
pub mod worker;

pub use compare::PairRefusal;

/// Time that one run of a tool may take, by the emulator or natively. The largest case takes some seconds.
pub const RUN_LIMIT: Duration = Duration::from_secs(900);

/// A pair with everything that its proof needs.
#[derive(Debug)]
pub struct ProofSubject {
    /// The pair.
    pub pair: FoundPair,
    /// Guest's program.
    pub guest: ToolFile,
    /// Native program.
    pub native: ToolFile,
    /// How the native program is started.
    pub bundle: Bundle,
}

impl ProofSubject {
    /// Reads both programs of a pair, and plans the bundle of the native one.
    ///
    /// # Errors
    /// A program cannot be read safely, or not be bundled.
    pub fn read(arch: &Arch, pair: FoundPair, tree: &Host, native: &Host) -> Result<Self> {
        let guest = read_tool(tree, &pair.guest)?;
        let bundle = bundle::plan(native, &pair.native, &paths::native_dir(arch), pair.tool.name)?;
        Ok(Self { guest, native: read_tool(native, &pair.native)?, bundle, pair })
    }
}

/// Where and how pairs are proven.
#[derive(Debug)]
pub struct ProofPlan<'a> {
    /// Root directory of the guest's programs.
    pub tree: &'a Host,
    /// Paths in it that are visible, such as the Nix store; everything, if there is none.
    pub parts: &'a [PathBuf],
    /// Host of the native programs.
    pub native: &'a Host,
    /// Real path of the guest's emulator.
    pub emulator: &'a Path,
    /// QEMU's name of the guest.
    pub target: &'a str,
    /// Time that one run may take.
    pub limit: Duration,
    /// Every how many cases of a pair one is run. 1 is a proof, and any other number a test of it.
    pub stride: usize,
}

/// Record of a proof. It is about two programs, and valid as long as the corpus has this digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PairProof {
    /// Digest of the corpus.
    pub corpus: Sha256,
    /// Number of runs that were compared.
    pub runs: u32,
    /// Number of bytes that were compared.
    pub bytes: u64,
    /// Arguments that are added after those of the caller: the guest's include directories.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub arguments: Vec<String>,
    /// Variables (`NAME=VALUE`) that are set for the native program.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub environment: Vec<String>,
}

impl PairProof {
    /// Whether the proof is of the corpus of this version.
    pub fn is_current(&self) -> bool {
        self.corpus == corpus::digest()
    }
}

/// Result for one pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Everything was the same.
    Proven(PairProof),
    /// The pair must not be used.
    Refused(PairRefusal),
}

/// The proof could not be carried out.
#[derive(Debug, thiserror::Error)]
#[error("the pairs cannot be proven: the worker {0}")]
pub struct ProofError(String);

impl Failure for ProofError {}

/// Work of the worker.
#[derive(Debug, Serialize, Deserialize)]
struct Job {
    tree: PathBuf,
    parts: Vec<PathBuf>,
    /// Real path, path in the root, mode
    copies: Vec<(PathBuf, PathBuf, u32)>,
    target: String,
    limit: Duration,
    stride: usize,
    pairs: Vec<JobPair>,
}

/// A pair as the worker runs it.
#[derive(Debug, Serialize, Deserialize)]
struct JobPair {
    tool: String,
    guest: PathBuf,
    multiarch: Option<String>,
    start: NativeStart,
}

impl JobPair {
    fn tool(&self) -> Option<&'static Tool> {
        TOOLS.iter().find(|tool| tool.name == self.tool)
    }

    fn kind(&self) -> ToolKind {
        self.tool().map_or(ToolKind::Filter, |tool| tool.kind)
    }
}

/// Message of the worker.
#[derive(Debug, Serialize, Deserialize)]
enum ProofMessage {
    /// Number of cases that are done, and of all
    Progress(u32, u32),
    /// Nothing differed in the pair with this number
    Proven { pair: usize, runs: u32, bytes: u64, arguments: Vec<String>, environment: Vec<String> },
    /// The pair with this number is refused
    Refused { pair: usize, refusal: PairRefusal },
    /// Every pair has its result
    Done,
}

/// Proves pairs. `progress` gets the number of cases that are done and of all, which is 0 before the first one is done. Its
/// error ends the proof.
///
/// # Errors
/// The worker fails: the kernel or a container refuses the namespaces, or the emulator does not run. A difference is not an
/// error, but a verdict.
pub fn prove(
    plan: &ProofPlan,
    subjects: &[ProofSubject],
    progress: &mut dyn FnMut(u32, u32) -> Result<()>,
) -> Result<Vec<Verdict>> {
    let job = serde_json::to_vec(&job_of(plan, subjects)).map_err(|e| failed(&e.to_string()))?;
    let input = memfd::create_input(&job).map_err(|e| failed(&e.to_string()))?;
    let started = Worker::start_with_file(worker::PROVE_COMMAND, &[worker::ENTER.to_owned()], input);
    let limits = PaceLimits {
        window: plan.limit.saturating_mul(4).saturating_add(Duration::from_secs(600)),
        least: MIN_PROGRESS,
        whole: Duration::from_secs(86400),
    };
    let mut inbox =
        ProofInbox { frames: FrameReader::default(), verdicts: vec![None; subjects.len()], counts: (0, 0), steps: 0 };
    let reported = std::cell::Cell::new((0, 0));
    let mut check = || {
        let (done, all) = reported.get();
        progress(done, all)
    };
    let mut handle = |bytes: &[u8]| {
        let state = inbox.read(bytes);
        reported.set(inbox.counts);
        state
    };
    let verdicts = sandbox::supervise(started, limits, &|why| failed(&why), &mut check, &mut handle)?;
    // The last step, after which the worker was not asked again.
    check()?;
    let mut verdicts: Vec<Verdict> = verdicts
        .into_iter()
        .map(|verdict| verdict.unwrap_or_else(|| Verdict::Refused(PairRefusal::without_result())))
        .collect();
    // The programs are still those that were read.
    for (subject, verdict) in subjects.iter().zip(&mut verdicts) {
        let is_same = |host: &Host, tool: &ToolFile| {
            read_tool(host, &tool.identity.path).is_ok_and(|now| now.identity == tool.identity)
        };
        if !is_same(plan.tree, &subject.guest) || !is_same(plan.native, &subject.native) {
            *verdict = Verdict::Refused(PairRefusal::changed());
        }
    }
    Ok(verdicts)
}

fn failed(why: &str) -> Error {
    Error::other(ProofError(why.to_owned()))
}

fn job_of(plan: &ProofPlan, subjects: &[ProofSubject]) -> Job {
    let below = |path: &Path| path.strip_prefix("/").unwrap_or(path).to_owned();
    // Programs share libraries, and two guest programs may have one native program.
    let files = subjects.iter().flat_map(|subject| &subject.bundle.files);
    let copies = sorted::map(files.map(|file| (&file.target, (plan.native.real_path(&file.source), file.mode))));
    let copies = copies.into_iter().map(|(target, (source, mode))| (source, below(target), mode));
    let emulator = (plan.emulator.to_owned(), below(Path::new(worker::EMULATOR)), 0o755);
    let pair = |subject: &ProofSubject| JobPair {
        tool: subject.pair.tool.name.to_owned(),
        guest: subject.guest.identity.path.clone(),
        multiarch: subject.pair.multiarch.clone(),
        start: subject.bundle.start.clone(),
    };
    Job {
        tree: plan.tree.real_path(Path::new("/")),
        parts: plan.parts.iter().map(|part| below(part)).collect(),
        copies: copies.chain([emulator]).collect(),
        target: plan.target.to_owned(),
        limit: plan.limit,
        stride: plan.stride.max(1),
        pairs: subjects.iter().map(pair).collect(),
    }
}

/// The worker's messages so far.
struct ProofInbox {
    frames: FrameReader,
    verdicts: Vec<Option<Verdict>>,
    counts: (u32, u32),
    steps: u64,
}

impl ProofInbox {
    fn read(&mut self, mut input: &[u8]) -> Result<WorkerState<Vec<Option<Verdict>>>> {
        loop {
            let frame = self.frames.next_frame(&mut input).map_err(|e| failed(&e.to_string()))?;
            match frame {
                None => return Ok(WorkerState::Working(self.steps.saturating_mul(MIN_PROGRESS))),
                Some(Frame::Bytes(_)) => return Err(failed("sent bytes")),
                Some(Frame::Message(ProofMessage::Done)) => {
                    return Ok(WorkerState::Done(std::mem::take(&mut self.verdicts)));
                }
                Some(Frame::Message(message)) => self.accept(message),
            }
        }
    }

    fn accept(&mut self, message: ProofMessage) {
        let mut set = |pair: usize, verdict| {
            if let Some(place) = self.verdicts.get_mut(pair) {
                *place = Some(verdict);
            }
        };
        match message {
            ProofMessage::Progress(done, all) => {
                // Each case counts once.
                self.steps = self.steps.max(u64::from(done));
                self.counts = (done, all);
            }
            ProofMessage::Refused { pair, refusal } => set(pair, Verdict::Refused(refusal)),
            ProofMessage::Proven { pair, runs, bytes, arguments, environment } => {
                let proof = PairProof { corpus: corpus::digest(), runs, bytes, arguments, environment };
                set(pair, Verdict::Proven(proof));
            }
            ProofMessage::Done => {}
        }
    }
}
