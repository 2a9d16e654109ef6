//! The kernel's part of emulation: the binfmt_misc table, boot rules, containers, user namespaces, and the probe
//! programs that show whether an entry works. Also the launcher, which runs native programs instead of a guest's tools.
//!
//! This room knows neither QEMU nor Nix nor the receipt.

pub mod access;
pub mod boot;
pub mod boot_hook;
pub mod boot_reader;
pub mod boot_sysctl;
pub mod container;
pub mod harm;
pub mod in_memory;
pub mod init_system;
pub mod launcher;
pub mod native;
pub mod probe;
pub mod script;
pub mod selinux;
pub mod setuid;
pub mod shell;
pub mod table;
pub mod userns;
