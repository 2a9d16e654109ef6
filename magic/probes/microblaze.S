/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for microblaze, as numbers: no LLVM knows it */
        .ifndef DATA
        .set DATA, 2
        .endif
        .set MACHINE, 189
        .set FLAGS, 0
        .include "elf32.inc"
        .4byte 0x31800004                     /* addik r12, r0, 4 */
        .4byte 0x30a00001                     /* addik r5, r0, 1 */
        .4byte 0xe8c10004                     /* lwi r6, r1, 4 */
        .4byte 0x30e00010                     /* addik r7, r0, 16 */
        .4byte 0xb9cc0008                     /* brki r14, 8 */
        .4byte 0x31800027                     /* addik r12, r0, 39 */
        .4byte 0xe8a10008                     /* lwi r5, r1, 8 */
        .4byte 0x30c001ed                     /* addik r6, r0, 493 */
        .4byte 0xb9cc0008                     /* brki r14, 8 */
        .4byte 0x31800001                     /* addik r12, r0, 1 */
        .4byte 0x30a00000                     /* addik r5, r0, 0 */
        .4byte 0xb9cc0008                     /* brki r14, 8 */
        .set SIZE, . - start
