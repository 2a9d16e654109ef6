# Derivations for a guest system. Its root directory comes by sandbox paths, so bash is at /bin/bash.
{ system, sources, scripts }:
let
  build = name: derivation {
    inherit name system;
    builder = "/bin/bash";
    args = [ (scripts + "/${name}.sh") ];
    inherit sources;
    LC_ALL = "C";
    PATH = "/usr/bin:/bin";
    SOURCE_DATE_EPOCH = "1";
  };
in {
  # configure and make, as a package is built.
  zlib = build "zlib";
  lua = build "lua";
  groff = build "groff";
  # The compiler alone: each file with several options.
  objects = build "objects";
  # A few seconds, for a second guest.
  small = build "small";
}
