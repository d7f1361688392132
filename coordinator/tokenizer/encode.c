#include "base/utf8.h"
#include "coordinator/tokenizer/tokenizer_impl.h"

/* Within a word, positions are 32 bits. */
#define MAX_TEXT_BYTES ((size_t)1 << 30)

/* One call of tokenizer_encode. */
struct encoder {
    const struct tokenizer *tokenizer;
    bool parse_special;
    bool starts_text; /* no text and no token came yet */
    struct token_list *ids;
    struct pattern_scratch scratch;
    struct bytes normalized, spare;
    struct word_list words;
    struct bpe_workspace work;
};

static void encoder_free(struct encoder *encoder) {
    pattern_scratch_free(&encoder->scratch);
    bytes_free(&encoder->normalized);
    bytes_free(&encoder->spare);
    word_list_free(&encoder->words);
    bpe_workspace_free(&encoder->work);
}

/* Text without any added token, normalised. */
static enum status encode_plain(struct encoder *encoder, const char *text, size_t size) {
    const struct tokenizer *tokenizer = encoder->tokenizer;
    struct word_list *words = &encoder->words;
    if (size == 0) return STATUS_OK;
    TRY(splitter_run(&tokenizer->splitter, &encoder->scratch, text, size, encoder->starts_text, words));
    encoder->starts_text = false;
    for (size_t i = 0; i < words->n; i++)
        TRY(bpe_encode(&tokenizer->bpe, &tokenizer->vocab, &encoder->work,
                       words->text + words->words[i].start, words->words[i].end - words->words[i].start,
                       encoder->ids));
    return STATUS_OK;
}

/* Encodes `text`, giving each of the `added` tokens its id and the text between them to `encode_between`. */
static enum status encode_around(struct encoder *encoder, const struct added_tokens *added, const char *text,
                                 size_t size,
                                 enum status (*encode_between)(struct encoder *, const char *, size_t)) {
    size_t from = 0;
    int32_t id;
    struct span match;
    while (added_tokens_find(added, text, size, from, encoder->parse_special, &id, &match)) {
        TRY(encode_between(encoder, text + from, match.start - from));
        TRY(token_list_append(encoder->ids, id));
        encoder->starts_text = false;
        from = match.end;
    }
    return encode_between(encoder, text + from, size - from);
}

static enum status encode_fragment(struct encoder *encoder, const char *text, size_t size) {
    struct bytes *normalized = &encoder->normalized;
    if (size == 0) return STATUS_OK;
    bytes_clear(normalized);
    TRY(bytes_append(normalized, text, size));
    TRY(normalizer_run(&encoder->tokenizer->normalizer, &encoder->scratch, normalized, &encoder->spare));
    return encode_around(encoder, &encoder->tokenizer->normalized_added, normalized->data, normalized->size,
                         encode_plain);
}

static enum status check_text(const char *text, size_t size) {
    if (size > MAX_TEXT_BYTES)
        return FAIL(STATUS_BAD_INPUT, "the text has %zu bytes; at most %zu can be tokenized", size,
                    MAX_TEXT_BYTES);
    uint32_t code_point;
    for (size_t i = 0, length; i < size; i += length) {
        length = (unsigned char)text[i] < 0x80 ? 1 : utf8_decode(text + i, size - i, &code_point);
        if (length == 0) return FAIL(STATUS_BAD_INPUT, "the text is not valid UTF-8 at byte %zu", i);
    }
    return STATUS_OK;
}

static enum status append_list(struct token_list *ids, const struct token_list *more) {
    for (size_t i = 0; i < more->n; i++)
        TRY(token_list_append(ids, more->ids[i]));
    return STATUS_OK;
}

static enum status encode_all(struct encoder *encoder, const char *text, size_t size, bool add_special) {
    const struct tokenizer *tokenizer = encoder->tokenizer;
    if (add_special) TRY(append_list(encoder->ids, &tokenizer->prefix));
    TRY(encode_around(encoder, &tokenizer->added, text, size, encode_fragment));
    return add_special ? append_list(encoder->ids, &tokenizer->suffix) : STATUS_OK;
}

enum status tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t size,
                             struct tokenizer_encode_options options, struct token_list *ids) {
    TRY(check_text(text, size));
    struct encoder encoder = {
        .tokenizer = tokenizer, .parse_special = options.parse_special, .starts_text = true, .ids = ids};
    const size_t before = ids->n;
    const enum status status = encode_all(&encoder, size > 0 ? text : "", size, options.add_special);
    if (status != STATUS_OK) ids->n = before;
    encoder_free(&encoder);
    return status;
}
