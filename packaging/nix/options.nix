# The options that both modules have, and the file of `binfmt-nix apply` that follows from them.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  cfg = config.services.binfmt-nix;
  # JSON's strings, lists and booleans are TOML, too.
  lines = lib.mapAttrsToList (key: value: "${key} = ${builtins.toJSON value}\n") (
    cfg.settings // { inherit (cfg) systems; }
  );
in
{
  options.services.binfmt-nix = {
    enable = lib.mkEnableOption "emulation of the systems in services.binfmt-nix.systems" // {
      default = cfg.systems != [ ];
      defaultText = lib.literalExpression "config.services.binfmt-nix.systems != [ ]";
    };
    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.callPackage ./package.nix { };
      defaultText = lib.literalExpression "the package of this flake";
      description = "The binfmt-nix that is used.";
    };
    systems = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      example = [ "aarch64-linux" ];
      description = ''
        The systems to emulate. Others that binfmt-nix has registered are unregistered. With an empty list and
        enable = true, all are unregistered.
      '';
    };
    settings = lib.mkOption {
      type = lib.types.attrsOf (lib.types.either lib.types.bool lib.types.str);
      default = { };
      example = {
        source = "host";
        nix = true;
      };
      description = "Other keys of the file of binfmt-nix-apply(8).";
    };
    configFile = lib.mkOption {
      type = lib.types.str;
      internal = true;
      readOnly = true;
      description = "The path of the file that is applied.";
    };
  };

  # The file has a directory of its own: in /nix/store itself, builders may create files, so that binfmt-nix refuses to read
  # its files from there.
  config.services.binfmt-nix.configFile = "${pkgs.writeTextDir "binfmt-nix.toml" (lib.concatStrings lines)}/binfmt-nix.toml";
}
