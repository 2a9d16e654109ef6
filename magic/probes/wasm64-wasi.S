        .set MEMORY, 4
        .include "wasi.inc"
