//! Messages to the service manager that started this process (sd_notify(3)).
//!
//! The protocol is one datagram of lines. A maintained library for it exists (sd-notify 0.5), but it does not support
//! abstract addresses, and it blocks while the manager does not read.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Connection to the service manager, if there is one.
#[derive(Debug)]
pub struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// Longest time between two keep-alive messages, if the manager demands them.
    pub watchdog: Option<Duration>,
}

/// Connects to the service manager that `NOTIFY_SOCKET` names.
pub fn connect() -> io::Result<ServiceManager> {
    let socket = match super::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) {
        None => None,
        Some(name) => {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            Some((socket, parse_address(&name)?))
        }
    };
    let number = |name: &str| super::env::var(name).and_then(|text| text.parse::<u64>().ok());
    let is_for_us = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    let watchdog = number("WATCHDOG_USEC").filter(|usec| is_for_us && *usec > 0 && socket.is_some());
    Ok(ServiceManager { socket, watchdog: watchdog.map(Duration::from_micros) })
}

impl ServiceManager {
    /// Sends lines such as `READY=1`. They are lost if the manager has gone or reads too slowly.
    pub fn notify(&self, lines: &str) {
        if let Some((socket, address)) = &self.socket {
            drop(socket.send_to_addr(lines.as_bytes(), address));
        }
    }
}

/// Parses an address: a path, or, after `@`, an abstract name (unix(7)).
fn parse_address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}
