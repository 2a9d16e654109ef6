/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for sparc64 */
        .set DATA, 2
        .set MACHINE, 43
        .set FLAGS, 0
        .include "elf64.inc"
        mov 4, %g1
        mov 1, %o0
        ldx [%sp + 2047 + 136], %o1
        mov 16, %o2
        ta 0x6d
        mov 136, %g1
        ldx [%sp + 2047 + 144], %o0
        mov 493, %o1
        ta 0x6d
        mov 1, %g1
        mov 0, %o0
        ta 0x6d
        .set SIZE, . - start
