# A module for system-manager: a unit applies the list of systems when the configuration is activated, and at boot.
{
  config,
  lib,
  ...
}:

let
  cfg = config.services.binfmt-nix;
in
{
  imports = [ ./options.nix ];

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];
    systemd.services.binfmt-nix = {
      description = "Emulators of other architectures";
      after = [ "network-online.target" "systemd-binfmt.service" ];
      wants = [ "network-online.target" ];
      wantedBy = [ "system-manager.target" ];
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = "${cfg.package}/bin/binfmt-nix apply --config ${cfg.configFile}";
      };
    };
  };
}
