//! Name of a system on the command line: it is known, or similar names are suggested.
#![no_main]

use binfmt_magic::Arch;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|name: &str| {
    let found = Arch::find(name);
    assert_eq!(Arch::find(&name.to_ascii_uppercase()).ok(), found.as_ref().ok().copied());
    let _ = Arch::of_host(name);
    match found {
        Ok(arch) => assert!(Arch::ALL.contains(arch)),
        Err(unknown) => {
            assert!(unknown.suggestions().len() <= 3 && unknown.to_string().contains("unknown system"));
            assert!(unknown.suggestions().iter().all(|near| Arch::find(near).is_ok()));
        }
    }
});
