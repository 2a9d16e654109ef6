        .set BITS, 64
        .include "windows.inc"
