//! Which mirrors this machine downloads from, and how.

use std::path::Path;

use crate::download::{self, BaseUrl, Mirror};
use crate::error::{Error, Result};
use crate::host::Host;

/// The variable that names a mirror, as `--mirror` does.
pub const VARIABLE: &str = "BINFMT_NIX_MIRROR";

/// The variable that names the certificates that Nix trusts.
pub const NIX_ROOTS: &str = "NIX_SSL_CERT_FILE";

/// The mirror that the user named, on the command line or else in the
/// environment.
pub fn named(host: &Host, option: Option<&str>) -> Result<Option<BaseUrl>> {
    let url = option.map(str::to_owned).or_else(|| host.env(VARIABLE));
    url.map(|url| url.parse().map_err(|e| Error::Usage(format!("{url:?}: {e}")))).transpose()
}

/// All mirrors, in the order in which they are asked: the one that was named,
/// those that apt is set up with (they honour a company's own), two public ones.
pub fn all(host: &Host, named: Option<BaseUrl>) -> Vec<Mirror> {
    download::mirrors(named, apts(host))
}

/// The certificates that Nix was told of (PEM): they count too.
pub fn extra_roots(host: &Host) -> Vec<u8> {
    let named = host.env(NIX_ROOTS).and_then(|path| host.read_given(Path::new(&path)));
    named.unwrap_or_default()
}

fn apts(host: &Host) -> Vec<BaseUrl> {
    let dir = Path::new("/etc/apt/sources.list.d");
    let mut files = vec![Path::new("/etc/apt/sources.list").to_owned()];
    let mut names = host.list(dir).unwrap_or_default();
    names.sort();
    files.extend(names.iter().map(|name| dir.join(name)));
    let texts: Vec<(String, String)> =
        files.iter().filter_map(|path| Some((path.to_string_lossy().into_owned(), host.peek(path)?))).collect();
    let texts: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    download::mirrors_from_apt(&texts, &mut |path| host.peek(Path::new(path)))
}
