/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for hexagon */
        .set DATA, 1
        .set MACHINE, 164
        .set FLAGS, 0x60    /* v60: the first QEMU knows v5 to v67 (linux-user/hexagon/target_elf.h) */
        .include "elf32.inc"
        { r6 = #64 }
        { r0 = #1 }
        { r1 = memw(r29 + #4) }
        { r2 = #16 }
        { trap0(#1) }
        { r6 = #34 }
        { r0 = #-100 }
        { r1 = memw(r29 + #8) }
        { r2 = #493 }
        { trap0(#1) }
        { r6 = #93 }
        { r0 = #0 }
        { trap0(#1) }
        .set SIZE, . - start
