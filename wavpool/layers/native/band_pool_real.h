/* The kernels for one precision: band_pool.c includes this file with REAL, NUMBER, NAME and VECTORS set. */

#include "../../transforms/native/block_real.h"

typedef struct {
    NUMBER *full, *half;     /* maps, and pooled maps (or their gradients) */
    const REAL *weight;      /* of moduli: (4, channels) */
    const NUMBER *source;    /* the maps, where `full` is their gradient */
    const NUMBER *maxima;    /* the pooled maps, where `half` is their gradient */
    REAL *partial;           /* gradients of the weights per unit: (units, 4, channels), of contiguous maps (units, 4) */
    int64_t channels, last;
} NAME(task_t);

#define OPEN                                                                                                          \
    const NAME(task_t) t = *(const NAME(task_t) *)task;                                                               \
    const int64_t right = run->right, down = run->down, step = pairs ? 2 : 1;                                         \
    NUMBER *full = t.full + run->full, *half = t.half + run->half;
#define BLOCK(k) NAME(load_block)(full + step * (k), right, down, columns, rows, pairs, 1)
#define ARGUMENTS const void *task, const run_t *run, int64_t n, int64_t columns, int64_t rows, int64_t pairs

/* What is not a number wins, as in torch's max_pool2d. In two selections, which compilers turn into vectors. */
INLINE REAL NAME(larger)(REAL a, REAL b) {
    const REAL larger = b <= a ? a : b;
    return a == a ? larger : a;
}

INLINE void NAME(maximum)(ARGUMENTS) {
    OPEN
    FOR_BLOCKS(VECTORS && rows && columns, n, {
        const NAME(block_t) p = BLOCK(k);
        NAME(store_exact)(half + k, NAME(larger)(NAME(larger)(p.a, p.b), NAME(larger)(p.c, p.d)));
    })
}

/* The first of equals takes the gradient, as in torch. */
INLINE void NAME(maximum_backward)(ARGUMENTS) {
    OPEN
    const NUMBER *source = t.source + run->full, *maxima = t.maxima + run->half;
    FOR_BLOCKS(VECTORS && rows && columns, n, {
        const NAME(block_t) p = NAME(load_block)(source + step * k, right, down, columns, rows, pairs, 1);
        const REAL grad = NAME(load)(half + k), best = NAME(load)(maxima + k);
        const REAL for_b = p.a == best ? 0 : grad, for_c = p.b == best ? 0 : for_b, for_d = p.c == best ? 0 : for_c;
        const NAME(block_t) block = {p.a == best ? grad : 0, p.b == best ? for_b : 0, p.c == best ? for_c : 0, for_d};
        NAME(store_block)(full + step * k, right, down, columns, rows, pairs, 0, block);
    })
}

INLINE void NAME(average)(ARGUMENTS) {
    OPEN
    FOR_BLOCKS(VECTORS && rows && columns, n, {
        const NAME(block_t) p = BLOCK(k);
        NAME(store)(half + k, ((p.a + p.c) + (p.b + p.d)) * (REAL)0.25);
    })
}

INLINE void NAME(average_backward)(ARGUMENTS) {
    OPEN
    FOR_BLOCKS(VECTORS && rows && columns, n, {
        const REAL part = NAME(load)(half + k) * (REAL)0.25;
        const NAME(block_t) block = {part, part, part, part};
        NAME(store_block)(full + step * k, right, down, columns, rows, pairs, 1, block);
    })
}

/* Twice the four bands of a block. */
#define BANDS(p)                                                                                                      \
    const REAL low_left = p.a + p.c, low_right = p.b + p.d, high_left = p.a - p.c, high_right = p.b - p.d;            \
    const REAL l = low_left + low_right, h = high_left + high_right;                                                  \
    const REAL v = low_left - low_right, d = high_left - high_right;
/* Half the weight of block k of a run that has one channel, or one per block. */
#define WEIGHT(band, k) ((REAL)0.5 * weight[(band) * t.channels + (pairs ? 0 : (k))])
#define MAGNITUDE(x) ((x) < 0 ? -(x) : (x))
/* The gradient of a modulus. In two selections, which compilers turn into vectors. */
INLINE REAL NAME(signed)(REAL x, REAL grad) {
    const REAL turned = x < 0 ? -grad : grad;
    return x == 0 ? 0 : turned;
}

INLINE void NAME(moduli)(ARGUMENTS) {
    OPEN
    const REAL *weight = t.weight + run->channel;
    FOR_BLOCKS(VECTORS && rows && columns, n, {
        const NAME(block_t) p = BLOCK(k);
        BANDS(p)
        NAME(store)(half + k, WEIGHT(0, k) * l + WEIGHT(1, k) * MAGNITUDE(h) + WEIGHT(2, k) * MAGNITUDE(v) +
                                  WEIGHT(3, k) * MAGNITUDE(d));
    })
}

/* Gradients of the maps, from `source` that lie as they do, and of the weights, summed over a unit. */
INLINE void NAME(moduli_backward)(ARGUMENTS) {
    OPEN
    const REAL *weight = t.weight + run->channel;
    const NUMBER *source = t.source + run->full;
    REAL *partial = t.partial + 4 * run->unit * (t.last ? t.channels : 1);
#define STEP                                                                                                          \
    const NAME(block_t) p = NAME(load_block)(source + step * k, right, down, columns, rows, pairs, 1);                \
    BANDS(p)                                                                                                          \
    const REAL grad = NAME(load)(half + k), half_grad = grad * (REAL)0.5 * (REAL)((int)k >= (int)part_);              \
    const REAL gl = WEIGHT(0, k) * grad, gh = NAME(signed)(h, WEIGHT(1, k) * grad);                                   \
    const REAL gv = NAME(signed)(v, WEIGHT(2, k) * grad), gd = NAME(signed)(d, WEIGHT(3, k) * grad);                  \
    const NAME(block_t) block = {(gl + gv) + (gh + gd), (gl - gv) + (gh - gd), (gl + gv) - (gh + gd),                 \
                                 (gl - gv) - (gh - gd)};                                                              \
    NAME(store_block)(full + step * k, right, down, columns, rows, pairs, 1, block);
    if (t.last) {
        FOR_BLOCKS(VECTORS && rows && columns, n, {
            STEP
            partial[k] += half_grad * l;
            partial[k + t.channels] += half_grad * MAGNITUDE(h);
            partial[k + 2 * t.channels] += half_grad * MAGNITUDE(v);
            partial[k + 3 * t.channels] += half_grad * MAGNITUDE(d);
        })
        return;
    }
    REAL sum[4][16] = {{0}};
    FOR_BLOCKS(VECTORS && rows && columns, n, {
        STEP
        sum[0][k - begin_] += half_grad * l;
        sum[1][k - begin_] += half_grad * MAGNITUDE(h);
        sum[2][k - begin_] += half_grad * MAGNITUDE(v);
        sum[3][k - begin_] += half_grad * MAGNITUDE(d);
    })
    for (int band = 0; band < 4; band++)
        for (int lane = 0; lane < 16; lane++) partial[band] += sum[band][lane];
#undef STEP
}

#define TASK(...)                                                                                                     \
    const NAME(task_t) task = {.full = full, .half = half, .channels = shape->channels, .last = shape->last,          \
                               __VA_ARGS__};

void NAME(wavpool_max2x2)(NUMBER *full, NUMBER *half, const shape_t *shape, int threads) {
    TASK(.source = 0)
    SWEEP(shape, threads, NAME(maximum), &task)
}

void NAME(wavpool_max2x2_backward)(NUMBER *full, NUMBER *half, const NUMBER *source, const NUMBER *maxima,
                                   const shape_t *shape, int threads) {
    TASK(.source = source, .maxima = maxima)
    SWEEP(shape, threads, NAME(maximum_backward), &task)
}

void NAME(wavpool_average2x2)(NUMBER *full, NUMBER *half, const shape_t *shape, int threads) {
    TASK(.source = 0)
    SWEEP(shape, threads, NAME(average), &task)
}

void NAME(wavpool_average2x2_backward)(NUMBER *full, NUMBER *half, const shape_t *shape, int threads) {
    TASK(.source = 0)
    SWEEP(shape, threads, NAME(average_backward), &task)
}

void NAME(wavpool_moduli2x2)(NUMBER *full, NUMBER *half, const REAL *weight, const shape_t *shape, int threads) {
    TASK(.weight = weight)
    SWEEP(shape, threads, NAME(moduli), &task)
}

void NAME(wavpool_moduli2x2_backward)(NUMBER *full, NUMBER *half, const REAL *weight, const NUMBER *source,
                                      REAL *partial, const shape_t *shape, int threads) {
    TASK(.weight = weight, .source = source, .partial = partial)
    SWEEP(shape, threads, NAME(moduli_backward), &task)
}

#undef REAL
#undef NUMBER
#undef VECTORS
#undef NAME
#undef OPEN
#undef BLOCK
#undef ARGUMENTS
#undef BANDS
#undef WEIGHT
#undef MAGNITUDE
#undef TASK
