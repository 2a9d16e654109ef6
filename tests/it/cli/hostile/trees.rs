//! Trees with odd files: FIFOs, devices, directories, loops and holes where the tool expects a file.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::{Input, Sweep, emulator};
use crate::support::Tree;
use crate::support::tree::{BOOT, EMULATOR, LOCK, NIX_CONF, OWN_CONF, RECEIPT, TABLE};

/// The places, each a file or a directory that some command reads or writes.
const PLACES: [&str; 24] = [
    RECEIPT,
    NIX_CONF,
    OWN_CONF,
    "etc/nix/nix.custom.conf",
    EMULATOR,
    BOOT,
    LOCK,
    "etc/binfmt.d/theirs.conf",
    "etc/wsl.conf",
    "sbin/init",
    "etc/init.d/binfmt-nix",
    "usr/lib/binfmt.d",
    "etc/nix",
    "etc/binfmt.d",
    "var/lib/binfmt-nix",
    "usr/local/libexec/binfmt-nix",
    "etc/systemd/system",
    "etc/init.d",
    "etc/cron.d",
    "etc/apt/sources.list",
    "etc/os-release",
    "usr/bin/qemu-aarch64-static",
    "run",
    TABLE,
];

/// What stands at the place.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Oddity {
    Fifo,
    Socket,
    Directory,
    Loop,
    Dangling,
    Upwards,
    LinkToDevice,
    Device,
    Hole,
    Unreadable,
    Empty,
    WritableByAll,
}

const ODDITIES: [Oddity; 12] = [
    Oddity::Fifo,
    Oddity::Socket,
    Oddity::Directory,
    Oddity::Loop,
    Oddity::Dangling,
    Oddity::Upwards,
    Oddity::LinkToDevice,
    Oddity::Device,
    Oddity::Hole,
    Oddity::Unreadable,
    Oddity::Empty,
    Oddity::WritableByAll,
];

impl Oddity {
    fn make(self, path: &Path) {
        match self {
            Self::Fifo => mkfifo(path, Mode::from_bits_truncate(0o644)).unwrap(),
            Self::Socket => drop(UnixListener::bind(path).unwrap()),
            Self::Directory => fs::create_dir_all(path.join("inner/more")).unwrap(),
            Self::Loop => symlink(path.file_name().unwrap(), path).unwrap(),
            Self::Dangling => symlink("/nowhere", path).unwrap(),
            Self::Upwards => symlink("../../../../../../../../etc/passwd", path).unwrap(),
            Self::LinkToDevice => symlink("/dev/zero", path).unwrap(),
            // A user namespace cannot make a device, but it can mount one.
            Self::Device => {
                fs::write(path, "").unwrap();
                mount(Some("/dev/zero"), path, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
            }
            Self::Hole => File::create(path).unwrap().set_len(1 << 40).unwrap(),
            Self::Unreadable | Self::Empty | Self::WritableByAll => {
                fs::write(path, "").unwrap();
                let mode = match self {
                    Self::Unreadable => 0,
                    Self::Empty => 0o644,
                    _ => 0o666,
                };
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
    }

    fn remove(self, path: &Path) {
        match self {
            Self::Device => {
                umount2(path, MntFlags::MNT_DETACH).unwrap();
                fs::remove_file(path).unwrap();
            }
            Self::Directory => fs::remove_dir_all(path).unwrap(),
            _ => fs::remove_file(path).unwrap(),
        }
    }
}

/// Puts each oddity at each of the places in turn, and runs some of the commands.
fn sweep(places: &[&str], what: &str, floor: usize) {
    let emulator = emulator();
    let commands: [&[&str]; 8] = [
        &["doctor"],
        &["register", "aarch64", "--wait", "0", "--qemu", &emulator],
        &["status", "--json"],
        &["register", "aarch64", "-n", "--source", "host"],
        &["unregister", "all", "--wait", "0"],
        &["status", "-v"],
        &["restore", "--wait", "0"],
        &["restore", "--check", "--json"],
    ];
    let mut sweep = Sweep::default();
    for (row, place) in places.iter().enumerate() {
        let tree = Tree::new();
        let path = tree.path(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        for (column, oddity) in ODDITIES.into_iter().enumerate() {
            if path.is_dir() {
                fs::remove_dir_all(&path).unwrap();
            } else if tree.exists(place) {
                fs::remove_file(&path).unwrap();
            }
            oddity.make(&path);
            for turn in 0..2 {
                let args = commands[(row + column * 2 + turn) % commands.len()];
                let stranger = (row + column + turn) % 9 == 0;
                let input = Input { stranger, ..Input::on_tree(args).noting(place, format!("{oddity:?}").as_bytes()) };
                sweep.run_and_undo(&input, &tree);
            }
            if tree.exists(place) {
                oddity.remove(&path);
            }
        }
        crate::support::runs::discard_tree(tree);
    }
    sweep.end(what, floor);
}

#[sandboxed]
fn odd_files_are_reported() {
    sweep(&PLACES[..12], "FIFOs, devices, links and holes where the tool expects a file", 288);
}

#[sandboxed]
fn odd_directories_are_reported() {
    sweep(&PLACES[12..], "FIFOs, devices, links and holes where the tool expects a directory", 288);
}
