//! Answers a registry that wants to know who we are: with a password (RFC 7617), or with a token that some other server
//! gives for it (RFC 6750; distribution, docs/spec/auth/token.md and oauth.md).

use reqwest::Url;
use reqwest::header::AUTHORIZATION;
use serde::Deserialize;

use crate::qemu::download::http::{HttpRequest, HttpResponse, read_up_to};
use crate::qemu::download::{HttpClient, MirrorFailure};
use crate::qemu::oci::error::RegistryFailure;
use crate::qemu::oci::{AuthChallenge, Credentials, ImageReference, may_send_password, pull_scope};
use crate::sanitize::to_one_line;

/// Tokens of all registries have some kilobytes.
const MAX_RESPONSE: u64 = 256 << 10;

/// What the registry is told.
pub(super) struct Authorization {
    /// The value of `Authorization`.
    pub(super) authorization: String,
    /// The host that was not told our password, though the registry named it.
    pub(super) withheld: Option<String>,
}

/// What is to be said to these challenges of the registry of `image`.
pub(super) fn answer_challenges(
    client: &HttpClient,
    image: &ImageReference,
    credentials: &Credentials,
    challenges: &[AuthChallenge],
    moved: &mut u64,
) -> Result<Authorization, RegistryFailure> {
    let of = |scheme| challenges.iter().find(|challenge| challenge.scheme == scheme);
    if let Some(bearer) = of("bearer") {
        return bearer_token(client, image, credentials, bearer, moved);
    }
    if of("basic").is_none() {
        let schemes: Vec<_> = challenges.iter().map(|challenge| challenge.scheme.as_str()).collect();
        return Err(RegistryFailure::Challenge(match schemes.as_slice() {
            [] => "HTTP status 401, without a word on what it wants to hear".into(),
            schemes => {
                to_one_line(&format!("it wants us to log in by {}, which is not known here", schemes.join(" or ")))
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
    let anonymous = Credentials::Nobody;
    let told = if is_trusted { credentials } else { &anonymous };
    let failed = |reason| RegistryFailure::Tokens { server: server.clone(), reason };
    let answer = request_token(client, realm, image, told, challenge).map_err(failed)?;
    let token = parse_token(answer, moved).map_err(failed)?;
    let withheld = (!is_trusted && *credentials != anonymous).then(|| server.clone());
    Ok(Authorization { authorization: format!("Bearer {token}"), withheld })
}

/// Tokens come over TLS, or on this machine from itself: by no answer of a registry elsewhere are we made to ask what
/// listens here.
fn check_realm(text: &str, image: &ImageReference) -> Result<Url, RegistryFailure> {
    let odd = || {
        RegistryFailure::Challenge(to_one_line(&format!(
            "it has its tokens from {text:?}, which is no URL of a server"
        )))
    };
    let url = Url::parse(text).map_err(|_| odd())?;
    let host = url.host_str().ok_or_else(odd)?;
    let is_local = image.is_loopback() && may_send_password(image.server_name(), host);
    if !url.username().is_empty() || url.password().is_some() || !(url.scheme() == "https" || url.scheme() == "http") {
        return Err(odd());
    }
    if url.scheme() == "http" && !is_local {
        let what = format!("it has its tokens from {host} without TLS, where nobody is asked");
        return Err(RegistryFailure::Challenge(to_one_line(&what)));
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
    let mut words = vec![("scope", scope.as_str())];
    words.extend(challenge.parameter("service").map(|service| ("service", service)));
    realm.set_fragment(None);
    if let Credentials::Identity(identity) = credentials {
        words.extend([("grant_type", "refresh_token"), ("refresh_token", identity), ("client_id", "binfmt-nix")]);
        // The library writes forms as it writes queries.
        let mut form = realm.clone();
        form.query_pairs_mut().clear().extend_pairs(words);
        return client.post_form(realm.as_str(), form.query().unwrap_or_default().to_owned());
    }
    realm.query_pairs_mut().extend_pairs(words);
    let headers: Vec<_> = credentials.basic_header().map(|basic| (AUTHORIZATION, basic)).into_iter().collect();
    client.send_get(HttpRequest { url: realm.as_str(), range: None, headers: &headers })
}

/// docs/spec/auth/token.md: "token", or "access_token" as OAuth 2.0 has it.
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
    let odd = |why: &str| MirrorFailure::Broken(format!("its answer {why}"));
    let mut text = Vec::new();
    if !read_up_to(&mut answer.body, MAX_RESPONSE, &mut text, moved)? {
        return Err(odd("has no end"));
    }
    let tokens: TokenResponse = serde_json::from_slice(&text).map_err(|_| odd("holds no token"))?;
    let token = [tokens.token, tokens.access_token].into_iter().flatten().find(|token| !token.is_empty());
    // What a header may hold (RFC 6750 §2.1).
    let fits = |token: &String| token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte));
    token.filter(fits).ok_or_else(|| odd("holds no token"))
}
