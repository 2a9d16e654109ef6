//! What a registry wants to hear before it answers: `WWW-Authenticate` (RFC 9110 §11.6.1), and whom we tell.

use std::fmt::Write as _;

use http_auth::{ChallengeRef, parser::ChallengeParser};

use crate::qemu::oci::registry_host::is_loopback_host;

/// More than any server asks in one answer.
const MAX_CHALLENGES: usize = 16;

/// One way to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthChallenge {
    /// `basic`, `bearer`: in lower case, for case does not count.
    pub scheme: String,
    parameters: Vec<(String, String)>,
}

impl AuthChallenge {
    /// A parameter, by its name in lower case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All challenges of a header's value, up to where it is broken; of the one that is broken, its scheme. One that
    /// names a parameter twice is left out.
    pub fn parse_all(value: &[u8]) -> Vec<Self> {
        let elements = elements(value);
        let text = elements.join(",");
        let mut challenges = Vec::new();
        for one in ChallengeParser::new(&text).take(MAX_CHALLENGES) {
            match one {
                Ok(one) => challenges.push(Self::from(&one)),
                Err(_) => challenges.extend(elements.iter().filter_map(|one| Self::begun(one)).nth(challenges.len())),
            }
        }
        challenges.retain(|one| !one.names_twice());
        challenges
    }

    /// The challenge that an element of the value begins, without parameters.
    fn begun(element: &str) -> Option<Self> {
        let (scheme, rest) = element.split_once(' ').unwrap_or((element, ""));
        let is_token = !scheme.is_empty() && scheme.bytes().all(is_token_char) && !rest.starts_with('=');
        is_token.then(|| Self { scheme: scheme.to_ascii_lowercase(), parameters: Vec::new() })
    }

    fn names_twice(&self) -> bool {
        let mut names: Vec<_> = self.parameters.iter().map(|(name, _)| name).collect();
        names.sort();
        names.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
    }
}

impl From<&ChallengeRef<'_>> for AuthChallenge {
    fn from(one: &ChallengeRef<'_>) -> Self {
        let parameters = one.params.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_unescaped()));
        Self { scheme: one.scheme.to_ascii_lowercase(), parameters: parameters.collect() }
    }
}

/// The elements between commas of a value, without what RFC 9110 allows and [`http_auth`] does not read: a `token68`
/// (§11.2), which no scheme of ours has; more than one blank behind a scheme (§11.3); and other bytes than ASCII in a
/// quoted string (§5.6.4), which are percent-encoded as in a URL.
fn elements(value: &[u8]) -> Vec<String> {
    let mut elements = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for &byte in value {
        let ends_quote = byte == b'"' && !escaped;
        quoted ^= ends_quote;
        escaped = quoted && byte == b'\\' && !escaped;
        match elements.last_mut() {
            Some(_) if byte == b',' && !quoted => elements.push(String::new()),
            Some(element) if byte.is_ascii() || !quoted => element.push(char::from(byte)),
            // A String takes everything.
            Some(element) => drop(write!(element, "%{byte:02X}")),
            None => {}
        }
    }
    elements.iter().map(|element| without_token68(element.trim_matches([' ', '\t']))).collect()
}

/// RFC 9110 §5.6.2.
fn is_token_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn without_token68(element: &str) -> String {
    let is_token68 = |text: &str| {
        let text = text.trim_end_matches('=');
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
    };
    let is_scheme = |word: &str| !word.contains(['=', '"']);
    match element.split_once(' ').map(|(scheme, rest)| (scheme, rest.trim_start_matches(' '))) {
        Some((scheme, _)) if !is_scheme(scheme) => element.to_owned(),
        Some((scheme, rest)) if is_token68(rest) => scheme.to_owned(),
        Some((scheme, rest)) => format!("{scheme} {rest}"),
        None => element.to_owned(),
    }
}

/// What a token is asked for: to pull, and nothing else, whatever the registry would have us ask. It may know the
/// repository by another name (proxies of other registries do), so that is its own.
pub fn pull_scope(requested: Option<&str>, name: &str) -> String {
    let own = requested.and_then(|scope| scope.strip_prefix("repository:")?.strip_suffix(":pull"));
    let plain = |name: &&str| !name.is_empty() && !name.contains([' ', ':', ',']);
    format!("repository:{}:pull", own.filter(plain).unwrap_or(name))
}

/// Whether a server of tokens may know the password for a registry.
///
/// The registry names that server itself, in an answer that anybody could have made up who can make it answer (by a
/// header that it passes on, say, or as one tenant of many). So it is told only where that gives nothing away: to the
/// registry's host itself, which could ask for the password outright; to names below it, which are its own; and to
/// the name right above it (a registry that is part of a larger site has its tokens from there), whose owner can take
/// over the names below anyway. Not to siblings: `a.example` may be a company's or a whole country's. Docker's own
/// registry has a sibling of its own, by name. Everybody else is asked for a token for nobody.
pub fn may_send_password(registry: &str, realm: &str) -> bool {
    let below = |name: &str, above: &str| {
        let labels = above.split('.').count();
        labels > 1 && name.strip_suffix(above).is_some_and(|rest| rest.ends_with('.'))
    };
    let address = |name: &str| name.starts_with('[') || name.split('.').all(|part| part.parse::<u32>().is_ok());
    match (registry, realm) {
        ("registry-1.docker.io", "auth.docker.io") => true,
        _ if registry == realm || (is_loopback_host(registry) && is_loopback_host(realm)) => true,
        _ if address(registry) || address(realm) => false,
        _ => below(realm, registry) || (below(registry, realm) && is_direct_subdomain(registry, realm)),
    }
}

/// The one name right above.
fn is_direct_subdomain(name: &str, above: &str) -> bool {
    name.split_once('.').is_some_and(|(_, rest)| rest == above)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn shown(value: &str) -> Vec<String> {
        let shown = |challenge: AuthChallenge| {
            let parameters: Vec<_> =
                challenge.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{} {}", challenge.scheme, parameters.join(" ")).trim().to_owned()
        };
        AuthChallenge::parse_all(value.as_bytes()).into_iter().map(shown).collect()
    }

    #[test]
    fn challenges_of_real_registries() {
        let docker =
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull""#;
        let one = AuthChallenge::parse_all(docker.as_bytes()).pop().unwrap();
        assert_eq!((one.scheme.as_str(), one.parameter("realm")), ("bearer", Some("https://auth.docker.io/token")));
        assert_eq!(one.parameter("scope"), Some("repository:a/b:pull"));
        assert_eq!(shown(r#"Basic realm="Registry Realm""#), ["basic realm=Registry Realm"]);
    }

    #[test]
    fn the_grammar_with_all_its_freedoms() {
        // RFC 9110 §11.6.1 has the first one.
        let two = r#"Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\"""#;
        assert_eq!(shown(two), ["basic realm=simple", r#"newauth realm=apps type=1 title=Login to "apps""#]);
        assert_eq!(shown("Negotiate"), ["negotiate"]);
        assert_eq!(
            shown("Negotiate YWJj==, BEARER Realm = x ,\tservice=\"a,b\""),
            ["negotiate", "bearer realm=x service=a,b"]
        );
        assert_eq!(shown(",, Basic , Bearer a=b,,c=d"), ["basic", "bearer a=b c=d"]);
        assert_eq!(shown(r#"Bearer  realm="grün, \"x", Basic"#), ["bearer realm=gr%C3%BCn, \"x", "basic"]);
    }

    #[test]
    fn what_is_broken_ends_it() {
        assert_eq!(shown(r#"Basic realm="x", Bearer realm="open"#), ["basic realm=x", "bearer"]);
        assert_eq!(shown("Bearer a=1, a=2"), [""; 0]);
        for odd in ["", "=", "a=b", "\"", "Bearer\u{1}x=y", "Bearer realm=\"a\u{1}b\"", "é"] {
            assert!(AuthChallenge::parse_all(odd.as_bytes()).iter().all(|one| one.parameters.is_empty()), "{odd:?}");
        }
        assert_eq!(AuthChallenge::parse_all("A, ".repeat(1000).as_bytes()).len(), MAX_CHALLENGES);
    }

    #[test]
    fn nobody_is_asked_for_more_than_pulling() {
        let cases = [
            (None, "repository:a/b:pull"),
            (Some("repository:x/y:pull"), "repository:x/y:pull"),
            (Some("repository:x:pull,push"), "repository:a/b:pull"),
            (Some("registry:catalog:*"), "repository:a/b:pull"),
            (Some("repository:x:pull repository:y:pull"), "repository:a/b:pull"),
            (Some("repository::pull"), "repository:a/b:pull"),
        ];
        for (asked, scope) in cases {
            assert_eq!(pull_scope(asked, "a/b"), scope, "{asked:?}");
        }
    }

    #[test]
    fn passwords_stay_in_the_family() {
        let may = [
            ("r.example", "r.example"),
            ("r.example", "auth.r.example"),
            ("registry.fox.example", "fox.example"),
            ("registry-1.docker.io", "auth.docker.io"),
            ("127.0.0.1", "localhost"),
            ("10.0.0.1", "10.0.0.1"),
        ];
        assert!(may.into_iter().all(|(registry, realm)| may_send_password(registry, realm)));
        let must_not = [
            ("r.example", "example"),
            ("r.example", "evil.example"),
            ("r.example", "xr.example"),
            ("a.r.example", "example"),
            ("a.b.r.example", "r.example"),
            ("r.example", "r.example.org"),
            ("r.example", "auth.docker.io"),
            ("registry-1.docker.io", "evil.docker.io"),
            ("127.0.0.1", "r.example"),
            ("10.0.0.1", "0.0.1"),
            ("r.example", "127.0.0.1"),
            ("1.2.3.4", "2.3.4"),
            ("x.1.2.3.4", "1.2.3.4"),
            ("localhost", "x.localhost"),
        ];
        for (registry, realm) in must_not {
            assert!(!may_send_password(registry, realm), "{registry} {realm}");
        }
    }
}
