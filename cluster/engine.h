/* cluster/engine.h - the seam between the coordinator, which knows requests, and the workers, which
 * know tensors. main() connects the two; neither includes the other.
 *
 * Memory:  plain data and a table of functions.
 * Threads: main thread only.
 * Ranks:   engine_config is rank 0's and broadcast; engine is rank 0's handle on all workers. */
#pragma once

#include <stdint.h>

#include "base/dtype.h"
#include "base/status.h"
#include "cluster/allreduce.h"
#include "cluster/binding.h"
#include "cluster/shares.h"
#include "cluster/step_plan.h"

/* What is measured beside decoding (worker/probe.h). */
enum probe_kind {
    PROBE_NONE,
    PROBE_RECALL, /* how much of dense attention the policy's sets cover */
    PROBE_MATRIX, /* under full: how much lessismore's set of each layer would, in each layer behind */
};

enum numerics { NUMERICS_REPRODUCIBLE, NUMERICS_FAST };

enum {
    ENGINE_PATH_MAX = 4096,
    ENGINE_MAX_SELECT_LAYERS = 16,
    ENGINE_NAME_MAX = 32,
    ENGINE_OPTIONS_MAX = 512
};

struct engine_config {
    char model_path[ENGINE_PATH_MAX];
    int32_t n_threads; /* per rank; 0: the cores of the host shared between its ranks */
    enum numerics numerics;
    enum allreduce_choice allreduce;
    enum allreduce_wire wire; /* F32 where numerics are reproducible */
    enum binding_choice binding;
    struct shares shares; /* n 0: all alike, unless … */
    bool measures_shares; /* … they follow from how fast each rank reads */
    enum dtype weights;   /* quantise matrices to this while loading; DTYPE_COUNT: as in the file */
    enum dtype kv_dtype;
    int64_t context_length; /* 0: the model's */
    int32_t sliding_window; /* tokens a query sees; 0: all; -1: as the model says */
    int32_t max_slots;
    int32_t max_step_tokens; /* tokens of one plan, prefill chunks included */
    int32_t verbosity;
    int32_t check_every; /* steps whose number is a multiple are compared over ranks; 0: none */

    char policy[ENGINE_NAME_MAX];
    int32_t budget;
    double recent_ratio;
    int32_t n_sinks;
    int32_t n_select_layers; /* 0: the model's default */
    int32_t select_layers[ENGINE_MAX_SELECT_LAYERS];
    int64_t dense_below;                     /* decode steps of at most so many tokens are dense */
    bool corrects;                           /* decoded tokens will come again, to be read densely */
    bool emulates;                           /* layers behind emulate_layer … */
    int32_t emulate_layer;                   /* … attend more to what it attended to */
    char policy_options[ENGINE_OPTIONS_MAX]; /* "name=value,…" */

    enum probe_kind probe;
    int32_t probe_every; /* only decode tokens whose N is a multiple of this; not looked at for PROBE_NONE */
};

/* Rank 0's handle: sends a plan to all ranks, runs rank 0's share and gathers the answer. */
struct engine {
    void *self;
    struct step_limits limits; /* what a plan may ask for */
    int32_t n_ranks;
    int32_t n_threads;        /* of rank 0 */
    const char *kernels_name; /* the instruction set that all compute with */

    /* `result` lives until the next step; fetch_logits leaves it alone. The plan gets its number here. */
    enum status (*step)(void *self, const struct step_plan *plan, const struct step_result **result_out);

    /* logits [vocab_size]: row `logits_row` of the last compute step, whole. */
    enum status (*fetch_logits)(void *self, int32_t logits_row, float *logits);

    /* What the last decode span of the last compute step attended to; lives until the next call. The first
     * call finds nothing: it makes the ranks note their sets from then on. */
    enum status (*trace)(void *self, const struct step_trace **trace_out);

    /* Gives a slot so many tokens of random keys and values, in seconds. */
    enum status (*fill_kv)(void *self, struct step_fill fill);

    /* How fast all threads of all ranks together read the weights and do nothing else. */
    enum status (*read_memory)(void *self, double *bytes_per_second_out);

    /* [n_ranks] reports, which live until the next call. */
    enum status (*report)(void *self, const struct rank_report **reports_out);

    /* [max_slots] of all ranks together, which live until the next call. */
    enum status (*report_slots)(void *self, const struct slot_report **reports_out);

    /* What the probe saw of a slot, or of all together (-1), since this was last asked: begins anew. Lives
     * until the next call; results of the last step stay. NULL where nothing is probed. */
    enum status (*probe)(void *self, int32_t slot, const struct step_probe **probe_out);
};
