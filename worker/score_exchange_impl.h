/* worker/score_exchange_impl.h - the scores that the ranks of a shared KV head tell each other; for
 * attention*.c and score_exchange.c only.
 *
 * Each rank has scored the rows of its own stripes. Where the policy looks at scores, all members get those
 * of the others: all of them, or, where the policy looks for the best only and these are fewer bytes, each
 * member's best with their tokens: as many as its part of the rows makes likely, and twice as many where a
 * member turns out to have more of the best than that.
 *
 * Memory:  from the arena given to create.
 * Threads: main thread, OpenMP inside; scored may be asked in parallel.
 * Ranks:   all and best are collective over the group: which comes, and what is sent, depends on lists, on
 *          the policy's answers and on what was gathered, which are the same on all members. */
#pragma once

#include "kvshard/kv_policy.h"
#include "worker/attention.h"

struct item;
struct score_exchange;

/* NULL: nothing is exchanged, as this rank has whole heads, or one of its group has all rows, or nobody looks
 * at scores. */
NODISCARD enum status score_exchange_create(const struct attention_shape *shape,
                                            const struct kernels *kernels, struct arena *memory,
                                            struct score_exchange **exchange_out);

/* Fills in the scores of other members' stripes, of all items. */
void score_exchange_all(struct score_exchange *exchange, const struct item *items, int32_t n_items);

/* Gathers scores of all heads of the item, whose list is all tokens, with the best among them. false: to send
 * all scores is no more. */
bool score_exchange_best(struct score_exchange *exchange, struct kv_policy *policy, const struct item *item,
                         struct kv_best best);

/* What was gathered so of a head; lives until the next exchange. */
struct kv_scored score_exchange_scored(const struct score_exchange *exchange, int32_t head);

/* Seconds spent waiting since the last call of this function. */
double score_exchange_take_seconds(struct score_exchange *exchange);
