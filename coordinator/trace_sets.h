/* coordinator/trace_sets.h - which tokens each (layer, KV head) attended to in one step.
 *
 * A set is the edges of its runs, ascending: where a run begins, where it has ended, where the next begins, …
 * Two sets differ where exactly one of them has an edge: the difference is the merge of both lists of edges,
 * in which equal ones cancel. Pairs that share a set have the same number; no two sets are equal.
 *
 * Memory:  owns its lists, which grow.
 * Threads: one at a time.
 * Ranks:   rank 0. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Edges of all sets of a step, and pairs of a model: beyond any real one, within any memory. */
enum { TRACE_MAX_EDGES = 1 << 25, TRACE_MAX_PAIRS = 1 << 14 };

struct trace_set {
    const int32_t *edges; /* [n_edges]; an even number */
    size_t n_edges;
};

struct trace_sets {
    int32_t n_pairs;
    uint32_t *set_of; /* [n_pairs] */
    size_t n_sets;    /* closed ones */
    size_t *ends;     /* [n_sets] in edges */
    int32_t *edges;
    size_t n_edges; /* beyond the last end: of the set being made */
    size_t ends_capacity, edges_capacity;
};

/* As many sets as pairs at most. To begin with there is one set, the empty one, which all pairs have. */
NODISCARD enum status trace_sets_create(int32_t n_pairs, struct trace_sets *sets_out);
void trace_sets_free(struct trace_sets *sets);

/* No sets; set_of is left for the caller to fill. */
void trace_sets_clear(struct trace_sets *sets);

/* Valid until something is added. */
struct trace_set trace_sets_get(const struct trace_sets *sets, size_t index);

/* To the set being made, which must be empty before tokens or a difference (of sets of others) come. Edges
 * that do not ascend are for the caller to refuse. */
NODISCARD enum status trace_sets_add_edge(struct trace_sets *sets, int64_t edge);
NODISCARD enum status trace_sets_add_tokens(struct trace_sets *sets, const int32_t *tokens, int64_t n_tokens);
NODISCARD enum status trace_sets_add_difference(struct trace_sets *sets, struct trace_set a,
                                                struct trace_set b);

/* All of it; n_pairs must be the same. */
NODISCARD enum status trace_sets_copy(const struct trace_sets *from, struct trace_sets *to);

/* Ends the set being made. *index_out: its number, an earlier one where there is such a set already. */
NODISCARD enum status trace_sets_close(struct trace_sets *sets, uint32_t *index_out);

bool trace_set_equal(struct trace_set a, struct trace_set b);
int64_t trace_set_tokens(struct trace_set set);

/* Does it hold all of the first n tokens? */
bool trace_set_is_all(struct trace_set set, int64_t n);
