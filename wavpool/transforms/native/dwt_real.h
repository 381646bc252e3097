/* The kernels for one floating-point type: dwt.c includes this file with REAL and NAME set, and explains. */

/* Two weighted sums of rows: out0[w] = sum_j c0[j] rows[j][w], out1[w] = sum_j c1[j] rows[j][w].
   Down the columns, along a row split in even and odd samples, and for both adjoints alike. The last vector overlaps
   the one before it, so that there is no scalar rest. Long filters are summed in parts: where all samples are copies of
   one at the border, rounding errors of a single running sum add up instead of cancelling.
   The first part is no addition to zero: that would cost filters of four taps a tenth of their time. */
#define DEFINE_COMBINE(BYTES)                                                                                         \
    typedef REAL NAME(vector##BYTES) __attribute__((vector_size(BYTES), aligned(sizeof(REAL)), may_alias));           \
    static inline void NAME(combine##BYTES)(REAL *out0, REAL *out1, const REAL *const *rows, int64_t width,           \
                                            const REAL *c0, const REAL *c1, int64_t count) {                          \
        const int64_t lanes = BYTES / sizeof(REAL);                                                                   \
        int64_t w = 0;                                                                                                \
        while (w + lanes < width) {                                                                                   \
            const int64_t next = smallest(w + lanes, width - lanes);                                                  \
            NAME(vector##BYTES) sum[4] = {{0}};                                                                       \
            for (int64_t from = 0; from < count; from += PART) {                                                      \
                NAME(vector##BYTES) a = {0}, b = {0}, c = {0}, d = {0};                                               \
                for (int64_t j = from; j < smallest(from + PART, count); j++) {                                       \
                    const NAME(vector##BYTES) u = *(const NAME(vector##BYTES) *)(rows[j] + w);                        \
                    const NAME(vector##BYTES) v = *(const NAME(vector##BYTES) *)(rows[j] + next);                     \
                    a += c0[j] * u;                                                                                   \
                    b += c0[j] * v;                                                                                   \
                    c += c1[j] * u;                                                                                   \
                    d += c1[j] * v;                                                                                   \
                }                                                                                                     \
                if (from)                                                                                             \
                    sum[0] += a, sum[1] += b, sum[2] += c, sum[3] += d;                                               \
                else                                                                                                  \
                    sum[0] = a, sum[1] = b, sum[2] = c, sum[3] = d;                                                   \
            }                                                                                                         \
            *(NAME(vector##BYTES) *)(out0 + w) = sum[0];                                                              \
            *(NAME(vector##BYTES) *)(out0 + next) = sum[1];                                                           \
            *(NAME(vector##BYTES) *)(out1 + w) = sum[2];                                                              \
            *(NAME(vector##BYTES) *)(out1 + next) = sum[3];                                                           \
            w = next + lanes;                                                                                         \
        }                                                                                                             \
        if (w < width) {                                                                                              \
            const int64_t last = width - lanes;                                                                       \
            NAME(vector##BYTES) sum[2] = {{0}};                                                                       \
            for (int64_t from = 0; from < count; from += PART) {                                                      \
                NAME(vector##BYTES) a = {0}, c = {0};                                                                 \
                for (int64_t j = from; j < smallest(from + PART, count); j++) {                                       \
                    const NAME(vector##BYTES) u = *(const NAME(vector##BYTES) *)(rows[j] + last);                     \
                    a += c0[j] * u;                                                                                   \
                    c += c1[j] * u;                                                                                   \
                }                                                                                                     \
                sum[0] += a, sum[1] += c;                                                                             \
            }                                                                                                         \
            *(NAME(vector##BYTES) *)(out0 + last) = sum[0];                                                           \
            *(NAME(vector##BYTES) *)(out1 + last) = sum[1];                                                           \
        }                                                                                                             \
    }
DEFINE_COMBINE(64)
DEFINE_COMBINE(32)
DEFINE_COMBINE(16)

static void NAME(combine)(REAL *out0, REAL *out1, const REAL *const *rows, int64_t width, const REAL *c0,
                          const REAL *c1, int64_t count) {
    const int64_t bytes = width * (int64_t)sizeof(REAL);
    if (bytes >= 64)
        NAME(combine64)(out0, out1, rows, width, c0, c1, count);
    else if (bytes >= 32)
        NAME(combine32)(out0, out1, rows, width, c0, c1, count);
    else if (bytes >= 16)
        NAME(combine16)(out0, out1, rows, width, c0, c1, count);
    else
        for (int64_t w = 0; w < width; w++) {
            REAL sum[2] = {0};
            for (int64_t from = 0; from < count; from += PART) {
                REAL a = 0, c = 0;
                for (int64_t j = from; j < smallest(from + PART, count); j++) {
                    a += c0[j] * rows[j][w];
                    c += c1[j] * rows[j][w];
                }
                sum[0] += a, sum[1] += c;
            }
            out0[w] = sum[0];
            out1[w] = sum[1];
        }
}

static inline REAL NAME(sample)(const REAL *row, int32_t index) { return index < 0 ? 0 : row[index]; }

/* Extended samples of a row, split in even and odd positions. */
static void NAME(split)(REAL *restrict even, REAL *restrict odd, const REAL *restrict row, const axis_t *axis) {
    const int64_t begin = axis->begin, end = begin + axis->samples, pairs = axis->samples >> 1;
    const int32_t *index = axis->index;
    for (int64_t p = 0; p < begin >> 1; p++) {
        even[p] = NAME(sample)(row, index[2 * p]);
        odd[p] = NAME(sample)(row, index[2 * p + 1]);
    }
    if (begin & 1) even[begin >> 1] = NAME(sample)(row, index[begin - 1]);
    REAL *restrict first = (begin & 1 ? odd : even) + (begin >> 1);
    REAL *restrict second = (begin & 1 ? even : odd) + ((begin + 1) >> 1);
    for (int64_t k = 0; k < pairs; k++) {
        first[k] = row[2 * k];
        second[k] = row[2 * k + 1];
    }
    if (axis->samples & 1) first[pairs] = row[2 * pairs];
    if (end & 1) odd[end >> 1] = NAME(sample)(row, index[end]);
    for (int64_t p = (end + 1) >> 1; p < axis->extended >> 1; p++) {
        even[p] = NAME(sample)(row, index[2 * p]);
        odd[p] = NAME(sample)(row, index[2 * p + 1]);
    }
}

/* Adjoint of `split`: extended samples join the samples that they are copies of. */
static void NAME(merge)(REAL *restrict row, const REAL *restrict even, const REAL *restrict odd, const axis_t *axis) {
    const REAL *phase[2] = {even, odd};
    const int64_t begin = axis->begin, end = begin + axis->samples;
    const REAL *restrict first = phase[begin & 1] + (begin >> 1);
    const REAL *restrict second = phase[~begin & 1] + ((begin + 1) >> 1);
    const int64_t pairs = axis->samples >> 1;
    for (int64_t k = 0; k < pairs; k++) {
        row[2 * k] = first[k];
        row[2 * k + 1] = second[k];
    }
    if (axis->samples & 1) row[2 * pairs] = first[pairs];
    for (int64_t q = 0; q < begin; q++)
        if (axis->index[q] >= 0) row[axis->index[q]] += phase[q & 1][q >> 1];
    for (int64_t q = end; q < axis->extended; q++)
        if (axis->index[q] >= 0) row[axis->index[q]] += phase[q & 1][q >> 1];
}

typedef struct {
    const REAL *low, *high;     /* of the analysis, in the order of the samples */
    const REAL *first, *second; /* of the adjoint: what (low, high) pairs of rows give to even and to odd samples */
} NAME(taps_t);

/* What a thread works with. */
typedef struct {
    REAL *memory;               /* all of it */
    const REAL **pointers;      /* the rows that `combine` is to sum */
    const REAL **shifted;       /* an extended row, split, from each tap's sample on */
    const REAL **bands;         /* those of an image */
    NAME(taps_t) down, along;   /* down the columns, along a row */
    REAL *even, *odd;           /* an extended row, split */
    REAL *zero;                 /* a row of zeros */
    REAL *rows[4];
    REAL *ring;                 /* the last taps / 2 pairs of rows of the vertical adjoint */
    REAL *edges;                /* extended rows outside the image */
    REAL *images[2];            /* approximations of two levels in turn */
    int64_t width;              /* between two of those rows */
} NAME(work_t);
#define WORK NAME(work_t)

static void NAME(row_analysis)(REAL *low, REAL *high, const REAL *row, const axis_t *axis, int64_t taps, WORK *work) {
    NAME(split)(work->even, work->odd, row, axis);
    NAME(combine)(low, high, work->shifted, axis->coefficients, work->along.low, work->along.high, taps);
}

/* `low` and `high` are coefficients with taps / 2 - 1 zeros before and after. */
static void NAME(row_adjoint)(REAL *row, const REAL *low, const REAL *high, const axis_t *axis, int64_t taps,
                              WORK *work) {
    const int64_t half = taps / 2;
    for (int64_t j = 0; j < half; j++) {
        work->pointers[2 * j] = low + half - 1 - j;
        work->pointers[2 * j + 1] = high + half - 1 - j;
    }
    NAME(combine)(work->even, work->odd, work->pointers, axis->extended / 2, work->along.first, work->along.second,
                  taps);
    NAME(merge)(row, work->even, work->odd, axis);
}

/* `unit` > 0: taps of a Haar bank as +-unit, so that equal samples cancel exactly. */
static NAME(taps_t) NAME(set_taps)(REAL *memory, const plan_t *plan, double unit) {
    const int64_t taps = plan->taps;
    REAL *low = memory, *high = low + taps, *first = high + taps, *second = first + taps;
    for (int64_t j = 0; j < taps; j++) {
        low[j] = (REAL)(unit > 0 ? unit * (plan->low[j] / plan->low[0]) : plan->low[j]);
        high[j] = (REAL)(unit > 0 ? unit * (plan->high[j] / plan->low[0]) : plan->high[j]);
    }
    for (int64_t j = 0; j < taps; j++) {
        first[j] = (j & 1 ? high : low)[j & ~(int64_t)1];
        second[j] = (j & 1 ? high : low)[j | 1];
    }
    return (NAME(taps_t)){low, high, first, second};
}

/* One allocation for everything a thread needs; the widest rows are those of the finest level. */
static int NAME(prepare)(WORK *work, const plan_t *plan) {
    const int64_t taps = plan->taps, slack = 64;
    int64_t width = 1, edges = 0, area = 0;
    for (int64_t l = 0; l < plan->levels; l++) {
        const axis_t *rows = &plan->level[l].rows, *columns = &plan->level[l].columns;
        width = largest(width, largest(columns->samples, columns->extended + taps));
        edges = largest(edges, rows->extended - rows->samples);
        area = largest(area, (plan->details == 3 ? rows->coefficients : 1) * columns->coefficients);
    }
    width += slack;
    area += slack;
    const int64_t reals = 8 * taps + width * (2 + 1 + 4 + taps + edges) + 2 * area;
    const int64_t pointers = 2 * taps + 1 + plan->details * plan->levels;
    REAL *memory = malloc((size_t)reals * sizeof(REAL) + (size_t)pointers * sizeof(REAL *));
    if (!memory) return 0;
    work->memory = memory;
    work->pointers = (const REAL **)memory;
    work->shifted = work->pointers + taps;
    work->bands = work->shifted + taps;
    memory = (REAL *)(work->pointers + pointers);
    work->down = NAME(set_taps)(memory, plan, plan->haar > 0);
    work->along = NAME(set_taps)(memory + 4 * taps, plan, plan->haar);
    memory += 8 * taps;
    work->even = memory, work->odd = memory + width, work->zero = memory + 2 * width;
    memset(work->zero, 0, (size_t)width * sizeof(REAL));
    memory += 3 * width;
    for (int64_t j = 0; j < taps; j++) work->shifted[j] = (j & 1 ? work->odd : work->even) + (j >> 1);
    for (int r = 0; r < 4; r++) work->rows[r] = memory + r * width;
    memory += 4 * width;
    work->ring = memory, work->edges = memory + taps * width;
    memory += (taps + edges) * width;
    work->images[0] = memory, work->images[1] = memory + area;
    work->width = width;
    return 1;
}

/* Both sides even, two taps c (1, 1) and c (1, -1): squares of four samples, no extension, everything in registers. */
static void NAME(haar_analysis)(REAL *restrict a, REAL *restrict h, REAL *restrict v, REAL *restrict d,
                                const REAL *restrict top, const REAL *restrict bottom, int64_t pairs, REAL scale) {
    for (int64_t k = 0; k < pairs; k++) {
        const REAL p = top[2 * k], q = top[2 * k + 1], r = bottom[2 * k], s = bottom[2 * k + 1];
        const REAL pr = (p + r) * scale, qs = (q + s) * scale, p_r = (p - r) * scale, q_s = (q - s) * scale;
        a[k] = pr + qs;
        h[k] = p_r + q_s;
        v[k] = pr - qs;
        d[k] = p_r - q_s;
    }
}

static void NAME(haar_adjoint)(REAL *restrict top, REAL *restrict bottom, const REAL *restrict a,
                               const REAL *restrict h, const REAL *restrict v, const REAL *restrict d, int64_t pairs,
                               REAL scale) {
    for (int64_t k = 0; k < pairs; k++) {
        const REAL even_low = (a[k] + v[k]) * scale, odd_low = (a[k] - v[k]) * scale;
        const REAL even_high = (h[k] + d[k]) * scale, odd_high = (h[k] - d[k]) * scale;
        top[2 * k] = even_low + even_high;
        top[2 * k + 1] = odd_low + odd_high;
        bottom[2 * k] = even_low - even_high;
        bottom[2 * k + 1] = odd_low - odd_high;
    }
}

static int NAME(is_haar)(const plan_t *plan, const level_t *level) {
    return plan->haar && level->rows.samples % 2 == 0 && level->columns.samples % 2 == 0;
}

static void NAME(image_analysis)(REAL *out, const REAL *x, int64_t stride, const plan_t *plan, WORK *work) {
    const int64_t taps = plan->taps;
    const REAL scale = (REAL)plan->haar;
    for (int64_t l = 0; l < plan->levels; l++) {
        const level_t *level = plan->level + l;
        const axis_t *rows = &level->rows, *columns = &level->columns;
        const int64_t width = columns->coefficients, area = rows->coefficients * width;
        REAL *const approximation = l + 1 == plan->levels ? out : work->images[l & 1];
        REAL *a = approximation, *h = out + level->details, *v = h + area, *d = v + area;
        const int haar = NAME(is_haar)(plan, level);
        for (int64_t i = 0; i < rows->coefficients; i++, a += width, h += width, v += width, d += width) {
            if (l == 0)
                for (int64_t r = 2 * i + AHEAD; r < smallest(2 * i + AHEAD + 2, rows->samples); r++)
                    prefetch(x + r * stride, columns->samples * (int64_t)sizeof(REAL));
            if (haar) {
                NAME(haar_analysis)(a, h, v, d, x + 2 * i * stride, x + (2 * i + 1) * stride, width, scale);
                continue;
            }
            for (int64_t j = 0; j < taps; j++) {
                const int32_t row = rows->index[2 * i + j];
                work->pointers[j] = row < 0 ? work->zero : x + row * stride;
            }
            NAME(combine)(work->rows[0], work->rows[1], work->pointers, columns->samples, work->down.low,
                          work->down.high, taps);
            NAME(row_analysis)(a, v, work->rows[0], columns, taps, work);
            NAME(row_analysis)(h, d, work->rows[1], columns, taps, work);
        }
        x = approximation;
        stride = width;
    }
}

/* Rows 2 p and 2 p + 1 of the extended image for every p, from a ring of the last taps / 2 pairs of rows. */
static void NAME(level_adjoint)(REAL *x, const REAL *a, const REAL *const *details, const level_t *level,
                                const plan_t *plan, WORK *work) {
    const axis_t *rows = &level->rows, *columns = &level->columns;
    const int64_t taps = plan->taps, half = taps / 2, width = columns->samples, band = columns->coefficients;
    const int64_t end = rows->begin + rows->samples;
    const REAL *h = details[0], *v = details[1], *d = details[2];
    memset(work->ring, 0, (size_t)(taps * work->width) * sizeof(REAL));
    for (int r = 0; r < 4; r++) memset(work->rows[r], 0, (size_t)work->width * sizeof(REAL));
    for (int64_t p = 0; p < rows->extended / 2; p++) {
        REAL *low = work->ring + 2 * (p % half) * work->width, *high = low + work->width;
        if (p < rows->coefficients) {
            const REAL *bands[4] = {a + p * band, v + p * band, h + p * band, d + p * band};
            for (int r = 0; r < 4; r++) memcpy(work->rows[r] + half - 1, bands[r], (size_t)band * sizeof(REAL));
            NAME(row_adjoint)(low, work->rows[0], work->rows[1], columns, taps, work);
            NAME(row_adjoint)(high, work->rows[2], work->rows[3], columns, taps, work);
        } else {
            memset(low, 0, (size_t)width * sizeof(REAL));
            memset(high, 0, (size_t)width * sizeof(REAL));
        }
        REAL *target[2];
        for (int q = 0; q < 2; q++) {
            const int64_t e = 2 * p + q;
            if (e < rows->begin)
                target[q] = work->edges + e * work->width;
            else if (e < end)
                target[q] = x + (e - rows->begin) * width;
            else
                target[q] = work->edges + (e - rows->samples) * work->width;
        }
        for (int64_t j = 0; j < half; j++) {
            const REAL *ring = work->ring + 2 * ((p - j + taps) % half) * work->width;
            work->pointers[2 * j] = ring;
            work->pointers[2 * j + 1] = ring + work->width;
        }
        NAME(combine)(target[0], target[1], work->pointers, width, work->down.first, work->down.second, taps);
    }
    for (int64_t e = 0; e < rows->extended; e++) {
        if ((e >= rows->begin && e < end) || rows->index[e] < 0) continue;
        const REAL *edge = work->edges + (e < rows->begin ? e : e - rows->samples) * work->width;
        REAL *row = x + rows->index[e] * width;
        for (int64_t w = 0; w < width; w++) row[w] += edge[w];
    }
}

/* `bands` in the order of the packed coefficients. */
static void NAME(image_adjoint)(REAL *x, const REAL *const *bands, const plan_t *plan, WORK *work) {
    const REAL *a = bands[0];
    for (int64_t l = plan->levels - 1; l >= 0; l--) {
        const level_t *level = plan->level + l;
        const REAL *const *details = bands + 1 + 3 * (plan->levels - 1 - l);
        REAL *const image = l == 0 ? x : work->images[l & 1];
        const int64_t width = level->columns.coefficients;
        if (NAME(is_haar)(plan, level))
            for (int64_t i = 0; i < level->rows.coefficients; i++)
                NAME(haar_adjoint)(image + 4 * i * width, image + (4 * i + 2) * width, a + i * width,
                                   details[0] + i * width, details[1] + i * width, details[2] + i * width, width,
                                   (REAL)plan->haar);
        else
            NAME(level_adjoint)(image, a, details, level, plan, work);
        a = image;
    }
}

static void NAME(scale)(REAL *row, int64_t width, double factor) {
    for (int64_t w = 0; w < width; w++) row[w] *= (REAL)factor;
}

static void NAME(signal_analysis)(REAL *out, const REAL *x, const plan_t *plan, WORK *work) {
    for (int64_t l = 0; l < plan->levels; l++) {
        const level_t *level = plan->level + l;
        REAL *low = l + 1 == plan->levels ? out : work->images[l & 1];
        NAME(row_analysis)(low, out + level->details, x, &level->columns, plan->taps, work);
        if (plan->haar > 0) {
            NAME(scale)(low, level->columns.coefficients, plan->low[0]);
            NAME(scale)(out + level->details, level->columns.coefficients, plan->low[0]);
        }
        x = low;
    }
}

static void NAME(signal_adjoint)(REAL *x, const REAL *const *bands, const plan_t *plan, WORK *work) {
    const REAL *low = bands[0];
    const int64_t pad = plan->taps / 2 - 1;
    for (int64_t l = plan->levels - 1; l >= 0; l--) {
        const axis_t *axis = &plan->level[l].columns;
        REAL *row = l == 0 ? x : work->images[l & 1];
        const REAL *pair[2] = {low, bands[plan->levels - l]};
        for (int r = 0; r < 2; r++) {
            memset(work->rows[r], 0, (size_t)work->width * sizeof(REAL));
            memcpy(work->rows[r] + pad, pair[r], (size_t)axis->coefficients * sizeof(REAL));
        }
        NAME(row_adjoint)(row, work->rows[0], work->rows[1], axis, plan->taps, work);
        if (plan->haar > 0) NAME(scale)(row, axis->samples, plan->low[0]);
        low = row;
    }
}

/* `count` images of one size, `stride` apart, `row_stride` between the rows of one (plan->details = 1: signals).
   Returns 0, or 1 where memory is short. */
int NAME(wavpool_analysis)(REAL *out, const REAL *x, int64_t count, int64_t stride, int64_t row_stride,
                           const plan_t *plan, int threads) {
    int failed = 0;
#pragma omp parallel for num_threads(threads) reduction(| : failed) if (threads > 1)
    for (int t = 0; t < threads; t++) {
        WORK work;
        if (!NAME(prepare)(&work, plan)) {
            failed = 1;
            continue;
        }
        for (int64_t b = count * t / threads; b < count * (t + 1) / threads; b++) {
            if (plan->details == 3)
                NAME(image_analysis)(out + b * plan->total, x + b * stride, row_stride, plan, &work);
            else
                NAME(signal_analysis)(out + b * plan->total, x + b * stride, plan, &work);
        }
        free(work.memory);
    }
    return failed;
}

/* The adjoint, to contiguous images `stride` apart. `bands` are in the order of the packed coefficients, wherever each
   lies; band k of image b stands at bands[k] + b strides[k]. */
int NAME(wavpool_adjoint)(REAL *x, const REAL *const *bands, const int64_t *strides, int64_t count, int64_t stride,
                          const plan_t *plan, int threads) {
    int failed = 0;
#pragma omp parallel for num_threads(threads) reduction(| : failed) if (threads > 1)
    for (int t = 0; t < threads; t++) {
        WORK work;
        if (!NAME(prepare)(&work, plan)) {
            failed = 1;
            continue;
        }
        for (int64_t b = count * t / threads; b < count * (t + 1) / threads; b++) {
            for (int64_t k = 0; k < 1 + plan->details * plan->levels; k++) work.bands[k] = bands[k] + b * strides[k];
            if (plan->details == 3)
                NAME(image_adjoint)(x + b * stride, work.bands, plan, &work);
            else
                NAME(signal_adjoint)(x + b * stride, work.bands, plan, &work);
        }
        free(work.memory);
    }
    return failed;
}
