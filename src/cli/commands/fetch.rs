//! The command `fetch`: downloads emulators into an archive for `register --from`.

use std::fs::File;
use std::io::{self, IsTerminal as _, Seek as _, SeekFrom, Write};
use std::path::Path;

use binfmt_magic::Arch;

use super::named_systems;
use crate::cli;
use crate::cli::commands::source;
use crate::cli::json::BundleReport;
use crate::error::{Error, ExitCode, Result};
use crate::host::env::kernel_release;
use crate::host::{self, Host, OutputFile};
use crate::paths;
use crate::qemu::archive::{Manifest, ManifestFile, bundle};
use crate::qemu::binary::QemuVersion;
use crate::qemu::download::Network;
use crate::qemu::download::machine_config;
use crate::qemu::obtain::source::{RequestedRelease, Source};
use crate::qemu::obtain::{
    Caching, ChosenEmulator, ObtainContext, PipelineOptions, Purpose, ResolvedSource, SystemRequest,
};
use crate::qemu::version_query::VersionQuery;
use crate::sanitize::{AsText as _, shell_quote};
use crate::sha256::{HashingWriter, Sha256};
use crate::sorted;
use crate::ui::Ui;

pub(super) fn run(args: &cli::FetchArgs, host: &Host, ui: &Ui) -> Result<ExitCode> {
    let to_stdout = args.output == Path::new("-");
    if to_stdout && (ui.is_json() || io::stdout().is_terminal()) {
        return Err(Error::Usage(
            "-o - writes the archive to standard output: use no --json, and redirect standard output to a file or pipe"
                .into(),
        ));
    }
    let (systems, all) = named_systems(&args.systems)?;
    let network = Network { mirror: machine_config::user_mirror(args.mirror.as_deref())?, offline: false };
    let machine = parse_machine(args.host.as_deref());
    host.catch_signals().map_err(|e| Error::io("catch the signals of", &host::env::own_path(), e))?;
    // Created first, so that a path that cannot be written fails before the download.
    let mut output = if to_stdout { None } else { Some(host::user_files::create_output(&args.output)?) };
    let source = source(args)?;
    let emulators = obtain(ObtainContext { host, ui, network: &network }, &source, &machine, &systems, all)?;
    let manifest = build_manifest(&machine, &emulators);
    let files = emulators.into_iter().map(|emulator| emulator.file).collect();
    let written = match &mut output {
        Some(given) => write_bundle(given.file(), &manifest, files),
        None => write_bundle(io::stdout().lock(), &manifest, files),
    };
    let sha256 = written.map_err(|e| Error::io("write", &args.output, e))?;
    if let Some(signal) = host.pending_signal() {
        return Err(Error::Interrupted { signal });
    }
    output.map_or(Ok(()), OutputFile::place)?;
    print_report(ui, &BundleReport { version: 1, file: args.output.as_text(), sha256, manifest }, to_stdout);
    Ok(ExitCode::Ok)
}

/// An emulator for the archive.
struct FetchedEmulator {
    arch: &'static Arch,
    file: File,
    size: u64,
    sha256: Sha256,
    version: QemuVersion,
}

fn source(args: &cli::FetchArgs) -> Result<Source> {
    match (args.source, source::parse_release(args.qemu_version.as_deref())?) {
        (cli::FetchSource::Download, release) => Ok(Source::Download(release)),
        (cli::FetchSource::Fallback, RequestedRelease::Pinned) => Ok(Source::Fallback),
        (cli::FetchSource::Fallback, _) => Err(source::fallback_release_error()),
    }
}

/// Obtains the emulators and sorts them by name, so that the order of the arguments does not change the archive.
fn obtain(
    context: ObtainContext<'_>,
    source: &Source,
    machine: &str,
    systems: &[&'static Arch],
    all: bool,
) -> Result<Vec<FetchedEmulator>> {
    let host = context.host;
    let (purpose, caching) = (Purpose::Bundle, Caching::Read);
    let supply = ResolvedSource::open(
        context,
        &PipelineOptions {
            source,
            machine,
            kernel: kernel_release().1,
            purpose,
            caching,
            version_query: VersionQuery::Run,
        },
        systems,
    )?;
    let wanted = |arch: &&'static Arch| SystemRequest { arch, installed: None, interpreters: Vec::new() };
    let mut looked = supply.find_available(host, &systems.iter().map(wanted).collect::<Vec<_>>())?;
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for arch in systems {
        let available = looked.available.remove(arch.target).unwrap_or_default();
        let fit = match supply.choose_emulator(arch, &available) {
            Ok(ChosenEmulator::Installed(_) | ChosenEmulator::Download(_)) => {
                missing.push(*arch);
                continue;
            }
            Ok(ChosenEmulator::Copy(_, fit)) => Some(fit),
            Ok(ChosenEmulator::Cached(cached)) => cached.validated.as_ref(),
            Err(Error::NoInterpreter { .. } | Error::Unsupported { .. }) if all => None,
            Err(error) => return Err(error),
        };
        if let Some(fit) = fit {
            let file = fit.file.try_clone().map_err(|e| unreadable(arch, e))?;
            found.push(emulator(arch, file, fit.sha256, fit.version)?);
        }
    }
    let mut create =
        |_: &Arch, _| host::memfd::create_scratch().map_err(|e| Error::io("keep in memory", Path::new("QEMU"), e));
    let downloads = supply.download_emulators(context, &missing, &mut create)?;
    for one in downloads.emulators {
        found.push(emulator(one.arch, one.file, one.sha256, one.version)?);
    }
    for note in looked.notes.iter().chain(&downloads.note) {
        context.ui.print_note(note);
    }
    if found.is_empty() {
        return Err(Error::NoInterpreter {
            binary: "QEMU".into(),
            tried: format!("{} has none", supply.origin_name()),
        });
    }
    sorted::sort_by_key(&mut found, |emulator| emulator.arch.target);
    Ok(found)
}

fn emulator(arch: &'static Arch, mut file: File, sha256: Sha256, version: QemuVersion) -> Result<FetchedEmulator> {
    let size = file.seek(SeekFrom::End(0)).and_then(|size| file.rewind().map(|()| size));
    Ok(FetchedEmulator { arch, file, size: size.map_err(|e| unreadable(arch, e))?, sha256, version })
}

fn unreadable(arch: &Arch, source: io::Error) -> Error {
    Error::io("read", Path::new(arch.target), source)
}

/// Returns the machine of `--host`, which may have any of its names; the default is this machine.
fn parse_machine(named: Option<&str>) -> String {
    let Some(name) = named else { return crate::host::env::kernel_release().0 };
    Arch::find(name).map_or_else(|_| name.to_owned(), |arch| arch.target.to_owned())
}

fn build_manifest(machine: &str, emulators: &[FetchedEmulator]) -> Manifest {
    let listed = |emulator: &FetchedEmulator| ManifestFile {
        target: emulator.arch.target.to_owned(),
        name: paths::emulator_name(emulator.arch),
        size: emulator.size,
        sha256: emulator.sha256,
    };
    // Archives of other publishers may contain several releases.
    let releases = sorted::set(emulators.iter().map(|emulator| emulator.version));
    let releases: Vec<_> = releases.iter().map(ToString::to_string).collect();
    Manifest {
        version: Manifest::VERSION,
        host: machine.to_owned(),
        qemu: releases.join(", "),
        files: emulators.iter().map(listed).collect(),
    }
}

fn write_bundle(out: impl Write, manifest: &Manifest, files: Vec<File>) -> io::Result<Sha256> {
    let mut hashed = bundle::write_bundle(HashingWriter::new(out), manifest, files)?;
    hashed.flush()?;
    Ok(hashed.finish())
}

fn print_report(ui: &Ui, bundle: &BundleReport, to_stdout: bool) {
    let BundleReport { file, sha256, manifest, .. } = bundle;
    let names: Vec<_> = manifest.files.iter().map(|listed| listed.target.as_str()).collect();
    let text = format!("QEMU {} for {} hosts: {}", manifest.qemu, manifest.host, names.join(" "));
    if to_stdout {
        ui.print_note(&text);
        return;
    }
    ui.print_result(&text);
    ui.print_result(&format!(
        "use with: binfmt-nix register {} --from {} --sha256 {sha256}",
        names.join(" "),
        shell_quote(file)
    ));
    if ui.is_json() {
        ui.print_json(bundle);
    }
}
