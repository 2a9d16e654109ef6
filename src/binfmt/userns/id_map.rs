//! The user and group ids of the namespace in which `run` starts its command. Pure.

use crate::error::Error;
use crate::host::IdRange;

/// How the ids of a new user namespace are mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdMapping {
    /// Only the caller's uid and gid. The caller maps them without help: to root in a first namespace, and back to the
    /// original ids in a second one.
    CallerOnly,
    /// All ids of the caller's namespace, each mapped to itself. The caller is root in that namespace and can map them
    /// from outside.
    AllIds {
        /// the ranges of uids
        uids: Vec<IdRange>,
        /// the ranges of gids
        gids: Vec<IdRange>,
    },
    /// The caller's id as root, and the caller's subordinate ids as the other ids. newuidmap(1) maps them.
    Subordinate {
        /// the ranges of uids
        uids: Vec<IdRange>,
        /// the ranges of gids
        gids: Vec<IdRange>,
    },
}

/// Splits the range that maps every id to itself. Otherwise the map would be that of the initial namespace, and this
/// program, systemd and others would take the namespace of `run` for it (systemd `src/basic/virt.c`,
/// `running_in_userns`).
pub fn split_full_range(ranges: Vec<IdRange>) -> Vec<IdRange> {
    match ranges.as_slice() {
        [(0, 0, u32::MAX)] => vec![(0, 0, 1), (1, 1, u32::MAX - 1)],
        _ => ranges,
    }
}

/// Parses /etc/subuid or /etc/subgid into the ranges of a mapping. The inner id 0 is `own_id`, the caller's; the inner
/// ids from 1 on are the caller's subordinate ids, in the order of the file (subuid(5): `name-or-uid:first:count`).
pub fn parse_subordinate_ids(text: &str, name: Option<&str>, uid: u32, own_id: u32) -> Vec<IdRange> {
    let mut next = 1_u32;
    let mut ranges = vec![(0, own_id, 1)];
    for line in text.lines() {
        let mut fields = line.trim().split(':');
        let owner = fields.next().unwrap_or_default();
        let mut number = || fields.next().and_then(|field| field.parse::<u32>().ok());
        let (Some(first), Some(count)) = (number(), number()) else { continue };
        let is_owner = Some(owner) == name || owner.parse() == Ok(uid);
        if let Some(after) = next.checked_add(count).filter(|_| is_owner && count > 0) {
            ranges.push((next, first, count));
            next = after;
        }
    }
    ranges
}

/// Returns the name of a user in passwd(5).
pub fn find_user_name(passwd: &str, uid: u32) -> Option<&str> {
    let has_uid = |line: &&str| line.split(':').nth(2).is_some_and(|field| field.parse() == Ok(uid));
    passwd.lines().find(has_uid)?.split(':').next()
}

/// The error for a user without subordinate ids in `file`.
pub fn missing_ids_error(file: &str, name: Option<&str>, uid: u32) -> Error {
    let user = name.map_or_else(|| uid.to_string(), str::to_owned);
    Error::Unsupported {
        what: format!("{file} has no subordinate ids for user {user}, and --map-root needs them"),
        hint: format!("as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{find_user_name, parse_subordinate_ids, split_full_range};

    #[test]
    fn only_the_map_of_the_initial_namespace_is_split() {
        assert_eq!(split_full_range(vec![(0, 0, u32::MAX)]), [(0, 0, 1), (1, 1, 4_294_967_294)]);
        assert_eq!(split_full_range(vec![(0, 0, 65536)]), [(0, 0, 65536)]);
    }

    #[test]
    fn ranges_are_contiguous_from_id_1() {
        let text = "# none\njoe:100000:65536\n1000:300000:10\nann:1:1\njoe:x:1\n\njoe:500000:0\n";
        let expected = vec![(0, 1000, 1), (1, 100_000, 65536), (65537, 300_000, 10)];
        assert_eq!(parse_subordinate_ids(text, Some("joe"), 1000, 1000), expected);
        assert_eq!(parse_subordinate_ids(text, None, 5, 7), vec![(0, 7, 1)]);
    }

    #[test]
    fn user_name_is_found_by_uid() {
        let passwd = "root:x:0:0::/root:/bin/sh\njoe:x:1000:1000::/home/joe:/bin/sh\n";
        assert_eq!((find_user_name(passwd, 1000), find_user_name(passwd, 7)), (Some("joe"), None));
    }
}
