//! A user and mount namespace of this process's own, in which it is root over
//! nothing but its own mounts.

use std::io;
use std::path::Path;

use nix::sched::{CloneFlags, unshare};

use super::Host;

/// What was tried when the kernel refused.
#[derive(Debug)]
pub struct Refusal {
    /// In words: "make a user namespace".
    pub step: &'static str,
    /// The kernel's answer.
    pub source: io::Error,
}

/// One line of a uid_map or gid_map (user_namespaces(7)): ids inside, ids
/// outside, how many.
pub type Range = (u32, u32, u32);

impl Host {
    /// Moves this process into a new user and mount namespace. It has no ids
    /// there until they are mapped.
    ///
    /// The kernel refuses that to a process with a second thread (EINVAL).
    pub fn leave_for_own_namespaces(&self) -> Result<(), Refusal> {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).map_err(refused("make a user namespace"))
    }

    /// Moves this process into a user namespace below the present one: it has a
    /// uid of its own again, and the mounts and the table of the present one.
    pub fn leave_for_own_users(&self) -> Result<(), Refusal> {
        unshare(CloneFlags::CLONE_NEWUSER).map_err(refused("make a second user namespace"))
    }

    /// Maps ids of this process's own, new user namespace. Without privilege
    /// outside, one uid and one gid can be mapped, the caller's own, and only if
    /// setgroups(2) is given up first.
    pub fn map_ids(&self, uids: &[Range], gids: &[Range], give_up_setgroups: bool) -> Result<(), Refusal> {
        let map = |ranges: &[Range]| {
            let lines = ranges.iter().map(|(inside, outside, count)| format!("{inside} {outside} {count}\n"));
            lines.collect::<String>()
        };
        if give_up_setgroups {
            self.tell_proc("setgroups", "deny").map_err(refused("give up setgroups"))?;
        }
        self.tell_proc("uid_map", &map(uids)).map_err(refused("map the user id"))?;
        self.tell_proc("gid_map", &map(gids)).map_err(refused("map the group id"))
    }

    /// The ids that this process's user namespace has, each as it is seen from
    /// inside, so that a namespace below can have the same.
    pub fn own_ids(&self, map: &str) -> Vec<Range> {
        let text = self.peek(&Path::new("/proc/self").join(map)).unwrap_or_default();
        let range = |line: &str| {
            let mut numbers = line.split_whitespace().map(str::parse);
            let (inside, _, count) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
            Some((inside, inside, count))
        };
        text.lines().filter_map(range).collect()
    }

    fn tell_proc(&self, name: &str, text: &str) -> io::Result<()> {
        let path = Path::new("/proc/self").join(name);
        let mut file = super::OpenOptions::new().write(true).open(&path)?;
        self.write_once(&mut file, text.as_bytes(), &path)
    }
}

fn refused<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> Refusal {
    move |e| Refusal { step, source: e.into() }
}
