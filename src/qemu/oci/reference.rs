//! References to images: `oci://HOST[:PORT]/NAME[:TAG][@sha256:HEX]`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::invalid::{InvalidReference, ReferenceProblem};
use crate::qemu::oci::registry_host::{is_loopback_host, is_valid_host, strip_port};
use crate::sanitize::secrets::hide_secrets_of_word;
use crate::sha256::Sha256;

/// Docker's name for its registry and for the registry of its images (distribution/reference, `normalize.go`:
/// `defaultDomain` and `legacyDefaultDomain`).
pub(super) const DOCKER_IO: &str = "docker.io";
const DOCKER_OLD_NAME: &str = "index.docker.io";
/// Host of that registry (moby, `registry/config.go`: `DefaultRegistryHost`). The server at docker.io itself does not
/// speak the protocol, so references to `docker.io` mean this host.
const DOCKER_REGISTRY_HOST: &str = "registry-1.docker.io";

/// Maximum length of a name; most clients refuse longer ones (distribution-spec v1.1, "Pulling manifests").
pub(super) const MAX_NAME: usize = 255;

/// Reference to an image in a registry.
///
/// If it has a digest and a tag, the digest decides and the tag is only shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ImageReference {
    host: String,
    name: String,
    tag: Option<String>,
    digest: Option<Sha256>,
}

impl ImageReference {
    /// Prefix of all references.
    pub const SCHEME: &str = "oci://";

    /// Returns the registry as users write it: a host with an optional port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the repository.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the tag. A tag can be moved to another image at any time.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Returns the digest of the index or manifest, which pins all bytes of the image.
    pub fn digest(&self) -> Option<Sha256> {
        self.digest
    }

    /// Returns the same reference with this digest.
    #[must_use]
    pub fn with_digest(&self, digest: Sha256) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// Returns the host of the registry's server, without a port.
    pub fn server_name(&self) -> &str {
        if self.host == DOCKER_IO { DOCKER_REGISTRY_HOST } else { strip_port(&self.host) }
    }

    /// Whether the registry is on this machine. Only there it may do without TLS.
    pub fn is_loopback(&self) -> bool {
        is_loopback_host(self.server_name())
    }

    /// Returns the URL of the directory with the repository's manifests and blobs (distribution-spec v1.1,
    /// "Endpoints").
    pub fn base_url(&self) -> String {
        let scheme = if self.is_loopback() { "http" } else { "https" };
        let host = if self.host == DOCKER_IO { DOCKER_REGISTRY_HOST } else { &self.host };
        format!("{scheme}://{host}/v2/{}", self.name)
    }

    /// Returns the name under which the registry has the index or manifest: the digest, or else the tag.
    pub fn tag_or_digest(&self) -> String {
        match (self.digest, &self.tag) {
            (Some(digest), _) => format!("sha256:{digest}"),
            (None, tag) => tag.clone().unwrap_or_default(),
        }
    }
}

impl FromStr for ImageReference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        parse_reference(text).map_err(|why| InvalidReference { text: hide_secrets_of_word(text), why })
    }
}

fn parse_reference(text: &str) -> Result<ImageReference, ReferenceProblem> {
    let rest = text.strip_prefix(ImageReference::SCHEME);
    let rest = rest.ok_or(ReferenceProblem::Scheme)?;
    let (rest, digest) = match rest.split_once('@') {
        Some((rest, digest)) => (rest, Some(parse_digest(digest)?)),
        None => (rest, None),
    };
    let (host, path) = rest.split_once('/').ok_or(ReferenceProblem::NoHost)?;
    let host = host.to_ascii_lowercase();
    // Docker's rule for telling a host from a repository (distribution/reference, `normalize.go`: `splitDockerDomain`).
    if !host.contains(['.', ':']) && host != "localhost" {
        return Err(ReferenceProblem::NoHost);
    }
    if !is_valid_host(&host) {
        return Err(ReferenceProblem::Host);
    }
    let (name, tag) = match path.split_once(':') {
        Some((name, tag)) => (name, Some(tag)),
        None => (path, None),
    };
    if !name.split('/').all(is_name_part) {
        return Err(ReferenceProblem::Name);
    }
    if tag.is_some_and(|tag| !is_valid_tag(tag)) {
        return Err(ReferenceProblem::Tag);
    }
    if tag.is_none() && digest.is_none() {
        return Err(ReferenceProblem::NoVersion);
    }
    let (host, name) = match host.as_str() {
        DOCKER_IO | DOCKER_OLD_NAME if !name.contains('/') => (DOCKER_IO.into(), format!("library/{name}")),
        DOCKER_IO | DOCKER_OLD_NAME => (DOCKER_IO.into(), name.to_owned()),
        _ => (host, name.to_owned()),
    };
    if name.len().saturating_add(host.len()) > MAX_NAME {
        return Err(ReferenceProblem::Long);
    }
    Ok(ImageReference { host, name, tag: tag.map(str::to_owned), digest })
}

fn parse_digest(text: &str) -> Result<Sha256, ReferenceProblem> {
    let hex = text.strip_prefix("sha256:").ok_or(ReferenceProblem::DigestKind)?;
    hex.parse().map_err(|_| ReferenceProblem::Digest)
}

/// Whether a part of a repository's name matches `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` (distribution-spec v1.1, "Pulling
/// manifests").
fn is_name_part(part: &str) -> bool {
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).filter(|run| !run.is_empty());
    let is_separator = |run: &str| matches!(run, "." | "_" | "__") || run.bytes().all(|byte| byte == b'-');
    is_end(part.as_bytes().first()) && is_end(part.as_bytes().last()) && separators.into_iter().all(is_separator)
}

/// Whether a tag matches `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}` of the same specification.
fn is_valid_tag(tag: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=128).contains(&tag.len()) && !tag.starts_with(['.', '-']) && tag.bytes().all(is_allowed)
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", Self::SCHEME, self.host, self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.iter().try_for_each(|digest| write!(f, "@sha256:{digest}"))
    }
}

impl From<ImageReference> for String {
    fn from(reference: ImageReference) -> Self {
        reference.to_string()
    }
}

impl TryFrom<String> for ImageReference {
    type Error = InvalidReference;

    fn try_from(text: String) -> Result<Self, InvalidReference> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn reference(text: &str) -> ImageReference {
        text.parse().unwrap()
    }

    #[test]
    fn a_reference_has_a_digest_a_tag_or_both() {
        let both = reference(&format!("oci://Registry.Example:5000/a/b-c:v1@sha256:{HEX}"));
        assert_eq!((both.host(), both.name(), both.tag()), ("registry.example:5000", "a/b-c", Some("v1")));
        assert_eq!(both.tag_or_digest(), format!("sha256:{HEX}"));
        assert_eq!(both.base_url(), "https://registry.example:5000/v2/a/b-c");
        assert_eq!(reference("oci://registry.example/a:v1").tag_or_digest(), "v1");
        let text = format!("oci://registry.example/a@sha256:{HEX}");
        assert_eq!(reference(&text).to_string(), text);
        assert_eq!(
            reference("oci://registry.example/a:v1").with_digest(Sha256::of_bytes(b"")).to_string(),
            text.replace("a@", "a:v1@")
        );
    }

    #[test]
    fn docker_io_means_the_same_as_in_docker() {
        for text in ["oci://docker.io/busybox:1", "oci://index.docker.io/library/busybox:1"] {
            assert_eq!(reference(text).base_url(), "https://registry-1.docker.io/v2/library/busybox", "{text}");
            assert_eq!(reference(text).to_string(), "oci://docker.io/library/busybox:1");
        }
        assert_eq!(reference("oci://docker.io/a/b:1").name(), "a/b");
        // A reference that is short enough can be parsed again after it was printed.
        assert!(format!("oci://docker.io/{}:1", "a".repeat(239)).parse::<ImageReference>().is_err());
        let long = reference(&format!("oci://docker.io/{}:1", "a".repeat(238)));
        assert_eq!(reference(&long.to_string()), long);
    }

    #[test]
    fn only_this_machine_is_accessed_without_tls() {
        for here in ["localhost", "localhost:5000", "127.0.0.1:1", "127.9.9.9", "[::1]:5000", "[0:0::1]"] {
            assert!(reference(&format!("oci://{here}/a:1")).base_url().starts_with("http://"), "{here}");
        }
        for there in ["127.1", "128.0.0.1", "localhost.example", "127.0.0.1.example", "[::2]", "[::ffff:127.0.0.1]:5"] {
            assert!(reference(&format!("oci://{there}/a:1")).base_url().starts_with("https://"), "{there}");
        }
    }

    #[test]
    fn names_follow_the_specification() {
        for good in ["a", "a0/b.c", "a__b", "a---b", "a_b/c"] {
            assert_eq!(reference(&format!("oci://h.example/{good}:t")).name(), good);
        }
        let long = format!("h.example/{}:t", "a".repeat(250));
        let bad = [
            "",
            "h.example",
            "h.example/",
            "h.example/a",
            "h.example/:t",
            "h.example/A:t",
            "h.example/a..b:t",
            "h.example/a._b:t",
            "h.example/a___b:t",
            "h.example/-a:t",
            "h.example/a-:t",
            "h.example/a//b:t",
            "h.example/../a:t",
            "h.example/a:.t",
            "h.example/a:t:u",
            "h.example/a: ",
            "h.example/a?b:t",
            "h.example/a@sha256:00",
            "h.example/a@sha512:00",
            "h.example/a@",
            "user@h.example/a:t",
            "h.example:/a:t",
            "h.example:99999/a:t",
            "h.example:+1/a:t",
            "h_x.example/a:t",
            "-h.example/a:t",
            "h..example/a:t",
            "[::1/a:t",
            "[::1]x/a:t",
            "[x.y]/a:t",
            "tonistiigi/binfmt:t",
            "h.example/a\u{e9}:t",
            &long,
        ];
        for bad in bad {
            assert!(format!("oci://{bad}").parse::<ImageReference>().is_err(), "{bad}");
        }
        assert!("docker.io/a/b:t".parse::<ImageReference>().is_err());
        let upper = format!("oci://h.example/a@sha256:{}", HEX.to_uppercase());
        assert!(upper.parse::<ImageReference>().unwrap_err().to_string().contains("64 digits"));
    }
}
