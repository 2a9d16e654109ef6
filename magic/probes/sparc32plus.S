/* write(1, argv[0], 16); exit(0) for sparc32plus */
        .set DATA, 2
        .set MACHINE, 18
        .set FLAGS, 0x100
        .include "elf32.inc"
        mov 4, %g1
        mov 1, %o0
        ld [%sp + 68], %o1
        mov 16, %o2
        ta 0x10
        mov 1, %g1
        mov 0, %o0
        ta 0x10
        .set SIZE, . - start
