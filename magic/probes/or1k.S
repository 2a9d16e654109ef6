/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for or1k, as numbers: no LLVM knows it */
        .set DATA, 2
        .set MACHINE, 92
        .set FLAGS, 0
        .include "elf32.inc"
        .4byte 0xa9600040                     /* l.ori r11, r0, 64 */
        .4byte 0xa8600001                     /* l.ori r3, r0, 1 */
        .4byte 0x84810004                     /* l.lwz r4, 4(r1) */
        .4byte 0xa8a00010                     /* l.ori r5, r0, 16 */
        .4byte 0x20000001                     /* l.sys 1 */
        .4byte 0x15000000                     /* l.nop */
        .4byte 0xa9600022                     /* l.ori r11, r0, 34 */
        .4byte 0x9c60ff9c                     /* l.addi r3, r0, -100 */
        .4byte 0x84810008                     /* l.lwz r4, 8(r1) */
        .4byte 0xa8a001ed                     /* l.ori r5, r0, 493 */
        .4byte 0x20000001                     /* l.sys 1 */
        .4byte 0x15000000                     /* l.nop */
        .4byte 0xa960005d                     /* l.ori r11, r0, 93 */
        .4byte 0xa8600000                     /* l.ori r3, r0, 0 */
        .4byte 0x20000001                     /* l.sys 1 */
        .4byte 0x15000000                     /* l.nop */
        .set SIZE, . - start
