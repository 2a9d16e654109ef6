//! Images of registries: references, documents, challenges and scopes, and the files with credentials.

use binfmt_nix::qemu::oci::{
    AuthChallenge, ChainError, DigestChain, Document, Expected, ImageReference, Platform, find_credentials,
    may_send_password, pull_scope,
};
use binfmt_nix::sha256::Sha256;
use proptest::prelude::*;

fn image() -> ImageReference {
    "oci://r.example/a/b:t".parse().unwrap()
}

proptest! {
    #![proptest_config(crate::support::config(500))]

    #[test]
    fn an_image_reference_parses_from_its_own_text(text in "(oci://)?[a-z0-9.:\\[\\]-]{0,20}/[a-z0-9._/-]{0,20}(:[A-Za-z0-9._-]{1,10})?(@sha256:[0-9a-f]{64})?") {
        if let Ok(image) = text.parse::<ImageReference>() {
            let shown = image.to_string();
            prop_assert_eq!(shown.parse::<ImageReference>().unwrap(), image.clone());
            // No character has a special meaning in a URL.
            let rest = image.base_url().split_once("://").unwrap().1.to_owned();
            prop_assert!(rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:[]-_/".contains(&byte)), "{}", rest);
            prop_assert!(!rest.contains("..") && !rest.contains("//"));
        }
    }

    #[test]
    fn accepted_references_are_ascii(text in "oci://\\PC{0,60}") {
        if let Ok(image) = text.parse::<ImageReference>() {
            prop_assert!(image.to_string().is_ascii());
        }
    }

    #[test]
    fn parsed_challenges_have_printable_schemes(value in prop::collection::vec(any::<u8>(), 0..200)) {
        for challenge in AuthChallenge::parse_all(&value) {
            prop_assert!(!challenge.scheme.is_empty() && challenge.scheme.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }

    #[test]
    fn a_well_formed_challenge_is_parsed(
        scheme in "[A-Za-z]{1,8}",
        parameters in prop::collection::btree_map("[a-z]{1,8}", "[ !#-\\[\\]-~\"\\\\]{0,12}", 0..5),
    ) {
        let quoted = |value: &str| format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
        let written: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
        let challenges = AuthChallenge::parse_all(format!("Basic, {scheme} {}, Other", written.join(", ")).as_bytes());
        let [basic, read, other] = challenges.as_slice() else { panic!("{challenges:?}") };
        prop_assert_eq!((basic.scheme.as_str(), other.scheme.as_str()), ("basic", "other"));
        prop_assert_eq!(&read.scheme, &scheme.to_lowercase());
        for (name, value) in &parameters {
            prop_assert_eq!(read.parameter(name), Some(value.as_str()));
        }
    }

    #[test]
    fn the_scope_is_always_a_single_pull(asked in "\\PC{0,40}|repository:[a-z/:, ]{0,20}:[a-z,*]{0,9}") {
        let scope = pull_scope(Some(&asked), "a/b");
        prop_assert!(scope.starts_with("repository:") && scope.ends_with(":pull"));
        prop_assert!(scope.matches(':').count() == 2 && !scope.contains(' '));
    }

    /// A server that may receive the password is a parent domain or a subdomain of the registry, by whole labels.
    #[test]
    fn a_password_stays_in_the_domain_of_the_registry(registry in "([a-c]\\.){1,3}[a-c]", realm in "([a-c]\\.){0,4}[a-c]") {
        if may_send_password(&registry, &realm) {
            let (a, b) = (format!(".{registry}"), format!(".{realm}"));
            prop_assert!(a.ends_with(&b) || b.ends_with(&a));
            prop_assert!(realm.contains('.'));
        }
    }

    #[test]
    fn errors_never_quote_auth_files(text in "\\PC{0,40}", key in "[a-z./:]{0,20}", secret in "[g-z]{12}") {
        let whole = format!("{{\"auths\": {{\"{key}\": {{\"auth\": \"{secret}\"}}, \"r.example\": {{\"auth\": \"{secret}!\"}}}} {text}");
        for text in [text.as_str(), &whole, &format!("{{\"auths\": {{\"r.example\": {{\"auth\": \"{secret}!\"}}}}}}")] {
            if let Err(why) = find_credentials(text.as_bytes(), &image()) {
                prop_assert!(!why.to_string().contains(&secret), "{}", why);
            }
        }
    }

    #[test]
    fn arbitrary_documents_never_cause_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0..400_usize) {
        drop(Document::parse(&bytes));
        let digest = Sha256::of_bytes(b"x");
        let mut text = format!(
            r#"{{"schemaVersion": 2, "manifests": [{{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:{digest}", "size": 5, "platform": {{"os": "linux", "architecture": "amd64"}}}}]}}"#
        ).into_bytes();
        for (offset, byte) in bytes.into_iter().take(9).enumerate() {
            if let Some(place) = text.get_mut(at + offset) {
                *place = byte;
            }
        }
        let mut chain = DigestChain::new(&image(), Platform::for_machine("x86_64").unwrap());
        match chain.add_document(&text) {
            Ok(()) => {
                let listed = matches!(chain.expected(), Expected::Document { digest: Some(_), size: Some(1..) });
                prop_assert!(listed);
            },
            Err(ChainError::Refused(why)) => prop_assert!(!why.is_empty()),
            Err(bad) => prop_assert!(false, "{}", bad),
        }
    }
}
