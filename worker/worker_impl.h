/* worker/worker_impl.h - what a worker is made of; for worker/ only. */
#pragma once

#include "cluster/comm.h"
#include "cluster/engine.h"
#include "cluster/head_group.h"
#include "cluster/step_plan.h"
#include "kvshard/kv_cache.h"
#include "kvshard/kv_policy.h"
#include "worker/attention.h"
#include "worker/batch.h"
#include "worker/consensus.h"
#include "worker/history.h"
#include "worker/linear.h"
#include "worker/logits.h"
#include "worker/mlp.h"
#include "worker/model_shard.h"
#include "worker/probe.h"
#include "worker/residual.h"
#include "worker/set_notes.h"
#include "worker/slot_reports.h"

/* Activations of one step, row per token. */
struct activations {
    float *x;      /* [max_tokens, hidden_size] residual stream */
    float *normed; /* [max_tokens, hidden_size] */
    float *q;      /* [max_tokens, n_heads_local * head_dim] */
    float *k;      /* [max_tokens, n_kv_heads_local * head_dim] */
    float *v;
    float *attended;              /* as q */
    float *cos_sin;               /* [max_tokens, head_dim] */
    float *page_keys;             /* [KV_PAGE_TOKENS, head_dim] that another rank has */
    unsigned char *embedding_row; /* one row in the file's dtype */
};

/* The agreement under way, from the selecting layer's attention to the end of that layer. */
struct selection {
    uint32_t *messages;      /* of all decode tokens of the step, one after the other */
    size_t *message_offsets; /* [max_slots + 1] words */
};

struct worker {
    struct comm *comm;
    struct engine_config asked;
    struct history *history; /* of rank 0 where ranks may be lost; NULL: none is kept */
    bool is_set_up;          /* everything below is there; else nothing is */
    bool is_given_up;        /* it could not be set up, and will not be */

    struct engine_config config; /* as asked, with what the model adds */
    struct step_limits limits;
    int32_t sliding_window; /* 0: none */
    struct model_file *file;
    struct model_shard *shard;
    struct head_group *group; /* the ranks that share this one's KV head: itself, where it has whole ones */
    struct kv_cache *cache;
    struct kv_policy *policy;
    struct step_channel *channel;
    struct set_notes *set_notes;
    struct binding *binding;
    const struct kernels *kernels;
    matmul_bf16 *in_bf16; /* as linear_create */

    struct arena *memory; /* everything below */
    struct linear *linear;
    struct attention *attention;
    struct residual *residual;
    struct mlp *mlp;
    struct logits *logits;
    struct consensus *consensus; /* NULL: nothing is checked */
    struct batch batch;
    struct activations act;
    struct selection selection;
    uint64_t n_plans;     /* sent so far; rank 0 */
    int64_t *slot_tokens; /* [max_slots] tokens that a slot holds */
    struct step_result result;
    struct step_trace trace; /* rank 0 */

    int32_t n_threads;
    struct rank_report traffic;  /* what was read since the last report; the rest is unused */
    struct rank_report *reports; /* [comm_size], rank 0 */
    size_t *report_sizes;        /* [comm_size] bytes of each rank's report */
    struct slot_reports *slot_reports;
    struct probe *probe; /* NULL: nothing is probed */
};

/* Opens the model, deals it and loads this rank's share; and gives all of it back. Collective, but for the
 * second where a rank is lost. */
NODISCARD enum status worker_set_up(struct worker *worker);
void worker_dismantle(struct worker *worker);

/* Rank 0: has a compute plan carried out by all, itself included. */
NODISCARD enum status worker_step(struct worker *worker, const struct step_plan *plan);

/* Takes what a step needs, from the parts' buffers to activations, once shard, cache and policy are there: in
 * one arena, sealed, so that no step allocates. n_threads: OpenMP's of this rank. Local. */
NODISCARD enum status step_memory_create(struct worker *worker, int32_t n_threads);

/* Executes a compute plan on this rank: collective with the other ranks' execution of the same plan. */
NODISCARD enum status step_execute(struct worker *worker, const struct step_plan *plan);

/* Frees the slot and fills it. Local. */
NODISCARD enum status measure_fill(struct worker *worker, const struct step_fill *fill);

/* Adds what the layer, whose attention is done, reads for the decode tokens of the step. Local. */
void measure_count_layer(struct worker *worker, int32_t layer);

/* How fast the ranks read their weights; collective. */
NODISCARD enum status measure_read(struct worker *worker, double *bytes_per_second_out);

/* Gathers all ranks' reports [comm_size] on rank 0 (NULL elsewhere) and begins to count anew. Collective. */
void measure_report(struct worker *worker, struct rank_report *reports);
