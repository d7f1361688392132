#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/rng.h"
#include "cluster/allreduce.h"
#include "cluster/allreduce_impl.h"
#include "cluster/comm_impl.h"
#include "cluster/shared_window_impl.h"
#include "allreduce_terms.h"
#include "mpi_fixture.h"

static int all_chunks_again(void **state) {
    (void)state;
    comm->max_count = INT_MAX;
    return 0;
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

/* Sizes around what a slot holds, in elements of so many bytes, and one of several slots. */
enum { N_SIZES = 12 };
static void sizes_around_slot(size_t element_bytes, enum shared_lane lane, size_t sizes[N_SIZES]) {
    const size_t slot =
        comm->window ? shared_window_slot_bytes(comm->window, lane) / element_bytes : (size_t)1000;
    const size_t all[N_SIZES] = {0,   1,        2,    6,        7,        511,
                                 513, slot - 1, slot, slot + 1, 2 * slot, 3 * slot + slot / 2 + 3};
    memcpy(sizes, all, sizeof all);
}

/* The shared algorithms in turn, for all sizes. */
static void use_algorithm(int algorithm) {
    for (int class = 0; class < ALLREDUCE_SIZE_CLASSES; class ++)
        comm->exact_algorithm[class] = comm->float_algorithm[class] = algorithm;
}

static enum status set_up(enum allreduce_choice choice) {
    return allreduce_set_up(comm,
                            &(struct allreduce_config){.choice = choice, .crowded = comm_size(comm) > 2});
}

static void test_set_up(void **state) {
    (void)state;
    assert_null(comm->window);
    assert_int_equal(set_up(ALLREDUCE_SHARED), STATUS_OK);
    assert_int_equal(set_up(ALLREDUCE_MPI), STATUS_OK);
    assert_null(comm->window);
    assert_int_equal(set_up(ALLREDUCE_RING), STATUS_OK); /* says nothing about one host */
    assert_int_equal(set_up(ALLREDUCE_AUTO), STATUS_OK);
    assert_true((comm->window != NULL) == (comm_size(comm) > 1));
    int agreed[2][ALLREDUCE_SIZE_CLASSES];
    memcpy(agreed[0], comm->exact_algorithm, sizeof agreed[0]);
    memcpy(agreed[1], comm->float_algorithm, sizeof agreed[1]);
    comm_broadcast(comm, agreed, sizeof agreed);
    assert_memory_equal(agreed[0], comm->exact_algorithm, sizeof agreed[0]);
    assert_memory_equal(agreed[1], comm->float_algorithm, sizeof agreed[1]);
    for (int class = 0; class < ALLREDUCE_SIZE_CLASSES && comm->window; class ++)
        assert_true(allreduce_fits_floats(comm, allreduce_algorithm(comm->float_algorithm[class])));
}

static void test_size_classes(void **state) {
    (void)state;
    assert_int_equal(allreduce_size_class(0), 0);
    assert_int_equal(allreduce_size_class(SIZE_MAX), ALLREDUCE_SIZE_CLASSES - 1);
    for (size_t bytes = 1, before = 0; bytes < SIZE_MAX / 2; bytes *= 2) {
        const size_t now = (size_t)allreduce_size_class(bytes);
        assert_true(now >= before);
        before = now;
    }
}

static void test_shared_sum_i64_is_that_of_mpi(void **state) {
    (void)state;
    size_t sizes[N_SIZES];
    sizes_around_slot(sizeof(int64_t), SHARED_LANE_SUM, sizes);
    for (int algorithm = 0; algorithm < ALLREDUCE_ALGORITHMS && comm->window; algorithm++) {
        if (!allreduce_fits(comm, allreduce_algorithm(algorithm))) continue;
        use_algorithm(algorithm);
        for (size_t i = 0; i < N_SIZES; i++)
            expect_sum_i64(sizes[i]);
    }
}

/* Bit for bit the sum in the order of ranks, whichever algorithm. */
static void expect_ordered_f32(size_t n) {
    float *values = malloc((n + 1) * sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = term_f32(comm_rank(comm), i);
    values[n] = -1;
    allreduce_sum_f32(comm, values, n);
    for (size_t i = 0; i < n; i++) {
        float sum = term_f32(0, i);
        for (int rank = 1; rank < comm_size(comm); rank++)
            sum += term_f32(rank, i);
        assert_memory_equal(&values[i], &sum, sizeof sum);
    }
    assert_true(values[n] == -1);
    free(values);
}

static void test_shared_sum_f32_is_in_rank_order(void **state) {
    (void)state;
    size_t sizes[N_SIZES];
    sizes_around_slot(sizeof(float), SHARED_LANE_SUM, sizes);
    for (int algorithm = 1; algorithm < ALLREDUCE_ALGORITHMS && comm->window; algorithm++) {
        if (!allreduce_fits_floats(comm, allreduce_algorithm(algorithm))) continue;
        use_algorithm(algorithm);
        for (size_t i = 0; i < N_SIZES; i++)
            expect_ordered_f32(sizes[i]);
    }
}

static void expect_minimum_of(size_t n, bool sum_between) {
    uint32_t *values = malloc((n + 1) * sizeof *values);
    fill_u32(values, n);
    values[n] = 7;
    allreduce_min_u32_begin(comm, values, n);
    if (sum_between) expect_sum_i64(n / 2);
    allreduce_min_u32_finish(comm);
    expect_minimum(values, n);
    assert_int_equal(values[n], 7);
    free(values);
}

static void test_shared_minimum(void **state) {
    (void)state;
    size_t sizes[N_SIZES];
    sizes_around_slot(sizeof(uint32_t), SHARED_LANE_MINIMUM, sizes);
    for (size_t i = 0; i < N_SIZES; i++)
        expect_minimum_of(sizes[i], false);
}

/* A rank now and then comes late, another one each time: who waits for whom changes all the while. */
static void come_late(uint64_t round) {
    const double chance = rng_uniform(4, (uint64_t)comm_rank(comm), round);
    if (chance < 0.05) nanosleep(&(struct timespec){.tv_nsec = (long)(chance * 2e7)}, NULL);
}

/* Many in a row, of all kinds and sizes: a slot written too early would show in a sum. */
static void test_shared_mixed(void **state) {
    (void)state;
    enum { ROUNDS = 300 };
    for (uint64_t round = 0; round < ROUNDS; round++) {
        const double size = rng_uniform(5, 0, round);
        use_algorithm(comm->window ? (int)(round % 3) : 0); /* MPI and the two of one host */
        come_late(round);
        if (round % 3 == 0)
            expect_minimum_of((size_t)(size * 5000), round % 2 == 0);
        else if (round % 3 == 1 && comm->window)
            expect_sum_i64((size_t)(size * size * 4000));
        else
            expect_sum_f32((size_t)(size * 3000));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_sum_i64_is_exact, all_chunks_again),
        cmocka_unit_test_teardown(test_sum_f32_is_the_same_on_all_ranks, all_chunks_again),
        cmocka_unit_test(test_minimum),
        cmocka_unit_test(test_minimum_overlaps_other_collectives),
        cmocka_unit_test(test_size_classes),
        cmocka_unit_test(test_set_up), /* from here on there is a shared window, where ranks are several */
        cmocka_unit_test(test_minimum),
        cmocka_unit_test(test_minimum_overlaps_other_collectives),
        cmocka_unit_test(test_shared_sum_i64_is_that_of_mpi),
        cmocka_unit_test(test_shared_sum_f32_is_in_rank_order),
        cmocka_unit_test(test_shared_minimum),
        cmocka_unit_test(test_shared_mixed),
    };
    return cmocka_run_group_tests(tests, mpi_fixture_open, mpi_fixture_close);
}
