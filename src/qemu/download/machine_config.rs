//! Configuration of downloads on this machine: its mirrors, passwords and certificates.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::host::{self, Host};
use crate::qemu::download;
use crate::qemu::download::netrc;
use crate::qemu::download::netrc::NetrcLogin;
use crate::qemu::download::{BaseUrl, FileUrl, Mirror};
use crate::qemu::download::{CERT_DIR_VARIABLE, CERT_FILE_VARIABLE};
use crate::sanitize::secrets::hide_secrets_of_word;

/// Environment variable that names a mirror, as `--mirror` does.
pub const MIRROR_VARIABLE: &str = "BINFMT_NIX_MIRROR";

/// Environment variable that names the certificates that Nix trusts.
pub const NIX_CERT_VARIABLE: &str = "NIX_SSL_CERT_FILE";

/// Most files of a directory of certificates; Mozilla's list has 150 authorities, each with two names.
const MAX_CERT_FILES: usize = 1000;

/// Most bytes of certificates; Mozilla's list has a quarter of a megabyte.
const MAX_CERTS: usize = 8 << 20;

/// Environment variable that names the file of the user's passwords, if it is not `~/.netrc`.
pub const NETRC_VARIABLE: &str = "NETRC";

/// Parses the mirror that the user named on the command line, or else in the environment.
pub fn user_mirror(option: Option<&str>) -> Result<Option<BaseUrl>> {
    let url = option.map(str::to_owned).or_else(|| host::env::var(MIRROR_VARIABLE));
    url.map(|url| url.parse().map_err(|e| Error::Usage(format!("{:?}: {e}", hide_secrets_of_word(&url))))).transpose()
}

/// Lists all mirrors in the order in which they are tried: the one that the user named, those for which apt is configured
/// (which respects the mirror of a company), and two public ones. Adds the user's passwords.
pub fn list_mirrors(host: &Host, named: Option<BaseUrl>) -> Vec<Mirror> {
    let logins = read_logins(host);
    let mirrors = download::order_mirrors(named, apt_mirrors(host));
    mirrors.into_iter().map(|mirror| mirror.map_base_url(|url| add_login(url, &logins))).collect()
}

/// Adds the user's passwords to the URLs of files.
pub fn add_logins(host: &Host, urls: &[FileUrl]) -> Vec<FileUrl> {
    let logins = read_logins(host);
    urls.iter().map(|url| add_login(url.clone(), &logins)).collect()
}

fn add_login<T: Clone + Into<String> + FromStr>(url: T, logins: &[NetrcLogin]) -> T {
    netrc::add_login(&url.clone().into(), logins).and_then(|url| url.parse().ok()).unwrap_or(url)
}

/// Reads the logins of the user, then those of apt (apt_auth.conf(5)), then those of Nix (`netrc-file` in nix.conf(5)).
fn read_logins(host: &Host) -> Vec<NetrcLogin> {
    let own = host::env::var(NETRC_VARIABLE)
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&host::env::var("HOME")?).join(".netrc")));
    let own = own.and_then(|path| host::user_rights::read_named_by_caller(&path).ok());
    let own = own.map(|text| String::from_utf8_lossy(&text).into_owned());
    let dir = Path::new("/etc/apt/auth.conf.d");
    let mut names = host.list_dir(dir).unwrap_or_default();
    names.sort();
    let other_files = [Path::new("/etc/apt/auth.conf").to_owned()].into_iter();
    let other_files =
        other_files.chain(names.iter().map(|name| dir.join(name))).chain([Path::new("/etc/nix/netrc").to_owned()]);
    let texts = own.into_iter().chain(other_files.filter_map(|path| host.read_lossy(&path)));
    texts.flat_map(|text| netrc::parse_netrc(&text)).collect()
}

/// Reads the certificates (PEM) that the environment names: those instead of the system's, and those of Nix. Files that
/// cannot be read are ignored.
///
/// The worker does not read them: it begins as root, and has no time limit for a file.
pub fn named_roots() -> Vec<u8> {
    let named = [CERT_FILE_VARIABLE, NIX_CERT_VARIABLE].into_iter().filter_map(host::env::var);
    let mut files: Vec<_> = named.map(PathBuf::from).collect();
    for dir in std::env::split_paths(&host::env::var(CERT_DIR_VARIABLE).unwrap_or_default()) {
        let names = Host::live().list_dir(&dir).unwrap_or_default();
        files.extend(names.iter().filter(|name| is_hash_name(name)).take(MAX_CERT_FILES).map(|name| dir.join(name)));
    }
    let texts = files.iter().filter_map(|path| host::user_rights::read_named_by_caller(path).ok());
    texts.fold(Vec::new(), |mut all, text| {
        if all.len().saturating_add(text.len()) <= MAX_CERTS {
            all.extend(text);
            all.push(b'\n');
        }
        all
    })
}

/// Whether a name in a directory of certificates is the hash of a certificate and a number, such as `5ed36f99.0`
/// (openssl-rehash(1)).
fn is_hash_name(name: &OsStr) -> bool {
    name.to_str().and_then(|name| name.split_once('.')).is_some_and(|(hash, number)| {
        hash.len() == 8 && u32::from_str_radix(hash, 16).is_ok() && number.parse::<u32>().is_ok()
    })
}

fn apt_mirrors(host: &Host) -> Vec<BaseUrl> {
    let dir = Path::new("/etc/apt/sources.list.d");
    let mut files = vec![Path::new("/etc/apt/sources.list").to_owned()];
    let mut names = host.list_dir(dir).unwrap_or_default();
    names.sort();
    files.extend(names.iter().map(|name| dir.join(name)));
    let texts: Vec<(String, String)> =
        files.iter().filter_map(|path| Some((path.to_string_lossy().into_owned(), host.read_lossy(path)?))).collect();
    let texts: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    download::mirrors_from_apt(&texts, &mut |path| host.read_lossy(Path::new(path)))
}
