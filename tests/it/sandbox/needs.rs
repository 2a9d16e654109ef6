//! Operations that a download needs, and that a confined process can do.

use std::fs;
use std::io::{self, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// An operation with the port of a TCP server on 127.0.0.1.
type Need = fn(u16) -> io::Result<()>;

pub(crate) const ALL: &[(&str, Need)] = &[
    ("the address of localhost", localhost),
    ("a connection to loopback", connection),
    ("a datagram to a name server", datagram),
    ("the resolver configuration", configuration),
    ("libraries", libraries),
    ("the time", time),
    ("random numbers", random),
    ("memory", memory),
    ("standard output", output),
];

fn localhost(port: u16) -> io::Result<()> {
    let mut addresses = ("localhost", port).to_socket_addrs()?;
    addresses.any(|address| address.ip().is_loopback()).then_some(()).ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn connection(port: u16) -> io::Result<()> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    (&stream).write_all(b"hello")
}

/// musl does this: it binds to any port, then sends.
fn datagram(port: u16) -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.send_to(b"who", ("127.0.0.1", port)).map(drop)
}

fn configuration(_: u16) -> io::Result<()> {
    for name in ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"] {
        if Path::new(name).exists() {
            fs::read(name)?;
        }
    }
    Ok(())
}

/// The libraries of this program are in the directories of the modules of nsswitch.conf.
fn libraries(_: u16) -> io::Result<()> {
    ["/lib", "/usr/lib", "/lib64"].iter().map(Path::new).filter(|dir| dir.exists()).try_for_each(|dir| {
        let name = format!("{}/libnss_files.so.2", dir.display());
        if Path::new(&name).exists() { fs::read(name).map(drop) } else { Ok(()) }
    })
}

fn time(_: u16) -> io::Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(io::Error::other)?;
    let since = Instant::now();
    thread::sleep(Duration::from_millis(2));
    (now.as_secs() > 0 && !since.elapsed().is_zero()).then_some(()).ok_or_else(|| io::ErrorKind::Other.into())
}

fn random(_: u16) -> io::Result<()> {
    let mut bytes = [0; 32];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| io::Error::other("no random numbers"))
}

/// More memory than a decoder needs.
fn memory(_: u16) -> io::Result<()> {
    let bytes = vec![1_u8; 96 << 20];
    (bytes.iter().step_by(4096).map(|byte| usize::from(*byte)).sum::<usize>() == (96 << 20) / 4096)
        .then_some(())
        .ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

fn output(_: u16) -> io::Result<()> {
    io::stdout().flush()
}
