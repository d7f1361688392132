#include "cluster/allreduce.h"

#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "cluster/allreduce_impl.h"
#include "cluster/shared_window_impl.h"

static const struct allreduce_algorithm *const all_algorithms[ALLREDUCE_ALGORITHMS] = {
    &allreduce_mpi, &allreduce_one_shot, &allreduce_split};

const struct allreduce_algorithm *allreduce_algorithm(int index) {
    return all_algorithms[index];
}

/* What was set up for an engine before this one. */
static void forget_choice(struct comm *comm) {
    CHECK(comm->minimum.n == 0);
    shared_window_destroy(comm->window);
    comm->window = NULL;
    memset(comm->exact_algorithm, 0, sizeof comm->exact_algorithm);
    memset(comm->float_algorithm, 0, sizeof comm->float_algorithm);
}

enum status allreduce_set_up(struct comm *comm, enum allreduce_choice choice, bool crowded) {
    forget_choice(comm);
    if (comm->size == 1 || choice == ALLREDUCE_MPI) return STATUS_OK;
    if (!shared_window_create(comm, crowded, &comm->window)) {
        if (choice == ALLREDUCE_AUTO) {
            log_info(1, "the ranks share no memory: MPI adds their parts");
            return STATUS_OK;
        }
        return FAIL(STATUS_BAD_INPUT, "--allreduce shared needs memory that all ranks see, but they are on "
                                      "several hosts, or /dev/shm is too small");
    }
    return allreduce_measure(comm, choice == ALLREDUCE_SHARED);
}

void allreduce_sum_i64(struct comm *comm, int64_t *values, size_t n) {
    if (comm->size == 1) return;
    const int class = allreduce_size_class(n * sizeof *values);
    all_algorithms[comm->exact_algorithm[class]]->sum_i64(comm, values, n);
}

void allreduce_sum_f32(struct comm *comm, float *values, size_t n) {
    if (comm->size == 1) return;
    const int class = allreduce_size_class(n * sizeof *values);
    all_algorithms[comm->float_algorithm[class]]->sum_f32(comm, values, n);
}

void allreduce_min_u32_begin(struct comm *comm, uint32_t *values, size_t n) {
    CHECK(comm->minimum.n == 0);
    if (comm->size == 1 || n == 0) return;
    comm->minimum.values = values;
    comm->minimum.n = n;
    if (comm->window)
        allreduce_shared_min_begin(comm, values, n);
    else
        allreduce_mpi_min_begin(comm, values, n);
}

void allreduce_min_u32_finish(struct comm *comm) {
    if (comm->minimum.n == 0) return;
    if (comm->window)
        allreduce_shared_min_finish(comm, comm->minimum.values, comm->minimum.n);
    else
        COMM_MUST(comm, MPI_Wait(&comm->minimum.request, MPI_STATUS_IGNORE));
    comm->minimum.n = 0;
}
