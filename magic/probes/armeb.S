/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for armeb, big-endian code (BE32) */
        .set DATA, 2
        .include "arm.S"
