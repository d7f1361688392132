/* coordinator/tokenizer/decoder_impl.h - what a token says in running text.
 *
 * The chain of tokenizer.json in its usual order: replacements, then bytes (alphabet, <0x0A> or a space
 * mark), then what is stripped from the beginning of the whole text.
 *
 * Memory:  the chain owns its patterns (freed by decoder_free); texts live in the tokenizer's arena.
 * Threads: read-only once filled; a decoding is for one thread.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "coordinator/tokenizer/normalizer_impl.h"
#include "coordinator/tokenizer/pattern_impl.h"
#include "coordinator/tokenizer/vocab_impl.h"

struct decoder_replacement {
    struct pattern *pattern;
    const char *content;
    size_t content_size;
};

struct decoder {
    struct decoder_replacement replacements[PIPELINE_MAX_STEPS];
    int n_replacements;
    bool byte_level;    /* texts are written in the byte alphabet */
    bool byte_fallback; /* <0x0A> is a byte */
    const char *mark;   /* stands for a space; "": none */
    size_t mark_size;
    bool drop_first_marks; /* the first token loses its marks */
    const char *strip;     /* a character, stripped up to strip_count times from the beginning */
    size_t strip_size;
    int64_t strip_count;
};
void decoder_free(struct decoder *decoder);

/* The state of one text: what its beginning still loses. */
struct decoding {
    bool started; /* a token came */
    int64_t strip_left;
    struct pattern_scratch scratch;
    struct bytes text, spare; /* the token at hand */
};
struct decoding decoding_begin(const struct decoder *decoder);
void decoding_free(struct decoding *decoding);

/* Appends the bytes of the token to `out`; they need not be whole characters. */
NODISCARD enum status decoder_run(const struct decoder *decoder, const struct token *token,
                                  struct decoding *decoding, struct bytes *out);
