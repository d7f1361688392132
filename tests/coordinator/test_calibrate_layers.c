/* The best select layers against trying all of them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "coordinator/calibrate_layers.h"

enum { MOST_LAYERS = 10 };

/* A choice as a set of bits, first to last. */
static struct layer_choice choice_of(uint32_t bits, const struct layer_shares *shares) {
    struct layer_choice choice = {0};
    for (int32_t layer = 0; layer < shares->n_layers; layer++)
        if (bits >> layer & 1) choice.layers[choice.n++] = layer;
    layer_choice_judge(shares, &choice);
    return choice;
}

static bool is_earlier(const struct layer_choice *a, const struct layer_choice *b) {
    for (int32_t i = 0; i < a->n; i++)
        if (a->layers[i] != b->layers[i]) return a->layers[i] < b->layers[i];
    return false;
}

static struct layer_choice best_of_all(const struct layer_shares *shares, int32_t first, int32_t n) {
    struct layer_choice best = {.mean = -1};
    for (uint32_t bits = 0; bits < 1U << shares->n_layers; bits++) {
        if (__builtin_popcount(bits) != n || __builtin_ctz(bits) != first) continue;
        const struct layer_choice choice = choice_of(bits, shares);
        if (choice.mean > best.mean + 1e-12 ||
            (choice.mean > best.mean - 1e-12 && is_earlier(&choice, &best)))
            best = choice;
    }
    return best;
}

/* Recalls are multiples of 1/steps: coarse ones tie often. */
static void expect_best(uint64_t seed, int32_t n_layers, int32_t steps) {
    double share[MOST_LAYERS * MOST_LAYERS];
    for (int32_t i = 0; i < n_layers * n_layers; i++)
        share[i] = floor(rng_uniform(seed, 1, (uint64_t)i) * steps) / steps;
    const struct layer_shares shares = {n_layers, share};
    for (int32_t first = 0; first < n_layers; first++)
        for (int32_t n = 1; first + n <= n_layers; n++) {
            struct layer_choice choice;
            assert_int_equal(layer_choice_best(&shares, first, n, &choice), STATUS_OK);
            const struct layer_choice expected = best_of_all(&shares, first, n);
            assert_int_equal(choice.n, n);
            assert_memory_equal(choice.layers, expected.layers, (size_t)n * sizeof *choice.layers);
            assert_true(fabs(choice.mean - expected.mean) < 1e-12);
        }
}

static void test_best(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        expect_best(seed, 1 + (int32_t)(seed % MOST_LAYERS), 1 << 20);
        expect_best(seed, 1 + (int32_t)(seed % MOST_LAYERS), 2);
    }
}

/* Layers 0 and 1 are dense, 2 selects, 3 reads 0.5, 4 selects, 5 and 6 read 0.75 and 0.25. */
static void test_figures(void **state) {
    (void)state;
    double share[7 * 7] = {0};
    share[2 * 7 + 3] = 0.5;
    share[4 * 7 + 5] = 0.75;
    share[4 * 7 + 6] = 0.25;
    const struct layer_shares shares = {7, share};
    struct layer_choice choice = {.n = 2, .layers = {2, 4}};
    layer_choice_judge(&shares, &choice);
    assert_true(choice.mean == 0.5);
    assert_int_equal(choice.n_dense, 4);
    assert_int_equal(choice.worst_layer, 6);
    assert_true(choice.worst == 0.25);
}

/* Nobody reads: nothing is lost. */
static void test_all_dense(void **state) {
    (void)state;
    const double share[4] = {0.5, 0.5, 0, 0.5};
    const struct layer_shares shares = {2, share};
    struct layer_choice choice = {.n = 1, .layers = {1}};
    layer_choice_judge(&shares, &choice);
    assert_true(choice.mean == 1);
    assert_int_equal(choice.n_dense, 2);
    assert_int_equal(choice.worst_layer, -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_best),
        cmocka_unit_test(test_figures),
        cmocka_unit_test(test_all_dense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
