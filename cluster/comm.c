#include "cluster/comm.h"

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/launcher.h"
#include "base/log.h"
#include "base/terminal.h"
#include "base/timer.h"
#include "cluster/allreduce_impl.h"
#include "cluster/comm_impl.h"
#include "cluster/leftovers.h"
#include "cluster/survivors_impl.h"
#include "cluster/ulfm_impl.h"
#include "cluster/watchdog.h"

enum { SENTENCE_MAX = 1024, TAG_GATHER = 1 };

/* comm_broadcast_patient: this long a rank looks without pause, then it naps between looks, and then naps
 * longer. A step in the midst of an answer follows within the first; a person's next question does not. */
static const double patient_spin_seconds = 0.02, patient_doze_seconds = 1;
static const struct timespec patient_nap = {.tv_nsec = 500000}, patient_long_nap = {.tv_nsec = 5000000};

static void flush_and_abort(int exit_status) {
    int running = 0;
    terminal_return();
    fflush(NULL);
    MPI_Initialized(&running);
    if (!running) return;
    leftovers_remove();
    MPI_Abort(MPI_COMM_WORLD, exit_status);
}

static const struct timespec watchdog_first = {.tv_sec = 1};

/* The job's end for a failed CHECK, which knows no comm. */
static void end_job(void) {
    flush_and_abort(1);
}

void comm_abort(struct comm *comm, int exit_status) {
    watchdog_farewell(comm->watchdog);
    flush_and_abort(exit_status);
    _Exit(exit_status); /* the standard lets MPI_Abort return */
}

void comm_must(const struct comm *comm, int code, const char *call) {
    if (survivors_take(comm->survivors, code) || code == MPI_SUCCESS) return;
    char reason[MPI_MAX_ERROR_STRING] = "unknown error";
    int length;
    /* Most of the time because another rank is gone: a watchdog knows which, and ends this one. */
    if (comm->watchdog) nanosleep(&watchdog_first, NULL);
    MPI_Error_string(code, reason, &length);
    fprintf(stderr, "caucus: rank %d: %.*s failed: %s\n", comm->rank, (int)strcspn(call, "("), call, reason);
    watchdog_farewell(comm->watchdog); /* it is said: nobody has to wonder why this rank ends */
    flush_and_abort(1);
    _Exit(1);
}

int comm_chunk(const struct comm *comm, size_t n_left) {
    return (int)(n_left < comm->max_count ? n_left : comm->max_count);
}

static enum status initialise_mpi(int *argc, char ***argv) {
    int running = 0;
    MPI_Initialized(&running);
    CHECK(!running);

    /* Between ranks of a host Open MPI sends what is over 4 KiB in two steps, through a system call: an
     * all-reduce of one token's hidden state is in that range. Sent at once it takes less than half the time
     * (docs/sharding.md). Whoever sets it himself is left alone. */
    setenv("OMPI_MCA_btl_vader_eager_limit", "32768", 0);
    ulfm_prepare();

    /* SIGTERM is for the main thread, or the watchdog: MPI's threads are born without. */
    sigset_t term, before;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &term, &before);
    int level = MPI_THREAD_SINGLE;
    const int code = MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &level);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != MPI_SUCCESS) return FAIL(STATUS_INTERNAL, "MPI_Init_thread failed");
    /* SimGrid's answer is less than what it can do. */
    if (level >= MPI_THREAD_FUNNELED || launcher_simulates()) return STATUS_OK;
    MPI_Finalize();
    return FAIL(STATUS_INTERNAL,
                "this MPI library offers no more than MPI_THREAD_SINGLE, but caucus runs threads beside the "
                "one that communicates: use a library built with MPI_THREAD_FUNNELED");
}

static void find_alike_on_this_host(struct comm *comm, uint64_t key, int *n_out, int *position_out) {
    MPI_Comm host, alike;
    COMM_MUST(comm, MPI_Comm_split_type(comm->world, MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &host));
    comm_adopt(comm, host);
    COMM_MUST(comm, MPI_Comm_split(host, (int)(key & INT_MAX), comm->rank, &alike));
    COMM_MUST(comm, MPI_Comm_size(alike, n_out));
    COMM_MUST(comm, MPI_Comm_rank(alike, position_out));
    COMM_MUST(comm, MPI_Comm_free(&alike));
    comm_release(comm, &host);
}

void comm_settle(struct comm *comm) {
    COMM_MUST(comm, MPI_Comm_rank(comm->world, &comm->rank));
    COMM_MUST(comm, MPI_Comm_size(comm->world, &comm->size));
    COMM_MUST(comm, MPI_Comm_dup(comm->world, &comm->overlap));
    int position;
    find_alike_on_this_host(comm, 0, &comm->ranks_on_this_host, &position);
    check_install(comm->rank, end_job);
}

static void join(struct comm *comm) {
    COMM_MUST(comm, MPI_Comm_rank(MPI_COMM_WORLD, &comm->rank)); /* for what may fail next */
    COMM_MUST(comm, MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
    COMM_MUST(comm, MPI_Comm_dup(MPI_COMM_WORLD, &comm->world)); /* inherits the handler */
    comm_settle(comm);
}

void comm_adopt(struct comm *comm, MPI_Comm partial) {
    int i = 0;
    while (i < COMM_PARTS_MAX && comm->partial[i] != MPI_COMM_NULL)
        i++;
    CHECK(i < COMM_PARTS_MAX);
    comm->partial[i] = partial;
}

/* Where a rank is lost it is revoked, and MPI may say so. */
void comm_release(struct comm *comm, MPI_Comm *partial) {
    for (int i = 0; i < COMM_PARTS_MAX; i++)
        if (comm->partial[i] == *partial) comm->partial[i] = MPI_COMM_NULL;
    const int code = MPI_Comm_free(partial);
    if (!survivors_lost_one(comm)) comm_must(comm, code, "MPI_Comm_free");
}

static enum status take_scratch(struct comm *comm) {
    comm->counts = calloc((size_t)comm->size, sizeof *comm->counts);
    comm->displacements = calloc((size_t)comm->size, sizeof *comm->displacements);
    comm->parts = calloc((size_t)comm->size, sizeof *comm->parts);
    if (comm->counts && comm->displacements && comm->parts) return STATUS_OK;
    return FAIL(STATUS_NO_MEMORY, "out of memory for a communicator of %d ranks", comm->size);
}

enum status comm_open(int *argc, char ***argv, struct comm **comm_out) {
    struct comm *comm = calloc(1, sizeof *comm);
    if (!comm) return FAIL(STATUS_NO_MEMORY, "out of memory for a communicator");
    *comm =
        (struct comm){.alone = !launcher_present(), .size = 1, .ranks_on_this_host = 1, .max_count = INT_MAX};
    comm->heartbeat = &comm->own_heartbeat;
    heartbeat_layer(comm->heartbeat, PLACE_NO_LAYER);
    for (int i = 0; i < COMM_PARTS_MAX; i++)
        comm->partial[i] = MPI_COMM_NULL;
    enum status status;
    if (!comm->alone) {
        TRY_GOTO(initialise_mpi(argc, argv), free_comm);
        join(comm);
    } else {
        check_install(comm->rank, end_job);
    }
    TRY_GOTO(comm_agree(comm, take_scratch(comm)), close_comm);
    *comm_out = comm;
    return STATUS_OK;

close_comm:
    comm_close(comm);
    return status;
free_comm:
    free(comm);
    return status;
}

void comm_close(struct comm *comm) {
    if (!comm) return;
    watchdog_close(comm->watchdog);
    comm->watchdog = NULL;
    allreduce_tear_down(comm);
    if (!comm->alone) {
        COMM_MUST(comm, MPI_Barrier(comm->world)); /* MPI_Finalize may not wait for the others */
        COMM_MUST(comm, MPI_Comm_free(&comm->overlap));
        COMM_MUST(comm, MPI_Comm_free(&comm->world));
        COMM_MUST(comm, MPI_Finalize());
    }
    check_install(comm->rank, NULL);
    survivors_free(comm->survivors);
    free(comm->parts);
    free(comm->displacements);
    free(comm->counts);
    free(comm);
}

enum status comm_watch(struct comm *comm, double timeout_seconds) {
    CHECK(!comm->watchdog);
    comm->watch_seconds = timeout_seconds;
    if (comm->size == 1 || timeout_seconds == 0 || launcher_simulates()) return STATUS_OK;
    const enum status status = watchdog_open(comm, timeout_seconds, &comm->watchdog);
    if (status != STATUS_IO) return status;
    log_info(1, "nobody watches for missing ranks: %s", status_message()); /* the job can do without */
    return STATUS_OK;
}

struct heartbeat *comm_heartbeat(const struct comm *comm) {
    return comm->heartbeat;
}

int comm_rank(const struct comm *comm) {
    return comm->rank;
}

int comm_size(const struct comm *comm) {
    return comm->size;
}

int comm_ranks_on_this_host(const struct comm *comm) {
    return comm->ranks_on_this_host;
}

void comm_alike_on_this_host(struct comm *comm, uint64_t key, int *n_out, int *position_out) {
    *n_out = 1;
    *position_out = 0;
    if (comm->size > 1) find_alike_on_this_host(comm, key, n_out, position_out);
}

static void broadcast_from(struct comm *comm, int root, void *data, size_t size) {
    if (comm->size == 1) return;
    const enum operation before = heartbeat_enter(comm->heartbeat, OPERATION_BROADCAST);
    for (char *at = data, *end = at + size; at < end;) {
        const int count = comm_chunk(comm, (size_t)(end - at));
        COMM_MUST(comm, MPI_Bcast(at, count, MPI_BYTE, root, comm->world));
        at += count;
    }
    heartbeat_leave(comm->heartbeat, before);
}

void comm_broadcast(struct comm *comm, void *data, size_t size) {
    broadcast_from(comm, 0, data, size);
}

static void wait_patiently(struct comm *comm, MPI_Request *request) {
    const double began = timer_seconds();
    for (;;) {
        int done;
        COMM_MUST(comm, MPI_Test(request, &done, MPI_STATUS_IGNORE));
        if (done) return;
        const double waited = timer_seconds() - began;
        if (waited > patient_spin_seconds)
            nanosleep(waited > patient_doze_seconds ? &patient_long_nap : &patient_nap, NULL);
    }
}

void comm_broadcast_patient(struct comm *comm, void *data, size_t size) {
    if (comm->size == 1 || size == 0) return;
    CHECK(size <= comm->max_count);
    if (launcher_simulates()) { /* whose nonblocking broadcast sends to one after the other */
        comm_broadcast(comm, data, size);
        return;
    }
    const enum operation before = heartbeat_enter(comm->heartbeat, OPERATION_PLAN);
    MPI_Request request;
    COMM_MUST(comm, MPI_Ibcast(data, comm_chunk(comm, size), MPI_BYTE, 0, comm->world, &request));
    wait_patiently(comm, &request);
    heartbeat_leave(comm->heartbeat, before);
}

enum status comm_agree(struct comm *comm, enum status status) {
    if (comm->size == 1) return status;
    int lowest = status == STATUS_OK ? comm->size : comm->rank;
    const enum operation before = heartbeat_enter(comm->heartbeat, OPERATION_AGREE);
    COMM_MUST(comm, MPI_Allreduce(MPI_IN_PLACE, &lowest, 1, MPI_INT, MPI_MIN, comm->world));
    heartbeat_leave(comm->heartbeat, before);
    if (lowest == comm->size) return STATUS_OK;

    struct {
        enum status status;
        char sentence[SENTENCE_MAX];
    } fault = {.status = status};
    snprintf(fault.sentence, sizeof fault.sentence, "%s", status_message());
    broadcast_from(comm, lowest, &fault, sizeof fault);
    if (lowest == 0) return FAIL(fault.status, "%s", fault.sentence);
    return FAIL(fault.status, "rank %d: %s", lowest, fault.sentence);
}

enum status comm_same(struct comm *comm, uint64_t value, const char *what) {
    uint64_t first = value;
    comm_broadcast(comm, &first, sizeof first);
    enum status status = STATUS_OK;
    if (value != first) status = FAIL(STATUS_BAD_INPUT, "disagrees with rank 0 on %s", what);
    return comm_agree(comm, status);
}

static void gather_at_once(struct comm *comm, const void *data, const size_t *sizes, void *gathered) {
    int end = 0;
    for (int rank = 0; rank < comm->size; rank++) {
        comm->counts[rank] = (int)sizes[rank];
        comm->displacements[rank] = end;
        end += comm->counts[rank];
    }
    COMM_MUST(comm, MPI_Gatherv(data, comm->counts[comm->rank], MPI_BYTE, gathered, comm->counts,
                                comm->displacements, MPI_BYTE, 0, comm->world));
}

static void send_block(struct comm *comm, const char *data, size_t size) {
    for (size_t done = 0; done < size;) {
        const int count = comm_chunk(comm, size - done);
        COMM_MUST(comm, MPI_Send(data + done, count, MPI_BYTE, 0, TAG_GATHER, comm->world));
        done += (size_t)count;
    }
}

static void receive_block(struct comm *comm, int rank, char *data, size_t size) {
    for (size_t done = 0; done < size;) {
        const int count = comm_chunk(comm, size - done);
        COMM_MUST(comm,
                  MPI_Recv(data + done, count, MPI_BYTE, rank, TAG_GATHER, comm->world, MPI_STATUS_IGNORE));
        done += (size_t)count;
    }
}

/* For what MPI_Gatherv's int displacements cannot address, and for one rank alone. */
static void gather_by_rank(struct comm *comm, const void *data, const size_t *sizes, void *gathered) {
    if (comm->rank != 0) {
        send_block(comm, data, sizes[comm->rank]);
        return;
    }
    if (sizes[0]) memcpy(gathered, data, sizes[0]);
    char *at = (char *)gathered + sizes[0];
    for (int rank = 1; rank < comm->size; rank++) {
        receive_block(comm, rank, at, sizes[rank]);
        at += sizes[rank];
    }
}

void comm_gather(struct comm *comm, const void *data, const size_t *sizes, void *gathered) {
    size_t total = 0;
    for (int rank = 0; rank < comm->size; rank++)
        CHECK(!__builtin_add_overflow(total, sizes[rank], &total));
    const enum operation before = heartbeat_enter(comm->heartbeat, OPERATION_GATHER);
    if (comm->size > 1 && total <= comm->max_count)
        gather_at_once(comm, data, sizes, gathered);
    else if (total > 0)
        gather_by_rank(comm, data, sizes, gathered);
    heartbeat_leave(comm->heartbeat, before);
}

void comm_all_gather(struct comm *comm, const void *data, size_t size, void *gathered) {
    CHECK(size <= comm->max_count);
    if (comm->size == 1)
        memcpy(gathered, data, size);
    else
        COMM_MUST(comm, MPI_Allgather(data, (int)size, MPI_BYTE, gathered, (int)size, MPI_BYTE, comm->world));
}

void comm_barrier(struct comm *comm) {
    if (comm->alone) return;
    const enum operation before = heartbeat_enter(comm->heartbeat, OPERATION_BARRIER);
    COMM_MUST(comm, MPI_Barrier(comm->world));
    heartbeat_leave(comm->heartbeat, before);
}
