/* kvshard/kv_policy.h - which cached tokens a decode step reads.
 *
 * Notation: N cached tokens, the current one included; K the budget.
 *   scores   [N]                              q.k/sqrt(D) of one of this rank's query heads
 *   message  [message_words]                  what the ranks combine elementwise by MIN
 *   set      [n_tokens]                       token ids, ascending
 *
 * At each layer of a decode step the worker asks kv_policy_layer() what to do. Where the answer is
 * KV_ATTEND_ALL_AND_SELECT it computes the scores and then, for each sequence:
 *   rank    (here)  each query head of this rank ranks its tokens, in parallel if there are threads
 *   propose (here)  this rank's heads together write a message
 *   agree   (worker, cluster)  the messages of all ranks are combined: nobody decides alone
 *   take    (here)  the agreed message becomes the set that later layers attend to
 * take must come before the next layer begins; until then the collective may be under way. A message of
 * 0 words needs no collective: each rank's heads choose for themselves.
 * A policy is one file with one struct kv_policy_vtable, and one line in the table of kv_policy.c.
 * Prefill is dense under every policy and is not seen here. docs/selection.md has the rules.
 *
 * Memory:  all state is made by create; the step loop allocates nothing.
 * Threads: calls for different slots may run in parallel; one at a time for a slot, but for rank: calls
 *          for different heads may run in parallel if each names another `thread`.
 * Ranks:   local. Answers of kv_policy_layer and kv_policy_message_words are the same on all ranks,
 *          since they depend only on configuration, layer, N and what was agreed for the slot: they
 *          decide which collective comes next. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/kernels.h"

struct kv_policy;

struct kv_policy_config {
    const char *name;             /* "full", "lessismore", … */
    int32_t budget;               /* K */
    double recent_ratio;          /* share of K for sinks and newest tokens, 0 to 1 */
    int32_t n_sinks;              /* first tokens that are always in the set */
    int32_t n_select_layers;      /* 0: the policy's default for n_layers */
    const int32_t *select_layers; /* [n_select_layers], ascending */

    int32_t n_slots;
    int32_t n_layers;
    int32_t n_heads_global;
    int32_t n_heads_local;
    int32_t first_head; /* global number of local head 0 */
    int32_t n_kv_heads_local;
    int64_t context_length;
    int32_t n_threads;             /* that may rank at the same time */
    const struct kernels *kernels; /* the caller's; outlive the policy */
};

enum kv_attention {
    KV_ATTEND_ALL,            /* dense */
    KV_ATTEND_ALL_AND_SELECT, /* dense, and propose / agree / take from this layer's scores */
    KV_ATTEND_SET,            /* the tokens of kv_policy_set */
};

struct kv_set {
    const int32_t *tokens; /* [n_tokens], ascending */
    int64_t n_tokens;
};

/* The strings and layers of `config` are not kept. An unknown name, or an option that the policy uses and
 * that is out of range (a budget below n_sinks + 2, layers out of range or order): STATUS_BAD_INPUT. */
NODISCARD enum status kv_policy_create(const struct kv_policy_config *config, struct kv_policy **policy_out);
void kv_policy_destroy(struct kv_policy *policy); /* NULL is allowed */

/* What the layer does for the slot's sequence of n_cached tokens. */
enum kv_attention kv_policy_layer(const struct kv_policy *policy, int32_t slot, int32_t layer,
                                  int64_t n_cached);

/* Words of the sequence's message at a selecting layer, never more than n_cached. */
size_t kv_policy_message_words(const struct kv_policy *policy, int32_t slot, int32_t layer, int64_t n_cached);

/* These are for a layer that answered KV_ATTEND_ALL_AND_SELECT. All local heads are ranked, then propose is
 * called once. */
void kv_policy_rank(struct kv_policy *policy, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached,
                    int32_t head_local, const float *scores);
void kv_policy_propose(struct kv_policy *policy, int32_t slot, int32_t layer, int64_t n_cached,
                       uint32_t *message_out);
void kv_policy_take(struct kv_policy *policy, int32_t slot, int32_t layer, int64_t n_cached,
                    const uint32_t *agreed);

/* The set that a KV_ATTEND_SET layer reads for this query head. Heads that share a set get the same
 * pointer, so that its rows need to be gathered only once. Lives until the slot's next take. */
struct kv_set kv_policy_set(const struct kv_policy *policy, int32_t slot, int32_t layer, int32_t head_local);

/* For --help and errors: the i-th policy's name and one-line summary; NULL past the last. */
const char *kv_policy_name(int index);
const char *kv_policy_summary(int index);
