/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for sparc32plus */
        .set MACHINE, 18
        .set FLAGS, 0x100
        .include "sparc.S"
