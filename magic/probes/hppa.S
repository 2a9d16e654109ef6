/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for hppa, as numbers: no LLVM knows it */
        .set DATA, 2
        .set MACHINE, 15
        .set FLAGS, 0x210
        .include "elf32.inc"
        .4byte 0x08180243                     /* copy %r24, %r3: the kernel leaves argv in r24 */
        .4byte 0x4b190000                     /* ldw 0(%r24), %r25 */
        .4byte 0x341a0002                     /* ldi 1, %r26 */
        .4byte 0x34180020                     /* ldi 16, %r24 */
        .4byte 0xe4008200                     /* ble 0x100(%sr2, %r0): the gateway page */
        .4byte 0x34140008                     /* ldi 4, %r20, in the delay slot */
        .4byte 0x487a0008                     /* ldw 4(%r3), %r26 */
        .4byte 0x341903da                     /* ldi 493, %r25 */
        .4byte 0xe4008200                     /* ble 0x100(%sr2, %r0) */
        .4byte 0x3414004e                     /* ldi 39, %r20 */
        .4byte 0x341a0000                     /* ldi 0, %r26 */
        .4byte 0xe4008200                     /* ble 0x100(%sr2, %r0) */
        .4byte 0x34140002                     /* ldi 1, %r20 */
        .set SIZE, . - start
