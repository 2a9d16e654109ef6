//! What a machine can do to a change: faults, limits, links, other processes.

mod answer_properties;
mod full_disk;
mod interrupted;
mod killed;
mod leftovers;
mod locking;
mod read_only;
mod untrusted_paths;
mod unusual_hosts;
