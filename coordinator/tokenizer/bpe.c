#include "coordinator/tokenizer/bpe_impl.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/utf8.h"
#include "coordinator/tokenizer/bpe_lookup_impl.h"
#include "coordinator/tokenizer/byte_alphabet_impl.h"

#define NONE UINT32_MAX

void bpe_workspace_free(struct bpe_workspace *work) {
    free(work->symbols);
    free(work->heap);
    bytes_free(&work->written);
    *work = (struct bpe_workspace){0};
}

/* Room for `n` elements; a word of n symbols never has more than 3 n candidates. */
static enum status grow(void **array, size_t *capacity, size_t n, size_t size) {
    if (n <= *capacity) return STATUS_OK;
    size_t larger = *capacity ? *capacity : 64;
    while (larger < n)
        larger *= 2;
    void *moved = realloc(*array, larger * size);
    if (!moved) return FAIL(STATUS_NO_MEMORY, "out of memory: a word of %zu symbols", n);
    *array = moved;
    *capacity = larger;
    return STATUS_OK;
}

static void add_symbol(struct bpe_workspace *work, uint32_t start, uint32_t size, int32_t id) {
    const uint32_t at = (uint32_t)work->n_symbols++;
    DCHECK(work->n_symbols <= work->symbol_capacity);
    work->symbols[at] = (struct bpe_symbol){start, size, at > 0 ? at - 1 : NONE, NONE, id};
    if (at > 0) work->symbols[at - 1].next = at;
}

/* ---- the heap of candidate merges ---- */

static void heap_push(struct bpe_workspace *work, struct bpe_candidate candidate) {
    struct bpe_candidate *heap = work->heap;
    size_t at = work->n_candidates++;
    DCHECK(work->n_candidates <= work->heap_capacity);
    for (size_t parent; at > 0 && heap[parent = (at - 1) / 2].key > candidate.key; at = parent)
        heap[at] = heap[parent];
    heap[at] = candidate;
}

static struct bpe_candidate heap_pop(struct bpe_workspace *work) {
    struct bpe_candidate *heap = work->heap;
    const struct bpe_candidate top = heap[0], last = heap[--work->n_candidates];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < work->n_candidates; at = child) {
        if (child + 1 < work->n_candidates && heap[child + 1].key < heap[child].key) child++;
        if (last.key <= heap[child].key) break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return top;
}

/* ---- merging ---- */

struct merging {
    const struct bpe *bpe;
    const struct vocab *vocab;
    struct bpe_workspace *work;
    const char *word;
};

static bool find_rule(const struct merging *m, const struct bpe_symbol *left, const struct bpe_symbol *right,
                      uint32_t *rank_out, int32_t *merged_out) {
    if (m->bpe->merges) {
        const struct bpe_merge *merge = bpe_merge_slot(m->bpe, bpe_pair(left->id, right->id));
        *rank_out = merge->rank;
        *merged_out = merge->merged;
        return merge->pair != UINT64_MAX;
    }
    const int32_t merged = vocab_find(m->vocab, m->word + left->start, (size_t)left->size + right->size);
    if (merged < 0) return false;
    *rank_out = m->bpe->ranks[merged];
    *merged_out = merged;
    return true;
}

static void consider(const struct merging *m, uint32_t left, uint32_t right) {
    if (left == NONE || right == NONE) return;
    const struct bpe_symbol *l = &m->work->symbols[left], *r = &m->work->symbols[right];
    uint32_t rank;
    int32_t merged;
    if (!find_rule(m, l, r, &rank, &merged)) return;
    heap_push(m->work, (struct bpe_candidate){(uint64_t)rank << 32 | left, right, l->size + r->size, merged});
}

/* Symbols only grow or vanish, so a pair is unchanged when both live and the sizes still add up. */
static bool is_stale(const struct bpe_symbol *left, const struct bpe_symbol *right, uint32_t size) {
    return left->size == 0 || right->size == 0 || left->size + right->size != size;
}

static void merge_all(const struct merging *m) {
    struct bpe_workspace *work = m->work;
    work->n_candidates = 0;
    for (uint32_t i = 1; i < work->n_symbols; i++)
        consider(m, i - 1, i);
    while (work->n_candidates > 0) {
        const struct bpe_candidate best = heap_pop(work);
        const uint32_t at = (uint32_t)best.key;
        struct bpe_symbol *left = &work->symbols[at], *right = &work->symbols[best.right];
        if (is_stale(left, right, best.size)) continue;
        left->size = best.size;
        left->id = best.merged;
        left->next = right->next;
        right->size = 0;
        if (left->next != NONE) work->symbols[left->next].previous = at;
        consider(m, left->previous, at);
        consider(m, at, left->next);
    }
}

/* ---- from a word to its first symbols ---- */

/* Unknown characters wait here so that neighbours can fuse. They are put down before the next known
 * character, hence after the bytes of characters in between: so the tokenizers library does it. */
struct unknown {
    uint32_t start, size; /* size 0: none waits */
};

static void flush_unknown(const struct bpe *bpe, struct bpe_workspace *work, struct unknown *unknown) {
    if (unknown->size > 0) add_symbol(work, unknown->start, unknown->size, bpe->unknown_id);
    unknown->size = 0;
}

static void add_unknown(const struct bpe *bpe, struct bpe_workspace *work, struct unknown *unknown,
                        uint32_t start, uint32_t size) {
    if (bpe->unknown_id < 0) return;
    if (!bpe->fuse_unknown) flush_unknown(bpe, work, unknown);
    if (unknown->size == 0) unknown->start = start;
    unknown->size += size;
}

static bool has_bytes(const struct bpe *bpe, const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (bpe->byte_ids[(unsigned char)text[i]] < 0) return false;
    return true;
}

static void split_bytes(const struct merging *m, uint32_t size) {
    struct unknown unknown = {0};
    for (uint32_t i = 0; i < size; i++) {
        const int32_t id = m->bpe->byte_ids[(unsigned char)m->word[i]];
        if (id < 0) {
            add_unknown(m->bpe, m->work, &unknown, i, 1);
            continue;
        }
        flush_unknown(m->bpe, m->work, &unknown);
        add_symbol(m->work, i, 1, id);
    }
    flush_unknown(m->bpe, m->work, &unknown);
}

static void split_characters(const struct merging *m, uint32_t size) {
    struct unknown unknown = {0};
    uint32_t code_point;
    for (uint32_t i = 0, length; i < size; i += length) {
        length = (uint32_t)utf8_decode(m->word + i, size - i, &code_point);
        CHECK(length > 0);
        const int32_t id = vocab_find(m->vocab, m->word + i, length);
        if (id >= 0 || !m->bpe->merges) { /* by score, a character may merge without being a token */
            flush_unknown(m->bpe, m->work, &unknown);
            add_symbol(m->work, i, length, id);
        } else if (m->bpe->byte_fallback && has_bytes(m->bpe, m->word + i, length)) {
            for (uint32_t b = i; b < i + length; b++)
                add_symbol(m->work, b, 1, m->bpe->byte_ids[(unsigned char)m->word[b]]);
        } else {
            add_unknown(m->bpe, m->work, &unknown, i, length);
        }
    }
    flush_unknown(m->bpe, m->work, &unknown);
}

/* ---- from symbols to ids ---- */

/* A lone character that no merge took up, and no token is: its bytes, or the unknown token. */
static enum status append_bytes(const struct merging *m, const struct bpe_symbol *symbol,
                                struct token_list *ids) {
    const char *text = m->word + symbol->start;
    if (!has_bytes(m->bpe, text, symbol->size))
        return m->bpe->unknown_id < 0 ? STATUS_OK : token_list_append(ids, m->bpe->unknown_id);
    for (uint32_t i = 0; i < symbol->size; i++)
        TRY(token_list_append(ids, m->bpe->byte_ids[(unsigned char)text[i]]));
    return STATUS_OK;
}

static enum status append_symbols(const struct merging *m, struct token_list *ids) {
    const struct bpe_symbol *symbols = m->work->symbols;
    for (uint32_t i = m->work->n_symbols ? 0 : NONE; i != NONE; i = symbols[i].next) {
        if (symbols[i].id >= 0)
            TRY(token_list_append(ids, symbols[i].id));
        else
            TRY(append_bytes(m, &symbols[i], ids));
    }
    return STATUS_OK;
}

static enum status find_whole_word(const struct merging *m, size_t size, int32_t *id_out) {
    if (!m->bpe->byte_level) {
        *id_out = vocab_find(m->vocab, m->word, size);
        return STATUS_OK;
    }
    bytes_clear(&m->work->written);
    TRY(byte_alphabet_write(m->word, size, &m->work->written));
    *id_out = vocab_find(m->vocab, m->work->written.data, m->work->written.size);
    return STATUS_OK;
}

enum status bpe_encode(const struct bpe *bpe, const struct vocab *vocab, struct bpe_workspace *work,
                       const char *word, size_t size, struct token_list *ids) {
    const struct merging m = {bpe, vocab, work, word};
    CHECK(size <= INT32_MAX);
    if (bpe->ignore_merges) {
        int32_t id;
        TRY(find_whole_word(&m, size, &id));
        if (id >= 0) return token_list_append(ids, id);
    }
    TRY(grow((void **)&work->symbols, &work->symbol_capacity, size, sizeof *work->symbols));
    TRY(grow((void **)&work->heap, &work->heap_capacity, 3 * size, sizeof *work->heap));
    work->n_symbols = 0;
    if (bpe->byte_level)
        split_bytes(&m, (uint32_t)size);
    else
        split_characters(&m, (uint32_t)size);
    merge_all(&m);
    return append_symbols(&m, ids);
}
