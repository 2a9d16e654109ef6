/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for loongarch64 */
        .set DATA, 1
        .set MACHINE, 258
        .set FLAGS, 0x43
        .include "elf64.inc"
        ori $a7, $zero, 64
        ori $a0, $zero, 1
        ld.d $a1, $sp, 8
        ori $a2, $zero, 16
        syscall 0
        ori $a7, $zero, 34
        addi.w $a0, $zero, -100
        ld.d $a1, $sp, 16
        ori $a2, $zero, 493
        syscall 0
        ori $a7, $zero, 93
        ori $a0, $zero, 0
        syscall 0
        .set SIZE, . - start
