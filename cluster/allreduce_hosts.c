/* All-reduces over several hosts, in two levels. A host may have one rank alone, and then has no window. */
#include "cluster/allreduce_impl.h"

void allreduce_over_hosts(struct comm *comm, const struct allreduce_algorithm *algorithm,
                          const struct element *element, void *values, size_t n) {
    if (comm->window) allreduce_shared_reduce(comm, SHARED_LANE_SUM, element, values, n);
    if (comm->leaders) exchange_sum(algorithm->exchange, comm->leaders, element, values, n);
    if (comm->window) allreduce_shared_pass(comm, SHARED_LANE_SUM, element, values, n);
}

/* The leader waits for its host's ranks here: they are where it is, at the end of the same attention, and
 * what it would wait for less now it would wait for more in the sum behind. */
void allreduce_hosts_min_begin(struct comm *comm, uint32_t *values, size_t n) {
    if (comm->window) allreduce_shared_reduce(comm, SHARED_LANE_MINIMUM, &element_u32_minimum, values, n);
    if (comm->leaders) allreduce_mpi_min_begin(comm, comm->hosts.overlap, values, n, &comm->minimum.request);
}

void allreduce_hosts_min_finish(struct comm *comm, uint32_t *values, size_t n) {
    if (comm->leaders) COMM_MUST(comm, MPI_Wait(&comm->minimum.request, MPI_STATUS_IGNORE));
    if (comm->window) allreduce_shared_pass(comm, SHARED_LANE_MINIMUM, &element_u32_minimum, values, n);
}
