#include "kvshard/head_lists_impl.h"

#include "base/check.h"

static int64_t lists_of_slot(const struct head_lists *lists) {
    return (int64_t)(lists->n_layers - lists->first_layer) * lists->n_kv_heads;
}

enum status head_lists_create(const struct kv_policy_config *config, double first_layer, struct arena *memory,
                              struct head_lists *lists_out) {
    struct head_lists lists = {.first_layer = (int32_t)first_layer,
                               .n_layers = config->n_layers,
                               .n_kv_heads = config->n_kv_heads_local};
    if (first_layer >= config->n_layers)
        return FAIL(STATUS_BAD_INPUT,
                    "policy %s is sparse from layer %d on and the model has %d layers: "
                    "give %s.first-layer or use the policy full",
                    config->name, lists.first_layer, config->n_layers, config->name);
    const size_t n = (size_t)(config->n_slots * lists_of_slot(&lists));
    void *tokens; /* [n, context_length] */
    TRY(ARENA_TAKE(memory, n, &lists.lists));
    TRY(arena_take(memory, n, (size_t)config->context_length * sizeof *lists.lists->tokens, &tokens));
    for (size_t i = 0; i < n; i++)
        lists.lists[i].tokens = (int32_t *)tokens + i * (size_t)config->context_length;
    *lists_out = lists;
    return STATUS_OK;
}

struct head_list *head_list_of(const struct head_lists *lists, int32_t slot, int32_t layer, int32_t kv_head) {
    CHECK(layer >= lists->first_layer);
    return &lists->lists[slot * lists_of_slot(lists) +
                         (int64_t)(layer - lists->first_layer) * lists->n_kv_heads + kv_head];
}

struct kv_set head_list_set(const struct head_list *list) {
    CHECK(list->n > 0);
    return (struct kv_set){.tokens = list->tokens, .n_tokens = list->n};
}

void head_lists_clear(const struct head_lists *lists, int32_t slot) {
    for (int64_t i = 0; i < lists_of_slot(lists); i++)
        lists->lists[slot * lists_of_slot(lists) + i].n = 0;
}
