#include "cluster/ulfm_impl.h"

#include <stdlib.h>

#if defined(OPEN_MPI) && OPEN_MPI
#include <mpi-ext.h>
#endif

#ifdef OMPI_HAVE_MPI_EXT_FTMPI

bool ulfm_is_built_in(void) {
    return true;
}

/* mpirun leaves it in the environment; MPI itself has no question for it. */
bool ulfm_is_switched_on(void) {
    const char *enabled = getenv("OMPI_MCA_mpi_ft_enable");
    return enabled && (*enabled == '1' || *enabled == 't' || *enabled == 'T');
}

void ulfm_prepare(void) {
    if (ulfm_is_switched_on()) setenv("OMPI_MCA_async_mpi_finalize", "1", 0);
}

bool ulfm_is_loss(int code) {
    int class;
    if (code == MPI_SUCCESS || MPI_Error_class(code, &class) != MPI_SUCCESS) return false;
    return class == MPIX_ERR_PROC_FAILED || class == MPIX_ERR_PROC_FAILED_PENDING ||
           class == MPIX_ERR_REVOKED;
}

void ulfm_revoke(MPI_Comm ranks) {
    MPIX_Comm_revoke(ranks);
}

int ulfm_shrink(MPI_Comm ranks, MPI_Comm *left_out) {
    return MPIX_Comm_shrink(ranks, left_out);
}

#else

bool ulfm_is_built_in(void) {
    return false;
}

bool ulfm_is_switched_on(void) {
    return false;
}

void ulfm_prepare(void) {}

bool ulfm_is_loss(int code) {
    (void)code;
    return false;
}

void ulfm_revoke(MPI_Comm ranks) {
    (void)ranks;
}

int ulfm_shrink(MPI_Comm ranks, MPI_Comm *left_out) {
    (void)ranks;
    (void)left_out;
    return MPI_ERR_OTHER;
}

#endif
