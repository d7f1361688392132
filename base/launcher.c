#include "base/launcher.h"

#include <limits.h>
#include <stddef.h>
#include <stdlib.h>

bool launcher_present(void) {
    return getenv("OMPI_COMM_WORLD_RANK") || getenv("PMIX_RANK") || getenv("PMI_RANK") ||
           launcher_simulates();
}

bool launcher_simulates(void) {
    return getenv("SMPI_GLOBAL_SIZE") != NULL;
}

/* The first of these variables that is a number from 1 on; 0 where none is. */
static int first_number(const char *const *names, size_t n_names) {
    for (size_t i = 0; i < n_names; i++) {
        const char *text = getenv(names[i]);
        const long n = text ? strtol(text, NULL, 10) : 0;
        if (n >= 1 && n <= INT_MAX) return (int)n;
    }
    return 0;
}

int launcher_ranks(void) {
    static const char *const names[] = {
        "OMPI_COMM_WORLD_SIZE", /* first: mpirun inside Slurm sees a step of its own daemons */
        "PMI_SIZE",             /* MPICH and Intel MPI */
        "SLURM_STEP_NUM_TASKS",
    };
    const int n = first_number(names, sizeof names / sizeof *names);
    return n > 0 ? n : 1;
}

int launcher_ranks_on_host(void) {
    static const char *const names[] = {
        "OMPI_COMM_WORLD_LOCAL_SIZE", /* Open MPI */
        "MPI_LOCALNRANKS",            /* MPICH and Intel MPI */
        "PALS_LOCAL_SIZE",            /* Cray */
        "SLURM_STEP_TASKS_PER_NODE",  /* "4" or "4(x2)": the same on both hosts */
    };
    const int n = first_number(names, sizeof names / sizeof *names);
    return n > 0 ? n : 1;
}
