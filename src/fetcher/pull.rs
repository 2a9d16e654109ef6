//! Pulls an image from a registry in a process of its own, as downloads are.

use std::io::Write as _;

use super::confined_download::variables;
use super::protocol_oci::PullJob;
use super::pulled::{Follower, Lost};
use super::unpack::Layers;
use super::{hear, note};
use crate::digest::Sha256;
use crate::download::{ClientOptions, PullError, Unpulled};
use crate::error::{Error, Result};
use crate::host::{self, Worker};
use crate::oci::{Login, Platform, Reference};

/// The `internal` subcommand that is the child.
pub const PULL: &str = "pull";

/// What is to be pulled, and how.
#[derive(Debug)]
pub struct PullOrder<'a> {
    /// Which image.
    pub image: &'a Reference,
    /// For which machine.
    pub platform: Platform,
    /// Who we are to the registry.
    pub login: &'a Login,
    /// How.
    pub options: ClientOptions,
    /// Certificates (PEM) that are trusted besides the system's.
    pub extra_roots: &'a [u8],
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many bytes of layers are there.
    pub bytes: u64,
    /// How many there will be.
    pub of: u64,
}

/// An image.
#[derive(Debug)]
pub struct Pulled {
    /// Its layers.
    pub layers: Layers,
    /// The reference with the digest of what it meant, which is the one it had if it had one.
    pub pinned: Reference,
    /// The digest of the platform's manifest.
    pub manifest: Sha256,
    /// How many bytes of bodies came over the network, tokens and second tries among them.
    pub moved: u64,
}

/// Pulls the image. Each byte that comes back is as the reference's digest says, or, without one, as the tag said now.
///
/// `go_on` is asked every 50 ms at least; an error of it ends the child. Returns what came, and what the user should
/// know of this kernel.
pub fn pull(
    order: &PullOrder<'_>,
    tell: &mut dyn FnMut(Progress),
    go_on: &mut dyn FnMut() -> Result<()>,
) -> Result<(Pulled, Option<String>)> {
    let failed = |why: Unpulled| Error::from(PullError::new(order.image, order.login, why));
    let process = |why: String| failed(Unpulled::Process(why));
    let job = serde_json::to_vec(&job(order)).map_err(|e| process(format!("cannot be talked with: {e}")))?;
    let mut file = host::memfd::create_scratch().map_err(|e| failed(Unpulled::Room(e)))?;
    let mut follower = Follower::new(order.image, order.platform.clone());
    let moved = hear(Worker::start(PULL, &variables(), job), &process, go_on, &mut |bytes| {
        let taken = follower.take(bytes, &mut |bytes| file.write_all(bytes));
        if let Some((bytes, of)) = follower.chain().progress() {
            tell(Progress { bytes, of });
        }
        taken.map_err(|lost| match lost {
            Lost::Garbled(garbled) => process(garbled.to_string()),
            Lost::Piece(what, why) => failed(Unpulled::Piece { what, why: *why }),
            Lost::NoClient(why) => failed(Unpulled::Client(why)),
            Lost::Sink(e) => failed(Unpulled::Room(e)),
        })
    })?;
    let chain = follower.chain();
    let (Some(lengths), Some(top), Some(manifest)) = (chain.lengths(), chain.top(), chain.manifest()) else {
        return Err(process("ended too early".to_owned()));
    };
    let pulled = Pulled { layers: Layers { file, lengths }, pinned: order.image.pinned(top), manifest, moved };
    Ok((pulled, note(follower.lacks(), "pulls")))
}

fn job(order: &PullOrder<'_>) -> PullJob {
    PullJob {
        parent: std::process::id(),
        image: order.image.clone(),
        platform: order.platform.clone(),
        credentials: order.login.credentials.clone(),
        options: order.options.clone(),
        extra_roots: String::from_utf8_lossy(order.extra_roots).into_owned(),
    }
}
