//! The command `binfmt-nix`.

use std::process::ExitCode;

use binfmt_nix::binfmt::userns::run_table::RunTable;
use binfmt_nix::cli::{Cli, commands};
use binfmt_nix::host::{self, Host};
use binfmt_nix::sanitize::command::{self, CommandStyle};
use binfmt_nix::sanitize::{escape_line, text_of};
use binfmt_nix::ui::Ui;

/// See Cargo.toml.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    host::signals::survive_file_size_limit();
    let words: Vec<String> = std::env::args_os().skip(1).map(text_of).collect();
    // These may contain passwords, which are not printed.
    let shown = words.iter().map(|word| escape_line(word));
    let private: Vec<String> = words.iter().cloned().chain(shown).chain(commands::mirror_of_environment()).collect();
    let code = match Cli::parse_words(&words) {
        Err(error) => {
            let json = words
                .iter()
                .take_while(|word| *word != "--")
                .any(|word| word == "--json" || word.starts_with("--json="));
            Ui::new(json, &private).print_usage(&error)
        }
        Ok(cli) => {
            let ui = Ui::new(cli.json, &private);
            let is_in_run = RunTable::find(&Host::live()).is_some();
            let needs_sudo = host::env::needs_sudo() || (is_in_run && !host::trust::is_process_of_machine_root());
            let (program, path) = (host::env::own_path(), host::env::search_path());
            let style = CommandStyle::new(&program, path.as_deref(), needs_sudo, cli.root_option());
            command::set_style(style.inside_run(is_in_run));
            match commands::run_command(&cli, &ui) {
                Ok(code) => ui.finish(code, cli.command.is_change()),
                Err(error) => {
                    ui.print_failure(&error);
                    error.exit_code()
                }
            }
        }
    };
    ExitCode::from(code as u8)
}

#[cfg(all(target_env = "musl", panic = "abort"))]
mod no_backtrace {
    //! The functions by which the standard library reads unwind tables, for a program without those tables.
    //!
    //! `packaging/release` discards the tables, and a panic aborts. So a backtrace would have no frames, but its code (LLVM's
    //! libunwind, and readers of DWARF and of symbols) is linked for `RUST_BACKTRACE`: 180 KB. These functions replace
    //! libunwind's and find no frame, so all of that code is left out. If the standard library needs another function of
    //! libunwind, the linker reports a function that is defined twice.
    #![expect(unsafe_code, reason = "the linker finds these functions by their names; nothing else here is unsafe")]

    use std::ffi::{c_int, c_void};

    /// The result at the end of the stack (`_URC_END_OF_STACK` in LLVM's unwind.h).
    const END_OF_STACK: c_int = 5;

    #[unsafe(no_mangle)]
    extern "C" fn _Unwind_Backtrace(_trace: *mut c_void, _data: *mut c_void) -> c_int {
        END_OF_STACK
    }

    macro_rules! unused {
        ($($name:ident)*) => {$(
            /// Is called for a frame only, or to unwind.
            #[unsafe(no_mangle)]
            extern "C" fn $name() -> usize {
                std::process::abort()
            }
        )*};
    }

    unused! {
        _Unwind_DeleteException _Unwind_FindEnclosingFunction _Unwind_GetCFA _Unwind_GetDataRelBase _Unwind_GetIP
        _Unwind_GetIPInfo _Unwind_GetLanguageSpecificData _Unwind_GetRegionStart _Unwind_GetTextRelBase
        _Unwind_RaiseException _Unwind_Resume _Unwind_SetGR _Unwind_SetIP
    }
}
