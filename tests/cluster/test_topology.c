#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sched.h>
#include <string.h>

#include "cluster/topology.h"

static void test_default_threads(void **state) {
    (void)state;
    static const struct {
        struct topology topology;
        int n_ranks, n_threads;
    } cases[] = {
        {{16, 16}, 1, 16}, {{16, 16}, 2, 8}, {{16, 16}, 3, 5},
        {{2, 2}, 7, 1},    {{16, 1}, 2, 1}, /* bound to a core */
        {{16, 8}, 4, 4},                    /* bound to a socket that it shares */
        {{16, 8}, 2, 8},                    /* bound to a socket of its own */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(topology_default_threads(&cases[i].topology, cases[i].n_ranks), cases[i].n_threads);
}

static void test_crowded(void **state) {
    (void)state;
    const struct topology free_host = {16, 16}, one_core = {16, 1};
    assert_false(topology_crowded(&free_host, 8, 2));
    assert_true(topology_crowded(&free_host, 9, 2));
    assert_false(topology_crowded(&free_host, 5, 3));
    assert_true(topology_crowded(&free_host, 1, 17));
    assert_false(topology_crowded(&one_core, 1, 16));
    assert_true(topology_crowded(&one_core, 2, 2));
}

static void test_warning(void **state) {
    (void)state;
    char text[TOPOLOGY_WARNING_MAX];
    const struct topology one_core = {16, 1};
    assert_true(topology_warning(&one_core, 8, 2, text));
    assert_string_equal(text,
                        "this rank was bound to 1 of 16 cores, but it could use 8: add `--bind-to none` or "
                        "`--map-by slot:PE=8` to mpirun, `--cpus-per-task=8` to srun");
    assert_true(topology_warning(&one_core, 0, 4, text)); /* its share would be 4 */
    assert_non_null(strstr(text, "could use 4:"));
}

static void test_no_warning(void **state) {
    (void)state;
    char text[TOPOLOGY_WARNING_MAX];
    const struct topology free_host = {16, 16}, one_core = {16, 1}, socket = {16, 8};
    assert_false(topology_warning(&free_host, 0, 2, text));
    assert_false(topology_warning(&free_host, 32, 1, text)); /* nobody bound it */
    assert_false(topology_warning(&one_core, 1, 2, text));   /* one thread was asked for */
    assert_false(topology_warning(&one_core, 0, 16, text));
    assert_false(topology_warning(&socket, 0, 2, text));
}

/* Binds this process as mpirun would. */
static void test_read_sees_the_binding(void **state) {
    (void)state;
    struct topology before, bound;
    assert_int_equal(topology_read(&before), STATUS_OK);
    assert_in_range(before.n_cores_bound, 1, before.n_cores_host);

    cpu_set_t all, one;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(topology_read(&bound), STATUS_OK);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);

    assert_int_equal(bound.n_cores_bound, 1);
    assert_int_equal(bound.n_cores_host, before.n_cores_host);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default_threads),
        cmocka_unit_test(test_crowded),
        cmocka_unit_test(test_warning),
        cmocka_unit_test(test_no_warning),
        cmocka_unit_test(test_read_sees_the_binding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
