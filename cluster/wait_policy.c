#include "cluster/wait_policy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/launcher.h"
#include "cluster/topology.h"

/* What libgomp (the first two) and libomp (all but the second) go by. */
static const char *const variables[] = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"};
enum { N_VARIABLES = sizeof variables / sizeof *variables };

static bool chosen_already(void) {
    for (size_t i = 0; i < N_VARIABLES; i++)
        if (getenv(variables[i])) return true;
    return false;
}

static void choose(bool crowded) {
    if (crowded) {
        setenv("OMP_WAIT_POLICY", "passive", 1);
    } else {
        setenv("GOMP_SPINCOUNT", "10000", 1); /* looks: 0.1 to 0.5 ms */
        setenv("KMP_BLOCKTIME", "1", 1);      /* ms */
    }
}

/* Returns only where that fails, with everything as before. */
static void start_anew(char *const *argv) {
    char program[4096];
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length > 0) {
        program[length] = '\0';
        execv(program, argv);
    }
    for (size_t i = 0; i < N_VARIABLES; i++)
        unsetenv(variables[i]);
}

void wait_policy_settle(int n_threads, char *const *argv) {
    const int n_ranks = launcher_ranks_on_host();
    struct topology topology;
    if (n_threads == 1 || launcher_simulates() || topology_read(&topology) != STATUS_OK) return;
    if (n_threads == 0) n_threads = topology_default_threads(&topology, n_ranks);
    const bool crowded = topology_crowded(&topology, n_threads, n_ranks);
    /* Open MPI gives way by itself where ranks are more than cores, but does not count threads. */
    if (crowded && n_ranks > 1) setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
    if (n_threads == 1 || chosen_already()) return;
    choose(crowded);
    start_anew(argv);
}
