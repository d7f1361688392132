#include "cluster/allreduce.h"

#include "base/check.h"
#include "cluster/comm_impl.h"

void allreduce_sum_i64(struct comm *comm, int64_t *values, size_t n) {
    if (comm->size == 1) return;
    for (size_t done = 0; done < n;) {
        const int count = comm_chunk(comm, n - done);
        COMM_MUST(comm, MPI_Allreduce(MPI_IN_PLACE, values + done, count, MPI_INT64_T, MPI_SUM, comm->world));
        done += (size_t)count;
    }
}

void allreduce_sum_f32(struct comm *comm, float *values, size_t n) {
    if (comm->size == 1) return;
    for (size_t done = 0; done < n;) {
        const int count = comm_chunk(comm, n - done);
        COMM_MUST(comm, MPI_Allreduce(MPI_IN_PLACE, values + done, count, MPI_FLOAT, MPI_SUM, comm->world));
        done += (size_t)count;
    }
}

/* One request and no chunks: n is a context length. */
void allreduce_min_u32_begin(struct comm *comm, uint32_t *values, size_t n) {
    CHECK(comm->minimum == MPI_REQUEST_NULL);
    CHECK(n <= comm->max_count);
    if (comm->size == 1 || n == 0) return;
    COMM_MUST(comm, MPI_Iallreduce(MPI_IN_PLACE, values, (int)n, MPI_UINT32_T, MPI_MIN, comm->overlap,
                                   &comm->minimum));
}

void allreduce_min_u32_finish(struct comm *comm) {
    if (comm->minimum == MPI_REQUEST_NULL) return;
    COMM_MUST(comm, MPI_Wait(&comm->minimum, MPI_STATUS_IGNORE));
}
