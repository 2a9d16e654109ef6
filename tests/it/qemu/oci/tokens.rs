//! Token servers of a registry: what the tool sends to them, and how it uses their tokens.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::credentials::{
    authorization_of, basic_authorization, logged_in, registry_that_needs, registry_with_tokens, token_server,
};
use super::fault_table;
use super::image::Image;
use super::server::{Answer, Request, Server};
use super::tool::{Tool, base64};

#[test]
fn an_anonymous_token_is_requested_once() {
    let tokens = token_server();
    let (image, server) = registry_with_tokens(&tokens);
    Tool::pulls(server.image(&image.index)).succeeds();
    let asked = tokens.requests();
    let [Request { method, path, .. }] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(method, "GET");
    assert_eq!(path, "/token?a=b&scope=repository%3Afox%2Fqemu%3Apull&service=the+fox");
    assert_eq!(authorization_of(&asked[0]), None);
    // The token is requested once and sent only to the registry.
    assert_eq!(server.requests().len(), 5);
}

/// The scope in the challenge of a registry is not used.
#[test]
fn the_requested_scope_is_always_pull() {
    let tokens = token_server();
    for scope in ["repository:fox/qemu:pull,push", "registry:catalog:*", "repository:a:pull repository:b:pull"] {
        let challenge = format!(r#"Bearer realm="http://{}/",scope="{scope}""#, tokens.address);
        let (image, server) = registry_that_needs(challenge, "Bearer t.o-k_e/n+1==");
        Tool::pulls(server.image(&image.index)).succeeds();
    }
    assert!(tokens.requests().iter().all(|request| request.path == "/?scope=repository%3Afox%2Fqemu%3Apull"));
}

#[test]
fn the_password_is_sent_only_to_the_token_server() {
    let tokens = token_server();
    let (image, server) = registry_with_tokens(&tokens);
    logged_in(Tool::pulls(server.image(&image.index)), &server).succeeds();
    assert_eq!(authorization_of(&tokens.requests()[0]), Some(&*basic_authorization()));
    assert!(server.requests().iter().all(|request| authorization_of(request) != Some(&*basic_authorization())));
}

fn with_identity(tool: Tool, server: &Server) -> Tool {
    tool.logged_in(&json!({ &server.address: { "auth": base64("x:"), "identitytoken": "identity-of-the-fox" } }))
}

#[test]
fn an_identity_token_is_exchanged_by_post() {
    let tokens = Server::start(|_| Answer::ok(r#"{"access_token": "t.o-k_e/n+1=="}"#));
    let (image, server) = registry_with_tokens(&tokens);
    with_identity(Tool::pulls(server.image(&image.index)), &server).succeeds();
    let Request { method, path, body, .. } = &tokens.requests()[0];
    assert_eq!((method.as_str(), path.as_str()), ("POST", "/token?a=b"));
    let form = "scope=repository%3Afox%2Fqemu%3Apull&service=the+fox&grant_type=refresh_token&\
                refresh_token=identity-of-the-fox&client_id=binfmt-nix";
    assert_eq!(body, form);
}

/// A redirect of the token server never transfers the identity token.
#[test]
fn an_identity_token_never_follows_a_redirect() {
    for code in [301, 302, 303, 307, 308] {
        let thief = token_server();
        let to = format!("Location: http://{}/token", thief.address);
        let tokens = Server::start(move |_| Answer::status(code).header(to.clone()));
        let (image, server) = registry_with_tokens(&tokens);
        let outcome = with_identity(Tool::pulls(server.image(&image.index)), &server).run();
        let stolen = thief.requests();
        assert!(stolen.iter().all(|request| !format!("{request:?}").contains("identity-of")), "{stolen:?}");
        assert_eq!((outcome.code, stolen.len()), if code < 307 { (0, 1) } else { (1, 0) }, "{code} {outcome:?}");
    }
}

/// The token expires during the pull, and a new one is requested.
#[test]
fn an_expired_token_is_replaced() {
    let count = AtomicUsize::new(0);
    let tokens =
        Server::start(move |_| Answer::ok(format!(r#"{{"token": "t{}"}}"#, count.fetch_add(1, Ordering::SeqCst))));
    let image = Image::good();
    let (address, good) = (tokens.address.clone(), AtomicUsize::new(0));
    let server = Server::modified(image.clone(), move |request, answer| {
        let now = format!("Bearer t{}", good.load(Ordering::SeqCst));
        if authorization_of(request) == Some(&now) {
            good.fetch_add(1, Ordering::SeqCst);
        } else {
            *answer = Answer::status(401).header(format!(r#"WWW-Authenticate: Bearer realm="http://{address}/""#));
        }
    });
    Tool::pulls(server.image(&image.index)).succeeds();
    assert_eq!((tokens.requests().len(), server.requests().len()), (4, 8));
}

#[test]
fn a_refused_token_is_requested_only_once() {
    let tokens = token_server();
    let (image, server) = registry_that_needs(format!(r#"Bearer realm="http://{}/""#, tokens.address), "nothing");
    Tool::pulls(server.image(&image.index)).fails(1, "the registry requires a password");
    assert_eq!((tokens.requests().len(), server.requests().len()), (1, 2));
}

#[test]
fn malformed_token_answers_are_refused() {
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
    fault_table::line("token servers that deliver no token, or an endless one", odd.len());
    for answer in odd {
        let tokens = Server::start(move |_| answer.clone());
        let (image, server) = registry_with_tokens(&tokens);
        let outcome = Tool::pulls(server.image(&image.index)).fails(1, "token server 127.0.0.1: ");
        assert!(outcome.error.len() < 1000, "{outcome:?}");
        assert_eq!(server.requests().len(), 1);
    }
}
