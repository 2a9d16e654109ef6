/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for mips64 (n64) */
        .ifndef DATA
        .set DATA, 2
        .endif
        .set MACHINE, 8
        .set FLAGS, 0x20000000
        .include "elf64.inc"
        addiu $2, $0, 5001
        addiu $4, $0, 1
        ld $5, 8($29)
        addiu $6, $0, 16
        syscall
        addiu $2, $0, 5081
        ld $4, 16($29)
        addiu $5, $0, 493
        syscall
        addiu $2, $0, 5058
        addiu $4, $0, 0
        syscall
        .set SIZE, . - start
