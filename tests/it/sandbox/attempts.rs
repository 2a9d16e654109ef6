//! Attempts that must fail in a confined process. Each attempt is harmless where it succeeds.
#![allow(unsafe_code, reason = "what has no safe function is what must not work")]

use std::ffi::{CString, c_long};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;
use std::thread;

use nix::errno::Errno;
use nix::libc::{self, c_int};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use nix::unistd::{Pid, Uid, chroot, getppid, setgroups, setuid};

/// A directory that every user can write, with files of several modes.
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
}

impl Place {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub(crate) fn furnish(&self) {
        for (name, mode) in [("secret", 0o600), ("public", 0o644), ("open", 0o666), ("old", 0o666), ("gone", 0o666)] {
            fs::write(self.at(name), "text").unwrap();
            fs::set_permissions(self.at(name), Permissions::from_mode(mode)).unwrap();
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// An attempt with the place and the port of a TCP server, which is part of the name of an abstract socket too.
type Attempt = fn(&Place, u16) -> nix::Result<()>;

pub(crate) const ALL: &[(&str, Attempt)] = &[
    // Files.
    ("read a file of root", |place, _| io(File::open(place.at("secret")))),
    ("read a file that every user can read", |place, _| io(File::open(place.at("public")))),
    ("read a file in /etc", |_, _| io(File::open("/etc/passwd"))),
    ("list a directory", |place, _| io(fs::read_dir(&place.dir))),
    ("create a file", |place, _| io(File::create(place.at("new")))),
    ("create a file without a name", |place, _| {
        io(OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).open(&place.dir))
    }),
    ("write a file", |place, _| io(OpenOptions::new().write(true).open(place.at("open")))),
    ("append to a file", |place, _| io(OpenOptions::new().append(true).open(place.at("open")))),
    ("truncate a file", |place, _| nix::unistd::truncate(&place.at("open"), 0)),
    ("rename a file", |place, _| io(fs::rename(place.at("old"), place.at("renamed")))),
    ("unlink a file", |place, _| io(fs::remove_file(place.at("gone")))),
    ("make a directory", |place, _| io(fs::create_dir(place.at("directory")))),
    ("make a symbolic link", |place, _| io(symlink("x", place.at("link")))),
    ("make a hard link", |place, _| io(fs::hard_link(place.at("open"), place.at("second name")))),
    ("chmod a file", |place, _| io(fs::set_permissions(place.at("open"), Permissions::from_mode(0o600)))),
    ("chown a file", |place, _| io(chown(place.at("open"), Some(0), Some(0)))),
    ("memfd_create", |_, _| memfd_create(c"x", MFdFlags::MFD_CLOEXEC).map(drop)),
    // Programs and processes.
    ("start a program", |_, _| io(Command::new("/bin/true").status())),
    ("execve", |_, _| match nix::unistd::execve(c"/nonexistent", &[] as &[CString], &[] as &[CString]) {
        Err(Errno::ENOENT) | Ok(_) => Ok(()),
        Err(e) => Err(e),
    }),
    ("fork", |_, _| wait_for_child(unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) })),
    ("clone3", |_, _| clone3()),
    ("ptrace the parent", |_, _| {
        system_call(libc::SYS_ptrace, [c_long::from(libc::PTRACE_SEIZE), parent(), 0, 0, 0, 0])?;
        system_call(libc::SYS_kill, [parent(), 0, 0, 0, 0, 0])
    }),
    ("kill the parent", |_, _| kill(getppid(), None::<Signal>)),
    ("kill the process group", |_, _| kill(Pid::from_raw(0), None::<Signal>)),
    ("read the parent's memory", |_, _| io(File::open(format!("/proc/{}/mem", parent())))),
    ("read the parent's environment", |_, _| io(fs::read(format!("/proc/{}/environ", parent())))),
    ("process_vm_readv", |_, _| system_call(libc::SYS_process_vm_readv, [parent(), 0, 0, 0, 0, 0])),
    ("pidfd_open", |_, _| system_call(libc::SYS_pidfd_open, [parent(), 0, 0, 0, 0, 0])),
    // The kernel.
    ("mount", |place, _| {
        let none = None::<&str>;
        mount(none, &place.dir, Some("tmpfs"), MsFlags::empty(), none)?;
        umount2(&place.dir, MntFlags::MNT_DETACH)
    }),
    ("unshare", |_, _| unshare(CloneFlags::CLONE_NEWUTS)),
    ("chroot", |_, _| chroot("/")),
    ("bpf", |_, _| bpf()),
    ("io_uring_setup", |_, _| io_uring()),
    ("keyctl", |_, _| system_call(libc::SYS_keyctl, [0, -3, 1, 0, 0, 0])),
    ("userfaultfd", |_, _| system_call(libc::SYS_userfaultfd, [c_long::from(libc::O_CLOEXEC), 0, 0, 0, 0, 0])),
    ("perf_event_open", |_, _| open_perf_event()),
    ("sethostname", |_, _| nix::unistd::sethostname(nix::unistd::gethostname()?)),
    // The network.
    ("serve TCP", |_, _| io(TcpListener::bind("127.0.0.1:0"))),
    ("a raw socket", |_, _| open_socket(AddressFamily::Inet, SockType::Raw, SockProtocol::Icmp)),
    ("Multipath TCP", |_, _| system_call(libc::SYS_socket, [2, 1, c_long::from(libc::IPPROTO_MPTCP), 0, 0, 0])),
    ("a packet socket", |_, _| open_socket(AddressFamily::Packet, SockType::Raw, SockProtocol::EthAll)),
    ("a netlink socket for other messages than routes", |_, _| {
        open_socket(AddressFamily::Netlink, SockType::Raw, SockProtocol::NetlinkKObjectUEvent)
    }),
    ("connect to an abstract socket of another process", |_, port| {
        let address = SocketAddr::from_abstract_name(format!("binfmt-nix-{port}")).map_err(|_| Errno::EINVAL)?;
        io(UnixStream::connect_addr(&address))
    }),
    ("connect to a socket that every user may use, as nix-daemon's", |place, _| {
        io(UnixStream::connect(place.at(SOCKET)))
    }),
    ("a local socket for datagrams", |_, _| io(UnixDatagram::unbound())),
    ("a pair of local sockets", |_, _| io(UnixStream::pair())),
    // Rights.
    ("setuid", |_, _| setuid(Uid::from_raw(0))),
    ("setgroups", |_, _| setgroups(&[])),
    ("raise a limit", |_, _| {
        let (soft, hard) = getrlimit(Resource::RLIMIT_CORE)?;
        setrlimit(Resource::RLIMIT_CORE, soft, hard)
    }),
    ("outlive the parent", |_, _| prctl::set_pdeathsig(None)),
    ("become dumpable", |_, _| prctl::set_dumpable(true)),
    ("memory that is writable and executable", |_, _| memory(libc::PROT_WRITE | libc::PROT_EXEC, None)),
    ("memory that becomes executable", |_, _| memory(libc::PROT_WRITE, Some(libc::PROT_EXEC))),
    // Much of everything.
    ("a thread", |_, _| thread::Builder::new().spawn(|| ()).map(drop).map_err(|_| Errno::EAGAIN)),
    ("a thread by the system call", |_, _| start_thread()),
    ("much private memory", |_, _| much_memory(libc::PROT_WRITE, libc::MAP_PRIVATE)),
    ("much shared memory", |_, _| much_memory(libc::PROT_WRITE, libc::MAP_SHARED)),
    ("much memory as stacks that grow", |_, _| much_memory(libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_GROWSDOWN)),
    ("much memory that is only read", |_, _| much_memory(libc::PROT_READ, libc::MAP_PRIVATE)),
];

/// Name of a socket in the place.
pub(crate) const SOCKET: &str = "socket";

fn io<T>(done: io::Result<T>) -> nix::Result<()> {
    done.map(drop).map_err(|e| e.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw))
}

fn parent() -> c_long {
    c_long::from(getppid().as_raw())
}

fn system_call(call: c_long, with: [c_long; 6]) -> nix::Result<()> {
    Errno::result(unsafe { libc::syscall(call, with[0], with[1], with[2], with[3], with[4], with[5]) }).map(drop)
}

/// After a fork the child ends and the parent waits for it.
fn wait_for_child(id: c_long) -> nix::Result<()> {
    if id == 0 {
        // The child must not run the exit handlers of the original.
        unsafe { libc::_exit(0) }
    }
    let id = c_int::try_from(Errno::result(id)?).map_err(|_| Errno::EOVERFLOW)?;
    nix::sys::wait::waitpid(Pid::from_raw(id), None).map(drop)
}

fn clone3() -> nix::Result<()> {
    let args: [u64; 8] = [0, 0, 0, 0, libc::SIGCHLD as u64, 0, 0, 0];
    wait_for_child(unsafe { libc::syscall(libc::SYS_clone3, args.as_ptr(), size_of_val(&args)) })
}

/// BPF_MAP_CREATE: an array of one value of four bytes.
fn bpf() -> nix::Result<()> {
    let attributes: [u32; 5] = [2, 4, 4, 1, 0];
    Errno::result(unsafe { libc::syscall(libc::SYS_bpf, 0, attributes.as_ptr(), size_of_val(&attributes)) }).map(drop)
}

fn io_uring() -> nix::Result<()> {
    let parameters = [0_u8; 120];
    Errno::result(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_ptr()) }).map(drop)
}

/// PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK, of this process.
fn open_perf_event() -> nix::Result<()> {
    let mut attributes = [0_u32; 28];
    attributes[0] = 1;
    attributes[1] = 112;
    Errno::result(unsafe { libc::syscall(libc::SYS_perf_event_open, attributes.as_ptr(), 0, -1, -1, 0) }).map(drop)
}

fn open_socket(family: AddressFamily, kind: SockType, protocol: SockProtocol) -> nix::Result<()> {
    socket(family, kind, SockFlag::SOCK_CLOEXEC, protocol).map(drop)
}

/// Maps a page with one protection, and then changes the protection.
fn memory(first: c_int, then: Option<c_int>) -> nix::Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let page = unsafe { libc::mmap(ptr::null_mut(), 4096, first, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    then.map_or(Ok(()), |then| Errno::result(unsafe { libc::mprotect(page, 4096, then) }).map(drop))
}

/// A thread without a stack of its own, as vfork(2) starts a child, which ends at once.
fn start_thread() -> nix::Result<()> {
    // The C library's clone(2) calls the function on the new stack, and ends the thread with its result.
    extern "C" fn end(_: *mut libc::c_void) -> c_int {
        0
    }
    let flags = libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
    let stack = unsafe { libc::mmap(ptr::null_mut(), 65536, 3, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
    let top = stack.wrapping_byte_add(65536 - 64);
    Errno::result(unsafe { libc::clone(end, top, flags, ptr::null_mut()) }).map(drop)
}

/// Maps more memory than a worker may have, in pieces, and uses each piece. Nothing of it stays mapped.
fn much_memory(protection: c_int, flags: c_int) -> nix::Result<()> {
    const PIECE: usize = 64 << 20;
    let mut pieces = Vec::new();
    let mut map = || {
        let piece = unsafe { libc::mmap(ptr::null_mut(), PIECE, protection, flags | libc::MAP_ANONYMOUS, -1, 0) };
        if piece == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        pieces.push(piece);
        let last = piece.wrapping_byte_add(PIECE - 1).cast::<u8>();
        if protection == libc::PROT_READ {
            let byte = unsafe { last.read_volatile() };
            assert_eq!(byte, 0);
        } else {
            unsafe { last.write_volatile(1) };
        }
        Ok(())
    };
    // 1.5 GiB: half as much again as the limit.
    let mapped = (0..24).try_for_each(|_| map());
    for piece in pieces {
        unsafe { libc::munmap(piece, PIECE) };
    }
    mapped
}
