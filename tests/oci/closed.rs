//! Registries that want to know who we are, and some that want to know more than they should.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::image::Image;
use super::ledger;
use super::server::{Answer, Request, Server};
use super::tool::{Tool, base64};

crate::tests! {
    a_password_is_told_when_it_is_wanted
    without_a_password
    what_the_auth_files_say_is_told_on
    a_token_for_nobody
    no_more_than_pulling_is_asked_for
    a_token_for_a_password
    a_token_for_an_identity
    an_identity_is_told_once
    redirects_lose_what_was_told
    tokens_that_end
    tokens_that_are_refused
    strange_tokens
    strange_realms
    strange_challenges
}

const PASSWORD: &str = "fox:den-of-the-fox";

/// A registry that answers with this challenge whoever does not say this.
fn closed(challenge: String, says: &'static str) -> (Image, Server) {
    let image = Image::good();
    let server = Server::bent(image.clone(), move |request, answer| {
        if request.header("authorization") != Some(says) {
            *answer = Answer::status(401).header(format!("WWW-Authenticate: {challenge}"));
        }
    });
    (image, server)
}

/// One whose tokens come from this server.
fn with_tokens(tokens: &Server) -> (Image, Server) {
    let realm = format!("http://{}/token?a=b", tokens.address);
    closed(
        format!(r#"Bearer realm="{realm}",service="the fox",scope="repository:fox/qemu:pull""#),
        "Bearer t.o-k_e/n+1==",
    )
}

fn tokens() -> Server {
    Server::start(|_| Answer::ok(r#"{"token": "t.o-k_e/n+1==", "expires_in": 60}"#))
}

fn logged_in(tool: Tool, server: &Server) -> Tool {
    tool.logged_in(&json!({ &server.address: { "auth": base64(PASSWORD) } }))
}

fn told(request: &Request) -> Option<&str> {
    request.header("authorization")
}

fn basic() -> String {
    format!("Basic {}", base64(PASSWORD))
}

fn a_password_is_told_when_it_is_wanted() {
    let (image, server) = closed(r#"Basic realm="x""#.into(), "Basic Zm94OmRlbi1vZi10aGUtZm94");
    assert_eq!(basic(), "Basic Zm94OmRlbi1vZi10aGUtZm94");
    logged_in(Tool::pulls(server.image(&image.index)), &server).succeeds();
    let requests = server.requests();
    assert_eq!((told(&requests[0]), told(&requests[1])), (None, Some(&*basic())));
    // Whoever does not want it, is not told.
    let open = Server::honest(&image);
    logged_in(Tool::pulls(open.image(&image.index)), &open).succeeds();
    assert!(open.requests().iter().all(|request| told(request).is_none()));
}

fn without_a_password() {
    let (image, server) = closed("Basic realm=x".into(), "nothing");
    let hint = Tool::pulls(server.image(&image.index)).fails(1, "it wants a password").hint;
    assert!(hint.contains("podman login") && hint.contains("REGISTRY_AUTH_FILE"), "{hint}");
    // A wrong one.
    let hint = logged_in(Tool::pulls(server.image(&image.index)), &server).fails(1, "it wants a password").hint;
    assert!(hint.contains("auth.json has for 127.0.0.1"), "{hint}");
    // Another registry's.
    let other =
        Tool::pulls(server.image(&image.index)).logged_in(&json!({ "r.example": { "auth": base64(PASSWORD) } }));
    let before = server.requests().len();
    other.fails(1, "it wants a password");
    assert!(server.requests()[before..].iter().all(|request| told(request).is_none()));
}

fn what_the_auth_files_say_is_told_on() {
    let (image, server) = closed("Basic realm=x".into(), "nothing");
    let with = |text: &str| {
        let tool = Tool::pulls(server.image(&image.index));
        let file = tool.dir.path().join("config.json");
        std::fs::write(&file, text).unwrap();
        let docker = tool.dir.path().to_str().unwrap().to_owned();
        tool.with("DOCKER_CONFIG", &docker).fails(1, "it wants a password").hint
    };
    let gone = Tool::pulls(server.image(&image.index)).with("REGISTRY_AUTH_FILE", "/nonexistent/x");
    assert!(
        gone.fails(1, "it wants a password")
            .hint
            .ends_with("REGISTRY_AUTH_FILE names /nonexistent/x, which is not there")
    );
    assert!(with(r#"{"credsStore": "pass"}"#).ends_with("docker-credential-pass, which is not run from here"));
    let hint = with(r#"{"auths": {"x": {"auth": "den-of-the-fox"}}, "#);
    assert!(hint.contains("config.json was of no use: line 1"), "{hint}");
}

fn a_token_for_nobody() {
    let tokens = tokens();
    let (image, server) = with_tokens(&tokens);
    Tool::pulls(server.image(&image.index)).succeeds();
    let asked = tokens.requests();
    let [Request { method, path, .. }] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(method, "GET");
    assert_eq!(path, "/token?a=b&scope=repository%3Afox%2Fqemu%3Apull&service=the+fox");
    assert_eq!(told(&asked[0]), None);
    // It is asked for once, and goes nowhere else.
    assert_eq!(server.requests().len(), 5);
}

/// Whatever a registry says that it is to be asked for.
fn no_more_than_pulling_is_asked_for() {
    let tokens = tokens();
    for scope in ["repository:fox/qemu:pull,push", "registry:catalog:*", "repository:a:pull repository:b:pull"] {
        let challenge = format!(r#"Bearer realm="http://{}/",scope="{scope}""#, tokens.address);
        let (image, server) = closed(challenge, "Bearer t.o-k_e/n+1==");
        Tool::pulls(server.image(&image.index)).succeeds();
    }
    assert!(tokens.requests().iter().all(|request| request.path == "/?scope=repository%3Afox%2Fqemu%3Apull"));
}

fn a_token_for_a_password() {
    let tokens = tokens();
    let (image, server) = with_tokens(&tokens);
    logged_in(Tool::pulls(server.image(&image.index)), &server).succeeds();
    assert_eq!(told(&tokens.requests()[0]), Some(&*basic()));
    assert!(server.requests().iter().all(|request| told(request) != Some(&*basic())));
}

fn identified(tool: Tool, server: &Server) -> Tool {
    tool.logged_in(&json!({ &server.address: { "auth": base64("x:"), "identitytoken": "identity-of-the-fox" } }))
}

fn a_token_for_an_identity() {
    let tokens = Server::start(|_| Answer::ok(r#"{"access_token": "t.o-k_e/n+1=="}"#));
    let (image, server) = with_tokens(&tokens);
    identified(Tool::pulls(server.image(&image.index)), &server).succeeds();
    let Request { method, path, body, .. } = &tokens.requests()[0];
    assert_eq!((method.as_str(), path.as_str()), ("POST", "/token?a=b"));
    let form = "scope=repository%3Afox%2Fqemu%3Apull&service=the+fox&grant_type=refresh_token&\
                refresh_token=identity-of-the-fox&client_id=binfmt-nix";
    assert_eq!(body, form);
}

/// Wherever its server sends us.
fn an_identity_is_told_once() {
    for code in [301, 302, 303, 307, 308] {
        let thief = tokens();
        let to = format!("Location: http://{}/token", thief.address);
        let tokens = Server::start(move |_| Answer::status(code).header(to.clone()));
        let (image, server) = with_tokens(&tokens);
        let outcome = identified(Tool::pulls(server.image(&image.index)), &server).run();
        let stolen = thief.requests();
        assert!(stolen.iter().all(|request| !format!("{request:?}").contains("identity-of")), "{stolen:?}");
        assert_eq!((outcome.code, stolen.len()), if code < 307 { (0, 1) } else { (1, 0) }, "{code} {outcome:?}");
    }
}

/// The token, and the password too.
fn redirects_lose_what_was_told() {
    let mut ways = 0;
    for code in [301, 302, 303, 307, 308] {
        let image = Image::good();
        let cdn = Server::start({
            let image = image.clone();
            move |request| Answer::ok(image.blobs[request.path.rsplit('/').next().unwrap()].clone())
        });
        let tokens = tokens();
        let challenges = [
            ("Basic realm=x".to_owned(), basic()),
            (format!(r#"Bearer realm="http://{}/token""#, tokens.address), "Bearer t.o-k_e/n+1==".to_owned()),
        ];
        for (challenge, says) in challenges {
            let before = cdn.requests().len();
            let to = format!("http://{}", cdn.address);
            let server = Server::bent(image.clone(), move |request, answer| {
                *answer = if told(request) == Some(&says) {
                    Answer::status(code).header(format!("Location: {to}{}", request.path))
                } else {
                    Answer::status(401).header(format!("WWW-Authenticate: {challenge}"))
                };
            });
            logged_in(Tool::pulls(server.image(&image.index)), &server).succeeds();
            let came = cdn.requests();
            assert_eq!(came.len() - before, 4);
            assert!(came.iter().all(|request| told(request).is_none()), "{came:?}");
            ways += 1;
        }
    }
    ledger::line("redirects to other servers, which hear of no password and no token", ways);
}

/// In the midst of it: another one is asked for.
fn tokens_that_end() {
    let count = AtomicUsize::new(0);
    let tokens =
        Server::start(move |_| Answer::ok(format!(r#"{{"token": "t{}"}}"#, count.fetch_add(1, Ordering::SeqCst))));
    let image = Image::good();
    let (address, good) = (tokens.address.clone(), AtomicUsize::new(0));
    let server = Server::bent(image.clone(), move |request, answer| {
        let now = format!("Bearer t{}", good.load(Ordering::SeqCst));
        if told(request) == Some(&now) {
            good.fetch_add(1, Ordering::SeqCst);
        } else {
            *answer = Answer::status(401).header(format!(r#"WWW-Authenticate: Bearer realm="http://{address}/""#));
        }
    });
    Tool::pulls(server.image(&image.index)).succeeds();
    assert_eq!((tokens.requests().len(), server.requests().len()), (4, 8));
}

fn tokens_that_are_refused() {
    let tokens = tokens();
    let (image, server) = closed(format!(r#"Bearer realm="http://{}/""#, tokens.address), "nothing");
    Tool::pulls(server.image(&image.index)).fails(1, "it wants a password");
    assert_eq!((tokens.requests().len(), server.requests().len()), (1, 2));
}

fn strange_tokens() {
    let odd = [
        Answer::ok(""),
        Answer::ok("{}"),
        Answer::ok(r#"{"token": ""}"#),
        Answer::ok(r#"{"token": "a\r\nX: y"}"#),
        Answer::ok(r#"{"token": "a b"}"#),
        Answer::ok(r#"{"token": "\u00e9"}"#),
        Answer::ok(r#"{"token": ["a"]}"#),
        Answer::ok("[".repeat(200_000)),
        Answer { endless: true, ..Answer::ok("{\"token\": \"") },
        Answer { endless: true, ..Answer::ok(" ".repeat(10_000)) },
        Answer { says: Some(1 << 40), ..Answer::ok(" ".repeat(300_000)) },
        Answer::status(401),
        Answer::status(429),
        Answer::status(500),
        Answer { reset: Some(30), ..Answer::ok("{}") },
        Answer::status(302).header("Location: /token"),
    ];
    ledger::line("servers of tokens that give none, or no end of it", odd.len());
    for answer in odd {
        let tokens = Server::start(move |_| answer.clone());
        let (image, server) = with_tokens(&tokens);
        let outcome = Tool::pulls(server.image(&image.index)).fails(1, "127.0.0.1, which gives tokens for it: ");
        assert!(outcome.error.len() < 1000, "{outcome:?}");
        assert_eq!(server.requests().len(), 1);
    }
}

fn strange_realms() {
    let odd = [
        ("", "no URL"),
        ("token", "no URL"),
        ("file:///etc/shadow", "no URL"),
        ("ftp://127.0.0.1/", "no URL"),
        ("https://u:p@127.0.0.1/", "no URL"),
        ("http://", "no URL"),
        ("http://192.0.2.1/token", "without TLS"),
        ("http://r.example/token", "without TLS"),
        ("http://127.0.0.1.r.example/", "without TLS"),
        ("javascript:alert(1)", "no URL"),
        ("\u{202e}x", "no URL"),
    ];
    ledger::line("registries that would have us ask where nobody should", odd.len());
    for (realm, words) in odd {
        let (image, server) = closed(format!("Bearer realm=\"{realm}\""), "nothing");
        logged_in(Tool::pulls(server.image(&image.index)), &server).fails(1, words);
        assert_eq!(server.requests().len(), 1);
    }
}

fn strange_challenges() {
    let odd = [
        ("", "without a word"),
        ("\"", "without a word"),
        ("Negotiate YQ==", "log in by negotiate"),
        ("Digest realm=x, Negotiate", "log in by digest or negotiate"),
        ("Bearer realm=\"x", "no URL"),
        ("Bearer a=1, a=2", "without a word"),
    ];
    for (challenge, words) in odd {
        let (image, server) = closed(challenge.into(), "nothing");
        logged_in(Tool::pulls(server.image(&image.index)), &server).fails(1, words);
    }
    let endless = "x".repeat(3_000_000);
    let (image, server) = closed(format!("Bearer realm=\"{endless}\""), "nothing");
    assert!(Tool::pulls(server.image(&image.index)).fails(1, "").error.len() < 1000);
}
