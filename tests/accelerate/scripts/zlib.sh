# shellcheck shell=bash disable=SC2154 # Nix sets $out and $sources.
# zlib with its own configure, static and shared.
set -eu
tar -xf "$sources/zlib.tar" && cd zlib*
CFLAGS='-O2 -g' ./configure --prefix="$out"
make libz.a shared
make install-libs
mkdir "$out/objects"
cp ./*.o "$out/objects"
# Those of the shared library.
for object in *.lo; do cp "$object" "$out/objects/${object%.lo}-pic.o"; done
cp zconf.h Makefile "$out"
