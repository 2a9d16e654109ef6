

mod attempts;
mod frames;
pub(crate) mod hostile_workers;
mod needs;
mod network;
pub(crate) mod old_kernel;
mod process;
pub(crate) mod rights;
