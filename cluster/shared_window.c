#include "cluster/shared_window_impl.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/comm_impl.h"
#include "cluster/survivors.h"

/* Another process sees an atomic only if it takes no lock: the lock would be private. */
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics work between processes");

enum {
    PAGE_BYTES = 4096,
    COUNTER_BYTES = 128, /* two cache lines: x86 fetches them in pairs */
    WINDOW_BYTES_MAX = 16 << 20,

    /* How often to look before giving way between looks. With a core for each thread a millisecond: who gives
     * way to some other program does not get the core back before its time slice ends. */
    SPINS = 50000,
    SPINS_CROWDED = 50,
};

/* A piece of a sum stays within the second-level cache; a minimum of so many words is published whole. */
static const size_t slot_bytes_most[SHARED_LANES] = {
    [SHARED_LANE_SUM] = 256 << 10, [SHARED_LANE_MINIMUM] = 512 << 10};

struct counter {
    _Alignas(COUNTER_BYTES) _Atomic uint64_t published;
};

struct shared_window {
    const struct comm *comm;
    MPI_Comm ranks; /* those of this host */
    int n_ranks, position;
    MPI_Win window;
    int spins;
    unsigned char *base;
    size_t slot_bytes[SHARED_LANES];
    uint64_t published[SHARED_LANES]; /* by this rank: the number of its last exchange */
};

static size_t counters_bytes(const struct shared_window *window) {
    const size_t bytes = (size_t)window->n_ranks * SHARED_LANES * sizeof(struct counter);
    return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

static struct counter *counter_of(const struct shared_window *window, enum shared_lane lane, int rank) {
    struct counter *counters = (struct counter *)(void *)window->base;
    return &counters[(size_t)lane * (size_t)window->n_ranks + (size_t)rank];
}

/* Counters, then per lane the ranks' pairs of slots. */
static unsigned char *slot_of(const struct shared_window *window, enum shared_lane lane, int rank,
                              uint64_t number) {
    unsigned char *at = window->base + counters_bytes(window);
    for (int before = 0; before < (int)lane; before++)
        at += 2 * (size_t)window->n_ranks * window->slot_bytes[before];
    return at + (2 * (size_t)rank + number % 2) * window->slot_bytes[lane];
}

static size_t slots_bytes(const struct shared_window *window) {
    size_t bytes = 0;
    for (int lane = 0; lane < SHARED_LANES; lane++)
        bytes += 2 * (size_t)window->n_ranks * window->slot_bytes[lane];
    return bytes;
}

/* Containers often have a /dev/shm of 64 MiB only, which MPI uses too: many ranks get smaller slots. */
static void size_slots(struct shared_window *window) {
    memcpy(window->slot_bytes, slot_bytes_most, sizeof slot_bytes_most);
    while (slots_bytes(window) > WINDOW_BYTES_MAX && window->slot_bytes[SHARED_LANE_SUM] > PAGE_BYTES)
        for (int lane = 0; lane < SHARED_LANES; lane++)
            window->slot_bytes[lane] /= 2;
}

/* All memory is the leader's in name. The page it starts on is the same for all ranks, wherever they see it.
 */
static bool allocate(struct shared_window *window) {
    const struct comm *comm = window->comm;
    const size_t bytes = counters_bytes(window) + slots_bytes(window) + PAGE_BYTES;
    unsigned char *own;
    if (!hosts_have_room(comm, window->ranks, bytes)) return false;
    int allocated = MPI_Win_allocate_shared(window->position == 0 ? (MPI_Aint)bytes : 0, 1, MPI_INFO_NULL,
                                            window->ranks, &own, &window->window) == MPI_SUCCESS;
    COMM_MUST(comm, MPI_Allreduce(MPI_IN_PLACE, &allocated, 1, MPI_INT, MPI_MIN, window->ranks));
    if (!allocated) return false;
    COMM_MUST(comm, MPI_Win_set_errhandler(window->window, MPI_ERRORS_RETURN));

    MPI_Aint size;
    int unit;
    COMM_MUST(comm, MPI_Win_shared_query(window->window, 0, &size, &unit, &window->base));
    window->base += (0 - (uintptr_t)window->base) % PAGE_BYTES;
    COMM_MUST(comm, MPI_Win_lock_all(MPI_MODE_NOCHECK, window->window));
    return true;
}

/* Each rank touches its own slots first, so they lie on its NUMA node; and where memory is short, it shows
 * now. */
static void clear_own_part(struct shared_window *window) {
    const int rank = window->position;
    for (int lane = 0; lane < SHARED_LANES; lane++) {
        atomic_init(&counter_of(window, (enum shared_lane)lane, rank)->published, 0);
        memset(slot_of(window, (enum shared_lane)lane, rank, 0), 0, 2 * window->slot_bytes[lane]);
    }
    COMM_MUST(window->comm, MPI_Win_sync(window->window));
    COMM_MUST(window->comm, MPI_Barrier(window->ranks));
    COMM_MUST(window->comm, MPI_Win_sync(window->window));
}

bool shared_window_create(const struct comm *comm, const struct hosts *hosts, bool crowded,
                          struct shared_window **window_out) {
    struct shared_window *window = calloc(1, sizeof *window);
    int ready = window != NULL;
    COMM_MUST(comm, MPI_Allreduce(MPI_IN_PLACE, &ready, 1, MPI_INT, MPI_MIN, hosts->ranks));
    if (ready) {
        window->comm = comm;
        window->ranks = hosts->ranks;
        window->n_ranks = hosts->n_ranks;
        window->position = hosts->position;
        window->window = MPI_WIN_NULL;
        window->spins = crowded ? SPINS_CROWDED : SPINS;
        size_slots(window);
        ready = allocate(window);
    }
    if (!ready) {
        free(window);
        return false;
    }
    clear_own_part(window);
    *window_out = window;
    return true;
}

void shared_window_destroy(struct shared_window *window) {
    if (!window) return;
    if (!survivors_lost_one(window->comm)) { /* it would take all ranks */
        COMM_MUST(window->comm, MPI_Win_unlock_all(window->window));
        COMM_MUST(window->comm, MPI_Win_free(&window->window));
    }
    free(window);
}

size_t shared_window_slot_bytes(const struct shared_window *window, enum shared_lane lane) {
    return window->slot_bytes[lane];
}

void *shared_window_slot(struct shared_window *window, enum shared_lane lane) {
    return slot_of(window, lane, window->position, window->published[lane] + 1);
}

void shared_window_publish(struct shared_window *window, enum shared_lane lane) {
    const uint64_t number = ++window->published[lane];
    atomic_store_explicit(&counter_of(window, lane, window->position)->published, number,
                          memory_order_release);
}

static void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Lets another process have the core, and MPI get on: a message of an earlier call may still lie in a queue
 * of this process, for want of room at its receiver, and leaves only when MPI is called. The one waited for
 * may be waiting for that very message. */
static void give_way(const struct comm *comm) {
    int arrived;
    COMM_MUST(comm, MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm->overlap, &arrived, MPI_STATUS_IGNORE));
    sched_yield();
}

void shared_window_wait(struct shared_window *window, enum shared_lane lane) {
    const uint64_t number = window->published[lane];
    for (int rank = 0, n_looks = 0; rank < window->n_ranks; rank++) {
        const struct counter *counter = counter_of(window, lane, rank);
        while (atomic_load_explicit(&counter->published, memory_order_acquire) < number) {
            if (n_looks++ < window->spins)
                pause_briefly();
            else
                give_way(window->comm);
        }
    }
}

const void *shared_window_read(const struct shared_window *window, enum shared_lane lane, int rank) {
    return slot_of(window, lane, rank, window->published[lane]);
}
