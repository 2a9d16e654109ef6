//! `explain`: what execve(2) does with a file.

mod execve;
mod explain_text;
mod json;
mod processes;
mod properties;
