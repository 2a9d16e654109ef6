//! The chain from signed list to package: which files are requested, what is compared, and which offer results.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};

use binfmt_nix::error::{Error, ExitCode};
use binfmt_nix::qemu::debian;
use binfmt_nix::qemu::debian::{Date, IndexFile, IndexQuery, IndexResult, Keyring, PackageOffer, PoolPackage};
use binfmt_nix::sha256::Sha256;

use super::forge::{Forger, UNTIL, from_now, release, stanza, xz};
use super::{NOW, list};

/// A mirror: its files by path, and the requests that it received.
struct Mirror {
    files: BTreeMap<String, Vec<u8>>,
    asked: Vec<IndexFile>,
    keys: Keyring,
    now: Date,
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    // A download leaves the position of the file anywhere.
    file.seek(SeekFrom::Start(bytes.len() as u64 / 2)).unwrap();
    file
}

impl Mirror {
    /// Both suites with these versions of QEMU. The index of backports is available by its digest.
    fn new(backports: &str, stable: &str) -> Self {
        let forger = Forger::new(1);
        let keys = Keyring::from_certificates(&[&forger.certificate()]);
        let mut mirror = Self { files: BTreeMap::new(), asked: Vec::new(), keys, now: NOW };
        for (suite, version, until) in [("trixie-backports", backports, Some(UNTIL)), ("trixie", stable, None)] {
            let index = xz([stanza("qemu", "1", "amd64"), stanza("qemu-user", version, "amd64")].concat().as_bytes());
            let by_hash = suite == "trixie-backports";
            let name =
                if by_hash { format!("by-hash/SHA256/{}", Sha256::of_bytes(&index)) } else { "Packages.xz".to_owned() };
            let signed = forger.sign(&release(suite, until, by_hash, &index));
            mirror.files.insert(format!("dists/{suite}/InRelease"), signed.into_bytes());
            mirror.files.insert(format!("dists/{suite}/main/binary-amd64/{name}"), index);
        }
        mirror
    }

    fn latest_for(&mut self, machine: &str) -> Result<PackageOffer, Error> {
        let (files, asked, keys) = (&self.files, &mut self.asked, &self.keys);
        let mut get = |wanted: &IndexFile| {
            asked.push(wanted.clone());
            files.get(&wanted.path).map(|bytes| file(bytes)).ok_or_else(|| Error::Usage("HTTP status 404".into()))
        };
        let mut read = |question: &IndexQuery, mut file: File| Ok(debian::answer_query(question, &mut file, keys));
        debian::find_latest(machine, self.now, keys, &mut get, &mut read)
    }

    fn latest(&mut self) -> Result<PackageOffer, Error> {
        self.latest_for("x86_64")
    }

    #[track_caller]
    fn refused(&mut self) -> String {
        let error = self.latest().unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Unverified, "{error}");
        error.to_string()
    }

    fn file(&mut self, part: &str) -> &mut Vec<u8> {
        self.files.iter_mut().find(|(path, _)| path.contains(part)).unwrap().1
    }
}

#[test]
fn the_newer_version_of_both_suites_is_offered() {
    let (bpo, stable) = ("1:11.1.3+ds-1~bpo13+1", "1:10.0.13+ds-0+deb13u1");
    let mut mirror = Mirror::new(bpo, stable);
    let offer = mirror.latest().unwrap();
    assert_eq!(
        (offer.suite, offer.version.to_string(), offer.qemu.to_string()),
        ("trixie-backports", bpo.into(), "11.1.3".into())
    );
    assert_eq!(offer.path, "pool/main/q/qemu/qemu-user_11.1.3+ds-1~bpo13+1_amd64.deb");
    assert_eq!((offer.size, offer.sha256), (71_089_852, Sha256::of_bytes(bpo.as_bytes())));
    assert_eq!(
        (offer.date, offer.valid_until),
        (Date::parse("Mon, 23 Nov 2026 02:09:33 UTC").unwrap(), Date::parse(UNTIL))
    );
    assert_eq!(offer.key, Forger::new(1).name());
    let offer = Mirror::new(stable, bpo).latest().unwrap();
    assert_eq!((offer.suite, offer.valid_until), ("trixie", None));
    // Both suites have the same file. The list of backports has an expiry date.
    assert_eq!(Mirror::new(bpo, bpo).latest().unwrap().suite, "trixie-backports");
}

#[test]
fn only_the_needed_index_files_are_requested() {
    let mut mirror = Mirror::new("1:11.1.3+ds-1", "1:10.0.13+ds-0");
    mirror.latest().unwrap();
    let asked: Vec<_> =
        mirror.asked.iter().map(|wanted| (wanted.path.as_str(), wanted.max_size, wanted.sha256)).collect();
    let [backports, its_index, stable, index] = *asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(backports, ("dists/trixie-backports/InRelease", 1 << 20, None));
    assert_eq!(stable, ("dists/trixie/InRelease", 1 << 20, None));
    for (path, most, sha256) in [its_index, index] {
        let bytes = &mirror.files[path];
        assert_eq!((most, sha256), (bytes.len() as u64, Some(Sha256::of_bytes(bytes))));
    }
    assert!(its_index.0.starts_with("dists/trixie-backports/main/binary-amd64/by-hash/SHA256/"), "{its_index:?}");
    assert_eq!(index.0, "dists/trixie/main/binary-amd64/Packages.xz");
    let otherwise: Vec<_> = mirror.asked.iter().map(|wanted| wanted.fallback_path.as_deref()).collect();
    assert_eq!(otherwise, [None, Some("dists/trixie-backports/main/binary-amd64/Packages.xz"), None, None]);
}

/// An attacker that withholds one suite cannot make the tool choose an older version.
#[test]
fn a_missing_suite_is_an_error() {
    for missing in ["trixie/InRelease", "trixie-backports/InRelease", "trixie/main", "by-hash"] {
        let mut mirror = Mirror::new("1:11.1.3+ds-1", "1:10.0.13+ds-0");
        mirror.files.retain(|path, _| !path.contains(missing));
        assert_eq!(mirror.latest().unwrap_err().to_string(), "HTTP status 404", "{missing}");
    }
}

#[test]
fn a_suite_without_the_package_is_accepted() {
    let mut mirror = Mirror::new("1:11.1.3+ds-1", "1:10.0.13+ds-0");
    let index = xz(stanza("qemu-system", "1:12-1", "amd64").as_bytes());
    let signed = Forger::new(1).sign(&release("trixie-backports", Some(UNTIL), false, &index));
    *mirror.file("backports/InRelease") = signed.into_bytes();
    mirror.files.insert("dists/trixie-backports/main/binary-amd64/Packages.xz".into(), index.clone());
    assert_eq!(mirror.latest().unwrap().suite, "trixie");
    *mirror.file("trixie/InRelease") = Forger::new(1).sign(&release("trixie", None, false, &index)).into_bytes();
    *mirror.file("trixie/main") = index;
    let error = mirror.latest().unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Failed);
    assert_eq!(
        error.to_string(),
        "Debian offers no qemu-user for amd64 today: it is neither in trixie-backports nor in trixie"
    );
}

#[test]
fn the_list_of_another_suite_is_refused() {
    let mut mirror = Mirror::new("1:11.1.3+ds-1", "1:10.0.13+ds-0");
    let list = mirror.file("trixie/InRelease").clone();
    *mirror.file("backports/InRelease") = list;
    assert_eq!(mirror.refused(), "refused the unverified dists/trixie-backports/InRelease: it is the list of trixie");
    let mut mirror = Mirror::new("1:11.1.3+ds-1", "1:10.0.13+ds-0");
    let list = mirror.file("backports/InRelease").clone();
    *mirror.file("trixie/InRelease") = list;
    assert_eq!(mirror.refused(), "refused the unverified dists/trixie/InRelease: it is the list of trixie-backports");
}

#[test]
fn a_stale_list_is_reported_with_its_age() {
    let mut mirror = Mirror::new("1:11.1.3+ds-1", "1:10.0.13+ds-0");
    mirror.now = Date::parse("Mon, 30 Nov 2026 02:09:32 UTC").unwrap();
    mirror.latest().unwrap();
    mirror.now = Date::parse("Mon, 30 Nov 2026 02:09:33 UTC").unwrap();
    assert!(mirror.refused().starts_with("dists/trixie-backports/InRelease is stale"));
    mirror.now = Date::parse("Tue, 01 Dec 2026 02:09:33 UTC").unwrap();
    let wanted = "dists/trixie-backports/InRelease is stale: it expired on 2026-11-30 02:09:33 UTC, 1 days ago, \
                  and was made on 2026-11-23 02:09:33 UTC, 8 days ago";
    assert_eq!(mirror.refused(), wanted);
    assert!(mirror.latest().unwrap_err().hint().unwrap().contains("not kept up to date"));
    // A list that never expires could be replayed forever.
    let mut mirror = Mirror::new("1:11.1.3+ds-1", "1:10.0.13+ds-0");
    *mirror.file("backports/InRelease") =
        Forger::new(1).sign(&release("trixie-backports", None, true, b"x")).into_bytes();
    assert!(mirror.refused().contains("does not say until when it is valid"));
}

/// The recorded list, one day after it expired.
#[test]
fn the_recorded_list_of_debian_expires() {
    let mut mirror = Mirror::new("1:11.1.3+ds-1", "1:10.0.13+ds-0");
    mirror.keys = Keyring::debian_archive();
    *mirror.file("backports/InRelease") = list("trixie-backports");
    mirror.now = Date::parse("Tue, 01 Dec 2026 02:09:33 UTC").unwrap();
    assert!(mirror.refused().contains("it expired on 2026-11-30 02:09:33 UTC, 1 days ago"));
    // Before the expiry, the index of packages that Debian named is requested next.
    mirror.now = NOW;
    assert_eq!(mirror.latest().unwrap_err().to_string(), "HTTP status 404");
    let last = mirror.asked.pop().unwrap();
    assert_eq!(last.max_size, 311_844);
    let sha256 = last.sha256.unwrap();
    assert_eq!(last.path, format!("dists/trixie-backports/main/binary-amd64/by-hash/SHA256/{sha256}"));
}

#[test]
fn a_clock_that_is_behind_is_reported() {
    let mut mirror = Mirror::new("1:11.1.3+ds-1", "1:10.0.13+ds-0");
    let forger = Forger { signed: u32::try_from(NOW.0).unwrap() - 900_000, ..Forger::new(1) };
    mirror.now = from_now(-300_000);
    for (suite, until) in [("trixie-backports", Some(UNTIL)), ("trixie", None)] {
        *mirror.file(&format!("{suite}/InRelease")) = forger.sign(&release(suite, until, true, b"x")).into_bytes();
    }
    assert!(mirror.refused().contains("and this machine's clock shows 2026-11-21"), "{}", mirror.refused());
}

#[test]
fn an_index_with_another_digest_or_size_is_refused() {
    for part in ["by-hash", "trixie/main"] {
        let mut mirror = Mirror::new("1:11.1.3+ds-1", "1:10.0.13+ds-0");
        *mirror.file(part).last_mut().unwrap() ^= 1;
        assert!(mirror.refused().contains("nothing of it was used"));
        mirror.file(part).push(0);
        assert!(mirror.refused().contains("bytes, instead of"), "{}", mirror.refused());
        mirror.file(part).truncate(20);
        assert!(mirror.refused().contains("it has 20 bytes, instead of"));
        mirror.file(part).clear();
        assert!(mirror.refused().contains("it has no bytes"));
    }
}

#[test]
fn a_list_beyond_the_limit_is_refused_unread() {
    let mut mirror = Mirror::new("1:11.1.3+ds-1", "1:10.0.13+ds-0");
    mirror.file("backports/InRelease").resize((1 << 20) + 1, b'\n');
    assert!(mirror.refused().contains("it has 1048577 bytes, and may have 1048576"));
}

#[test]
fn hosts_without_packages_get_no_offer() {
    let mut mirror = Mirror::new("1:11.1.3+ds-1", "1:10.0.13+ds-0");
    let error = mirror.latest_for("riscv64").unwrap_err();
    assert_eq!((error.exit_code(), mirror.asked.len()), (ExitCode::Unsupported, 0));
    assert!(
        mirror.latest_for("aarch64").unwrap_err().to_string().contains("no SHA-256 of main/binary-arm64/Packages.xz")
    );
}

/// The worker that reads the files may be under the control of an attacker.
#[test]
fn the_answers_of_the_index_reader_are_checked() {
    let mirror = Mirror::new("1:11.1.3+ds-1", "1:10.0.13+ds-0");
    let honest = |question: &IndexQuery, mut file: File| debian::answer_query(question, &mut file, &mirror.keys);
    let lied = |lie: &dyn Fn(IndexResult) -> IndexResult| {
        let mut get = |wanted: &IndexFile| Ok(file(&mirror.files[&wanted.path]));
        let mut read = |question: &IndexQuery, file: File| Ok(lie(honest(question, file)));
        debian::find_latest("x86_64", NOW, &mirror.keys, &mut get, &mut read)
    };
    assert!(lied(&|answer| answer).is_ok());
    let release = |change: fn(&mut debian::SuiteRelease)| {
        let lie = move |answer| match answer {
            IndexResult::Release(mut release) => {
                change(&mut release);
                IndexResult::Release(release)
            }
            other => other,
        };
        lied(&lie).unwrap_err().to_string()
    };
    assert!(release(|release| release.index.size = 1 << 40).contains("its list of packages has 1099511627776 bytes"));
    assert!(release(|release| release.index.size = 0).contains("its list of packages has no bytes"));
    assert!(release(|release| release.key = "me".into()).contains("a key that is not one of Debian's"));
    assert!(release(|release| release.codename = "a\u{1b}[2J".into()).contains("the list of a\\x1b[2J"));
    let package = |change: fn(&mut PoolPackage)| {
        let lie = move |answer| match answer {
            IndexResult::Package(Some(mut package)) => {
                change(&mut package);
                IndexResult::Package(Some(package))
            }
            other => other,
        };
        lied(&lie).unwrap_err().to_string()
    };
    for path in ["../etc/qemu-user_1_amd64.deb", "pool/../qemu-user_1_amd64.deb", "pool/qemu-user_1_amd64.deb?x"] {
        let lie = move |answer| match answer {
            IndexResult::Package(Some(package)) => {
                IndexResult::Package(Some(PoolPackage { path: path.into(), ..package }))
            }
            other => other,
        };
        assert!(lied(&lie).unwrap_err().to_string().contains("is not one of a package"), "{path}");
    }
    assert!(package(|package| package.size = u64::MAX).contains("bytes"));
    assert!(package(|package| package.version = "latest".into()).contains("an invalid version"));
    assert!(
        package(|package| package.version = "1:11.2.0~rc1+ds-1".into()).contains("not the version of a QEMU release")
    );
    assert!(lied(&|_| IndexResult::Package(None)).unwrap_err().to_string().contains("answered another query"));
    let error = lied(&|_| IndexResult::Refused("no\u{1b}[2J".repeat(100))).unwrap_err().to_string();
    assert!(error.len() < 400 && !error.contains('\u{1b}'), "{error}");
}
