#include "coordinator/tokenizer/decoder_impl.h"

#include <string.h>

#include "coordinator/tokenizer/byte_alphabet_impl.h"

void decoder_free(struct decoder *decoder) {
    for (int i = 0; i < decoder->n_replacements; i++)
        pattern_destroy(decoder->replacements[i].pattern);
    decoder->n_replacements = 0;
}

struct decoding decoding_begin(const struct decoder *decoder) {
    return (struct decoding){.strip_left = decoder->strip_count};
}

void decoding_free(struct decoding *decoding) {
    pattern_scratch_free(&decoding->scratch);
    bytes_free(&decoding->text);
    bytes_free(&decoding->spare);
}

/* decoding->text = the token's text after the replacements. */
static enum status replace_all(const struct decoder *decoder, const struct token *token,
                               struct decoding *decoding) {
    struct bytes *text = &decoding->text, *spare = &decoding->spare;
    bytes_clear(text);
    if (token->normalized)
        TRY(bytes_append_text(text, token->normalized));
    else
        TRY(bytes_append(text, token->text, token->size));
    for (int i = 0; i < decoder->n_replacements; i++) {
        const struct decoder_replacement *r = &decoder->replacements[i];
        bytes_clear(spare);
        TRY(pattern_replace(r->pattern, &decoding->scratch, text->data, text->size, r->content,
                            r->content_size, pattern_text_limit(token->size), spare));
        const struct bytes held = *text;
        *text = *spare;
        *spare = held;
    }
    return STATUS_OK;
}

/* Appends `text` with the marks as spaces, or without them. */
static enum status append_unmarked(const struct decoder *decoder, const char *text, size_t size, bool drop,
                                   struct bytes *out) {
    while (size > 0) {
        const char *mark = memmem(text, size, decoder->mark, decoder->mark_size);
        const size_t plain = mark ? (size_t)(mark - text) : size;
        TRY(bytes_append(out, text, plain));
        if (!mark) break;
        if (!drop) TRY(bytes_append(out, " ", 1));
        text += plain + decoder->mark_size;
        size -= plain + decoder->mark_size;
    }
    return STATUS_OK;
}

static enum status append_token(const struct decoder *decoder, const struct token *token, bool is_first,
                                struct decoding *decoding, struct bytes *out) {
    if (decoder->byte_fallback && token->byte >= 0) {
        const char byte = (char)token->byte;
        return bytes_append(out, &byte, 1);
    }
    TRY(replace_all(decoder, token, decoding));
    const struct bytes *text = &decoding->text;
    const bool verbatim = token->flags & TOKEN_VERBATIM;
    if (decoder->byte_level && !verbatim) return byte_alphabet_read(text->data, text->size, out);
    if (decoder->mark_size > 0)
        return append_unmarked(decoder, text->data, text->size, is_first && decoder->drop_first_marks, out);
    return bytes_append(out, text->data, text->size);
}

/* Takes from out[from…], the beginning of the whole text, what is to be stripped. */
static void strip_beginning(const struct decoder *decoder, struct decoding *decoding, size_t from,
                            struct bytes *out) {
    size_t at = from;
    while (decoding->strip_left > 0 && at < out->size) {
        const bool strips = out->size - at >= decoder->strip_size &&
                            memcmp(out->data + at, decoder->strip, decoder->strip_size) == 0;
        decoding->strip_left = strips ? decoding->strip_left - 1 : 0;
        if (strips) at += decoder->strip_size;
    }
    if (at == from) return;
    memmove(out->data + from, out->data + at, out->size - at + 1);
    out->size -= at - from;
}

enum status decoder_run(const struct decoder *decoder, const struct token *token, struct decoding *decoding,
                        struct bytes *out) {
    const size_t before = out->size;
    const bool is_first = !decoding->started;
    decoding->started = true;
    if (token->flags & TOKEN_SILENT) return STATUS_OK;
    TRY(append_token(decoder, token, is_first, decoding, out));
    strip_beginning(decoder, decoding, before, out);
    return STATUS_OK;
}
