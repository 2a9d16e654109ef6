//! `status`: what each entry runs.

pub(crate) mod report;
