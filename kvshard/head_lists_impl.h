/* kvshard/head_lists_impl.h - one list of tokens per slot, layer and KV head: what it attends to, or did.
 *
 * For policies whose layers, from some layer on, each have lists of their own.
 *
 * Memory:  from the arena given; room for the whole context each, of which only what is used becomes real.
 * Threads: any, for different lists.
 * Ranks:   local. */
#pragma once

#include "base/arena.h"
#include "kvshard/kv_policy.h"

struct head_list {
    int32_t *tokens; /* [context_length], ascending */
    int64_t n;       /* 0: nothing was listed yet */
};

struct head_lists {
    int32_t first_layer, n_layers, n_kv_heads;
    struct head_list *lists; /* [n_slots, n_layers - first_layer, n_kv_heads] */
};

/* first_layer: an option's value. The model has no such layer: STATUS_BAD_INPUT. */
NODISCARD enum status head_lists_create(const struct kv_policy_config *config, double first_layer,
                                        struct arena *memory, struct head_lists *lists_out);

struct head_list *head_list_of(const struct head_lists *lists, int32_t slot, int32_t layer, int32_t kv_head);

/* A list that something was put in. */
struct kv_set head_list_set(const struct head_list *list);

/* All lists of the slot are empty. */
void head_lists_clear(const struct head_lists *lists, int32_t slot);
