/* Multi-level discrete wavelet transforms of rows and of images, and their adjoints, in one pass over memory a level.

   One level along one axis is  out[i] = sum_j taps[j] x[index[2 i + j]]:  an index map says which sample stands at each
   position of the extended signal (-1: a zero), so that every boundary mode is the same loop. The adjoint adds to
   x[index[...]] instead. Columns go first, as sums of whole rows; then the two rows, while they are in the cache, along
   themselves, split in even and odd samples so that this too is sums of whole rows.

   Coefficients of one image lie flat, [A, (H, V, D) of the coarsest level, ..., (H, V, D) of the finest], at offsets
   given by the caller. Images are independent and go to the threads of OpenMP. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t samples, coefficients; /* a row's length, and that of each of its two bands */
    int64_t begin;                 /* positions begin .. begin + samples - 1 hold the samples in order */
    int64_t extended;              /* 2 (coefficients - 1) + taps positions */
    const int32_t *index;
} axis_t;

typedef struct {
    axis_t rows, columns; /* along the height, along the width */
    int64_t details;      /* offset of the three (of a row: the one) detail bands in the packed coefficients */
} level_t;

typedef struct {
    int64_t details; /* bands a level: 3 of images, 1 of signals */
    int64_t levels, taps;
    double haar; /* 0, or for taps c (1, 1) and c (1, -1) the factor of `along`: of images c^2, of signals 1 */
    const double *low, *high;
    const level_t *level; /* finest first */
    int64_t total;        /* coefficients of an image */
} plan_t;

enum { AHEAD = 8, LINE = 64, PART = 16 }; /* rows to ask for before they are needed; bytes of a cache line; taps */

/* No processor foresees the next rows where each crosses into other pages of memory. */
static void prefetch(const void *row, int64_t bytes) {
    for (int64_t k = 0; k < bytes; k += LINE) __builtin_prefetch((const char *)row + k);
}

static int64_t largest(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t smallest(int64_t a, int64_t b) { return a < b ? a : b; }

#define REAL float
#define NAME(name) name##_f32
#include "dwt_real.h"
#undef REAL
#undef NAME
#undef DEFINE_COMBINE
#undef WORK

#define REAL double
#define NAME(name) name##_f64
#include "dwt_real.h"
