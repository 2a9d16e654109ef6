/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for sparc */
        .set DATA, 2
        .ifndef MACHINE
        .set MACHINE, 2
        .set FLAGS, 0
        .endif
        .include "elf32.inc"
        mov 4, %g1
        mov 1, %o0
        ld [%sp + 68], %o1
        mov 16, %o2
        ta 0x10
        mov 136, %g1
        ld [%sp + 72], %o0
        mov 493, %o1
        ta 0x10
        mov 1, %g1
        mov 0, %o0
        ta 0x10
        .set SIZE, . - start
