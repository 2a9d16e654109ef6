/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for alpha, as numbers: no LLVM knows it */
        .set DATA, 1
        .set MACHINE, 0x9026
        .set FLAGS, 0
        .include "elf64.inc"
        .4byte 0x201f0004                     /* lda $0, 4($31) */
        .4byte 0x221f0001                     /* lda $16, 1($31) */
        .4byte 0xa63e0008                     /* ldq $17, 8($30) */
        .4byte 0x225f0010                     /* lda $18, 16($31) */
        .4byte 0x00000083                     /* callsys */
        .4byte 0x201f0088                     /* lda $0, 136($31) */
        .4byte 0xa61e0010                     /* ldq $16, 16($30) */
        .4byte 0x223f01ed                     /* lda $17, 493($31) */
        .4byte 0x00000083                     /* callsys */
        .4byte 0x201f0001                     /* lda $0, 1($31) */
        .4byte 0x221f0000                     /* lda $16, 0($31) */
        .4byte 0x00000083                     /* callsys */
        .set SIZE, . - start
