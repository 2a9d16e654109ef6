# shellcheck shell=bash disable=SC2154 # Nix sets $out and $sources.
# Each file of zlib and lua with several options, and zlib optimized as a whole.
set -eu
mkdir -p "$out"
tar -xf "$sources/zlib.tar"
tar -xf "$sources/lua.tar"
# options NAME OPTION…: compiles every file with these options.
options() {
    local name=$1 file
    shift
    mkdir "$out/$name"
    for file in zlib*/*.c lua*/src/*.c; do
        gcc -std=gnu99 -DLUA_USE_POSIX -DHAVE_UNISTD_H -D_LARGEFILE64_SOURCE=1 -frandom-seed="$file" -c "$@" -o "$out/$name/$(basename "$file" .c).o" "$file"
    done
}
options O0 -O0
options O0-g -O0 -g
options O1 -O1 -fPIC
options O2 -O2
options O2-g -O2 -g
options O3 -O3 -fno-strict-aliasing
options Os -Os -fstack-protector-strong
gcc -shared -O2 -fPIC -flto -frandom-seed=zlib -DHAVE_UNISTD_H -D_LARGEFILE64_SOURCE=1 -o "$out/libz-lto.so" zlib*/*.c
