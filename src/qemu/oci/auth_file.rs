//! The credentials of this machine's user for registries of images.
//!
//! Reads the files in which `podman login` and `docker login` keep passwords (containers-auth.json(5)), and which entry of
//! theirs is for an image.
//!
//! Programs that keep passwords (`credHelpers`, `credsStore`) are not run: this tool may be root, and they are whatever
//! the `PATH` has. That there is one is said when a registry refuses us.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Credentials, ImageReference, RegistryLogin};
use crate::host;
use crate::qemu::oci::credentials::InvalidAuth;

/// The variable that names the only file.
pub const AUTH_FILE_VARIABLE: &str = "REGISTRY_AUTH_FILE";

/// More than the file of anybody who has logged in everywhere.
const MAX_AUTH_FILE: u64 = 1 << 20;

/// What the auth files say of an image's registry, and nothing of what they say of others. A file that cannot be read,
/// or means nothing, is as good as none; but when the registry refuses us, it is named.
pub fn read_login(image: &ImageReference) -> RegistryLogin {
    let mut hints = Vec::new();
    let variable = |name: &str| host::env::var(name);
    for place in auth_file_paths(&variable, host::env::effective_ids().0) {
        let shown = place.display();
        if !host::user_files::path_exists(&place) {
            let named = variable(AUTH_FILE_VARIABLE).is_some();
            hints.extend(named.then(|| format!("{AUTH_FILE_VARIABLE} names {shown}, which is not there")));
            continue;
        }
        match found(&place, image) {
            Ok((Credentials::Nobody, None)) => {}
            Ok((Credentials::Nobody, Some(helper))) => {
                hints.push(format!(
                    "{shown} leaves passwords to docker-credential-{helper}, which is not run from here"
                ));
            }
            Ok((credentials, _)) => {
                hints.push(format!("what {shown} has for {} was used", image.host()));
                return RegistryLogin { credentials, hint: Some(hints.join("; ")) };
            }
            Err(why) => hints.push(format!("{shown} was of no use: {why}")),
        }
    }
    RegistryLogin { credentials: Credentials::Nobody, hint: (!hints.is_empty()).then(|| hints.join("; ")) }
}

/// An auth file cannot be used.
#[derive(Debug, thiserror::Error)]
enum AuthFileError {
    /// It cannot be read.
    #[error("{0}")]
    Read(Box<dyn std::error::Error>),
    /// It has another form.
    #[error(transparent)]
    Invalid(#[from] InvalidAuthFile),
}

fn found(path: &Path, image: &ImageReference) -> Result<(Credentials, Option<String>), AuthFileError> {
    let file = host::user_files::open_regular(path).map_err(|e| AuthFileError::Read(e.into()))?;
    let mut text = Vec::new();
    file.take(MAX_AUTH_FILE).read_to_end(&mut text).map_err(|e| AuthFileError::Read(e.into()))?;
    Ok(find_credentials(&text, image)?)
}

/// The files that are looked at, in this order: a variable that names one names the only one.
///
/// `variable` gives a variable of our caller; `user` is who we are.
pub fn auth_file_paths(variable: &dyn Fn(&str) -> Option<String>, user: u32) -> Vec<PathBuf> {
    let path = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(named) = variable(AUTH_FILE_VARIABLE) {
        return vec![PathBuf::from(named)];
    }
    let home = path("HOME");
    let below = |dir: Option<PathBuf>, file: &str| dir.map(|dir| dir.join(file));
    // Where there is no runtime directory, podman and its kin make one of their own.
    let runtime = path("XDG_RUNTIME_DIR").map(|dir| dir.join("containers"));
    let runtime = runtime.unwrap_or_else(|| Path::new("/run/containers").join(user.to_string()));
    let config = path("XDG_CONFIG_HOME").or_else(|| below(home.clone(), ".config"));
    let docker = path("DOCKER_CONFIG").or_else(|| below(home, ".docker"));
    let places = [Some(runtime.join("auth.json")), below(config, "containers/auth.json"), below(docker, "config.json")];
    places.into_iter().flatten().collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthFile {
    #[serde(default)]
    auths: BTreeMap<String, AuthEntry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default)]
    creds_store: String,
}

#[derive(Deserialize, Default)]
struct AuthEntry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    identitytoken: String,
}

/// A file is not one that `podman login` or `docker login` writes. The error never has the file's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAuthFile {
    /// It is not JSON of this shape.
    #[error("line {0} is no JSON of its kind")]
    Json(usize),
    /// The entry for the image cannot be decoded.
    #[error(transparent)]
    Auth(#[from] InvalidAuth),
}

/// What a file has for an image, and the program that it names for the registry.
pub fn find_credentials(text: &[u8], image: &ImageReference) -> Result<(Credentials, Option<String>), InvalidAuthFile> {
    let file: AuthFile = serde_json::from_slice(text).map_err(|e| InvalidAuthFile::Json(e.line()))?;
    let host = |key: &String| is_key_for_host(key, image.host());
    let helpers = file.cred_helpers.into_iter().filter(|(key, _)| host(key)).map(|(_, helper)| helper);
    let helper = helpers.chain([file.creds_store]).find(|helper| !helper.is_empty());
    let most = file
        .auths
        .iter()
        .filter_map(|(key, entry)| Some((match_length(key, image)?, entry)))
        .max_by_key(|(rank, _)| *rank);
    let credentials = match most {
        Some((_, entry)) if !entry.identitytoken.is_empty() => Credentials::Identity(entry.identitytoken.clone()),
        Some((_, entry)) if !entry.auth.is_empty() => Credentials::from_basic(&entry.auth)?,
        _ => Credentials::Nobody,
    };
    Ok((credentials, helper))
}

/// How specific a key is for an image: its length, where it is for it at all. `host/namespace/repository` comes before
/// `host/namespace`, and that before `host` (containers-auth.json(5)).
fn match_length(key: &str, image: &ImageReference) -> Option<usize> {
    if is_key_for_host(key, image.host()) {
        return Some(0);
    }
    let rest = format!("{}/{}", image.host(), image.name());
    let rest = rest.strip_prefix(key)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(key.len())
}

/// Docker's old keys are URLs, of which the host counts; and its own registry has several names (containers/image,
/// `pkg/docker/config/config.go`: `normalizeRegistry`).
fn is_key_for_host(key: &str, host: &str) -> bool {
    let url = ["https://", "http://"].iter().find_map(|scheme| key.strip_prefix(scheme));
    let named = url.map_or(key, |rest| rest.split('/').next().unwrap_or_default()).to_ascii_lowercase();
    match named.as_str() {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" => host == "docker.io",
        named => named == host,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn found(file: &str, image: &str) -> (Credentials, Option<String>) {
        find_credentials(file.as_bytes(), &format!("oci://{image}:t").parse().unwrap()).unwrap()
    }

    fn user(file: &str, image: &str) -> String {
        match found(file, image).0 {
            Credentials::Password { user, .. } => user,
            Credentials::Identity(token) => format!("identity {token}"),
            Credentials::Nobody => "nobody".into(),
        }
    }

    #[test]
    fn the_most_specific_key_counts() {
        // a:x, b:x, c:x
        let file = r#"{"auths": {"r.example": {"auth": "YTp4"}, "r.example/n": {"auth": "Yjp4"},
                       "r.example/n/q": {"auth": "Yzp4"}, "r.example:5000": {"identitytoken": "t"}}}"#;
        let cases = [
            ("r.example/n/q", "c"),
            ("r.example/n/qemu", "b"),
            ("r.example/n/q/x", "c"),
            ("r.example/nn", "a"),
            ("r.example/other", "a"),
            ("s.example/n/q", "nobody"),
            ("r.example:5000/n/q", "identity t"),
            ("r.example:80/n", "nobody"),
            ("r.example.org/n", "nobody"),
        ];
        for (image, who) in cases {
            assert_eq!(user(file, image), who, "{image}");
        }
    }

    #[test]
    fn docker_s_own_registry_has_old_names() {
        for key in ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "https://registry-1.docker.io/v2/"] {
            let file = format!(r#"{{"auths": {{"{key}": {{"auth": "YTp4"}}}}}}"#);
            assert_eq!(user(&file, "docker.io/x/y"), "a", "{key}");
            assert_eq!(user(&file, "r.example/x/y"), "nobody", "{key}");
        }
        assert_eq!(user(r#"{"auths": {"https://r.example/v1/": {"auth": "YTp4"}}}"#, "r.example/x"), "a");
    }

    #[test]
    fn helpers_are_named_not_run() {
        let file = r#"{"auths": {"https://index.docker.io/v1/": {}}, "credsStore": "desktop",
                       "credHelpers": {"r.example": "some-login"}}"#;
        assert_eq!(found(file, "docker.io/x/y"), (Credentials::Nobody, Some("desktop".into())));
        assert_eq!(found(file, "r.example/x").1.as_deref(), Some("some-login"));
        assert_eq!(found("{}", "r.example/x"), (Credentials::Nobody, None));
    }

    #[test]
    fn what_is_broken_is_not_quoted() {
        let image: ImageReference = "oci://r.example/x:t".parse().unwrap();
        for file in [r#"{"auths": {"r.example": {"auth": "secret"}}}"#, r#"{"auths": "secret"}"#, "secret"] {
            assert!(!find_credentials(file.as_bytes(), &image).unwrap_err().to_string().contains("secret"), "{file}");
        }
    }

    #[test]
    fn the_places_are_podmans_and_dockers() {
        let with = |variables: &'static [(&str, &str)]| {
            let variable = move |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            auth_file_paths(&variable, 7).into_iter().map(|path| path.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(with(&[("REGISTRY_AUTH_FILE", "/f"), ("HOME", "/h")]), ["/f"]);
        let all = ["/r/containers/auth.json", "/h/.config/containers/auth.json", "/h/.docker/config.json"];
        assert_eq!(with(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/r")]), all);
        let moved = ["/run/containers/7/auth.json", "/c/containers/auth.json", "/d/config.json"];
        assert_eq!(with(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/c"), ("DOCKER_CONFIG", "/d")]), moved);
        assert_eq!(with(&[]), ["/run/containers/7/auth.json"]);
    }
}
