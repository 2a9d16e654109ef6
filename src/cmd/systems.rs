//! From names to systems.

use binfmt_magic::Arch;

use crate::error::{Error, Result};

/// The systems that these names mean, each once; `true` if "all" was said.
pub(super) fn named(names: &[String]) -> Result<(Vec<&'static Arch>, bool)> {
    if names.iter().any(|name| name == "all") {
        if names.len() > 1 {
            return Err(Error::Usage("\"all\" stands alone".into()));
        }
        return Ok((Arch::ALL.iter().collect(), true));
    }
    let mut systems: Vec<&'static Arch> = Vec::new();
    for name in names {
        let arch = Arch::find(name)?;
        if !systems.iter().any(|known| known.target == arch.target) {
            systems.push(arch);
        }
    }
    Ok((systems, false))
}
