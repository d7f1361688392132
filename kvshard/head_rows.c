#include "kvshard/head_rows_impl.h"

enum status head_rows_create(const struct kv_policy_config *config, struct arena *memory,
                             struct head_rows *rows_out) {
    struct head_rows rows = {
        .n_heads = config->n_heads_local,
        .group = config->n_heads_local / config->n_kv_heads_local,
        .stride = config->context_length,
    };
    const size_t n_slots = (size_t)config->n_slots;
    TRY(ARENA_TAKE(memory, n_slots * (size_t)rows.n_heads * (size_t)rows.stride, &rows.rows));
    TRY(ARENA_TAKE(memory, n_slots * (size_t)config->n_kv_heads_local, &rows.n_there));
    *rows_out = rows;
    return STATUS_OK;
}

float *head_rows_at(const struct head_rows *rows, int32_t slot, int32_t head) {
    return rows->rows + ((int64_t)slot * rows->n_heads + head) * rows->stride;
}

bool head_rows_complete(const struct head_rows *rows, int32_t slot, int32_t head) {
    const int32_t n_kv_heads = rows->n_heads / rows->group;
    _Atomic int32_t *n_there = &rows->n_there[(int64_t)slot * n_kv_heads + head / rows->group].n;
    if (atomic_fetch_add_explicit(n_there, 1, memory_order_acq_rel) + 1 < rows->group) return false;
    atomic_store_explicit(n_there, 0, memory_order_relaxed);
    return true;
}

void head_rows_add(const struct head_rows *rows, int32_t slot, int32_t kv_head, int64_t n, float *sums) {
    for (int32_t i = 0; i < rows->group; i++) {
        const float *row = head_rows_at(rows, slot, kv_head * rows->group + i);
        for (int64_t entry = 0; entry < n; entry++)
            sums[entry] += row[entry];
    }
}
