/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for arm */
        .ifndef DATA
        .set DATA, 1
        .endif
        .set MACHINE, 40
        .set FLAGS, 0x05000000
        .include "elf32.inc"
        mov r7, #4
        mov r0, #1
        ldr r1, [sp, #4]
        mov r2, #16
        svc #0
        mov r7, #39
        ldr r0, [sp, #8]
        mov r1, #492
        svc #0
        mov r7, #1
        mov r0, #0
        svc #0
        .set SIZE, . - start
