//! Registries that need a login, and registries that ask for more than they should get.

use serde_json::json;

use super::fault_table;
use super::image::Image;
use super::server::{Answer, Request, Server};
use super::tool::{Tool, base64};

const PASSWORD: &str = "fox:den-of-the-fox";

/// Starts a registry that answers every request without this `Authorization` with this challenge.
pub(crate) fn registry_that_needs(challenge: String, says: &'static str) -> (Image, Server) {
    let image = Image::good();
    let server = Server::modified(image.clone(), move |request, answer| {
        if request.header("authorization") != Some(says) {
            *answer = Answer::status(401).header(format!("WWW-Authenticate: {challenge}"));
        }
    });
    (image, server)
}

/// Starts a registry that accepts tokens of this server.
pub(crate) fn registry_with_tokens(tokens: &Server) -> (Image, Server) {
    let realm = format!("http://{}/token?a=b", tokens.address);
    registry_that_needs(
        format!(r#"Bearer realm="{realm}",service="the fox",scope="repository:fox/qemu:pull""#),
        "Bearer t.o-k_e/n+1==",
    )
}

pub(crate) fn token_server() -> Server {
    Server::start(|_| Answer::ok(r#"{"token": "t.o-k_e/n+1==", "expires_in": 60}"#))
}

pub(crate) fn logged_in(tool: Tool, server: &Server) -> Tool {
    tool.logged_in(&json!({ &server.address: { "auth": base64(PASSWORD) } }))
}

pub(crate) fn authorization_of(request: &Request) -> Option<&str> {
    request.header("authorization")
}

pub(crate) fn basic_authorization() -> String {
    format!("Basic {}", base64(PASSWORD))
}

#[test]
fn the_password_is_sent_only_on_request() {
    let (image, server) = registry_that_needs(r#"Basic realm="x""#.into(), "Basic Zm94OmRlbi1vZi10aGUtZm94");
    assert_eq!(basic_authorization(), "Basic Zm94OmRlbi1vZi10aGUtZm94");
    logged_in(Tool::pulls(server.image(&image.index)), &server).succeeds();
    let requests = server.requests();
    assert_eq!((authorization_of(&requests[0]), authorization_of(&requests[1])), (None, Some(&*basic_authorization())));
    // A registry that does not ask for the password does not receive it.
    let open = Server::honest(&image);
    logged_in(Tool::pulls(open.image(&image.index)), &open).succeeds();
    assert!(open.requests().iter().all(|request| authorization_of(request).is_none()));
}

#[test]
fn a_missing_or_wrong_password_is_explained() {
    let (image, server) = registry_that_needs("Basic realm=x".into(), "nothing");
    let hint = Tool::pulls(server.image(&image.index)).fails(1, "the registry requires a password").hint;
    assert!(hint.contains("podman login") && hint.contains("REGISTRY_AUTH_FILE"), "{hint}");
    // A wrong password.
    let hint =
        logged_in(Tool::pulls(server.image(&image.index)), &server).fails(1, "the registry requires a password").hint;
    assert!(hint.contains("auth.json for 127.0.0.1"), "{hint}");
    // The password of another registry.
    let other =
        Tool::pulls(server.image(&image.index)).logged_in(&json!({ "r.example": { "auth": base64(PASSWORD) } }));
    let before = server.requests().len();
    other.fails(1, "the registry requires a password");
    assert!(server.requests()[before..].iter().all(|request| authorization_of(request).is_none()));
}

#[test]
fn problems_of_auth_files_are_reported() {
    let (image, server) = registry_that_needs("Basic realm=x".into(), "nothing");
    let with = |text: &str| {
        let tool = Tool::pulls(server.image(&image.index));
        let file = tool.dir.path().join("config.json");
        std::fs::write(&file, text).unwrap();
        let docker = tool.dir.path().to_str().unwrap().to_owned();
        tool.with("DOCKER_CONFIG", &docker).fails(1, "the registry requires a password").hint
    };
    let gone = Tool::pulls(server.image(&image.index)).with("REGISTRY_AUTH_FILE", "/nonexistent/x");
    assert!(
        gone.fails(1, "the registry requires a password")
            .hint
            .ends_with("REGISTRY_AUTH_FILE names /nonexistent/x, which does not exist")
    );
    assert!(with(r#"{"credsStore": "pass"}"#).ends_with("docker-credential-pass, which binfmt-nix does not run"));
    let hint = with(r#"{"auths": {"x": {"auth": "den-of-the-fox"}}, "#);
    assert!(hint.contains("config.json was ignored: line 1"), "{hint}");
}

/// Both the token and the password.
#[test]
fn redirects_drop_password_and_token() {
    let mut ways = 0;
    for code in [301, 302, 303, 307, 308] {
        let image = Image::good();
        let cdn = Server::start({
            let image = image.clone();
            move |request| Answer::ok(image.blobs[request.path.rsplit('/').next().unwrap()].clone())
        });
        let tokens = token_server();
        let challenges = [
            ("Basic realm=x".to_owned(), basic_authorization()),
            (format!(r#"Bearer realm="http://{}/token""#, tokens.address), "Bearer t.o-k_e/n+1==".to_owned()),
        ];
        for (challenge, says) in challenges {
            let before = cdn.requests().len();
            let to = format!("http://{}", cdn.address);
            let server = Server::modified(image.clone(), move |request, answer| {
                *answer = if authorization_of(request) == Some(&says) {
                    Answer::status(code).header(format!("Location: {to}{}", request.path))
                } else {
                    Answer::status(401).header(format!("WWW-Authenticate: {challenge}"))
                };
            });
            logged_in(Tool::pulls(server.image(&image.index)), &server).succeeds();
            let came = cdn.requests();
            assert_eq!(came.len() - before, 4);
            assert!(came.iter().all(|request| authorization_of(request).is_none()), "{came:?}");
            ways += 1;
        }
    }
    fault_table::line("redirects to other servers, without password and token", ways);
}

#[test]
fn malformed_token_realms_are_refused() {
    let odd = [
        ("", "not a URL"),
        ("token", "not a URL"),
        ("file:///etc/shadow", "not a URL"),
        ("ftp://127.0.0.1/", "not a URL"),
        ("https://u:p@127.0.0.1/", "not a URL"),
        ("http://", "not a URL"),
        ("http://192.0.2.1/token", "without TLS"),
        ("http://r.example/token", "without TLS"),
        ("http://127.0.0.1.r.example/", "without TLS"),
        ("javascript:alert(1)", "not a URL"),
        ("\u{202e}x", "not a URL"),
    ];
    fault_table::line("registries with a token server that must not be asked", odd.len());
    for (realm, words) in odd {
        let (image, server) = registry_that_needs(format!("Bearer realm=\"{realm}\""), "nothing");
        logged_in(Tool::pulls(server.image(&image.index)), &server).fails(1, words);
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn malformed_challenges_are_refused() {
    let odd = [
        ("", "without an authentication challenge"),
        ("\"", "without an authentication challenge"),
        ("Negotiate YQ==", "the authentication negotiate"),
        ("Digest realm=x, Negotiate", "the authentication digest or negotiate"),
        ("Bearer realm=\"x", "not a URL"),
        ("Bearer a=1, a=2", "without an authentication challenge"),
    ];
    for (challenge, words) in odd {
        let (image, server) = registry_that_needs(challenge.into(), "nothing");
        logged_in(Tool::pulls(server.image(&image.index)), &server).fails(1, words);
    }
    let endless = "x".repeat(3_000_000);
    let (image, server) = registry_that_needs(format!("Bearer realm=\"{endless}\""), "nothing");
    assert!(Tool::pulls(server.image(&image.index)).fails(1, "").error.len() < 1000);
}
