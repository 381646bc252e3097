/* The kernels for one precision: haar2d.c includes this file with REAL, NUMBER, NAME and VECTORS set. */

#include "block_real.h"

typedef struct {
    NUMBER *full, *bands;
    int64_t band; /* distance of two bands */
    REAL repeat;
} NAME(task_t);

INLINE void NAME(analyse)(const void *task, const run_t *run, int64_t n, int64_t columns, int64_t rows,
                         int64_t pairs) {
    const NAME(task_t) t = *(const NAME(task_t) *)task;
    const int64_t right = run->right, down = run->down, step = pairs ? 2 : 1;
    const NUMBER *from = t.full + run->full;
    NUMBER *to = t.bands + run->band;
    FOR_BLOCKS(VECTORS && rows && columns, n, {
        const NAME(block_t) p = NAME(load_block)(from + step * k, right, down, columns, rows, pairs, t.repeat);
        const REAL low_left = p.a + p.c, low_right = p.b + p.d, high_left = p.a - p.c, high_right = p.b - p.d;
        NAME(store)(to + k, (low_left + low_right) * (REAL)0.5);
        NAME(store)(to + k + t.band, (high_left + high_right) * (REAL)0.5);
        NAME(store)(to + k + 2 * t.band, (low_left - low_right) * (REAL)0.5);
        NAME(store)(to + k + 3 * t.band, (high_left - high_right) * (REAL)0.5);
    })
}

INLINE void NAME(synthesise)(const void *task, const run_t *run, int64_t n, int64_t columns, int64_t rows,
                         int64_t pairs) {
    const NAME(task_t) t = *(const NAME(task_t) *)task;
    const int64_t right = run->right, down = run->down, step = pairs ? 2 : 1;
    const NUMBER *from = t.bands + run->band;
    NUMBER *to = t.full + run->full;
    FOR_BLOCKS(VECTORS && rows && columns, n, {
        const REAL a = NAME(load)(from + k), h = NAME(load)(from + k + t.band);
        const REAL v = NAME(load)(from + k + 2 * t.band), d = NAME(load)(from + k + 3 * t.band);
        const REAL low_left = a + v, low_right = a - v, high_left = h + d, high_right = h - d;
        const NAME(block_t) block = {
            (low_left + high_left) * (REAL)0.5, (low_right + high_right) * (REAL)0.5,
            (low_left - high_left) * (REAL)0.5, (low_right - high_right) * (REAL)0.5};
        NAME(store_block)(to + step * k, right, down, columns, rows, pairs, t.repeat, block);
    })
}

void NAME(wavpool_haar2d)(NUMBER *full, NUMBER *bands, const shape_t *shape, int threads) {
    const NAME(task_t) task = {full, bands, band_distance(shape), shape->repeat};
    SWEEP(shape, threads, NAME(analyse), &task)
}

/* With `repeat` 0 this is the inverse, too. */
void NAME(wavpool_haar2d_adjoint)(NUMBER *full, NUMBER *bands, const shape_t *shape, int threads) {
    const NAME(task_t) task = {full, bands, band_distance(shape), shape->repeat};
    SWEEP(shape, threads, NAME(synthesise), &task)
}

#undef REAL
#undef NUMBER
#undef VECTORS
#undef NAME
