/* score, attend_chunk, attend_merge: every set has ref's bits, a query's result does not depend on the
 * others, and chunks merged in order are the attention of the textbook. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernel_cases.h"

enum { MOST_QUERIES = 70, MOST_DIM = 256 };

static const enum dtype kv_dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_Q8_0};
static const int64_t head_dims[] = {8, 16, 24, 32, 64, 80, 96, 128, 256};

/* n scattered rows of head_dim values. */
struct rows {
    uint8_t *bytes;
    const void **rows;
};

static struct rows rows_create(struct draw *draw, enum flavour flavour, enum dtype dtype, int64_t n,
                               int64_t head_dim) {
    const size_t row_bytes = dtype_bytes(dtype, head_dim);
    struct rows rows = {must_have((size_t)n * row_bytes), must_have((size_t)n * sizeof(void *))};
    draw_weights(draw, flavour, dtype, n * head_dim, rows.bytes);
    for (int64_t i = 0; i < n; i++) /* any order; a row may even come twice */
        rows.rows[i] = rows.bytes + (size_t)draw_between(draw, 0, n - 1) * row_bytes;
    return rows;
}

static void rows_free(struct rows *rows) {
    free(rows->bytes);
    free(rows->rows);
}

static void score_sets_equal_ref(void **state) {
    (void)state;
    struct draw draw = {.seed = 21};
    static float q[MOST_QUERIES * MOST_DIM], expected[MOST_QUERIES * ATTEND_CHUNK],
        actual[MOST_QUERIES * ATTEND_CHUNK], columns[MOST_DIM * ATTEND_CHUNK];
    for (size_t dim = 0; dim < sizeof head_dims / sizeof *head_dims; dim++)
        for (int i = 0; i < 24; i++) {
            const enum dtype dtype = kv_dtypes[i % 4];
            const enum flavour flavour = (enum flavour)(i / 4 % FLAVOUR_COUNT);
            if (head_dims[dim] % dtype_layout(dtype)->block_elements != 0) continue;
            const int64_t n = draw_between(&draw, 1, ATTEND_CHUNK), head_dim = head_dims[dim];
            const int64_t n_queries = draw_between(&draw, 1, i < 20 ? 9 : MOST_QUERIES);
            struct rows keys = rows_create(&draw, flavour, dtype, n, head_dim);
            draw_floats(&draw, flavour, n_queries * head_dim, q);
            memset(expected, 0, sizeof expected);
            kernels_at_level(0)->score(q, n_queries, keys.rows, NULL, dtype, n, head_dim, 0.3f, expected,
                                       ATTEND_CHUNK);
            for (int level = 1; level <= vector_levels(); level++) {
                memset(actual, 0, sizeof actual);
                kernels_at_level(level)->score(q, n_queries, keys.rows, keys.rows, dtype, n, head_dim, 0.3f,
                                               actual, ATTEND_CHUNK);
                assert_same_bits(expected, actual, MOST_QUERIES * ATTEND_CHUNK, "score");
            }
            for (int level = 0; level <= vector_levels(); level++) {
                const struct kernels *kernels = kernels_at_level(level);
                memset(actual, 0, sizeof actual);
                kernels->turn_keys(keys.rows, dtype, n, head_dim, columns);
                kernels->score_columns(q, n_queries, columns, n, head_dim, 0.3f, actual, ATTEND_CHUNK);
                for (int64_t j = 0; j < n_queries; j++)
                    assert_same_bits(expected + j * ATTEND_CHUNK, actual + j * ATTEND_CHUNK, n,
                                     "score_columns");
            }
            rows_free(&keys);
        }
}

struct partials {
    float scores[MOST_QUERIES * ATTEND_CHUNK], max[MOST_QUERIES], sum[MOST_QUERIES],
        acc[MOST_QUERIES * MOST_DIM];
};

static void assert_same_partials(const struct partials *expected, const struct partials *actual) {
    assert_same_bits(expected->scores, actual->scores, MOST_QUERIES * ATTEND_CHUNK, "weights");
    assert_same_bits(expected->max, actual->max, MOST_QUERIES, "max");
    assert_same_bits(expected->sum, actual->sum, MOST_QUERIES, "sum");
    assert_same_bits(expected->acc, actual->acc, MOST_QUERIES * MOST_DIM, "acc");
}

static void chunk_sets_equal_ref(void **state) {
    (void)state;
    struct draw draw = {.seed = 22};
    static struct partials start, expected, actual;
    for (size_t dim = 0; dim < sizeof head_dims / sizeof *head_dims; dim++)
        for (int i = 0; i < 24; i++) {
            const enum dtype dtype = kv_dtypes[i % 4];
            const enum flavour flavour = (enum flavour)(i / 4 % FLAVOUR_COUNT);
            if (head_dims[dim] % dtype_layout(dtype)->block_elements != 0) continue;
            const int64_t n = draw_between(&draw, 1, ATTEND_CHUNK), head_dim = head_dims[dim];
            const int64_t n_queries = draw_between(&draw, 1, i < 20 ? 9 : MOST_QUERIES);
            int32_t n_valid[MOST_QUERIES];
            for (int64_t j = 0; j < n_queries; j++)
                n_valid[j] = (int32_t)draw_between(&draw, 0, n);
            const int32_t *seen = i / 4 % 2 ? n_valid : NULL;
            struct rows values = rows_create(&draw, flavour, dtype, n, head_dim);
            memset(&start, 0, sizeof start);
            draw_floats(&draw, flavour, MOST_QUERIES * ATTEND_CHUNK, start.scores);
            expected = start;
            kernels_at_level(0)->attend_chunk(expected.scores, ATTEND_CHUNK, n_queries, seen, values.rows,
                                              NULL, dtype, n, head_dim, expected.max, expected.sum,
                                              expected.acc);
            for (int level = 1; level <= vector_levels(); level++) {
                actual = start;
                kernels_at_level(level)->attend_chunk(actual.scores, ATTEND_CHUNK, n_queries, seen,
                                                      values.rows, NULL, dtype, n, head_dim, actual.max,
                                                      actual.sum, actual.acc);
                assert_same_partials(&expected, &actual);
            }
            rows_free(&values);
        }
}

/* Causal prefill: query j of a block sees one entry more than query j - 1; alone it gets the same bits. */
static void queries_do_not_depend_on_each_other(void **state) {
    (void)state;
    struct draw draw = {.seed = 23};
    static struct partials together, alone;
    enum { N = 100, DIM = 80, QUERIES = 21 };
    int32_t n_valid[QUERIES];
    for (int j = 0; j < QUERIES; j++)
        n_valid[j] = j < 3 ? 0 : N - QUERIES + 1 + j;
    struct rows values = rows_create(&draw, FLAVOUR_PLAIN, DTYPE_BF16, N, DIM);
    for (int level = 0; level <= vector_levels(); level++) {
        const struct kernels *kernels = kernels_at_level(level);
        draw_floats(&draw, FLAVOUR_PLAIN, MOST_QUERIES * ATTEND_CHUNK, together.scores);
        memcpy(alone.scores, together.scores, sizeof alone.scores);
        kernels->attend_chunk(together.scores, ATTEND_CHUNK, QUERIES, n_valid, values.rows, NULL, DTYPE_BF16,
                              N, DIM, together.max, together.sum, together.acc);
        for (int j = 0; j < QUERIES; j++)
            kernels->attend_chunk(alone.scores + j * ATTEND_CHUNK, ATTEND_CHUNK, 1, NULL, values.rows, NULL,
                                  DTYPE_BF16, n_valid[j], DIM, alone.max + j, alone.sum + j,
                                  alone.acc + j * DIM);
        assert_same_partials(&together, &alone);
        for (int j = 0; j < 3; j++) { /* an empty partial */
            assert_true(together.max[j] == -INFINITY && together.sum[j] == 0);
            for (int d = 0; d < DIM; d++)
                assert_true(together.acc[j * DIM + d] == 0);
        }
    }
    rows_free(&values);
}

/* A zero maximum is +0 whichever zero came first, and a NaN does not hide the maximum of the others. */
static void the_maximum_does_not_depend_on_the_order(void **state) {
    (void)state;
    const float value = 1;
    const void *rows[ATTEND_CHUNK];
    for (int i = 0; i < ATTEND_CHUNK; i++)
        rows[i] = &value;
    for (int level = 0; level <= vector_levels(); level++)
        for (int i = 0; i < 40; i++) {
            float scores[40], max, sum, acc;
            for (int j = 0; j < 40; j++)
                scores[j] = j == i ? 0.0f : -0.0f;
            kernels_at_level(level)->attend_chunk(scores, 40, 1, NULL, rows, NULL, DTYPE_F32, 40, 1, &max,
                                                  &sum, &acc);
            assert_true(max == 0 && !signbit(max) && sum == 40 && acc == 40);
            for (int j = 0; j < 40; j++)
                scores[j] = j == i ? NAN : j == 39 - i ? 3 : -1;
            kernels_at_level(level)->attend_chunk(scores, 40, 1, NULL, rows, NULL, DTYPE_F32, 40, 1, &max,
                                                  &sum, &acc);
            assert_true(max == 3 && isnan(sum) && isnan(acc));
        }
}

static void merge_sets_equal_ref(void **state) {
    (void)state;
    struct draw draw = {.seed = 24};
    for (int i = 0; i < 300; i++) {
        const enum flavour flavour = (enum flavour)(i % FLAVOUR_COUNT);
        const int64_t head_dim = draw_between(&draw, 1, 40);
        float state_start[2], part[2], acc[40], part_acc[40], expected[42], actual[42];
        draw_floats(&draw, flavour, 2, state_start);
        draw_floats(&draw, flavour, 2, part);
        draw_floats(&draw, flavour, 40, acc);
        draw_floats(&draw, flavour, 40, part_acc);
        if (i % 7 == 0) state_start[1] = 0;
        if (i % 11 == 0) part[1] = 0;
        for (int level = 0; level <= vector_levels(); level++) {
            float *out = level == 0 ? expected : actual;
            memcpy(out, state_start, sizeof state_start);
            memcpy(out + 2, acc, sizeof acc);
            kernels_at_level(level)->attend_merge(&out[0], &out[1], out + 2, part[0], part[1], part_acc,
                                                  head_dim);
            if (level > 0) assert_same_bits(expected, actual, 42, "attend_merge");
        }
    }
}

static void merging_with_nothing_changes_nothing(void **state) {
    (void)state;
    const float part_acc[2] = {3, 5}, none[2] = {0, 0};
    for (int level = 0; level <= vector_levels(); level++) {
        float max = -INFINITY, sum = 0, acc[2] = {0, 0};
        kernels_at_level(level)->attend_merge(&max, &sum, acc, -INFINITY, 0, none, 2);
        assert_true(max == -INFINITY && sum == 0);
        kernels_at_level(level)->attend_merge(&max, &sum, acc, 7, 2, part_acc, 2);
        kernels_at_level(level)->attend_merge(&max, &sum, acc, -INFINITY, 0, none, 2);
        assert_true(max == 7 && sum == 2 && acc[0] == 3 && acc[1] == 5);
    }
}

/* One query over n keys, chunk after chunk, against softmax in double. */
static void merged_chunks_are_attention(void **state) {
    (void)state;
    struct draw draw = {.seed = 25};
    enum { N = 700, DIM = 64 };
    const float scale = 0.125f;
    struct rows keys = rows_create(&draw, FLAVOUR_PLAIN, DTYPE_F32, N, DIM),
                values = rows_create(&draw, FLAVOUR_PLAIN, DTYPE_F32, N, DIM);
    float q[DIM];
    draw_floats(&draw, FLAVOUR_PLAIN, DIM, q);
    for (int d = 0; d < DIM; d++)
        q[d] *= 30;

    double weights[N], top = -INFINITY, total = 0, expected[DIM] = {0};
    for (int i = 0; i < N; i++) {
        weights[i] = 0;
        for (int d = 0; d < DIM; d++)
            weights[i] += (double)q[d] * ((const float *)keys.rows[i])[d];
        weights[i] *= scale;
        top = fmax(top, weights[i]);
    }
    for (int i = 0; i < N; i++) {
        total += weights[i] = exp(weights[i] - top);
        for (int d = 0; d < DIM; d++)
            expected[d] += weights[i] * ((const float *)values.rows[i])[d];
    }

    for (int level = 0; level <= vector_levels(); level++) {
        const struct kernels *kernels = kernels_at_level(level);
        float max = -INFINITY, sum = 0, acc[DIM] = {0}, part_max, part_sum, part_acc[DIM],
              scores[ATTEND_CHUNK];
        for (int begin = 0; begin < N; begin += ATTEND_CHUNK) {
            const int64_t n = N - begin < ATTEND_CHUNK ? N - begin : ATTEND_CHUNK;
            kernels->score(q, 1, keys.rows + begin, NULL, DTYPE_F32, n, DIM, scale, scores, ATTEND_CHUNK);
            kernels->attend_chunk(scores, ATTEND_CHUNK, 1, NULL, values.rows + begin, NULL, DTYPE_F32, n, DIM,
                                  &part_max, &part_sum, part_acc);
            kernels->attend_merge(&max, &sum, acc, part_max, part_sum, part_acc, DIM);
        }
        assert_true(fabs(max - top) < 1e-5 && fabs(sum / total - 1) < 1e-5);
        for (int d = 0; d < DIM; d++)
            assert_true(fabs(acc[d] / sum - expected[d] / total) < 3e-6);
    }
    rows_free(&keys);
    rows_free(&values);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(score_sets_equal_ref),
        cmocka_unit_test(chunk_sets_equal_ref),
        cmocka_unit_test(queries_do_not_depend_on_each_other),
        cmocka_unit_test(the_maximum_does_not_depend_on_the_order),
        cmocka_unit_test(merge_sets_equal_ref),
        cmocka_unit_test(merging_with_nothing_changes_nothing),
        cmocka_unit_test(merged_chunks_are_attention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
