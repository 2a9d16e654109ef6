/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for aarch64 */
        .ifndef DATA
        .set DATA, 1
        .endif
        .set MACHINE, 183
        .set FLAGS, 0
        .include "elf64.inc"
        mov x8, #64
        mov x0, #1
        ldr x1, [sp, #8]
        mov x2, #16
        svc #0
        mov x8, #34
        mov x0, #-100
        ldr x1, [sp, #16]
        mov x2, #493
        svc #0
        mov x8, #93
        mov x0, #0
        svc #0
        .set SIZE, . - start
