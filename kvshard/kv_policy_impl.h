/* kvshard/kv_policy_impl.h - what a policy is made of: one table of functions and one of options.
 *
 * Arguments mean what they mean in kv_policy.h and were checked there. `state` is what create returned.
 * Hooks that a policy does without are NULL; each says what that means.
 *
 * Memory:  create takes everything from `memory`, which is sealed afterwards and freed as a whole.
 * Threads: as in kv_policy.h; scratch is per slot, that of choose, rank and rescore per thread.
 * Ranks:   local. KV_AGREE of layer, and message_words, must answer alike on all ranks. */
#pragma once

#include "base/arena.h"
#include "kvshard/kv_policy.h"

/* An option of one policy, given as name=value in kv_policy_config.options. */
struct kv_policy_option {
    const char *name; /* NULL ends the table */
    double initial, min, max;
    bool whole; /* an integer */
    const char *summary;
};

enum { KV_POLICY_MAX_OPTIONS = 8 };

struct kv_policy_vtable {
    const char *name;
    const char *summary;
    const struct kv_policy_option *options; /* at most KV_POLICY_MAX_OPTIONS; NULL: none */

    /* What can be refused without knowing the model: budget, sinks, share of the newest. values [options]:
     * one for each option, in the table's order. NULL: nothing. */
    enum status (*check)(const struct kv_policy_config *config, const double *values);

    /* Comes after check. NULL: there is no state. */
    enum status (*create)(const struct kv_policy_config *config, const double *values, struct arena *memory,
                          void **state_out);

    /* NULL: nothing is ever evicted, each token has its own row. Those that have one have all of them.
     * decode is false for a step that is dense because of dense_below, too. */
    enum status (*admit)(void *state, int32_t slot, int64_t first, int64_t n, bool decode);
    struct kv_set (*resident)(const void *state, int32_t slot, int32_t layer, int32_t kv_head,
                              int64_t n_cached);

    /* NULL: row i holds token i. */
    int64_t (*row)(const void *state, int32_t slot, int32_t layer, int32_t kv_head, int64_t token);

    /* NULL: nothing is remembered from step to step. */
    void (*rewind)(void *state, int32_t slot, int64_t n);

    /* Query heads of one KV head may have different lists: their scores cannot be replaced. */
    bool lists_per_head;

    /* Reads or moves rows of a KV head's whole cache: of ranks that share the head one has all of them and
     * runs the policy. The others do not hear what it decides, so it agrees on nothing. */
    bool whole_heads;

    /* keys_are_fed, of KV head 0. NULL: keys are not looked at. */
    void (*feed)(void *state, int32_t thread, int32_t slot, int32_t layer, int64_t token, const float *key);
    int64_t (*next_key)(const void *state, int32_t slot, int32_t layer);

    /* Of a step of N > dense_below; all others are KV_ATTEND_ALL and call no further hook.
     * NULL: so are these. */
    enum kv_attention (*layer)(const void *state, int32_t slot, int32_t layer, int64_t n_cached);

    /* The hooks of the enum's bits; NULL where layer never sets the bit. */
    struct kv_set (*set)(const void *state, int32_t slot, int32_t layer, int32_t head);
    void (*choose)(void *state, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached,
                   int32_t kv_head, const float *q);
    void (*rank)(void *state, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached, int32_t head,
                 const float *scores);

    /* NULL: rank looks at all scores. Those that have one have both. */
    struct kv_best (*best)(const void *state, int64_t n_cached);
    void (*rank_best)(void *state, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached,
                      int32_t head, struct kv_scored scored);

    int64_t (*rescore)(void *state, int32_t thread, int32_t slot, int32_t layer, int64_t n_cached,
                       int32_t kv_head, float *scores, int64_t stride, int32_t *entries_out);
    struct kv_partial (*partial)(const void *state, int32_t slot, int32_t layer, int32_t kv_head);
    size_t (*message_words)(const void *state, int32_t slot, int32_t layer, int64_t n_cached);
    void (*propose)(void *state, int32_t slot, int32_t layer, int64_t n_cached, uint32_t *message_out);
    void (*take)(void *state, int32_t slot, int32_t layer, int64_t n_cached, const uint32_t *agreed);

    /* NULL: the list. Needed by policies whose rescore leaves out entries. */
    struct kv_set (*attended)(const void *state, int32_t slot, int32_t layer, int32_t head);
};

extern const struct kv_policy_vtable kv_policy_full;
extern const struct kv_policy_vtable kv_policy_emulate;
extern const struct kv_policy_vtable kv_policy_lessismore;
extern const struct kv_policy_vtable kv_policy_delta;
extern const struct kv_policy_vtable kv_policy_h2o;
extern const struct kv_policy_vtable kv_policy_rkv;
extern const struct kv_policy_vtable kv_policy_refresh;
extern const struct kv_policy_vtable kv_policy_quest;
extern const struct kv_policy_vtable kv_policy_streaming;
extern const struct kv_policy_vtable kv_policy_raas;
extern const struct kv_policy_vtable kv_policy_tidal;
extern const struct kv_policy_vtable kv_policy_sparsemax;
extern const struct kv_policy_vtable kv_policy_sparsemax_select;
extern const struct kv_policy_vtable kv_policy_tactic;
extern const struct kv_policy_vtable kv_policy_multipole;
