//! Authentication challenges of registries, `WWW-Authenticate` (RFC 9110 §11.6.1), and the rules for which server may
//! get a password.

use std::fmt::Write as _;

use http_auth::{ChallengeRef, parser::ChallengeParser};

use crate::qemu::oci::registry_host::is_loopback_host;

/// Maximum number of challenges in one answer, more than any server sends.
const MAX_CHALLENGES: usize = 16;

/// One challenge: an authentication scheme that the server accepts, with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthChallenge {
    /// Name of the scheme, such as `basic` or `bearer`. It is in lower case, because case is not significant.
    pub scheme: String,
    parameters: Vec<(String, String)>,
}

impl AuthChallenge {
    /// Returns a parameter by its name in lower case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Parses all challenges of a header's value, up to the first malformed one, after which [`ChallengeParser`] ends. Of
    /// that one, the scheme is kept without parameters. A challenge with a duplicate parameter is left out.
    pub fn parse_all(value: &[u8]) -> Vec<Self> {
        let elements = elements(value);
        let text = elements.join(",");
        let mut challenges = Vec::new();
        for challenge in ChallengeParser::new(&text).take(MAX_CHALLENGES) {
            match challenge {
                Ok(challenge) => challenges.push(Self::from(&challenge)),
                Err(_) => challenges
                    .extend(elements.iter().filter_map(|start| Self::scheme_only(start)).nth(challenges.len())),
            }
        }
        challenges.retain(|challenge| !challenge.has_duplicate_parameter());
        challenges
    }

    /// Returns the challenge that starts with this element, without its parameters.
    fn scheme_only(element: &str) -> Option<Self> {
        let (scheme, rest) = element.split_once(' ').unwrap_or((element, ""));
        let is_token = !scheme.is_empty() && scheme.bytes().all(is_token_char) && !rest.starts_with('=');
        is_token.then(|| Self { scheme: scheme.to_ascii_lowercase(), parameters: Vec::new() })
    }

    fn has_duplicate_parameter(&self) -> bool {
        let mut names: Vec<_> = self.parameters.iter().map(|(name, _)| name).collect();
        names.sort();
        names.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
    }
}

impl From<&ChallengeRef<'_>> for AuthChallenge {
    fn from(parsed: &ChallengeRef<'_>) -> Self {
        let parameters = parsed.params.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_unescaped()));
        Self { scheme: parsed.scheme.to_ascii_lowercase(), parameters: parameters.collect() }
    }
}

/// Splits a value at its commas and normalises what RFC 9110 allows and [`http_auth`] does not parse: it removes a
/// `token68` (§11.2), which none of the supported schemes has; it leaves one of several blanks after a scheme (§11.3);
/// and it percent-encodes bytes that are not ASCII in a quoted string (§5.6.4), as in a URL.
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
            // Writing to a String does not fail.
            Some(element) => drop(write!(element, "%{byte:02X}")),
            None => {}
        }
    }
    elements.iter().map(|element| without_token68(element.trim_matches([' ', '\t']))).collect()
}

/// Whether a byte is a `tchar` of RFC 9110 §5.6.2.
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

/// Returns the scope of the token to request. It is always limited to pulls, even if the registry asks for more. The
/// registry may know the repository by another name, as a proxy of other registries does; the scope then has that name.
pub fn pull_scope(requested: Option<&str>, name: &str) -> String {
    let requested_name = requested.and_then(|scope| scope.strip_prefix("repository:")?.strip_suffix(":pull"));
    let is_single_name = |name: &&str| !name.is_empty() && !name.contains([' ', ':', ',']);
    format!("repository:{}:pull", requested_name.filter(is_single_name).unwrap_or(name))
}

/// Whether the token server of this host name may get the password for the registry of the other one.
///
/// The registry's answer names the token server. A user of the registry may be able to change that answer. So the password
/// is sent only to servers that could get it from the registry anyway:
///
/// * the registry's host itself;
/// * names below it, which belong to the registry;
/// * the name directly above it, whose owner decides about the names below. A registry that is part of a larger site has
///   its token server there. A name of one label, such as `example`, is above too many others;
/// * this machine, if the registry is on this machine, too;
/// * Docker's token server, for Docker's own registry.
///
/// An IP address has no names above or below. Other names below the same parent are not trusted: the parent may be a
/// domain in which many owners have names. Servers that do not get the password are asked for an anonymous token.
pub fn may_send_password(registry: &str, realm: &str) -> bool {
    let is_subdomain = |name: &str, parent: &str| {
        let labels = parent.split('.').count();
        labels > 1 && name.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
    };
    let is_address = |name: &str| name.starts_with('[') || name.split('.').all(|part| part.parse::<u32>().is_ok());
    match (registry, realm) {
        ("registry-1.docker.io", "auth.docker.io") => true,
        _ if registry == realm || (is_loopback_host(registry) && is_loopback_host(realm)) => true,
        _ if is_address(registry) || is_address(realm) => false,
        _ => is_subdomain(realm, registry) || (is_subdomain(registry, realm) && is_direct_subdomain(registry, realm)),
    }
}

/// Whether `parent` is the name directly above `name`.
fn is_direct_subdomain(name: &str, parent: &str) -> bool {
    name.split_once('.').is_some_and(|(_, rest)| rest == parent)
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
        let bearer = AuthChallenge::parse_all(docker.as_bytes()).pop().unwrap();
        let realm = bearer.parameter("realm");
        assert_eq!((bearer.scheme.as_str(), realm), ("bearer", Some("https://auth.docker.io/token")));
        assert_eq!(bearer.parameter("scope"), Some("repository:a/b:pull"));
        assert_eq!(shown(r#"Basic realm="Registry Realm""#), ["basic realm=Registry Realm"]);
    }

    #[test]
    fn all_forms_of_the_grammar_are_parsed() {
        // The first one is the example of RFC 9110 §11.6.1.
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
    fn a_malformed_challenge_is_the_last_one() {
        assert_eq!(shown(r#"Basic realm="x", Bearer realm="open"#), ["basic realm=x", "bearer"]);
        assert_eq!(shown("Bearer a=1, a=2"), [""; 0]);
        for odd in ["", "=", "a=b", "\"", "Bearer\u{1}x=y", "Bearer realm=\"a\u{1}b\"", "é"] {
            assert!(AuthChallenge::parse_all(odd.as_bytes()).iter().all(|c| c.parameters.is_empty()), "{odd:?}");
        }
        assert_eq!(AuthChallenge::parse_all("A, ".repeat(1000).as_bytes()).len(), MAX_CHALLENGES);
    }

    #[test]
    fn the_scope_is_limited_to_pulls() {
        let cases = [
            (None, "repository:a/b:pull"),
            (Some("repository:x/y:pull"), "repository:x/y:pull"),
            (Some("repository:x:pull,push"), "repository:a/b:pull"),
            (Some("registry:catalog:*"), "repository:a/b:pull"),
            (Some("repository:x:pull repository:y:pull"), "repository:a/b:pull"),
            (Some("repository::pull"), "repository:a/b:pull"),
        ];
        for (requested, scope) in cases {
            assert_eq!(pull_scope(requested, "a/b"), scope, "{requested:?}");
        }
    }

    #[test]
    fn passwords_stay_in_the_domain_of_the_registry() {
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
