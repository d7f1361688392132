#include "base/check.h"
#include "cluster/allreduce_impl.h"

static void sum_i64(struct comm *comm, int64_t *values, size_t n) {
    for (size_t done = 0; done < n;) {
        const int count = comm_chunk(comm, n - done);
        COMM_MUST(comm, MPI_Allreduce(MPI_IN_PLACE, values + done, count, MPI_INT64_T, MPI_SUM, comm->world));
        done += (size_t)count;
    }
}

static void sum_f32(struct comm *comm, float *values, size_t n) {
    for (size_t done = 0; done < n;) {
        const int count = comm_chunk(comm, n - done);
        COMM_MUST(comm, MPI_Allreduce(MPI_IN_PLACE, values + done, count, MPI_FLOAT, MPI_SUM, comm->world));
        done += (size_t)count;
    }
}

const struct allreduce_algorithm allreduce_mpi = {"MPI", false, sum_i64, sum_f32};

void allreduce_mpi_min_begin(struct comm *comm, uint32_t *values, size_t n) {
    CHECK(n <= comm->max_count);
    COMM_MUST(comm, MPI_Iallreduce(MPI_IN_PLACE, values, (int)n, MPI_UINT32_T, MPI_MIN, comm->overlap,
                                   &comm->minimum.request));
}
