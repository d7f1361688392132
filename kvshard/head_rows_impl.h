/* kvshard/head_rows_impl.h - what the query heads found out at a layer, and when a KV head's are all there.
 *
 * Query heads look at their scores in any order and at the same time (kv_policy_rank); what is made of all of
 * them must not depend on that. So each writes a row of its own, and whoever is the last of its KV head
 * folds the group's rows, in the order of heads.
 *
 * Memory:  from the arena given; of a row only what is written is touched.
 * Threads: rows of different heads at the same time.
 * Ranks:   local. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "kvshard/kv_policy.h"

struct head_count {
    _Atomic int32_t n;
};

struct head_rows {
    int32_t n_heads, group; /* local query heads, those of one KV head */
    int64_t stride;
    float *rows;                /* [n_slots, n_heads, stride] */
    struct head_count *n_there; /* [n_slots, n_heads / group] heads whose row was written */
};

/* Rows have room for a whole context. */
NODISCARD enum status head_rows_create(const struct kv_policy_config *config, struct arena *memory,
                                       struct head_rows *rows_out);

float *head_rows_at(const struct head_rows *rows, int32_t slot, int32_t head);

/* The head has written its row. True for the last one of its KV head, to which all the group's rows are
 * visible; it counts from 0 again. */
bool head_rows_complete(const struct head_rows *rows, int32_t slot, int32_t head);

/* sums[i] += row i of each of the KV head's query heads, in their order; i < n. */
void head_rows_add(const struct head_rows *rows, int32_t slot, int32_t kv_head, int64_t n, float *sums);
