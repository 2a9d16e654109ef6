//! Linux `binfmt_misc` rules for every guest of QEMU's user-mode emulation.
//!
//! * [`Arch`]: one row for each guest, with its names, the [`Pattern`] that matches its programs and no others,
//!   and, for many, a probe program.
//! * [`OtherSystem`]: systems that QEMU does not run, such as WebAssembly.
//! * [`Rule`] and [`Entry`]: the line that `/proc/sys/fs/binfmt_misc/register` accepts and the text that an
//!   entry's file shows, parsed and printed as the kernel does, and matched as the kernel matches.
//! * [`launcher()`]: the code that runs a native program instead of a guest's tool.
//! * [`required_feature`]: the system feature that nixpkgs requires of a builder for a Nix system.
//!
//! The crate is pure: it opens no file and starts no process.
//!
//! ```
//! use binfmt_magic::{Arch, EntryName, Flags, Recognition, Rule};
//!
//! let arm64 = Arch::find("linux/arm64").expect("a known name");
//! let rule = Rule {
//!     name: EntryName::new("qemu-aarch64")?,
//!     recognition: Recognition::Magic(arm64.pattern()),
//!     interpreter: b"/usr/bin/qemu-aarch64".to_vec(),
//!     flags: "PF".parse()?,
//! };
//! assert!(rule.to_line()?.starts_with(br":qemu-aarch64:M:0:\x7f\x45\x4c\x46\x02"));
//! assert!(arm64.headers().iter().all(|head| rule.matches(head)));
//! assert_eq!(Rule::parse(&rule.to_line()?)?, rule);
//! # Ok::<(), binfmt_magic::RuleError>(())
//! ```
//!
//! Sources, cited row by row and rule by rule: the kernel's `fs/binfmt_misc.c` and `lib/string_helpers.c`
//! (read at Linux 5.17, 6.x and 7.3.4, measured on 6.18 and 7.3.4), QEMU's `scripts/qemu-binfmt-conf.sh` and
//! `linux-user/elfload.c` (10.0). The required features are from nixpkgs.

#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that panics has failed"))]

mod arch;
mod entry;
mod features;
mod flags;
mod launcher;
mod line;
mod names;
mod other;
mod pattern;
mod probe;
mod rule;
mod table;

pub use arch::{Arch, Bits, Endian};
pub use entry::{BpfHandler, Entry};
pub use features::required_feature;
pub use flags::Flags;
pub use launcher::launcher;
pub use line::{LINE_MAX, LINE_MIN, Syntax};
pub use names::UnknownSystem;
pub use other::OtherSystem;
pub use pattern::{Difference, Pattern, WINDOW};
pub use rule::{EntryName, NAME_MAX, Recognition, Rule, RuleError, extension};
