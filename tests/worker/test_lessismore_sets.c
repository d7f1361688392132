/* The sets that the ranks agree on, step for step, against a float64 reference that knows nothing of ranks.
 */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/check.h"
#include "tests/worker/engine_fixture.h"
#include "worker/worker_impl.h"

enum { MAX_TOKENS = 256 };

struct golden {
    json_t *root;
    int32_t tokens[MAX_TOKENS];
    int32_t n_tokens, n_prompt, budget;
    int32_t select_layers[ENGINE_MAX_SELECT_LAYERS];
    int32_t n_select_layers;
};

static struct golden load(const char *path) {
    struct golden golden = {.root = json_load_file(path, 0, NULL)};
    CHECK(golden.root);
    const json_t *tokens = json_object_get(golden.root, "token_ids");
    golden.n_tokens = (int32_t)json_array_size(tokens);
    CHECK(golden.n_tokens <= MAX_TOKENS);
    for (int32_t i = 0; i < golden.n_tokens; i++)
        golden.tokens[i] = (int32_t)json_integer_value(json_array_get(tokens, (size_t)i));
    golden.n_prompt = (int32_t)json_integer_value(json_object_get(golden.root, "prompt_tokens"));
    golden.budget = (int32_t)json_integer_value(json_object_get(golden.root, "budget"));
    const json_t *layers = json_object_get(golden.root, "select_layers");
    golden.n_select_layers = (int32_t)json_array_size(layers);
    for (int32_t i = 0; i < golden.n_select_layers; i++)
        golden.select_layers[i] = (int32_t)json_integer_value(json_array_get(layers, (size_t)i));
    return golden;
}

/* The set that the last layer reads now: chosen by the last selecting layer. */
static int same_set(const struct worker *worker, int64_t n_cached, const json_t *expected) {
    const struct kv_set set = kv_policy_set(worker->policy, 0, worker->shard->spec->n_layers - 1, n_cached,
                                            worker->shard->n_heads - 1);
    if ((size_t)set.n_tokens != json_array_size(expected)) return 0;
    for (int64_t i = 0; i < set.n_tokens; i++)
        if (set.tokens[i] != json_integer_value(json_array_get(expected, (size_t)i))) return 0;
    return 1;
}

static const json_t *golden_set(const struct golden *golden, int32_t step) {
    char layer[16];
    snprintf(layer, sizeof layer, "%d", golden->select_layers[golden->n_select_layers - 1]);
    return json_object_get(json_array_get(json_object_get(golden->root, "sets"), (size_t)step), layer);
}

static int compare_all(const struct engine *engine, const struct worker *worker,
                       const struct golden *golden) {
    const struct step_result *result;
    CHECK(fixture_step(engine, SPAN_PREFILL, 0, golden->tokens, golden->n_prompt, &result) == STATUS_OK);
    int n_same = 0;
    for (int32_t i = golden->n_prompt; i < golden->n_tokens; i++) {
        CHECK(fixture_step(engine, SPAN_DECODE, i, golden->tokens + i, 1, &result) == STATUS_OK);
        n_same += same_set(worker, i + 1, golden_set(golden, i - golden->n_prompt));
    }
    return n_same;
}

static int check_golden(struct comm *comm, const char *path) {
    const struct golden golden = load(path);
    struct engine_config config = fixture_config("lessismore", golden.budget);
    config.n_select_layers = golden.n_select_layers;
    memcpy(config.select_layers, golden.select_layers, sizeof golden.select_layers);
    struct worker *worker = fixture_open(comm, &config);
    int failed = 0;
    if (comm_rank(comm) == 0) {
        const struct engine engine = worker_engine(worker);
        const int n_same = compare_all(&engine, worker, &golden), n = golden.n_tokens - golden.n_prompt;
        printf("%s: %d of %d sets equal\n", path, n_same, n);
        failed = n_same != n || n == 0;
    }
    fixture_close(comm, worker);
    json_decref(golden.root);
    return failed;
}

int main(int argc, char **argv) {
    struct comm *comm;
    if (comm_open(&argc, &argv, &comm) != STATUS_OK) return 1;
    int failed = 0;
    failed |= check_golden(comm, TEST_DATA "/golden/lessismore_stories260K_k24_l2.json");
    failed |= check_golden(comm, TEST_DATA "/golden/lessismore_stories260K_k32_l2.json");
    failed |= check_golden(comm, TEST_DATA "/golden/lessismore_stories260K_k24_l1_3.json");
    failed |= check_golden(comm, TEST_DATA "/golden/lessismore_stories260K_k32_l1_3.json");
    comm_close(comm);
    return failed;
}
