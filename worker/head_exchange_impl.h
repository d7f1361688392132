/* worker/head_exchange_impl.h - what the ranks that share a KV head tell each other of its attention; for
 * attention*.c and head_exchange.c only.
 *
 * Each sums the stripes that it owns (kvshard/kv_stripes.h) to the largest subtrees there are of them, and
 * gets those of the others: at most 8 sums of D + 2 floats for a query, however long its list is. All of them
 * then merge the same sums in the same order.
 *
 * Memory:  from the arena given to create.
 * Threads: put may run in parallel for different queries; the others on the main thread.
 * Ranks:   finish is collective over the group. */
#pragma once

#include "cluster/head_group.h"
#include "worker/attention.h"
#include "worker/partial.h"
#include "worker/striped_list.h"

struct attention;
struct head_exchange;

/* A rank that has whole heads gives NULL: nothing is exchanged. */
NODISCARD enum status head_exchange_create(const struct attention_shape *shape, struct arena *memory,
                                           struct head_exchange **exchange_out);

/* A layer's queries come: nothing is known of any. */
void head_exchange_begin(struct head_exchange *exchange, int32_t n_rows);

/* The sums of this rank's stripes for one of the layer's queries. */
void head_exchange_put(const struct head_exchange *exchange, int64_t row, int32_t head,
                       const struct partial stripes[KV_STRIPES]);

/* out [n_rows, n_heads_local * head_dim]. */
void head_exchange_finish(struct head_exchange *exchange, const struct kernels *kernels, float *out);

/* Seconds spent waiting since the last call of this function. */
double head_exchange_take_seconds(struct head_exchange *exchange);
