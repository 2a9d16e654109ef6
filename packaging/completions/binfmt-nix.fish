# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_binfmt_nix_global_optspecs
    string join \n root= json h/help V/version
end

function __fish_binfmt_nix_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_binfmt_nix_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_binfmt_nix_using_subcommand
    set -l cmd (__fish_binfmt_nix_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c binfmt-nix -n "__fish_binfmt_nix_needs_command" -l root -d 'Act on the tree below DIR instead of this machine' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_needs_command" -l json -d 'Print the result as JSON on standard output'
complete -c binfmt-nix -n "__fish_binfmt_nix_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c binfmt-nix -n "__fish_binfmt_nix_needs_command" -s V -l version -d 'Print version'
complete -c binfmt-nix -n "__fish_binfmt_nix_needs_command" -f -a "register" -d 'Make programs of other systems run here, and configure Nix'
complete -c binfmt-nix -n "__fish_binfmt_nix_needs_command" -f -a "unregister" -d 'Undo register completely'
complete -c binfmt-nix -n "__fish_binfmt_nix_needs_command" -f -a "upgrade" -d 'Install the QEMU release of this version for registered systems'
complete -c binfmt-nix -n "__fish_binfmt_nix_needs_command" -f -a "rollback" -d 'Put the emulators back that the last upgrade replaced'
complete -c binfmt-nix -n "__fish_binfmt_nix_needs_command" -f -a "disable" -d 'Turn systems off, and keep everything for enable'
complete -c binfmt-nix -n "__fish_binfmt_nix_needs_command" -f -a "enable" -d 'Turn systems on again that disable turned off'
complete -c binfmt-nix -n "__fish_binfmt_nix_needs_command" -f -a "accelerate" -d 'Start native compilers instead of emulated ones'
complete -c binfmt-nix -n "__fish_binfmt_nix_needs_command" -f -a "apply" -d 'Register the systems of a file, and remove all others'
complete -c binfmt-nix -n "__fish_binfmt_nix_needs_command" -f -a "run" -d 'Run one command with emulation, as any user, without root'
complete -c binfmt-nix -n "__fish_binfmt_nix_needs_command" -f -a "fetch" -d 'Download emulators into an archive, for register --from'
complete -c binfmt-nix -n "__fish_binfmt_nix_needs_command" -f -a "cache" -d 'Show the cached downloads, or remove them'
complete -c binfmt-nix -n "__fish_binfmt_nix_needs_command" -f -a "explain" -d 'Explain why a program runs or does not run'
complete -c binfmt-nix -n "__fish_binfmt_nix_needs_command" -f -a "doctor" -d 'Find out what is wrong and how to repair it'
complete -c binfmt-nix -n "__fish_binfmt_nix_needs_command" -f -a "status" -d 'Show which systems are registered, and whether they work'
complete -c binfmt-nix -n "__fish_binfmt_nix_needs_command" -f -a "test" -d 'Prove that programs of other systems run here'
complete -c binfmt-nix -n "__fish_binfmt_nix_needs_command" -f -a "list" -d 'List the known systems with their names and rules'
complete -c binfmt-nix -n "__fish_binfmt_nix_needs_command" -f -a "nix-conf" -d 'Print lines for nix.conf or for a machines file'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -l rule -d 'Register a rule of your own: a line of binfmt.d, or a file' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -l test -d 'Run FILE to prove that the rule which takes it works' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -l emulator -d 'Use this emulator instead of QEMU: box64, fex, rosetta, wine, ...' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -l qemu -d 'Use this static QEMU (for one system)' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -l from -d 'Take QEMU from a package, archive, directory, file or image' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -l sha256 -d 'Reject the file of --from unless it has this SHA-256' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -l qemu-version -d 'Download this release of QEMU: 11.1.3, 7.2, ..., or "latest"' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -l source -d 'Choose where QEMU comes from' -r -f -a "auto\t'The installed one, a good one of the host, the cache, or a download'
host\t'The newest good static QEMU of the host, or the reason against each'
download\t'The release that this version pins'
fallback\t'As auto; if no Debian mirror works, an archive of another publisher'"
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -l mirror -d 'Try this Debian mirror first (also: BINFMT_NIX_MIRROR)' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -l on-stop -d 'Leave or remove the entries when a signal ends --watch' -r -f -a "leave\t'Keep them registered, and exit with status 0'
remove\t'Unregister them, and exit with the status of unregister'"
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -l ready-file -d 'Keep a file at PATH while --watch has everything in place' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -l wait -d 'Wait at most SECONDS for another binfmt-nix to finish' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -l root -d 'Act on the tree below DIR instead of this machine' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -l insecure-no-digest -d 'Do not verify the digest of --from'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -l offline -d 'Download nothing; use what is on this machine'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -l credentials -d 'Give setuid programs their rights (flag C); this is a risk'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -l nix -d 'Configure Nix even if it was not found here'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -l no-nix -d 'Do not configure Nix, and do not build with it'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -l no-persist -d 'Write no boot rule; the registration ends with a restart'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -l in-memory -d 'Keep QEMU in memory and write nothing to disk'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -l force -d 'Register even if another tool\'s entry handles this system'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -l watch -d 'Keep running, and register again what is removed'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -s n -l dry-run -d 'Print what would be done, and change nothing'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -l json -d 'Print the result as JSON on standard output'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand register" -s V -l version -d 'Print version'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand unregister" -l wait -d 'Wait at most SECONDS for another binfmt-nix to finish' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand unregister" -l root -d 'Act on the tree below DIR instead of this machine' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand unregister" -s n -l dry-run -d 'Print what would be done, and change nothing'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand unregister" -l json -d 'Print the result as JSON on standard output'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand unregister" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand unregister" -s V -l version -d 'Print version'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand upgrade" -l mirror -d 'Try this Debian mirror first (also: BINFMT_NIX_MIRROR)' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand upgrade" -l wait -d 'Wait at most SECONDS for another binfmt-nix to finish' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand upgrade" -l root -d 'Act on the tree below DIR instead of this machine' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand upgrade" -l offline -d 'Download nothing; use the cache'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand upgrade" -s n -l dry-run -d 'Print what would be done, and change nothing'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand upgrade" -l json -d 'Print the result as JSON on standard output'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand upgrade" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand upgrade" -s V -l version -d 'Print version'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand rollback" -l wait -d 'Wait at most SECONDS for another binfmt-nix to finish' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand rollback" -l root -d 'Act on the tree below DIR instead of this machine' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand rollback" -s n -l dry-run -d 'Print what would be done, and change nothing'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand rollback" -l json -d 'Print the result as JSON on standard output'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand rollback" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand rollback" -s V -l version -d 'Print version'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand disable" -l wait -d 'Wait at most SECONDS for another binfmt-nix to finish' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand disable" -l root -d 'Act on the tree below DIR instead of this machine' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand disable" -s n -l dry-run -d 'Print what would be done, and change nothing'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand disable" -l json -d 'Print the result as JSON on standard output'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand disable" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand disable" -s V -l version -d 'Print version'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand enable" -l wait -d 'Wait at most SECONDS for another binfmt-nix to finish' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand enable" -l root -d 'Act on the tree below DIR instead of this machine' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand enable" -s n -l dry-run -d 'Print what would be done, and change nothing'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand enable" -l json -d 'Print the result as JSON on standard output'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand enable" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand enable" -s V -l version -d 'Print version'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand accelerate" -l tree -d 'Find the compilers of a Debian or Ubuntu tree below DIR' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand accelerate" -l native-tree -d 'Find the native programs below DIR, instead of on this machine' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand accelerate" -l pair -d 'Replace one guest program by one native program' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand accelerate" -l nixpkgs -d 'Find the compilers of one nixpkgs, and their native counterparts' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand accelerate" -l audit -d 'Run both programs for one start in N, and fail if they differ' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand accelerate" -l check -d 'Build DRV with and without native programs, and compare' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand accelerate" -l wait -d 'Wait at most SECONDS for another binfmt-nix to finish' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand accelerate" -l root -d 'Act on the tree below DIR instead of this machine' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand accelerate" -l off -d 'Emulate all programs again; without SYSTEM, those of every system'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand accelerate" -l list -d 'List the programs that are replaced'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand accelerate" -s n -l dry-run -d 'Print what would be done, and change nothing'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand accelerate" -l json -d 'Print the result as JSON on standard output'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand accelerate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand accelerate" -s V -l version -d 'Print version'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand apply" -l config -d 'Read the systems from FILE (TOML); "-" is standard input' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand apply" -l wait -d 'Wait at most SECONDS for another binfmt-nix to finish' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand apply" -l root -d 'Act on the tree below DIR instead of this machine' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand apply" -l check -d 'Change nothing; print what differs, and exit with 3'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand apply" -s n -l dry-run -d 'Print what would be done, and change nothing'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand apply" -l json -d 'Print the result as JSON on standard output'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand apply" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand apply" -s V -l version -d 'Print version'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand run" -s s -l system -d 'Emulate this system (any name); may be repeated' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand run" -l qemu -d 'Use this static QEMU (for one system)' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand run" -l from -d 'Take QEMU from a package, archive, directory, file or image' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand run" -l sha256 -d 'Reject the file of --from unless it has this SHA-256' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand run" -l qemu-version -d 'Download this release of QEMU: 11.1.3, 7.2, ..., or "latest"' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand run" -l source -d 'Choose where QEMU comes from' -r -f -a "auto\t'The installed one, a good one of the host, the cache, or a download'
host\t'The newest good static QEMU of the host, or the reason against each'
download\t'The release that this version pins'
fallback\t'As auto; if no Debian mirror works, an archive of another publisher'"
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand run" -l mirror -d 'Try this Debian mirror first (also: BINFMT_NIX_MIRROR)' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand run" -l root -d 'Act on the tree below DIR instead of this machine' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand run" -l all -d 'Emulate every system that this machine does not run natively'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand run" -l insecure-no-digest -d 'Do not verify the digest of --from'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand run" -l offline -d 'Download nothing; use what is on this machine'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand run" -l no-cache -d 'Keep QEMU in memory, and leave the cache alone'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand run" -l map-root -d 'Be root inside, with the subordinate ids (podman, buildah)'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand run" -s v -l verbose -d 'Print how many of the machine\'s own entries are copied'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand run" -l json -d 'Print the result as JSON on standard output'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand run" -s V -l version -d 'Print version'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand fetch" -s o -l output -d 'Write the archive (.tar.gz) to FILE; "-" is standard output' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand fetch" -l host -d 'Fetch for this kind of machine: x86_64 or aarch64 [default: this]' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand fetch" -l qemu-version -d 'Download this release of QEMU: 11.1.3, 7.2, ..., or "latest"' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand fetch" -l source -d 'Choose where QEMU comes from' -r -f -a "download\t'A package of Debian'
fallback\t'The same; if no Debian mirror works, another publisher\'s archive'"
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand fetch" -l mirror -d 'Try this Debian mirror first (also: BINFMT_NIX_MIRROR)' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand fetch" -l root -d 'Act on the tree below DIR instead of this machine' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand fetch" -l json -d 'Print the result as JSON on standard output'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand fetch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand fetch" -s V -l version -d 'Print version'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand cache; and not __fish_seen_subcommand_from prune" -l root -d 'Act on the tree below DIR instead of this machine' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand cache; and not __fish_seen_subcommand_from prune" -l json -d 'Print the result as JSON on standard output'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand cache; and not __fish_seen_subcommand_from prune" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand cache; and not __fish_seen_subcommand_from prune" -s V -l version -d 'Print version'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand cache; and not __fish_seen_subcommand_from prune" -f -a "prune" -d 'Remove all cached downloads'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand cache; and __fish_seen_subcommand_from prune" -l root -d 'Act on the tree below DIR instead of this machine' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand cache; and __fish_seen_subcommand_from prune" -l json -d 'Print the result as JSON on standard output'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand cache; and __fish_seen_subcommand_from prune" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand cache; and __fish_seen_subcommand_from prune" -s V -l version -d 'Print version'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand explain" -l pid -d 'Explain the running process N instead of a file' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand explain" -l root -d 'Act on the tree below DIR instead of this machine' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand explain" -l json -d 'Print the result as JSON on standard output'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand explain" -s V -l version -d 'Print version'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand doctor" -l wait -d 'Wait at most SECONDS for another binfmt-nix to finish' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand doctor" -l root -d 'Act on the tree below DIR instead of this machine' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand doctor" -l fix -d 'Repair what can be repaired safely'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand doctor" -l json -d 'Print the result as JSON on standard output'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand doctor" -s V -l version -d 'Print version'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand status" -l check -d 'Check one system in one line; exit 3 if it does not work' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand status" -l root -d 'Act on the tree below DIR instead of this machine' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand status" -s v -l verbose -d 'Print every path, digest and origin'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand status" -l json -d 'Print the result as JSON on standard output'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand status" -s V -l version -d 'Print version'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand test" -l root -d 'Act on the tree below DIR instead of this machine' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand test" -l nix -d 'Build a derivation of the system with Nix'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand test" -l json -d 'Print the result as JSON on standard output'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand test" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand test" -s V -l version -d 'Print version'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand list" -l format -d 'Print the list in this format' -r -f -a "table\t'A table of names'
json\t'Names and rules as JSON'
binfmt.d\t'Rules for /etc/binfmt.d, with the interpreter paths of this tool'
register\t'The same rules, to be written to the kernel\'s register file'"
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand list" -l root -d 'Act on the tree below DIR instead of this machine' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand list" -l json -d 'Print the result as JSON on standard output'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand list" -s V -l version -d 'Print version'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand nix-conf" -l builder -d 'Print lines for the machines file of other hosts' -r
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand nix-conf" -l root -d 'Act on the tree below DIR instead of this machine' -r -F
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand nix-conf" -l json -d 'Print the result as JSON on standard output'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand nix-conf" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c binfmt-nix -n "__fish_binfmt_nix_using_subcommand nix-conf" -s V -l version -d 'Print version'
