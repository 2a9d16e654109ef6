# The directory of the flake is packaging/nix: nix run "git+file:///path/to/the/clone?dir=packaging/nix" -- status
#
# Tested: tests/packaging/nix.sh evaluates every output and both modules with a small stand-in for the parts of nixpkgs that
# they use, and runs the installation phase of the package; both modules were also evaluated once with nixpkgs' own module
# system. With FULL=1 it runs the build phase by cargo, without a network. Not tested: nixpkgs itself, Nix's sandbox, a machine
# with system-manager or home-manager.
{
  description = "Programs and Nix builds of other architectures on any Linux, by static QEMU and binfmt_misc";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" ];
      forAll = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
    in
    {
      packages = forAll (pkgs: rec {
        binfmt-nix = pkgs.callPackage ./package.nix { };
        default = binfmt-nix;
      });

      apps = nixpkgs.lib.genAttrs systems (system: rec {
        binfmt-nix = {
          type = "app";
          program = "${self.packages.${system}.binfmt-nix}/bin/binfmt-nix";
        };
        default = binfmt-nix;
      });

      overlays.default = final: _: { binfmt-nix = final.callPackage ./package.nix { }; };

      # With these, `services.binfmt-nix.systems = [ "aarch64-linux" ];` is the whole configuration.
      systemManagerModules.default = import ./system-manager.nix;
      homeModules.default = import ./home-manager.nix;
    };
}
