#include "cluster/survivors_impl.h"

#include <mpi.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "cluster/allreduce_impl.h"
#include "cluster/comm_impl.h"
#include "cluster/ulfm_impl.h"
#include "cluster/watchdog.h"

static enum status check_library(void) {
    if (!ulfm_is_built_in())
        return FAIL(STATUS_BAD_INPUT,
                    "--lost-ranks needs an MPI library with fault tolerance (ULFM), such as Open "
                    "MPI from version 5 on; use caucus supervise with this one");
    if (!ulfm_is_switched_on())
        return FAIL(STATUS_BAD_INPUT,
                    "--lost-ranks needs mpirun --with-ft ulfm: without it a rank that ends ends "
                    "the others");
    return STATUS_OK;
}

enum status survivors_allow(struct comm *comm, int most) {
    CHECK(most > 0 && !comm->survivors);
    if (comm->alone) return STATUS_OK; /* there is nobody to lose */
    TRY(comm_agree(comm, check_library()));
    struct survivors *survivors = calloc(1, sizeof *survivors);
    if (survivors) {
        survivors->origins = calloc((size_t)comm->size, sizeof *survivors->origins);
        survivors->left = calloc((size_t)comm->size, sizeof *survivors->left);
    }
    const bool made = survivors && survivors->origins && survivors->left;
    const enum status status =
        comm_agree(comm, made ? STATUS_OK : FAIL(STATUS_NO_MEMORY, "out of memory for a list of ranks"));
    if (status != STATUS_OK) {
        survivors_free(survivors);
        return status;
    }
    survivors->most = most;
    survivors->first_size = comm->size;
    for (int rank = 0; rank < comm->size; rank++)
        survivors->origins[rank] = rank;
    comm->survivors = survivors;
    return STATUS_OK;
}

void survivors_free(struct survivors *survivors) {
    if (!survivors) return;
    free(survivors->origins);
    free(survivors->left);
    free(survivors);
}

bool survivors_allowed(const struct comm *comm) {
    return comm->survivors != NULL;
}

bool survivors_lost_one(const struct comm *comm) {
    return comm->survivors && comm->survivors->missing;
}

bool survivors_may_lose(const struct survivors *survivors, int n) {
    return survivors && survivors->lost + n <= survivors->most;
}

int survivors_first_size(const struct comm *comm) {
    return comm->survivors ? comm->survivors->first_size : comm->size;
}

int survivors_first_rank(const struct comm *comm) {
    return comm->survivors ? comm->survivors->origins[comm->rank] : comm->rank;
}

/* ---- leaving a task ---- */

void survivors_stay(struct survivors *survivors, bool stays) {
    if (survivors) survivors->stays = stays;
}

bool survivors_take(struct survivors *survivors, int code) {
    if (!survivors || !survivors->attempt) return false;
    if (ulfm_is_loss(code)) survivors->missing = true;
    if (!survivors->missing) return false;
    if (!survivors->stays) longjmp(*survivors->attempt, 1);
    return true;
}

/* Who waits for a rank that has left its task must leave his, in whichever communicator he waits. */
static void revoke_all(const struct comm *comm) {
    ulfm_revoke(comm->world);
    if (comm->overlap != MPI_COMM_NULL) ulfm_revoke(comm->overlap);
    for (int i = 0; i < COMM_PARTS_MAX; i++)
        if (comm->partial[i] != MPI_COMM_NULL) ulfm_revoke(comm->partial[i]);
}

bool survivors_attempt(struct comm *comm, survivors_task *task, void *argument, enum status *status_out) {
    struct survivors *survivors = comm->survivors;
    CHECK(survivors && !survivors->attempt);
    const enum operation before = place_unpack(atomic_load(&comm->heartbeat->place)).operation;
    jmp_buf attempt;
    if (setjmp(attempt) == 0) {
        survivors->attempt = &attempt;
        *status_out = task(argument);
        survivors->attempt = NULL;
        return true;
    }
    survivors->attempt = NULL;
    survivors->stays = false;
    heartbeat_leave(comm->heartbeat, before);
    heartbeat_layer(comm->heartbeat, PLACE_NO_LAYER);
    revoke_all(comm);
    allreduce_abandon(comm);
    return false;
}

/* ---- finding each other ---- */

/* left [old size]: each old rank's number among those that are left, MPI_UNDEFINED where it is lost. */
static void find_left(const struct comm *comm, MPI_Comm ranks, int *left) {
    MPI_Group before, after;
    COMM_MUST(comm, MPI_Comm_group(comm->world, &before));
    COMM_MUST(comm, MPI_Comm_group(ranks, &after));
    for (int rank = 0; rank < comm->size; rank++)
        COMM_MUST(comm, MPI_Group_translate_ranks(before, 1, &rank, after, &left[rank]));
    COMM_MUST(comm, MPI_Group_free(&before));
    COMM_MUST(comm, MPI_Group_free(&after));
}

/* Where they were, the watchdog knows. */
static void tell_lost(const struct comm *comm, const int *left) {
    for (int rank = 0; rank < comm->size; rank++) {
        char sentence[WATCHDOG_SENTENCE_MAX];
        if (left[rank] != MPI_UNDEFINED) continue;
        watchdog_describe_end(comm->watchdog, rank, sentence);
        log_warn("%s", sentence);
    }
}

/* The comm's communicators, which lost a rank, are done with. */
static void move_to(struct comm *comm, MPI_Comm ranks) {
    MPI_Comm_free(&comm->world); /* revoked: what MPI says of it does not matter */
    if (comm->overlap != MPI_COMM_NULL) MPI_Comm_free(&comm->overlap);
    comm->overlap = MPI_COMM_NULL;
    for (int i = 0; i < COMM_PARTS_MAX; i++)
        comm->partial[i] = MPI_COMM_NULL; /* of set-ups that a loss interrupted */
    comm->world = ranks;
    COMM_MUST(comm, MPI_Comm_set_errhandler(comm->world, MPI_ERRORS_RETURN));
    comm_settle(comm);
    log_renumber(comm->rank);
}

static void count_lost(struct survivors *survivors, int n_before, const int *left) {
    for (int rank = 0; rank < n_before; rank++) {
        if (left[rank] == MPI_UNDEFINED)
            survivors->lost++;
        else
            survivors->origins[left[rank]] = survivors->origins[rank];
    }
}

/* The same on all that are left. */
static enum status check_left(const struct survivors *survivors) {
    if (survivors->origins[0] != 0)
        return FAIL(STATUS_INTERNAL, "rank 0 is lost, which alone knows what was asked: nobody can go on");
    if (survivors->lost > survivors->most)
        return FAIL(STATUS_INTERNAL, "%d ranks are lost, and --lost-ranks allows %d", survivors->lost,
                    survivors->most);
    return STATUS_OK;
}

enum status survivors_regroup(struct comm *comm) {
    struct survivors *survivors = comm->survivors;
    CHECK(survivors_lost_one(comm));
    allreduce_tear_down(comm);
    MPI_Comm ranks;
    const int code = ulfm_shrink(comm->world, &ranks);
    survivors->missing = ulfm_is_loss(code); /* then all of this is tried again */
    comm_must(comm, code, "MPIX_Comm_shrink");

    const int n_before = comm->size;
    find_left(comm, ranks, survivors->left);
    watchdog_halt(comm->watchdog);
    tell_lost(comm, survivors->left);
    watchdog_abandon(comm->watchdog);
    comm->watchdog = NULL;
    count_lost(survivors, n_before, survivors->left);
    move_to(comm, ranks);
    TRY(check_left(survivors));
    log_warn("%d of %d ranks go on: the model is dealt anew", comm->size, n_before);
    return comm_watch(comm, comm->watch_seconds);
}

void survivors_keep_shares(const struct comm *comm, struct shares *shares) {
    if (!comm->survivors || comm->survivors->lost == 0) return;
    for (int rank = 0; rank < comm->size && rank < shares->n; rank++)
        shares->of[rank] = shares->of[comm->survivors->origins[rank]];
    if (shares->n > comm->size) shares->n = comm->size;
}
