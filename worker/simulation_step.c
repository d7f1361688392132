/* A step: its collectives, and the time between them. */
#include "worker/simulation_impl.h"

#include <time.h>

#include "base/log.h"
#include "base/numbers.h"
#include "base/timer.h"
#include "cluster/allreduce.h"
#include "cluster/head_group.h"
#include "cluster/step_plan.h"
#include "kvshard/kv_policy.h"
#include "kvshard/kv_pool.h"
#include "kvshard/kv_stripes.h"
#include "worker/score_counts.h"

enum { N_CANDIDATES = 64, SLOT = 0 };

/* As in worker/logits.c. */
enum { SUMMARY_BYTES = 12, CANDIDATE_BYTES = 8, BLOCK_BYTES = 12 };

/* ---- time ---- */

static double cost(const struct simulation *simulation, enum phase phase, int64_t units) {
    return phase_seconds(&simulation->setup->costs, phase, units) / simulation->setup->speed;
}

static void compute(struct simulation *simulation, enum phase phase, int64_t units) {
    simulation->owed += cost(simulation, phase, units);
}

static void compute_selection(struct simulation *simulation, enum phase phase, int64_t units) {
    simulation->select += cost(simulation, phase, units);
    compute(simulation, phase, units);
}

/* Lets the time pass that was computed for; the next exchange begins then. */
static void settle(struct simulation *simulation) {
    const int64_t nanoseconds = (int64_t)(simulation->owed * 1e9);
    const struct timespec nap = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    nanosleep(&nap, NULL);
    simulation->compute += simulation->owed;
    simulation->owed = 0;
}

static double begin_exchange(struct simulation *simulation) {
    settle(simulation);
    return timer_seconds();
}

static void end_exchange(struct simulation *simulation, enum exchange_kind kind, double begin) {
    simulation->exchanges[kind] += timer_seconds() - begin;
}

/* ---- a step ---- */

static void sum(struct simulation *simulation, enum exchange_kind kind) {
    const size_t hidden = (size_t)simulation->setup->dims.hidden_size;
    const double begin = begin_exchange(simulation);
    if (simulation->setup->engine.numerics == NUMERICS_REPRODUCIBLE)
        allreduce_sum_i64(simulation->comm, simulation->exact, hidden + 1);
    else
        allreduce_sum_f32(simulation->comm, simulation->partial, hidden);
    end_exchange(simulation, kind, begin);
    compute(simulation, PHASE_RESIDUAL, simulation->setup->dims.hidden_size);
}

static void round_blocks(struct simulation *simulation, int64_t n_blocks, int64_t n_rows) {
    if (simulation->setup->engine.numerics == NUMERICS_REPRODUCIBLE)
        compute(simulation, PHASE_EXACT, n_blocks * n_rows);
}

/* What this rank's stripes have of a list. */
static int64_t own_part(const struct simulation *simulation, int64_t n_tokens) {
    return n_tokens * simulation->share.n_stripes / SHARD_STRIPES;
}

/* So many scores of every query head from each member. */
static void exchange_scores(struct simulation *simulation, size_t score_bytes) {
    struct head_group *group = simulation->group;
    for (int member = 0; member < head_group_size(group); member++)
        simulation->sizes[member] =
            (size_t)(simulation->counts[member] * simulation->share.n_heads) * score_bytes;
    const double begin = begin_exchange(simulation);
    head_group_gather(group, simulation->part, simulation->sizes, simulation->parts);
    end_exchange(simulation, EXCHANGE_SCORES, begin);
}

/* Ranks its own rows' scores, exchanges the best and ranks these, if they are the fewer; else all scores. No
 * member has more of the best than it sends at first. */
static void rank_together(struct simulation *simulation, struct kv_best best, int64_t n_tokens) {
    struct head_group *group = simulation->group;
    const int64_t n_heads = simulation->share.n_heads;
    const struct shard_range own = head_group_stripes(group, head_group_member(group));
    if (best.n > 0 && score_counts_best(group, n_tokens, best, SCORE_TIMES, simulation->counts)) {
        int64_t n_sent = 0;
        for (int member = 0; member < head_group_size(group); member++)
            n_sent += simulation->counts[member];
        compute_selection(simulation, PHASE_RANK, score_rows(own, best.begin, best.end) * n_heads);
        exchange_scores(simulation, sizeof(float) + sizeof(int32_t));
        compute_selection(simulation, PHASE_RANK, n_sent * n_heads);
        return;
    }
    for (int member = 0; member < head_group_size(group); member++)
        simulation->counts[member] = score_rows(head_group_stripes(group, member), 0, n_tokens);
    exchange_scores(simulation, sizeof(float));
    compute_selection(simulation, PHASE_RANK, n_tokens * n_heads);
}

/* Every member's sums of its stripes, the largest subtrees of them. */
static void exchange_partials(struct simulation *simulation) {
    struct head_group *group = simulation->group;
    if (head_group_size(group) == 1) return;
    for (int member = 0; member < head_group_size(group); member++) {
        const struct shard_range stripes = head_group_stripes(group, member);
        const int32_t end = (int32_t)stripes.end;
        simulation->sizes[member] = 0;
        for (int32_t i = (int32_t)stripes.begin; i < end; i += kv_stripe_subtree(i, end))
            simulation->sizes[member] +=
                (size_t)(simulation->share.n_heads * (simulation->setup->dims.head_dim + 2)) * sizeof(float);
    }
    const double begin = begin_exchange(simulation);
    head_group_gather(group, simulation->part, simulation->sizes, simulation->parts);
    end_exchange(simulation, EXCHANGE_PARTIALS, begin);
}

/* Attention and what the policy does before and after it. Who shares a KV head chooses by all of it. */
static void attend(struct simulation *simulation, enum kv_attention action, int32_t layer, int64_t n_cached) {
    const struct simulation_share *share = &simulation->share;
    const int64_t budget = smaller_i64(simulation->setup->engine.budget, n_cached);
    const int64_t n_resident = kv_policy_evicts(simulation->policy) ? budget : n_cached;
    const bool set = action & KV_ATTEND_SET;
    if (action & KV_CHOOSE)
        compute_selection(simulation, PHASE_CHOOSE, n_resident / KV_PAGE_TOKENS * share->n_kv_heads);
    const int64_t n_listed = set ? budget : n_resident;
    compute(simulation, set ? PHASE_ATTEND_SET : PHASE_ATTEND,
            own_part(simulation, n_listed) * share->n_kv_heads);
    if (action & KV_RANK) {
        if (head_group_size(simulation->group) == 1)
            compute_selection(simulation, PHASE_RANK, n_listed * share->n_heads);
        else
            rank_together(simulation, kv_policy_best(simulation->policy, SLOT, layer, n_cached), n_listed);
    }
    exchange_partials(simulation);
}

static void begin_agreement(struct simulation *simulation, size_t words) {
    compute_selection(simulation, PHASE_PROPOSE, (int64_t)words);
    if (simulation->setup->places > 0) return;
    const double begin = begin_exchange(simulation);
    allreduce_min_u32_begin(simulation->comm, simulation->message, words);
    end_exchange(simulation, EXCHANGE_AGREEMENT, begin);
}

int64_t simulation_first_places(const struct simulation_setup *setup) {
    const int64_t n_heads = setup->dims.n_heads;
    return (setup->engine.budget + n_heads - 1) / n_heads;
}

/* The other way to agree, which the program does not have: each rank sends the first places of what its heads
 * propose, everybody counts distinct tokens, and where these are too few each sends as many more as it has
 * sent. */
static void exchange_places(struct simulation *simulation) {
    const struct simulation_setup *setup = simulation->setup;
    const int64_t n_heads = setup->dims.n_heads;
    const int n_ranks = comm_size(simulation->comm);
    const double begin = begin_exchange(simulation);
    int64_t more = simulation_first_places(setup);
    for (int64_t sent = 0; sent < setup->places; sent += more, more = sent) {
        const int64_t words = (more * n_heads + n_ranks - 1) / n_ranks;
        comm_all_gather(simulation->comm, simulation->part_message, (size_t)words * sizeof(uint32_t),
                        simulation->all_messages);
    }
    end_exchange(simulation, EXCHANGE_AGREEMENT, begin);
}

static void finish_agreement(struct simulation *simulation, size_t words) {
    if (simulation->setup->places > 0) exchange_places(simulation);
    const double begin = begin_exchange(simulation);
    allreduce_min_u32_finish(simulation->comm);
    end_exchange(simulation, EXCHANGE_AGREEMENT, begin);
    compute_selection(simulation, PHASE_TAKE, (int64_t)words);
}

/* As run_layer of worker/step.c. */
static void run_layer(struct simulation *simulation, int32_t layer, int64_t n_cached) {
    const struct simulation_setup *setup = simulation->setup;
    const struct simulation_share *share = &simulation->share;
    const enum kv_attention action = kv_policy_layer(simulation->policy, SLOT, layer, n_cached);
    const size_t words =
        action & KV_AGREE ? kv_policy_message_words(simulation->policy, SLOT, layer, n_cached) : 0;

    compute(simulation, PHASE_NORM, setup->dims.hidden_size);
    compute(simulation, simulation->product, share->qkv_bytes);
    compute(simulation, PHASE_HEADS, share->n_heads + share->n_kv_heads);
    attend(simulation, action, layer, n_cached);
    if (words > 0) begin_agreement(simulation, words);

    compute(simulation, simulation->product, share->o_bytes);
    round_blocks(simulation, share->o_blocks, share->o_rows);
    sum(simulation, EXCHANGE_ATTENTION);

    compute(simulation, PHASE_NORM, setup->dims.hidden_size);
    compute(simulation, simulation->product, share->gate_up_bytes);
    compute(simulation, PHASE_GATE, share->mlp_columns);
    compute(simulation, simulation->product, share->down_bytes);
    round_blocks(simulation, share->mlp_blocks, setup->dims.hidden_size);
    sum(simulation, EXCHANGE_MLP);

    if (words > 0) finish_agreement(simulation, words);
}

size_t simulation_summary_bytes(const struct simulation *simulation, int rank) {
    const int64_t n_blocks =
        simulation_blocks(shard_map_vocab(&simulation->map, rank), simulation->map.vocab_block);
    return SUMMARY_BYTES + N_CANDIDATES * CANDIDATE_BYTES + (size_t)n_blocks * BLOCK_BYTES;
}

static void gather_candidates(struct simulation *simulation) {
    const struct simulation_share *share = &simulation->share;
    compute(simulation, PHASE_NORM, simulation->setup->dims.hidden_size);
    compute(simulation, simulation->product, share->output_bytes);
    compute(simulation, PHASE_LOGITS, share->vocab_rows);
    const double begin = begin_exchange(simulation);
    comm_gather(simulation->comm, simulation->sent, simulation->gather_sizes, simulation->gathered);
    end_exchange(simulation, EXCHANGE_CANDIDATES, begin);
}

/* As in worker/serve.c, a failure ends the job: the other ranks wait in a collective. */
static void exchange_plan(struct simulation *simulation, int64_t position) {
    const struct step_span span = {.slot = SLOT,
                                   .first_position = position,
                                   .phase = SPAN_DECODE,
                                   .n_tokens = 1,
                                   .tokens = (const int32_t[]){0},
                                   .n_logits_rows = 1,
                                   .inverse_temperature = 1};
    const struct step_plan plan = {.number = simulation->n_plans++,
                                   .kind = STEP_COMPUTE,
                                   .n_candidates = N_CANDIDATES,
                                   .n_spans = 1,
                                   .spans = &span};
    const struct step_plan *received;
    const enum status status = comm_rank(simulation->comm) == 0
                                   ? step_plan_send(simulation->channel, &plan)
                                   : step_plan_receive(simulation->channel, &received);
    if (status == STATUS_OK) return;
    log_rank(0, "%s", status_message());
    comm_abort(simulation->comm, status_exit_code(status));
}

void simulation_step(struct simulation *simulation, int64_t position) {
    const double begin = begin_exchange(simulation);
    exchange_plan(simulation, position);
    end_exchange(simulation, EXCHANGE_PLAN, begin);
    for (int32_t layer = 0; layer < simulation->setup->n_layers; layer++)
        run_layer(simulation, layer, position + 1);
    gather_candidates(simulation);
    settle(simulation);
}
