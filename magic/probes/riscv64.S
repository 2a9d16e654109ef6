/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for riscv64 */
        .set DATA, 1
        .set MACHINE, 243
        .set FLAGS, 0
        .include "elf64.inc"
        li a7, 64
        li a0, 1
        ld a1, 8(sp)
        li a2, 16
        ecall
        li a7, 34
        li a0, -100
        ld a1, 16(sp)
        li a2, 493
        ecall
        li a7, 93
        li a0, 0
        ecall
        .set SIZE, 0xb0 + 13 * 4                /* RISC-V assemblers leave differences of labels to a linker */
