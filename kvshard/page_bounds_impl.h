/* kvshard/page_bounds_impl.h - how high any key of a page can score, from the page's smallest and largest key
 * element in each channel (Quest, Tang et al., arXiv 2406.10774).
 *
 *   bound(q, page) = sum over channels d of max(q_d min_d, q_d max_d) / sqrt(D)
 *
 * A bound is never below the score that the kernels compute for a key of the page, rounding included: it is
 * the same chain of operations, in which each q_d k_d is replaced by one that is no smaller, and rounding
 * never turns the order of two numbers. Of a page of one key it is that key's score to the bit. For this a
 * summary is laid out for the score kernel itself:
 *
 *   row of a page [2 D', D' = D to the next multiple of 16]   max_0-15 min_0-15 max_16-31 min_16-31 …
 *   query         [2 D']                                      with max(q, 0) and min(q, 0) likewise
 *
 * since a lane of the kernel takes every 16th element, each of its additions is followed by one of 0 or
 * replaced by it. Rows are in the type of the cache, which holds what was stored exactly, 1/16 of its bytes;
 * beside Q8_0 in f32, nearly 1/4.
 *
 * Entries are the summaries of one table's pages (slot, layer, KV head) in ascending order of page, and need
 * not be all of them: a policy may remove some. A NaN in a page gives it a bound that is NaN or may be too
 * low; an infinity one that may be NaN.
 *
 * Memory:  from the arena given to create; as much becomes real as there are entries.
 * Threads: any, for different tables, if each names another `thread`.
 * Ranks:   local. */
#pragma once

#include "base/arena.h"
#include "kvshard/kv_policy.h"

struct page_bounds;

/* config->cache NULL: may be asked nothing, unless config->keys_are_fed. */
NODISCARD enum status page_bounds_create(const struct kv_policy_config *config, struct arena *memory,
                                         struct page_bounds **bounds_out);

/* One table, on behalf of one thread. */
struct bounds_table {
    int32_t thread, slot, layer, kv_head;
};

/* Reads the keys of tokens that came since the last time, up to n_cached, each from its own row. A page's
 * first token begins an entry, and so does the first token after a cut. */
void page_bounds_extend(struct page_bounds *bounds, struct bounds_table table, int64_t n_cached);

/* The same where keys are fed: the one of token page_bounds_next, [D]. It counts as the cache would hold it.
 */
void page_bounds_feed(struct page_bounds *bounds, struct bounds_table table, int64_t token, const float *key);
int64_t page_bounds_next(const struct page_bounds *bounds, struct bounds_table table);

int64_t page_bounds_entries(const struct page_bounds *bounds, struct bounds_table table);

/* The first n entries' bounds for each query. q [g, D], bounds_out [g, stride] */
void page_bounds_score(const struct page_bounds *bounds, struct bounds_table table, const float *q, int64_t n,
                       float *bounds_out, int64_t stride);

/* The first n entries in the order of the largest bound of all queries: words are smaller where it is larger,
 * equal where it is equal, UINT32_MAX where it is NaN. */
void page_bounds_words(const struct page_bounds *bounds, struct bounds_table table, const float *q, int64_t n,
                       uint32_t *words_out);

/* Only the first n_entries remain, and what is read next is token n_tokens. Both may be beyond what there
 * is: then nothing happens. */
void page_bounds_cut(struct page_bounds *bounds, struct bounds_table table, int64_t n_entries,
                     int64_t n_tokens);

/* Takes one entry out; those behind move up. */
void page_bounds_remove(struct page_bounds *bounds, struct bounds_table table, int64_t entry);
