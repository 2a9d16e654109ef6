/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for ppc64: ABI version 2, so that the entry point is code and no descriptor */
        .set DATA, 2
        .include "ppc64le.S"
