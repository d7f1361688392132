#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/utf8.h"
#include "coordinator/tokenizer/bpe_lookup_impl.h"
#include "coordinator/tokenizer/byte_alphabet_impl.h"

enum status bpe_create_merges(struct arena *memory, size_t n_merges, struct bpe *bpe) {
    uint32_t n_slots = 16;
    CHECK(n_merges <= UINT32_MAX / 4);
    while (n_slots < 2 * n_merges)
        n_slots *= 2;
    TRY(ARENA_TAKE(memory, n_slots, &bpe->merges));
    for (uint32_t i = 0; i < n_slots; i++)
        bpe->merges[i].pair = UINT64_MAX;
    bpe->merge_mask = n_slots - 1;
    return STATUS_OK;
}

enum status bpe_add_merge(struct bpe *bpe, const struct vocab *vocab, const char *path, uint32_t rank,
                          const char *left, size_t left_size, const char *right, size_t right_size,
                          bool keep_first) {
    const int32_t left_id = vocab_find(vocab, left, left_size);
    const int32_t right_id = vocab_find(vocab, right, right_size);
    struct bytes joined = {0};
    enum status status = bytes_append(&joined, left, left_size);
    if (status == STATUS_OK) status = bytes_append(&joined, right, right_size);
    const int32_t merged = status == STATUS_OK ? vocab_find(vocab, joined.data, joined.size) : -1;
    bytes_free(&joined);
    if (status != STATUS_OK) return status;
    if (left_id < 0 || right_id < 0 || merged < 0)
        return FAIL(STATUS_BAD_INPUT,
                    "%s: merge %u joins \"%.*s\" and \"%.*s\", but %s is not in the vocabulary", path, rank,
                    (int)left_size, left, (int)right_size, right,
                    left_id < 0    ? "the first"
                    : right_id < 0 ? "the second"
                                   : "the result");
    const uint64_t pair = bpe_pair(left_id, right_id);
    struct bpe_merge *slot = bpe_merge_slot(bpe, pair);
    if (slot->pair == pair && keep_first) return STATUS_OK;
    *slot = (struct bpe_merge){.pair = pair, .rank = rank, .merged = merged};
    return STATUS_OK;
}

struct scored {
    float score;
    uint32_t id;
};

static int higher_score_first(const void *a, const void *b) {
    const struct scored *x = a, *y = b;
    return (x->score < y->score) - (x->score > y->score);
}

enum status bpe_rank_scores(struct arena *memory, const float *scores, size_t n_ids, struct bpe *bpe) {
    struct scored *order = calloc(n_ids ? n_ids : 1, sizeof *order);
    if (!order) return FAIL(STATUS_NO_MEMORY, "out of memory for the scores of %zu tokens", n_ids);
    for (size_t i = 0; i < n_ids; i++)
        order[i] = (struct scored){scores[i], (uint32_t)i};
    qsort(order, n_ids, sizeof *order, higher_score_first);
    const enum status status = ARENA_TAKE(memory, n_ids, &bpe->ranks);
    for (size_t i = 0, rank = 0; status == STATUS_OK && i < n_ids; i++) {
        if (i > 0 && order[i].score < order[i - 1].score) rank++; /* equal scores share a rank */
        bpe->ranks[order[i].id] = (uint32_t)rank;
    }
    free(order);
    return status;
}

void bpe_find_bytes(const struct vocab *vocab, struct bpe *bpe) {
    for (int byte = 0; byte < 256; byte++) {
        char text[8];
        const size_t size = bpe->byte_level ? utf8_encode(byte_alphabet_character((unsigned char)byte), text)
                                            : (size_t)snprintf(text, sizeof text, "<0x%02X>", (unsigned)byte);
        bpe->byte_ids[byte] = vocab_find(vocab, text, size);
    }
}
