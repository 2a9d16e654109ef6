# A module for home-manager. It runs as the user, and only root can register: the activation checks what differs, and then
# calls sudo without asking for a password. Where sudo would ask, it prints the command instead.
{
  config,
  lib,
  ...
}:

let
  cfg = config.services.binfmt-nix;
  tool = "${cfg.package}/bin/binfmt-nix";
in
{
  imports = [ ./options.nix ];

  config = lib.mkIf cfg.enable {
    home.packages = [ cfg.package ];
    home.activation.binfmt-nix = lib.hm.dag.entryAfter [ "writeBoundary" ] ''
      binfmtNixSudo=
      for binfmtNixPath in /run/wrappers/bin/sudo /usr/bin/sudo; do
        if [ -z "$binfmtNixSudo" ] && [ -x "$binfmtNixPath" ]; then binfmtNixSudo=$binfmtNixPath; fi
      done
      if ${tool} apply --config - --check < ${cfg.configFile} > /dev/null 2>&1; then
        verboseEcho "binfmt-nix: nothing differs"
      elif [ -n "''${DRY_RUN:-}" ]; then
        ${tool} apply --config - --check < ${cfg.configFile} || true
      elif [ -z "$binfmtNixSudo" ] || ! "$binfmtNixSudo" --non-interactive true 2> /dev/null; then
        warnEcho "the emulated systems differ from services.binfmt-nix; run: sudo ${tool} apply --config - < ${cfg.configFile}"
      else
        "$binfmtNixSudo" --non-interactive ${tool} apply --config - < ${cfg.configFile}
      fi
    '';
  };
}
