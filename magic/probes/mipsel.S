/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for mipsel (o32) */
        .set DATA, 1
        .include "mips.S"
