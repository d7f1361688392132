/* words_of_scores and words_at_most: every set has ref's answers, and ref's are in the order of the scores.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "kernel_cases.h"

enum { N = 700 };

static void words_of_scores_equal_ref(void **state) {
    (void)state;
    struct draw draw = {.seed = 61};
    static float scores[N];
    static uint32_t expected[N + 1], actual[N + 1];
    for (int i = 0; i < 300; i++) {
        const int64_t n = draw_between(&draw, 0, N);
        draw_floats(&draw, (enum flavour)(i % FLAVOUR_COUNT), n, scores);
        expected[n] = actual[n] = 7;
        kernels_at_level(0)->words_of_scores(scores, n, expected);
        for (int level = 1; level <= vector_levels(); level++) {
            kernels_at_level(level)->words_of_scores(scores, n, actual);
            assert_memory_equal(expected, actual, (size_t)(n + 1) * sizeof *actual);
        }
    }
}

static void words_fall_as_scores_rise(void **state) {
    (void)state;
    const float scores[] = {INFINITY, 1e30f, 2, 1.5f, 1e-42f, 0, -1e-42f, -1, -1.25f, -3e8, -INFINITY, NAN};
    enum { N_SCORES = sizeof scores / sizeof *scores };
    const float zeros[] = {0.0f, -0.0f, NAN, -NAN};
    for (int level = 0; level <= vector_levels(); level++) {
        uint32_t words[N_SCORES];
        kernels_at_level(level)->words_of_scores(scores, N_SCORES, words);
        for (int i = 1; i < N_SCORES; i++)
            assert_true(words[i] > words[i - 1]);
        assert_int_equal(words[N_SCORES - 1], UINT32_MAX);
        kernels_at_level(level)->words_of_scores(zeros, 4, words);
        assert_int_equal(words[0], words[1]);
        assert_true(words[2] == UINT32_MAX && words[3] == UINT32_MAX);
    }
}

static void words_at_most_equal_ref(void **state) {
    (void)state;
    struct draw draw = {.seed = 62};
    static uint32_t words[N];
    static int32_t expected[N], actual[N + 1];
    for (int i = 0; i < 600; i++) {
        const int64_t n = draw_between(&draw, 0, N);
        const uint64_t mask = i % 3 == 0 ? 15 : UINT64_MAX; /* ties, or the whole range */
        for (int64_t j = 0; j < n; j++)
            words[j] = (uint32_t)(draw_bits(&draw) & mask);
        const uint32_t limit = i % 10 == 9   ? UINT32_MAX
                               : i % 10 == 8 ? 0
                                             : (uint32_t)(draw_bits(&draw) & mask);
        const int64_t n_expected = kernels_at_level(0)->words_at_most(words, n, limit, expected);
        for (int level = 1; level <= vector_levels(); level++) {
            actual[n] = -7; /* no further than n */
            assert_int_equal(kernels_at_level(level)->words_at_most(words, n, limit, actual), n_expected);
            assert_memory_equal(expected, actual, (size_t)n_expected * sizeof *actual);
            assert_int_equal(actual[n], -7);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_of_scores_equal_ref),
        cmocka_unit_test(words_fall_as_scores_rise),
        cmocka_unit_test(words_at_most_equal_ref),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
