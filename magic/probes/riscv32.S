/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for riscv32 */
        .set DATA, 1
        .set MACHINE, 243
        .set FLAGS, 0
        .include "elf32.inc"
        li a7, 64
        li a0, 1
        lw a1, 4(sp)
        li a2, 16
        ecall
        li a7, 34
        li a0, -100
        lw a1, 8(sp)
        li a2, 493
        ecall
        li a7, 93
        li a0, 0
        ecall
        .set SIZE, 0x74 + 13 * 4                /* RISC-V assemblers leave differences of labels to a linker */
