/* coordinator/tokenizer/vocab_impl.h - the tokens of a model: id to text and text to id.
 *
 * Memory:  everything comes from the arena given to create; texts are copied.
 * Threads: read-only once filled.
 * Ranks:   local. */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"

enum {
    VOCAB_MAX_IDS = 1 << 22,        /* the largest vocabularies in use have 262,144 */
    VOCAB_MAX_TOKEN_BYTES = 1 << 16 /* real ones end at a few hundred */
};

enum token_flag {
    TOKEN_SPECIAL = 1,  /* control token: shown and recognised only on request */
    TOKEN_VERBATIM = 2, /* its text is plain text, not written in the byte alphabet */
    TOKEN_SILENT = 4,   /* a place-holder that stands for no text */
};

struct token {
    const char *text;       /* NUL-terminated; NULL: no token has this id */
    const char *normalized; /* what an added token decodes from where that is not `text`, else NULL */
    uint32_t size;
    int16_t byte;  /* of a byte token such as <0x0A>, else -1 */
    uint8_t flags; /* enum token_flag */
};

struct vocab {
    struct token *tokens; /* [n_ids] */
    int32_t n_ids;        /* largest id + 1 */
    uint32_t longest;     /* bytes of the longest text */
    uint32_t *slots;      /* [slot_mask + 1] open addressing; id + 1, 0: empty */
    uint32_t slot_mask;
    char *unused_text;
    size_t unused_bytes;
};

/* Room for ids below n_ids, of which n_tokens are added, with text_bytes of text in all. */
NODISCARD enum status vocab_create(struct arena *memory, size_t n_ids, size_t n_tokens, size_t text_bytes,
                                   struct vocab *vocab_out);

/* Ids and texts are unique; an empty text is kept but never found. `path` is for the sentence. */
NODISCARD enum status vocab_add(struct vocab *vocab, const char *path, int32_t id, const char *text,
                                size_t size, unsigned flags);

int32_t vocab_find(const struct vocab *vocab, const char *text, size_t size); /* -1: none */

/* The token, or NULL where no token has this id. */
const struct token *vocab_token(const struct vocab *vocab, int32_t id);
