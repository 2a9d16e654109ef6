/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for xtensa, as numbers: LLVM's assembler for it is young */
        .set DATA, 1
        .set MACHINE, 94
        .set FLAGS, 0x300
        .include "elf32.inc"
        .byte 0x22, 0xa0, 0x0d                /* movi a2, 13 */
        .byte 0x62, 0xa0, 0x01                /* movi a6, 1 */
        .byte 0x32, 0x21, 0x01                /* l32i a3, a1, 4 */
        .byte 0x42, 0xa0, 0x10                /* movi a4, 16 */
        .byte 0x00, 0x50, 0x00                /* syscall */
        .byte 0x22, 0xa0, 40                  /* movi a2, 40 */
        .byte 0x62, 0x21, 0x02                /* l32i a6, a1, 8 */
        .byte 0x32, 0xa1, 0xed                /* movi a3, 493 */
        .byte 0x00, 0x50, 0x00                /* syscall */
        .byte 0x22, 0xa0, 0x76                /* movi a2, 118 */
        .byte 0x62, 0xa0, 0x00                /* movi a6, 0 */
        .byte 0x00, 0x50, 0x00                /* syscall */
        .set SIZE, . - start
