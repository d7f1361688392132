#include "coordinator/stop_matcher.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

/* A node of the trie stands for a beginning of one or more stop strings: its path. */
struct node {
    unsigned char byte;      /* the last one of the path */
    uint32_t child, sibling; /* 0: none */
    uint32_t fallback;       /* the longest proper end of the path that has a node */
    uint32_t path_size;
    const char *path;          /* [path_size] inside a stop string */
    const char *longest_match; /* the longest stop string that the path ends in; NULL: none */
};

enum { ROOT = 0 };

struct stop_matcher {
    struct arena *arena;
    struct node *nodes; /* nodes[ROOT] has the empty path */
    uint32_t n_nodes;
    uint32_t state;
    const char *match;
};

static uint32_t find_child(const struct node *nodes, uint32_t node, unsigned char byte) {
    uint32_t child = nodes[node].child;
    while (child && nodes[child].byte != byte)
        child = nodes[child].sibling;
    return child;
}

static void add_stop(struct stop_matcher *matcher, const char *stop) {
    struct node *nodes = matcher->nodes;
    uint32_t node = ROOT;
    for (uint32_t i = 0; stop[i]; i++) {
        const unsigned char byte = (unsigned char)stop[i];
        uint32_t child = find_child(nodes, node, byte);
        if (!child) {
            child = matcher->n_nodes++;
            nodes[child] =
                (struct node){.byte = byte, .sibling = nodes[node].child, .path = stop, .path_size = i + 1};
            nodes[node].child = child;
        }
        node = child;
    }
    nodes[node].longest_match = stop;
}

/* The state after `byte`, for a state whose shorter paths have their fallbacks already. */
static uint32_t next_state(const struct node *nodes, uint32_t state, unsigned char byte) {
    uint32_t child;
    while (!(child = find_child(nodes, state, byte)) && state != ROOT)
        state = nodes[state].fallback;
    return child;
}

/* Breadth first: a fallback is shorter than its node. `queue` is [n_nodes]. */
static void link_fallbacks(struct stop_matcher *matcher, uint32_t *queue) {
    struct node *nodes = matcher->nodes;
    uint32_t n_queued = 1;
    queue[0] = ROOT;
    for (uint32_t i = 0; i < n_queued; i++) {
        const uint32_t parent = queue[i];
        for (uint32_t child = nodes[parent].child; child; child = nodes[child].sibling) {
            if (parent != ROOT)
                nodes[child].fallback = next_state(nodes, nodes[parent].fallback, nodes[child].byte);
            if (!nodes[child].longest_match)
                nodes[child].longest_match = nodes[nodes[child].fallback].longest_match;
            queue[n_queued++] = child;
        }
    }
}

static enum status count_bytes(const char *const *stops, size_t n, size_t *bytes_out) {
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t size = strlen(stops[i]);
        if (size == 0) return FAIL(STATUS_BAD_INPUT, "stop string %zu is empty", i + 1);
        if (__builtin_add_overflow(bytes, size, &bytes) || bytes >= UINT32_MAX)
            return FAIL(STATUS_BAD_INPUT, "the stop strings are longer than 4 GiB together");
    }
    *bytes_out = bytes;
    return STATUS_OK;
}

static enum status build(struct stop_matcher *matcher, const char *const *stops, size_t n, size_t n_bytes) {
    char *copies;
    uint32_t *queue;
    TRY(ARENA_TAKE(matcher->arena, n_bytes + n, &copies));
    TRY(ARENA_TAKE(matcher->arena, n_bytes + 1, &matcher->nodes));
    TRY(ARENA_TAKE(matcher->arena, n_bytes + 1, &queue));
    matcher->n_nodes = 1;
    for (size_t i = 0; i < n; i++) {
        const size_t size = strlen(stops[i]) + 1;
        memcpy(copies, stops[i], size);
        add_stop(matcher, copies);
        copies += size;
    }
    link_fallbacks(matcher, queue);
    return STATUS_OK;
}

enum status stop_matcher_create(const char *const *stops, size_t n, struct stop_matcher **matcher_out) {
    size_t n_bytes = 0;
    TRY(count_bytes(stops, n, &n_bytes));
    struct arena *arena;
    TRY(arena_create("stop strings", &arena));
    enum status status;
    struct stop_matcher *matcher;
    TRY_GOTO(ARENA_TAKE(arena, 1, &matcher), destroy_arena);
    *matcher = (struct stop_matcher){.arena = arena};
    TRY_GOTO(build(matcher, stops, n, n_bytes), destroy_arena);
    arena_seal(arena);
    *matcher_out = matcher;
    return STATUS_OK;

destroy_arena:
    arena_destroy(arena);
    return status;
}

void stop_matcher_destroy(struct stop_matcher *matcher) {
    if (matcher) arena_destroy(matcher->arena);
}

/* The state moves on by one byte. What the new state no longer withholds goes to `safe`. */
static enum status advance(struct stop_matcher *matcher, char byte, struct bytes *safe) {
    const struct node *withheld = &matcher->nodes[matcher->state];
    const uint32_t state = next_state(matcher->nodes, matcher->state, (unsigned char)byte);
    const struct node *node = &matcher->nodes[state];
    matcher->state = state;
    matcher->match = node->longest_match;
    const size_t size = withheld->path_size + 1;
    const size_t kept = matcher->match ? strlen(matcher->match) : node->path_size;
    const size_t n_safe = size - kept;
    TRY(bytes_append(safe, withheld->path, n_safe < size ? n_safe : size - 1));
    return n_safe == size ? bytes_append(safe, &byte, 1) : STATUS_OK;
}

enum status stop_matcher_push(struct stop_matcher *matcher, const char *text, size_t size,
                              struct bytes *safe) {
    for (size_t i = 0; i < size && !matcher->match; i++) {
        size_t n_free = 0; /* bytes that begin no stop string */
        while (matcher->state == ROOT && i + n_free < size &&
               !find_child(matcher->nodes, ROOT, (unsigned char)text[i + n_free]))
            n_free++;
        TRY(bytes_append(safe, text + i, n_free));
        i += n_free;
        if (i < size) TRY(advance(matcher, text[i], safe));
    }
    return STATUS_OK;
}

enum status stop_matcher_finish(struct stop_matcher *matcher, struct bytes *safe) {
    if (matcher->match) return STATUS_OK;
    const struct node *withheld = &matcher->nodes[matcher->state];
    matcher->state = ROOT;
    return bytes_append(safe, withheld->path, withheld->path_size);
}

const char *stop_matcher_match(const struct stop_matcher *matcher) {
    return matcher->match;
}
