/* kvshard/kv_policy_impl.h - what a policy is made of: one table of functions.
 *
 * Arguments mean what they mean in kv_policy.h and were checked there. `state` is what create returned.
 * A hook that a later policy needs is added here, NULL for those that do without.
 *
 * Memory:  create takes everything from `memory`, which is sealed afterwards and freed as a whole.
 * Threads: hooks of different slots may run in parallel: scratch is per slot, that of rank per thread.
 * Ranks:   local. layer and message_words must answer alike on all ranks. */
#pragma once

#include "base/arena.h"
#include "kvshard/kv_policy.h"

struct kv_policy_vtable {
    const char *name;
    const char *summary;
    enum status (*create)(const struct kv_policy_config *config, struct arena *memory, void **state_out);
    enum kv_attention (*layer)(const void *state, int32_t slot, int32_t layer, int64_t n_cached);

    /* NULL where layer never answers KV_ATTEND_ALL_AND_SELECT. */
    size_t (*message_words)(const void *state, int32_t slot, int32_t layer, int64_t n_cached);
    void (*rank)(void *state, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached,
                 int32_t head_local, const float *scores);
    void (*propose)(void *state, int32_t slot, int32_t layer, int64_t n_cached, uint32_t *message_out);
    void (*take)(void *state, int32_t slot, int32_t layer, int64_t n_cached, const uint32_t *agreed);

    /* NULL where layer never answers KV_ATTEND_SET. */
    struct kv_set (*set)(const void *state, int32_t slot, int32_t layer, int32_t head_local);
};

extern const struct kv_policy_vtable kv_policy_full;
extern const struct kv_policy_vtable kv_policy_lessismore;
