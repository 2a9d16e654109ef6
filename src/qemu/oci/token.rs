//! Answers to a registry's authentication challenge: a password (RFC 7617), or a token from the registry's token server
//! (RFC 6750; distribution, docs/spec/auth/token.md and oauth.md).

use reqwest::Url;
use reqwest::header::AUTHORIZATION;
use serde::Deserialize;

use crate::qemu::download::http::{HttpRequest, HttpResponse, read_up_to};
use crate::qemu::download::{HttpClient, MirrorFailure};
use crate::qemu::oci::error::RegistryFailure;
use crate::qemu::oci::{AuthChallenge, Credentials, ImageReference, may_send_password, pull_scope};
use crate::sanitize::to_one_line;

/// Maximum size of a token server's answer. Tokens of all registries have some kilobytes.
const MAX_RESPONSE: u64 = 256 << 10;

/// Answer to a challenge.
pub(super) struct Authorization {
    /// Value of the header `Authorization`.
    pub(super) authorization: String,
    /// Host of a token server that the registry named and that did not get the password.
    pub(super) withheld: Option<String>,
}

/// Answers these challenges of the registry of `image`.
pub(super) fn answer_challenges(
    client: &HttpClient,
    image: &ImageReference,
    credentials: &Credentials,
    challenges: &[AuthChallenge],
    moved: &mut u64,
) -> Result<Authorization, RegistryFailure> {
    let find = |scheme| challenges.iter().find(|challenge| challenge.scheme == scheme);
    if let Some(bearer) = find("bearer") {
        return bearer_token(client, image, credentials, bearer, moved);
    }
    if find("basic").is_none() {
        let schemes: Vec<_> = challenges.iter().map(|challenge| challenge.scheme.as_str()).collect();
        return Err(RegistryFailure::Challenge(match schemes.as_slice() {
            [] => "HTTP status 401 without an authentication challenge".into(),
            schemes => {
                to_one_line(&format!("it requires the authentication {}, which is not supported", schemes.join(" or ")))
            }
        }));
    }
    let authorization = credentials.basic_header().ok_or(RegistryFailure::Closed(None))?;
    Ok(Authorization { authorization, withheld: None })
}

fn bearer_token(
    client: &HttpClient,
    image: &ImageReference,
    credentials: &Credentials,
    challenge: &AuthChallenge,
    moved: &mut u64,
) -> Result<Authorization, RegistryFailure> {
    let realm = check_realm(challenge.parameter("realm").unwrap_or_default(), image)?;
    let server = to_one_line(realm.host_str().unwrap_or_default());
    let is_trusted = may_send_password(image.server_name(), &server);
    let anonymous = Credentials::Anonymous;
    let sent = if is_trusted { credentials } else { &anonymous };
    let failed = |reason| RegistryFailure::Tokens { server: server.clone(), reason };
    let answer = request_token(client, realm, image, sent, challenge).map_err(failed)?;
    let token = parse_token(answer, moved).map_err(failed)?;
    let withheld = (!is_trusted && *credentials != anonymous).then(|| server.clone());
    Ok(Authorization { authorization: format!("Bearer {token}"), withheld })
}

/// Parses the URL of a token server. It must have TLS, or be on this machine together with the registry: a registry on
/// another machine must not make the tool send requests to services of this one.
fn check_realm(text: &str, image: &ImageReference) -> Result<Url, RegistryFailure> {
    let invalid =
        || RegistryFailure::Challenge(to_one_line(&format!("it names the token server {text:?}, which is not a URL")));
    let url = Url::parse(text).map_err(|_| invalid())?;
    let host = url.host_str().ok_or_else(invalid)?;
    let is_local = image.is_loopback() && may_send_password(image.server_name(), host);
    if !url.username().is_empty() || url.password().is_some() || !(url.scheme() == "https" || url.scheme() == "http") {
        return Err(invalid());
    }
    if url.scheme() == "http" && !is_local {
        let why = format!("it names the token server {host} without TLS, which was not contacted");
        return Err(RegistryFailure::Challenge(to_one_line(&why)));
    }
    Ok(url)
}

fn request_token(
    client: &HttpClient,
    mut realm: Url,
    image: &ImageReference,
    credentials: &Credentials,
    challenge: &AuthChallenge,
) -> Result<HttpResponse, MirrorFailure> {
    let scope = pull_scope(challenge.parameter("scope"), image.name());
    let mut parameters = vec![("scope", scope.as_str())];
    parameters.extend(challenge.parameter("service").map(|service| ("service", service)));
    realm.set_fragment(None);
    if let Credentials::Identity(identity) = credentials {
        parameters.extend([("grant_type", "refresh_token"), ("refresh_token", identity), ("client_id", "binfmt-nix")]);
        // Forms and queries have the same encoding.
        let mut form = realm.clone();
        form.query_pairs_mut().clear().extend_pairs(parameters);
        return client.post_form(realm.as_str(), form.query().unwrap_or_default().to_owned());
    }
    realm.query_pairs_mut().extend_pairs(parameters);
    let headers: Vec<_> = credentials.basic_header().map(|basic| (AUTHORIZATION, basic)).into_iter().collect();
    client.send_get(HttpRequest { url: realm.as_str(), range: None, headers: &headers })
}

/// Answer of a token server (docs/spec/auth/token.md): `token`, or `access_token` as in OAuth 2.0.
#[derive(Deserialize)]
struct TokenResponse {
    token: Option<String>,
    access_token: Option<String>,
}

fn parse_token(mut answer: HttpResponse, moved: &mut u64) -> Result<String, MirrorFailure> {
    if answer.status != 200 {
        return Err(MirrorFailure::Status { code: answer.status });
    }
    answer.refuse_encoding()?;
    let invalid = |why: &str| MirrorFailure::Broken(format!("its answer {why}"));
    let mut text = Vec::new();
    if !read_up_to(&mut answer.body, MAX_RESPONSE, &mut text, moved)? {
        return Err(invalid("is too long"));
    }
    let tokens: TokenResponse = serde_json::from_slice(&text).map_err(|_| invalid("has no token"))?;
    let token = [tokens.token, tokens.access_token].into_iter().flatten().find(|token| !token.is_empty());
    // The characters that a token in a header may have (RFC 6750 §2.1).
    let fits = |token: &String| token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte));
    token.filter(fits).ok_or_else(|| invalid("has no token"))
}
