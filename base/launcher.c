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

int launcher_ranks_on_host(void) {
    static const char *const names[] = {
        "OMPI_COMM_WORLD_LOCAL_SIZE", /* Open MPI */
        "MPI_LOCALNRANKS",            /* MPICH and Intel MPI */
        "PALS_LOCAL_SIZE",            /* Cray */
        "SLURM_STEP_TASKS_PER_NODE",  /* "4" or "4(x2)": the same on both hosts */
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = getenv(names[i]);
        const long n = text ? strtol(text, NULL, 10) : 0;
        if (n >= 1 && n <= INT_MAX) return (int)n;
    }
    return 1;
}
