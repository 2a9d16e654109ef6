//! References to images, the documents of an image, authentication challenges of registries, and files with passwords.
//! The first byte selects which of them the rest is.
#![no_main]

use binfmt_nix::qemu::oci::{
    AuthChallenge, ChainError, DigestChain, Expected, ImageReference, MAX_DOCUMENT_SIZE, Platform, find_credentials,
    pull_scope,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(data);
    let image: ImageReference = "oci://r.example/n/q:t".parse().expect("a reference");
    match kind {
        b'r' => {
            if let Ok(image) = text.parse::<ImageReference>() {
                assert_eq!(image.to_string().parse::<ImageReference>().as_ref(), Ok(&image));
                assert!(image.base_url().is_ascii() && !image.base_url().contains(['?', '#', '@', ' ', '%', '\\']));
            }
        }
        b'c' => {
            for challenge in AuthChallenge::parse_all(data) {
                assert!(!challenge.scheme.is_empty());
                let scope = pull_scope(challenge.parameter("scope"), "n/q");
                assert!(
                    scope.starts_with("repository:") && scope.ends_with(":pull") && scope.matches(':').count() == 2
                );
            }
        }
        b'a' => drop(find_credentials(data, &image)),
        _ => {
            let mut chain = DigestChain::new(&image, Platform::for_machine("x86_64").expect("a platform"));
            match chain.add_document(data) {
                Ok(()) => match chain.expected() {
                    Expected::Document { digest, size } => {
                        assert!(digest.is_some() && size.is_some_and(|size| (1..=MAX_DOCUMENT_SIZE).contains(&size)));
                    }
                    Expected::Layer { size, got, .. } => assert!(size > 0 && got == 0),
                    Expected::Nothing => panic!("an image without layers"),
                },
                Err(ChainError::Refused(why)) => assert!(!why.is_empty()),
                Err(bad) => panic!("{bad}"),
            }
        }
    }
});
