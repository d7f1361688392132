/* cluster/simulation.h - decode steps of a model that is not there: the seam between `caucus simulate`, which
 * knows what is asked, and the worker, which knows what a step does.
 *
 * Memory:  plain data.
 * Threads: main thread only.
 * Ranks:   the setup is rank 0's and broadcast; the result is rank 0's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cluster/engine.h"
#include "cluster/phase_costs.h"
#include "cluster/shard_map.h"

struct simulation_setup {
    struct engine_config engine; /* policy, numerics, all-reduce, types; what concerns a model is unused */
    struct shard_dims dims;      /* dense: no experts */
    int32_t n_layers;
    struct phase_costs costs;
    double speed;   /* hosts are so many times as fast as the one that was measured */
    int64_t depth;  /* tokens in the cache before the first step */
    int32_t places; /* of a query head's proposal that have to be seen until enough tokens are; 0: ranks agree
                     * by a minimum over all tokens instead */
    bool measured;  /* the setup before this one has measured which all-reduce is fastest */
    int32_t n_steps; /* timed, after one that is not */
};

/* What a rank waits in, by its own clock. */
enum exchange_kind {
    EXCHANGE_PLAN,       /* broadcast of the step plan */
    EXCHANGE_ATTENTION,  /* sums behind attention, waiting for slower ranks included */
    EXCHANGE_MLP,        /* sums behind the MLP, likewise */
    EXCHANGE_SCORES,     /* ranks that share a KV head: scores of all tokens … */
    EXCHANGE_PARTIALS,   /* … and parts of attention */
    EXCHANGE_AGREEMENT,  /* minimum that agrees on a set */
    EXCHANGE_CANDIDATES, /* gather of the best tokens */
    EXCHANGES
};

/* Seconds a step, mean over the steps. */
struct simulation_result {
    double step;
    double exchanges[EXCHANGES]; /* rank 0's */
    double compute;              /* rank 0's */
    double select;               /* of it: ranking, proposing, taking */
    double compute_most;         /* of the rank that computes most, … */
    double compute_mean;         /* … and of all */
    int64_t weight_bytes_most;   /* a rank's */
};

/* Rank 0's handle on the ranks that simulate; collective inside. */
struct simulator {
    void *self;
    int n_ranks;
    enum status (*run)(void *self, const struct simulation_setup *setup,
                       struct simulation_result *result_out);
};
