/* coordinator/tokenizer/tokenizer.h - text to token ids and back, as the model's own files describe it.
 *
 * Two algorithms behind one interface: byte-level BPE (tokenizer.json or GGUF "gpt2") and SentencePiece
 * BPE with byte fallback (tokenizer.json or GGUF "llama").
 *
 * Memory:  a tokenizer owns its tables; id lists are appended to by the callee and freed by the caller.
 * Threads: encode and decode may run in parallel on one tokenizer.
 * Ranks:   local; only rank 0 has one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

struct gguf;
struct tokenizer;

struct token_list {
    int32_t *ids; /* [n] */
    size_t n;
    size_t capacity;
};
NODISCARD enum status token_list_append(struct token_list *list, int32_t id);
void token_list_free(struct token_list *list);

/* From a Hugging Face folder: tokenizer.json, and tokenizer_config.json where present. */
NODISCARD enum status tokenizer_open_folder(const char *folder, struct tokenizer **tokenizer_out);
/* The same from the bytes of a tokenizer.json alone, for tests and fuzzing. `path` is for messages. */
NODISCARD enum status tokenizer_parse(const char *json, size_t size, const char *path,
                                      struct tokenizer **tokenizer_out);
/* From GGUF metadata (tokenizer.ggml.*). `path` is for messages. */
NODISCARD enum status tokenizer_open_gguf(const struct gguf *gguf, const char *path,
                                          struct tokenizer **tokenizer_out);
void tokenizer_close(struct tokenizer *tokenizer); /* NULL is allowed */

struct tokenizer_encode_options {
    bool add_special;   /* BOS / EOS as the tokenizer's configuration says */
    bool parse_special; /* "<|im_end|>" in the text becomes that token; otherwise plain text. Added tokens
                         * that are not special, such as Qwen3's "<think>", are always recognised */
};

/* Appends the ids of `text`. Not UTF-8: STATUS_BAD_INPUT naming the byte position. On failure `ids` is as
 * before. */
NODISCARD enum status tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t size,
                                       struct tokenizer_encode_options options, struct token_list *ids);

/* Appends the bytes of one token as they stand in running text (an SPM word begins with its space).
 * Special tokens give nothing unless show_special, ids without a token never do. The bytes need not be
 * whole characters. */
NODISCARD enum status tokenizer_decode_token(const struct tokenizer *tokenizer, int32_t id, bool show_special,
                                             struct bytes *text);

/* All ids at once, with the decoder's clean-up (SPM: the first space is removed): what a detokenizer gives
 * out for them, so always valid UTF-8. */
NODISCARD enum status tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids, size_t n,
                                       bool show_special, struct bytes *text);

/* Text as it arrives: pushes a token and appends to `text` only whole characters; the rest waits.
 * finish gives out what waits, broken characters as U+FFFD. */
struct detokenizer;
NODISCARD enum status detokenizer_create(const struct tokenizer *tokenizer, bool show_special,
                                         struct detokenizer **detokenizer_out);
void detokenizer_destroy(struct detokenizer *detokenizer);
NODISCARD enum status detokenizer_push(struct detokenizer *detokenizer, int32_t id, struct bytes *text);
NODISCARD enum status detokenizer_finish(struct detokenizer *detokenizer, struct bytes *text);

int32_t tokenizer_vocab_size(const struct tokenizer *tokenizer); /* largest id + 1 */
int32_t tokenizer_find(const struct tokenizer *tokenizer,
                       const char *token);                     /* id of exactly this token, or -1 */
int32_t tokenizer_bos_id(const struct tokenizer *tokenizer);   /* -1: none */
int32_t tokenizer_eos_id(const struct tokenizer *tokenizer);   /* -1: none */
const char *tokenizer_kind(const struct tokenizer *tokenizer); /* "byte-level BPE", "SentencePiece BPE" */
const char *tokenizer_chat_template(const struct tokenizer *tokenizer); /* Jinja source; NULL: none */
