//! The whole download from a server that is honest, lies, closes connections early, or sends bytes of the input.
//!
//! The input describes a small package with its catalogue, blocks that are xz or other bytes, and the server's answers.
//! For every input: the tool does not panic; it decodes only bytes whose digest is right; it writes no byte beyond the
//! end of a member; and it reports only those members as verified that have the digest of the catalogue.
#![no_main]

mod package;
mod server;
#[path = "../xz.rs"]
mod xz;

use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use binfmt_nix::qemu::catalog::Member;
use binfmt_nix::qemu::download::{
    ClientOptions, DownloadEvent, HttpClient, Mirror, Proxies, RootCertificates, download_package,
};
use binfmt_nix::sha256::Sha256;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

use package::Deb;
use server::{Answer, LIES};

fuzz_target!(|data: &[u8]| {
    // An input that is too short for a package is ignored.
    let _ = run(&mut Unstructured::new(data));
});

static CLIENT: LazyLock<HttpClient> = LazyLock::new(|| {
    let short = Duration::from_millis(300);
    let options = ClientOptions {
        connect: short,
        stall: short,
        whole: 3 * short,
        proxies: Proxies::None,
        ..ClientOptions::default()
    };
    HttpClient::new(&options, RootCertificates::default()).expect("a client")
});

fn run(input: &mut Unstructured<'_>) -> Result<()> {
    let deb = Deb::new(input)?;
    let answers: Vec<Answer> = (0..input.int_in_range(1..=4)?).map(|_| Answer::new(input)).collect::<Result<_>>()?;
    let base = server::serve(deb.bytes.clone(), answers).parse().expect("an address is a URL");

    let targets: Vec<&str> = deb.package.members.iter().map(|member| member.target.as_str()).collect();
    let plan = deb.package.plan_blocks(&targets).expect("its own members");
    let mirrors = [Mirror::Archive(base), Mirror::BySha1(server::serve_again().parse().expect("the same"))];
    let (mut given, mut verified): (Vec<(Member, Vec<u8>)>, Vec<String>) = (Vec::new(), Vec::new());
    let mut sink = |member: &Member, bytes: &[u8]| {
        assert!(!LIES.load(Ordering::SeqCst), "bytes with a wrong digest were decoded");
        match given.last_mut() {
            Some((last, content)) if last == member => content.extend(bytes),
            _ => given.push((member.clone(), bytes.to_vec())),
        }
        Ok(())
    };
    let done = download_package(&plan, &mirrors, &CLIENT, &mut sink, &mut |event| match event {
        DownloadEvent::Verified { member } => verified.push(member.target.clone()),
        DownloadEvent::Moved { bytes, of } => assert!(bytes <= of, "{bytes} of {of}"),
        _ => {}
    });

    let mut right = Vec::new();
    for (member, content) in given {
        assert!(content.len() as u64 <= member.size, "more than the member");
        if Sha256::of_bytes(&content) == member.sha256 {
            right.push(member.target);
        }
    }
    assert!(verified.iter().all(|target| right.contains(target)), "reported as verified with a wrong digest");
    assert!(done.is_err() || targets.iter().all(|target| right.iter().any(|other| other == target)));
    Ok(())
}
