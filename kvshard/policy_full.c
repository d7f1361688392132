#include "kvshard/kv_policy_impl.h"

static enum status full_create(const struct kv_policy_config *config, const double *values,
                               struct arena *memory, void **state_out) {
    (void)config;
    (void)values;
    (void)memory;
    *state_out = NULL;
    return STATUS_OK;
}

static enum kv_attention full_layer(const void *state, int32_t slot, int32_t layer, int64_t n_cached) {
    (void)state;
    (void)slot;
    (void)layer;
    (void)n_cached;
    return KV_ATTEND_ALL;
}

const struct kv_policy_vtable kv_policy_full = {
    .name = "full",
    .summary = "every layer attends to every token",
    .create = full_create,
    .layer = full_layer,
};
