#include <stdlib.h>

#include "base/utf8.h"
#include "coordinator/tokenizer/tokenizer_impl.h"

struct detokenizer {
    const struct tokenizer *tokenizer;
    bool show_special;
    struct decoding decoding;
    struct bytes waiting; /* bytes that are no whole character yet */
};

/* How many bytes at `text`, where no character is, one U+FFFD stands for: the longest beginning of a
 * character, else one byte (Unicode Standard, 3.9, "substitution of maximal subparts"). */
static size_t broken_size(const char *text, size_t size) {
    for (size_t length = size < 3 ? size : 3; length > 1; length--)
        if (utf8_incomplete_tail(text, length) == length) return length;
    return 1;
}

/* Moves from `waiting` to `text` all whole characters, and U+FFFD for what cannot become one. */
static enum status give_out(struct bytes *waiting, bool is_end, struct bytes *text) {
    size_t at = 0;
    while (at < waiting->size) {
        uint32_t code_point;
        const char *here = waiting->data + at;
        const size_t left = waiting->size - at, length = utf8_decode(here, left, &code_point);
        if (length == 0 && !is_end && utf8_incomplete_tail(here, left) == left) break;
        if (length > 0)
            TRY(bytes_append(text, here, length));
        else
            TRY(bytes_append_text(text, "\xEF\xBF\xBD"));
        at += length > 0 ? length : broken_size(here, left);
    }
    bytes_drop_front(waiting, at);
    return STATUS_OK;
}

static enum status push(struct detokenizer *detokenizer, int32_t id, struct bytes *text) {
    const struct tokenizer *tokenizer = detokenizer->tokenizer;
    const struct token *token = vocab_token(&tokenizer->vocab, id);
    if (!token || (!detokenizer->show_special && (token->flags & TOKEN_SPECIAL))) return STATUS_OK;
    TRY(decoder_run(&tokenizer->decoder, token, &detokenizer->decoding, &detokenizer->waiting));
    return give_out(&detokenizer->waiting, false, text);
}

enum status tokenizer_decode_token(const struct tokenizer *tokenizer, int32_t id, bool show_special,
                                   struct bytes *text) {
    const struct token *token = vocab_token(&tokenizer->vocab, id);
    if (!token || (!show_special && (token->flags & TOKEN_SPECIAL))) return STATUS_OK;
    struct decoding decoding = {.started = true};
    const enum status status = decoder_run(&tokenizer->decoder, token, &decoding, text);
    decoding_free(&decoding);
    return status;
}

enum status tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids, size_t n,
                             bool show_special, struct bytes *text) {
    struct detokenizer detokenizer = {.tokenizer = tokenizer,
                                      .show_special = show_special,
                                      .decoding = decoding_begin(&tokenizer->decoder)};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < n && status == STATUS_OK; i++)
        status = push(&detokenizer, ids[i], text);
    if (status == STATUS_OK) status = give_out(&detokenizer.waiting, true, text);
    decoding_free(&detokenizer.decoding);
    bytes_free(&detokenizer.waiting);
    return status;
}

enum status detokenizer_create(const struct tokenizer *tokenizer, bool show_special,
                               struct detokenizer **detokenizer_out) {
    struct detokenizer *detokenizer = calloc(1, sizeof *detokenizer);
    if (!detokenizer) return FAIL(STATUS_NO_MEMORY, "out of memory for the detokenizer");
    detokenizer->tokenizer = tokenizer;
    detokenizer->show_special = show_special;
    detokenizer->decoding = decoding_begin(&tokenizer->decoder);
    *detokenizer_out = detokenizer;
    return STATUS_OK;
}

void detokenizer_destroy(struct detokenizer *detokenizer) {
    if (!detokenizer) return;
    decoding_free(&detokenizer->decoding);
    bytes_free(&detokenizer->waiting);
    free(detokenizer);
}

enum status detokenizer_push(struct detokenizer *detokenizer, int32_t id, struct bytes *text) {
    return push(detokenizer, id, text);
}

enum status detokenizer_finish(struct detokenizer *detokenizer, struct bytes *text) {
    return give_out(&detokenizer->waiting, true, text);
}
