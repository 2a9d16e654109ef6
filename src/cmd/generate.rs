//! `binfmt-nix gen`: files that are made from other files. Hidden.

use crate::catalog::generate::{self, pool_path};
use crate::cli::{Gen, Generated};
use crate::error::{Error, ExitCode, Result};
use crate::host;
use crate::ui::Ui;

pub(super) fn run(args: &Gen, ui: &Ui) -> Result<ExitCode> {
    let Generated::Catalog { debs } = &args.what;
    let mut packages = Vec::new();
    for path in debs {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        packages.push((pool_path(&name), host::user_files::open_regular(path)?));
    }
    let catalog = generate::generate(&mut packages).map_err(|e| Error::Usage(e.to_string()))?;
    ui.print(catalog.to_json()?.trim_end());
    Ok(ExitCode::Ok)
}
