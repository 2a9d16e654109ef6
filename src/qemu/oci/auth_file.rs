//! The user's credentials for registries, from the auth files of `podman login` and `docker login`
//! (containers-auth.json(5)).
//!
//! Credential helpers (`credHelpers`, `credsStore`) are not run: they are found by `PATH`, and this tool may run as
//! root. If the registry rejects the request, the hint names the helper.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Credentials, ImageReference, RegistryLogin};
use crate::host;
use crate::qemu::oci::credentials::InvalidAuth;
use crate::sanitize::AsText as _;

/// Environment variable with the path of the only auth file to use.
pub const AUTH_FILE_VARIABLE: &str = "REGISTRY_AUTH_FILE";

/// Reads the login for the image's registry. Logins at other registries are not returned.
///
/// A file that cannot be read or parsed is ignored; the hint, which is shown if the registry rejects the request, names
/// it.
pub fn read_login(image: &ImageReference) -> RegistryLogin {
    let mut hints = Vec::new();
    let variable = |name: &str| host::env::var(name);
    for path in auth_file_paths(&variable, host::env::effective_ids().0) {
        let shown = path.as_text();
        if !host::user_files::path_exists(&path) {
            let is_named = variable(AUTH_FILE_VARIABLE).is_some();
            hints.extend(is_named.then(|| format!("{AUTH_FILE_VARIABLE} names {shown}, which does not exist")));
            continue;
        }
        match read_credentials(&path, image) {
            Ok((Credentials::Anonymous, None)) => {}
            Ok((Credentials::Anonymous, Some(helper))) => {
                hints.push(format!("{shown} refers to docker-credential-{helper}, which binfmt-nix does not run"));
            }
            Ok((credentials, _)) => {
                hints.push(format!("the login in {shown} for {} was used", image.host()));
                return RegistryLogin { credentials, hint: Some(hints.join("; ")) };
            }
            Err(error) => hints.push(format!("{shown} was ignored: {error}")),
        }
    }
    RegistryLogin { credentials: Credentials::Anonymous, hint: (!hints.is_empty()).then(|| hints.join("; ")) }
}

/// Auth file that cannot be used.
#[derive(Debug, thiserror::Error)]
enum AuthFileError {
    /// The file cannot be read.
    #[error("{0}")]
    Read(Box<dyn std::error::Error>),
    /// The file cannot be parsed.
    #[error(transparent)]
    Invalid(#[from] InvalidAuthFile),
}

fn read_credentials(path: &Path, image: &ImageReference) -> Result<(Credentials, Option<String>), AuthFileError> {
    let text = host::user_rights::read_named_by_caller(path).map_err(|e| AuthFileError::Read(e.into()))?;
    Ok(find_credentials(&text, image)?)
}

/// Returns the paths of the auth files, in the order of the search. If [`AUTH_FILE_VARIABLE`] is set, it names the only
/// file.
///
/// `variable` returns an environment variable of the caller; `user` is the effective user id.
pub fn auth_file_paths(variable: &dyn Fn(&str) -> Option<String>, user: u32) -> Vec<PathBuf> {
    let path = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(named) = variable(AUTH_FILE_VARIABLE) {
        return vec![PathBuf::from(named)];
    }
    let home = path("HOME");
    let below = |dir: Option<PathBuf>, file: &str| dir.map(|dir| dir.join(file));
    // Without a runtime directory, podman and the tools related to it use this directory.
    let runtime = path("XDG_RUNTIME_DIR").map(|dir| dir.join("containers"));
    let runtime = runtime.unwrap_or_else(|| Path::new("/run/containers").join(user.to_string()));
    let config = path("XDG_CONFIG_HOME").or_else(|| below(home.clone(), ".config"));
    let docker = path("DOCKER_CONFIG").or_else(|| below(home, ".docker"));
    let paths = [Some(runtime.join("auth.json")), below(config, "containers/auth.json"), below(docker, "config.json")];
    paths.into_iter().flatten().collect()
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

/// File that is not in the format of `podman login` and `docker login`. The error never contains text of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAuthFile {
    /// The file is not JSON of the expected shape.
    #[error("line {0} is not valid JSON of an auth file")]
    Json(usize),
    /// The entry for the image cannot be decoded.
    #[error(transparent)]
    Auth(#[from] InvalidAuth),
}

/// Returns the credentials in a file for an image, and the credential helper that the file names for the registry.
pub fn find_credentials(text: &[u8], image: &ImageReference) -> Result<(Credentials, Option<String>), InvalidAuthFile> {
    let file: AuthFile = serde_json::from_slice(text).map_err(|e| InvalidAuthFile::Json(e.line()))?;
    let is_for_host = |key: &String| is_key_for_host(key, image.host());
    let helpers = file.cred_helpers.into_iter().filter(|(key, _)| is_for_host(key)).map(|(_, helper)| helper);
    let helper = helpers.chain([file.creds_store]).find(|helper| !helper.is_empty());
    let most_specific = file
        .auths
        .iter()
        .filter_map(|(key, entry)| Some((match_length(key, image)?, entry)))
        .max_by_key(|(length, _)| *length);
    let credentials = match most_specific {
        Some((_, entry)) if !entry.identitytoken.is_empty() => Credentials::Identity(entry.identitytoken.clone()),
        Some((_, entry)) if !entry.auth.is_empty() => Credentials::from_basic(&entry.auth)?,
        _ => Credentials::Anonymous,
    };
    Ok((credentials, helper))
}

/// Returns how specific a key is for an image (the length of the key), or `None` if the key is for other images.
/// `host/namespace/repository` takes precedence over `host/namespace`, and that over `host` (containers-auth.json(5)).
fn match_length(key: &str, image: &ImageReference) -> Option<usize> {
    if is_key_for_host(key, image.host()) {
        return Some(0);
    }
    let rest = format!("{}/{}", image.host(), image.name());
    let rest = rest.strip_prefix(key)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(key.len())
}

/// Whether a key is for this host. Docker's old keys are URLs, of which only the host is compared. Docker's own
/// registry has several names (containers/image, `pkg/docker/config/config.go`: `normalizeRegistry`).
fn is_key_for_host(key: &str, host: &str) -> bool {
    let url = ["https://", "http://"].iter().find_map(|scheme| key.strip_prefix(scheme));
    let key_host = url.map_or(key, |rest| rest.split('/').next().unwrap_or_default()).to_ascii_lowercase();
    match key_host.as_str() {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" => host == "docker.io",
        key_host => key_host == host,
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
            Credentials::Anonymous => "anonymous".into(),
        }
    }

    #[test]
    fn the_most_specific_key_is_used() {
        // a:x, b:x, c:x
        let file = r#"{"auths": {"r.example": {"auth": "YTp4"}, "r.example/n": {"auth": "Yjp4"},
                       "r.example/n/q": {"auth": "Yzp4"}, "r.example:5000": {"identitytoken": "t"}}}"#;
        let cases = [
            ("r.example/n/q", "c"),
            ("r.example/n/qemu", "b"),
            ("r.example/n/q/x", "c"),
            ("r.example/nn", "a"),
            ("r.example/other", "a"),
            ("s.example/n/q", "anonymous"),
            ("r.example:5000/n/q", "identity t"),
            ("r.example:80/n", "anonymous"),
            ("r.example.org/n", "anonymous"),
        ];
        for (image, expected) in cases {
            assert_eq!(user(file, image), expected, "{image}");
        }
    }

    #[test]
    fn old_names_of_dockers_registry_are_known() {
        for key in ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "https://registry-1.docker.io/v2/"] {
            let file = format!(r#"{{"auths": {{"{key}": {{"auth": "YTp4"}}}}}}"#);
            assert_eq!(user(&file, "docker.io/x/y"), "a", "{key}");
            assert_eq!(user(&file, "r.example/x/y"), "anonymous", "{key}");
        }
        assert_eq!(user(r#"{"auths": {"https://r.example/v1/": {"auth": "YTp4"}}}"#, "r.example/x"), "a");
    }

    #[test]
    fn credential_helpers_are_reported() {
        let file = r#"{"auths": {"https://index.docker.io/v1/": {}}, "credsStore": "desktop",
                       "credHelpers": {"r.example": "some-login"}}"#;
        assert_eq!(found(file, "docker.io/x/y"), (Credentials::Anonymous, Some("desktop".into())));
        assert_eq!(found(file, "r.example/x").1.as_deref(), Some("some-login"));
        assert_eq!(found("{}", "r.example/x"), (Credentials::Anonymous, None));
    }

    #[test]
    fn errors_do_not_quote_the_file() {
        let image: ImageReference = "oci://r.example/x:t".parse().unwrap();
        for file in [r#"{"auths": {"r.example": {"auth": "secret"}}}"#, r#"{"auths": "secret"}"#, "secret"] {
            assert!(!find_credentials(file.as_bytes(), &image).unwrap_err().to_string().contains("secret"), "{file}");
        }
    }

    #[test]
    fn the_paths_are_those_of_podman_and_docker() {
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
