/* worker/attention_impl.h - the work of one layer's attention, and how it is cut; for attention*.c only.
 *
 * An *item* is one list of tokens with all queries that attend to it. Its list runs in chunks of ATTEND_CHUNK
 * entries. The chunks of all items, one after the other, are dealt to the threads in equal shares, so that a
 * share's border may cut an item into *pieces*. Whoever has an item's first chunk merges its chunks as they
 * come; the others keep each chunk's partial, and these are merged afterwards in ascending order.
 *
 * Memory:  everything is made by attention_create.
 * Threads: a scratch belongs to one thread; between its share and the merging lies a barrier.
 * Ranks:   local. */
#pragma once

#include "worker/attention.h"

/* Query heads, all of one KV head, that read the same tokens. */
struct head_group {
    int32_t kv_head;
    int32_t first; /* local number of the first query head */
    int32_t n;
};

/* The tokens that the rows of a block attend to: `tokens`, or first, first + 1, … where it is NULL. Row i
 * of the block sees the first n_first + i entries. */
struct token_span {
    const int32_t *tokens;
    int64_t first;
    int64_t n_first;
};

struct item {
    const struct batch_block *block;
    struct head_group heads;
    struct token_span list;
    int64_t n_entries; /* what the block's last row sees */
    int64_t n_chunks;
    int64_t cost_begin; /* chunks x rows of the items before */
    float *scores;      /* [heads.n, context_length] where a selecting layer keeps them, or NULL */
};

/* Chunks [begin, end) of an item. */
struct piece {
    const struct item *item;
    int64_t begin, end;
};

/* A chunk's result, or what was merged so far. */
struct partial {
    float *max, *sum; /* [queries] */
    float *acc;       /* [queries, head_dim] */
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
    float *columns;               /* a chunk's keys for many queries, [ATTEND_CHUNK / 16, head_dim, 16] */
    struct partial merged, chunk; /* [queries] */
    struct partial later;         /* [chunks of a context, g] of a piece that does not begin its item */
    struct piece first, last;     /* of this thread's share; item NULL: it has none */
};

struct attention {
    struct attention_shape shape;
    const struct kernels *kernels;
    int32_t group;           /* g */
    float scale;             /* 1 / sqrt(head_dim) */
    struct scratch *scratch; /* [n_threads] */
    struct item *items;      /* [max_tokens * n_heads_local] of the run under way */
    int32_t n_items;
    int64_t cost;  /* chunks x rows of all items */
    float *scores; /* [n_heads_local, context_length] of one sequence at a selecting layer */
    double propose_seconds;
};

/* Attends to all pieces of the thread's share. */
void attend_share(const struct attention *attention, const struct attention_call *call, int thread,
                  int n_threads);

/* After a barrier: ends the item that this thread began and others went on with. */
void attend_finish(const struct attention *attention, const struct attention_call *call, int thread,
                   int n_threads);
