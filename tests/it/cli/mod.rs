//! The command line: arguments, formats, and text for terminals.

pub(crate) mod command_line;
pub(crate) mod failing_output;
pub(crate) mod hostile;
pub(crate) mod json;
pub(crate) mod one_line;
pub(crate) mod permission;
pub(crate) mod secrets;
pub(crate) mod system_names;
pub(crate) mod terminal_escapes;
pub(crate) mod terminal_properties;
