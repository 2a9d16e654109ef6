//! `doctor`, `explain`, `status` and `test`.

mod doctor;
mod explain;
mod status;
mod verify;
