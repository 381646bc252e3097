/* One precision of pool.c: REAL is the number, INDEX an integer as wide, NAME(x) the name of a function for it. */

/* Best of a window and a candidate, and which it is: ties keep the first, NaN stays. Selects alone, for vector code. */
#define JOIN(j, candidate, code_) do { \
        const REAL value = candidate; \
        const REAL best = out[j]; \
        arg[j] = value > best ? (INDEX)(code_) : arg[j]; \
        const REAL larger = value > best ? value : best; \
        out[j] = value != value ? value : larger; \
    } while (0)

/* Join a row of responses into a row of outputs. Apart from `pool`, or gcc does not see that nothing overlaps. */
__attribute__((noinline)) static void NAME(row)(REAL *restrict out, INDEX *restrict arg, const REAL *restrict r,
                                                const level_t *level, int64_t kernel, int first, INDEX code) {
    const int64_t lead = smallest(level->front / kernel, level->windows);
    const int64_t partial = lead < level->windows ? level->front % kernel : 0;
    int64_t i = 0; /* next response */
    if (first)
        for (int64_t j = 0; j < level->windows; j++) out[j] = -INFINITY, arg[j] = code;
    for (int64_t j = 0; j < lead; j++) JOIN(j, 0, 0);
    out += lead, arg += lead;
    if (partial) {
        JOIN(0, 0, 0);
        for (int64_t k = partial; k < kernel && i < level->used; k++, i++) JOIN(0, r[i], code + k);
        out++, arg++;
    }
    const int64_t whole = (level->used - i) / kernel;
    r += i;
    if (kernel == 1) {
        for (int64_t w = 0; w < whole; w++) JOIN(w, r[w], code);
    } else if (kernel == 2) {
        for (int64_t w = 0; w < whole; w++) {
            const REAL a = r[2 * w], b = r[2 * w + 1];
            const INDEX winner = b > a ? code + 1 : code;
            const REAL larger = b > a ? b : a;
            const REAL pair = b != b ? b : larger;
            JOIN(w, pair, winner);
        }
    } else {
        for (int64_t w = 0; w < whole; w++)
            for (int64_t k = 0; k < kernel; k++) JOIN(w, r[w * kernel + k], code + k);
    }
    for (int64_t k = 0; i + whole * kernel + k < level->used; k++) JOIN(whole, r[whole * kernel + k], code + k);
}
#undef JOIN

/* The gradient of every response: that of its output where it won, else zero. */
__attribute__((noinline)) static void NAME(scatter)(REAL *restrict r, const REAL *restrict grad,
                                                    const uint8_t *restrict arg, const level_t *level, int64_t kernel,
                                                    uint8_t code) {
#define GRADIENT(j, code_) (arg[j] == (uint8_t)(code_) ? grad[j] : 0)
    const int64_t lead = smallest(level->front / kernel, level->windows);
    const int64_t partial = lead < level->windows ? level->front % kernel : 0;
    int64_t i = 0;
    grad += lead, arg += lead;
    if (partial) {
        for (int64_t k = partial; k < kernel && i < level->used; k++, i++) r[i] = GRADIENT(0, code + k);
        grad++, arg++;
    }
    const int64_t whole = (level->used - i) / kernel;
    r += i;
    if (kernel == 2) {
        for (int64_t w = 0; w < whole; w++) {
            r[2 * w] = GRADIENT(w, code);
            r[2 * w + 1] = GRADIENT(w, code + 1);
        }
    } else {
        for (int64_t w = 0; w < whole; w++)
            for (int64_t k = 0; k < kernel; k++) r[w * kernel + k] = GRADIENT(w, code + k);
    }
    int64_t p = whole * kernel;
    for (int64_t k = 0; i + p < level->used; k++, p++) r[p] = GRADIENT(whole, code + k);
    for (; i + p < level->hidden; p++) r[p] = 0;
#undef GRADIENT
}

/* Pool image `b`, or scatter its gradients where `adjoint`. */
static void NAME(image)(REAL *features, uint8_t *arg, const place_t *place, const plan_t *plan, int64_t b,
                        int adjoint) {
    for (int64_t start = 0; start < plan->levels; start += plan->level_kernel) {
        const int64_t end = smallest(start + plan->level_kernel, plan->levels), windows = plan->level[start].windows;
        INDEX which[windows + 1]; /* as wide as the numbers, so that both are compared in one vector */
        for (int64_t v = 0; v < plan->bands; v += plan->band_kernel) {
            const int64_t stop = smallest(v + plan->band_kernel, plan->bands);
            for (int64_t n = v; n < stop; n++)
                for (int64_t l = start; l < end; l++) {
                    REAL *r = (REAL *)place[l].data + b * place[l].batch_stride + n * place[l].band_stride;
                    const int64_t code = 1 + ((n - v) * plan->level_kernel + l - start) * plan->kernel;
                    if (adjoint)
                        NAME(scatter)(r, features, arg, plan->level + l, plan->kernel, (uint8_t)code);
                    else
                        NAME(row)(features, which, r, plan->level + l, plan->kernel, n == v && l == start, (INDEX)code);
                }
            for (int64_t j = 0; !adjoint && arg && j < windows; j++) arg[j] = (uint8_t)which[j];
            features += windows;
            arg = arg ? arg + windows : arg;
        }
    }
}

/* Pool a batch; `arg` may be NULL. With `adjoint`, write the gradients of all responses instead. */
void NAME(wavpool_pool)(REAL *features, uint8_t *arg, const place_t *place, const plan_t *plan, int64_t batch,
                        int adjoint, int threads) {
    (void)threads;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t b = 0; b < batch; b++) {
        const int64_t at = b * plan->features;
        NAME(image)(features + at, arg ? arg + at : arg, place, plan, b, adjoint);
    }
}
