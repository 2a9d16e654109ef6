/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for ppc */
        .set DATA, 2
        .set MACHINE, 20
        .set FLAGS, 0
        .include "elf32.inc"
        li 0, 4
        li 3, 1
        lwz 4, 4(1)
        li 5, 16
        sc
        li 0, 39
        lwz 3, 8(1)
        li 4, 493
        sc
        li 0, 1
        li 3, 0
        sc
        .set SIZE, . - start
