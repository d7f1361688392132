#include "worker/worker.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/timer.h"
#include "cluster/allreduce.h"
#include "cluster/binding.h"
#include "cluster/heartbeat.h"
#include "cluster/survivors.h"
#include "cluster/topology.h"
#include "worker/memory_read.h"
#include "worker/outlive.h"
#include "worker/worker_impl.h"

static enum status open_model(struct worker *worker, struct shard_map *map_out) {
    TRY(comm_agree(worker->comm, model_file_open(worker->config.model_path, &worker->file)));
    const struct model_spec *spec = model_file_spec(worker->file);
    TRY(comm_same(worker->comm, model_file_fingerprint(worker->file), "the model's files"));
    const struct shard_dims dims = {
        .n_heads = spec->n_heads,
        .n_kv_heads = spec->n_kv_heads,
        .head_dim = spec->head_dim,
        .mlp_size = spec->mlp_size,
        .expert_size = spec->expert_size,
        .vocab_size = spec->vocab_size,
        .hidden_size = spec->hidden_size,
    };
    return comm_agree(worker->comm, shard_map_create(&dims, comm_size(worker->comm), map_out));
}

/* What each rank gets, as asked for or as it reads memory. */
static enum status settle_shares(struct worker *worker, struct shard_map *map) {
    struct comm *comm = worker->comm;
    struct engine_config *config = &worker->config;
    if (config->measures_shares) {
        const int n = comm_size(comm);
        double *rates = malloc((size_t)n * sizeof *rates);
        enum status status = rates ? STATUS_OK : FAIL(STATUS_NO_MEMORY, "out of memory for measuring shares");
        status = comm_agree(comm, status);
        if (status == STATUS_OK) status = memory_read_rates(comm, rates);
        if (status == STATUS_OK) config->shares = shares_from_rates(rates, n);
        comm_broadcast(comm, &config->shares, sizeof config->shares); /* rank 0's, whatever others round to */
        for (int rank = 0; rank < n && status == STATUS_OK; rank++)
            log_info(1, "rank %d reads %.1f GB/s: share %d", rank, rates[rank] / 1e9,
                     config->shares.n > 0 ? config->shares.of[rank] : 1);
        free(rates);
        TRY(status);
    }
    return comm_agree(comm, shard_map_set_shares(map, &config->shares));
}

/* Exact sums have room for so many blocks, none near the limit of one (docs/numerics.md). */
static enum status check_block_counts(const struct model_spec *spec, const struct shard_map *map) {
    const int64_t mlp = (spec->mlp_size + map->mlp_block - 1) / map->mlp_block;
    const int64_t expert = (spec->expert_size + map->expert_block - 1) / map->expert_block;
    const int64_t most = mlp > spec->n_kv_heads ? mlp : spec->n_kv_heads;
    if (most <= EXACT_BLOCKS_MAX && expert * spec->n_experts_used <= EXACT_BLOCKS_MAX) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT, "the model is too wide for reproducible sums; use --numerics fast");
}

/* The configuration against the model: the same answer on every rank. */
static enum status resolve_limits(struct worker *worker) {
    const struct model_spec *spec = model_file_spec(worker->file);
    const struct engine_config *config = &worker->config;
    const int64_t context = config->context_length > 0 ? config->context_length : spec->context_length;
    if (context > spec->context_length)
        log_warn("--context %lld is more than the %d tokens that %s was made for", (long long)context,
                 spec->context_length, config->model_path);
    worker->sliding_window = config->sliding_window >= 0 ? config->sliding_window : spec->sliding_window;
    if (worker->sliding_window >= context) worker->sliding_window = 0;
    if (worker->sliding_window > 0 && config->probe == PROBE_MATRIX)
        return FAIL(STATUS_BAD_INPUT,
                    "no layers can be chosen for a sliding window, here of %d tokens; use --sliding-window 0",
                    worker->sliding_window);
    if (worker->sliding_window > 0 && config->probe == PROBE_RECALL)
        return FAIL(
            STATUS_BAD_INPUT,
            "--probe recall cannot be combined with a sliding window, here of %d tokens; use --sliding-window 0",
            worker->sliding_window);
    if (worker->sliding_window > 0 && config->emulates)
        return FAIL(
            STATUS_BAD_INPUT,
            "--emulate cannot be combined with a sliding window, here of %d tokens; use --sliding-window 0",
            worker->sliding_window);
    if (worker->sliding_window > 0 && strcmp(config->policy, "full") != 0)
        return FAIL(
            STATUS_BAD_INPUT,
            "--policy %s cannot be combined with a sliding window, here of %d tokens; use --policy full or --sliding-window 0",
            config->policy, worker->sliding_window);
    worker->limits = (struct step_limits){
        .max_slots = config->max_slots,
        .max_tokens = config->max_step_tokens,
        .vocab_size = spec->vocab_size,
        .context_length = context,
    };
    return STATUS_OK;
}

/* All ranks compute with the lowest instruction set among them. */
static int agree_on_level(struct comm *comm) {
    uint32_t level = (uint32_t)kernels_best_level();
    allreduce_min_u32_begin(comm, &level, 1);
    allreduce_min_u32_finish(comm);
    return (int)level;
}

/* crowded_out: the threads have not a core each. */
static enum status start_threads(struct worker *worker, int32_t *n_threads_out, bool *crowded_out) {
    const int n_ranks_on_host = comm_ranks_on_this_host(worker->comm);
    struct topology topology;
    TRY(topology_read(&topology));
    int32_t n_threads = worker->config.n_threads;
    if (n_threads == 0) n_threads = topology_default_threads(&topology, n_ranks_on_host);
    omp_set_dynamic(0);
    omp_set_num_threads(n_threads);
    char warning[TOPOLOGY_WARNING_MAX];
    if (topology_warning(&topology, worker->config.n_threads, n_ranks_on_host, warning))
        log_warn("%s", warning);
    *n_threads_out = n_threads;
    *crowded_out = topology_crowded(&topology, n_threads, n_ranks_on_host);
    return STATUS_OK;
}

/* From here on each thread keeps to its cores, and what it touches first lies near them. */
static enum status bind_threads(struct worker *worker, int32_t n_threads) {
    /* Whoever binds threads with OMP_PROC_BIND is left alone. */
    const bool already = omp_get_proc_bind() != omp_proc_bind_false;
    const enum binding_choice choice = already ? BINDING_NONE : worker->config.binding;
    TRY(binding_create(worker->comm, n_threads, choice, &worker->binding));
    int n_refused = 0;
#pragma omp parallel reduction(+ : n_refused)
    n_refused += !binding_apply(worker->binding, omp_get_thread_num());
    log_rank(1, "%s%s", binding_text(worker->binding),
             n_refused ? ", but the system does not permit it" : "");
    return STATUS_OK;
}

static enum status load_shard(struct worker *worker, const struct shard_map *map) {
    const double begin = timer_seconds();
    const enum operation before = heartbeat_enter(comm_heartbeat(worker->comm), OPERATION_LOAD);
    TRY(comm_agree(worker->comm,
                   model_shard_load(worker->file, map, comm_rank(worker->comm), worker->config.weights,
                                    worker->kernels, comm_heartbeat(worker->comm), &worker->shard)));
    heartbeat_leave(comm_heartbeat(worker->comm), before);
    const struct model_shard *shard = worker->shard;
    log_rank(1, "read %.1f MB in %.2f s: heads %d-%d, KV heads %d-%d, %lld MLP columns, %lld vocabulary rows",
             (double)shard->bytes_read / 1e6, timer_seconds() - begin, shard->first_head,
             shard->first_head + shard->n_heads - 1, shard->first_kv_head,
             shard->first_kv_head + shard->n_kv_heads - 1,
             (long long)(shard->mlp_size_local + shard->expert_size_local),
             (long long)shard_range_size(shard->vocab));
    return STATUS_OK;
}

/* Re-selection layers found by the authors of LessIsMore (arXiv 2508.07101) for models of this shape; for all
 * others the policy has a rule of its own. */
static void use_known_select_layers(const struct model_spec *spec, struct engine_config *config) {
    static const struct {
        enum model_architecture architecture;
        int32_t n_layers, hidden_size, reselect;
    } known[] = {
        {MODEL_QWEN3, 36, 2560, 20}, /* Qwen3-4B */
        {MODEL_QWEN3, 36, 4096, 12}, /* Qwen3-8B */
        {MODEL_QWEN3, 40, 5120, 12}, /* Qwen3-14B */
        {MODEL_LLAMA, 32, 4096, 13}, /* Llama-3-8B; 12 for its R1 distillation, which has the same shape */
    };
    if (config->n_select_layers > 0 || strcmp(config->policy, "delta") == 0) return; /* it has its own */
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (spec->architecture != known[i].architecture || spec->n_layers != known[i].n_layers ||
            spec->hidden_size != known[i].hidden_size)
            continue;
        config->n_select_layers = 2;
        config->select_layers[0] = 2;
        config->select_layers[1] = known[i].reselect;
    }
}

/* What the configuration alone says. */
static struct kv_policy_config policy_config(const struct engine_config *config) {
    return (struct kv_policy_config){
        .name = config->policy,
        .budget = config->budget,
        .recent_ratio = config->recent_ratio,
        .n_sinks = config->n_sinks,
        .n_select_layers = config->n_select_layers,
        .select_layers = config->select_layers,
        .dense_below = config->dense_below,
        .options = config->policy_options,
        .emulates = config->emulates,
        .emulate_layer = config->emulate_layer,
        .corrects = config->corrects,
    };
}

/* Some policies need all rows of a KV head. */
static enum status settle_rows(const struct worker *worker, struct shard_map *map) {
    bool whole_heads;
    TRY(kv_policy_has_whole_heads(worker->config.policy, &whole_heads));
    if (!whole_heads || map->n_ranks <= map->dims.n_kv_heads) return STATUS_OK;
    shard_map_leave_rows(map);
    log_info(1, "policy %s needs whole KV heads: of the ranks that share one, the first has all its rows",
             worker->config.policy);
    return STATUS_OK;
}

/* Where another rank of the group has all rows, what it does with them comes here as sums only. */
static bool follows_policy(const struct worker *worker) {
    return head_group_member(worker->group) == 0 || !head_group_leaves_rows(worker->group);
}

static enum status create_cache_and_policy(struct worker *worker) {
    use_known_select_layers(worker->shard->spec, &worker->config);
    const struct model_shard *shard = worker->shard;
    const struct engine_config *config = &worker->config;
    const struct kv_shape shape = {
        .n_slots = config->max_slots,
        .n_layers = shard->spec->n_layers,
        .n_kv_heads_local = shard->n_kv_heads,
        .head_dim = shard->spec->head_dim,
        .context_length = worker->limits.context_length,
        .dtype = config->kv_dtype,
        .other_stripes = head_group_other_stripes(worker->group),
    };
    TRY(kv_cache_create(&shape, worker->kernels, &worker->cache));
    struct kv_policy_config policy = policy_config(config);
    if (!follows_policy(worker)) policy = (struct kv_policy_config){.name = "full"};
    policy.n_slots = config->max_slots;
    policy.n_layers = shard->spec->n_layers;
    policy.n_heads_global = shard->spec->n_heads;
    policy.n_heads_local = shard->n_heads;
    policy.first_head = shard->first_head;
    policy.n_kv_heads_local = shard->n_kv_heads;
    policy.head_dim = shard->spec->head_dim;
    policy.context_length = worker->limits.context_length;
    policy.n_threads = omp_get_max_threads();
    policy.kernels = worker->kernels;
    policy.cache = worker->cache;
    /* Alike for all of a group, as what is fed is sent by one and taken by all: not whether this member has
     * all stripes, which uneven shares may give it. */
    policy.keys_are_fed = head_group_size(worker->group) > 1 && !head_group_leaves_rows(worker->group);
    const struct probe_config probe = {
        .kind = config->probe,
        .every = config->probe_every,
        .kv_dtype = config->kv_dtype,
        .policy = &policy,
        .map = &shard->map,
        .comm = worker->comm,
    };
    TRY(kv_policy_create(&policy, &worker->policy));
    return probe_create(&probe, &worker->probe);
}

/* What is under way between hosts moves when MPI is called. */
static void drive_sums(void *comm) {
    allreduce_progress(comm);
}

enum status worker_set_up(struct worker *worker) {
    struct comm *comm = worker->comm;
    struct shard_map map;
    worker->config = worker->asked;
    if (survivors_allowed(comm)) survivors_keep_shares(comm, &worker->config.shares);
    TRY(open_model(worker, &map));
    if (worker->config.numerics == NUMERICS_REPRODUCIBLE)
        TRY(comm_agree(comm, check_block_counts(model_file_spec(worker->file), &map)));
    TRY(comm_agree(comm, resolve_limits(worker)));
    const int level = agree_on_level(comm);
    worker->kernels = kernels_at_level(level);
    worker->in_bf16 = worker->config.numerics == NUMERICS_FAST ? kernels_matmul_bf16(level) : NULL;
    int32_t n_threads = 1;
    bool crowded = false;
    TRY(comm_agree(comm, start_threads(worker, &n_threads, &crowded)));
    TRY(bind_threads(worker, n_threads));
    TRY(settle_shares(worker, &map));
    const struct allreduce_config allreduce = {
        .choice = worker->config.allreduce, .wire = worker->config.wire, .crowded = crowded};
    TRY(allreduce_set_up(comm, &allreduce));
    log_info(1, "%d rank%s x %d thread%s, %s kernels, %s numerics, policy %s", comm_size(comm),
             comm_size(comm) == 1 ? "" : "s", n_threads, n_threads == 1 ? "" : "s", worker->kernels->name,
             worker->config.numerics == NUMERICS_FAST ? "fast" : "reproducible", worker->config.policy);
    TRY(comm_agree(comm, settle_rows(worker, &map)));
    TRY(head_group_create(comm, &map, &worker->group));
    TRY(load_shard(worker, &map));
    TRY(comm_agree(comm, create_cache_and_policy(worker)));
    TRY(comm_agree(comm, step_memory_create(worker, n_threads)));
    TRY(residual_connect(worker->residual));
    if (allreduce_overlaps(comm)) linear_between(worker->linear, drive_sums, comm);
    TRY(comm_agree(comm, set_notes_create(comm, worker->shard, worker->sliding_window, &worker->set_notes)));
    return comm_agree(comm, step_channel_create(comm, worker->limits, &worker->channel));
}

enum status worker_check(const struct engine_config *config) {
    const struct kv_policy_config policy = policy_config(config);
    return kv_policy_check(&policy);
}

enum status worker_leaves_rows(const char *policy, bool *leaves_out) {
    return kv_policy_has_whole_heads(policy, leaves_out);
}

static enum status do_nothing(struct worker *worker, void *unused) {
    (void)worker;
    (void)unused;
    return STATUS_OK;
}

enum status worker_create(struct comm *comm, const struct engine_config *config, struct worker **worker_out) {
    struct worker *worker = calloc(1, sizeof *worker);
    const enum status allocated = worker ? STATUS_OK : FAIL(STATUS_NO_MEMORY, "out of memory for a worker");
    enum status status = comm_agree(comm, allocated);
    if (status == STATUS_OK) {
        worker->comm = comm;
        worker->asked = *config;
        status = outlive(worker, do_nothing, NULL); /* but set it up */
    }
    if (status != STATUS_OK) {
        worker_destroy(worker);
        return status;
    }
    *worker_out = worker;
    return STATUS_OK;
}

void worker_dismantle(struct worker *worker) {
    step_channel_destroy(worker->channel);
    set_notes_destroy(worker->set_notes);
    arena_destroy(worker->memory);
    probe_destroy(worker->probe);
    kv_policy_destroy(worker->policy);
    kv_cache_destroy(worker->cache);
    model_shard_destroy(worker->shard);
    head_group_destroy(worker->group);
    model_file_close(worker->file);
    binding_destroy(worker->binding);
    *worker = (struct worker){.comm = worker->comm, .asked = worker->asked, .history = worker->history};
}

void worker_destroy(struct worker *worker) {
    if (!worker) return;
    worker_dismantle(worker);
    history_destroy(worker->history);
    free(worker);
}
