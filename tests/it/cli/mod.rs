//! The command line: arguments, formats, and text for terminals.

mod command_line;
mod json;
mod permission;
mod system_names;
mod terminal_escapes;
mod terminal_properties;
