/* The kernels for one precision: band_pool.c includes this file with REAL, NUMBER and NAME set. */

#include "../../transforms/native/block_real.h"

typedef struct {
    NUMBER *full, *half;     /* maps, and pooled maps (or their gradients) */
    uint8_t *winner;         /* of a maximum: 0 upper left, 1 upper right, 2 lower left, 3 lower right */
    const REAL *weight;      /* of moduli: (4, channels) */
    const NUMBER *source;    /* the maps, where `full` is their gradient */
    REAL *partial;           /* gradients of the weights per unit: (units, 4, channels), of contiguous maps (units, 4) */
    int64_t channels, last;
} NAME(task_t);

#define OPEN                                                                                                          \
    const NAME(task_t) t = *(const NAME(task_t) *)task;                                                               \
    const int64_t right = run->right, down = run->down, step = pairs ? 2 : 1;                                         \
    NUMBER *full = t.full + run->full, *half = t.half + run->half;
#define BLOCK(k) NAME(load_block)(full + step * (k), right, down, columns, rows, pairs, 1)
#define ARGUMENTS const void *task, const run_t *run, int64_t n, int64_t columns, int64_t rows, int64_t pairs

/* What is not a number wins, as in torch's max_pool2d. */
INLINE REAL NAME(larger)(REAL a, REAL b) { return (b > a) | (b != b) ? b : a; }

INLINE void NAME(maximum)(ARGUMENTS) {
    OPEN
    uint8_t *winners = t.winner + run->half;
    FOR_BLOCKS(n, {
        const NAME(block_t) p = BLOCK(k);
        const REAL best = NAME(larger)(NAME(larger)(NAME(larger)(p.a, p.b), p.c), p.d);
        NAME(store)(half + k, best);
        winners[k] = p.a == best ? 0 : p.b == best ? 1 : p.c == best ? 2 : 3; /* the first of equals, as in torch */
    })
}

INLINE void NAME(maximum_alone)(ARGUMENTS) {
    OPEN
    FOR_BLOCKS(n, {
        const NAME(block_t) p = BLOCK(k);
        NAME(store)(half + k, NAME(larger)(NAME(larger)(NAME(larger)(p.a, p.b), p.c), p.d));
    })
}

INLINE void NAME(maximum_backward)(ARGUMENTS) {
    OPEN
    const uint8_t *winners = t.winner + run->half;
    FOR_BLOCKS(n, {
        const REAL grad = NAME(load)(half + k);
        const int winner = winners[k];
        const NAME(block_t) block = {winner == 0 ? grad : 0, winner == 1 ? grad : 0, winner == 2 ? grad : 0,
                                     winner == 3 ? grad : 0};
        NAME(store_block)(full + step * k, right, down, columns, rows, pairs, 0, block);
    })
}

INLINE void NAME(average)(ARGUMENTS) {
    OPEN
    FOR_BLOCKS(n, {
        const NAME(block_t) p = BLOCK(k);
        NAME(store)(half + k, ((p.a + p.c) + (p.b + p.d)) * (REAL)0.25);
    })
}

INLINE void NAME(average_backward)(ARGUMENTS) {
    OPEN
    FOR_BLOCKS(n, {
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
#define SIGN(x) ((REAL)((x) > 0) - (REAL)((x) < 0))

INLINE void NAME(moduli)(ARGUMENTS) {
    OPEN
    const REAL *weight = t.weight + run->channel;
    FOR_BLOCKS(n, {
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
    const REAL grad = NAME(load)(half + k), half_grad = grad * (REAL)0.5;                                             \
    const REAL gl = WEIGHT(0, k) * grad, gh = WEIGHT(1, k) * grad * SIGN(h);                                          \
    const REAL gv = WEIGHT(2, k) * grad * SIGN(v), gd = WEIGHT(3, k) * grad * SIGN(d);                                \
    const NAME(block_t) block = {(gl + gv) + (gh + gd), (gl - gv) + (gh - gd), (gl + gv) - (gh + gd),                 \
                                 (gl - gv) - (gh - gd)};                                                              \
    NAME(store_block)(full + step * k, right, down, columns, rows, pairs, 1, block);
    if (t.last) {
        FOR_BLOCKS_ONCE(n, {
            STEP
            partial[k] += half_grad * l;
            partial[k + t.channels] += half_grad * MAGNITUDE(h);
            partial[k + 2 * t.channels] += half_grad * MAGNITUDE(v);
            partial[k + 3 * t.channels] += half_grad * MAGNITUDE(d);
        })
        return;
    }
    REAL sum[4][8] = {{0}};
    FOR_BLOCKS_ONCE(n, {
        STEP
        sum[0][k - begin_] += half_grad * l;
        sum[1][k - begin_] += half_grad * MAGNITUDE(h);
        sum[2][k - begin_] += half_grad * MAGNITUDE(v);
        sum[3][k - begin_] += half_grad * MAGNITUDE(d);
    })
    for (int band = 0; band < 4; band++)
        for (int lane = 0; lane < 8; lane++) partial[band] += sum[band][lane];
#undef STEP
}

#define TASK(...)                                                                                                     \
    const NAME(task_t) task = {.full = full, .half = half, .channels = shape->channels, .last = shape->last,          \
                               __VA_ARGS__};

void NAME(wavpool_max2x2)(NUMBER *full, NUMBER *half, uint8_t *winner, const shape_t *shape, int threads) {
    TASK(.winner = winner)
    if (winner)
        SWEEP(shape, threads, NAME(maximum), &task)
    else
        SWEEP(shape, threads, NAME(maximum_alone), &task)
}

void NAME(wavpool_max2x2_backward)(NUMBER *full, NUMBER *half, uint8_t *winner, const shape_t *shape, int threads) {
    TASK(.winner = winner)
    SWEEP(shape, threads, NAME(maximum_backward), &task)
}

void NAME(wavpool_average2x2)(NUMBER *full, NUMBER *half, const shape_t *shape, int threads) {
    TASK(.winner = 0)
    SWEEP(shape, threads, NAME(average), &task)
}

void NAME(wavpool_average2x2_backward)(NUMBER *full, NUMBER *half, const shape_t *shape, int threads) {
    TASK(.winner = 0)
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
#undef NAME
#undef OPEN
#undef BLOCK
#undef ARGUMENTS
#undef BANDS
#undef WEIGHT
#undef MAGNITUDE
#undef SIGN
#undef TASK
