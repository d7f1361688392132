/* coordinator/tokenizer/bpe_impl.h - byte-pair encoding of one word: neighbours are merged, best rank
 * first and leftmost among equals, until no pair has a rule (Sennrich et al., arXiv:1508.07909).
 *
 * Where the rules come from is the only difference between the two families:
 *   merges    a list of pairs; the rank is the place in the list (GPT-2, tokenizer.json)
 *   scores    any two neighbours whose joined text is a token; the rank follows from that token's score,
 *             higher first (SentencePiece's BPE, GGUF "llama")
 *
 * Time: O(n log n) for a word of n bytes, through a heap of candidate merges.
 *
 * Memory:  tables come from the arena; a workspace belongs to one call of the encoder.
 * Threads: a model is read-only once filled; a workspace is for one thread.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "coordinator/tokenizer/tokenizer.h"
#include "coordinator/tokenizer/vocab_impl.h"

struct bpe_merge {
    uint64_t pair; /* left id << 32 | right id; UINT64_MAX: empty */
    uint32_t rank;
    int32_t merged;
};

struct bpe {
    bool byte_level;    /* words are bytes; each begins as the token of its byte */
    bool ignore_merges; /* a word that is a token is that token, whatever the merges say */
    bool byte_fallback; /* characters that are no token become the tokens of their bytes */
    bool fuse_unknown;  /* neighbouring unknown characters become one unknown token */
    int32_t unknown_id; /* -1: unknown characters are dropped */
    int32_t byte_ids[256];

    struct bpe_merge *merges; /* [merge_mask + 1] open addressing; NULL: by score */
    uint32_t merge_mask;
    uint32_t *ranks; /* [n_ids] by score */
};

/* An empty table for n merges. */
NODISCARD enum status bpe_create_merges(struct arena *memory, size_t n_merges, struct bpe *bpe);

/* Parts and result are tokens; `rank` of a pair given twice: the last (keep_first: the first) counts.
 * `path` is for the sentence. */
NODISCARD enum status bpe_add_merge(struct bpe *bpe, const struct vocab *vocab, const char *path,
                                    uint32_t rank, const char *left, size_t left_size, const char *right,
                                    size_t right_size, bool keep_first);

/* Ranks from scores [n_ids], all finite. */
NODISCARD enum status bpe_rank_scores(struct arena *memory, const float *scores, size_t n_ids,
                                      struct bpe *bpe);

/* Fills byte_ids from the vocabulary: of the byte's character (byte_level) or of "<0x0A>". */
void bpe_find_bytes(const struct vocab *vocab, struct bpe *bpe);

struct bpe_symbol {
    uint32_t start, size; /* bytes of the word; size 0: merged away */
    uint32_t previous, next;
    int32_t id; /* -1: not a token */
};

struct bpe_candidate {
    uint64_t key; /* rank << 32 | left symbol: the order of merging */
    uint32_t right;
    uint32_t size; /* of the joined text; tells whether the pair is still the same */
    int32_t merged;
};

struct bpe_workspace {
    struct bpe_symbol *symbols; /* [n_symbols] */
    struct bpe_candidate *heap; /* [n_candidates] least key first */
    size_t n_symbols, n_candidates, symbol_capacity, heap_capacity;
    struct bytes written; /* the word in the byte alphabet */
};
void bpe_workspace_free(struct bpe_workspace *work);

/* Appends the ids of one word of valid UTF-8, at most 1 GiB. */
NODISCARD enum status bpe_encode(const struct bpe *bpe, const struct vocab *vocab, struct bpe_workspace *work,
                                 const char *word, size_t size, struct token_list *ids);
