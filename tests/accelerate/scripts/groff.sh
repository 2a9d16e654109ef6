# shellcheck shell=bash disable=SC2154 # Nix sets $out and $sources.
# The C++ programs of groff, with its configure. Its documents are not made: that would be a run of groff itself.
set -eu
# Only documents need it.
mkdir bin
printf '#!/bin/sh\nexit 1\n' > bin/m4
chmod +x bin/m4
PATH=$PWD/bin:$PATH
tar -xf "$sources/groff.tar" && cd groff*
./configure --prefix="$out" --without-x CFLAGS=-O1 CXXFLAGS=-O1
programs=(groff troff tbl eqn pic refer soelim preconv grotty grops grodvi grolj4 grolbp post-grohtml pre-grohtml indxbib lookbib lkbib
    addftinfo tfmtodit hpftodit pfbtops)
# Headers that "make all" makes first.
# shellcheck disable=SC2016 # A variable of make.
printf 'include Makefile\nheaders: $(BUILT_SOURCES)\n' > headers.mk
make -f headers.mk headers
make "${programs[@]}"
mkdir -p "$out/objects"
find . \( -name '*.o' -o -name '*.a' \) -print | tar -cf - -T - | tar -C "$out/objects" -xf -
cp "${programs[@]}" src/include/config.h "$out"
