//! Answers a registry that wants to know who we are: with a password (RFC 7617), or with a token that some other server
//! gives for it (RFC 6750; distribution, docs/spec/auth/token.md and oauth.md).

use reqwest::Url;
use reqwest::header::AUTHORIZATION;
use serde::Deserialize;

use super::http::{Answer, Ask, read_all};
use super::pulling::Piece;
use super::{Client, Reason};
use crate::oci::{Challenge, Credentials, Reference, may_know, pull_scope};
use crate::text::one_line;

/// Tokens of all registries have some kilobytes.
const LONGEST: u64 = 256 << 10;

/// What the registry is told.
pub(super) struct Told {
    /// The value of `Authorization`.
    pub(super) authorization: String,
    /// The host that was not told our password, though the registry named it.
    pub(super) withheld: Option<String>,
}

/// What is to be said to these challenges of the registry of `image`.
pub(super) fn answer(
    client: &Client,
    image: &Reference,
    credentials: &Credentials,
    challenges: &[Challenge],
    moved: &mut u64,
) -> Result<Told, Piece> {
    let of = |scheme| challenges.iter().find(|challenge| challenge.scheme == scheme);
    if let Some(bearer) = of("bearer") {
        return bear(client, image, credentials, bearer, moved);
    }
    if of("basic").is_none() {
        let schemes: Vec<_> = challenges.iter().map(|challenge| challenge.scheme.as_str()).collect();
        return Err(Piece::Challenge(match schemes.as_slice() {
            [] => "HTTP status 401, without a word on what it wants to hear".into(),
            schemes => one_line(&format!("it wants us to log in by {}, which is not known here", schemes.join(" or "))),
        }));
    }
    let authorization = credentials.basic().ok_or(Piece::Closed(None))?;
    Ok(Told { authorization, withheld: None })
}

fn bear(
    client: &Client,
    image: &Reference,
    credentials: &Credentials,
    challenge: &Challenge,
    moved: &mut u64,
) -> Result<Told, Piece> {
    let realm = realm(challenge.parameter("realm").unwrap_or_default(), image)?;
    let server = one_line(realm.host_str().unwrap_or_default());
    let known = may_know(image.server(), &server);
    let nobody = Credentials::Nobody;
    let told = if known { credentials } else { &nobody };
    let failed = |reason| Piece::Tokens { server: server.clone(), reason };
    let answer = ask(client, realm, image, told, challenge).map_err(failed)?;
    let token = token(answer, moved).map_err(failed)?;
    let withheld = (!known && *credentials != nobody).then(|| server.clone());
    Ok(Told { authorization: format!("Bearer {token}"), withheld })
}

/// Tokens come over TLS, or on this machine from itself: by no answer of a registry elsewhere are we made to ask what
/// listens here.
fn realm(text: &str, image: &Reference) -> Result<Url, Piece> {
    let odd = || Piece::Challenge(one_line(&format!("it has its tokens from {text:?}, which is no URL of a server")));
    let url = Url::parse(text).map_err(|_| odd())?;
    let host = url.host_str().ok_or_else(odd)?;
    let here = image.is_loopback() && may_know(image.server(), host);
    if !url.username().is_empty() || url.password().is_some() || !(url.scheme() == "https" || url.scheme() == "http") {
        return Err(odd());
    }
    if url.scheme() == "http" && !here {
        let what = format!("it has its tokens from {host} without TLS, where nobody is asked");
        return Err(Piece::Challenge(one_line(&what)));
    }
    Ok(url)
}

fn ask(
    client: &Client,
    mut realm: Url,
    image: &Reference,
    credentials: &Credentials,
    challenge: &Challenge,
) -> Result<Answer, Reason> {
    let scope = pull_scope(challenge.parameter("scope"), image.name());
    let mut words = vec![("scope", scope.as_str())];
    words.extend(challenge.parameter("service").map(|service| ("service", service)));
    realm.set_fragment(None);
    if let Credentials::Identity(identity) = credentials {
        words.extend([("grant_type", "refresh_token"), ("refresh_token", identity), ("client_id", "binfmt-nix")]);
        // The library writes forms as it writes queries.
        let mut form = realm.clone();
        form.query_pairs_mut().clear().extend_pairs(words);
        return client.tell(realm.as_str(), form.query().unwrap_or_default().to_owned());
    }
    realm.query_pairs_mut().extend_pairs(words);
    let headers: Vec<_> = credentials.basic().map(|basic| (AUTHORIZATION, basic)).into_iter().collect();
    client.ask(Ask { url: realm.as_str(), range: None, headers: &headers })
}

/// docs/spec/auth/token.md: "token", or "access_token" as OAuth 2.0 has it.
#[derive(Deserialize)]
struct Tokens {
    token: Option<String>,
    access_token: Option<String>,
}

fn token(mut answer: Answer, moved: &mut u64) -> Result<String, Reason> {
    if answer.status != 200 {
        return Err(Reason::Status { code: answer.status });
    }
    answer.check_coding()?;
    let odd = |why: &str| Reason::Broken(format!("its answer {why}"));
    let mut text = Vec::new();
    if !read_all(&mut answer.body, LONGEST, &mut text, moved)? {
        return Err(odd("has no end"));
    }
    let tokens: Tokens = serde_json::from_slice(&text).map_err(|_| odd("holds no token"))?;
    let token = [tokens.token, tokens.access_token].into_iter().flatten().find(|token| !token.is_empty());
    // What a header may hold (RFC 6750 §2.1).
    let fits = |token: &String| token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte));
    token.filter(fits).ok_or_else(|| odd("holds no token"))
}
