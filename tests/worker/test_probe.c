/* Recall: of weights that are known, and through the engine, where what a probe sees of one policy follows
 * from what it sees of another. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/check.h"
#include "tests/worker/engine_fixture.h"
#include "worker/probe.h"

/* Of the known weights. */
enum { HEADS = 8, KV_HEADS = 4, GROUP = HEADS / KV_HEADS, HEAD_DIM = 8, TOKENS = 40, CONTEXT = 64 };
enum { BUDGET = 12, SINKS = 2, MIDDLE = 9, LAYERS = 2 };

/* stories260K */
enum { MODEL_LAYERS = 5, PROMPT = 40, DECODED = 30, MODEL_BUDGET = 24 };

/* The dense weight of a token, of all heads of a KV head alike but for those that are turned. */
static double weight_of(int32_t kv_head, int64_t token) {
    return 1 + (double)(token * (kv_head + 3) % 11);
}

struct recall_shares {
    double recall, peak;
};

/* A head whose query is turned has the inverse weights. */
static struct recall_shares expected_shares(int32_t head) {
    double sum = 0, total = 0, lost = 0;
    for (int64_t token = 0; token < TOKENS; token++) {
        const double weight = weight_of(head / GROUP, token);
        const double held = head % GROUP ? 1 / weight : weight;
        total += held;
        if (token < SINKS + MIDDLE || token == TOKENS - 1)
            sum += held;
        else
            lost = fmax(lost, held);
    }
    return (struct recall_shares){sum / total, 1 - lost / total};
}

static void append_keys(struct probe *probe, struct kv_cache *cache, int32_t first_kv_head, int32_t n) {
    for (int32_t head = 0; head < n; head++)
        for (int64_t token = 0; token < TOKENS; token++) {
            float key[HEAD_DIM] = {(float)log(weight_of(first_kv_head + head, token))};
            const float value[HEAD_DIM] = {0};
            kv_cache_append(cache, 0, 1, head, token, key, value);
            probe_append(probe, 0, 1, head, token, key);
        }
}

/* Reads tokens 0 … 10, the sinks and what is agreed, and the newest, in layer 1. */
static void take_first_candidates(struct kv_policy *policy) {
    uint32_t message[TOKENS];
    const size_t n = kv_policy_message_words(policy, 0, 0, TOKENS);
    for (size_t i = 0; i < n; i++)
        message[i] = (uint32_t)i;
    kv_policy_take(policy, 0, 0, TOKENS, message);
}

static void look(struct probe *probe, const struct kv_policy *policy, int32_t n_heads) {
    float q[HEADS * HEAD_DIM] = {0};
    for (int32_t head = 0; head < n_heads; head++)
        q[head * HEAD_DIM] = (head % GROUP ? -1.0F : 1.0F) * sqrtf(HEAD_DIM);
    struct batch_block block = {.n_rows = 1, .first_position = TOKENS - 1, .decode = true};
    int32_t decode = 0;
    const struct batch batch = {
        .n_rows = 1, .n_blocks = 1, .blocks = &block, .n_decodes = 1, .decodes = &decode};
    probe_layer(probe, policy, &batch, 0, q);
    probe_layer(probe, policy, &batch, 1, q);
}

static void check_known_weights(struct comm *comm) {
    const struct shard_dims dims = {HEADS, KV_HEADS, HEAD_DIM, 64, 0, 64, 64};
    struct shard_map map;
    CHECK(shard_map_create(&dims, comm_size(comm), &map) == STATUS_OK);
    const struct shard_range heads = shard_map_heads(&map, comm_rank(comm)),
                             kv_heads = shard_map_kv_heads(&map, comm_rank(comm));
    const struct kernels *kernels = kernels_at_level(0);
    const int32_t n_heads = (int32_t)shard_range_size(heads),
                  n_kv_heads = (int32_t)shard_range_size(kv_heads);
    const struct kv_shape shape = {1, LAYERS, n_kv_heads, HEAD_DIM, CONTEXT, DTYPE_F32, 0};
    struct kv_cache *cache;
    CHECK(kv_cache_create(&shape, kernels, &cache) == STATUS_OK);
    static const int32_t select[] = {0};
    const struct kv_policy_config config = {.name = "lessismore",
                                            .budget = BUDGET,
                                            .recent_ratio = 0.25,
                                            .n_sinks = SINKS,
                                            .n_select_layers = 1,
                                            .select_layers = select,
                                            .n_slots = 1,
                                            .n_layers = LAYERS,
                                            .n_heads_global = HEADS,
                                            .n_heads_local = n_heads,
                                            .first_head = (int32_t)heads.begin,
                                            .n_kv_heads_local = n_kv_heads,
                                            .head_dim = HEAD_DIM,
                                            .context_length = CONTEXT,
                                            .n_threads = 1,
                                            .kernels = kernels,
                                            .cache = cache};
    struct kv_policy *policy;
    CHECK(kv_policy_create(&config, &policy) == STATUS_OK);
    const struct probe_config probing = {PROBE_RECALL, 1, DTYPE_F32, &config, &map, comm};
    struct probe *probe;
    CHECK(probe_create(&probing, &probe) == STATUS_OK);

    CHECK(kv_policy_admit(policy, 0, 0, TOKENS, false) == STATUS_OK);
    append_keys(probe, cache, (int32_t)kv_heads.begin, n_kv_heads);
    take_first_candidates(policy);
    look(probe, policy, n_heads);
    const struct step_probe *seen = probe_gather(probe, 0);
    if (comm_rank(comm) == 0) {
        struct recall_shares expected = {0};
        for (int32_t head = 0; head < HEADS; head++) {
            expected.recall += expected_shares(head).recall / HEADS;
            expected.peak += expected_shares(head).peak / HEADS;
        }
        CHECK(seen->n_steps == 1 && seen->n_layers == LAYERS && seen->n_sets == 1);
        CHECK(seen->recall[0] == 1 && seen->peak[0] == 1 && seen->sparse[0] == 0);
        CHECK(fabs(seen->recall[1] - expected.recall) < 1e-6 && seen->sparse[1] == 1);
        CHECK(fabs(seen->peak[1] - expected.peak) < 1e-6);
        CHECK(expected.recall > 0.2 && expected.recall < 0.4 && expected.peak > 0.8 && expected.peak < 0.98);
    }
    probe_destroy(probe);
    kv_policy_destroy(policy);
    kv_cache_destroy(cache);
}

static int32_t token_at(int32_t slot, int64_t position) {
    return (int32_t)((position * position * 7 + position * 13 + slot * 29) % 500) + 3;
}

/* One plan: the prompts of two slots together, or a decode token of each. */
static void step_both(const struct engine *engine, int64_t position, int32_t n_tokens) {
    int32_t tokens[2][PROMPT];
    struct step_span spans[2];
    for (int32_t slot = 0; slot < 2; slot++) {
        for (int32_t i = 0; i < n_tokens; i++)
            tokens[slot][i] = token_at(slot, position + i);
        spans[slot] = (struct step_span){
            .slot = slot,
            .first_position = position,
            .phase = n_tokens > 1 ? SPAN_PREFILL : SPAN_DECODE,
            .n_tokens = n_tokens,
            .tokens = tokens[slot],
            .inverse_temperature = 1,
        };
    }
    const struct step_plan plan = {.kind = STEP_COMPUTE, .n_candidates = 1, .n_spans = 2, .spans = spans};
    const struct step_result *result;
    CHECK(engine->step(engine->self, &plan, &result) == STATUS_OK);
}

struct seen {
    int64_t n_steps;
    double recall[MODEL_LAYERS][MODEL_LAYERS], peak[MODEL_LAYERS][MODEL_LAYERS], sparse[MODEL_LAYERS];
};

static struct seen ask(const struct engine *engine, int32_t slot) {
    const struct step_probe *probe;
    CHECK(engine->probe(engine->self, slot, &probe) == STATUS_OK);
    CHECK(probe->n_layers == MODEL_LAYERS && (probe->n_sets == 1 || probe->n_sets == MODEL_LAYERS));
    struct seen seen = {.n_steps = probe->n_steps};
    memcpy(seen.recall, probe->recall, (size_t)probe->n_sets * MODEL_LAYERS * sizeof *probe->recall);
    memcpy(seen.peak, probe->peak, (size_t)probe->n_sets * MODEL_LAYERS * sizeof *probe->peak);
    memcpy(seen.sparse, probe->sparse, sizeof seen.sparse);
    return seen;
}

static void drive(const struct engine *engine, struct seen seen_out[2]) {
    step_both(engine, 0, PROMPT / 2);
    step_both(engine, PROMPT / 2, PROMPT / 2);
    for (int32_t i = 0; i < DECODED; i++)
        step_both(engine, PROMPT + i, 1);
    for (int32_t slot = 0; slot < 2; slot++) {
        seen_out[slot] = ask(engine, slot);
        CHECK(ask(engine, slot).n_steps == 0);
    }
}

/* On rank 0: what a probe saw of two sequences that run together. */
static void run(struct comm *comm, const struct engine_config *config, struct seen seen_out[2]) {
    struct worker *worker = fixture_open(comm, config);
    if (comm_rank(comm) == 0) {
        const struct engine engine = worker_engine(worker);
        drive(&engine, seen_out);
    }
    fixture_close(comm, worker);
}

static struct engine_config probing_config(const char *policy, enum probe_kind kind, int32_t every) {
    struct engine_config config = fixture_config(policy, MODEL_BUDGET);
    config.probe = kind;
    config.probe_every = every;
    return config;
}

static void check_full(struct comm *comm) {
    const struct engine_config config = probing_config("full", PROBE_RECALL, 1);
    struct seen seen[2] = {0};
    run(comm, &config, seen);
    for (int32_t slot = 0; comm_rank(comm) == 0 && slot < 2; slot++) {
        CHECK(seen[slot].n_steps == DECODED);
        for (int32_t layer = 0; layer < MODEL_LAYERS; layer++)
            CHECK(seen[slot].recall[0][layer] == DECODED && seen[slot].sparse[layer] == 0);
    }
}

/* The layer behind a selecting one computes as it would under full: what lessismore covers there is what the
 * matrix says, bit for bit. */
static void check_matrix(struct comm *comm, int32_t every) {
    struct engine_config config = probing_config("full", PROBE_MATRIX, every);
    struct seen matrix[2] = {0}, seen[2] = {0};
    run(comm, &config, matrix);
    config = probing_config("lessismore", PROBE_RECALL, every);
    config.n_select_layers = 1;
    for (int32_t layer = 0; layer + 1 < MODEL_LAYERS; layer++) {
        config.select_layers[0] = layer;
        run(comm, &config, seen);
        for (int32_t slot = 0; comm_rank(comm) == 0 && slot < 2; slot++) {
            const double covered = seen[slot].recall[0][layer + 1];
            CHECK(seen[slot].n_steps == DECODED / every && matrix[slot].n_steps == DECODED / every);
            CHECK(seen[slot].recall[0][layer] == DECODED / every && seen[slot].sparse[layer] == 0);
            CHECK(covered > 0 && covered < DECODED / every &&
                  seen[slot].sparse[layer + 1] == DECODED / every);
            CHECK(covered == matrix[slot].recall[layer][layer + 1]);
            CHECK(seen[slot].peak[0][layer + 1] == matrix[slot].peak[layer][layer + 1]);
            CHECK(matrix[slot].recall[layer + 1][layer] == 0);
        }
    }
    if (comm_rank(comm) == 0) CHECK(matrix[0].recall[0][1] != matrix[1].recall[0][1]);
}

/* Nobody computed the keys of a slot that was filled, but recall is of all of them. */
static void check_filled(struct comm *comm) {
    const struct engine_config config = probing_config("lessismore", PROBE_RECALL, 1);
    struct worker *worker = fixture_open(comm, &config);
    if (comm_rank(comm) == 0) {
        const struct engine engine = worker_engine(worker);
        const struct step_result *result;
        const int32_t token = 9;
        CHECK(engine.fill_kv(engine.self, (struct step_fill){0, 200, 3}) == STATUS_OK);
        CHECK(fixture_step(&engine, SPAN_DECODE, 200, &token, 1, &result) == STATUS_OK);
        const struct seen seen = ask(&engine, -1);
        const double covered = seen.recall[0][MODEL_LAYERS - 1];
        CHECK(seen.n_steps == 1 && covered > 0 && covered < 1);
    }
    fixture_close(comm, worker);
}

int main(int argc, char **argv) {
    struct comm *comm;
    if (comm_open(&argc, &argv, &comm) != STATUS_OK) return 1;
    check_known_weights(comm);
    check_full(comm);
    check_matrix(comm, 1);
    check_matrix(comm, 5);
    check_filled(comm);
    if (comm_rank(comm) == 0) puts("probed");
    comm_close(comm);
    return 0;
}
