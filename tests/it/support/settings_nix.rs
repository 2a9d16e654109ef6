//! A Nix that knows only its settings: a script that reads them as Nix 2.34 does, and prints them, or rejects them with
//! the message of Nix 2.34. The tests with the real Nix are in `tests/e2e`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::binfmt::userns::memory;

/// The directory of the script.
pub(crate) const BIN: &str = "/nix/var/nix/profiles/default/bin";

/// It needs no program but the shell: `live` hides /etc, which has the links of some.
const SCRIPT: &str = r#"#!/bin/sh
read_text() { # FILE, text on stdin
    while IFS= read -r line || [ -n "$line" ]; do
        code=${line%%#*}
        set -f; set -- "$1" $code; set +f
        [ $# -gt 1 ] || continue
        case $2 in
        include | !include)
            [ $# = 3 ] || reject "$code" "$1"
            case $3 in /*) target=$3 ;; *) target=${1%/*}/$3 ;; esac
            if [ -e "$target" ]; then read_text "$target" < "$target" || exit 1
            elif [ "$2" = include ]; then echo "error: file \"$target\" included from \"$1\" not found" >&2; exit 1; fi ;;
        *)
            [ "$3" = = ] || reject "$code" "$1"
            name=$2 file=$1
            shift 3
            echo "$name = $*"
            set -- "$file" ;;
        esac
    done
}
reject() { printf 'error: syntax error in configuration line '"'%s'"' in "%s"\nTry '"'nix --help'"' for more information.\n' "$1" "$2" >&2; exit 1; }
all() {
    [ ! -e /etc/nix/nix.conf ] || read_text /etc/nix/nix.conf < /etc/nix/nix.conf || exit 1
    if [ -n "$NIX_USER_CONF_FILES" ]; then own=$NIX_USER_CONF_FILES; else own=${XDG_CONFIG_HOME:-$HOME/.config}/nix/nix.conf; fi
    [ ! -r "$own" ] || read_text "$own" < "$own" || exit 1
    [ -z "$NIX_CONFIG" ] || printf '%s\n' "$NIX_CONFIG" | read_text NIX_CONFIG || exit 1
}
lines=$(all) || exit 1
platforms=i686-linux jobs=1 sandbox=true system=x86_64-linux paths='DEFAULT_PATHS'
while IFS= read -r line; do
    name=${line%% = *} value=${line#* = }
    case $name in
    extra-platforms) platforms=$value ;;
    extra-extra-platforms) platforms="$platforms $value" ;;
    max-jobs) jobs=$value ;;
    sandbox) sandbox=$value ;;
    system) system=$value ;;
    sandbox-paths) paths=$value ;;
    extra-sandbox-paths) paths="$paths $value" ;;
    esac
done << END
$lines
END
case $sandbox in
true | false | relaxed) ;;
*) echo "error: option 'sandbox' has invalid value '$sandbox'" >&2; exit 1 ;;
esac
printf '%s\n' "extra-platforms = $platforms" "max-jobs = $jobs" "sandbox = $sandbox" "sandbox-paths = $paths" "system = $system"
"#;

/// Installs the script as the machine's Nix. By default its sandbox has these paths of the machine.
pub(crate) fn install(default_paths: &str) {
    memory(Path::new("/nix"));
    fs::create_dir_all(BIN).unwrap();
    write(&Path::new(BIN).join("nix"), default_paths);
}

/// Writes the script to a path.
pub(crate) fn write(path: &Path, default_paths: &str) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, SCRIPT.replace("DEFAULT_PATHS", default_paths)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_owned()
}
