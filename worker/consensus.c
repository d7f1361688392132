#include "worker/consensus.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

/* The hashes of a step, in this order; then each layer's. */
enum { HASH_PLAN, HASH_TOKENS, HASH_LAYERS };
enum { HASH_SET, HASH_HIDDEN, HASHES_OF_LAYER };

struct consensus {
    struct comm *comm;
    uint64_t every;
    uint64_t step;
    bool checks; /* this step */
    size_t n;
    uint64_t *hashes;   /* [n] */
    uint64_t *gathered; /* [comm_size, n], rank 0 */
    size_t *sizes;      /* [comm_size] bytes */
};

static const uint64_t HASH_BEGIN = UINT64_C(0x9e3779b97f4a7c15);

/* Eight bytes at a time; against faults, not forgery. */
static uint64_t hash(uint64_t state, const void *data, size_t size) {
    const unsigned char *at = data;
    for (uint64_t word; size > 0;) {
        const size_t n = size < sizeof word ? size : sizeof word;
        word = 0;
        memcpy(&word, at, n);
        state = (state ^ word) * UINT64_C(0xff51afd7ed558ccd);
        state ^= state >> 32;
        at += n;
        size -= n;
    }
    return state;
}

enum status consensus_create(struct comm *comm, int32_t n_layers, int32_t every, struct arena *memory,
                             struct consensus **consensus_out) {
    *consensus_out = NULL;
    if (every == 0) return STATUS_OK;
    const size_t n_ranks = (size_t)comm_size(comm);
    struct consensus *consensus;
    TRY(ARENA_TAKE(memory, 1, &consensus));
    consensus->comm = comm;
    consensus->every = (uint64_t)every;
    consensus->n = HASH_LAYERS + HASHES_OF_LAYER * (size_t)n_layers;
    TRY(ARENA_TAKE(memory, consensus->n, &consensus->hashes));
    TRY(ARENA_TAKE(memory, n_ranks, &consensus->sizes));
    if (comm_rank(comm) == 0) TRY(ARENA_TAKE(memory, n_ranks * consensus->n, &consensus->gathered));
    for (size_t rank = 0; rank < n_ranks; rank++)
        consensus->sizes[rank] = consensus->n * sizeof(uint64_t);
    *consensus_out = consensus;
    return STATUS_OK;
}

static uint64_t hash_plan(const struct step_plan *plan) {
    const int64_t head[] = {plan->kind, plan->n_candidates, plan->n_spans, plan->n_freed_slots};
    uint64_t state = hash(HASH_BEGIN, head, sizeof head);
    for (int32_t i = 0; i < plan->n_spans; i++) {
        const struct step_span *span = &plan->spans[i];
        const int64_t numbers[] = {span->slot, span->first_position, span->phase, span->n_tokens,
                                   span->n_logits_rows};
        state = hash(state, numbers, sizeof numbers);
        state = hash(state, &span->inverse_temperature, sizeof span->inverse_temperature);
    }
    return hash(state, plan->freed_slots, (size_t)plan->n_freed_slots * sizeof *plan->freed_slots);
}

static uint64_t hash_tokens(const struct step_plan *plan) {
    uint64_t state = HASH_BEGIN;
    for (int32_t i = 0; i < plan->n_spans; i++) {
        const struct step_span *span = &plan->spans[i];
        state = hash(state, span->tokens, (size_t)span->n_tokens * sizeof *span->tokens);
        if (span->targets)
            state = hash(state, span->targets, (size_t)span->n_logits_rows * sizeof *span->targets);
    }
    return state;
}

void consensus_begin(struct consensus *consensus, const struct step_plan *plan) {
    if (!consensus) return;
    consensus->step = plan->number;
    consensus->checks = plan->number % consensus->every == 0;
    if (!consensus->checks) return;
    memset(consensus->hashes, 0, consensus->n * sizeof *consensus->hashes);
    consensus->hashes[HASH_PLAN] = hash_plan(plan);
    consensus->hashes[HASH_TOKENS] = hash_tokens(plan);
}

static void note(struct consensus *consensus, int32_t layer, int which, const void *data, size_t size) {
    if (!consensus || !consensus->checks) return;
    const size_t index = HASH_LAYERS + HASHES_OF_LAYER * (size_t)layer + (size_t)which;
    DCHECK(index < consensus->n);
    consensus->hashes[index] = hash(HASH_BEGIN, data, size);
}

void consensus_set(struct consensus *consensus, int32_t layer, const uint32_t *messages, size_t n_words) {
    note(consensus, layer, HASH_SET, messages, n_words * sizeof *messages);
}

void consensus_hidden(struct consensus *consensus, int32_t layer, const float *x, size_t n) {
    note(consensus, layer, HASH_HIDDEN, x, n * sizeof *x);
}

/* How many ranks have the hash that `rank` has. */
static int votes_for(const uint64_t *hashes, int n_ranks, size_t n, size_t index, int rank) {
    int votes = 0;
    for (int other = 0; other < n_ranks; other++)
        votes += hashes[(size_t)other * n + index] == hashes[(size_t)rank * n + index];
    return votes;
}

/* -1: nobody differs. Among equally many, rank 0's is right. */
static int odd_one_out(const uint64_t *hashes, int n_ranks, size_t n, size_t index) {
    int right = 0;
    for (int rank = 1; rank < n_ranks; rank++)
        if (votes_for(hashes, n_ranks, n, index, rank) > votes_for(hashes, n_ranks, n, index, right))
            right = rank;
    for (int rank = 0; rank < n_ranks; rank++)
        if (hashes[(size_t)rank * n + index] != hashes[(size_t)right * n + index]) return rank;
    return -1;
}

bool consensus_difference(const uint64_t *hashes, int n_ranks, size_t n, size_t *index_out, int *rank_out) {
    const size_t row_bytes = n * sizeof *hashes;
    bool same = true;
    for (int rank = 1; rank < n_ranks && same; rank++)
        same = memcmp(hashes, hashes + (size_t)rank * n, row_bytes) == 0;
    for (size_t index = 0; index < n && !same; index++) {
        *rank_out = odd_one_out(hashes, n_ranks, n, index);
        *index_out = index;
        if (*rank_out >= 0) return true;
    }
    return false;
}

static void describe(size_t index, char *text, size_t room) {
    static const char *const of_layer[] = {
        [HASH_SET] = "the selected set", [HASH_HIDDEN] = "the hidden state"};
    if (index < HASH_LAYERS) {
        snprintf(text, room, "%s", index == HASH_PLAN ? "the plan" : "the tokens");
        return;
    }
    index -= HASH_LAYERS;
    snprintf(text, room, "%s of layer %zu", of_layer[index % HASHES_OF_LAYER], index / HASHES_OF_LAYER);
}

enum status consensus_finish(struct consensus *consensus) {
    if (!consensus || !consensus->checks) return STATUS_OK;
    const int n_ranks = comm_size(consensus->comm);
    size_t index;
    int rank;
    char what[64];
    comm_gather(consensus->comm, consensus->hashes, consensus->sizes, consensus->gathered);
    if (comm_rank(consensus->comm) != 0) return STATUS_OK;
    if (!consensus_difference(consensus->gathered, n_ranks, consensus->n, &index, &rank)) return STATUS_OK;
    describe(index, what, sizeof what);
    return FAIL(STATUS_INTERNAL, "rank %d differs from %s in %s in step %" PRIu64, rank,
                n_ranks == 2 ? "rank 0" : "most ranks", what, consensus->step);
}
