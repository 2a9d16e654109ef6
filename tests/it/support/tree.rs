//! The directory that a test passes as `--root`: a small machine in memory.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use binfmt_nix::host::{Host, Lock};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::output::{Done, tool};
use super::snapshot::Snapshot;
use super::{qemu, skip};

/// Path of every tree.
pub(crate) const ROOT: &str = "/tree";

/// Paths that the tool writes or changes, relative to the tree.
pub(crate) const EMULATOR: &str = "usr/local/libexec/binfmt-nix/bin/qemu-aarch64";
pub(crate) const PREVIOUS: &str = "usr/local/libexec/binfmt-nix/bin/qemu-aarch64.previous";
pub(crate) const BOOT: &str = "etc/binfmt.d/zz-binfmt-nix-aarch64.conf";
pub(crate) const OWN_CONF: &str = "etc/nix/binfmt-nix.conf";
pub(crate) const NIX_CONF: &str = "etc/nix/nix.conf";
pub(crate) const RECEIPT: &str = "var/lib/binfmt-nix/receipt.json";
pub(crate) const LOCK: &str = "run/binfmt-nix-change.lock";
pub(crate) const WATCH_LOCK: &str = "run/binfmt-nix-watcher.lock";
pub(crate) const TABLE: &str = "proc/sys/fs/binfmt_misc";

/// A machine below [`ROOT`], built by a chain of calls.
pub(crate) struct Tree(());

impl Tree {
    /// A machine with systemd, with Nix, and with a kernel whose table is not mounted yet.
    pub(crate) fn new() -> Self {
        Self::on("mode=755").furnished()
    }

    /// An image of a machine, without a running kernel.
    pub(crate) fn offline() -> Self {
        Self::on("mode=755").without_kernel().nix_conf("")
    }

    /// A machine with systemd and a kernel, and no trace of Nix.
    pub(crate) fn without_nix() -> Self {
        Self::on("mode=755").without_kernel().dir(TABLE)
    }

    /// An empty directory on a tmpfs with these options.
    pub(crate) fn on(options: &str) -> Self {
        fs::create_dir_all(ROOT).unwrap();
        mount(None::<&str>, ROOT, Some("tmpfs"), MsFlags::empty(), Some(options)).unwrap();
        Self(())
    }

    pub(crate) fn furnished(self) -> Self {
        self.without_kernel().dir(TABLE).dir("nix/store").nix_conf("sandbox = true\n")
    }

    fn without_kernel(self) -> Self {
        self.file("usr/lib/systemd/systemd-binfmt", "").dir("usr/bin").dir("usr/local").dir("run").dir("var/lib")
    }

    pub(crate) fn nix_conf(self, text: impl AsRef<[u8]>) -> Self {
        self.file(NIX_CONF, text)
    }

    /// A file of mode 0644, its directories included.
    pub(crate) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.write(path, content);
        self.mode(path, 0o644)
    }

    /// The same, of mode 0755.
    pub(crate) fn program(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.file(path, content).mode(path, 0o755)
    }

    pub(crate) fn dir(self, path: &str) -> Self {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(self.path(path)).unwrap();
        self
    }

    pub(crate) fn link(self, path: &str, to: &str) -> Self {
        symlink(to, self.path(path)).unwrap();
        self
    }

    pub(crate) fn mode(self, path: &str, mode: u32) -> Self {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    /// Changes the owner, or skips the test if this sandbox has only one user.
    pub(crate) fn owner(self, path: &str, uid: u32) -> Self {
        match std::os::unix::fs::chown(self.path(path), Some(uid), Some(uid)) {
            Ok(()) => self,
            Err(error) => skip("users", format!("an ordinary user's namespace has one user: {error}")),
        }
    }

    pub(crate) fn without(self, path: &str) -> Self {
        self.remove(path);
        self
    }

    /// Writes a file of the complete tree.
    #[track_caller]
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let real = self.path(path);
        let dir = real.parent().unwrap_or(Path::new(ROOT));
        fs::DirBuilder::new().recursive(true).mode(0o755).create(dir).unwrap();
        fs::write(real, content).unwrap();
    }

    #[track_caller]
    pub(crate) fn append(&self, path: &str, content: &str) {
        let mut file = fs::OpenOptions::new().append(true).open(self.path(path)).unwrap();
        file.write_all(content.as_bytes()).unwrap();
    }

    #[track_caller]
    pub(crate) fn remove(&self, path: &str) {
        let real = self.path(path);
        if real.is_dir() { fs::remove_dir_all(real) } else { fs::remove_file(real) }.unwrap();
    }

    #[expect(clippy::unused_self, reason = "there is no path without a tree")]
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        Path::new(ROOT).join(path)
    }

    #[track_caller]
    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    #[track_caller]
    pub(crate) fn text(&self, path: &str) -> String {
        String::from_utf8(self.read(path)).unwrap()
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }

    /// Lines of our own file that are not comments.
    #[track_caller]
    pub(crate) fn settings(&self) -> Vec<String> {
        self.text(OWN_CONF).lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    /// Permission bits of a file.
    #[track_caller]
    pub(crate) fn mode_of(&self, path: &str) -> u32 {
        fs::symlink_metadata(self.path(path)).unwrap().mode() & 0o7777
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot::of(self)
    }

    /// Changes the limits of the tmpfs.
    pub(crate) fn limit(&self, options: &str) {
        mount(None::<&str>, &self.path(""), None::<&str>, MsFlags::MS_REMOUNT, Some(options)).unwrap();
    }

    /// Unmounts the tree with its table and all files.
    #[expect(clippy::unused_self, reason = "there is nothing to unmount without a tree")]
    pub(crate) fn discard(self) {
        umount2(ROOT, MntFlags::MNT_DETACH).unwrap();
    }

    /// Names below one directory, with the contents of files and the targets of links.
    pub(crate) fn snapshot_of(&self, dir: &str) -> Vec<(String, Vec<u8>)> {
        Snapshot::of(self).below(dir)
    }

    /// Holds the lock of every change, as the tool does.
    #[track_caller]
    pub(crate) fn hold_lock(&self) -> Lock {
        let host = Host::new(&self.path("")).unwrap();
        host.lock(&Path::new("/").join(LOCK), Duration::from_secs(600), &mut |_| {}).unwrap()
    }

    /// Creates a lock file that this process has locked, without a record of its holder.
    #[track_caller]
    pub(crate) fn locked_file(&self, path: &str) -> File {
        let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(self.path(path)).unwrap();
        file.lock().unwrap();
        file
    }

    /// Runs the tool on this tree.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> Done {
        self.start(args).wait_with_output().unwrap().into()
    }

    /// Starts the tool on this tree.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.start_in(args, &[])
    }

    /// Starts the tool on this tree with these variables.
    pub(crate) fn start_in(&self, args: &[&str], variables: &[(&str, &str)]) -> Child {
        let root = self.path("");
        let mut command = tool(&[&["--root", root.to_str().unwrap()], args].concat());
        command.envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs `register` with the real QEMU of that system.
    #[track_caller]
    pub(crate) fn register(&self, system: &str) -> Done {
        self.register_with(system, &[])
    }

    #[track_caller]
    pub(crate) fn register_with(&self, system: &str, options: &[&str]) -> Done {
        self.register_by(system, &qemu(system), options)
    }

    /// Runs `register --qemu FILE`.
    #[track_caller]
    pub(crate) fn register_by(&self, system: &str, qemu: &Path, options: &[&str]) -> Done {
        let qemu = qemu.to_str().unwrap();
        self.run(&[&["register", system, "--qemu", qemu], options].concat())
    }

    #[track_caller]
    pub(crate) fn unregister(&self, system: &str) -> Done {
        self.run(&["unregister", system])
    }
}
