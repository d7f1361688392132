/* coordinator/tokenizer/tokenizer_impl.h - what a tokenizer consists of. The readers of tokenizer.json
 * and of GGUF fill it; encode.c and detokenizer.c use it.
 *
 * Memory:  tables and texts live in `memory`, patterns on the heap.
 * Threads: read-only once filled.
 * Ranks:   local. */
#pragma once

#include "base/arena.h"
#include "coordinator/tokenizer/added_tokens_impl.h"
#include "coordinator/tokenizer/bpe_impl.h"
#include "coordinator/tokenizer/decoder_impl.h"
#include "coordinator/tokenizer/normalizer_impl.h"
#include "coordinator/tokenizer/splitter_impl.h"
#include "coordinator/tokenizer/tokenizer.h"
#include "coordinator/tokenizer/vocab_impl.h"

struct tokenizer {
    struct arena *memory;
    struct vocab vocab;
    struct added_tokens added;            /* looked for in the text as it came */
    struct added_tokens normalized_added; /* looked for after the normalizer */
    struct normalizer normalizer;
    struct splitter splitter;
    struct bpe bpe;
    struct decoder decoder;
    struct token_list prefix, suffix; /* what add_special puts around a text */
    int32_t bos_id, eos_id;           /* -1: none */
    const char *chat_template;        /* NULL: none */
};

/* An empty tokenizer with its arena. Closed with tokenizer_close, at whatever stage of filling. */
NODISCARD enum status tokenizer_create(struct tokenizer **tokenizer_out);

/* A NUL-terminated copy in the tokenizer's arena. */
NODISCARD enum status tokenizer_copy_text(struct tokenizer *tokenizer, const char *text, size_t size,
                                          const char **copy_out);

/* Normalises `n` added tokens (from the arena) and looks for them after the normalizer. */
NODISCARD enum status tokenizer_add_normalized(struct tokenizer *tokenizer, struct added_token *tokens,
                                               size_t n);

/* add_special puts `id` before (after) every text, or with add == false no longer does. */
NODISCARD enum status tokenizer_set_bos(struct tokenizer *tokenizer, bool add);
NODISCARD enum status tokenizer_set_eos(struct tokenizer *tokenizer, bool add);
