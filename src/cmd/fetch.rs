//! `binfmt-nix fetch SYSTEM… -o FILE`

use std::fs::File;
use std::io::{self, IsTerminal as _, Seek as _, Write};
use std::path::Path;

use binfmt_magic::Arch;

use super::{named_systems, origin};
use crate::archive::{Listed, Manifest, bundle};
use crate::catalog::{Member, Package};
use crate::cli;
use crate::digest::{Hashed, Sha256};
use crate::error::{Error, ExitCode, Result};
use crate::host::{self, Host, OutputFile};
use crate::outcome::Bundle;
use crate::qemu::obtain::{
    latest,
    source::{self, Network, Release, Source},
};
use crate::ui::Ui;
use crate::{fetch, mirrors};

pub(super) fn run(args: &cli::Fetch, host: &Host, ui: &Ui) -> Result<ExitCode> {
    let to_stdout = args.output == Path::new("-");
    if to_stdout && (ui.is_json() || io::stdout().is_terminal()) {
        return Err(Error::Usage(
            "the archive itself goes to stdout by -o -, so neither JSON nor a terminal can".into(),
        ));
    }
    let (systems, all) = named_systems(&args.systems)?;
    let network = Network { mirror: mirrors::named(args.mirror.as_deref())?, offline: false };
    let machine = machine(args.host.as_deref());
    let package = package(args, host, ui, &network, &machine)?;
    let members = members(package, &systems, all)?;
    host.catch_signals().map_err(|e| Error::io("hold signals of", &host::env::own_path(), e))?;
    // Before the download, which it would be for nothing.
    let mut output = if to_stdout { None } else { Some(host::user_files::create_output(&args.output)?) };
    let mut files: Vec<(&Member, File)> = Vec::new();
    for member in members {
        files.push((
            member,
            host::memfd::create_scratch().map_err(|e| Error::io("keep in memory", Path::new("QEMU"), e))?,
        ));
    }
    let open = files.iter_mut().map(|(member, file)| (member.target.as_str(), file)).collect();
    let (_, note) = fetch::into_files(host, ui, package, open, &network)?;
    if let Some(note) = note {
        ui.note(&note);
    }
    for (member, file) in &mut files {
        fetch::check(file, member)?;
        file.rewind().map_err(|e| Error::io("read", Path::new(&member.target), e))?;
    }
    let manifest = manifest(package, &files);
    let files = files.into_iter().map(|(_, file)| file).collect();
    let written = match &mut output {
        Some(given) => write(given.file(), &manifest, files),
        None => write(io::stdout().lock(), &manifest, files),
    };
    let sha256 = written.map_err(|e| Error::io("write", &args.output, e))?;
    if let Some(signal) = host.pending_signal() {
        return Err(Error::Interrupted { signal });
    }
    output.map_or(Ok(()), OutputFile::place)?;
    report(ui, &Bundle { version: 1, file: args.output.clone(), sha256, manifest }, to_stdout);
    Ok(ExitCode::Ok)
}

/// The release that is wanted, for that machine.
fn package(args: &cli::Fetch, host: &Host, ui: &Ui, network: &Network, machine: &str) -> Result<&'static Package> {
    let release = origin::release(args.qemu_version.as_deref())?;
    if release == Release::Latest {
        let latest = latest::find(host, ui, network, machine, false)?;
        return latest.package(machine)?.ok_or_else(|| Error::Unsupported {
            what: "the newest QEMU of Debian is newer than any that this binfmt-nix has a list of".into(),
            hint: "register --qemu-version latest can use it, for that verifies all of its package".into(),
        });
    }
    source::package(machine, &Source::Download(release))?.ok_or_else(|| no_download("QEMU", machine))
}

/// By any name of it.
fn machine(named: Option<&str>) -> String {
    let Some(name) = named else { return crate::host::env::kernel().0 };
    Arch::find(name).map_or_else(|_| name.to_owned(), |arch| arch.target.to_owned())
}

/// In the order of their names, so that the archive does not tell how it was asked for.
fn members<'a>(package: &'a Package, systems: &[&'static Arch], all: bool) -> Result<Vec<&'a Member>> {
    let mut members = Vec::new();
    for arch in systems {
        match package.member(arch.target) {
            Some(member) => members.push(member),
            None if all => {}
            None => return Err(no_download(&format!("qemu-{}", arch.target), &package.host)),
        }
    }
    members.sort_by_key(|member| &member.target);
    Ok(members)
}

fn no_download(what: &str, machine: &str) -> Error {
    Error::Unsupported {
        what: format!("no download of {what} is known for {machine} hosts"),
        hint: "there is one for x86_64 and for aarch64 (--host)".into(),
    }
}

fn manifest(package: &Package, files: &[(&Member, File)]) -> Manifest {
    let listed = |(member, _): &(&Member, File)| Listed {
        target: member.target.clone(),
        name: format!("qemu-{}", member.target),
        size: member.size,
        sha256: member.sha256,
    };
    Manifest {
        version: Manifest::VERSION,
        host: package.host.clone(),
        qemu: package.qemu_version.clone(),
        files: files.iter().map(listed).collect(),
    }
}

fn write(out: impl Write, manifest: &Manifest, files: Vec<File>) -> io::Result<Sha256> {
    let mut hashed = bundle::write(Hashed::new(out), manifest, files)?;
    hashed.flush()?;
    Ok(hashed.sha256())
}

fn report(ui: &Ui, bundle: &Bundle, to_stdout: bool) {
    let Bundle { file, sha256, manifest, .. } = bundle;
    let names: Vec<_> = manifest.files.iter().map(|listed| listed.target.as_str()).collect();
    let text = format!("QEMU {} for {} hosts: {}", manifest.qemu, manifest.host, names.join(" "));
    if to_stdout {
        ui.note(&text);
        return;
    }
    ui.result(&text);
    ui.result(&format!("use with: binfmt-nix register SYSTEM… --from {} --sha256 {sha256}", file.display()));
    if ui.is_json() {
        ui.json(bundle);
    }
}
