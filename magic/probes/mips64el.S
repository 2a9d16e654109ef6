/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for mips64el (n64) */
        .set DATA, 1
        .include "mips64.S"
