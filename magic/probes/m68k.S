/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for m68k, as numbers: LLVM's assembler for it is young */
        .set DATA, 2
        .set MACHINE, 4
        .set FLAGS, 0
        .include "elf32.inc"
        .2byte 0x7004                         /* moveq #4, %d0 */
        .2byte 0x7201                         /* moveq #1, %d1 */
        .2byte 0x242f, 4                      /* move.l 4(%sp), %d2 */
        .2byte 0x7610                         /* moveq #16, %d3 */
        .2byte 0x4e40                         /* trap #0 */
        .2byte 0x7027                         /* moveq #39, %d0 */
        .2byte 0x222f, 8                      /* move.l 8(%sp), %d1 */
        .2byte 0x243c, 0, 493                 /* move.l #493, %d2 */
        .2byte 0x4e40                         /* trap #0 */
        .2byte 0x7001                         /* moveq #1, %d0 */
        .2byte 0x7200                         /* moveq #0, %d1 */
        .2byte 0x4e40                         /* trap #0 */
        .set SIZE, . - start
