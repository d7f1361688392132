#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sched.h>
#include <string.h>

#include "cluster/binding.h"
#include "mpi_fixture.h"

/* Slices of all ranks' threads, one after the other, cover all cores once. */
static void expect_slices(int n_cores, int n_ranks, int n_threads) {
    int next = 0;
    for (int rank = 0; rank < n_ranks; rank++)
        for (int thread = 0; thread < n_threads; thread++) {
            const struct core_range slice = binding_slice(n_cores, n_ranks, rank, n_threads, thread);
            assert_int_equal(slice.begin, next);
            if (n_cores / n_ranks >= n_threads) assert_true(slice.end > slice.begin);
            next = slice.end;
        }
    assert_int_equal(next, n_cores);
}

static void test_slices(void **state) {
    (void)state;
    for (int n_cores = 1; n_cores < 20; n_cores++)
        for (int n_ranks = 1; n_ranks < 8; n_ranks++)
            for (int n_threads = 1; n_threads < 8; n_threads++)
                expect_slices(n_cores, n_ranks, n_threads);
    const struct core_range own = binding_slice(16, 2, 1, 8, 3), wide = binding_slice(16, 2, 1, 2, 0);
    assert_true(own.begin == 11 && own.end == 12);
    assert_true(wide.begin == 8 && wide.end == 12);
}

static cpu_set_t current(void) {
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    return set;
}

static void test_none_binds_nothing(void **state) {
    (void)state;
    const cpu_set_t before = current();
    struct binding *binding;
    assert_int_equal(binding_create(comm, 1, BINDING_NONE, &binding), STATUS_OK);
    assert_string_equal(binding_text(binding), "threads are not bound");
    assert_true(binding_apply(binding, 0));
    const cpu_set_t after = current();
    assert_true(CPU_EQUAL(&before, &after));
    binding_destroy(binding);
}

static void test_too_many_threads_are_not_bound(void **state) {
    (void)state;
    const cpu_set_t before = current();
    struct binding *binding;
    assert_int_equal(binding_create(comm, 5000, BINDING_AUTO, &binding), STATUS_OK);
    assert_non_null(strstr(binding_text(binding), "threads are not bound: "));
    assert_non_null(strstr(binding_text(binding), " x 5000 of them share "));
    assert_true(binding_apply(binding, 4999));
    const cpu_set_t after = current();
    assert_true(CPU_EQUAL(&before, &after));
    binding_destroy(binding);
}

/* Where the ranks fit, no two have a processor in common. */
static void test_ranks_are_apart(void **state) {
    (void)state;
    enum { RANKS_MAX = 16 };
    const cpu_set_t before = current();
    struct binding *binding;
    assert_int_equal(binding_create(comm, 1, BINDING_AUTO, &binding), STATUS_OK);
    const bool bound = !strstr(binding_text(binding), "not bound");
    assert_true(binding_apply(binding, 0));
    const cpu_set_t own = current();
    binding_destroy(binding);
    const cpu_set_t after = current();
    assert_true(CPU_EQUAL(&before, &after));

    cpu_set_t both, sets[RANKS_MAX];
    CPU_AND(&both, &own, &before);
    assert_true(CPU_EQUAL(&both, &own) && CPU_COUNT(&own) > 0);
    size_t sizes[RANKS_MAX];
    for (int rank = 0; rank < comm_size(comm); rank++)
        sizes[rank] = sizeof own;
    comm_gather(comm, &own, sizes, sets);
    if (comm_rank(comm) != 0 || !bound) return;
    for (int rank = 1; rank < comm_size(comm); rank++) {
        for (int other = 0; other < rank; other++) {
            CPU_AND(&both, &sets[rank], &sets[other]);
            assert_int_equal(CPU_COUNT(&both), 0);
        }
    }
}

static void test_alike_on_this_host(void **state) {
    (void)state;
    int n, position;
    comm_alike_on_this_host(comm, 7, &n, &position);
    assert_int_equal(n, comm_size(comm));
    assert_int_equal(position, comm_rank(comm));
    comm_alike_on_this_host(comm, (uint64_t)comm_rank(comm) % 2, &n, &position);
    assert_int_equal(n, (comm_size(comm) + 1 - comm_rank(comm) % 2) / 2);
    assert_int_equal(position, comm_rank(comm) / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_none_binds_nothing),
        cmocka_unit_test(test_too_many_threads_are_not_bound),
        cmocka_unit_test(test_alike_on_this_host),
        cmocka_unit_test(test_ranks_are_apart),
    };
    return cmocka_run_group_tests(tests, mpi_fixture_open, mpi_fixture_close);
}
