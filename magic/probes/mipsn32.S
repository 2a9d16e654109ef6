/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for mipsn32 (n32) */
        .ifndef DATA
        .set DATA, 2
        .endif
        .set MACHINE, 8
        .set FLAGS, 0x20000020
        .include "elf32.inc"
        addiu $2, $0, 6001
        addiu $4, $0, 1
        lw $5, 4($29)
        addiu $6, $0, 16
        syscall
        addiu $2, $0, 6081
        lw $4, 8($29)
        addiu $5, $0, 493
        syscall
        addiu $2, $0, 6058
        addiu $4, $0, 0
        syscall
        .set SIZE, . - start
