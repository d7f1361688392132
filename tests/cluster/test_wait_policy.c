/* The program runs itself with a number of threads and says what it finds in its environment. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/topology.h"
#include "cluster/wait_policy.h"

static const char *value(const char *name) {
    const char *text = getenv(name);
    return text ? text : "-";
}

static int report(int n_threads, char **argv) {
    wait_policy_settle(n_threads, argv);
    printf("%s %s %s %d", value("OMP_WAIT_POLICY"), value("GOMP_SPINCOUNT"),
           value("OMPI_MCA_mpi_yield_when_idle"), atoi(argv[1]));
    return 0;
}

/* `setting`: as before a command in a shell. */
static void expect(const char *setting, int n_threads, const char *said) {
    char command[256], answer[256];
    snprintf(command, sizeof command,
             "exec env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT -u KMP_BLOCKTIME -u OMPI_COMM_WORLD_LOCAL_SIZE "
             "-u OMPI_MCA_mpi_yield_when_idle %s /proc/$PPID/exe %d",
             setting, n_threads);
    FILE *child = popen(command, "r");
    assert_non_null(child);
    answer[fread(answer, 1, sizeof answer - 1, child)] = '\0';
    assert_int_equal(pclose(child), 0);
    assert_string_equal(answer, said);
}

static void test_one_thread_needs_nothing(void **state) {
    (void)state;
    expect("", 1, "- - - 1");
}

static void test_threads_look_briefly(void **state) {
    (void)state;
    struct topology topology;
    assert_int_equal(topology_read(&topology), STATUS_OK);
    if (topology.n_cores_bound < 2) skip();
    expect("", 2, "- 10000 - 2");
    expect("", 0, "- 10000 - 0");
}

static void test_too_many_threads_sleep(void **state) {
    (void)state;
    expect("", 5000, "passive - - 5000");
    expect("OMPI_COMM_WORLD_LOCAL_SIZE=4000", 2, "passive - 1 2");
    expect("OMPI_COMM_WORLD_LOCAL_SIZE=4000 OMPI_MCA_mpi_yield_when_idle=0", 2, "passive - 0 2");
    expect("OMPI_COMM_WORLD_LOCAL_SIZE=4000", 0, "- - 1 0"); /* a thread each: only MPI waits */
}

static void test_the_user_is_left_alone(void **state) {
    (void)state;
    expect("OMP_WAIT_POLICY=active", 5000, "active - - 5000");
    expect("GOMP_SPINCOUNT=7", 5000, "- 7 - 5000");
    expect("KMP_BLOCKTIME=7", 5000, "- - - 5000");
    expect("OMP_WAIT_POLICY=active OMPI_COMM_WORLD_LOCAL_SIZE=4000", 2, "active - 1 2");
}

int main(int argc, char **argv) {
    if (argc > 1) return report(atoi(argv[1]), argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_thread_needs_nothing),
        cmocka_unit_test(test_threads_look_briefly),
        cmocka_unit_test(test_too_many_threads_sleep),
        cmocka_unit_test(test_the_user_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
