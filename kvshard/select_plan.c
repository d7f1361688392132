#include "kvshard/select_plan_impl.h"

int32_t select_plan_default(int32_t n_layers, int32_t layers_out[2]) {
    const int32_t first = 2, second = (n_layers + 1) / 3; /* round(n_layers / 3) */
    if (n_layers <= first) return 0;
    layers_out[0] = first;
    layers_out[1] = second;
    return second > first ? 2 : 1;
}

static enum status check_layers(const int32_t *layers, int32_t n, int32_t n_layers) {
    for (int32_t i = 0; i < n; i++) {
        if (layers[i] < 0 || layers[i] >= n_layers)
            return FAIL(STATUS_BAD_INPUT, "select layer %d: the model's layers are 0 to %d", layers[i],
                        n_layers - 1);
        if (i > 0 && layers[i] <= layers[i - 1])
            return FAIL(STATUS_BAD_INPUT, "select layers must ascend: %d comes after %d", layers[i],
                        layers[i - 1]);
    }
    return STATUS_OK;
}

/* The layer behind a selecting one reads the set, unless there is none or it selects for itself. */
static void fill_plan(const int32_t *layers, int32_t n, int32_t n_layers, enum kv_attention *plan) {
    for (int32_t layer = 0; layer < n_layers; layer++)
        plan[layer] = layer < layers[0] ? KV_ATTEND_ALL : KV_ATTEND_SET;
    for (int32_t i = 0; i < n; i++) {
        const int32_t next = i + 1 < n ? layers[i + 1] : n_layers;
        plan[layers[i]] = layers[i] + 1 < next ? KV_ATTEND_ALL_AND_SELECT : KV_ATTEND_ALL;
    }
}

enum status select_plan_create(const struct kv_policy_config *config, struct arena *memory,
                               const enum kv_attention **plan_out) {
    int32_t defaults[2], n = config->n_select_layers;
    const int32_t *layers = config->select_layers;
    if (n == 0) {
        n = select_plan_default(config->n_layers, defaults);
        layers = defaults;
    }
    if (n <= 0)
        return FAIL(STATUS_BAD_INPUT,
                    "policy %s selects from layer 2 on by default and the model has %d layers: "
                    "give --select-layers or use the policy full",
                    config->name, config->n_layers);
    TRY(check_layers(layers, n, config->n_layers));
    enum kv_attention *plan;
    TRY(ARENA_TAKE(memory, (size_t)config->n_layers, &plan));
    fill_plan(layers, n, config->n_layers, plan);
    *plan_out = plan;
    return STATUS_OK;
}
