#include "worker/simulation.h"

#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/numbers.h"
#include "base/timer.h"
#include "cluster/allreduce.h"
#include "cluster/head_group.h"
#include "cluster/step_plan.h"
#include "kernels/kernels.h"
#include "kvshard/kv_policy.h"
#include "worker/simulation_impl.h"

/* Not quest, though its parts are measured: bounds of all pages do not stay in the cache, as those measured
 * do. */
static enum status check(const struct simulation_setup *setup) {
    static const char *const known[] = {"full", "lessismore", "tidal", "raas", "streaming"};
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
    TRY(ARENA_TAKE(simulation->memory, (size_t)n_members, &simulation->sizes));
    TRY(ARENA_TAKE(simulation->memory, room, &simulation->part));
    return ARENA_TAKE(simulation->memory, room, &simulation->parts);
}

/* No round has more than the first, or than all before it, which are fewer than `places`. */
static enum status take_places_memory(struct simulation *simulation) {
    const struct simulation_setup *setup = simulation->setup;
    const size_t n_ranks = (size_t)comm_size(simulation->comm);
    const size_t most = (size_t)larger_i64(setup->places, simulation_first_places(setup));
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
        bytes += simulation->gather_sizes[rank] = simulation_summary_bytes(simulation, rank);
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
    simulation_step(simulation, setup->depth);
    forget_times(simulation);
    const double begin = timer_seconds();
    for (int32_t i = 0; i < setup->n_steps; i++)
        simulation_step(simulation, setup->depth + 1 + i);
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
