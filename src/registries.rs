//! Who this machine's user is to registries of images.

use std::io::Read as _;
use std::path::Path;

use crate::host;
use crate::oci::{self, Credentials, Login, Reference};

/// More than the file of anybody who has logged in everywhere.
const LONGEST: u64 = 1 << 20;

/// What the auth files say of an image's registry, and nothing of what they say of others. A file that cannot be read,
/// or means nothing, is as good as none; but when the registry refuses us, it is named.
pub fn login(image: &Reference) -> Login {
    let mut hints = Vec::new();
    let variable = |name: &str| host::env::var(name);
    for place in oci::places(&variable, host::env::effective_ids().0) {
        let shown = place.display();
        if !host::user_files::path_exists(&place) {
            let named = variable(oci::NAMED).is_some();
            hints.extend(named.then(|| format!("{} names {shown}, which is not there", oci::NAMED)));
            continue;
        }
        match read(&place).and_then(|text| oci::in_file(&text, image)) {
            Ok((Credentials::Nobody, None)) => {}
            Ok((Credentials::Nobody, Some(helper))) => {
                hints.push(format!(
                    "{shown} leaves passwords to docker-credential-{helper}, which is not run from here"
                ));
            }
            Ok((credentials, _)) => {
                hints.push(format!("what {shown} has for {} was used", image.host()));
                return Login { credentials, hint: Some(hints.join("; ")) };
            }
            Err(why) => hints.push(format!("{shown} was of no use: {why}")),
        }
    }
    Login { credentials: Credentials::Nobody, hint: (!hints.is_empty()).then(|| hints.join("; ")) }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let file = host::user_files::open_regular(path).map_err(|e| e.to_string())?;
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text).map_err(|e| e.to_string())?;
    Ok(text)
}
