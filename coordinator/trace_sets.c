#include "coordinator/trace_sets.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* `items` with room for one more, in a list that doubles. NULL: out of memory. */
static void *with_room(void *items, size_t n, size_t *capacity, size_t item_bytes) {
    if (n < *capacity) return items;
    const size_t wanted = *capacity ? 2 * *capacity : 64;
    void *grown = realloc(items, wanted * item_bytes);
    if (grown) *capacity = wanted;
    return grown;
}

static enum status out_of_memory(void) {
    return FAIL(STATUS_NO_MEMORY, "out of memory for the sets of a step");
}

enum status trace_sets_create(int32_t n_pairs, struct trace_sets *sets_out) {
    CHECK(n_pairs > 0 && n_pairs <= TRACE_MAX_PAIRS);
    struct trace_sets sets = {.n_pairs = n_pairs, .set_of = calloc((size_t)n_pairs, sizeof *sets.set_of)};
    if (!sets.set_of) return out_of_memory();
    uint32_t none;
    const enum status status = trace_sets_close(&sets, &none);
    if (status != STATUS_OK) {
        trace_sets_free(&sets);
        return status;
    }
    *sets_out = sets;
    return STATUS_OK;
}

void trace_sets_free(struct trace_sets *sets) {
    free(sets->set_of);
    free(sets->ends);
    free(sets->edges);
    *sets = (struct trace_sets){0};
}

void trace_sets_clear(struct trace_sets *sets) {
    sets->n_sets = 0;
    sets->n_edges = 0;
}

static size_t begin_of(const struct trace_sets *sets, size_t index) {
    return index > 0 ? sets->ends[index - 1] : 0;
}

struct trace_set trace_sets_get(const struct trace_sets *sets, size_t index) {
    CHECK(index < sets->n_sets);
    const size_t begin = begin_of(sets, index), n_edges = sets->ends[index] - begin;
    return (struct trace_set){n_edges ? sets->edges + begin : NULL, n_edges};
}

enum status trace_sets_add_edge(struct trace_sets *sets, int64_t edge) {
    if (sets->n_edges >= TRACE_MAX_EDGES)
        return FAIL(STATUS_BAD_INPUT, "a step's sets have more than %d edges", TRACE_MAX_EDGES);
    int32_t *edges = with_room(sets->edges, sets->n_edges, &sets->edges_capacity, sizeof *edges);
    if (!edges) return out_of_memory();
    edges[sets->n_edges++] = (int32_t)edge;
    sets->edges = edges;
    return STATUS_OK;
}

enum status trace_sets_add_tokens(struct trace_sets *sets, const int32_t *tokens, int64_t n_tokens) {
    for (int64_t i = 0; i < n_tokens; i++) {
        if (i > 0 && tokens[i] == tokens[i - 1] + 1) {
            sets->edges[sets->n_edges - 1]++;
            continue;
        }
        CHECK(i == 0 || tokens[i] > tokens[i - 1]);
        TRY(trace_sets_add_edge(sets, tokens[i]));
        TRY(trace_sets_add_edge(sets, (int64_t)tokens[i] + 1));
    }
    return STATUS_OK;
}

enum status trace_sets_add_difference(struct trace_sets *sets, struct trace_set a, struct trace_set b) {
    size_t i = 0, j = 0;
    while (i < a.n_edges || j < b.n_edges) {
        if (j == b.n_edges || (i < a.n_edges && a.edges[i] < b.edges[j])) {
            TRY(trace_sets_add_edge(sets, a.edges[i++]));
        } else if (i == a.n_edges || b.edges[j] < a.edges[i]) {
            TRY(trace_sets_add_edge(sets, b.edges[j++]));
        } else {
            i++;
            j++;
        }
    }
    return STATUS_OK;
}

enum status trace_sets_close(struct trace_sets *sets, uint32_t *index_out) {
    const size_t begin = begin_of(sets, sets->n_sets), n_edges = sets->n_edges - begin;
    const struct trace_set made = {n_edges ? sets->edges + begin : NULL, n_edges};
    for (size_t i = 0; i < sets->n_sets; i++) {
        if (!trace_set_equal(trace_sets_get(sets, i), made)) continue;
        sets->n_edges = begin;
        *index_out = (uint32_t)i;
        return STATUS_OK;
    }
    CHECK(sets->n_sets < (size_t)sets->n_pairs);
    size_t *ends = with_room(sets->ends, sets->n_sets, &sets->ends_capacity, sizeof *ends);
    if (!ends) return out_of_memory();
    ends[sets->n_sets] = sets->n_edges;
    sets->ends = ends;
    *index_out = (uint32_t)sets->n_sets++;
    return STATUS_OK;
}

enum status trace_sets_copy(const struct trace_sets *from, struct trace_sets *to) {
    CHECK(from->n_pairs == to->n_pairs);
    const struct trace_set none = {NULL, 0};
    uint32_t index;
    trace_sets_clear(to);
    for (size_t i = 0; i < from->n_sets; i++) {
        TRY(trace_sets_add_difference(to, trace_sets_get(from, i), none));
        TRY(trace_sets_close(to, &index));
    }
    memcpy(to->set_of, from->set_of, (size_t)from->n_pairs * sizeof *to->set_of);
    return STATUS_OK;
}

bool trace_set_equal(struct trace_set a, struct trace_set b) {
    if (a.n_edges != b.n_edges) return false;
    return a.n_edges == 0 || memcmp(a.edges, b.edges, a.n_edges * sizeof *a.edges) == 0;
}

int64_t trace_set_tokens(struct trace_set set) {
    int64_t n = 0;
    for (size_t i = 0; i < set.n_edges; i += 2)
        n += set.edges[i + 1] - set.edges[i];
    return n;
}

bool trace_set_is_all(struct trace_set set, int64_t n) {
    return set.n_edges == 2 && set.edges[0] == 0 && set.edges[1] == n;
}
