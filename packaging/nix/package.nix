# The package, for callPackage. `nix-build packaging/nix` builds it.
{
  lib,
  rustPlatform,
  installShellFiles,
}:

rustPlatform.buildRustPackage {
  pname = "binfmt-nix";
  version = (builtins.fromTOML (builtins.readFile ../../Cargo.toml)).workspace.package.version;

  src = lib.cleanSourceWith {
    name = "binfmt-nix-source";
    src = ../..;
    filter = path: _: !(builtins.elem (baseNameOf path) [ ".git" "target" "result" ]);
  };

  cargoLock.lockFile = ../../Cargo.lock;
  cargoBuildFlags = [ "--bin" "binfmt-nix" ];

  # The tests mount a binfmt_misc table of their own in a user namespace. Nix's sandbox does not allow that.
  doCheck = false;

  nativeBuildInputs = [ installShellFiles ];
  postInstall = ''
    installManPage packaging/man/*.8
    installShellCompletion --bash --name binfmt-nix packaging/completions/binfmt-nix.bash
    installShellCompletion --zsh packaging/completions/_binfmt-nix
    installShellCompletion --fish packaging/completions/binfmt-nix.fish
    install -D -m 644 packaging/apparmor/binfmt-nix $out/share/binfmt-nix/apparmor
  '';

  meta = {
    description = "Programs and Nix builds of other architectures on any Linux, by static QEMU and binfmt_misc";
    license = lib.licenses.mit;
    platforms = [ "x86_64-linux" "aarch64-linux" ];
    mainProgram = "binfmt-nix";
  };
}
