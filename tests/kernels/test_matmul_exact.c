/* matmul_exact: sums that do not depend on how the columns were dealt out. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernel_cases.h"

enum { ROWS = 13, TOKENS = 6 };

struct exact_sums {
    int64_t sums[TOKENS][ROWS];
    int64_t bad[TOKENS];
};

struct exact_case {
    struct matrix w;
    int64_t block, n_tokens;
    float *x, *scale; /* [n_tokens, cols], [n_tokens] */
};

static struct exact_case case_create(struct draw *draw, enum dtype dtype, enum flavour flavour, int64_t cols,
                                     int64_t block) {
    struct exact_case c = {.block = block, .n_tokens = draw_between(draw, 1, TOKENS)};
    uint8_t *weights = must_have(dtype_bytes(dtype, ROWS * cols));
    draw_weights(draw, flavour, dtype, ROWS * cols, weights);
    c.w = (struct matrix){dtype, ROWS, cols, weights, 0};
    c.x = must_have((size_t)(TOKENS * cols) * sizeof(float));
    draw_floats(draw, flavour, TOKENS * cols, c.x);
    c.scale = must_have(TOKENS * sizeof(float));
    draw_floats(draw, FLAVOUR_PLAIN, TOKENS, c.scale);
    return c;
}

static void case_free(struct exact_case *c) {
    free((void *)(uintptr_t)c->w.data);
    free(c->x);
    free(c->scale);
}

static void run(const struct kernels *kernels, const struct exact_case *c, const float *scale,
                struct exact_sums *out) {
    kernels->matmul_exact(&c->w, 0, ROWS, c->block, c->x, c->w.cols, scale, c->n_tokens, out->sums[0], ROWS,
                          out->bad);
}

static void sets_equal_ref(void **state) {
    (void)state;
    struct draw draw = {.seed = 11};
    for (enum dtype dtype = 0; dtype < FLOAT_DTYPES; dtype++)
        for (enum flavour flavour = 0; flavour < FLAVOUR_COUNT; flavour++)
            for (int i = 0; i < 10; i++) {
                const int64_t unit = dtype_layout(dtype)->block_elements;
                const int64_t block = unit * draw_between(&draw, 1, 200 / unit);
                struct exact_case c =
                    case_create(&draw, dtype, flavour, unit * draw_between(&draw, 1, 600 / unit), block);
                const float *scale = i % 2 ? c.scale : NULL;
                struct exact_sums expected = {0};
                expected.sums[0][3] = 77; /* it adds */
                struct exact_sums start = expected;
                run(kernels_at_level(0), &c, scale, &expected);
                for (int level = 1; level <= vector_levels(); level++) {
                    struct exact_sums actual = start;
                    run(kernels_at_level(level), &c, scale, &actual);
                    assert_memory_equal(&actual, &expected, sizeof expected);
                }
                case_free(&c);
            }
}

/* Columns [begin, end) of w, packed as a rank that owns them would hold them. */
static uint8_t *slice(const struct matrix *w, int64_t begin, int64_t end) {
    const size_t row_bytes = dtype_bytes(w->dtype, w->cols), part_bytes = dtype_bytes(w->dtype, end - begin);
    uint8_t *part = must_have(part_bytes * ROWS);
    for (size_t row = 0; row < ROWS; row++)
        memcpy(part + row * part_bytes,
               (const uint8_t *)w->data + row * row_bytes + dtype_bytes(w->dtype, begin), part_bytes);
    return part;
}

/* The key property: ranks that own any whole blocks add up to the one rank that owns all. */
static void columns_may_be_dealt_out_in_any_way(void **state) {
    (void)state;
    struct draw draw = {.seed = 12};
    for (enum dtype dtype = 0; dtype < FLOAT_DTYPES; dtype++)
        for (int i = 0; i < 10; i++) {
            const int64_t block = 32 * draw_between(&draw, 1, 20), n_blocks = draw_between(&draw, 1, 9);
            struct exact_case c = case_create(&draw, dtype, FLAVOUR_PLAIN,
                                              block * n_blocks - (i % 2 && n_blocks > 1 ? 32 : 0), block);
            struct exact_sums whole = {0}, parts = {0};
            run(kernels_at_level(0), &c, c.scale, &whole);
            for (int64_t begin = 0, end; begin < c.w.cols; begin = end) {
                end = begin + block * draw_between(&draw, 1, n_blocks);
                if (end > c.w.cols) end = c.w.cols;
                uint8_t *owned = slice(&c.w, begin, end);
                const struct matrix part = {dtype, ROWS, end - begin, owned, 0};
                const struct kernels *kernels =
                    kernels_at_level((int)draw_between(&draw, 0, vector_levels()));
                for (int64_t row = 0; row < ROWS; row += 5) /* and its threads */
                    kernels->matmul_exact(&part, row, row + 5 < ROWS ? row + 5 : ROWS, block, c.x + begin,
                                          c.w.cols, c.scale, c.n_tokens, parts.sums[0], ROWS, parts.bad);
                free(owned);
            }
            assert_memory_equal(&parts, &whole, sizeof whole);
            case_free(&c);
        }
}

/* Weights of 1 and activations of one value: what the grid makes of it. There are as many rows as vectors
 * take at once and one more, and all must come out alike. Returns the count of bad. */
static int64_t place(const struct kernels *kernels, float value, const float *scale, int64_t *sum) {
    enum { N_ROWS = 17, N_TOKENS = 5 };
    float ones[N_ROWS], x[N_TOKENS], scales[N_TOKENS];
    int64_t sums[N_TOKENS][N_ROWS], bad[N_TOKENS] = {0};
    for (int r = 0; r < N_ROWS; r++)
        ones[r] = 1;
    for (int t = 0; t < N_TOKENS; t++) {
        x[t] = value;
        scales[t] = scale ? *scale : 1;
        for (int r = 0; r < N_ROWS; r++)
            sums[t][r] = *sum;
    }
    const struct matrix w = {DTYPE_F32, N_ROWS, 1, ones, 0};
    kernels->matmul_exact(&w, 0, N_ROWS, 1, x, 1, scale ? scales : NULL, N_TOKENS, sums[0], N_ROWS, bad);
    for (int t = 0; t < N_TOKENS; t++) {
        assert_int_equal(bad[t], bad[0]);
        for (int r = 0; r < N_ROWS; r++)
            assert_int_equal(sums[t][r], sums[0][0]);
    }
    *sum = sums[0][0];
    assert_int_equal(bad[0] % N_ROWS, 0);
    return bad[0] / N_ROWS;
}

static void values_are_rounded_to_even(void **state) {
    (void)state;
    const struct {
        float value;
        int64_t units;
    } cases[] = {
        {1, 1LL << 34},
        {0x1p-34f, 1},
        {0x1p-35f, 0},
        {0x1.8p-34f, 2},
        {0x1.4p-33f, 2},
        {0x1.cp-33f, 4},
        {-0x1p-35f, 0},
        {-0x1.8p-34f, -2},
        {0x1.000002p-35f, 1},
        {-0x1.000002p-35f, -1},
        {0x1p-149f, 0},
        {-0.0f, 0},
        {0x1.fffffep17f, (1LL << 52) - (1LL << 28)},
        {-0x1.fffffep17f, (1LL << 28) - (1LL << 52)},
        {0x1.fffffep16f, (1LL << 51) - (1LL << 27)},
        {0x1p17f, 1LL << 51},
    };
    for (int level = 0; level <= vector_levels(); level++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            int64_t sum = 0;
            assert_int_equal(place(kernels_at_level(level), cases[i].value, NULL, &sum), 0);
            assert_int_equal(sum, cases[i].units);
        }
}

static void what_does_not_fit_is_counted(void **state) {
    (void)state;
    const float misfits[] = {EXACT_BLOCK_LIMIT, -EXACT_BLOCK_LIMIT, INFINITY, -INFINITY, NAN, 1e30f};
    const float quarter = 0.25f, nan = NAN;
    for (int level = 0; level <= vector_levels(); level++) {
        const struct kernels *kernels = kernels_at_level(level);
        for (size_t i = 0; i < sizeof misfits / sizeof *misfits; i++) {
            int64_t sum = 42;
            assert_int_equal(place(kernels, misfits[i], NULL, &sum), 1);
            assert_int_equal(sum, 42);
        }
        int64_t sum = 0; /* the limit is on the scaled value */
        assert_int_equal(place(kernels, EXACT_BLOCK_LIMIT, &quarter, &sum), 0);
        assert_int_equal(sum, 1LL << 50);
        assert_int_equal(place(kernels, 1, &nan, &sum), 1);
        assert_int_equal(sum, 1LL << 50);
    }
}

static void a_sum_of_the_most_blocks_does_not_overflow(void **state) {
    (void)state;
    float ones[64];
    for (int i = 0; i < 64; i++)
        ones[i] = 1;
    const struct matrix w = {DTYPE_F32, 1, 64, ones, 0};
    float x[64];
    for (int i = 0; i < 64; i++)
        x[i] = 0x1.fffffep17f;
    for (int level = 0; level <= vector_levels(); level++) {
        int64_t sum = 0, bad = 0;
        for (int i = 0; i < EXACT_BLOCKS_MAX / 64; i++)
            kernels_at_level(level)->matmul_exact(&w, 0, 1, 1, x, 64, NULL, 1, &sum, 1, &bad);
        assert_int_equal(bad, 0);
        assert_int_equal(sum, INT64_MAX - ((1LL << 39) - 1));
    }
}

/* Each block's product as ref's matmul gives it, then half a unit. */
static void ref_is_within_its_bound(void **state) {
    (void)state;
    struct draw draw = {.seed = 13};
    const int64_t block = 96, cols = 480;
    struct exact_case c = case_create(&draw, DTYPE_F32, FLAVOUR_PLAIN, cols, block);
    struct exact_sums out = {0};
    run(kernels_at_level(0), &c, NULL, &out);
    for (int64_t t = 0; t < c.n_tokens; t++)
        for (int64_t r = 0; r < ROWS; r++) {
            double sum = 0, magnitude = 0;
            for (int64_t i = 0; i < cols; i++) {
                const double product =
                    (double)((const float *)c.w.data)[r * cols + i] * (double)c.x[t * cols + i];
                sum += product;
                magnitude += fabs(product);
            }
            const double bound =
                ((double)block / 16 + 5) * 0x1p-24 * 1.01 * magnitude + (double)(cols / block) * 0x1p-35;
            assert_true(fabs((double)out.sums[t][r] / EXACT_UNITS_PER_ONE - sum) <= bound);
        }
    case_free(&c);
}

static void sums_come_back_as_floats(void **state) {
    (void)state;
    struct draw draw = {.seed = 14};
    int64_t sums[1003];
    float expected[1003], x[1003];
    for (int i = 0; i < 1003; i++)
        sums[i] = (int64_t)draw_bits(&draw) >> draw_between(&draw, 0, 63);
    sums[0] = 1LL << 34;
    sums[1] = INT64_MIN;
    draw_floats(&draw, FLAVOUR_PLAIN, 1003, expected);
    expected[0] = 2;
    expected[1] = 0;
    float start[1003];
    memcpy(start, expected, sizeof start);
    kernels_at_level(0)->add_exact(sums, 1003, expected);
    assert_true(expected[0] == 3 && expected[1] == -0x1p29f);
    for (int level = 1; level <= vector_levels(); level++) {
        memcpy(x, start, sizeof x);
        kernels_at_level(level)->add_exact(sums, 1003, x);
        assert_same_bits(expected, x, 1003, "add_exact");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_equal_ref),
        cmocka_unit_test(columns_may_be_dealt_out_in_any_way),
        cmocka_unit_test(values_are_rounded_to_even),
        cmocka_unit_test(what_does_not_fit_is_counted),
        cmocka_unit_test(a_sum_of_the_most_blocks_does_not_overflow),
        cmocka_unit_test(ref_is_within_its_bound),
        cmocka_unit_test(sums_come_back_as_floats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
