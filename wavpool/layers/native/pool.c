/* Max pooling of the responses of all levels over hidden units, bands and levels, and its adjoint, in one pass.

   What wins is noted in a byte an output: 1 + its position in the window, counted over bands, levels and hidden units,
   which is also the order of ties; 0 is the padding. */

#include <math.h>
#include <stdint.h>

typedef struct {
    int64_t hidden, used;   /* units of a level, and how many of them reach an output */
    int64_t front, windows; /* zeros before them; outputs a band */
} level_t;

typedef struct {
    int64_t levels, bands, features;
    int64_t kernel, band_kernel, level_kernel;
    const level_t *level;
} plan_t;

/* Where the responses (batch, bands, hidden) of one level lie; their hidden axis is contiguous. */
typedef struct {
    void *data;
    int64_t batch_stride, band_stride;
} place_t;

static int64_t smallest(int64_t a, int64_t b) { return a < b ? a : b; }

#define REAL float
#define INDEX int32_t
#define NAME(name) name##_f32
#include "pool_real.h"
#undef REAL
#undef INDEX
#undef NAME

#define REAL double
#define INDEX int64_t
#define NAME(name) name##_f64
#include "pool_real.h"
