/* kvshard/kv_policy.h - which cached tokens a decode step reads, and how they are weighed.
 *
 * Notation: N cached tokens, the current one included; K the budget; D head_dim; g query heads of a KV head.
 * Scores are q.k/sqrt(D). All heads are this rank's, numbered from 0.
 *
 * For each sequence of a step the worker calls, in this order:
 *   admit    before anything is computed: gives the new tokens rows in the cache; a policy that forgets
 *            tokens (evicts them) returns their pages here
 * and at each layer, for a decode token, what kv_policy_layer() says:
 *   choose   each KV head makes its set from the queries                          if KV_CHOOSE
 *   set      what each query head's list is; the worker computes its scores
 *   rank     each query head looks at the scores of its list                      if KV_RANK
 *            or at the best of them (kv_policy_best), where ranks have parts of them
 *   rescore  each KV head replaces scores, and may leave out entries              if KV_RESCORE
 *            the worker weighs values by the softmax of the scores
 *   partial  something is added that is no token                                  if KV_ADD_PARTIAL
 *   propose  this rank's heads together write a message                           if KV_AGREE
 *   agree    (worker, cluster) the messages of all ranks are combined by MIN: nobody decides alone
 *   take     the agreed message becomes the set that later layers attend to
 * take must come before the next layer begins; until then the collective may be under way.
 * Where ranks share a KV head, all of them run the policy for it, on the same queries and, as they exchange
 * them, the same scores; keys, of which the cache has but this rank's, come by feed. For a policy that needs
 * the whole head (kv_policy_has_whole_heads) one of them does.
 * A policy is one file with one struct kv_policy_vtable, and one line in the table of kv_policy.c.
 * Prefill is dense under every policy, over what has not been evicted. docs/policies.md has the rules.
 *
 * Memory:  all state is made by create; the step loop allocates nothing but pages of the cache.
 * Threads: admit and rewind one at a time, as they move pages; the others may run in parallel for different
 *          slots, and choose, rank, rescore even for one slot: for different heads, if each call names
 *          another `thread`.
 * Ranks:   local. kv_policy_layer's KV_AGREE and kv_policy_message_words are the same on all ranks, since
 *          they depend only on configuration, layer, N and what was agreed for the slot: they decide which
 *          collective comes next. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/kernels.h"
#include "kvshard/kv_cache.h"

struct kv_policy;

struct kv_policy_config {
    const char *name;             /* "full", "lessismore", … */
    int32_t budget;               /* K */
    double recent_ratio;          /* share of K for sinks and newest tokens, 0 to 1 */
    int32_t n_sinks;              /* first tokens that are always in the set */
    int32_t n_select_layers;      /* 0: the policy's default for n_layers */
    const int32_t *select_layers; /* [n_select_layers], ascending */
    int64_t dense_below;          /* every decode step of N <= dense_below is dense */
    const char *options;          /* "name=value,policy.name=value"; NULL: all as by default */
    bool emulates;                /* layers behind … */
    int32_t emulate_layer;        /* … this one attend more to what it attended to */
    bool corrects;                /* decoded tokens come again, to be read densely: nothing may be evicted */

    int32_t n_slots;
    int32_t n_layers;
    int32_t n_heads_global;
    int32_t n_heads_local;
    int32_t first_head; /* global number of local head 0 */
    int32_t n_kv_heads_local;
    int32_t head_dim;
    int64_t context_length;
    int32_t n_threads;             /* that may choose, rank or rescore at the same time */
    const struct kernels *kernels; /* the caller's; outlive the policy */
    struct kv_cache *cache;        /* likewise, of the same shape; NULL where nothing is admitted or read */
    bool keys_are_fed; /* ranks share the rows of the KV head, the only one; alike on all of them */
};

/* What a layer does with a sequence's decode token: a set of these. */
enum kv_attention {
    KV_ATTEND_ALL = 0,       /* the list of every head is all tokens that were not evicted */
    KV_ATTEND_SET = 1 << 0,  /* it is kv_policy_set's */
    KV_CHOOSE = 1 << 1,      /* sets depend on this layer's queries */
    KV_RANK = 1 << 2,        /* the scores are looked at */
    KV_RESCORE = 1 << 3,     /* the scores are replaced */
    KV_ADD_PARTIAL = 1 << 4, /* something is added that is no token */
    KV_AGREE = 1 << 5,       /* the ranks agree on the sets of later layers */
    KV_ATTEND_ALL_AND_SELECT = KV_ATTEND_ALL | KV_RANK | KV_AGREE,
};

/* A list of tokens. `rows` are their places in the cache: NULL where row i holds token i.
 * tokens NULL: the first n_tokens, all in their own rows. */
struct kv_set {
    const int32_t *tokens; /* [n_tokens], ascending */
    const int32_t *rows;   /* [n_tokens] */
    int64_t n_tokens;
};

/* What a query head looks for in the scores of its list, which is all tokens: the n best of tokens
 * [begin, end), ties to the lower token. n 0: it looks at all scores. */
struct kv_best {
    int64_t begin, end, n;
};

/* Scores of some tokens, which ascend. */
struct kv_scored {
    const int32_t *tokens; /* [n] */
    const float *scores;   /* [n] */
    int64_t n;
};

/* Attention already summed, of one KV head's queries: as kernels' attend_chunk gives it. */
struct kv_partial {
    const float *max, *sum; /* [g] */
    const float *acc;       /* [g, D] */
};

/* A score whose weight is 0 beside any other; unlike -infinity it may be the largest of its chunk. */
#define KV_SCORE_NONE (-1e30f)

/* The strings and layers of `config` are not kept. An unknown name, or an option that the policy uses and
 * that is out of range (a budget below n_sinks + 2, layers out of range or order): STATUS_BAD_INPUT. */
NODISCARD enum status kv_policy_create(const struct kv_policy_config *config, struct kv_policy **policy_out);
void kv_policy_destroy(struct kv_policy *policy); /* NULL is allowed */

/* What create says first, without making one: what is wrong whatever the model. Reads the fields before
 * n_slots only. */
NODISCARD enum status kv_policy_check(const struct kv_policy_config *config);

/* Tokens first … first + n - 1 of the slot's sequence come next: they get rows in the cache. decode: one
 * token, which follows the policy. As kv_cache_reserve in what it returns. */
NODISCARD enum status kv_policy_admit(struct kv_policy *policy, int32_t slot, int64_t first, int64_t n,
                                      bool decode);

/* May the policy forget tokens for good? */
bool kv_policy_evicts(const struct kv_policy *policy);

/* Does the policy read or move rows of a KV head's whole cache? Where ranks share the head, one of them then
 * has all rows and follows the policy; the others, without any, follow `full`. STATUS_BAD_INPUT: an unknown
 * name. */
NODISCARD enum status kv_policy_has_whole_heads(const char *name, bool *whole_out);

/* keys_are_fed. Keys [D] come after admit and before anything else of the layer, each sequence's in ascending
 * order; not fed are the keys of other heads' tables, and without keys_are_fed nothing happens. */
void kv_policy_feed(struct kv_policy *policy, int32_t thread, int32_t slot, int32_t layer, int64_t token,
                    const float *key);

/* keys_are_fed, after a rewind: the token whose key comes next. It may have come before and lie in the page
 * of the sequence's end; INT64_MAX: the policy does not look at this layer's keys. */
int64_t kv_policy_next_key(const struct kv_policy *policy, int32_t slot, int32_t layer);

/* Row of an admitted token in the cache. */
int64_t kv_policy_row(const struct kv_policy *policy, int32_t slot, int32_t layer, int32_t kv_head,
                      int64_t token);

/* The slot's sequence ends after n tokens; those behind will come anew. 0: the slot was freed, its pages are
 * back in the pool already. What was evicted stays so. */
void kv_policy_rewind(struct kv_policy *policy, int32_t slot, int64_t n);

/* Tokens of the first n_cached, all of which were admitted, that were not evicted. */
struct kv_set kv_policy_resident(const struct kv_policy *policy, int32_t slot, int32_t layer, int32_t kv_head,
                                 int64_t n_cached);

/* What the layer does for the slot's sequence of n_cached tokens; the same until the next admit. */
enum kv_attention kv_policy_layer(const struct kv_policy *policy, int32_t slot, int32_t layer,
                                  int64_t n_cached);

/* KV_CHOOSE. q [g, D], rotated. */
void kv_policy_choose(struct kv_policy *policy, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached,
                      int32_t kv_head, const float *q);

/* The list of a decode token's query head, whatever the layer does. Heads that share a list get the same
 * pointers, so that its rows need to be gathered only once. Of a KV_ATTEND_SET layer it lives until the
 * slot's next choose or take that touches it. */
struct kv_set kv_policy_set(const struct kv_policy *policy, int32_t slot, int32_t layer, int64_t n_cached,
                            int32_t head);

/* KV_RANK. scores [n_tokens of the head's list] */
void kv_policy_rank(struct kv_policy *policy, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached,
                    int32_t head, const float *scores);

/* KV_RANK. The same on all ranks that share a KV head. */
struct kv_best kv_policy_best(const struct kv_policy *policy, int32_t slot, int32_t layer, int64_t n_cached);

/* The n_best best of scores [n], as that counts them: their indices, ascending. For policies that look for
 * the best. */
void kv_policy_pick(struct kv_policy *policy, int32_t thread, const float *scores, int64_t n, int64_t n_best,
                    int32_t *indices_out);

/* In the place of rank: `scored` has the best that kv_policy_best says, and whichever others. */
void kv_policy_rank_best(struct kv_policy *policy, int32_t thread, int32_t slot, int32_t layer,
                         int64_t n_cached, int32_t head, struct kv_scored scored);

/* KV_RESCORE. scores [g, stride] of the list that the KV head's query heads share. Returns how many entries
 * of it have weight, at least 1: their indices are in entries_out [n_tokens of the list], ascending, and the
 * scores to use are the first so many of each query. */
int64_t kv_policy_rescore(struct kv_policy *policy, int32_t thread, int32_t slot, int32_t layer,
                          int64_t n_cached, int32_t kv_head, float *scores, int64_t stride,
                          int32_t *entries_out);

/* KV_ADD_PARTIAL, after choose; lives until the KV head's next choose. */
struct kv_partial kv_policy_partial(const struct kv_policy *policy, int32_t slot, int32_t layer,
                                    int32_t kv_head);

/* KV_AGREE. Words of the sequence's message, never more than n_cached. All local heads are ranked, then
 * propose is called once. message_out, agreed [words] */
size_t kv_policy_message_words(const struct kv_policy *policy, int32_t slot, int32_t layer, int64_t n_cached);
void kv_policy_propose(struct kv_policy *policy, int32_t slot, int32_t layer, int64_t n_cached,
                       uint32_t *message_out);
void kv_policy_take(struct kv_policy *policy, int32_t slot, int32_t layer, int64_t n_cached,
                    const uint32_t *agreed);

/* After the layer's attention: the tokens whose values a query head read. That is its list, but for what
 * rescore left out. */
struct kv_set kv_policy_attended(const struct kv_policy *policy, int32_t slot, int32_t layer,
                                 int64_t n_cached, int32_t head);

/* For --help and errors: the i-th policy's name and one-line summary; NULL past the last. */
const char *kv_policy_name(int index);
const char *kv_policy_summary(int index);
