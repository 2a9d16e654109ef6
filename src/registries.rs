//! Who this machine's user is to registries of images.

use std::io::Read as _;
use std::path::Path;

use crate::error::{Error, Result};
use crate::host::Host;
use crate::oci::{self, Credentials, InvalidAuthFile, Login, Reference};

/// More than the file of anybody who has logged in everywhere.
const LONGEST: u64 = 1 << 20;

/// An auth file cannot be used.
#[derive(Debug, thiserror::Error)]
enum AuthFileError {
    /// It cannot be read.
    #[error("{0}")]
    Read(Box<Error>),
    /// It has another form.
    #[error(transparent)]
    Invalid(#[from] InvalidAuthFile),
}

/// What the auth files say of an image's registry, and nothing of what they say of others. A file that cannot be read,
/// or means nothing, is as good as none; but when the registry refuses us, it is named.
pub fn login(host: &Host, image: &Reference) -> Login {
    let mut hints = Vec::new();
    let variable = |name: &str| host.env(name);
    for place in oci::places(&variable, host.own_user().0) {
        let shown = place.display();
        if !host.is_there_given(&place) {
            let named = variable(oci::NAMED).is_some();
            hints.extend(named.then(|| format!("{} names {shown}, which is not there", oci::NAMED)));
            continue;
        }
        match in_file(host, &place, image) {
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

type Found = (Credentials, Option<String>);

fn in_file(host: &Host, path: &Path, image: &Reference) -> std::result::Result<Found, AuthFileError> {
    let text = read(host, path).map_err(|e| AuthFileError::Read(Box::new(e)))?;
    Ok(oci::in_file(&text, image)?)
}

fn read(host: &Host, path: &Path) -> Result<Vec<u8>> {
    let file = host.open_given(path)?;
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text).map_err(|e| Error::io("read", path, e))?;
    Ok(text)
}
