//! Messages of Nix about its configuration files (`libutil/config.cc`, since 2.28 `configuration.cc`).

use super::{KnownMessage, Remedy};

pub(super) const KNOWN: &[KnownMessage] = &[
    KnownMessage {
        id: "nix-conf-syntax",
        printed_by: "Nix",
        of_nix: true,
        of_machine: true,
        // "illegal" up to 2.23 (nixpkgs#29592, NixOS/nix#6876), "syntax error" since 2.24.
        patterns: &[
            "illegal configuration line '<line>' in '<file>'",
            "syntax error in configuration line '<line>' in '<file>'",
        ],
        meaning: "Nix cannot read a file of its configuration, so every command of Nix fails, those of the daemon too. A line \
                  is NAME = VALUE, with blanks around the =, or include FILE; a long value must not be broken into lines",
        checks: &["nix-rejects-settings"],
        remedy: Remedy::Lines(&[
            "grep -nF -- {line} {file}   # the line to correct; # at its beginning makes it a comment",
        ]),
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "nix-conf-include",
        printed_by: "Nix",
        of_nix: true,
        of_machine: true,
        patterns: &["file '<name>' included from '<file>' not found"],
        meaning: "a file of Nix's configuration includes a file that does not exist, so every command of Nix fails. \
                  !include, instead of include, allows it to be missing",
        checks: &["nix-rejects-settings"],
        remedy: Remedy::Lines(&["grep -n include {file}   # write !include instead, or create {name}"]),
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "nix-conf-value",
        printed_by: "Nix",
        of_nix: true,
        of_machine: true,
        // nixpkgs#21576; `libutil/config.cc` since 2.0.
        patterns: &[
            "configuration option '<name>' should be either 'true' or 'false'",
            "boolean setting '<name>' has invalid value",
            "setting '<name>' has invalid value",
        ],
        meaning: "a setting of Nix has a value that it cannot have, so every command of Nix fails. In nix.conf a line has no \
                  semicolon at its end and its value no quotes",
        checks: &["nix-rejects-settings"],
        remedy: Remedy::Lines(&["grep -rn -- {name} /etc/nix"]),
        ..KnownMessage::EMPTY
    },
];
