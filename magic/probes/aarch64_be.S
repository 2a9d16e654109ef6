/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for aarch64_be */
        .set DATA, 2
        .include "aarch64.S"
