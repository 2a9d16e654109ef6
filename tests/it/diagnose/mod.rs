//! `doctor`, `explain`, `status` and `test`.

pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod situations;
pub(crate) mod status;
pub(crate) mod verify;
