/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for sh4, as numbers: no LLVM knows it */
        .ifndef DATA
        .set DATA, 1
        .endif
        .set MACHINE, 42
        .set FLAGS, 9
        .include "elf32.inc"
        .2byte 0xe304                         /* mov #4, r3 */
        .2byte 0xe401                         /* mov #1, r4 */
        .2byte 0x55f1                         /* mov.l @(4, r15), r5 */
        .2byte 0xe610                         /* mov #16, r6 */
        .2byte 0xc313                         /* trapa #0x13 */
        .2byte 0xe327                         /* mov #39, r3 */
        .2byte 0x54f2                         /* mov.l @(8, r15), r4 */
        .2byte 0xe57b                         /* mov #123, r5 */
        .2byte 0x4508                         /* shll2 r5 */
        .2byte 0xc312                         /* trapa #0x12 */
        .2byte 0xe301                         /* mov #1, r3 */
        .2byte 0xe400                         /* mov #0, r4 */
        .2byte 0xc311                         /* trapa #0x11 */
        .set SIZE, . - start
