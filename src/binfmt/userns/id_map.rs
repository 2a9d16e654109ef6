//! Which ids the command's namespace has. Pure.

use crate::error::Error;
use crate::host::IdRange;

/// How the ids of a new user namespace are mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdMapping {
    /// The caller's one uid and gid; he maps them himself, and is himself again
    /// in a second namespace.
    CallerOnly,
    /// All that the caller's own namespace has, each to itself: he is root there
    /// and can do that from outside.
    AllIds {
        /// of uids
        uids: Vec<IdRange>,
        /// of gids
        gids: Vec<IdRange>,
    },
    /// The caller is root inside, and his subordinate ids are the others:
    /// newuidmap(1) does that.
    Subordinate {
        /// of uids
        uids: Vec<IdRange>,
        /// of gids
        gids: Vec<IdRange>,
    },
}

/// The id 0 inside is the caller's; those from 1 on are his subordinate ids, in
/// the order of the file (subuid(5): `name-or-uid:first:count`).
pub fn parse_subordinate_ids(text: &str, name: Option<&str>, uid: u32, own: u32) -> Vec<IdRange> {
    let mut next = 1_u32;
    let mut ranges = vec![(0, own, 1)];
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

/// The name that a user has in passwd(5).
pub fn find_user_name(passwd: &str, uid: u32) -> Option<&str> {
    let has_uid = |line: &&str| line.split(':').nth(2).is_some_and(|field| field.parse() == Ok(uid));
    passwd.lines().find(has_uid)?.split(':').next()
}

/// There are none for this user.
pub fn missing_ids_error(file: &str, name: Option<&str>, uid: u32) -> Error {
    let user = name.map_or_else(|| uid.to_string(), str::to_owned);
    Error::Unsupported {
        what: format!("{file} gives user {user} no subordinate ids, which --map-root maps"),
        hint: format!("as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{find_user_name, parse_subordinate_ids};

    #[test]
    fn ranges_follow_each_other_from_1_on() {
        let text = "# none\njoe:100000:65536\n1000:300000:10\nann:1:1\njoe:x:1\n\njoe:500000:0\n";
        let expected = vec![(0, 1000, 1), (1, 100_000, 65536), (65537, 300_000, 10)];
        assert_eq!(parse_subordinate_ids(text, Some("joe"), 1000, 1000), expected);
        assert_eq!(parse_subordinate_ids(text, None, 5, 7), vec![(0, 7, 1)]);
    }

    #[test]
    fn a_user_may_have_a_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\njoe:x:1000:1000::/home/joe:/bin/sh\n";
        assert_eq!((find_user_name(passwd, 1000), find_user_name(passwd, 7)), (Some("joe"), None));
    }
}
