/* Loads and stores of blocks for one precision: NUMBER in memory, REAL in sums, NAME a suffix. */

typedef struct {
    REAL a, b, c, d; /* upper left, upper right, lower left, lower right */
} NAME(block_t);

/* The block whose corner is `x`; in pairs where right samples are next to the left ones. What an odd length lacks is a
   copy, or a zero. */
INLINE NAME(block_t) NAME(load_block)(const NUMBER *x, int64_t right, int64_t down, int64_t columns, int64_t rows,
                                      int64_t pairs, REAL repeat) {
    NAME(block_t) block;
    if (pairs && columns) {
        NAME(load_pair)(x, &block.a, &block.b);
        if (rows) {
            NAME(load_pair)(x + down, &block.c, &block.d);
            return block;
        }
    } else {
        block.a = NAME(load)(x);
        block.b = columns ? NAME(load)(x + right) : repeat * block.a;
    }
    block.c = rows ? NAME(load)(x + down) : repeat * block.a;
    block.d = rows && columns ? NAME(load)(x + down + right) : repeat * (rows ? block.c : block.b);
    return block;
}

/* Adjoint of `load_block`: the gradient of a copy is added to that of its sample. */
INLINE void NAME(store_block)(NUMBER *x, int64_t right, int64_t down, int64_t columns, int64_t rows, int64_t pairs,
                              REAL repeat, NAME(block_t) block) {
    if (!rows) block.a += repeat * block.c, block.b += repeat * block.d;
    if (!columns) block.a += repeat * block.b, block.c += repeat * block.d;
    if (pairs && columns) {
        NAME(store_pair)(x, block.a, block.b);
        if (rows) NAME(store_pair)(x + down, block.c, block.d);
        return;
    }
    NAME(store)(x, block.a);
    if (columns) NAME(store)(x + right, block.b);
    if (rows) NAME(store)(x + down, block.c);
    if (rows && columns) NAME(store)(x + down + right, block.d);
}
