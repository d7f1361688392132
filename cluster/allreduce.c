#include "cluster/allreduce.h"

#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "cluster/allreduce_impl.h"

static const struct allreduce_algorithm all_algorithms[ALLREDUCE_ALGORITHMS] = {
    {"MPI", ALLREDUCE_MPI, NULL, false, allreduce_mpi_sum},
    {"shared, one-shot", ALLREDUCE_SHARED, NULL, false, allreduce_one_shot},
    {"shared, split", ALLREDUCE_SHARED, NULL, false, allreduce_split},
    {"MPI of leaders", ALLREDUCE_LEADERS, &exchange_mpi, false, allreduce_over_hosts},
    {"doubling", ALLREDUCE_DOUBLING, &exchange_doubling, false, allreduce_over_hosts},
    {"doubling, narrow", ALLREDUCE_DOUBLING, &exchange_doubling, true, allreduce_over_hosts},
    {"ring", ALLREDUCE_RING, &exchange_ring, false, allreduce_over_hosts},
    {"ring, narrow", ALLREDUCE_RING, &exchange_ring, true, allreduce_over_hosts},
    {"direct", ALLREDUCE_DIRECT, &exchange_direct, false, allreduce_over_hosts},
    {"direct, narrow", ALLREDUCE_DIRECT, &exchange_direct, true, allreduce_over_hosts},
    {"scatter", ALLREDUCE_SCATTER, &exchange_scatter, false, allreduce_over_hosts},
    {"scatter, narrow", ALLREDUCE_SCATTER, &exchange_scatter, true, allreduce_over_hosts},
};

const struct allreduce_algorithm *allreduce_algorithm(int index) {
    return &all_algorithms[index];
}

bool allreduce_fits(const struct comm *comm, const struct allreduce_algorithm *algorithm) {
    if (algorithm->choice == ALLREDUCE_MPI) return true;
    if (!algorithm->exchange) return comm->hosts.n == 1;
    return comm->hosts.n > 1 && comm->hosts.n <= algorithm->exchange->most_hosts;
}

bool allreduce_fits_floats(const struct comm *comm, const struct allreduce_algorithm *algorithm) {
    if (algorithm->choice == ALLREDUCE_MPI || !allreduce_fits(comm, algorithm)) return false;
    if (!algorithm->exchange) return true;
    return algorithm->exchange->in_order && !algorithm->narrow &&
           (algorithm->exchange->rounds_once || !comm->floats_as_bf16);
}

const struct element *allreduce_integers(const struct allreduce_algorithm *algorithm) {
    return algorithm->narrow ? &element_i64_narrow : &element_i64;
}

const struct element *allreduce_floats(const struct comm *comm) {
    return comm->floats_as_bf16 && comm->hosts.n > 1 ? &element_f32_as_bf16 : &element_f32;
}

void allreduce_abandon(struct comm *comm) {
    if (comm->minimum.n > 0 && comm->minimum.request != MPI_REQUEST_NULL)
        MPI_Wait(&comm->minimum.request, MPI_STATUS_IGNORE);
    comm->minimum.n = 0;
    if (comm->leaders) messages_abandon(&comm->leaders->messages);
    allreduce_abandon_begun(comm);
}

void allreduce_tear_down(struct comm *comm) {
    CHECK(comm->minimum.n == 0);
    allreduce_release(comm);
    shared_window_destroy(comm->window);
    leaders_destroy(comm->leaders);
    hosts_free(comm, &comm->hosts);
    comm->window = NULL;
    comm->leaders = NULL;
    memset(comm->exact_algorithm, 0, sizeof comm->exact_algorithm);
    memset(comm->float_algorithm, 0, sizeof comm->float_algorithm);
}

/* False where a host's ranks cannot share memory: on all ranks alike. */
static bool open_windows(struct comm *comm, bool crowded) {
    int open = comm->hosts.n_ranks == 1 || shared_window_create(comm, &comm->hosts, crowded, &comm->window);
    COMM_MUST(comm, MPI_Allreduce(MPI_IN_PLACE, &open, 1, MPI_INT, MPI_MIN, comm->world));
    return open;
}

static enum status connect_hosts(struct comm *comm) {
    enum status status = STATUS_OK;
    if (comm->hosts.n > 1 && comm->hosts.position == 0)
        status = leaders_create(comm, &comm->hosts, &comm->leaders);
    return comm_agree(comm, status);
}

/* What the table of measurements does not show. */
static void log_hosts(const struct comm *comm, const struct allreduce_config *config) {
    const bool between_hosts = config->choice >= ALLREDUCE_LEADERS;
    if (comm->hosts.n > 1)
        log_info(1, "%d hosts%s", comm->hosts.n,
                 comm->floats_as_bf16 ? ": floats travel between them as bf16" : "");
    else if (between_hosts)
        log_info(1, "the --allreduce asked for adds between hosts, and there is one: it is not used");
}

static enum status set_up(struct comm *comm, const struct allreduce_config *config) {
    TRY(hosts_find(comm, config->hosts, &comm->hosts));
    const bool open = open_windows(comm, config->crowded);
    if (config->choice == ALLREDUCE_SHARED && !(open && comm->hosts.n == 1))
        return FAIL(STATUS_BAD_INPUT, "--allreduce shared needs memory that all ranks see, but they are on "
                                      "several hosts, or /dev/shm is too small");
    if (!open) {
        log_info(1, "the ranks of a host share no memory: MPI adds their parts");
        allreduce_tear_down(comm);
        return STATUS_OK;
    }
    TRY(connect_hosts(comm));
    log_hosts(comm, config);
    return allreduce_measure(comm, config->choice);
}

enum status allreduce_set_up(struct comm *comm, const struct allreduce_config *config) {
    allreduce_tear_down(comm); /* what was set up for an engine before this one */
    comm->floats_as_bf16 = config->wire == ALLREDUCE_WIRE_BF16;
    if (comm->size == 1 || config->choice == ALLREDUCE_MPI) return STATUS_OK;
    const enum status status = set_up(comm, config);
    if (status != STATUS_OK) allreduce_tear_down(comm);
    return status;
}

void allreduce_sum_i64(struct comm *comm, int64_t *values, size_t n) {
    if (comm->size == 1) return;
    const int class = allreduce_size_class(n * sizeof *values);
    const struct allreduce_algorithm *algorithm = &all_algorithms[comm->exact_algorithm[class]];
    algorithm->sum(comm, algorithm, allreduce_integers(algorithm), values, n);
}

void allreduce_sum_f32(struct comm *comm, float *values, size_t n) {
    if (comm->size == 1) return;
    const int class = allreduce_size_class(n * sizeof *values);
    const struct allreduce_algorithm *algorithm = &all_algorithms[comm->float_algorithm[class]];
    algorithm->sum(comm, algorithm, allreduce_floats(comm), values, n);
}

void allreduce_min_u32_begin(struct comm *comm, uint32_t *values, size_t n) {
    CHECK(comm->minimum.n == 0);
    if (comm->size == 1 || n == 0) return;
    comm->minimum.request = MPI_REQUEST_NULL;
    comm->minimum.values = values;
    comm->minimum.n = n;
    if (comm->hosts.n > 1)
        allreduce_hosts_min_begin(comm, values, n);
    else if (comm->window)
        allreduce_shared_min_begin(comm, values, n);
    else
        allreduce_mpi_min_begin(comm, comm->overlap, values, n, &comm->minimum.request);
}

void allreduce_min_u32_finish(struct comm *comm) {
    if (comm->minimum.n == 0) return;
    if (comm->hosts.n > 1)
        allreduce_hosts_min_finish(comm, comm->minimum.values, comm->minimum.n);
    else if (comm->window)
        allreduce_shared_min_finish(comm, comm->minimum.values, comm->minimum.n);
    else
        COMM_MUST(comm, MPI_Wait(&comm->minimum.request, MPI_STATUS_IGNORE));
    comm->minimum.n = 0;
}
