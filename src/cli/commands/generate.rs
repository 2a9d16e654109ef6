//! The hidden command `gen`: generates files of the source tree.

use crate::cli::{GenArgs, GenTarget};
use crate::error::{Error, ExitCode, Result};
use crate::host;
use crate::qemu::catalog::generate;
use crate::qemu::catalog::generate::pool_path;
use crate::ui::Ui;

pub(super) fn run(args: &GenArgs, ui: &Ui) -> Result<ExitCode> {
    let GenTarget::Catalog { debs } = &args.what;
    let mut packages = Vec::new();
    for path in debs {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        packages.push((pool_path(&name), host::user_files::open_regular(path)?));
    }
    let catalog = generate::generate_catalog(&mut packages).map_err(|e| Error::Usage(e.to_string()))?;
    ui.print_raw(catalog.to_json()?.trim_end());
    Ok(ExitCode::Ok)
}
