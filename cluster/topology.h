/* cluster/topology.h - the cores that this process may use, and whether the launcher left it enough.
 *
 * Open MPI binds each of two ranks to one core and each of more ranks to one socket unless told otherwise:
 * a rank with eight threads then runs them on one core, eight times slower, without a word.
 *
 * Memory:  plain data.
 * Threads: topology_read before the first parallel region; the rest any.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>

#include "base/status.h"

struct topology {
    int n_cores_host;  /* of this host, as far as its containers allow */
    int n_cores_bound; /* of those, what this process is bound to; all of them where it is not bound */
};

NODISCARD enum status topology_read(struct topology *topology_out);

/* This rank's share: the cores of the host divided by its ranks, but not more than it is bound to. >= 1. */
int topology_default_threads(const struct topology *topology, int n_ranks_on_host);

/* Have the threads of the host's ranks, so many each, not a core each? */
bool topology_crowded(const struct topology *topology, int n_threads, int n_ranks_on_host);

/* True, and a sentence with its cure in `text`, when the launcher bound this process to fewer cores than it
 * needs for `n_threads` (0: for its share of the host). */
enum { TOPOLOGY_WARNING_MAX = 256 };
bool topology_warning(const struct topology *topology, int n_threads, int n_ranks_on_host,
                      char text[TOPOLOGY_WARNING_MAX]);
