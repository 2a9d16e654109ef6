# A stand-in for the packages of nixpkgs that packaging/nix uses. rustPlatform.buildRustPackage returns what it was given.
{ system ? "x86_64-linux" }:
let
  lib = import ./lib;
  pkgs = rec {
    inherit lib;
    installShellFiles = "installShellFiles";
    rustPlatform.buildRustPackage = given: {
      inherit given;
      type = "derivation";
      outPath = "/nix/store/00000000000000000000000000000000-${given.pname}-${given.version}";
    };
    # The path shows the text.
    writeTextDir = name: text: "/nix/store/${builtins.hashString "sha256" text}-${name}";
    callPackage = file: given:
      let function = import file; in
      function (builtins.intersectAttrs (builtins.functionArgs function) (pkgs // { inherit pkgs; }) // given);
  };
in
pkgs
