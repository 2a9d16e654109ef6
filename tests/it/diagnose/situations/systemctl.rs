//! A stand-in for `systemctl restart systemd-binfmt`.

/// Does what systemd-binfmt does when it starts (systemd `src/binfmt/binfmt.c`): it empties the table, and registers the
/// rules of all files in the order of the files' names.
pub(super) const SCRIPT: &str = r#"#!/bin/sh
[ "$*" = "restart nix-daemon" ] && exit 0
[ "$*" = "restart systemd-binfmt" ] || { echo "systemctl $*: not expected" >&2; exit 1; }
root=/tree table=/tree/proc/sys/fs/binfmt_misc
[ -e "$table/register" ] || { root= table=/proc/sys/fs/binfmt_misc; }
echo -1 > "$table/status"
for name in $(cd / && ls -1 "$root"/usr/lib/binfmt.d/*.conf "$root"/etc/binfmt.d/*.conf 2>/dev/null | sed 's,.*/,,' | sort -u); do
    file="$root/etc/binfmt.d/$name"
    [ -e "$file" ] || file="$root/usr/lib/binfmt.d/$name"
    grep -v '^[#;]' "$file" | while read -r line; do
        [ -z "$line" ] || printf '%s' "$line" > "$table/register" || exit 1
    done
done
"#;
