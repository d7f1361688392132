/* One step: embed, all layers, logits. Every rank runs this in lockstep; only the plan, the configuration
 * and agreed values decide which collective comes next. */
#include <string.h>

#include "base/check.h"
#include "base/numbers.h"
#include "base/timer.h"
#include "cluster/allreduce.h"
#include "cluster/heartbeat.h"
#include "kvshard/kv_stripes.h"
#include "worker/threads.h"
#include "worker/worker_impl.h"

/* For the watchdogs. */
static void now_at(const struct worker *worker, enum operation operation) {
    (void)heartbeat_enter(comm_heartbeat(worker->comm), operation);
}

/* Keys of tokens [begin, end), which lie in a page that one of the ranks that share the KV head has. */
static void share_keys(const struct worker *worker, int32_t slot, int32_t layer, int64_t begin, int64_t end) {
    const int64_t head_dim = worker->shard->spec->head_dim, n = end - begin;
    const void *keys[KV_PAGE_TOKENS], *values[KV_PAGE_TOKENS];
    int owner = 0;
    while (head_group_stripes(worker->group, owner).end <= kv_stripe_of(begin))
        owner++;
    if (owner == head_group_member(worker->group)) {
        kv_cache_rows(worker->cache, slot, layer, 0, NULL, begin, n, keys, values);
        for (int64_t i = 0; i < n; i++)
            worker->kernels->load(keys[i], kv_cache_dtype(worker->cache), head_dim,
                                  worker->act.page_keys + i * head_dim);
    }
    head_group_broadcast(worker->group, owner, worker->act.page_keys,
                         (size_t)(n * head_dim) * sizeof *worker->act.page_keys);
}

/* After a rewind into the midst of a page: its keys come to the policy again. */
static void feed_again(struct worker *worker, int32_t slot, int64_t end) {
    for (int32_t layer = 0; layer < worker->shard->spec->n_layers; layer++) {
        const int64_t begin = kv_policy_next_key(worker->policy, slot, layer);
        if (begin >= end) continue;
        share_keys(worker, slot, layer, begin, end);
        for (int64_t token = begin; token < end; token++)
            kv_policy_feed(worker->policy, 0, slot, layer, token,
                           worker->act.page_keys + (token - begin) * worker->shard->spec->head_dim);
    }
}

static void rewind_slot(struct worker *worker, int32_t slot, int64_t n_tokens) {
    kv_policy_rewind(worker->policy, slot, n_tokens);
    feed_again(worker, slot, n_tokens);
}

/* The new tokens' places in the cache; what the policy forgets makes room first. */
static enum status admit_span(struct worker *worker, const struct step_span *span) {
    if (span->first_position < worker->slot_tokens[span->slot])
        rewind_slot(worker, span->slot, span->first_position);
    TRY(kv_policy_admit(worker->policy, span->slot, span->first_position, span->n_tokens,
                        span->phase == SPAN_DECODE));
    worker->slot_tokens[span->slot] = span->first_position + span->n_tokens;
    return STATUS_OK;
}

/* Frees, reserves pages and notes the new lengths before anything is computed. */
static enum status prepare_slots(struct worker *worker, const struct step_plan *plan) {
    for (int32_t i = 0; i < plan->n_freed_slots; i++) {
        kv_cache_free_slot(worker->cache, plan->freed_slots[i]);
        kv_policy_rewind(worker->policy, plan->freed_slots[i], 0);
        worker->slot_tokens[plan->freed_slots[i]] = 0;
        slot_reports_reset(worker->slot_reports, plan->freed_slots[i]);
    }
    for (int32_t i = 0; i < plan->n_spans; i++) {
        const struct step_span *span = &plan->spans[i];
        if (span->first_position > worker->slot_tokens[span->slot])
            return FAIL(STATUS_INTERNAL, "the step plan continues slot %d at token %lld, but it holds %lld",
                        span->slot, (long long)span->first_position,
                        (long long)worker->slot_tokens[span->slot]);
        TRY(admit_span(worker, span));
    }
    return STATUS_OK;
}

static enum status embed(struct worker *worker) {
    const struct batch *batch = &worker->batch;
    const int64_t hidden = worker->shard->spec->hidden_size, head_dim = worker->shard->spec->head_dim;
    for (int32_t row = 0; row < batch->n_rows; row++) {
        TRY(model_shard_embed(worker->shard, batch->tokens[row], worker->act.embedding_row,
                              worker->act.x + row * hidden));
        rope_angles(&worker->shard->rope, batch->positions[row], worker->act.cos_sin + row * head_dim);
    }
    return STATUS_OK;
}

static void norm_rows(const struct worker *worker, struct residual_rows rows, const float *weight) {
    const struct model_spec *spec = worker->shard->spec;
#pragma omp parallel for if (threads_worthwhile((int64_t)rows.n * spec->hidden_size))
    for (int32_t row = rows.first; row < rows.first + rows.n; row++)
        worker->kernels->rms_norm(worker->act.x + (int64_t)row * spec->hidden_size, weight,
                                  spec->rms_norm_eps, spec->hidden_size,
                                  worker->act.normed + (int64_t)row * spec->hidden_size);
}

/* Bias, norm and rotation of one row's heads, q or k. */
static void finish_heads(const struct worker *worker, const float *bias, const float *norm,
                         const float *cos_sin, int32_t n_heads, float *heads) {
    const struct kernels *kernels = worker->kernels;
    const struct model_spec *spec = worker->shard->spec;
    if (bias) kernels->add(bias, (int64_t)n_heads * spec->head_dim, heads);
    for (int32_t head = 0; head < n_heads; head++) {
        float *x = heads + (int64_t)head * spec->head_dim;
        if (norm) kernels->rms_norm(x, norm, spec->rms_norm_eps, spec->head_dim, x);
        kernels->rope(x, cos_sin, spec->head_dim);
    }
}

static void append_row(const struct worker *worker, const struct batch_block *block, int32_t i,
                       int32_t layer) {
    const int64_t head_dim = worker->shard->spec->head_dim, n_kv_heads = worker->shard->n_kv_heads;
    const int64_t row = block->first_row + i, token = block->first_position + i;
    for (int32_t head = 0; head < n_kv_heads; head++) {
        const float *key = worker->act.k + (row * n_kv_heads + head) * head_dim;
        kv_cache_append(worker->cache, block->slot, layer, head,
                        kv_policy_row(worker->policy, block->slot, layer, head, token), key,
                        worker->act.v + (row * n_kv_heads + head) * head_dim);
        probe_append(worker->probe, block->slot, layer, head, token, key);
    }
}

/* The layer's new keys, for a policy to which the cache does not show them all. */
static void feed_keys(struct worker *worker, int32_t layer) {
    const int64_t head_dim = worker->shard->spec->head_dim;
    if (head_group_size(worker->group) == 1) return;
    for (int32_t b = 0; b < worker->batch.n_blocks; b++) {
        const struct batch_block *block = &worker->batch.blocks[b];
        for (int32_t i = 0; i < block->n_rows; i++)
            kv_policy_feed(worker->policy, 0, block->slot, layer, block->first_position + i,
                           worker->act.k + (block->first_row + i) * head_dim);
    }
}

/* q, k, v of all rows; keys and values go to the pages. */
static void project_heads(struct worker *worker, int32_t layer_index) {
    const struct model_shard *shard = worker->shard;
    const struct layer_shard *layer = &shard->layers[layer_index];
    struct activations *act = &worker->act;
    const int32_t n_rows = worker->batch.n_rows;
    linear_input(worker->linear, act->normed, layer->q.cols, n_rows, NULL);
    linear_run(worker->linear,
               (struct linear_product[]){{&layer->q, act->q}, {&layer->k, act->k}, {&layer->v, act->v}}, 3);
#pragma omp parallel for if (threads_worthwhile(n_rows * (layer->q.rows + layer->k.rows)))
    for (int32_t b = 0; b < worker->batch.n_blocks; b++) {
        const struct batch_block *block = &worker->batch.blocks[b];
        for (int32_t i = 0; i < block->n_rows; i++) {
            const int64_t row = block->first_row + i;
            const float *cos_sin = act->cos_sin + row * shard->spec->head_dim;
            finish_heads(worker, layer->q_bias, layer->q_norm, cos_sin, shard->n_heads,
                         act->q + row * layer->q.rows);
            finish_heads(worker, layer->k_bias, layer->k_norm, cos_sin, shard->n_kv_heads,
                         act->k + row * layer->k.rows);
            if (layer->v_bias)
                worker->kernels->add(layer->v_bias, layer->v.rows, act->v + row * layer->v.rows);
            append_row(worker, block, i, layer_index);
        }
    }
    feed_keys(worker, layer_index);
}

/* Do the ranks agree on something at this layer of the d-th decode token? */
static bool agrees(const struct worker *worker, int32_t layer, int32_t d) {
    const struct batch_block *block = &worker->batch.blocks[worker->batch.decodes[d]];
    return kv_policy_layer(worker->policy, block->slot, layer, block->first_position + 1) & KV_AGREE;
}

/* Where each decode token's message begins; returns the words of all, 0 where the layer agrees on nothing. */
static size_t lay_out_messages(const struct worker *worker, int32_t layer) {
    size_t words = 0;
    for (int32_t d = 0; d < worker->batch.n_decodes; d++) {
        const struct batch_block *block = &worker->batch.blocks[worker->batch.decodes[d]];
        worker->selection.message_offsets[d] = words;
        if (agrees(worker, layer, d))
            words += kv_policy_message_words(worker->policy, block->slot, layer, block->first_position + 1);
    }
    return words;
}

static void take_agreed(struct worker *worker, int32_t layer) {
#pragma omp parallel for schedule(dynamic) if (worker->batch.n_decodes > 1)
    for (int32_t d = 0; d < worker->batch.n_decodes; d++) {
        const struct batch_block *block = &worker->batch.blocks[worker->batch.decodes[d]];
        if (agrees(worker, layer, d))
            kv_policy_take(worker->policy, block->slot, layer, block->first_position + 1,
                           worker->selection.messages + worker->selection.message_offsets[d]);
    }
}

/* Its end is at the layer's end: what lies between, attention's output to the MLP, overlaps with it. */
static void begin_agreement(struct worker *worker, size_t message_words) {
    const double begin = timer_seconds();
    now_at(worker, OPERATION_SELECTION);
    allreduce_min_u32_begin(worker->comm, worker->selection.messages, message_words);
    now_at(worker, OPERATION_ATTENTION);
    worker->result.times.agree += timer_seconds() - begin;
}

static void finish_agreement(struct worker *worker, int32_t layer) {
    const double begin = timer_seconds();
    now_at(worker, OPERATION_SELECTION);
    allreduce_min_u32_finish(worker->comm);
    const double agreed = timer_seconds();
    take_agreed(worker, layer);
    worker->result.times.agree += agreed - begin;
    worker->result.times.select += timer_seconds() - agreed;
}

static void add_output_bias(const struct worker *worker, struct residual_rows rows, const float *bias) {
    const int64_t hidden = worker->shard->spec->hidden_size;
    for (int32_t row = rows.first; bias && row < rows.first + rows.n; row++)
        worker->kernels->add(bias, hidden, worker->act.x + row * hidden);
}

/* Products of these rows come next: whether linear may round them is looked up by their place in the step. */
static void begin_part(struct worker *worker, struct residual_rows rows) {
    linear_step(worker->linear, worker->batch.in_prompt + rows.first);
    residual_begin(worker->residual, rows);
}

static void send_attention(struct worker *worker, const struct layer_shard *layer,
                           struct residual_rows rows) {
    now_at(worker, OPERATION_ATTENTION);
    begin_part(worker, rows);
    residual_add_product(worker->residual, &layer->o, worker->shard->output_rows.begin,
                         worker->shard->map.head_block, worker->act.attended + rows.first * layer->o.cols);
    now_at(worker, OPERATION_ATTENTION_SUM);
    residual_send(worker->residual, rows.n < worker->batch.n_rows);
}

static void take_attention(struct worker *worker, const struct layer_shard *layer,
                           struct residual_rows rows) {
    now_at(worker, OPERATION_ATTENTION_SUM);
    residual_finish(worker->residual, worker->act.x);
    add_output_bias(worker, rows, layer->o_bias);
}

static void run_mlp(struct worker *worker, const struct layer_shard *layer, struct residual_rows rows) {
    now_at(worker, OPERATION_MLP);
    norm_rows(worker, rows, layer->mlp_norm);
    begin_part(worker, rows);
    mlp_run(worker->mlp, layer, worker->act.normed + (int64_t)rows.first * worker->shard->spec->hidden_size,
            rows.n, worker->residual);
}

/* Attention's output and the MLP, part by part of a prompt's rows: each part's sum travels while the next
 * one's product is formed. One part, as in decoding: one after the other. */
static void run_sums(struct worker *worker, const struct layer_shard *layer) {
    const int32_t n_rows = worker->batch.n_rows, n_parts = residual_n_parts(worker->residual, n_rows);
    send_attention(worker, layer, residual_part(n_rows, n_parts, 0));
    for (int32_t i = 0; i < n_parts; i++) {
        const struct residual_rows rows = residual_part(n_rows, n_parts, i);
        if (i + 1 < n_parts) send_attention(worker, layer, residual_part(n_rows, n_parts, i + 1));
        take_attention(worker, layer, rows);
        run_mlp(worker, layer, rows);
        now_at(worker, OPERATION_MLP_SUM);
        if (i > 0) residual_finish(worker->residual, worker->act.x); /* the MLP's of the part before */
        residual_send(worker->residual, n_parts > 1);
    }
    residual_finish(worker->residual, worker->act.x);
    linear_step(worker->linear, worker->batch.in_prompt);
}

/* One layer. The agreement of a selecting layer is begun after attention and finished at the layer's end:
 * the output projection, both sums and the MLP lie between, and the set is first needed in the next layer. */
static enum status run_layer(struct worker *worker, int32_t layer_index) {
    const struct layer_shard *layer = &worker->shard->layers[layer_index];
    struct activations *act = &worker->act;
    heartbeat_layer(comm_heartbeat(worker->comm), layer_index);
    now_at(worker, OPERATION_ATTENTION);
    norm_rows(worker, (struct residual_rows){0, worker->batch.n_rows}, layer->attention_norm);
    project_heads(worker, layer_index);
    const size_t message_words = lay_out_messages(worker, layer_index);
    attention_run(worker->attention, &(struct attention_call){
                                         .batch = &worker->batch,
                                         .cache = worker->cache,
                                         .policy = worker->policy,
                                         .layer = layer_index,
                                         .q = act->q,
                                         .out = act->attended,
                                         .messages = worker->selection.messages,
                                         .message_offsets = worker->selection.message_offsets,
                                     });
    measure_count_layer(worker, layer_index);
    TRY(set_notes_layer(worker->set_notes, worker->policy, &worker->batch, layer_index));
    probe_layer(worker->probe, worker->policy, &worker->batch, layer_index, act->q);
    if (message_words > 0) begin_agreement(worker, message_words);

    run_sums(worker, layer);

    if (message_words > 0) finish_agreement(worker, layer_index);
    consensus_set(worker->consensus, layer_index, worker->selection.messages, message_words);
    consensus_hidden(worker->consensus, layer_index, act->x,
                     (size_t)worker->batch.n_rows * (size_t)worker->shard->spec->hidden_size);
    return STATUS_OK;
}

/* Values that query head 0 of the last decode token read in the last layer where it did not read all. */
static int64_t attended_tokens(const struct worker *worker) {
    const struct batch *batch = &worker->batch;
    if (batch->n_decodes == 0) return 0;
    const struct batch_block *block = &batch->blocks[batch->decodes[batch->n_decodes - 1]];
    const int64_t n_cached = block->first_position + 1;
    if (worker->sliding_window > 0) return smaller_i64(n_cached, worker->sliding_window);
    for (int32_t layer = worker->shard->spec->n_layers - 1; layer >= 0; layer--) {
        const int64_t n = kv_policy_attended(worker->policy, block->slot, layer, n_cached, 0).n_tokens;
        if (n < n_cached) return n;
    }
    return n_cached;
}

enum status step_execute(struct worker *worker, const struct step_plan *plan) {
    const double begin = timer_seconds();
    const enum operation before = heartbeat_enter(comm_heartbeat(worker->comm), OPERATION_STEP);
    worker->result = (struct step_result){0};
    batch_fill(&worker->batch, plan, worker->sliding_window > 0 ? 1 : BATCH_BLOCK_ROWS);
    linear_step(worker->linear, worker->batch.in_prompt);
    TRY(prepare_slots(worker, plan));
    set_notes_clear(worker->set_notes);
    consensus_begin(worker->consensus, plan);
    if (worker->batch.n_rows > 0) {
        TRY(embed(worker));
        for (int32_t layer = 0; layer < worker->shard->spec->n_layers; layer++)
            TRY(run_layer(worker, layer));
        heartbeat_layer(comm_heartbeat(worker->comm), PLACE_NO_LAYER);
        now_at(worker, OPERATION_LOGITS);
        logits_compute(worker->logits, &worker->batch, worker->act.x, plan->n_candidates, &worker->result);
        worker->result.attended_tokens = attended_tokens(worker);
    }
    TRY(consensus_finish(worker->consensus));
    struct step_times *times = &worker->result.times;
    times->sync =
        residual_take_sync_seconds(worker->residual) + attention_take_sync_seconds(worker->attention);
    times->select += times->agree + attention_take_propose_seconds(worker->attention);
    times->compute = timer_seconds() - begin - times->sync - times->select;
    heartbeat_leave(comm_heartbeat(worker->comm), before);
    return STATUS_OK;
}
