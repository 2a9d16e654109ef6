//! What a registry wants to hear before it answers: `WWW-Authenticate` (RFC 9110 §11.6.1), and whom we tell.

use super::host::is_loopback;

/// More than any server asks in one answer.
const MOST: usize = 16;

/// One way to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// `basic`, `bearer`: in lower case, for case does not count.
    pub scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// A parameter, by its name in lower case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All challenges of a header's value, up to where it is broken. One that says a thing twice is left out.
    pub fn parse(value: &[u8]) -> Vec<Self> {
        let mut challenges: Vec<Self> = Vec::new();
        let mut rest = Rest(value);
        while challenges.len() < MOST {
            rest.skip(b" \t,");
            let Some(word) = rest.token() else { break };
            let before = rest;
            rest.skip(b" \t");
            // `scheme` and `name =` begin alike.
            let value = if rest.eat(b'=') { rest.value() } else { None };
            match (value, challenges.last_mut()) {
                (Some(value), Some(challenge)) => challenge.parameters.push((word, value)),
                (None, _) if before.is_scheme() => {
                    rest = before;
                    challenges.push(Self { scheme: word, parameters: Vec::new() });
                    rest.token68();
                }
                _ => break,
            }
        }
        challenges.retain(|challenge| {
            let names: Vec<_> = challenge.parameters.iter().map(|(name, _)| name).collect();
            names.iter().enumerate().all(|(at, name)| !names.iter().take(at).any(|before| before == name))
        });
        challenges
    }
}

/// What is left of a header's value.
#[derive(Clone, Copy)]
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn skip(&mut self, any: &[u8]) {
        while let [first, rest @ ..] = self.0
            && any.contains(first)
        {
            self.0 = rest;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        match self.0 {
            [first, rest @ ..] if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// So many bytes that `fits`, if there are any.
    fn run(&mut self, fits: impl Fn(u8) -> bool) -> Option<String> {
        let length = self.0.iter().position(|byte| !fits(*byte)).unwrap_or(self.0.len());
        let (run, rest) = self.0.split_at_checked(length).filter(|(run, _)| !run.is_empty())?;
        self.0 = rest;
        Some(String::from_utf8_lossy(run).into_owned())
    }

    /// `token` of RFC 9110 §5.6.2, in lower case.
    fn token(&mut self) -> Option<String> {
        Some(self.run(is_tchar)?.to_ascii_lowercase())
    }

    /// A token or a quoted string (§5.6.4), whichever case.
    fn value(&mut self) -> Option<String> {
        self.skip(b" \t");
        if !self.eat(b'"') {
            return self.run(is_tchar);
        }
        let mut bytes = Vec::new();
        loop {
            match self.0 {
                [b'"', rest @ ..] => {
                    self.0 = rest;
                    return String::from_utf8(bytes).ok();
                }
                [b'\\', byte, rest @ ..] | [byte, rest @ ..] if !byte.is_ascii_control() || *byte == b'\t' => {
                    bytes.push(*byte);
                    self.0 = rest;
                }
                _ => return None,
            }
        }
    }

    /// After a scheme there is a blank, a comma, or nothing.
    fn is_scheme(self) -> bool {
        matches!(self.0, [] | [b' ' | b',', ..])
    }

    /// Passes over a `token68` (§11.2), which no scheme of ours has: it ends at a comma, or with the value.
    fn token68(&mut self) {
        let mut rest = *self;
        rest.skip(b" ");
        let is = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
        if rest.run(is).is_some() {
            rest.skip(b"=");
            let end = rest;
            rest.skip(b" \t");
            if matches!(rest.0, [] | [b',', ..]) {
                *self = end;
            }
        }
    }
}

fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What a token is asked for: to pull, and nothing else, whatever the registry would have us ask. It may know the
/// repository by another name (proxies of other registries do), so that is its own.
pub fn pull_scope(asked: Option<&str>, name: &str) -> String {
    let own = asked.and_then(|scope| scope.strip_prefix("repository:")?.strip_suffix(":pull"));
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
pub fn may_know(registry: &str, realm: &str) -> bool {
    let below = |name: &str, above: &str| {
        let labels = above.split('.').count();
        labels > 1 && name.strip_suffix(above).is_some_and(|rest| rest.ends_with('.'))
    };
    let address = |name: &str| name.starts_with('[') || name.split('.').all(|part| part.parse::<u32>().is_ok());
    match (registry, realm) {
        ("registry-1.docker.io", "auth.docker.io") => true,
        _ if registry == realm || (is_loopback(registry) && is_loopback(realm)) => true,
        _ if address(registry) || address(realm) => false,
        _ => below(realm, registry) || (below(registry, realm) && direct(registry, realm)),
    }
}

/// The one name right above.
fn direct(name: &str, above: &str) -> bool {
    name.split_once('.').is_some_and(|(_, rest)| rest == above)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn shown(value: &str) -> Vec<String> {
        let shown = |challenge: Challenge| {
            let parameters: Vec<_> =
                challenge.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{} {}", challenge.scheme, parameters.join(" ")).trim().to_owned()
        };
        Challenge::parse(value.as_bytes()).into_iter().map(shown).collect()
    }

    #[test]
    fn challenges_of_real_registries() {
        let docker =
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull""#;
        let one = Challenge::parse(docker.as_bytes()).pop().unwrap();
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
    }

    #[test]
    fn what_is_broken_ends_it() {
        assert_eq!(shown(r#"Basic realm="x", Bearer realm="open"#), ["basic realm=x", "bearer"]);
        assert_eq!(shown("Bearer a=1, a=2"), [""; 0]);
        for odd in ["", "=", "a=b", "\"", "Bearer\u{1}x=y", "Bearer realm=\"a\u{1}b\"", "é"] {
            assert!(Challenge::parse(odd.as_bytes()).iter().all(|one| one.parameters.is_empty()), "{odd:?}");
        }
        assert_eq!(Challenge::parse("A, ".repeat(1000).as_bytes()).len(), MOST);
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
        assert!(may.into_iter().all(|(registry, realm)| may_know(registry, realm)));
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
            assert!(!may_know(registry, realm), "{registry} {realm}");
        }
    }
}
