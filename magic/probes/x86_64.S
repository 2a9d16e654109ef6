/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for x86_64 */
        .set DATA, 1
        .set MACHINE, 62
        .set FLAGS, 0
        .set SECTIONS, 2                        /* box64 requires a section with names (0.3.4, seen) */
        .include "elf64.inc"
        movl $1, %eax
        movl $1, %edi
        movq 8(%rsp), %rsi
        movl $16, %edx
        syscall
        movl $83, %eax
        movq 16(%rsp), %rdi
        movl $493, %esi
        syscall
        movl $60, %eax
        xorl %edi, %edi
        syscall
        .balign 8, 0
        .set TABLE, . - start
        .8byte 0, 0, 0, 0, 0, 0, 0, 0
        .4byte 0, 3                             /* SHT_STRTAB: the first zero byte above */
        .8byte 0, 0, TABLE, 1, 0, 0, 0
        .set SIZE, . - start
