/* What ends a whole job: this program runs itself with the name of a fault and reads what it says. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <mpi.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/check.h"
#include "cluster/comm.h"

static bool thread_level_is_low;
static bool barrier_fails;

/* MPI's profiling interface: these take the place of the library's own. */
int MPI_Init_thread(int *argc, char ***argv, int required, int *provided) {
    const int code = PMPI_Init_thread(argc, argv, required, provided);
    if (thread_level_is_low) *provided = MPI_THREAD_SINGLE;
    return code;
}

int MPI_Barrier(MPI_Comm group) {
    return barrier_fails ? MPI_ERR_COMM : PMPI_Barrier(group);
}

static int run_fault(const char *fault) {
    thread_level_is_low = strcmp(fault, "thread-level") == 0;
    barrier_fails = strcmp(fault, "mpi-error") == 0;
    struct comm *comm;
    if (comm_open(NULL, NULL, &comm) != STATUS_OK) {
        fprintf(stderr, "%s\n", status_message());
        return 2;
    }
    if (strcmp(fault, "one-error") == 0) {
        if (comm_watch(comm, 5) != STATUS_OK) return 2;
        barrier_fails = comm_rank(comm) == 1;
    }
    printf("not flushed yet");
    if (strcmp(fault, "abort") == 0) comm_abort(comm, 7);
    if (strcmp(fault, "check") == 0) CHECK(comm_size(comm) == 0);
    comm_barrier(comm);
    comm_close(comm);
    return 0;
}

static void expect(const char *fault, int exit_status, const char *words) {
    char command[64], said[8192];
    snprintf(command, sizeof command, "exec %s %s 2>&1", "/proc/$PPID/exe", fault);
    FILE *child = popen(command, "r");
    assert_non_null(child);
    said[fread(said, 1, sizeof said - 1, child)] = '\0';
    const int result = pclose(child);
    if (!strstr(said, words)) print_error("%s\n", said);
    assert_non_null(strstr(said, words));
    assert_true(WIFEXITED(result));
    assert_int_equal(WEXITSTATUS(result), exit_status);
}

static void test_no_fault(void **state) {
    (void)state;
    expect("none", 0, "not flushed yet");
}

static void test_low_thread_level_is_refused(void **state) {
    (void)state;
    expect("thread-level", 2, "this MPI library offers no more than MPI_THREAD_SINGLE");
}

static void test_a_failing_call_is_named(void **state) {
    (void)state;
    expect("mpi-error", 1, "caucus: rank 0: MPI_Barrier failed: MPI_ERR_COMM: invalid communicator");
}

/* The others wait at the barrier, with a watchdog that would say it, too. */
static void test_a_failing_call_is_told_once(void **state) {
    (void)state;
    char said[8192];
    FILE *child =
        popen("OMPI_MCA_odls_base_sigkill_timeout=1 exec mpirun -n 3 /proc/$PPID/exe one-error 2>&1", "r");
    assert_non_null(child);
    said[fread(said, 1, sizeof said - 1, child)] = '\0';
    assert_int_not_equal(pclose(child), 0);
    const char *first = strstr(said, "caucus: ");
    assert_non_null(first);
    if (strstr(first + 1, "caucus: ")) print_error("%s\n", said);
    assert_memory_equal(first, "caucus: rank 1: MPI_Barrier failed", 34);
    assert_null(strstr(first + 1, "caucus: "));
}

static void test_abort_flushes_and_keeps_the_status(void **state) {
    (void)state;
    expect("abort", 7, "not flushed yet");
}

static void test_a_failed_check_ends_the_job(void **state) {
    (void)state;
    expect("check", 1, "comm_size(comm) == 0 does not hold");
}

int main(int argc, char **argv) {
    if (argc > 1) {
        setenv("OMPI_COMM_WORLD_RANK", "0", 0); /* as if launched: else MPI would not be started at all */
        return run_fault(argv[1]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_fault),
        cmocka_unit_test(test_low_thread_level_is_refused),
        cmocka_unit_test(test_a_failing_call_is_named),
        cmocka_unit_test(test_a_failing_call_is_told_once),
        cmocka_unit_test(test_abort_flushes_and_keeps_the_status),
        cmocka_unit_test(test_a_failed_check_ends_the_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
