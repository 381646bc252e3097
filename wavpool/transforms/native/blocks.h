/* Sweeps over the 2 x 2 blocks of feature maps (B, C, H, W), contiguous or channels last, in three precisions.

   A body handles a run of n blocks: of one row (contiguous) or of all channels at one place (channels last). Odd lengths
   leave blocks without a lower row or a right column; a body is compiled apart for whole blocks, the common case. */

#ifndef WAVPOOL_BLOCKS_H
#define WAVPOOL_BLOCKS_H

#include <stdint.h>
#include <string.h>

typedef struct {
    int64_t batch, channels, height, width;
    int64_t stride[4]; /* of the full-size map, in numbers */
    int64_t last;      /* whether everything else is channels last, too; else contiguous */
    int64_t repeat;    /* an odd length is extended by its last sample, else by a zero */
} shape_t;

typedef struct {
    int64_t full;             /* offset of the upper left sample of the first block */
    int64_t half;             /* offset of the first block in a half-size map of `channels` */
    int64_t band;             /* offset of the first block in a half-size map of 4 `channels` */
    int64_t channel, unit;    /* channel of the first block; number of the unit that the run belongs to */
    int64_t n, pairs;         /* blocks; whether samples of the full-size map lie in pairs: a row, not channels */
    int64_t right, down;      /* distances inside a block */
    int64_t columns, rows;    /* whether there are right columns, lower rows */
} run_t;

typedef uint16_t bf16;

static inline float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
static inline uint32_t to_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}
/* To the nearest, ties to even. NaNs need no care: those that sums of bf16 pass on have zeros in the lower half. */
static inline uint32_t rounded(float x) {
    const uint32_t bits = to_bits(x);
    return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}
static inline float load_bf16(const bf16 *x) { return from_bits((uint32_t)*x << 16); }
static inline float load_f32(const float *x) { return *x; }
static inline double load_f64(const double *x) { return *x; }
/* Of values that are exact in memory's precision. */
static inline void store_exact_bf16(bf16 *x, float value) { *x = to_bits(value) >> 16; }
static inline void store_exact_f32(float *x, float value) { *x = value; }
static inline void store_exact_f64(double *x, double value) { *x = value; }
static inline void store_bf16(bf16 *x, float value) { *x = rounded(value); }
static inline void store_f32(float *x, float value) { *x = value; }
static inline void store_f64(double *x, double value) { *x = value; }

static inline void load_pair_f32(const float *x, float *a, float *b) { *a = x[0], *b = x[1]; }
static inline void load_pair_f64(const double *x, double *a, double *b) { *a = x[0], *b = x[1]; }
static inline void store_pair_f32(float *x, float a, float b) { x[0] = a, x[1] = b; }
static inline void store_pair_f64(double *x, double a, double b) { x[0] = a, x[1] = b; }
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ /* a pair in one word, since compilers shuffle single ones at a cost */
static inline void load_pair_bf16(const bf16 *x, float *a, float *b) {
    uint32_t pair;
    memcpy(&pair, x, 4);
    *a = from_bits(pair << 16), *b = from_bits(pair & 0xffff0000u);
}
static inline void store_pair_bf16(bf16 *x, float a, float b) {
    const uint32_t pair = rounded(a) | (uint32_t)rounded(b) << 16;
    memcpy(x, &pair, 4);
}
#else
static inline void load_pair_bf16(const bf16 *x, float *a, float *b) { *a = load_bf16(x), *b = load_bf16(x + 1); }
static inline void store_pair_bf16(bf16 *x, float a, float b) { x[0] = rounded(a), x[1] = rounded(b); }
#endif

static inline int64_t band_distance(const shape_t *s) {
    return s->last ? s->channels : s->channels * ((s->height + 1) / 2) * ((s->width + 1) / 2);
}

#define INLINE static inline __attribute__((always_inline))

/* A body is an inline function of this type. What follows the run are its own values, as constants where it pays. */
typedef void body_t(const void *task, const run_t *run, int64_t n, int64_t columns, int64_t rows, int64_t pairs);

INLINE void call(body_t *body, const void *task, const run_t *run) {
    if (!run->rows && !run->columns)
        body(task, run, run->n, 0, 0, 0);
    else if (!run->rows)
        body(task, run, run->n, 1, 0, run->pairs);
    else if (!run->columns)
        body(task, run, run->n, 0, 1, 0);
    else if (run->pairs)
        body(task, run, run->n, 1, 1, 1);
    else
        body(task, run, run->n, 1, 1, 0);
}

/* Units are independent: a row of blocks (channels last), or a map (contiguous). */
static inline int64_t unit_count(const shape_t *s) {
    return s->batch * (s->last ? (s->height + 1) / 2 : s->channels);
}

INLINE void unit(const shape_t *s, int64_t number, body_t *body, const void *task) {
    const int64_t h = (s->height + 1) / 2, w = (s->width + 1) / 2, *stride = s->stride;
    if (s->last) {
        const int64_t b = number / h, i = number % h;
        for (int64_t j = 0; j < w; j++) {
            const int64_t place = (number * w + j) * s->channels;
            const run_t run = {
                .full = b * stride[0] + 2 * i * stride[2] + 2 * j * stride[3], .half = place, .band = 4 * place,
                .channel = 0, .unit = number, .n = s->channels, .pairs = 0, .right = stride[3], .down = stride[2],
                .columns = 2 * j + 1 < s->width, .rows = 2 * i + 1 < s->height};
            call(body, task, &run);
        }
        return;
    }
    const int64_t b = number / s->channels, c = number % s->channels;
    for (int64_t i = 0; i < h; i++) {
        run_t run = {
            .full = b * stride[0] + c * stride[1] + 2 * i * stride[2], .half = (number * h + i) * w,
            .band = ((4 * b * s->channels + c) * h + i) * w, .channel = c, .unit = number, .n = s->width / 2,
            .pairs = 1, .right = 1, .down = stride[2], .columns = 1, .rows = 2 * i + 1 < s->height};
        call(body, task, &run);
        if (s->width % 2) {
            run.full += s->width - 1, run.half += w - 1, run.band += w - 1;
            run.n = 1, run.pairs = 0, run.columns = 0;
            call(body, task, &run);
        }
    }
}

/* Keeps compilers from making vectors of rare loops, which would take them minutes. */
#define SCALAR __asm__ volatile("" ::: "memory");

/* A statement for all blocks k of a run; `whole` is a constant. Whole runs go in parts of constant
   length, which compilers turn into vectors without a rest: the last part overlaps the one before it. Statements
   that add up skip `k < part_`; `k - begin_` counts the blocks of a part. */
#define PARTS(n, length, ...)                                                                                         \
    for (int64_t part_ = 0; part_ < (n); part_ += (length)) {                                                         \
        const int64_t begin_ = part_ + (length) <= (n) ? part_ : (n) - (length);                                      \
        _Pragma("GCC ivdep") for (int64_t k = begin_; k < begin_ + (length); k++) __VA_ARGS__                         \
    }
#define FOR_BLOCKS(whole, n, ...)                                                                                     \
    if ((whole) && (n) >= 16)                                                                                         \
        PARTS(n, 16, __VA_ARGS__)                                                                                      \
    else if ((whole) && (n) >= 4)                                                                                     \
        PARTS(n, 4, __VA_ARGS__)                                                                                      \
    else                                                                                                              \
        for (int64_t k = 0; k < (n); k++) {                                                                           \
            const int64_t part_ = k, begin_ = k;                                                                      \
            (void)part_, (void)begin_;                                                                                \
            SCALAR                                                                                                    \
            __VA_ARGS__                                                                                               \
        }

#define SWEEP(shape, threads, body, task)                                                                             \
    _Pragma("omp parallel for schedule(static) num_threads(threads) if (threads > 1)")                                \
    for (int64_t number = 0; number < unit_count(shape); number++) unit(shape, number, body, task);

#endif
