/* What attention and the policies' own work cost: two KV heads of one sequence, over layers enough that their
 * keys and values do not stay in the processor's caches. */
#include <omp.h>
#include <stdbool.h>

#include "base/rng.h"
#include "kvshard/kv_cache.h"
#include "kvshard/kv_policy.h"
#include "worker/attention.h"
#include "worker/batch.h"
#include "worker/fill.h"
#include "worker/phase_measure_impl.h"

enum { N_KV_HEADS = 2, N_LAYERS = 8, SELECT_LAYER = 2, SLOT = 0 };
enum { FEW_TOKENS = 8192, MANY_TOKENS = 32768, FEW_CHOSEN = 256, MANY_CHOSEN = 2048 };
enum { FEW_KEPT = 1024, MANY_KEPT = 4096 }; /* tokens whose pages are looked at */

/* A sequence of n_tokens, the last of them a decode token. */
struct rig {
    const struct kernels *kernels;
    const struct phase_conditions *conditions;
    int64_t n_tokens;
    int32_t n_heads;
    struct arena *memory;
    struct kv_cache *cache;
    struct kv_policy *policy;
    struct attention *attention;
    struct batch batch;
    const float *q;
    float *out;
    float *scores; /* [n_tokens] */
    uint32_t *message;
    int32_t layer;
};

static enum status create_policy(struct rig *rig, const char *name, int32_t budget) {
    const struct phase_conditions *conditions = rig->conditions;
    const struct kv_shape shape = {
        .n_slots = 1,
        .n_layers = N_LAYERS,
        .n_kv_heads_local = N_KV_HEADS,
        .head_dim = conditions->head_dim,
        .context_length = rig->n_tokens,
        .dtype = conditions->kv_dtype,
    };
    TRY(kv_cache_create(&shape, rig->kernels, &rig->cache));
    const struct kv_policy_config config = {
        .name = name,
        .budget = budget,
        .recent_ratio = 0.25,
        .n_sinks = 4,
        .n_select_layers = 1,
        .select_layers = (const int32_t[]){SELECT_LAYER},
        .n_slots = 1,
        .n_layers = N_LAYERS,
        .n_heads_global = rig->n_heads,
        .n_heads_local = rig->n_heads,
        .n_kv_heads_local = N_KV_HEADS,
        .head_dim = conditions->head_dim,
        .context_length = rig->n_tokens,
        .n_threads = conditions->n_threads,
        .kernels = rig->kernels,
        .cache = rig->cache,
    };
    return kv_policy_create(&config, &rig->policy);
}

static enum status create_attention(struct rig *rig) {
    const struct attention_shape shape = {
        .n_heads_local = rig->n_heads,
        .n_kv_heads_local = N_KV_HEADS,
        .head_dim = rig->conditions->head_dim,
        .context_length = rig->n_tokens,
        .max_tokens = 1,
        .n_threads = rig->conditions->n_threads,
        .selects = true,
        .kv_dtype = rig->conditions->kv_dtype,
    };
    const size_t n_tokens = (size_t)rig->n_tokens;
    TRY(attention_create(&shape, rig->kernels, rig->memory, &rig->attention));
    TRY(batch_create(1, rig->memory, &rig->batch));
    TRY(ARENA_TAKE(rig->memory, (size_t)(rig->n_heads * rig->conditions->head_dim), &rig->out));
    TRY(ARENA_TAKE(rig->memory, n_tokens, &rig->scores));
    return ARENA_TAKE(rig->memory, n_tokens, &rig->message);
}

static enum status fill(struct rig *rig) {
    const int64_t last = rig->n_tokens - 1;
    const struct fill_shape shape = {
        .n_layers = N_LAYERS, .n_kv_heads_local = N_KV_HEADS, .head_dim = rig->conditions->head_dim};
    const struct step_span span = {.slot = SLOT,
                                   .first_position = last,
                                   .phase = SPAN_DECODE,
                                   .n_tokens = 1,
                                   .tokens = (const int32_t[]){0}};
    TRY(kv_policy_admit(rig->policy, SLOT, 0, last, false));
    TRY(kv_policy_admit(rig->policy, SLOT, last, 1, true));
    TRY(fill_kv_cache(rig->cache, &shape, &(struct step_fill){SLOT, rig->n_tokens, 1}));
    batch_fill(&rig->batch, &(struct step_plan){.n_spans = 1, .spans = &span}, BATCH_BLOCK_ROWS);
    for (int64_t i = 0; i < rig->n_tokens; i++)
        rig->scores[i] = (float)rng_uniform(2, 0, (uint64_t)i);
    return STATUS_OK;
}

static void destroy(struct rig *rig) {
    kv_policy_destroy(rig->policy);
    kv_cache_destroy(rig->cache);
    arena_destroy(rig->memory);
}

static enum status create(struct rig *rig, const char *policy, int32_t budget, int64_t n_tokens) {
    rig->n_tokens = n_tokens;
    TRY(arena_create("measuring attention", &rig->memory));
    TRY(create_policy(rig, policy, budget));
    TRY(create_attention(rig));
    return fill(rig);
}

static void attend_at(struct rig *rig, int32_t layer) {
    attention_run(rig->attention, &(struct attention_call){
                                      .batch = &rig->batch,
                                      .cache = rig->cache,
                                      .policy = rig->policy,
                                      .layer = layer,
                                      .q = rig->q,
                                      .out = rig->out,
                                      .messages = rig->message,
                                      .message_offsets = (const size_t[]){0},
                                  });
}

static void attend(void *memory, int64_t units) {
    struct rig *rig = memory;
    (void)units;
    attend_at(rig, rig->layer);
    rig->layer = (rig->layer + 1) % N_LAYERS;
}

/* The layers behind the selecting one, in turn. */
static void attend_set(void *memory, int64_t units) {
    struct rig *rig = memory;
    (void)units;
    rig->layer = rig->layer + 1 < N_LAYERS && rig->layer >= SELECT_LAYER ? rig->layer + 1 : SELECT_LAYER + 1;
    attend_at(rig, rig->layer);
}

static void choose(void *memory, int64_t units) {
    struct rig *rig = memory;
    (void)units;
    rig->layer = rig->layer + 1 < N_LAYERS && rig->layer >= 2 ? rig->layer + 1 : 2; /* 0 and 1 are dense */
#pragma omp parallel for
    for (int32_t kv_head = 0; kv_head < N_KV_HEADS; kv_head++)
        kv_policy_choose(rig->policy, omp_get_thread_num(), SLOT, rig->layer, rig->n_tokens, kv_head,
                         rig->q + kv_head * rig->conditions->group * rig->conditions->head_dim);
}

static void rank(void *memory, int64_t units) {
    struct rig *rig = memory;
    (void)units;
#pragma omp parallel for
    for (int32_t head = 0; head < rig->n_heads; head++)
        kv_policy_rank(rig->policy, omp_get_thread_num(), SLOT, SELECT_LAYER, rig->n_tokens, head,
                       rig->scores);
}

static void propose(void *memory, int64_t units) {
    struct rig *rig = memory;
    (void)units;
    kv_policy_propose(rig->policy, SLOT, SELECT_LAYER, rig->n_tokens, rig->message);
}

static void take(void *memory, int64_t units) {
    struct rig *rig = memory;
    (void)units;
    kv_policy_take(rig->policy, SLOT, SELECT_LAYER, rig->n_tokens, rig->message);
}

/* The seconds of lessismore's parts at a length. */
static void time_selection(struct rig *rig, double seconds[PHASES]) {
    attend_at(rig, SELECT_LAYER); /* ranks and proposes */
    kv_policy_take(rig->policy, SLOT, SELECT_LAYER, rig->n_tokens, rig->message);
    seconds[PHASE_ATTEND_SET] = phase_time(attend_set, rig, 0);
    seconds[PHASE_RANK] = phase_time(rank, rig, 0);
    seconds[PHASE_PROPOSE] = phase_time(propose, rig, 0);
    seconds[PHASE_TAKE] = phase_time(take, rig, 0);
}

static void time_dense(struct rig *rig, double seconds[PHASES]) {
    seconds[PHASE_ATTEND] = phase_time(attend, rig, 0);
}

static void time_pages(struct rig *rig, double seconds[PHASES]) {
    seconds[PHASE_CHOOSE] = phase_time(choose, rig, 0);
}

static const struct part {
    const char *policy;
    void (*time)(struct rig *rig, double seconds[PHASES]);
    int64_t few, many; /* tokens */
} parts[] = {
    {"full", time_dense, FEW_TOKENS, MANY_TOKENS},
    {"lessismore", time_selection, FEW_TOKENS, MANY_TOKENS},
    {"quest", time_pages, FEW_KEPT, MANY_KEPT},
};

static enum status time_parts(const struct rig *model, bool many, double seconds[PHASES]) {
    const int32_t n_chosen = many ? MANY_CHOSEN : FEW_CHOSEN;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct rig rig = *model;
        const enum status status =
            create(&rig, parts[i].policy, n_chosen < parts[i].few ? n_chosen : FEW_CHOSEN,
                   many ? parts[i].many : parts[i].few);
        if (status == STATUS_OK) parts[i].time(&rig, seconds);
        destroy(&rig);
        TRY(status);
    }
    return STATUS_OK;
}

/* How many units both lengths are. */
static enum status fit(int32_t n_heads, const double few[PHASES], const double many[PHASES],
                       struct phase_cost phases[PHASES]) {
    const struct {
        enum phase phase;
        int64_t few, many;
    } units[] = {
        {PHASE_ATTEND, FEW_TOKENS * N_KV_HEADS, MANY_TOKENS * N_KV_HEADS},
        {PHASE_ATTEND_SET, FEW_CHOSEN * N_KV_HEADS, MANY_CHOSEN * N_KV_HEADS},
        {PHASE_CHOOSE, FEW_KEPT / KV_PAGE_TOKENS * N_KV_HEADS, MANY_KEPT / KV_PAGE_TOKENS * N_KV_HEADS},
        {PHASE_RANK, (int64_t)FEW_TOKENS * n_heads, (int64_t)MANY_TOKENS * n_heads},
        {PHASE_PROPOSE, FEW_TOKENS, MANY_TOKENS},
        {PHASE_TAKE, FEW_TOKENS, MANY_TOKENS},
    };
    enum status status = STATUS_OK;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        const enum phase phase = units[i].phase;
        const struct phase_times times = {units[i].few, units[i].many, few[phase], many[phase]};
        if (phases[phase].unit_seconds > 0) continue; /* an earlier measurement was good enough */
        const enum status fitted = phase_line(phase, &times, &phases[phase]);
        if (fitted != STATUS_OK) status = fitted;
    }
    return status;
}

enum status phase_measure_attention(const struct kernels *kernels, const float *q,
                                    struct phase_costs *costs) {
    const struct phase_conditions *conditions = &costs->conditions;
    const int32_t n_heads = N_KV_HEADS * conditions->group;
    const struct rig model = {.kernels = kernels, .conditions = conditions, .n_heads = n_heads, .q = q};
    enum status status = STATUS_INTERNAL;
    for (int i = 0; i < PHASE_MEASUREMENTS && status != STATUS_OK; i++) {
        double few[PHASES], many[PHASES];
        TRY(time_parts(&model, false, few));
        TRY(time_parts(&model, true, many));
        status = fit(n_heads, few, many, costs->phases);
    }
    return status;
}
