# nix-build packaging/nix: the package, from the <nixpkgs> of the caller.
{
  pkgs ? import <nixpkgs> { },
}:

pkgs.callPackage ./package.nix { }
