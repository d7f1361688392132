/* The best few of many logits against sorting them all: ties, NaN, infinities, limits beyond n. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/rng.h"
#include "worker/top_candidates.h"

enum { MAX_N = 700 };

/* Plain selection: repeatedly the best that is left. */
static int32_t naive(const float *values, int32_t n, int32_t limit, int32_t *order) {
    char used[MAX_N] = {0};
    const int32_t kept = n < limit ? n : limit;
    for (int32_t k = 0; k < kept; k++) {
        int32_t best = -1;
        for (int32_t i = 0; i < n; i++) {
            if (used[i]) continue;
            const int better =
                best < 0 || (isnan(values[best]) && !isnan(values[i])) || values[i] > values[best];
            if (better) best = i;
        }
        used[best] = 1;
        order[k] = best;
    }
    return kept;
}

static void agrees_with_naive_selection(void **state) {
    (void)state;
    for (uint64_t round = 0; round < 3000; round++) {
        float values[MAX_N];
        const int32_t n = (int32_t)(rng_uniform(1, round, 0) * MAX_N);
        const int32_t limit = 1 + (int32_t)(rng_uniform(1, round, 1) * STEP_MAX_CANDIDATES);
        const double levels = 1 + rng_uniform(1, round, 2) * 50; /* few levels: many ties */
        for (int32_t i = 0; i < n; i++) {
            const double u = rng_uniform(2, round, (uint64_t)i);
            values[i] = u < 0.01   ? NAN
                        : u < 0.02 ? INFINITY
                        : u < 0.03 ? -INFINITY
                                   : (float)floor(u * levels);
        }
        struct candidate best[STEP_MAX_CANDIDATES];
        int32_t order[STEP_MAX_CANDIDATES];
        const int32_t kept = top_candidates(values, n, 1000, limit, best);
        assert_int_equal(kept, naive(values, n, limit, order));
        for (int32_t i = 0; i < kept; i++)
            assert_int_equal(best[i].token, 1000 + order[i]);
    }
}

static void merged_parts_equal_the_whole(void **state) {
    (void)state;
    for (uint64_t round = 0; round < 500; round++) {
        float values[MAX_N];
        for (int32_t i = 0; i < MAX_N; i++)
            values[i] = (float)floor(rng_uniform(3, round, (uint64_t)i) * 40);
        struct candidate whole[STEP_MAX_CANDIDATES], parts[3 * STEP_MAX_CANDIDATES],
            merged[STEP_MAX_CANDIDATES];
        const int32_t limit = 1 + (int32_t)(rng_uniform(4, round, 0) * 100);
        const int32_t cuts[4] = {0, (int32_t)(round % 300), 400, MAX_N};
        int32_t n = 0;
        for (int part = 0; part < 3; part++)
            n += top_candidates(values + cuts[part], cuts[part + 1] - cuts[part], cuts[part], limit,
                                parts + n);
        const int32_t kept = top_candidates(values, MAX_N, 0, limit, whole);
        assert_int_equal(top_candidates_sort(parts, n, limit, merged), kept);
        assert_memory_equal(merged, whole, (size_t)kept * sizeof *whole);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_naive_selection),
        cmocka_unit_test(merged_parts_equal_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
