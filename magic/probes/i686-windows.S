        .set BITS, 32
        .include "windows.inc"
