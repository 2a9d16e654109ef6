//! Root or not: the exact line that does it.

use crate::download;
use crate::error::{Error, Result};
use crate::host::{self, Host};
use crate::mirrors;
use crate::text::quoted;

/// The running machine is changed by root only. A tree below `--root` may
/// belong to anyone. `rootless` are the systems that `run` could do it for.
pub(super) fn check(host: &Host, rootless: Option<&[String]>) -> Result<()> {
    if !host.is_live() || nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let run = |systems: &[String]| {
        let systems: Vec<_> = systems.iter().map(|system| format!("--system {}", quoted(system))).collect();
        let systems = if systems == ["--system all"] { "--all".to_owned() } else { systems.join(" ") };
        format!("{} run {systems} -- COMMAND", quoted(&host::env::own_path().to_string_lossy()))
    };
    Err(Error::NotRoot { line: line(), rootless: rootless.map(run) })
}

fn line() -> String {
    // sudo drops them unless told otherwise.
    let counted = download::VARIABLES.iter().copied().chain([mirrors::NIX_ROOTS, mirrors::VARIABLE, mirrors::NETRC]);
    let set: Vec<&str> = counted.filter(|name| host::env::var(name).is_some()).collect();
    let mut words = vec!["sudo".to_owned()];
    if !set.is_empty() {
        words.push(format!("--preserve-env={}", set.join(",")));
    }
    words.push(quoted(&host::env::own_path().to_string_lossy()));
    words.extend(std::env::args_os().skip(1).map(|word| quoted(&word.to_string_lossy())));
    words.join(" ")
}
