//! Diagnosis: shows which entries run foreign programs on this machine, whether they work, and why not. This room
//! changes nothing.
//!
//! [`status`] lists the systems, [`verify`] runs probe programs, [`doctor`] names causes and repairs, [`explain`] shows
//! what execve(2) does with a file.

pub mod acceleration;
pub mod doctor;
pub mod explain;
pub mod nix_failure;
pub mod other_entries;
pub mod repair;
pub mod rule_state;
pub mod running_binary;
pub mod status;
pub mod trial;
pub mod verify;
