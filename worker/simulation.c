#include "worker/simulation.h"

#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/launcher.h"
#include "base/log.h"
#include "base/numbers.h"
#include "base/timer.h"
#include "cluster/allreduce.h"
#include "cluster/head_group.h"
#include "cluster/step_plan.h"
#include "kernels/kernels.h"
#include "kvshard/kv_policy.h"
#include "kvshard/kv_pool.h"
#include "kvshard/kv_stripes.h"
#include "worker/simulation_share_impl.h"

enum { N_CANDIDATES = 64, SLOT = 0 };

/* As in worker/logits.c. */
enum { SUMMARY_BYTES = 12, CANDIDATE_BYTES = 8, BLOCK_BYTES = 12 };

struct simulation {
    struct comm *comm;
    const struct simulation_setup *setup;
    struct shard_map map;
    struct simulation_share share;
    enum phase product; /* cached or not */
    struct arena *memory;
    struct kv_policy *policy;
    struct step_channel *channel;
    struct head_group *group;
    int64_t *exact;                        /* [hidden_size + 1] */
    float *partial;                        /* [hidden_size] */
    uint32_t *message;                     /* [context] */
    uint32_t *part_message, *all_messages; /* places, this rank's and all, of one round */
    unsigned char *sent, *gathered;
    float *part, *parts;  /* [context * heads of a KV head], or a few heads */
    size_t *counts;       /* [members of the group] */
    size_t *gather_sizes; /* [ranks] */
    double *compute_of;   /* [ranks], on rank 0 */
    uint64_t n_plans;
    double owed; /* computed since the last exchange, and not yet waited for */
    double exchanges[EXCHANGES], compute, select;
};

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

/* Every member's scores of the tokens of its stripes, as worker/head_exchange.c. */
static void exchange_scores(struct simulation *simulation, int64_t n_tokens) {
    struct head_group *group = simulation->group;
    if (head_group_size(group) == 1) return;
    for (int member = 0; member < head_group_size(group); member++)
        simulation->counts[member] = (size_t)(n_tokens * shard_range_size(head_group_stripes(group, member)) /
                                              SHARD_STRIPES * simulation->share.n_heads);
    const double begin = begin_exchange(simulation);
    head_group_gather(group, simulation->part, simulation->counts, simulation->parts);
    end_exchange(simulation, EXCHANGE_SCORES, begin);
}

/* Every member's sums of its stripes, the largest subtrees of them. */
static void exchange_partials(struct simulation *simulation) {
    struct head_group *group = simulation->group;
    if (head_group_size(group) == 1) return;
    for (int member = 0; member < head_group_size(group); member++) {
        const struct shard_range stripes = head_group_stripes(group, member);
        const int32_t end = (int32_t)stripes.end;
        simulation->counts[member] = 0;
        for (int32_t i = (int32_t)stripes.begin; i < end; i += kv_stripe_subtree(i, end))
            simulation->counts[member] +=
                (size_t)(simulation->share.n_heads * (simulation->setup->dims.head_dim + 2));
    }
    const double begin = begin_exchange(simulation);
    head_group_gather(group, simulation->part, simulation->counts, simulation->parts);
    end_exchange(simulation, EXCHANGE_PARTIALS, begin);
}

/* Attention and what the policy does before and after it. Who shares a KV head chooses and ranks all of it.
 */
static void attend(struct simulation *simulation, enum kv_attention action, int64_t n_cached) {
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
        exchange_scores(simulation, n_listed);
        compute_selection(simulation, PHASE_RANK, n_listed * share->n_heads);
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

/* As many as would do if no two heads proposed the same. */
static int64_t first_places(const struct simulation_setup *setup) {
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
    int64_t more = first_places(setup);
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
    attend(simulation, action, n_cached);
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

static size_t summary_bytes(const struct simulation *simulation, int rank) {
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

static void step(struct simulation *simulation, int64_t position) {
    const double begin = begin_exchange(simulation);
    exchange_plan(simulation, position);
    end_exchange(simulation, EXCHANGE_PLAN, begin);
    for (int32_t layer = 0; layer < simulation->setup->n_layers; layer++)
        run_layer(simulation, layer, position + 1);
    gather_candidates(simulation);
    settle(simulation);
}

/* ---- a run ---- */

/* Not quest, though its parts are measured: bounds of all pages do not stay in the cache, as those measured
 * do. */
static enum status check(const struct simulation_setup *setup) {
    static const char *const known[] = {"full", "lessismore", "tidal", "raas", "streaming"};
    if (!launcher_simulates())
        return FAIL(STATUS_BAD_INPUT,
                    "simulate needs the simulated MPI of the smpi preset, started by smpirun "
                    "(docs/scaling.md)");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(setup->engine.policy, known[i]) == 0) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT, "--policy %s: no costs were measured for what it does beside attention",
                setup->engine.policy);
}

static enum status create_policy(struct simulation *simulation) {
    const struct simulation_setup *setup = simulation->setup;
    const struct engine_config *engine = &setup->engine;
    const struct kv_policy_config config = {
        .name = engine->policy,
        .budget = engine->budget,
        .recent_ratio = engine->recent_ratio,
        .n_sinks = engine->n_sinks,
        .n_select_layers = engine->n_select_layers,
        .select_layers = engine->select_layers,
        .dense_below = engine->dense_below,
        .options = engine->policy_options,
        .n_slots = 1,
        .n_layers = setup->n_layers,
        .n_heads_global = setup->dims.n_heads,
        .n_heads_local = simulation->share.n_heads,
        .first_head = (int32_t)shard_map_heads(&simulation->map, comm_rank(simulation->comm)).begin,
        .n_kv_heads_local = simulation->share.n_kv_heads,
        .head_dim = setup->dims.head_dim,
        .context_length = engine->context_length,
        .n_threads = 1,
        .kernels = kernels_at_level(0),
    };
    return kv_policy_create(&config, &simulation->policy);
}

static enum status take_group_memory(struct simulation *simulation) {
    const int n_members = head_group_size(simulation->group);
    const size_t n_heads = (size_t)simulation->share.n_heads;
    const size_t partials = n_heads * SHARD_STRIPES * (size_t)(simulation->setup->dims.head_dim + 2);
    const size_t scores = n_heads * (size_t)simulation->setup->engine.context_length;
    const size_t room = n_members == 1 ? 0 : partials > scores ? partials : scores;
    TRY(ARENA_TAKE(simulation->memory, (size_t)n_members, &simulation->counts));
    TRY(ARENA_TAKE(simulation->memory, room, &simulation->part));
    return ARENA_TAKE(simulation->memory, room, &simulation->parts);
}

/* No round has more than the first, or than all before it, which are fewer than `places`. */
static enum status take_places_memory(struct simulation *simulation) {
    const struct simulation_setup *setup = simulation->setup;
    const size_t n_ranks = (size_t)comm_size(simulation->comm);
    const size_t most = (size_t)larger_i64(setup->places, first_places(setup));
    const size_t words =
        setup->places == 0 ? 0 : (most * (size_t)setup->dims.n_heads + n_ranks - 1) / n_ranks;
    TRY(ARENA_TAKE(simulation->memory, words, &simulation->part_message));
    return ARENA_TAKE(simulation->memory, n_ranks * words, &simulation->all_messages);
}

static enum status take_memory(struct simulation *simulation) {
    const int n_ranks = comm_size(simulation->comm);
    const size_t hidden = (size_t)simulation->setup->dims.hidden_size;
    size_t bytes = 0;
    TRY(ARENA_TAKE(simulation->memory, (size_t)n_ranks, &simulation->gather_sizes));
    for (int rank = 0; rank < n_ranks; rank++)
        bytes += simulation->gather_sizes[rank] = summary_bytes(simulation, rank);
    const bool first = comm_rank(simulation->comm) == 0;
    TRY(ARENA_TAKE(simulation->memory, (size_t)n_ranks, &simulation->compute_of));
    TRY(ARENA_TAKE(simulation->memory, first ? bytes : 0, &simulation->gathered));
    TRY(ARENA_TAKE(simulation->memory, bytes, &simulation->sent));
    TRY(ARENA_TAKE(simulation->memory, hidden, &simulation->partial));
    TRY(ARENA_TAKE(simulation->memory, (size_t)simulation->setup->engine.context_length,
                   &simulation->message));
    TRY(take_places_memory(simulation));
    TRY(take_group_memory(simulation));
    return ARENA_TAKE(simulation->memory, hidden + 1, &simulation->exact);
}

static enum status set_up(struct simulation *simulation) {
    const struct simulation_setup *setup = simulation->setup;
    struct comm *comm = simulation->comm;
    TRY(comm_agree(comm, shard_map_create(&setup->dims, comm_size(comm), &simulation->map)));
    simulation->share = simulation_share(setup, &simulation->map, comm_rank(comm));
    const bool cached = simulation_weight_bytes(setup, &simulation->share) <= setup->costs.cached_bytes;
    simulation->product = cached ? PHASE_PRODUCT_CACHED : PHASE_PRODUCT;
    TRY(head_group_create(comm, &simulation->map, &simulation->group));
    TRY(comm_agree(comm, create_policy(simulation)));
    TRY(comm_agree(comm, take_memory(simulation)));
    const struct step_limits limits = {.max_slots = 1,
                                       .max_tokens = 1,
                                       .vocab_size = (int32_t)setup->dims.vocab_size,
                                       .context_length = setup->engine.context_length};
    TRY(comm_agree(comm, step_channel_create(comm, limits, &simulation->channel)));
    const struct allreduce_config allreduce = {.choice = setup->engine.allreduce, .wire = setup->engine.wire};
    return setup->measured ? STATUS_OK : allreduce_set_up(comm, &allreduce);
}

static void forget_times(struct simulation *simulation) {
    memset(simulation->exchanges, 0, sizeof simulation->exchanges);
    simulation->compute = simulation->select = 0;
}

/* Of all ranks, on rank 0. */
static void compare_ranks(struct simulation *simulation, struct simulation_result *result) {
    const int n_ranks = comm_size(simulation->comm);
    double *all = simulation->compute_of;
    for (int rank = 0; rank < n_ranks; rank++) {
        const struct simulation_share share = simulation_share(simulation->setup, &simulation->map, rank);
        simulation->gather_sizes[rank] = sizeof *all;
        result->weight_bytes_most =
            larger_i64(result->weight_bytes_most, simulation_weight_bytes(simulation->setup, &share));
    }
    comm_gather(simulation->comm, &simulation->compute, simulation->gather_sizes, all);
    for (int rank = 0; rank < n_ranks; rank++) {
        result->compute_mean += all[rank] / n_ranks;
        result->compute_most = all[rank] > result->compute_most ? all[rank] : result->compute_most;
    }
}

static void divide_by_steps(struct simulation_result *result, double n_steps) {
    double *const seconds[] = {&result->step, &result->compute, &result->select, &result->compute_most,
                               &result->compute_mean};
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++)
        *seconds[i] /= n_steps;
    for (int kind = 0; kind < EXCHANGES; kind++)
        result->exchanges[kind] /= n_steps;
}

static struct simulation_result run_steps(struct simulation *simulation) {
    const struct simulation_setup *setup = simulation->setup;
    step(simulation, setup->depth);
    forget_times(simulation);
    const double begin = timer_seconds();
    for (int32_t i = 0; i < setup->n_steps; i++)
        step(simulation, setup->depth + 1 + i);
    struct simulation_result result = {
        .step = timer_seconds() - begin, .compute = simulation->compute, .select = simulation->select};
    memcpy(result.exchanges, simulation->exchanges, sizeof result.exchanges);
    compare_ranks(simulation, &result);
    divide_by_steps(&result, setup->n_steps);
    return result;
}

static enum status run_setup(struct comm *comm, const struct simulation_setup *setup,
                             struct simulation_result *result_out) {
    struct simulation simulation = {.comm = comm, .setup = setup};
    TRY(comm_agree(comm, arena_create("a simulation", &simulation.memory)));
    const enum status status = set_up(&simulation);
    if (status == STATUS_OK) *result_out = run_steps(&simulation);
    step_channel_destroy(simulation.channel);
    head_group_destroy(simulation.group);
    kv_policy_destroy(simulation.policy);
    arena_destroy(simulation.memory);
    return comm_agree(comm, status);
}

/* ---- rank 0 and the others ---- */

static enum status order(void *self, const struct simulation_setup *setup,
                         struct simulation_result *result_out) {
    struct simulation_setup copy = *setup;
    bool more = true;
    TRY(check(setup));
    comm_broadcast(self, &more, sizeof more);
    comm_broadcast(self, &copy, sizeof copy);
    return run_setup(self, &copy, result_out);
}

struct simulator simulation_open(struct comm *comm) {
    return (struct simulator){.self = comm, .n_ranks = comm_size(comm), .run = order};
}

void simulation_stop(struct comm *comm) {
    bool more = false;
    comm_broadcast(comm, &more, sizeof more);
}

enum status simulation_serve(struct comm *comm) {
    for (;;) {
        bool more;
        struct simulation_setup setup;
        struct simulation_result unused;
        comm_broadcast(comm, &more, sizeof more);
        if (!more) return STATUS_OK;
        comm_broadcast(comm, &setup, sizeof setup);
        if (run_setup(comm, &setup, &unused) != STATUS_OK) continue; /* rank 0 failed as well, and says so */
    }
}
