//! The part of the tool: pulls an image with the same workers as the tool, and prints the result.

use binfmt_nix::qemu::oci;
use binfmt_nix::qemu::oci::pull_client;
use binfmt_nix::qemu::version_query::VersionQuery;
use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use std::{env, fs};

use binfmt_magic::Arch;
use binfmt_nix::error::{Error, Result};
use binfmt_nix::host::Host;
use binfmt_nix::qemu::archive::unpack::ImageLayers;
use binfmt_nix::qemu::download::ClientOptions;
use binfmt_nix::qemu::obtain::open::{Content, OpenedSource};
use binfmt_nix::qemu::obtain::unpack::unpack_emulators;
use binfmt_nix::qemu::oci::pull_client::PullRequest;
use binfmt_nix::qemu::oci::{ImageReference, Platform};
use binfmt_nix::sha256::Sha256;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

pub(crate) const ROLE: &str = "as-the-tool";
/// Variable with the time, in milliseconds, after which a silent connection fails.
const STALL: &str = "BINFMT_NIX_TEST_STALL";

/// Result of a pull.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Exit status of the error, or 0.
    pub(crate) code: u8,
    pub(crate) error: String,
    pub(crate) hint: String,
    pub(crate) pinned: String,
    pub(crate) manifest: String,
    pub(crate) moved: u64,
    /// Last reported progress: bytes transferred, and bytes in all.
    pub(crate) progress: (u64, u64),
    /// Digests of the unpacked emulators, by target.
    pub(crate) emulators: BTreeMap<String, Sha256>,
    /// Version of each emulator, or why it cannot be used.
    pub(crate) versions: BTreeMap<String, String>,
}

/// A run of the tool: its image, machine and environment.
pub(crate) struct Tool {
    image: String,
    machine: &'static str,
    variables: Vec<(String, String)>,
    pub(crate) dir: TempDir,
}

impl Tool {
    pub(crate) fn pulls(image: impl Into<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().to_str().unwrap().to_owned();
        Self { image: image.into(), machine: "x86_64", variables: Vec::new(), dir }
            .with(STALL, "300000")
            .with("HOME", &home)
            .with("XDG_RUNTIME_DIR", &home)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn on(self, machine: &'static str) -> Self {
        Self { machine, ..self }
    }

    /// Adds a file like `podman login` writes it.
    pub(crate) fn logged_in(self, auths: &serde_json::Value) -> Self {
        let file = self.dir.path().join("auth.json");
        fs::write(&file, serde_json::json!({ "auths": auths }).to_string()).unwrap();
        self.with("REGISTRY_AUTH_FILE", file.to_str().unwrap())
    }

    pub(crate) fn emulator(&self, target: &str) -> PathBuf {
        self.dir.path().join(format!("qemu-{target}"))
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args([ROLE, &self.image, self.machine, self.dir.path().to_str().unwrap(), "aarch64", "arm"])
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the tool. Checks that it does not panic, that its error has no control characters, and that its output has no
    /// password.
    pub(crate) fn run(&self) -> Outcome {
        let since = Instant::now();
        let output = self.command().output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let outcome: Outcome = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
        assert!(said.is_empty(), "{said}");
        let all = format!("{outcome:?}");
        for secret in ["den-of-the-fox", &base64("fox:den-of-the-fox"), "identity-of-the-fox"] {
            assert!(!all.contains(secret), "{all}");
        }
        assert!(!outcome.error.contains(char::is_control), "{all}");
        assert!(since.elapsed() < Duration::from_secs(600), "{:?}", since.elapsed());
        outcome
    }

    /// Checks that the tool fails with this exit status and these words, and leaves no emulator.
    #[track_caller]
    pub(crate) fn fails(&self, code: u8, words: &str) -> Outcome {
        let outcome = self.run();
        assert!(outcome.code == code && outcome.error.contains(words), "not {code} {words:?}: {outcome:?}");
        assert!(outcome.emulators.is_empty() && !self.emulator("aarch64").exists());
        outcome
    }

    /// Checks that the tool succeeds.
    #[track_caller]
    pub(crate) fn succeeds(&self) -> Outcome {
        let outcome = self.run();
        assert!(outcome.code == 0, "{outcome:?}");
        outcome
    }
}

/// Runs in the process of the tool: pulls the image and prints the [`Outcome`] as JSON.
pub(crate) fn role(image: &str, machine: &str, dir: &str, targets: &[&str]) -> ExitCode {
    let mut outcome = Outcome::default();
    if let Err(error) = pull(image, machine, Path::new(dir), targets, &mut outcome) {
        outcome.emulators.clear();
        (outcome.code, outcome.error) = (error.exit_code() as u8, error.to_string());
        outcome.hint = error.hint().unwrap_or_default();
    }
    println!("{}", serde_json::to_string(&outcome).unwrap());
    ExitCode::SUCCESS
}

fn pull(image: &str, machine: &str, dir: &Path, targets: &[&str], outcome: &mut Outcome) -> Result<()> {
    let host = Host::live();
    let image: ImageReference = image.parse().map_err(|e| Error::Usage(format!("{e}")))?;
    let stall = env::var(STALL).unwrap().parse().unwrap();
    let login = oci::read_login(&image);
    let order = PullRequest {
        image: &image,
        platform: Platform::for_machine(machine).unwrap(),
        login: &login,
        options: ClientOptions {
            stall: Duration::from_millis(stall),
            window: Duration::from_millis(stall),
            least: 1,
            pause: Duration::from_millis(1),
            ..ClientOptions::default()
        },
        extra_roots: &binfmt_nix::qemu::download::machine_config::named_roots(),
    };
    let mut tell = |progress: pull_client::PullProgress| {
        assert!(progress.bytes <= progress.total);
        outcome.progress = (progress.bytes, progress.total);
    };
    let (pulled, note) = pull_client::pull_image(&order, &mut tell, &mut || Ok(()))?;
    assert_eq!(note, None, "the pull worker gave up all rights");
    (outcome.pinned, outcome.manifest) = (pulled.pinned.to_string(), pulled.manifest.to_string());
    outcome.moved = pulled.moved;
    let again =
        || ImageLayers { file: pulled.layers.file.try_clone().unwrap(), lengths: pulled.layers.lengths.clone() };
    let mut came: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut sink = |target: &str, bytes: &[u8]| {
        came.entry(target.to_owned()).or_default().extend_from_slice(bytes);
        Ok(())
    };
    binfmt_nix::qemu::archive::unpack::unpack_layers(again(), "the image", targets, &mut sink, &mut || Ok(()))?;
    outcome.emulators = came.iter().map(|(target, bytes)| (target.clone(), Sha256::of_bytes(bytes))).collect();
    let archs: Vec<_> = targets.iter().map(|target| Arch::find(target).unwrap()).collect();
    let opened = OpenedSource {
        shown: "the image".to_owned(),
        content: Content::Layers(again()),
        sha256: None,
        note: None,
        release: None,
    };
    for (target, copy) in unpack_emulators(&host, &archs, machine, &opened, VersionQuery::Run)?.copies {
        let version = match copy.verdict {
            Ok(mut fit) => {
                let mut bytes = Vec::new();
                fit.file.rewind().unwrap();
                fit.file.read_to_end(&mut bytes).unwrap();
                let path = dir.join(format!("qemu-{target}"));
                fs::write(&path, &bytes).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
                fit.version.to_string()
            }
            Err(why) => why.to_string(),
        };
        outcome.versions.insert(target.to_owned(), version);
    }
    Ok(())
}

pub(crate) fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
