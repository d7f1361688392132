/* cluster/phase_costs.h - what the phases of a decode step cost on one machine, as measured there by `caucus
 * bench
 * --costs`, so that steps of any shape can be simulated without weights (docs/scaling.md).
 *
 * A phase costs so many seconds a call and so many for each of its units. What it costs depends on the shape
 * of heads, on types and on threads too: a table holds for one choice of these.
 *
 * Memory:  plain data.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/dtype.h"

enum phase {
    PHASE_NORM,           /* element of a row */
    PHASE_PRODUCT,        /* byte of weights that come from memory */
    PHASE_PRODUCT_CACHED, /* byte of weights that all stay in the cache from step to step */
    PHASE_EXACT,          /* row x canonical block that is rounded to the grid of exact sums */
    PHASE_HEADS,          /* head: norm where the model has one, rotation, appending */
    PHASE_GATE,           /* MLP column */
    PHASE_RESIDUAL,       /* element of the hidden state */
    PHASE_ATTEND,         /* token x KV head, all tokens one after the other */
    PHASE_ATTEND_SET,     /* token x KV head, a set of tokens */
    PHASE_CHOOSE,         /* page x KV head whose bound is looked at, of few enough for the cache */
    PHASE_RANK,           /* token x query head */
    PHASE_PROPOSE,        /* word of the message */
    PHASE_TAKE,           /* word of the message */
    PHASE_LOGITS,         /* row of the vocabulary */
    PHASES
};

struct phase_cost {
    double call_seconds;
    double unit_seconds;
};

/* What the costs depend on beside the amount of work. */
struct phase_conditions {
    int32_t n_threads;
    int32_t head_dim;
    int32_t group; /* query heads of a KV head */
    enum dtype weights;
    enum dtype kv_dtype;
    bool qk_norm; /* of heads */
};

struct phase_costs {
    struct phase_conditions conditions;
    int64_t cached_bytes; /* weights of a rank up to so many count as cached */
    struct phase_cost phases[PHASES];
};

/* "norm", and what a unit is: "element". */
const char *phase_name(enum phase phase);
const char *phase_unit(enum phase phase);

/* One call of so many units; nothing to do takes no time. */
double phase_seconds(const struct phase_costs *costs, enum phase phase, int64_t units);
