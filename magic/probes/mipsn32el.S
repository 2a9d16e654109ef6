/* write(1, argv[0], 16); mkdir(argv[1], 0755); exit(0) for mipsn32el (n32) */
        .set DATA, 1
        .include "mipsn32.S"
