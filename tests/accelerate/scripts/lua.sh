# shellcheck shell=bash disable=SC2154 # Nix sets $out and $sources.
# lua has no configure.
set -eu
tar -xf "$sources/lua.tar" && cd lua*
make -C src linux CC='gcc -std=gnu99' MYCFLAGS='-g'
mkdir -p "$out/objects"
cp src/*.o "$out/objects"
cp src/lua src/luac src/liblua.a "$out"
