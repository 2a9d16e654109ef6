//! A root directory in memory that shows a tree, and files of other places in it. It ends with the mount namespace.
//!
//! The tree is bind-mounted, entry by entry, and nothing is written to it: a directory in which another file has to
//! appear is a new one, with the entries of the tree's directory in it.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

/// An argument of mount(2) that has no meaning for the call.
const UNUSED: Option<&str> = None;
/// Directories on which the root may be mounted. It hides what is below, so none is used in which one of its files is.
const MOUNT_POINTS: [&str; 5] = ["/mnt", "/media", "/run", "/tmp", "/sys"];
/// Directories of a tree that are not shown: those of a running system.
const HIDDEN: [&str; 5] = ["proc", "sys", "dev", "tmp", "run"];
/// Devices that programs expect.
const DEVICES: [&str; 3] = ["null", "zero", "urandom"];

/// What a composed root shows. Paths in it are relative to the root.
#[derive(Debug)]
pub struct RootPlan<'a> {
    /// Real path of the tree.
    pub tree: &'a Path,
    /// Paths of the tree that are shown. Everything is shown if there is none.
    pub parts: &'a [PathBuf],
    /// Copies: real path of a file, path in the root, and mode.
    pub copies: &'a [(PathBuf, PathBuf, u32)],
    /// Directory in memory in which every user may write, of at most this number of megabytes.
    pub work_dir: (&'a Path, u32),
}

/// Mounts a composed root in the mount namespace of this process, which must be its own, and returns its path.
pub fn mount_composed_root(plan: &RootPlan) -> io::Result<PathBuf> {
    mount(UNUSED, "/", UNUSED, MsFlags::MS_REC | MsFlags::MS_PRIVATE, UNUSED)?;
    let is_needed =
        |point: &Path| plan.tree.starts_with(point) || plan.copies.iter().any(|(source, ..)| source.starts_with(point));
    let point = MOUNT_POINTS.map(Path::new).into_iter().find(|point| point.is_dir() && !is_needed(point));
    let root = point.ok_or(io::ErrorKind::NotFound)?;
    mount_memory(root, "mode=755")?;
    let (work, megabytes) = plan.work_dir;
    show(plan, root, Path::new(""))?;
    let directory = |path: &Path| DirBuilder::new().recursive(true).mode(0o755).create(root.join(path));
    for (source, target, mode) in plan.copies {
        directory(target.parent().unwrap_or(Path::new("")))?;
        let source = super::regular_file::open(source)?;
        let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(root.join(target))?;
        super::regular_file::copy_program(&source, &mut copy)?;
        copy.set_permissions(Permissions::from_mode(*mode))?;
    }
    for dir in [Path::new("tmp"), work] {
        directory(dir)?;
        mount_memory(&root.join(dir), &format!("mode=1777,size={megabytes}m"))?;
    }
    directory(Path::new("dev"))?;
    for device in DEVICES {
        show_entry(&Path::new("/dev").join(device), &root.join("dev").join(device), false)?;
    }
    Ok(root.to_owned())
}

fn mount_memory(path: &Path, options: &str) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    Ok(mount(Some("binfmt-nix"), path, Some("tmpfs"), flags, Some(options))?)
}

/// Shows the entries of one directory of the tree.
fn show(plan: &RootPlan, root: &Path, below: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(plan.tree.join(below))? {
        let path = below.join(entry?.file_name());
        if HIDDEN.iter().any(|hidden| path == Path::new(hidden)) {
            continue;
        }
        let is_whole = plan.parts.is_empty() || plan.parts.iter().any(|part| path.starts_with(part));
        let has_part = plan.parts.iter().any(|part| part.starts_with(&path));
        if !is_whole && !has_part {
            continue;
        }
        let source = plan.tree.join(&path);
        let is_dir = std::fs::symlink_metadata(&source)?.is_dir();
        let has_copy = plan.copies.iter().any(|(_, target, _)| target.starts_with(&path));
        if is_dir && (has_copy || !is_whole) {
            DirBuilder::new().mode(0o755).create(root.join(&path))?;
            show(plan, root, &path)?;
        } else if !has_copy {
            show_entry(&source, &root.join(&path), true)?;
        }
    }
    Ok(())
}

/// Shows one file or directory at a path of the root, or copies a symbolic link. Other entries are left out.
fn show_entry(source: &Path, target: &Path, read_only: bool) -> io::Result<()> {
    let meta = std::fs::symlink_metadata(source)?;
    if meta.is_symlink() {
        return symlink(std::fs::read_link(source)?, target);
    }
    if meta.is_dir() {
        DirBuilder::new().mode(0o755).create(target)?;
    } else {
        OpenOptions::new().write(true).create_new(true).mode(0o644).open(target)?;
    }
    mount(Some(source), target, UNUSED, MsFlags::MS_BIND | MsFlags::MS_REC, UNUSED)?;
    if read_only {
        // Without privilege, flags of the mount may be locked, and have to be repeated (mount_namespaces(7)). The programs
        // have no right to write to root's files either way.
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID;
        let repeated = flags | MsFlags::MS_NODEV;
        let again = |flags| mount(UNUSED, target, UNUSED, flags, UNUSED);
        let _: nix::Result<()> = again(flags).or_else(|_| again(repeated));
    }
    Ok(())
}
