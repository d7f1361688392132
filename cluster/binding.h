/* cluster/binding.h - which cores each thread of this rank runs on.
 *
 * The cores that the launcher left a rank are cut into as many slices as there are threads, contiguous and in
 * order, and each thread keeps to its slice: a core of its own where there are as many threads as cores, and
 * room to evade other programs where there are fewer. Ranks that were left the same cores, as all ranks of a
 * host that are not bound at all, deal these between them first, in rank order. hwloc numbers cores by socket
 * and NUMA node, so neighbours in a slice are neighbours in the machine, and memory that a thread touches
 * first stays near it.
 *
 * Memory:  create allocates; destroy frees.
 * Threads: create on the main thread before the first parallel region; apply on each thread for itself.
 * Ranks:   create is collective; the rest is local. */
#pragma once

#include <stdbool.h>

#include "base/status.h"
#include "cluster/comm.h"

enum binding_choice { BINDING_AUTO, BINDING_NONE };

struct binding;

/* BINDING_NONE leaves every thread as it is. Nobody is bound either where the threads of all ranks are more
 * than their cores: there the system shares time better than any fixed rule. */
NODISCARD enum status binding_create(struct comm *comm, int n_threads, enum binding_choice choice,
                                     struct binding **binding_out);

/* Gives the calling thread back what the launcher left the rank; other threads stay where they are until they
 * apply another binding. NULL is allowed. */
void binding_destroy(struct binding *binding);

/* Binds the calling thread, or gives it all cores where the threads are too many. Where that is not
 * permitted, as in some containers, it runs on as before: false.
 */
bool binding_apply(const struct binding *binding, int thread);

/* "3 threads on CPUs 0-2,8-10", or why they are not bound. */
const char *binding_text(const struct binding *binding);

struct core_range { /* [begin, end) */
    int begin, end;
};

/* The slice of one thread: `n_cores` dealt to `n_ranks`, the part of the rank at `position` to its threads.
 */
struct core_range binding_slice(int n_cores, int n_ranks, int position, int n_threads, int thread);
