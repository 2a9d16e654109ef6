//! Tests of hosts in unusual states: faults, limits, links, other processes.

pub(crate) mod answer_properties;
pub(crate) mod foreign_files;
pub(crate) mod full_disk;
pub(crate) mod interrupted;
pub(crate) mod killed;
pub(crate) mod leftovers;
pub(crate) mod locking;
pub(crate) mod locking_users;
pub(crate) mod read_only;
pub(crate) mod root_processes;
pub(crate) mod untrusted_interpreters;
pub(crate) mod untrusted_paths;
pub(crate) mod unusual_hosts;
