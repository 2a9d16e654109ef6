//! `binfmt-nix`: programs and Nix builds of other architectures on any Linux.
//!
//! A command flows one way: look → plan → apply → check.
//!
//! ```text
//! cli ─ request ─▶ facts (reads once) ─▶ plan (pure) ─▶ apply (the only writer) ─▶ check
//! ```
//!
//! | module | what it is | what it must not know |
//! |---|---|---|
//! | [`cli`] | clap types, help texts | everything else |
//! | [`cmd`] | one function a command: the flow above | formats, errno, HTTP |
//! | [`request`] | what was asked, typed | clap |
//! | [`facts`] | the machine, read once | what will be done about it |
//! | [`plan`] | all decisions; pure | the machine itself |
//! | [`apply`] | does steps, journals, takes back | why a step is in the plan |
//! | [`unregister`] | facts, plan and changes of `unregister` | the command line |
//! | [`receipt`] | what was made here; versioned | how to undo it |
//! | [`host`] | the one door: files, processes, mounts | what any file means |
//! | [`binfmt_misc`] | the kernel's table | QEMU, Nix, receipts |
//! | [`in_memory`] | names of interpreters that live in memory | whose they are |
//! | [`container`] | whether this is one, and how long the table lasts in it | what is registered |
//! | [`boot`] | binfmt.d files | QEMU, Nix |
//! | [`nix`] | nix.conf, Nix's answers, its daemon | the kernel |
//! | [`interpreter`] | is this file a static QEMU; pure | where it comes from |
//! | [`catalog`] | which bytes of which package; pure | the network |
//! | [`archive`] | emulators in others' archives, and bundles of ours; pure | who asks, and what becomes of them |
//! | [`debian`] | which QEMU Debian offers today, by its signature; pure | where bytes come from, who reads them |
//! | [`download`] | HTTP, ranges, digests before decoding | install paths |
//! | [`fetcher`] | the processes that download and unpack, and have no rights | what they do it for |
//! | [`qemu`] | which static QEMU a system gets, from where, verified how | what it is registered as |
//! | [`fetch`] | downloads emulators and archives into open files, with a progress bar | what becomes of the files |
//! | [`cache`] | what was downloaded, by digest | who wants it |
//! | [`rootless`] | a table for one command: namespaces, cache | receipts' undo, nix.conf |
//! | [`mirrors`] | which mirrors this machine uses | how to download |
//! | [`netrc`] | whose passwords are for which mirror; pure | where the files are |
//! | [`oci`] | images in registries: references, documents, challenges, passwords | HTTP |
//! | [`layout`] | where our things go | |
//! | [`hold`] | stays, watches the table, puts back what is removed: findings, pace and events are pure | how it is registered |
//! | [`outcome`] | what a command did: the JSON contract | how it was done |
//! | [`probe`] | runs a probe ELF, by itself or shut in, and watches it | why it is asked |
//! | [`proof`] | what that proves, and why not; which file the kernel runs | how it is printed |
//! | [`status`] | what runs foreign programs here | |
//! | [`explain`] | what the kernel does with a file, and why; looks in `look`, `running` and `tried` alone | what will be done about it |
//! | [`text`] | what of a foreign text is shown; pure | whose text it is |
//! | [`doctor`] | what is wrong, why, and what repairs it: checks are pure | how it is repaired |
//! | [`ui`] | the terminal, JSON | the domain |
//! | [`error`] | one enum: text, hint, exit code | |
//!
//! The pure table of architectures is the crate `binfmt-magic` in `magic/`.

#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "a test fails by panicking"
    )
)]

pub mod apply;
pub mod archive;
pub mod binfmt_misc;
pub mod boot;
pub mod cache;
pub mod catalog;
pub mod cli;
pub mod cmd;
pub mod container;
pub mod debian;
pub mod digest;
pub mod doctor;
pub mod download;
pub mod error;
pub mod explain;
pub mod facts;
pub mod fetch;
pub mod fetcher;
#[cfg(test)]
mod generated;
pub mod hold;
pub mod host;
pub mod in_memory;
pub mod interpreter;
pub mod layout;
pub mod mirrors;
pub mod netrc;
pub mod nix;
pub mod oci;
pub mod outcome;
pub mod plan;
pub mod probe;
pub mod proof;
pub mod qemu;
pub mod receipt;
pub mod request;
pub mod rootless;
pub mod status;
pub mod text;
pub mod ui;
pub mod unregister;
