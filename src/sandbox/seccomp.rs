//! The seccomp filter of a worker: the system calls that it needs. All other calls fail with ENOSYS, as on a kernel
//! that does not have them; libraries handle that. No call starts a thread: the worker has the threads that it needs
//! when the filter is installed.
//!
//! Local sockets are not allowed. By them glibc asks nscd, systemd-resolved, systemd-machined and Avahi for addresses;
//! without them it asks the name servers of resolv.conf(5) itself (`nss_*` answers UNAVAIL, nsswitch.conf(5)), and
//! systemd-resolved is one of those. musl has no such sockets.
//!
//! The list comes from the calls that were observed on x86_64 with glibc and musl, in debug and release builds, and
//! from the sources of both. `install_filter` makes the filter for the machine that the program was built for.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// Calls that are allowed with any arguments.
const ALLOWED: &[libc::c_long] = &[
    // Open files: pipes, sockets, files that were opened for reading.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_lseek,
    libc::SYS_getcwd,
    // Memory.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    // Threads and their end.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Identity, machine, time, random numbers.
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getcpu,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
];

/// Calls that are also allowed to a worker that may connect to servers.
const NETWORK: &[libc::c_long] = &[
    // `bind` is for resolvers: glibc binds its netlink socket, musl its UDP socket. `listen` is not allowed.
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    libc::SYS_shutdown,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
];

/// Calls that are also allowed to a worker that becomes another program: those of the start of a static program, of glib
/// and of QEMU, which has a thread from the beginning (`rcu_init`) and may end if it has no `membarrier`
/// (`util/sys_membarrier.c`).
const PROGRAM: &[libc::c_long] = &[
    libc::SYS_execve,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_arch_prctl,
    libc::SYS_set_tid_address,
    libc::SYS_get_robust_list,
    libc::SYS_membarrier,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
    libc::SYS_getrusage,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
];

/// Older forms of calls, which newer architectures never had.
#[cfg(target_arch = "x86_64")]
const OLDER: &[libc::c_long] = &[
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_wait,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[libc::c_long] = &[];

/// Installs the filter for all threads of this process (SECCOMP_FILTER_FLAG_TSYNC, Linux 3.17). `network` allows the
/// calls for connecting to servers, and `program` those for becoming another program with threads.
pub(super) fn install_filter(network: bool, program: bool) -> Result<(), seccompiler::Error> {
    let machine = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = SeccompFilter::new(
        build_rules(network, program)?,
        SeccompAction::Errno(ENOSYS),
        SeccompAction::Allow,
        machine,
    )?;
    let program = BpfProgram::try_from(filter)?;
    seccompiler::apply_filter_all_threads(&program)
}

const ENOSYS: u32 = libc::ENOSYS.unsigned_abs();

/// One combination of arguments with which a call is allowed: all conditions hold.
type CallConditions = Vec<SeccompCondition>;

fn build_rules(network: bool, program: bool) -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    // A call with an empty list of rules is allowed with any arguments.
    let network_calls = if network { NETWORK } else { &[] };
    let program_calls = if program { PROGRAM } else { &[] };
    rules.extend(ALLOWED.iter().chain(OLDER).chain(network_calls).chain(program_calls).map(|call| (*call, Vec::new())));
    for (call, conditions) in conditional_rules()? {
        if (call == libc::SYS_socket && !network) || (call == libc::SYS_clone && !program) {
            continue;
        }
        let conditions: Result<Vec<_>, _> = conditions.into_iter().map(SeccompRule::new).collect();
        rules.insert(call, conditions?);
    }
    Ok(rules)
}

/// Returns the calls that are allowed with some arguments only.
fn conditional_rules() -> Result<Vec<(i64, Vec<CallConditions>)>, BackendError> {
    let mut calls = vec![
        (libc::SYS_mmap, deny_write_exec()?),
        // Memory never becomes executable: the code of libraries is mapped from their files.
        (libc::SYS_mprotect, vec![vec![arg_bits(2, libc::PROT_EXEC, 0)?]]),
        // A thread, not a process. The kernel refuses new namespaces to a thread, or to a process without capabilities.
        (libc::SYS_clone, vec![vec![arg_bits(0, libc::CLONE_THREAD, libc::CLONE_THREAD)?]]),
        (libc::SYS_socket, socket_rules()?),
        (
            libc::SYS_fcntl,
            arg_in(1, &[libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_SETFL, libc::F_DUPFD_CLOEXEC])?,
        ),
        // The request of `ioctl` is an unsigned argument; these two are small.
        (libc::SYS_ioctl, arg_in(1, &[FIONBIO, FIONREAD])?),
        // For the names of threads.
        (libc::SYS_prctl, arg_in(0, &[libc::PR_SET_NAME])?),
        // Reading limits, not setting them.
        (libc::SYS_prlimit64, vec![vec![arg_equals(0, 0)?, arg_is_null(2)?]]),
        // `abort` sends a signal to its own thread.
        (libc::SYS_tgkill, arg_in(0, &[nix::unistd::getpid().as_raw()])?),
    ];
    for (call, flags) in OPENING {
        calls.push((*call, vec![vec![arg_bits(*flags, WRITE_FLAGS, 0)?]]));
    }
    Ok(calls)
}

/// Calls that open files, and the index of the argument with the flags.
#[cfg(target_arch = "x86_64")]
const OPENING: &[(libc::c_long, u8)] = &[(libc::SYS_openat, 2), (libc::SYS_open, 1)];
#[cfg(not(target_arch = "x86_64"))]
const OPENING: &[(libc::c_long, u8)] = &[(libc::SYS_openat, 2)];

/// Flags that would write or create a file.
const WRITE_FLAGS: i32 = libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND;

/// `FIONBIO` and `FIONREAD` of `asm-generic/ioctls.h`, which x86 and Arm share.
const FIONBIO: i32 = 0x5421;
const FIONREAD: i32 = 0x541b;

fn deny_write_exec() -> Result<Vec<CallConditions>, BackendError> {
    let both = libc::PROT_WRITE | libc::PROT_EXEC;
    [0, libc::PROT_WRITE, libc::PROT_EXEC].into_iter().map(|one| Ok(vec![arg_bits(2, both, one)?])).collect()
}

/// Allows sockets for TCP and UDP, and netlink's routing sockets, by which glibc reads the addresses of this machine. No
/// allowed socket makes the kernel load a module.
fn socket_rules() -> Result<Vec<CallConditions>, BackendError> {
    const KIND: i32 = 0xf;
    let mut conditions = vec![vec![arg_equals(0, libc::AF_NETLINK)?, arg_equals(2, libc::NETLINK_ROUTE)?]];
    for family in [libc::AF_INET, libc::AF_INET6] {
        for (kind, protocol) in [(libc::SOCK_STREAM, libc::IPPROTO_TCP), (libc::SOCK_DGRAM, libc::IPPROTO_UDP)] {
            for protocol in [0, protocol] {
                conditions.push(vec![arg_equals(0, family)?, arg_bits(1, KIND, kind)?, arg_equals(2, protocol)?]);
            }
        }
    }
    Ok(conditions)
}

/// The argument is one of `values`.
fn arg_in(argument: u8, values: &[i32]) -> Result<Vec<CallConditions>, BackendError> {
    values.iter().map(|value| Ok(vec![arg_equals(argument, *value)?])).collect()
}

fn arg_equals(argument: u8, value: i32) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, to_arg(value))
}

/// Of the bits of the argument in `mask`, exactly those in `value` are set.
fn arg_bits(argument: u8, mask: i32, value: i32) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(to_arg(mask)), to_arg(value))
}

fn arg_is_null(argument: u8) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)
}

/// Converts an `int` to the lower half of an argument, which is the part that the kernel reads.
fn to_arg(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}
