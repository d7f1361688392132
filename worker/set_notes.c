#include "worker/set_notes.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/numbers.h"

/* A rank's notes are words: first these, then for each layer and KV head of the rank how many tokens, and
 * which; or one of the marks. */
enum { WORD_N_CACHED, WORD_FIRST_KV_HEAD, WORD_N_KV_HEADS, N_FIRST_WORDS };
enum { MARK_FIRST_TOKENS = -1 /* the next word says how many */, MARK_SAME = -2 /* as the head before */ };

struct words {
    int32_t *items; /* [n] */
    size_t n, capacity;
};

struct set_notes {
    struct comm *comm;
    const struct model_shard *shard;
    int32_t sliding_window; /* 0: none */
    bool speaks; /* ranks that share a KV head would say the same, or what they do not know: the first does */
    bool wanted;
    struct words notes;
    struct words merged, spare; /* of one KV head's query heads */
    struct kv_set *lists;       /* [query heads of a KV head] likewise */

    size_t *sizes;             /* [comm_size] bytes of each rank's size … */
    size_t *gathered_sizes;    /* [comm_size] … and of its notes */
    struct words gathered;     /* rank 0 */
    struct attended_set *sets; /* [n_layers, n_kv_heads]; rank 0 */
};

static enum status out_of_memory(void) {
    return FAIL(STATUS_NO_MEMORY, "out of memory for the sets of a step");
}

static enum status reserve(struct words *words, size_t n) {
    if (n <= words->capacity) return STATUS_OK;
    const size_t capacity = 2 * n;
    int32_t *items = realloc(words->items, capacity * sizeof *items);
    if (!items) return out_of_memory();
    *words = (struct words){items, words->n, capacity};
    return STATUS_OK;
}

static enum status append(struct words *words, const int32_t *items, size_t n) {
    TRY(reserve(words, words->n + n));
    memcpy(words->items + words->n, items, n * sizeof *items);
    words->n += n;
    return STATUS_OK;
}

enum status set_notes_create(struct comm *comm, const struct model_shard *shard, int32_t sliding_window,
                             struct set_notes **notes_out) {
    struct set_notes *notes = calloc(1, sizeof *notes);
    if (!notes) return out_of_memory();
    const size_t group = (size_t)shard->n_heads / (size_t)shard->n_kv_heads;
    const size_t n_sets = (size_t)shard->spec->n_layers * (size_t)shard->spec->n_kv_heads;
    *notes =
        (struct set_notes){.comm = comm,
                           .shard = shard,
                           .sliding_window = sliding_window,
                           .speaks = shard_map_group(&shard->map, comm_rank(comm)).begin == comm_rank(comm)};
    notes->sizes = calloc((size_t)comm_size(comm), sizeof *notes->sizes);
    notes->gathered_sizes = calloc((size_t)comm_size(comm), sizeof *notes->gathered_sizes);
    notes->sets = calloc(n_sets, sizeof *notes->sets);
    notes->lists = calloc(group, sizeof *notes->lists);
    if (!notes->lists || !notes->sizes || !notes->gathered_sizes || !notes->sets) {
        set_notes_destroy(notes);
        return out_of_memory();
    }
    *notes_out = notes;
    return STATUS_OK;
}

void set_notes_destroy(struct set_notes *notes) {
    if (!notes) return;
    free(notes->notes.items);
    free(notes->merged.items);
    free(notes->spare.items);
    free(notes->gathered.items);
    free(notes->lists);
    free(notes->sizes);
    free(notes->gathered_sizes);
    free(notes->sets);
    free(notes);
}

void set_notes_clear(struct set_notes *notes) {
    notes->notes.n = 0;
}

static bool same_list(struct kv_set a, struct kv_set b) {
    return a.tokens == b.tokens && a.n_tokens == b.n_tokens;
}

/* The union of two ascending lists replaces the first. */
static enum status merge(struct set_notes *notes, struct kv_set more) {
    struct words *merged = &notes->merged, *out = &notes->spare;
    TRY(reserve(out, merged->n + (size_t)more.n_tokens));
    size_t i = 0;
    int64_t j = 0;
    for (out->n = 0; i < merged->n || j < more.n_tokens;) {
        const int64_t left = i < merged->n ? merged->items[i] : INT64_MAX;
        const int64_t right = j >= more.n_tokens ? INT64_MAX : more.tokens ? more.tokens[j] : j;
        out->items[out->n++] = (int32_t)smaller_i64(left, right);
        i += left <= right;
        j += right <= left;
    }
    const struct words swapped = *merged;
    *merged = *out;
    *out = swapped;
    return STATUS_OK;
}

static enum status note_list(struct set_notes *notes, struct kv_set list) {
    if (!list.tokens) {
        const int32_t words[] = {MARK_FIRST_TOKENS, (int32_t)list.n_tokens};
        return append(&notes->notes, words, 2);
    }
    TRY(append(&notes->notes, &(int32_t){(int32_t)list.n_tokens}, 1));
    return append(&notes->notes, list.tokens, (size_t)list.n_tokens);
}

/* What any of the KV head's query heads attends to. */
static enum status note_union(struct set_notes *notes, const struct kv_set *lists, int32_t n_lists) {
    notes->merged.n = 0;
    for (int32_t i = 0; i < n_lists; i++)
        if (i == 0 || !same_list(lists[i], lists[i - 1])) TRY(merge(notes, lists[i]));
    return note_list(notes,
                     (struct kv_set){.tokens = notes->merged.items, .n_tokens = (int64_t)notes->merged.n});
}

/* With a sliding window every list is all tokens, of which the latest count. */
static enum status note_window(struct set_notes *notes, int64_t n_cached) {
    const int64_t n = smaller_i64(n_cached, notes->sliding_window);
    TRY(reserve(&notes->merged, (size_t)n));
    for (int64_t i = 0; i < n; i++)
        notes->merged.items[i] = (int32_t)(n_cached - n + i);
    return note_list(notes, (struct kv_set){.tokens = notes->merged.items, .n_tokens = n});
}

static enum status note_layer(struct set_notes *notes, const struct kv_policy *policy,
                              const struct batch_block *block, int32_t layer) {
    const int32_t group = notes->shard->n_heads / notes->shard->n_kv_heads;
    const int64_t n_cached = block->first_position + 1;
    struct kv_set *lists = notes->lists, before = {0};
    for (int32_t kv_head = 0; kv_head < notes->shard->n_kv_heads; kv_head++) {
        bool one_list = true;
        for (int32_t i = 0; i < group; i++) {
            lists[i] = kv_policy_attended(policy, block->slot, layer, n_cached, kv_head * group + i);
            one_list = one_list && same_list(lists[i], lists[0]);
        }
        if (notes->sliding_window > 0)
            TRY(note_window(notes, n_cached));
        else if (kv_head > 0 && one_list && same_list(lists[0], before))
            TRY(append(&notes->notes, &(int32_t){MARK_SAME}, 1));
        else if (one_list)
            TRY(note_list(notes, lists[0]));
        else
            TRY(note_union(notes, lists, group));
        before = one_list ? lists[0] : (struct kv_set){.n_tokens = -1};
    }
    return STATUS_OK;
}

enum status set_notes_layer(struct set_notes *notes, const struct kv_policy *policy,
                            const struct batch *batch, int32_t layer) {
    if (!notes->wanted || !notes->speaks || batch->n_decodes == 0) return STATUS_OK;
    const struct batch_block *block = &batch->blocks[batch->decodes[batch->n_decodes - 1]];
    if (layer == 0) {
        const int32_t first[N_FIRST_WORDS] = {[WORD_N_CACHED] = (int32_t)(block->first_position + 1),
                                              [WORD_FIRST_KV_HEAD] = notes->shard->first_kv_head,
                                              [WORD_N_KV_HEADS] = notes->shard->n_kv_heads};
        TRY(append(&notes->notes, first, N_FIRST_WORDS));
    }
    return note_layer(notes, policy, block, layer);
}

/* Fills in the sets of one rank and returns its number of cached tokens. */
static int32_t read_notes(struct set_notes *notes, const int32_t *words, const int32_t *end) {
    const struct model_spec *spec = notes->shard->spec;
    const int32_t first_head = words[WORD_FIRST_KV_HEAD], n_heads = words[WORD_N_KV_HEADS];
    const int32_t *word = words + N_FIRST_WORDS;
    for (int32_t layer = 0; layer < spec->n_layers; layer++) {
        for (int32_t head = 0; head < n_heads; head++) {
            struct attended_set *set = &notes->sets[layer * spec->n_kv_heads + first_head + head];
            CHECK(word < end);
            const int32_t mark = *word++;
            if (mark == MARK_SAME)
                *set = set[-1];
            else if (mark == MARK_FIRST_TOKENS)
                *set = (struct attended_set){NULL, *word++};
            else
                *set = (struct attended_set){word, mark};
            if (mark >= 0) word += mark;
        }
    }
    CHECK(word == end);
    return words[WORD_N_CACHED];
}

/* Each rank's size, on all of them; returns the sum. */
static size_t share_sizes(struct set_notes *notes) {
    const size_t n_ranks = (size_t)comm_size(notes->comm);
    const size_t size = notes->notes.n * sizeof *notes->notes.items;
    size_t total = 0;
    for (size_t rank = 0; rank < n_ranks; rank++)
        notes->sizes[rank] = sizeof size;
    comm_gather(notes->comm, &size, notes->sizes, notes->gathered_sizes);
    comm_broadcast(notes->comm, notes->gathered_sizes, n_ranks * sizeof *notes->gathered_sizes);
    for (size_t rank = 0; rank < n_ranks; rank++)
        total += notes->gathered_sizes[rank];
    return total;
}

enum status set_notes_gather(struct set_notes *notes, struct step_trace *trace_out) {
    const bool is_first = comm_rank(notes->comm) == 0;
    const size_t total = share_sizes(notes);
    *trace_out = (struct step_trace){0};
    notes->wanted = true;
    if (is_first) TRY(reserve(&notes->gathered, total / sizeof *notes->gathered.items));
    comm_gather(notes->comm, notes->notes.items, notes->gathered_sizes, notes->gathered.items);
    if (!is_first || total == 0) return STATUS_OK;

    int32_t n_cached = 0;
    const int32_t *words = notes->gathered.items;
    for (int rank = 0; rank < comm_size(notes->comm); rank++) {
        const int32_t *end = words + notes->gathered_sizes[rank] / sizeof *words;
        if (words < end) n_cached = read_notes(notes, words, end);
        words = end;
    }
    const struct model_spec *spec = notes->shard->spec;
    *trace_out = (struct step_trace){n_cached, spec->n_layers, spec->n_kv_heads, notes->sets};
    return STATUS_OK;
}
