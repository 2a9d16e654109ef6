/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for sh4eb, as numbers: no LLVM knows it */
        .set DATA, 2
        .include "sh4.S"
