//! Name resolution by a fixed number of threads, which start together with the HTTP client.
//!
//! The client library's own resolver starts a thread for each lookup. A worker may start no thread once it handles
//! untrusted data (see [`crate::sandbox::seccomp`]).

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::oneshot;

/// Number of threads. A lookup that gets no answer occupies one until the C library gives up, after about 30 seconds
/// (resolv.conf(5): timeout, attempts); meanwhile other mirrors are tried.
const THREADS: usize = 4;

/// A name, and the channel for its addresses.
type Lookup = (String, oneshot::Sender<io::Result<Vec<SocketAddr>>>);

/// Resolver whose threads call getaddrinfo(3). They end with it.
#[derive(Debug)]
pub(super) struct NameResolver {
    lookups: Sender<Lookup>,
}

impl NameResolver {
    /// Starts the threads.
    pub(super) fn start() -> io::Result<Self> {
        let (sender, receiver) = channel();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..THREADS {
            let lookups = Arc::clone(&receiver);
            thread::Builder::new().name("names".to_owned()).spawn(move || answer_lookups(&lookups))?;
        }
        Ok(Self { lookups: sender })
    }
}

impl Resolve for NameResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (sender, receiver) = oneshot::channel();
        let queued = self.lookups.send((name.as_str().to_owned(), sender));
        Box::pin(async move {
            queued.map_err(|_| io::Error::other("the threads for names have ended"))?;
            let addresses = receiver.await??;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Answers lookups until the resolver is dropped.
fn answer_lookups(lookups: &Mutex<Receiver<Lookup>>) {
    loop {
        let next = lookups.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((name, answer)) = next else { return };
        // The client may have given up on a lookup that waited for a thread.
        if !answer.is_closed() {
            // The client adds the port.
            let addresses = (name.as_str(), 0).to_socket_addrs().map(Iterator::collect);
            drop(answer.send(addresses));
        }
    }
}
