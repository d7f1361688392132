/* tests/cluster/mpi_fixture.h - one comm for all tests of a program, which must be all collective.
 *
 * Ranks: a rank whose test fails aborts, and mpirun ends the others, which would wait for it for ever. */
#pragma once

#include <stdlib.h>

#include "cluster/comm.h"

static struct comm *comm;

static int mpi_fixture_open(void **state) {
    (void)state;
    setenv("CMOCKA_TEST_ABORT", "1", 1);
    return comm_open(NULL, NULL, &comm) == STATUS_OK ? 0 : -1;
}

static int mpi_fixture_close(void **state) {
    (void)state;
    comm_close(comm);
    return 0;
}
