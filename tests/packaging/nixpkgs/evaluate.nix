# What tests/packaging/nix.sh compares: every output of packaging/nix, with the stand-in for nixpkgs.
{ flake }:
let
  lib = import ./lib;
  nixpkgs = { inherit lib; legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (system: import ./. { inherit system; }); };
  outputs = (import (flake + "/flake.nix")).outputs { self = outputs; inherit nixpkgs; };
  pkgs = import ./. { };
  package = import (flake + "/default.nix") { inherit pkgs; };
  evaluate = module: values: lib.evalModule { inherit module pkgs values; };
  systems = [ "aarch64-linux" "riscv64-linux" ];
  machine = evaluate outputs.systemManagerModules.default { inherit systems; settings = { source = "host"; nix = true; }; };
  home = evaluate outputs.homeModules.default { inherit systems; };
in
{
  inherit (package.given) version doCheck cargoBuildFlags postInstall;
  lock = builtins.pathExists package.given.cargoLock.lockFile;
  sourcePath = "${package.given.src}";
  source = builtins.attrNames (builtins.readDir package.given.src);
  outputs = builtins.mapAttrs (_: set: builtins.attrNames set) (builtins.removeAttrs outputs [ "self" ]);
  app = outputs.apps.aarch64-linux.default;
  overlay = (outputs.overlays.default pkgs { }).binfmt-nix.outPath == package.outPath;
  unit = machine.systemd.services.binfmt-nix;
  config = machine.services.binfmt-nix.configFile;
  activation = home.home.activation.binfmt-nix;
  disabled = (evaluate outputs.systemManagerModules.default { }) ? systemd;
  enabled = (evaluate outputs.systemManagerModules.default { enable = true; }) ? systemd;
}
