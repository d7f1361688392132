#include "base/check.h"
#include "base/launcher.h"
#include "cluster/allreduce_impl.h"

void allreduce_mpi_sum(struct comm *comm, const struct allreduce_algorithm *algorithm,
                       const struct element *element, void *values, size_t n) {
    (void)algorithm;
    const MPI_Datatype type = element->bytes == sizeof(float) ? MPI_FLOAT : MPI_INT64_T;
    for (size_t done = 0; done < n;) {
        const int count = comm_chunk(comm, n - done);
        COMM_MUST(comm, MPI_Allreduce(MPI_IN_PLACE, (unsigned char *)values + done * element->bytes, count,
                                      type, MPI_SUM, comm->world));
        done += (size_t)count;
    }
}

void allreduce_mpi_min_begin(struct comm *comm, MPI_Comm ranks, uint32_t *values, size_t n,
                             MPI_Request *request_out) {
    CHECK(n <= comm->max_count);
    if (launcher_simulates()) { /* whose nonblocking reductions send everything to everybody */
        COMM_MUST(comm, MPI_Allreduce(MPI_IN_PLACE, values, (int)n, MPI_UINT32_T, MPI_MIN, ranks));
        *request_out = MPI_REQUEST_NULL;
        return;
    }
    COMM_MUST(comm, MPI_Iallreduce(MPI_IN_PLACE, values, (int)n, MPI_UINT32_T, MPI_MIN, ranks, request_out));
}
