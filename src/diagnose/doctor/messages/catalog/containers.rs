//! Messages of docker, podman, runc, crun, BuildKit and Apptainer.

use super::{KnownMessage, RUNS, RUNS_INSIDE, Remedy};

pub(super) const KNOWN: &[KnownMessage] = &[
    KnownMessage {
        id: "image-platform",
        printed_by: "docker and podman",
        // dbhi/qus#26, CIROH-UA/NGIAB-CloudInfra#276.
        patterns: &[
            "requested image's platform (<wanted>) does not match the detected host platform (<host>)",
            "image platform (<wanted>) does not match the expected platform (<host>)",
        ],
        meaning: "the image is for {wanted}, and the machine on which the engine runs its containers is another system. \
                  The message appears before a program runs; that machine's kernel decides whether it can run",
        checks: RUNS,
        remedy: Remedy::Register,
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "image-missing",
        printed_by: "docker and podman",
        // docker-library/mysql#698, docker-library/hello-world#39; docker 26 for an image of one platform (recorded).
        patterns: &[
            "was found but does not match the specified platform: wanted <wanted>, actual",
            "no matching manifest for <wanted>",
            "no image found in…for architecture '<wanted>'",
        ],
        meaning: "there is no image for {wanted}. An emulator does not help: it runs an image of another system that \
                  exists. Without --platform the engine asks for the system of its own machine",
        remedy: Remedy::Lines(&[
            "# `docker buildx imagetools inspect IMAGE` lists its platforms: name one with --platform, and register that \
             system",
        ]),
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "apptainer-architecture",
        printed_by: "Apptainer and Singularity",
        // apptainer `pkg/image/sif.go` and `internal/pkg/util/machine`: it reads the table at /proc/sys/fs/binfmt_misc, and
        // counts only entries with flag F (apptainer#2847: the table was not mounted there).
        patterns: &[
            "the image's architecture (<wanted>) could not run on the host's (<host>)",
            "image targets <wanted>, cannot run on <host>",
        ],
        meaning: "Apptainer looks for an entry with flag F for {wanted} in the kernel's table before it starts an image, and \
                  found none. It starts nothing itself",
        checks: RUNS,
        remedy: Remedy::Register,
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "buildkit-emulator",
        printed_by: "BuildKit",
        // moby/buildkit `solver/llbsolver/ops/exec_binfmt.go`; docker/buildx#464, concourse/oci-build-task#90.
        patterns: &[".buildkit_qemu_emulator"],
        meaning: "BuildKit started this program with a QEMU of its own, which it has in its image, because the kernel did not \
                  run its test program for the platform. That QEMU is another release than a registered one, and programs \
                  that the program starts (#! lines, RUN with sh -c) need it in the container: register the system, and the \
                  kernel starts the registered one everywhere",
        checks: RUNS,
        remedy: Remedy::Register,
        if_works: &["docker buildx inspect --bootstrap   # BuildKit tests the kernel again, then run the build again"],
        covers: &["container-exec-format", "container-no-interpreter"],
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "buildkit-platform",
        printed_by: "BuildKit",
        // moby/buildkit `util/archutil/detect.go`.
        patterns: &[
            "platform <wanted> cannot pass the validation",
            "platforms <wanted> cannot pass the validation",
            "no support for running processes with <wanted> platform",
        ],
        meaning: "BuildKit started its test program for {wanted}, and the kernel did not run it: no entry takes it, or the \
                  entry has no flag F and its interpreter is not in BuildKit's container",
        checks: RUNS,
        remedy: Remedy::Register,
        if_works: &["docker buildx inspect --bootstrap   # BuildKit tests the kernel again"],
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "container-exec-format",
        printed_by: "docker, podman and runc",
        patterns: &[
            "exec user process caused…exec format error",
            "exec container process '<file>': exec format error",
            "exec container process…exec format error",
            "exec <file>: exec format error",
            "did not complete successfully: exec format error",
            "failed to execv() <file>: exec format error",
        ],
        meaning: "the first program of a container is for another system, and the kernel has no entry for it. With flag F \
                  the machine's own entry works in every container; the image needs no emulator",
        checks: RUNS,
        remedy: Remedy::Register,
        covers: &["exec-format"],
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "container-no-interpreter",
        printed_by: "docker, podman and runc",
        patterns: &[
            "exec user process caused…no such file or directory",
            "exec container process…no such file or directory",
            "exec <file>: no such file or directory",
        ],
        meaning: "the program exists, but what runs it does not: an entry without flag F, whose interpreter is not in the \
                  container; an interpreter that is dynamically linked; or the loader of the program itself",
        checks: RUNS_INSIDE,
        remedy: Remedy::Lines(&["binfmt-nix test {system}"]),
        covers: &["no-such-file"],
        ..KnownMessage::EMPTY
    },
];
