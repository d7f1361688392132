#include "worker/worker_impl.h"

#include <stdio.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/log.h"

static enum status create_activations(struct worker *worker) {
    const struct model_shard *shard = worker->shard;
    const size_t rows = (size_t)worker->limits.max_tokens, hidden = (size_t)shard->spec->hidden_size;
    const size_t head_dim = (size_t)shard->spec->head_dim;
    const size_t q_columns = (size_t)shard->n_heads * head_dim,
                 kv_columns = (size_t)shard->n_kv_heads * head_dim;
    struct activations *act = &worker->act;
    TRY(ARENA_TAKE(worker->memory, rows * hidden, &act->x));
    TRY(ARENA_TAKE(worker->memory, rows * hidden, &act->normed));
    TRY(ARENA_TAKE(worker->memory, rows * q_columns, &act->q));
    TRY(ARENA_TAKE(worker->memory, rows * kv_columns, &act->k));
    TRY(ARENA_TAKE(worker->memory, rows * kv_columns, &act->v));
    TRY(ARENA_TAKE(worker->memory, rows * q_columns, &act->attended));
    TRY(ARENA_TAKE(worker->memory, rows * head_dim, &act->cos_sin));
    TRY(ARENA_TAKE(worker->memory, KV_PAGE_TOKENS * head_dim, &act->page_keys));
    return ARENA_TAKE(worker->memory, hidden * sizeof(float), &act->embedding_row);
}

/* Does the layer ever do one of these? Whatever a policy does, it does where the context is full. */
static bool layer_may(const struct worker *worker, int32_t layer, int bits) {
    return kv_policy_layer(worker->policy, 0, layer, worker->limits.context_length) & bits;
}

static void log_selection(const struct worker *worker) {
    char layers[128] = "";
    for (int32_t layer = 0, used = 0; layer < worker->shard->spec->n_layers && used < 100; layer++)
        if (layer_may(worker, layer, KV_AGREE))
            used += snprintf(layers + used, sizeof layers - (size_t)used, "%s%d", used ? ", " : "", layer);
    if (layers[0]) log_info(1, "%d tokens are selected at layers %s", worker->config.budget, layers);
}

/* A short context or a dense policy spares the buffers of selection. */
static bool policy_may(const struct worker *worker, int bits) {
    for (int32_t layer = 0; layer < worker->shard->spec->n_layers; layer++)
        if (layer_may(worker, layer, bits)) return true;
    return false;
}

static enum status create_selection(struct worker *worker) {
    const size_t slots = (size_t)worker->limits.max_slots, context = (size_t)worker->limits.context_length;
    const size_t words = policy_may(worker, KV_AGREE) ? slots * context : 0;
    TRY(ARENA_TAKE(worker->memory, words, &worker->selection.messages));
    TRY(ARENA_TAKE(worker->memory, slots, &worker->slot_tokens));
    return ARENA_TAKE(worker->memory, slots + 1, &worker->selection.message_offsets);
}

/* Columns of the widest product. */
static int64_t widest_input(const struct model_shard *shard) {
    const int64_t widths[] = {shard->spec->hidden_size, (int64_t)shard->n_heads * shard->spec->head_dim,
                              shard->mlp_size_local, shard->expert_size_local};
    int64_t widest = 0;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        if (widths[i] > widest) widest = widths[i];
    return widest;
}

static enum status create_reports(struct worker *worker) {
    const size_t n_ranks = (size_t)comm_size(worker->comm);
    TRY(ARENA_TAKE(worker->memory, n_ranks, &worker->reports));
    TRY(ARENA_TAKE(worker->memory, n_ranks, &worker->report_sizes));
    for (size_t rank = 0; rank < n_ranks; rank++)
        worker->report_sizes[rank] = sizeof *worker->reports;
    return STATUS_OK;
}

enum status step_memory_create(struct worker *worker, int32_t n_threads) {
    const struct model_shard *shard = worker->shard;
    const int32_t max_tokens = worker->limits.max_tokens;
    worker->n_threads = n_threads;
    const struct attention_shape attention = {
        .n_heads_local = shard->n_heads,
        .n_kv_heads_local = shard->n_kv_heads,
        .head_dim = shard->spec->head_dim,
        .sliding_window = worker->sliding_window,
        .context_length = worker->limits.context_length,
        .max_tokens = max_tokens,
        .n_threads = n_threads,
        .selects = policy_may(worker, KV_RANK),
        .rescores = policy_may(worker, KV_RESCORE),
        .kv_dtype = worker->config.kv_dtype,
        .group = worker->group,
        .heartbeat = comm_heartbeat(worker->comm), /* moved already */
    };
    TRY(arena_create("the step's buffers", &worker->memory));
    TRY(create_activations(worker));
    TRY(create_selection(worker));
    TRY(batch_create(max_tokens, worker->memory, &worker->batch));
    TRY(attention_create(&attention, worker->kernels, worker->memory, &worker->attention));
    const struct linear_shape linear = {n_threads, max_tokens, widest_input(shard), attention.heartbeat};
    TRY(linear_create(worker->kernels, worker->in_bf16, &linear, worker->memory, &worker->linear));
    TRY(residual_create(worker->comm, worker->kernels, worker->linear, worker->config.numerics, max_tokens,
                        shard->spec->hidden_size, worker->memory, &worker->residual));
    TRY(mlp_create(shard, worker->linear, max_tokens, worker->memory, &worker->mlp));
    TRY(logits_create(worker->comm, shard, worker->linear, max_tokens, worker->memory, &worker->logits));
    TRY(consensus_create(worker->comm, shard->spec->n_layers, worker->config.check_every, worker->memory,
                         &worker->consensus));
    TRY(create_reports(worker));
    TRY(slot_reports_create(worker->comm, worker->limits.max_slots, worker->memory, &worker->slot_reports));
    arena_seal(worker->memory);
    log_selection(worker);
    return STATUS_OK;
}
