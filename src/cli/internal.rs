//! The hidden subcommand `internal`, with which the tool starts itself as a worker.

use crate::qemu::archive::unpack;
use crate::qemu::debian::verify;
use crate::qemu::oci::pull_client;
use crate::qemu::version_query;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::accelerate::audit;
use crate::accelerate::prove;
use crate::binfmt::probe::isolated;
use crate::binfmt::{probe, userns};
use crate::error::{Error, ExitCode, Result};
use crate::host::{self, Host};
use crate::register::apply;

/// The command line of a worker from the word `internal` on.
#[derive(Debug, Parser)]
pub struct WorkerLine {
    /// The arguments
    #[command(flatten)]
    pub internal: Internal,
}

/// Arguments of the hidden `internal`.
#[derive(Debug, Args)]
pub struct Internal {
    /// The worker to become
    #[command(subcommand)]
    pub worker: InternalCommand,
}

/// The workers.
#[derive(Debug, Subcommand)]
pub enum InternalCommand {
    /// Do the download that standard input describes, confined
    #[command(name = crate::qemu::download::confined::DOWNLOAD_COMMAND)]
    Download,
    /// Unpack the archive on standard input, confined
    #[command(name = unpack::UNPACK_COMMAND)]
    Unpack {
        /// The process that started this one
        parent: u32,
        /// The systems, by QEMU's names
        targets: Vec<String>,
    },
    /// Unpack the image layers on standard input, confined
    #[command(name = unpack::UNPACK_LAYERS_COMMAND)]
    UnpackLayers {
        /// The process that started this one
        parent: u32,
        /// The length of each layer, separated by commas
        lengths: String,
        /// The systems, by QEMU's names
        targets: Vec<String>,
    },
    /// Verify the signed list on standard input, confined
    #[command(name = verify::VERIFY_COMMAND)]
    Verify {
        /// The process that started this one
        parent: u32,
        /// The question, as JSON
        question: String,
    },
    /// Become the program on standard input, confined, with --version
    #[command(name = version_query::VERSION_COMMAND)]
    Version {
        /// The process that started this one
        parent: u32,
    },
    /// Pull the image that standard input names, confined
    #[command(name = pull_client::PULL_COMMAND)]
    Pull,
    /// Map the ids of a new user namespace from outside of it
    #[command(name = userns::MAP_IDS)]
    MapIds {
        /// The process in the namespace
        pid: u32,
        /// Its user ids
        uids: String,
        /// Its group ids
        gids: String,
        /// Paths of newuidmap and newgidmap, if these have to do it
        programs: Vec<PathBuf>,
    },
    /// Isolate this process and execute the probe of a system
    #[command(name = probe::isolated::ENTER_ISOLATION)]
    Probe {
        /// The kind of isolation
        room: String,
        /// The system
        system: String,
    },
    /// Prove the pairs that standard input names
    #[command(name = prove::worker::PROVE_COMMAND)]
    Prove {
        /// The stage
        stage: String,
        /// The root directory of the second stage
        #[arg(default_value = "/")]
        dir: PathBuf,
    },
    /// Prove a rule in a table of its own
    #[command(name = apply::prior_proof::PROVE_RULE)]
    ProveRule {
        /// `system` or `rule`
        kind: String,
        /// The system, by QEMU's name, or the name of the rule
        name: String,
        /// The line of the rule
        line: OsString,
        /// Files that prove the rule
        files: Vec<PathBuf>,
    },
    /// Change to a user and execute a program
    #[command(name = host::run_as_user::EXEC_AS_USER)]
    ExecAsUser {
        /// The user id
        uid: u32,
        /// The group id
        gid: u32,
        /// The ids of all groups, separated by commas
        groups: String,
        /// The program
        program: PathBuf,
        /// Its arguments
        #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
        args: Vec<OsString>,
    },
    /// Run a guest program and a native program, and compare them
    #[command(name = audit::AUDIT_COMMAND)]
    Audit {
        /// The emulator
        emulator: PathBuf,
        /// The guest program
        guest: PathBuf,
        /// The `argv[0]` of the start
        arg0: OsString,
        /// The number of words of the native command
        native: usize,
        /// The number of arguments that only the native program gets
        more: usize,
        /// The native command, the arguments, and those of it alone
        #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
        words: Vec<OsString>,
    },
    /// Enter a chroot and execute a program there
    #[command(name = apply::EXEC_IN_CHROOT)]
    ChrootExec {
        /// The chroot
        dir: PathBuf,
        /// The program in it
        program: PathBuf,
        /// Its `argv[0]`
        arg0: String,
        /// Execute it as `nobody`
        #[arg(long)]
        as_nobody: bool,
    },
}

impl InternalCommand {
    /// Runs the worker in this process. A confined worker has opened no file before; the probe acts on the machine
    /// below `root`.
    pub fn run(&self, root: &Path) -> Result<ExitCode> {
        match self {
            Self::Download => crate::qemu::download::worker::run_worker(),
            Self::Unpack { parent, targets } => crate::qemu::archive::worker::run_worker(*parent, targets),
            Self::UnpackLayers { parent, lengths, targets } => {
                crate::qemu::archive::worker::run_layers_worker(*parent, lengths, targets)
            }
            Self::Verify { parent, question } => crate::qemu::debian::worker::run_worker(*parent, question),
            Self::Version { parent } => version_query::run_worker(*parent),
            Self::Pull => crate::qemu::oci::worker::run_worker(),
            Self::MapIds { pid, uids, gids, programs } => {
                let mapped = host::namespaces::map_ids_of(*pid, uids, gids, programs);
                let failed = |e| Error::io("map the ids of process", pid.to_string().as_ref(), e);
                mapped.map(|()| ExitCode::Ok).map_err(failed)
            }
            Self::Probe { room, system } => isolated::exec_isolated(&Host::new(root)?, room, system),
            Self::Prove { stage, dir } => prove::worker::run_worker(stage, dir),
            Self::ProveRule { kind, name, line, files } => {
                apply::prior_proof::run_in_own_table(&Host::new(root)?, kind, name, line, files)
            }
            Self::ExecAsUser { uid, gid, groups, program, args } => {
                Err(Error::io("execute", program, host::run_as_user::exec_as_user(*uid, *gid, groups, program, args)))
            }
            Self::Audit { emulator, guest, arg0, native, more, words } => {
                let (native, rest) = words.split_at_checked(*native).unwrap_or((words, &[]));
                let (args, more) = rest.split_at_checked(rest.len().saturating_sub(*more)).unwrap_or((rest, &[]));
                let audit = audit::Audit { emulator, guest, arg0, native, args, more };
                audit.run().map(|()| ExitCode::Ok).map_err(Error::other)
            }
            Self::ChrootExec { dir, program, arg0, as_nobody } => {
                Err(Error::io("execute", program, host::isolation::exec_in_chroot(dir, program, arg0, *as_nobody)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use crate::cli::Cli;
    use crate::host::INTERNAL;

    #[test]
    fn host_starts_workers_by_the_name_of_the_subcommand() {
        let cli = Cli::command();
        assert!(cli.find_subcommand(INTERNAL).is_some_and(clap::Command::is_hide_set));
    }
}
