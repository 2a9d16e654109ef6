//! The whole pipeline in one call, for the commands without a plan: `run` and `register --in-memory`.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, EntryName, Flags, Recognition, Rule};

use super::cached::{describe_cache_failure, lock_cache};
use super::choose::ChosenEmulator;
use super::download::{Destination, DownloadedEmulator};
use super::open::Content;
use super::source::Source;
use super::{AvailableEmulators, Caching, ObtainContext, PipelineOptions, Purpose, ResolvedSource, SystemRequest};
use crate::binfmt::in_memory::{FD_DIR, in_memory_path};
use crate::error::{Error, Result};
use crate::host::{self, Host};
use crate::paths;
use crate::qemu::binary::{FIRST_WITH_ARGV0, QemuVersion};
use crate::qemu::candidate;
use crate::qemu::version_query::VersionQuery;

/// An emulator that can be registered.
#[derive(Debug)]
pub struct Emulator {
    /// System that the emulator runs.
    pub arch: &'static Arch,
    /// File of the emulator.
    pub file: EmulatorFile,
    /// Release of QEMU.
    pub version: QemuVersion,
}

/// File of an emulator.
#[derive(Debug)]
pub enum EmulatorFile {
    /// A file with a path.
    File(PathBuf),
    /// A sealed file in memory. It exists as long as this handle is open, or an entry refers to it.
    Memory(File),
}

/// Place where the emulators have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// A file is used in file; a download is stored in the user's cache.
    Cached,
    /// A file is used in file; a download stays in memory.
    Temporary,
    /// Every emulator is copied into memory, so that no file is needed afterwards.
    Memory,
}

/// Choices of the command.
#[derive(Debug)]
pub struct ObtainOptions<'a> {
    /// Source that the user chose.
    pub source: &'a Source,
    /// Whether systems without an emulator in the source are skipped.
    pub skip_missing: bool,
    /// Place where the emulators have to be.
    pub storage: Storage,
}

impl Emulator {
    /// Builds the rule that registers the emulator. With flag F the kernel opens the interpreter during the registration, so
    /// a file in memory has to stay open until then.
    pub fn build_rule(&self, name: &str, credentials: bool) -> Result<Rule> {
        self.build_rule_with_path(FD_DIR, name, credentials)
    }

    /// Like [`Self::build_rule`], but names a file in memory below `fd_dir`, another path of the directory of open files.
    pub fn build_rule_with_path(&self, fd_dir: &str, name: &str, credentials: bool) -> Result<Rule> {
        let interpreter = match &self.file {
            EmulatorFile::File(path) => path.as_os_str().as_bytes().to_vec(),
            EmulatorFile::Memory(file) => in_memory_path(fd_dir, file),
        };
        Ok(Rule {
            name: EntryName::new(name)?,
            recognition: Recognition::Magic(self.arch.pattern()),
            interpreter,
            flags: Flags {
                preserve_argv0: self.version >= FIRST_WITH_ARGV0,
                open_binary: credentials,
                credentials,
                fix_binary: true,
                ..Flags::default()
            },
        })
    }
}

/// Obtains one emulator for each of the systems.
pub fn obtain_emulators(
    context: ObtainContext<'_>,
    systems: &[SystemRequest],
    machine: (&str, (u32, u32)),
    options: &ObtainOptions<'_>,
) -> Result<Vec<Emulator>> {
    let (purpose, caching) = match options.storage {
        Storage::Cached => (Purpose::Caller, Caching::ReadWrite),
        Storage::Temporary => (Purpose::Caller, Caching::Ignore),
        Storage::Memory => (Purpose::Machine, Caching::Read),
    };
    let pipeline = PipelineOptions {
        source: options.source,
        machine: machine.0,
        kernel: machine.1,
        purpose,
        caching,
        version_query: VersionQuery::Run,
    };
    let archs: Vec<_> = systems.iter().map(|wanted| wanted.arch).collect();
    let resolved = ResolvedSource::open(context, &pipeline, &archs)?;
    let mut search = resolved.find_available(context.host, systems)?;
    for note in &search.notes {
        context.ui.print_note(note);
    }
    let (mut found, mut missing, mut absent) = (Vec::new(), Vec::new(), Vec::new());
    for arch in archs {
        let available = search.available.remove(arch.target).unwrap_or_default();
        match resolved.use_available(arch, available) {
            Ok(Some(emulator)) => found.push(emulator),
            Ok(None) => missing.push(arch),
            Err(Error::NoInterpreter { .. } | Error::Unsupported { .. }) if options.skip_missing => {
                absent.push(arch.target);
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(first) = absent.first() {
        if found.is_empty() && missing.is_empty() {
            let (binary, tried) = (format!("qemu-{first}"), "none is installed, for any of the systems".into());
            return Err(Error::NoInterpreter { binary, tried });
        }
        context.ui.print_note(&format!("{} has no emulator for: {}", resolved.origin_name(), absent.join(" ")));
    }
    if caching == Caching::ReadWrite {
        let in_memory = found.iter().filter_map(|one| match &one.file {
            EmulatorFile::Memory(file) => Some((one.arch, file)),
            EmulatorFile::File(_) => None,
        });
        resolved.store_in_cache(context, &in_memory.collect::<Vec<_>>(), &absent);
    }
    if !missing.is_empty() {
        found.extend(resolved.download_missing(context, &missing, caching)?);
    }
    if options.storage != Storage::Memory {
        return Ok(found);
    }
    let named = matches!(options.source, Source::File(_) | Source::External(_));
    found.into_iter().map(|emulator| copy_to_memory(context.host, machine.0, emulator, named)).collect()
}

impl ResolvedSource {
    /// Chooses the emulator, and returns it unless it has to be downloaded.
    fn use_available(&self, arch: &'static Arch, mut available: AvailableEmulators) -> Result<Option<Emulator>> {
        let (path, version) = match self.choose_emulator(arch, &available)? {
            ChosenEmulator::Installed(version) => (paths::interpreter_path(arch), version),
            ChosenEmulator::Cached(cached) => (cached.path.clone(), cached.version),
            ChosenEmulator::Copy(copy, fit) => (copy.path.clone(), fit.version),
            ChosenEmulator::Download(_) => return Ok(None),
        };
        // An unpacked emulator has no path of its own: `path` is that of the archive.
        let unpacked = self.opened.as_ref().is_some_and(|opened| !matches!(opened.content, Content::Directory(_)));
        let file = match available.copies.pop().filter(|_| unpacked).and_then(|copy| copy.verdict.ok()) {
            Some(fit) => EmulatorFile::Memory(fit.file),
            None => EmulatorFile::File(path),
        };
        Ok(Some(Emulator { arch, file, version }))
    }

    /// Downloads emulators into the cache, or into memory if the cache cannot be written.
    fn download_missing(
        &self,
        context: ObtainContext<'_>,
        archs: &[&'static Arch],
        caching: Caching,
    ) -> Result<Vec<Emulator>> {
        let host = context.host;
        host.catch_signals().map_err(|e| Error::io("catch the signals of", &host::env::own_path(), e))?;
        let Some(cache) = self.cache.as_ref().filter(|_| caching == Caching::ReadWrite) else {
            return self.download_into_memory(context, archs);
        };
        match lock_cache(context, cache) {
            Ok(_lock) => {
                let files = self.download_into_cache(context, cache, archs)?.into_iter();
                Ok(files
                    .map(|(arch, path, version)| Emulator { arch, file: EmulatorFile::File(path), version })
                    .collect())
            }
            Err(error @ (Error::Locked { .. } | Error::Interrupted { .. })) => Err(error),
            Err(error) => {
                context.ui.print_note(&describe_cache_failure(&error));
                self.download_into_memory(context, archs)
            }
        }
    }

    fn download_into_memory(&self, context: ObtainContext<'_>, archs: &[&'static Arch]) -> Result<Vec<Emulator>> {
        let mut create = |_: &Arch, _| {
            let file = host::memfd::create_sealable().map_err(|e| memfd_error(&e))?;
            Ok(MemoryDestination { file })
        };
        let downloads = self.download_emulators(context, archs, &mut create)?;
        if let Some(note) = &downloads.note {
            context.ui.print_note(note);
        }
        let emulator = |DownloadedEmulator { arch, file, version, .. }: DownloadedEmulator<MemoryDestination>| {
            Emulator { arch, file: EmulatorFile::Memory(file.file), version }
        };
        Ok(downloads.emulators.into_iter().map(emulator).collect())
    }
}

/// A file in memory that is sealed once it is complete.
struct MemoryDestination {
    file: File,
}

impl Destination for MemoryDestination {
    fn file(&mut self) -> &mut File {
        &mut self.file
    }

    fn make_immutable(&mut self) -> io::Result<()> {
        host::memfd::seal_program(&self.file)
    }
}

/// Copies an emulator into memory. `named` means that the user named the path, so that its owner and mode do not matter.
fn copy_to_memory(host: &Host, machine: &str, emulator: Emulator, named: bool) -> Result<Emulator> {
    let EmulatorFile::File(path) = &emulator.file else { return Ok(emulator) };
    let file = copy_file_to_memory(host, path, named)?;
    let fit = candidate::validate_binary(emulator.arch, machine, file, VersionQuery::Run).map_err(|why| {
        Error::Unfit { path: path.clone(), binary: paths::emulator_name(emulator.arch), why: why.to_string() }
    })?;
    Ok(Emulator { file: EmulatorFile::Memory(fit.file), version: fit.version, ..emulator })
}

fn copy_file_to_memory(host: &Host, path: &Path, named: bool) -> Result<File> {
    let mut memory = host::memfd::create_sealable().map_err(|e| memfd_error(&e))?;
    let file = if named { host::user_files::open_regular(path)? } else { host.open_trusted_through_links(path)? };
    host::regular_file::copy_program(&file, &mut memory).map_err(|e| Error::io("copy", path, e))?;
    host::memfd::seal_program(&memory).map_err(|e| memfd_error(&e))?;
    Ok(memory)
}

/// `vm.memfd_noexec` = 2 (sysctl/vm.rst) forbids programs in memory.
fn memfd_error(source: &io::Error) -> Error {
    Error::Unsupported {
        what: format!("cannot keep an emulator in memory: {source}"),
        hint: "use a file: omit --no-cache, with a cache directory that can be written; or as root: sysctl \
               vm.memfd_noexec=0"
            .into(),
    }
}
