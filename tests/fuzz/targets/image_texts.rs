//! What names an image, what it says of itself, what registries want to hear, and the files that passwords are in. The
//! first byte says which.
#![no_main]

use binfmt_nix::qemu::oci::{Bad, Chain, Challenge, LARGEST_DOCUMENT, Platform, Reference, Want, in_file, pull_scope};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(data);
    let image: Reference = "oci://r.example/n/q:t".parse().expect("a reference");
    match kind {
        b'r' => {
            if let Ok(image) = text.parse::<Reference>() {
                assert_eq!(image.to_string().parse::<Reference>().as_ref(), Ok(&image));
                assert!(image.base().is_ascii() && !image.base().contains(['?', '#', '@', ' ', '%', '\\']));
            }
        }
        b'c' => {
            for challenge in Challenge::parse(data) {
                assert!(!challenge.scheme.is_empty());
                let scope = pull_scope(challenge.parameter("scope"), "n/q");
                assert!(
                    scope.starts_with("repository:") && scope.ends_with(":pull") && scope.matches(':').count() == 2
                );
            }
        }
        b'a' => drop(in_file(data, &image)),
        _ => {
            let mut chain = Chain::new(&image, Platform::of_machine("x86_64").expect("a platform"));
            match chain.document(data) {
                Ok(()) => match chain.want() {
                    Want::Document { digest, size } => {
                        assert!(digest.is_some() && size.is_some_and(|size| (1..=LARGEST_DOCUMENT).contains(&size)));
                    }
                    Want::Layer { size, got, .. } => assert!(size > 0 && got == 0),
                    Want::Nothing => panic!("an image without layers"),
                },
                Err(Bad::Refused(why)) => assert!(!why.is_empty()),
                Err(bad) => panic!("{bad}"),
            }
        }
    }
});
