/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for x86_64 */
        .set DATA, 1
        .set MACHINE, 62
        .set FLAGS, 0
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
        .set SIZE, . - start
