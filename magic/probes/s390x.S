/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for s390x */
        .set DATA, 2
        .set MACHINE, 22
        .set FLAGS, 0
        .include "elf64.inc"
        lghi %r2, 1
        lg %r3, 8(%r15)
        lghi %r4, 16
        svc 4
        lg %r2, 16(%r15)
        lghi %r3, 493
        svc 39
        lghi %r2, 0
        svc 1
        .set SIZE, . - start
