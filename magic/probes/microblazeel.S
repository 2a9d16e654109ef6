/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for microblazeel, as numbers: no LLVM knows it */
        .set DATA, 1
        .include "microblaze.S"
