#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "cluster/allreduce.h"
#include "cluster/comm_impl.h"
#include "mpi_fixture.h"

static int all_chunks_again(void **state) {
    (void)state;
    comm->max_count = INT_MAX;
    return 0;
}

/* What `rank` contributes at `i`, known to every rank. */
static int64_t term_i64(int rank, size_t i) {
    uint32_t words[4];
    rng_philox(1, (uint32_t[4]){(uint32_t)i, (uint32_t)rank, 0, 0}, words);
    return ((int64_t)(int32_t)words[0] * INT32_MAX) / 64; /* 64 of them cannot overflow */
}

static float term_f32(int rank, size_t i) {
    return (float)(rng_uniform(2, (uint64_t)rank, i) * 2 - 1);
}

static uint32_t term_u32(int rank, size_t i) {
    uint32_t words[4];
    rng_philox(3, (uint32_t[4]){(uint32_t)i, (uint32_t)rank, 0, 0}, words);
    return words[0] | (words[1] & 1 ? UINT32_MAX : 0); /* half of them not proposed */
}

static void expect_sum_i64(size_t n) {
    int64_t *values = malloc((n + 1) * sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = term_i64(comm_rank(comm), i);
    values[n] = -1;
    allreduce_sum_i64(comm, values, n);
    for (size_t i = 0; i < n; i++) {
        int64_t sum = 0;
        for (int rank = 0; rank < comm_size(comm); rank++)
            sum += term_i64(rank, i);
        assert_int_equal(values[i], sum);
    }
    assert_int_equal(values[n], -1);
    free(values);
}

static void test_sum_i64_is_exact(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 63, 2048, 20000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        expect_sum_i64(sizes[i]);
    comm->max_count = 100;
    expect_sum_i64(100);
    expect_sum_i64(1234);
}

static void expect_sum_f32(size_t n) {
    float *values = malloc((n + 1) * sizeof *values);
    uint64_t hash = 0;
    for (size_t i = 0; i < n; i++)
        values[i] = term_f32(comm_rank(comm), i);
    allreduce_sum_f32(comm, values, n);
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (int rank = 0; rank < comm_size(comm); rank++)
            sum += term_f32(rank, i);
        assert_true(fabs(values[i] - sum) <= 1e-6 * comm_size(comm));
        const union {
            float value;
            uint32_t bits;
        } sent = {.value = values[i]};
        hash = hash * UINT64_C(6364136223846793005) + sent.bits;
    }
    assert_int_equal(comm_same(comm, hash, "the sum"), STATUS_OK);
    free(values);
}

static void test_sum_f32_is_the_same_on_all_ranks(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 63, 2048, 20000, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        expect_sum_f32(sizes[i]);
    comm->max_count = 100;
    expect_sum_f32(1234);
}

static void fill_u32(uint32_t *values, size_t n) {
    for (size_t i = 0; i < n; i++)
        values[i] = term_u32(comm_rank(comm), i);
}

static void expect_minimum(const uint32_t *values, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t minimum = UINT32_MAX;
        for (int rank = 0; rank < comm_size(comm); rank++)
            minimum = term_u32(rank, i) < minimum ? term_u32(rank, i) : minimum;
        assert_int_equal(values[i], minimum);
    }
}

static void test_minimum(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 100, 40000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint32_t *values = malloc((sizes[i] + 1) * sizeof *values);
        fill_u32(values, sizes[i]);
        allreduce_min_u32_begin(comm, values, sizes[i]);
        allreduce_min_u32_finish(comm);
        expect_minimum(values, sizes[i]);
        free(values);
    }
}

/* A layer's worth of other collectives between begin and finish, many times. */
static void test_minimum_overlaps_other_collectives(void **state) {
    (void)state;
    enum { N = 5000, ROUNDS = 20 };
    static uint32_t values[N];
    for (int round = 0; round < ROUNDS; round++) {
        fill_u32(values, N);
        allreduce_min_u32_begin(comm, values, N);
        expect_sum_i64(2048);
        uint64_t word = comm_rank(comm) == 0 ? (uint64_t)round : 0;
        comm_broadcast_patient(comm, &word, sizeof word);
        assert_int_equal(word, round);
        assert_int_equal(comm_agree(comm, STATUS_OK), STATUS_OK);
        comm_barrier(comm);
        allreduce_min_u32_finish(comm);
        expect_minimum(values, N);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_sum_i64_is_exact, all_chunks_again),
        cmocka_unit_test_teardown(test_sum_f32_is_the_same_on_all_ranks, all_chunks_again),
        cmocka_unit_test(test_minimum),
        cmocka_unit_test(test_minimum_overlaps_other_collectives),
    };
    return cmocka_run_group_tests(tests, mpi_fixture_open, mpi_fixture_close);
}
