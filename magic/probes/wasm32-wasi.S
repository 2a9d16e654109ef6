        .set MEMORY, 0
        .include "wasi.inc"
