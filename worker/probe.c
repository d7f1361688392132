#include "worker/probe.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/numbers.h"
#include "cluster/allreduce.h"
#include "worker/probe_choice.h"

struct probe {
    enum probe_kind kind;
    int32_t every;
    const struct kernels *kernels;
    struct comm *comm;
    struct arena *memory;
    int32_t n_slots, n_layers, n_heads, n_kv_heads, group; /* heads of this rank */
    int64_t context_length, head_dim;
    int32_t n_heads_global;

    enum dtype dtype;
    size_t key_bytes;
    unsigned char *keys; /* [n_slots, n_layers, n_kv_heads, context_length, key_bytes] */

    /* Of the decode token being looked at: */
    float *scores;               /* [n_heads, context_length] */
    float *weights;              /* likewise: exp(score - the head's largest) */
    double *totals;              /* [n_heads] their sums */
    struct probe_choice *choice; /* of PROBE_MATRIX */

    int32_t n_sets;   /* 1, or n_layers */
    int64_t *n_steps; /* [n_slots] decode tokens looked at */
    double *sums;     /* [n_slots, 2 n_sets + 1, n_layers, n_heads] recalls, peaks, and how often a
                       * head did not read all tokens */
    double *taken;    /* [2 n_sets + 1, n_layers, n_heads] what goes to rank 0 … */
    size_t *sizes;    /* [comm_size] … so many bytes from each rank */
    double *gathered; /* [comm_size, 2 n_sets + 1, n_layers, n_heads of the rank] rank 0 */
    double *means;    /* [2 n_sets + 1, n_layers] over all heads, rank 0 */
    struct step_probe result;
};

static size_t cells(const struct probe *probe) {
    return (2 * (size_t)probe->n_sets + 1) * (size_t)probe->n_layers;
}

/* Heads that ranks share are reported by the first of these. */
static bool first_of_group(const struct shard_map *map, int rank) {
    return shard_map_group(map, rank).begin == rank;
}

static enum status take_sums(struct probe *probe, const struct shard_map *map) {
    const size_t n_ranks = (size_t)comm_size(probe->comm), n_local = cells(probe) * (size_t)probe->n_heads;
    const size_t n_all = comm_rank(probe->comm) == 0 ? cells(probe) * (size_t)probe->n_heads_global : 0;
    TRY(ARENA_TAKE(probe->memory, (size_t)probe->n_slots, &probe->n_steps));
    TRY(ARENA_TAKE(probe->memory, (size_t)probe->n_slots * n_local, &probe->sums));
    TRY(ARENA_TAKE(probe->memory, n_local, &probe->taken));
    TRY(ARENA_TAKE(probe->memory, n_all, &probe->gathered));
    TRY(ARENA_TAKE(probe->memory, cells(probe), &probe->means));
    TRY(ARENA_TAKE(probe->memory, n_ranks, &probe->sizes));
    for (size_t rank = 0; rank < n_ranks; rank++)
        probe->sizes[rank] = first_of_group(map, (int)rank)
                                 ? cells(probe) * sizeof *probe->taken *
                                       (size_t)shard_range_size(shard_map_heads(map, (int)rank))
                                 : 0;
    return STATUS_OK;
}

static enum status take_keys(struct probe *probe) {
    const size_t context = (size_t)probe->context_length, n_heads = (size_t)probe->n_heads;
    size_t n = (size_t)probe->n_slots * (size_t)probe->n_layers * (size_t)probe->n_kv_heads;
    if (__builtin_mul_overflow(n, context, &n) || __builtin_mul_overflow(n, probe->key_bytes, &n))
        return FAIL(STATUS_NO_MEMORY,
                    "out of memory: keys of %d sequences of %zu tokens are too large to probe",
                    probe->n_slots, context);
    TRY(ARENA_TAKE(probe->memory, n, &probe->keys));
    TRY(ARENA_TAKE(probe->memory, n_heads * context, &probe->scores));
    TRY(ARENA_TAKE(probe->memory, n_heads * context, &probe->weights));
    return ARENA_TAKE(probe->memory, n_heads, &probe->totals);
}

static enum status set_up(struct probe *probe, const struct probe_config *config) {
    TRY(arena_create("the probe", &probe->memory));
    TRY(take_keys(probe));
    TRY(take_sums(probe, config->map));
    if (probe->kind == PROBE_MATRIX)
        TRY(probe_choice_create(config->policy, probe->comm, probe->memory, &probe->choice));
    arena_seal(probe->memory);
    return STATUS_OK;
}

enum status probe_create(const struct probe_config *config, struct probe **probe_out) {
    *probe_out = NULL;
    if (config->kind == PROBE_NONE) return STATUS_OK;
    const struct kv_policy_config *policy = config->policy;
    CHECK(config->every >= 1 && (config->kind != PROBE_MATRIX || strcmp(policy->name, "full") == 0));
    struct probe *probe = calloc(1, sizeof *probe);
    if (!probe) return FAIL(STATUS_NO_MEMORY, "out of memory for the probe");
    *probe = (struct probe){
        .kind = config->kind,
        .every = config->every,
        .kernels = policy->kernels,
        .comm = config->comm,
        .n_slots = policy->n_slots,
        .n_layers = policy->n_layers,
        .n_heads = policy->n_heads_local,
        .n_kv_heads = policy->n_kv_heads_local,
        .group = policy->n_heads_local / policy->n_kv_heads_local,
        .context_length = policy->context_length,
        .head_dim = policy->head_dim,
        .n_heads_global = policy->n_heads_global,
        .dtype = config->kv_dtype,
        .key_bytes = dtype_bytes(config->kv_dtype, policy->head_dim),
        .n_sets = config->kind == PROBE_MATRIX ? policy->n_layers : 1,
    };
    const enum status status = set_up(probe, config);
    if (status == STATUS_OK)
        *probe_out = probe;
    else
        probe_destroy(probe);
    return status;
}

void probe_destroy(struct probe *probe) {
    if (!probe) return;
    probe_choice_destroy(probe->choice);
    arena_destroy(probe->memory);
    free(probe);
}

static unsigned char *key_of(const struct probe *probe, int32_t slot, int32_t layer, int32_t kv_head,
                             int64_t token) {
    CHECK(slot >= 0 && slot < probe->n_slots && layer >= 0 && layer < probe->n_layers);
    CHECK(kv_head >= 0 && kv_head < probe->n_kv_heads && token >= 0 && token < probe->context_length);
    const int64_t head = ((int64_t)slot * probe->n_layers + layer) * probe->n_kv_heads + kv_head;
    return probe->keys + (size_t)(head * probe->context_length + token) * probe->key_bytes;
}

void probe_append(struct probe *probe, int32_t slot, int32_t layer, int32_t kv_head_local, int64_t token,
                  const float *key) {
    if (!probe) return;
    probe->kernels->store(key, probe->head_dim, probe->dtype,
                          key_of(probe, slot, layer, kv_head_local, token));
}

/* The set's part of a head's dense attention, not yet divided by all of it. */
static double covered(const float *weights, struct kv_set set) {
    double sum = 0;
    for (int64_t i = 0; i < set.n_tokens; i++)
        sum += (double)weights[set.tokens ? set.tokens[i] : i];
    return sum;
}

/* Dense scores of one KV head's queries, [group, head_dim], as attention has them bit for bit. */
static void score(struct probe *probe, int32_t slot, int32_t layer, int64_t n_cached, int32_t kv_head,
                  const float *q) {
    const float scale = attention_scale(probe->head_dim);
    const void *keys[ATTEND_CHUNK];
    float *scores = probe->scores + kv_head * probe->group * probe->context_length;
    for (int64_t begin = 0; begin < n_cached; begin += ATTEND_CHUNK) {
        const int64_t n = smaller_i64(n_cached - begin, ATTEND_CHUNK);
        for (int64_t i = 0; i < n; i++)
            keys[i] = key_of(probe, slot, layer, kv_head, begin + i);
        probe->kernels->score(q, probe->group, keys, NULL, probe->dtype, n, probe->head_dim, scale,
                              scores + begin, probe->context_length);
    }
}

static void weigh(struct probe *probe, int64_t n_cached, int32_t head) {
    const float *scores = probe->scores + head * probe->context_length;
    float *weights = probe->weights + head * probe->context_length;
    float max = -INFINITY;
    for (int64_t i = 0; i < n_cached; i++)
        if (scores[i] > max) max = scores[i];
    for (int64_t i = 0; i < n_cached; i++)
        weights[i] = scores[i] - max;
    probe->kernels->exp(weights, n_cached, weights);
    probe->totals[head] = covered(weights, (struct kv_set){.n_tokens = n_cached});
}

/* Scores and weights of all heads. q [n_heads, head_dim] */
static void weigh_all(struct probe *probe, int32_t slot, int32_t layer, int64_t n_cached, const float *q) {
#pragma omp parallel for schedule(dynamic)
    for (int32_t kv_head = 0; kv_head < probe->n_kv_heads; kv_head++) {
        const int32_t first = kv_head * probe->group;
        score(probe, slot, layer, n_cached, kv_head, q + first * probe->head_dim);
        for (int32_t head = first; head < first + probe->group; head++)
            weigh(probe, n_cached, head);
    }
}

/* [n_heads] of one layer: row i has the recalls of set i, row n_sets + i its peaks, the last one how often a
 * head did not read all. */
static double *sums_of(const struct probe *probe, int32_t slot, int32_t row, int32_t layer) {
    const int64_t cell = ((int64_t)slot * (2 * probe->n_sets + 1) + row) * probe->n_layers + layer;
    return probe->sums + cell * probe->n_heads;
}

/* The largest weight between the set's tokens, which ascend. */
static float largest_outside(const float *weights, int64_t n_cached, struct kv_set set) {
    float largest = 0;
    int64_t begin = set.tokens ? 0 : set.n_tokens;
    for (int64_t i = 0; begin < n_cached; i++) {
        const int64_t end = set.tokens && i < set.n_tokens ? set.tokens[i] : n_cached;
        for (int64_t token = begin; token < end; token++)
            largest = weights[token] > largest ? weights[token] : largest;
        begin = end + 1;
    }
    return largest;
}

/* Adds what set number `index`, which lacks some token, covers of a head's attention. */
static void add_set(const struct probe *probe, int32_t slot, int32_t layer, int64_t n_cached, int32_t head,
                    int32_t index, struct kv_set set) {
    const float *weights = probe->weights + head * probe->context_length;
    const double total = probe->totals[head];
    sums_of(probe, slot, index, layer)[head] += covered(weights, set) / total;
    sums_of(probe, slot, probe->n_sets + index, layer)[head] +=
        1 - (double)largest_outside(weights, n_cached, set) / total;
    if (index == 0) sums_of(probe, slot, 2 * probe->n_sets, layer)[head] += 1;
}

/* What the policy had the heads read. Where all of them read everything, nothing needs to be computed. */
static void look_at_policy(struct probe *probe, const struct kv_policy *policy, int32_t slot, int32_t layer,
                           int64_t n_cached, const float *q) {
    int32_t n_sparse = 0;
    for (int32_t head = 0; head < probe->n_heads; head++)
        n_sparse += kv_policy_attended(policy, slot, layer, n_cached, head).n_tokens < n_cached;
    if (n_sparse > 0) weigh_all(probe, slot, layer, n_cached, q);
    for (int32_t head = 0; head < probe->n_heads; head++) {
        const struct kv_set set = kv_policy_attended(policy, slot, layer, n_cached, head);
        if (set.n_tokens < n_cached) {
            add_set(probe, slot, layer, n_cached, head, 0, set);
            continue;
        }
        sums_of(probe, slot, 0, layer)[head] += 1;
        sums_of(probe, slot, 1, layer)[head] += 1;
    }
}

/* What this layer and those before it would choose. */
static void look_at_choices(struct probe *probe, int32_t slot, int32_t decode, int32_t layer,
                            int64_t n_cached, const float *q) {
    weigh_all(probe, slot, layer, n_cached, q);
    probe_choice_make(probe->choice, decode, layer, n_cached, probe->scores);
#pragma omp parallel for schedule(dynamic)
    for (int32_t head = 0; head < probe->n_heads; head++)
        for (int32_t from = 0; from <= layer; from++)
            add_set(probe, slot, layer, n_cached, head, from, probe_choice_set(probe->choice, decode, from));
}

/* A matrix needs sets that are smaller than everything. */
static bool is_due(const struct probe *probe, int64_t n_cached) {
    if (n_cached % probe->every != 0) return false;
    return probe->kind == PROBE_RECALL || probe_choice_is_made(probe->choice, n_cached);
}

void probe_layer(struct probe *probe, const struct kv_policy *policy, const struct batch *batch,
                 int32_t layer, const float *q) {
    for (int32_t d = 0; probe && d < batch->n_decodes; d++) {
        const struct batch_block *block = &batch->blocks[batch->decodes[d]];
        const int64_t n_cached = block->first_position + 1;
        const float *row = q + (int64_t)block->first_row * probe->n_heads * probe->head_dim;
        if (!is_due(probe, n_cached)) continue;
        if (layer == 0) probe->n_steps[block->slot]++;
        if (probe->kind == PROBE_RECALL)
            look_at_policy(probe, policy, block->slot, layer, n_cached, row);
        else
            look_at_choices(probe, block->slot, d, layer, n_cached, row);
    }
}

/* Moves a slot's sums to those that go to rank 0. */
static void take_slot(struct probe *probe, int32_t slot) {
    const size_t n = cells(probe) * (size_t)probe->n_heads;
    double *sums = sums_of(probe, slot, 0, 0);
    probe->result.n_steps += probe->n_steps[slot];
    probe->n_steps[slot] = 0;
    for (size_t i = 0; i < n; i++) {
        probe->taken[i] += sums[i];
        sums[i] = 0;
    }
}

/* Means over all heads, which are added in their order: rank by rank. */
static void average(struct probe *probe) {
    const double *part = probe->gathered;
    memset(probe->means, 0, cells(probe) * sizeof *probe->means);
    for (int rank = 0; rank < comm_size(probe->comm); rank++) {
        const size_t n_heads = probe->sizes[rank] / sizeof *part / cells(probe);
        for (size_t cell = 0; cell < cells(probe); cell++)
            for (size_t head = 0; head < n_heads; head++)
                probe->means[cell] += *part++;
    }
    for (size_t cell = 0; cell < cells(probe); cell++)
        probe->means[cell] /= probe->n_heads_global;
}

const struct step_probe *probe_gather(struct probe *probe, int32_t slot) {
    if (!probe) return NULL;
    probe->result = (struct step_probe){
        .n_layers = probe->n_layers,
        .n_sets = probe->n_sets,
        .recall = probe->means,
        .peak = probe->means + (size_t)probe->n_sets * (size_t)probe->n_layers,
        .sparse = probe->means + 2 * (size_t)probe->n_sets * (size_t)probe->n_layers,
    };
    memset(probe->taken, 0, cells(probe) * (size_t)probe->n_heads * sizeof *probe->taken);
    for (int32_t i = 0; i < probe->n_slots; i++)
        if (slot < 0 || slot == i) take_slot(probe, i);
    comm_gather(probe->comm, probe->taken, probe->sizes, probe->gathered);
    if (comm_rank(probe->comm) != 0) return NULL;
    average(probe);
    return &probe->result;
}
