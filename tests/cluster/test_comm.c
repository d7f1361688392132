#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cluster/comm_impl.h"
#include "mpi_fixture.h"

enum { MAX_RANKS = 64 };

static void pass_chunks_of(size_t max_count) {
    comm->max_count = max_count;
}

static int all_chunks_again(void **state) {
    (void)state;
    pass_chunks_of(INT_MAX);
    return 0;
}

static void test_rank_and_size(void **state) {
    (void)state;
    assert_in_range(comm_rank(comm), 0, comm_size(comm) - 1);
    assert_in_range(comm_ranks_on_this_host(comm), 1, comm_size(comm));
    comm_barrier(comm);
}

static unsigned char pattern(size_t i, size_t seed) {
    return (unsigned char)(i * 31 + seed * 7 + (i >> 8));
}

static void expect_broadcast(void (*broadcast)(struct comm *, void *, size_t), size_t size) {
    unsigned char *data = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        data[i] = comm_rank(comm) == 0 ? pattern(i, size) : 0;
    data[size] = 0x5a;
    broadcast(comm, data, size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(data[i], pattern(i, size));
    assert_int_equal(data[size], 0x5a);
    free(data);
}

static void test_broadcast(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 7, 1024, 4096, 70001};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        expect_broadcast(comm_broadcast, sizes[i]);
        expect_broadcast(comm_broadcast_patient, sizes[i]);
    }
    pass_chunks_of(100);
    expect_broadcast(comm_broadcast, 99);
    expect_broadcast(comm_broadcast, 100);
    expect_broadcast(comm_broadcast, 1234);
}

/* Processor time that the wait takes, for a sender that is half a second late. */
static void test_patient_wait_is_cheap(void **state) {
    (void)state;
    if (comm_rank(comm) == 0) nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
    const clock_t began = clock();
    expect_broadcast(comm_broadcast_patient, 64);
    const double busy_seconds = (double)(clock() - began) / CLOCKS_PER_SEC;
    assert_true(busy_seconds < 0.25);
}

static void test_agree_when_all_is_well(void **state) {
    (void)state;
    assert_int_equal(comm_agree(comm, STATUS_OK), STATUS_OK);
}

/* Fails on the ranks whose bit is set; every rank must see what the lowest of them says. */
static void expect_agreement(unsigned failing, int lowest) {
    static const enum status kinds[] = {STATUS_BAD_INPUT, STATUS_IO, STATUS_NO_MEMORY};
    const int rank = comm_rank(comm);
    enum status mine = STATUS_OK;
    if (failing >> rank & 1) mine = FAIL(kinds[rank % 3], "file %d is unreadable", rank);
    assert_int_equal(comm_agree(comm, mine), kinds[lowest % 3]);
    char expected[64];
    if (lowest == 0)
        snprintf(expected, sizeof expected, "file 0 is unreadable");
    else
        snprintf(expected, sizeof expected, "rank %d: file %d is unreadable", lowest, lowest);
    assert_string_equal(status_message(), expected);
}

static void test_agree_on_failures(void **state) {
    (void)state;
    const int size = comm_size(comm);
    for (int rank = 0; rank < size; rank++) {
        expect_agreement(1u << rank, rank);
        expect_agreement(((1u << size) - 1) & ~((1u << rank) - 1), rank); /* and all above it */
    }
    assert_int_equal(comm_agree(comm, STATUS_OK), STATUS_OK);
}

static void test_agreeing_again_repeats_the_sentence(void **state) {
    (void)state;
    const int last = comm_size(comm) - 1;
    enum status status = STATUS_OK;
    if (comm_rank(comm) == last) status = FAIL(STATUS_IO, "no such file");
    const enum status first = comm_agree(comm, status);
    assert_int_equal(comm_agree(comm, first), STATUS_IO);
    assert_string_equal(strrchr(status_message(), ':') ? strrchr(status_message(), ':') + 2
                                                       : status_message(),
                        "no such file");
    assert_null(strstr(status_message(), "rank 0"));
}

static void test_same(void **state) {
    (void)state;
    const uint64_t value = UINT64_C(0xfedcba9876543210);
    assert_int_equal(comm_same(comm, value, "the model manifest"), STATUS_OK);
    for (int odd = 1; odd < comm_size(comm); odd++) {
        const uint64_t mine = comm_rank(comm) == odd ? value ^ UINT64_C(1) << 63 : value;
        assert_int_equal(comm_same(comm, mine, "the model manifest"), STATUS_BAD_INPUT);
        char expected[64];
        snprintf(expected, sizeof expected, "rank %d: disagrees with rank 0 on the model manifest", odd);
        assert_string_equal(status_message(), expected);
    }
}

static void expect_gather(const size_t sizes[]) {
    const int rank = comm_rank(comm);
    size_t total = 0;
    for (int r = 0; r < comm_size(comm); r++)
        total += sizes[r];
    unsigned char *mine = malloc(sizes[rank] + 1), *all = rank == 0 ? malloc(total + 1) : NULL;
    for (size_t i = 0; i < sizes[rank]; i++)
        mine[i] = pattern(i, (size_t)rank);
    if (all) all[total] = 0x5a;
    comm_gather(comm, mine, sizes, all);
    for (int r = 0; all && r < comm_size(comm); r++) {
        const unsigned char *block = all;
        for (int before = 0; before < r; before++)
            block += sizes[before];
        for (size_t i = 0; i < sizes[r]; i++)
            assert_int_equal(block[i], pattern(i, (size_t)r));
    }
    if (all) assert_int_equal(all[total], 0x5a);
    free(all);
    free(mine);
}

static void test_gather(void **state) {
    (void)state;
    size_t sizes[MAX_RANKS];
    for (size_t round = 0; round < 4; round++) {
        for (size_t r = 0; r < MAX_RANKS; r++) {
            const size_t patterns[] = {0, (r + 1) * 100, r % 2 ? 0 : 999, r == 0 ? 0 : 1 + r * 5000};
            sizes[r] = patterns[round];
        }
        expect_gather(sizes);
        pass_chunks_of(90); /* too small for the sum: block by block, in chunks */
        expect_gather(sizes);
        pass_chunks_of(INT_MAX);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rank_and_size),
        cmocka_unit_test_teardown(test_broadcast, all_chunks_again),
        cmocka_unit_test(test_patient_wait_is_cheap),
        cmocka_unit_test(test_agree_when_all_is_well),
        cmocka_unit_test(test_agree_on_failures),
        cmocka_unit_test(test_agreeing_again_repeats_the_sentence),
        cmocka_unit_test(test_same),
        cmocka_unit_test_teardown(test_gather, all_chunks_again),
    };
    return cmocka_run_group_tests(tests, mpi_fixture_open, mpi_fixture_close);
}
