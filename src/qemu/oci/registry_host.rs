//! Hosts of registries, as they are written in references.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether a text is a name, an IPv4 address, or an IPv6 address in brackets, with an optional port.
pub(super) fn is_valid_host(text: &str) -> bool {
    let host = strip_port(text);
    let port = text.get(host.len()..).unwrap_or_default();
    let digits = port.strip_prefix(':').unwrap_or("1");
    if digits.is_empty() || digits.starts_with(['+', '0']) || digits.parse::<u16>().is_err() {
        return false;
    }
    if let Some(inside) = host.strip_prefix('[') {
        return inside.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(plain)
    };
    host.split('.').all(is_label)
}

/// Removes the port.
pub(super) fn strip_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => host,
    }
}

/// Whether a host is this machine: 127.0.0.0/8 and ::1 (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3), or localhost
/// (RFC 6761 §6.3). Other spellings of these addresses count as names.
pub(super) fn is_loopback_host(server: &str) -> bool {
    let v6 = server.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or_default();
    server == "localhost"
        || server.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || v6.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
}
