/* worker/attention_impl.h - the work of one layer's attention, and how it is cut; for attention*.c only.
 *
 * An *item* is one list of cached rows with all queries that attend to it. Its list runs stripe by stripe, in
 * chunks of ATTEND_CHUNK entries. The chunks of all items, one after the other, are dealt to the threads in
 * equal shares, so that a share's border may cut an item into *pieces*. Whoever has an item's first chunk
 * merges its chunks as they come; the others keep each chunk's partial, and these are merged afterwards in
 * ascending order.
 *
 * Memory:  everything is made by attention_create.
 * Threads: a scratch belongs to one thread; between its share and the merging lies a barrier.
 * Ranks:   local: of the chunks those in stripes that this rank owns. */
#pragma once

#include "worker/attention.h"
#include "worker/head_exchange_impl.h"
#include "worker/partial.h"
#include "worker/score_exchange_impl.h"
#include "worker/striped_list.h"

/* Query heads, all of one KV head, that read the same tokens. */
struct query_heads {
    int32_t kv_head;
    int32_t first; /* local number of the first query head */
    int32_t n;
};

/* The rows of the cache that a block attends to: `rows`, or first, first + 1, … where it is NULL. The block's
 * row i sees the first n_first + i entries. */
struct row_list {
    const int32_t *rows;
    int64_t first;
    int64_t n_first;
};

/* Up to ATTEND_CHUNK neighbouring entries of a stripe. */
struct chunk {
    int32_t stripe;
    int64_t begin, n;
};

enum item_work {
    ATTEND,             /* scores, weights, weighted values */
    ATTEND_KEEP_SCORES, /* the same, and the scores stay in item.scores */
    SCORE,              /* scores only, which go to item.scores */
    WEIGH,              /* weights and weighted values from item.scores */
};

struct item {
    const struct batch_block *block;
    struct query_heads heads;
    struct row_list source;               /* as it was given … */
    struct striped_list list;             /* … and stripe by stripe: what the block's last row sees */
    int64_t chunk_begins[KV_STRIPES + 1]; /* so many chunks are in the stripes before; the last: of all */
    int64_t cost_begin;                   /* chunks x rows of the items before */
    enum item_work work;
    float *scores;           /* [heads.n, context_length], NULL for ATTEND */
    struct kv_partial added; /* what the policy adds to it; sum NULL: nothing */
};

/* Chunks [begin, end) of an item. */
struct piece {
    const struct item *item;
    int64_t begin, end;
};

struct chunk_rows {
    const void *keys[ATTEND_CHUNK], *values[ATTEND_CHUNK];
};

/* g = query heads of a KV head; queries = g x the rows of a block. */
struct scratch {
    float *q;                /* [queries, head_dim] */
    float *scores;           /* [queries, ATTEND_CHUNK] */
    int32_t *n_valid;        /* [queries] */
    struct chunk_rows *rows; /* [2] this chunk's and the next one's, in turn */
    int turn;
    float *columns;                  /* a chunk's keys for many queries, [ATTEND_CHUNK / 16, head_dim, 16] */
    struct partial chunk;            /* [queries] */
    struct partial sums[KV_STRIPES]; /* [queries] room for the sums of an item's stripes … */
    struct partial stripes[KV_STRIPES]; /* … and those that there are */
    struct partial later;               /* [chunks of a context, g] of a piece that does not begin its item */
    struct piece first, last;           /* of this thread's share; item NULL: it has none */
};

struct attention {
    struct attention_shape shape;
    const struct kernels *kernels;
    struct head_exchange *exchange;    /* NULL: this rank has whole heads */
    struct score_exchange *all_scores; /* NULL: this rank has all that are looked at */
    struct shard_range own;            /* stripes */
    int32_t in_order[KV_STRIPES];      /* these in the order of their units */
    int32_t group;                     /* g */
    float scale;                       /* 1 / sqrt(head_dim) */
    struct scratch *scratch;           /* [n_threads] */
    struct item *items;                /* [max_tokens * n_heads_local] of the run under way */
    int32_t n_items;
    int64_t cost;       /* chunks x rows of all items */
    int64_t n_products; /* entries x rows of all items */

    /* Lists that are no ranges, sorted: [n_heads_local, context_length], of which n_sorted are taken. */
    int32_t *sorted_rows, *sorted_entries;
    int64_t n_sorted;
    int32_t *last_items; /* [max_tokens] each block's newest item, whose list the next one may share */

    float *scores;    /* [n_heads_local, context_length] of one sequence whose policy looks at them */
    int32_t *entries; /* [n_kv_heads_local, context_length] of its lists that kv_policy_rescore left … */
    int32_t *rows;    /* … and where they are in the cache */
    double propose_seconds, sync_seconds;
};

/* Attends to all pieces of the thread's share. */
void attend_share(const struct attention *attention, const struct attention_call *call, int thread,
                  int n_threads);

/* After a barrier: ends the item that this thread began and others went on with. */
void attend_finish(const struct attention *attention, const struct attention_call *call, int thread,
                   int n_threads);
