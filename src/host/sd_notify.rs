//! What the service manager that started this process is told (sd_notify(3)).
//!
//! The protocol is one datagram of lines; a library for it that is kept up exists (sd-notify 0.5), but does not know
//! abstract addresses, and waits for a manager that does not read.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The manager, if one wants to hear of us.
#[derive(Debug)]
pub struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// It wants a sign of life at least this often.
    pub watchdog: Option<Duration>,
}

/// The manager that `NOTIFY_SOCKET` names.
pub fn connect() -> io::Result<ServiceManager> {
    let socket = match std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) {
        None => None,
        Some(name) => {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            Some((socket, address(&name)?))
        }
    };
    let number = |name: &str| super::env::var(name).and_then(|text| text.parse::<u64>().ok());
    let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    let watchdog = number("WATCHDOG_USEC").filter(|usec| ours && *usec > 0 && socket.is_some());
    Ok(ServiceManager { socket, watchdog: watchdog.map(Duration::from_micros) })
}

impl ServiceManager {
    /// Tells it lines such as `READY=1`. One that has gone, or reads too slowly, misses them.
    pub fn notify(&self, lines: &str) {
        if let Some((socket, address)) = &self.socket {
            drop(socket.send_to_addr(lines.as_bytes(), address));
        }
    }
}

/// A path, or after `@` a name that is in no file system (unix(7)).
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}
