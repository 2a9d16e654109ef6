//! A line of /proc/PID/mountinfo. Every user with the right to mount controls parts of it.
#![no_main]

use binfmt_nix::host::mount::parse_mountinfo_line;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    if let Some((id, _)) = parse_mountinfo_line(line) {
        assert!(line.starts_with(id) && !id.contains(' '));
    }
});
