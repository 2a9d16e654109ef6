/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for i386 */
        .set DATA, 1
        .set MACHINE, 3
        .set FLAGS, 0
        .include "elf32.inc"
        movl $4, %eax
        movl $1, %ebx
        movl 4(%esp), %ecx
        movl $16, %edx
        int $0x80
        movl $39, %eax
        movl 8(%esp), %ebx
        movl $493, %ecx
        int $0x80
        movl $1, %eax
        xorl %ebx, %ebx
        int $0x80
        .set SIZE, . - start
