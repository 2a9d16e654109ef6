//! `status`: what each entry runs.

mod report;
