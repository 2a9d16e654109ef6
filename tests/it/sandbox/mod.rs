//! Confined workers: the rights that they keep, and the output that the tool accepts from them.

pub(crate) mod attempts;
pub(crate) mod frames;
pub(crate) mod hostile_workers;
pub(crate) mod needs;
pub(crate) mod network;
pub(crate) mod old_kernel;
pub(crate) mod process;
pub(crate) mod rights;
