/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for ppc64le */
        .ifndef DATA
        .set DATA, 1
        .endif
        .set MACHINE, 21
        .set FLAGS, 2
        .include "elf64.inc"
        li 0, 4
        li 3, 1
        ld 4, 8(1)
        li 5, 16
        sc
        li 0, 39
        ld 3, 16(1)
        li 4, 493
        sc
        li 0, 1
        li 3, 0
        sc
        .set SIZE, . - start
