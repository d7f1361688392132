/* The functions of one vector: norm, rotation, silu, exp and its sums, additions, conversions. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernel_cases.h"

enum { MOST = 300 };

static float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Runs every function on one random input; the results one after another. */
struct results {
    float norm[MOST], silu[MOST], sum[MOST], exp[MOST], rotated[MOST], max, exp_sum;
};

static void run_all(const struct kernels *kernels, const float *a, const float *b, int64_t n,
                    struct results *out) {
    memset(out, 0, sizeof *out);
    memcpy(out->norm, a, (size_t)n * sizeof *a);
    kernels->rms_norm(out->norm, b, 1e-6f, n, out->norm);
    memcpy(out->silu, a, (size_t)n * sizeof *a);
    kernels->silu_mul(out->silu, b, n);
    memcpy(out->sum, a, (size_t)n * sizeof *a);
    kernels->add(b, n, out->sum);
    kernels->exp(a, n, out->exp);
    memcpy(out->rotated, a, (size_t)n * sizeof *a);
    kernels->rope(out->rotated, b, n / 2 * 2);
    kernels->exp_sum(a, n, 0.7f, &out->max, &out->exp_sum);
}

static void sets_equal_ref(void **state) {
    (void)state;
    struct draw draw = {.seed = 31};
    static struct results expected, actual;
    for (int64_t n = 1; n <= MOST; n++)
        for (enum flavour flavour = 0; flavour < FLAVOUR_COUNT; flavour++) {
            float a[MOST], b[MOST];
            draw_floats(&draw, flavour, n, a);
            draw_floats(&draw, flavour, n, b);
            for (int64_t i = 0; i < n && flavour == FLAVOUR_PLAIN; i++)
                a[i] *= 120; /* all of exp's range */
            run_all(kernels_at_level(0), a, b, n, &expected);
            for (int level = 1; level <= vector_levels(); level++) {
                run_all(kernels_at_level(level), a, b, n, &actual);
                assert_same_bits(expected.norm, actual.norm, n, "rms_norm");
                assert_same_bits(expected.silu, actual.silu, n, "silu_mul");
                assert_same_bits(expected.sum, actual.sum, n, "add");
                assert_same_bits(expected.exp, actual.exp, n, "exp");
                assert_same_bits(expected.rotated, actual.rotated, n, "rope");
                assert_same_bits(&expected.max, &actual.max, 1, "maximum");
                assert_same_bits(&expected.exp_sum, &actual.exp_sum, 1, "exp_sum");
            }
        }
}

static void ref_is_near_the_truth(void **state) {
    (void)state;
    struct draw draw = {.seed = 32};
    enum { N = 192 };
    float a[N], b[N];
    static struct results out;
    draw_floats(&draw, FLAVOUR_PLAIN, N, a);
    draw_floats(&draw, FLAVOUR_PLAIN, N, b);
    run_all(kernels_at_level(0), a, b, N, &out);
    double squares = 0, total = 0;
    for (int i = 0; i < N; i++)
        squares += (double)a[i] * a[i];
    for (int i = 0; i < N; i++) {
        const double norm = a[i] / sqrt(squares / N + 1e-6) * b[i];
        assert_true(fabs(out.norm[i] - norm) <= 2e-6 * fabs(norm));
        const double silu = a[i] / (1 + exp(-(double)a[i])) * b[i];
        assert_true(fabs(out.silu[i] - silu) <= 4e-7 * fabs(silu));
        total += exp(((double)a[i] - out.max) * 0.7);
        const int j = i % (N / 2);
        const double x = a[j], y = a[j + N / 2], c = b[j], s = b[j + N / 2];
        const double turned = i < N / 2 ? x * c - y * s : x * s + y * c;
        assert_true(fabs(out.rotated[i] - turned) <= 2.5e-7);
    }
    assert_true(fabs(out.exp_sum - total) <= 3e-6 * total);
}

/* Every 997th float of all there are. */
static void exp_is_within_its_bound(void **state) {
    (void)state;
    const struct kernels *ref = kernels_at_level(0);
    double worst = 0;
    for (uint64_t bits = 0; bits < 1ull << 32; bits += 997) {
        const float x = float_of_bits((uint32_t)bits);
        float y;
        ref->exp(&x, 1, &y);
        const double truth = exp((double)x);
        if (isnan(x)) {
            assert_true(isnan(y));
        } else if (x > 0x1.62e42ep6f) {
            assert_true(y == INFINITY);
        } else if (x < -104) {
            assert_true(y == 0 && !signbit(y));
        } else {
            const double ulp = ldexp(1, ilogb(fmax(truth, 0x1p-126)) - 23);
            worst = fmax(worst, fabs(y - truth) / ulp);
        }
    }
    print_message("exp: at most %.4f ulp from the true value\n", worst);
    assert_true(worst <= EXP_ULPS);
}

static void exp_at_its_ends(void **state) {
    (void)state;
    const float x[] = {0,        -0.0f,     0x1.62e42ep6f, 0x1.62e430p6f, -104,
                       INFINITY, -INFINITY, 1e38f,         -1e38f,        -87.4f};
    for (int level = 0; level <= vector_levels(); level++) {
        float y[10];
        kernels_at_level(level)->exp(x, 10, y);
        assert_true(y[0] == 1 && y[1] == 1 && isfinite(y[2]) && y[3] == INFINITY && y[4] == 0);
        assert_true(y[5] == INFINITY && y[6] == 0 && y[7] == INFINITY && y[8] == 0);
        assert_true(y[9] > 0 && y[9] < 0x1p-126f); /* subnormals are kept */
    }
}

static void exp_sets_equal_ref_everywhere(void **state) {
    (void)state;
    enum { N = 4096 };
    static float x[N], expected[N], actual[N];
    for (uint64_t start = 0; start < 1ull << 32; start += (1ull << 32) / 256) {
        for (uint64_t i = 0; i < N; i++)
            x[i] = float_of_bits((uint32_t)(start + i * 4093));
        kernels_at_level(0)->exp(x, N, expected);
        for (int level = 1; level <= vector_levels(); level++) {
            kernels_at_level(level)->exp(x, N, actual);
            assert_same_bits(expected, actual, N, "exp");
        }
    }
}

static void loads_equal_ref(void **state) {
    (void)state;
    struct draw draw = {.seed = 33};
    for (enum dtype dtype = 0; dtype < DTYPE_COUNT; dtype++)
        for (int i = 0; i < 200; i++) {
            const int64_t n = dtype_layout(dtype)->block_elements * draw_between(&draw, 1, 70);
            uint8_t *bytes = must_have(dtype_bytes(dtype, n) + 1);
            draw_weights(&draw, (enum flavour)(i % FLAVOUR_COUNT), dtype, n, bytes + i % 2);
            float *expected = must_have((size_t)n * sizeof(float)),
                  *actual = must_have((size_t)n * sizeof(float));
            kernels_at_level(0)->load(bytes + i % 2, dtype, n, expected);
            for (int level = 1; level <= vector_levels(); level++) {
                kernels_at_level(level)->load(bytes + i % 2, dtype, n, actual);
                assert_same_bits(expected, actual, n, "load");
            }
            free(expected);
            free(actual);
            free(bytes);
        }
}

static void quantised_blocks_follow_ggml(void **state) {
    (void)state;
    uint8_t q8[34] = {0x00, 0x38}, q4[18] = {0x00, 0xc0}; /* scales 0.5 and -2 */
    for (int i = 0; i < 32; i++)
        q8[2 + i] = (uint8_t)(int8_t)(i - 16);
    for (int i = 0; i < 16; i++)
        q4[2 + i] = (uint8_t)(i | (15 - i) << 4);
    for (int level = 0; level <= vector_levels(); level++) {
        float x[32];
        kernels_at_level(level)->load(q8, DTYPE_Q8_0, 32, x);
        for (int i = 0; i < 32; i++)
            assert_true(x[i] == 0.5f * (float)(i - 16));
        kernels_at_level(level)->load(q4, DTYPE_Q4_0, 32, x);
        for (int i = 0; i < 32; i++)
            assert_true(x[i] == -2.0f * (float)((i < 16 ? i : 31 - i) - 8));
    }
}

/* All 65,536 halves: load keeps them, store gives them back. */
static void halves_survive_the_round_trip(void **state) {
    (void)state;
    enum { N = 65536 };
    static uint16_t halves[N], back[N];
    static float x[N];
    for (int i = 0; i < N; i++)
        halves[i] = (uint16_t)i;
    for (enum dtype dtype = DTYPE_F16; dtype <= DTYPE_BF16; dtype++)
        for (int level = 0; level <= vector_levels(); level++) {
            kernels_at_level(level)->load(halves, dtype, N, x);
            kernels_at_level(level)->store(x, N, dtype, back);
            for (int i = 0; i < N; i++) {
                if (!isnan(x[i])) assert_int_equal(back[i], halves[i]);
                const int exponent = dtype == DTYPE_F16 ? 0x7c00 : 0x7f80;
                const bool is_nan = (i & 0x7fff) > exponent, still_nan = (back[i] & 0x7fff) > exponent;
                assert_int_equal(isnan(x[i]) != 0, is_nan);
                assert_int_equal(still_nan, is_nan);
            }
        }
}

static void stores_round_to_nearest_even(void **state) {
    (void)state;
    const struct {
        float value;
        uint16_t f16, bf16;
    } cases[] = {
        {1, 0x3c00, 0x3f80},
        {-2, 0xc000, 0xc000},
        {0x1.002p0f, 0x3c00, 0x3f80},
        {0x1.006p0f, 0x3c02, 0x3f80},
        {0x1.01p0f, 0x3c04, 0x3f80},
        {0x1.03p0f, 0x3c0c, 0x3f82},
        {65519, 0x7bff, 0x4780},
        {65520, 0x7c00, 0x4780},
        {-65520, 0xfc00, 0xc780},
        {0x1p-24f, 0x0001, 0x3380},
        {0x1p-25f, 0x0000, 0x3300},
        {0x1.8p-24f, 0x0002, 0x33c0},
        {-0x1p-25f, 0x8000, 0xb300},
        {0x1.ffep-15f, 0x0400, 0x3880},
        {INFINITY, 0x7c00, 0x7f80},
        {-0.0f, 0x8000, 0x8000},
        {0x1.fffffep127f, 0x7c00, 0x7f80},
    };
    for (int level = 0; level <= vector_levels(); level++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            uint16_t half;
            kernels_at_level(level)->store(&cases[i].value, 1, DTYPE_F16, &half);
            assert_int_equal(half, cases[i].f16);
            kernels_at_level(level)->store(&cases[i].value, 1, DTYPE_BF16, &half);
            assert_int_equal(half, cases[i].bf16);
        }
}

static void stores_equal_ref(void **state) {
    (void)state;
    enum { N = 4099 };
    static float x[N], expected[N], actual[N];
    static uint8_t bytes[N * 4];
    for (uint32_t round = 0; round < 200; round++) {
        for (uint32_t i = 0; i < N; i++) /* all of f16's range, ties among them */
            x[i] = round < 100 ? float_of_bits((round * N + i) * 10007u)
                               : float_of_bits(0x32000000u + (round * N + i) * 0x200u);
        for (enum dtype dtype = DTYPE_F32; dtype <= DTYPE_BF16; dtype++)
            for (int level = 0; level <= vector_levels(); level++) {
                kernels_at_level(level)->store(x, N, dtype, bytes);
                kernels_at_level(0)->load(bytes, dtype, N, level == 0 ? expected : actual);
                if (level > 0) assert_same_bits(expected, actual, N, "store");
            }
    }
}

/* Blocks of every magnitude, with ties, and with what no scale can hold. */
static void q8_stores_equal_ref(void **state) {
    (void)state;
    struct draw draw = {.seed = 34};
    enum { N = 320 };
    static float x[N];
    static uint8_t expected[N / 32 * 34], actual[N / 32 * 34];
    for (int i = 0; i < 400; i++) {
        draw_floats(&draw, (enum flavour)(i % FLAVOUR_COUNT), N, x);
        for (int j = 0; i % 4 == 0 && j < N; j++) /* scale 1 or a power of two: halves are ties */
            x[j] = ldexpf(j % 32 == 0 ? 127 : truncf(x[j] * 200) / 2, i % 60 - 40);
        kernels_at_level(0)->store(x, N, DTYPE_Q8_0, expected);
        for (int level = 1; level <= vector_levels(); level++) {
            memset(actual, 0x55, sizeof actual);
            kernels_at_level(level)->store(x, N, DTYPE_Q8_0, actual);
            assert_memory_equal(expected, actual, sizeof actual);
        }
    }
}

static void q8_stores_are_near_and_keep_what_is_broken(void **state) {
    (void)state;
    struct draw draw = {.seed = 35};
    float x[32], back[32];
    uint8_t block[34];
    for (int level = 0; level <= vector_levels(); level++)
        for (int i = 0; i < 200; i++) {
            float largest = 0;
            draw_floats(&draw, FLAVOUR_PLAIN, 32, x);
            for (int j = 0; j < 32; j++)
                largest = fmaxf(largest, fabsf(x[j] *= ldexpf(1, i % 20 - 5)));
            kernels_at_level(level)->store(x, 32, DTYPE_Q8_0, block);
            kernels_at_level(level)->load(block, DTYPE_Q8_0, 32, back);
            for (int j = 0; j < 32; j++) /* half a step, and the scale's own rounding */
                assert_true(fabsf(back[j] - x[j]) <= largest / 127 * (0.5f + 127 * 0x1p-11f) * 1.0001f);
            const float broken[] = {NAN, INFINITY, -INFINITY, 127 * 65504.0f};
            x[i % 32] = broken[i % 4];
            kernels_at_level(level)->store(x, 32, DTYPE_Q8_0, block);
            kernels_at_level(level)->load(block, DTYPE_Q8_0, 32, back);
            for (int j = 0; j < 32; j++)
                assert_true(isnan(back[j]));
        }
}

static void the_table_names_its_sets(void **state) {
    (void)state;
#ifdef __aarch64__
    static const char *const names[] = {"ref", "neon", "neon_dotprod"};
#else
    static const char *const names[] = {"ref", "avx2", "avx512", "avx512"};
#endif
    for (int level = 0; level <= kernels_best_level(); level++)
        assert_string_equal(kernels_at_level(level)->name, names[level]);
    const char *best = getenv("CAUCUS_TEST_BEST_KERNELS"); /* said where the machine is known */
    if (best) assert_string_equal(kernels_at_level(kernels_best_level())->name, best);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_equal_ref),
        cmocka_unit_test(ref_is_near_the_truth),
        cmocka_unit_test(exp_is_within_its_bound),
        cmocka_unit_test(exp_at_its_ends),
        cmocka_unit_test(exp_sets_equal_ref_everywhere),
        cmocka_unit_test(loads_equal_ref),
        cmocka_unit_test(quantised_blocks_follow_ggml),
        cmocka_unit_test(halves_survive_the_round_trip),
        cmocka_unit_test(stores_round_to_nearest_even),
        cmocka_unit_test(stores_equal_ref),
        cmocka_unit_test(q8_stores_equal_ref),
        cmocka_unit_test(q8_stores_are_near_and_keep_what_is_broken),
        cmocka_unit_test(the_table_names_its_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
