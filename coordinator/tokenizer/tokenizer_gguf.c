#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "coordinator/tokenizer/gguf_splitter_impl.h"
#include "coordinator/tokenizer/tokenizer_impl.h"
#include "modelfile/gguf.h"

/* tokenizer.ggml.token_type */
enum gguf_token_type {
    TYPE_UNDEFINED,
    TYPE_NORMAL,
    TYPE_UNKNOWN,
    TYPE_CONTROL,
    TYPE_USER_DEFINED,
    TYPE_UNUSED,
    TYPE_BYTE
};

#define SPACE_MARK "\xE2\x96\x81" /* U+2581 */

struct reading {
    const struct gguf *gguf;
    const char *path;
    struct tokenizer *tokenizer;
    size_t n_tokens;
    bool add_bos, add_eos; /* unless the metadata says otherwise */
};

/* ---- vocabulary ---- */

static enum status array_count(const struct reading *r, const char *key, bool required, size_t *count_out) {
    const int64_t count = gguf_array_count(r->gguf, key);
    if (count < 0 && required) return FAIL(STATUS_BAD_INPUT, "%s: %s is missing or no array", r->path, key);
    *count_out = count < 0 ? 0 : (size_t)count;
    return STATUS_OK;
}

static enum status token_at(const struct reading *r, size_t index, struct gguf_text *text_out) {
    if (gguf_array_text(r->gguf, "tokenizer.ggml.tokens", (int64_t)index, text_out)) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT, "%s: tokenizer.ggml.tokens does not hold texts", r->path);
}

static enum status type_at(const struct reading *r, size_t index, int64_t *type_out) {
    *type_out = TYPE_NORMAL;
    if (gguf_array_count(r->gguf, "tokenizer.ggml.token_type") < 0) return STATUS_OK;
    if (gguf_array_i64(r->gguf, "tokenizer.ggml.token_type", (int64_t)index, type_out)) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT, "%s: tokenizer.ggml.token_type has no number for token %zu", r->path,
                index);
}

static unsigned flags_of_type(int64_t type) {
    switch (type) {
    case TYPE_CONTROL:
    case TYPE_UNKNOWN:
        return TOKEN_SPECIAL | TOKEN_VERBATIM;
    case TYPE_USER_DEFINED:
        return TOKEN_VERBATIM;
    case TYPE_UNUSED:
    case TYPE_UNDEFINED:
        return TOKEN_SILENT;
    default:
        return 0;
    }
}

static enum status create_vocab(struct reading *r) {
    size_t text_bytes = 0;
    TRY(array_count(r, "tokenizer.ggml.tokens", true, &r->n_tokens));
    if (r->n_tokens == 0 || r->n_tokens > VOCAB_MAX_IDS)
        return FAIL(STATUS_BAD_INPUT, "%s: tokenizer.ggml.tokens has %zu tokens, not 1 to %d", r->path,
                    r->n_tokens, VOCAB_MAX_IDS);
    for (size_t i = 0; i < r->n_tokens; i++) {
        struct gguf_text text;
        TRY(token_at(r, i, &text));
        text_bytes += text.size;
    }
    return vocab_create(r->tokenizer->memory, r->n_tokens, r->n_tokens, text_bytes, &r->tokenizer->vocab);
}

static enum status fill_vocab(struct reading *r) {
    TRY(create_vocab(r));
    for (size_t i = 0; i < r->n_tokens; i++) {
        struct gguf_text text;
        int64_t type;
        TRY(token_at(r, i, &text));
        TRY(type_at(r, i, &type));
        TRY(vocab_add(&r->tokenizer->vocab, r->path, (int32_t)i, text.data, text.size, flags_of_type(type)));
    }
    return STATUS_OK;
}

/* Can the token be looked for in text? A piece of a character cannot be found at its borders. */
static bool is_findable(const struct token *token) {
    return (token->flags & TOKEN_VERBATIM) && token->size > 0 && token->size <= ADDED_TOKEN_MAX_BYTES &&
           utf8_is_valid(token->text, token->size);
}

static enum status find_added(struct reading *r) {
    const struct vocab *vocab = &r->tokenizer->vocab;
    struct added_token *added;
    size_t n = 0;
    for (int32_t id = 0; id < vocab->n_ids; id++)
        n += is_findable(&vocab->tokens[id]);
    if (n == 0) return STATUS_OK;
    TRY(ARENA_TAKE(r->tokenizer->memory, n, &added));
    n = 0;
    for (int32_t id = 0; id < vocab->n_ids; id++) {
        const struct token *token = &vocab->tokens[id];
        if (is_findable(token))
            added[n++] = (struct added_token){
                .text = token->text, .size = token->size, .id = id, .special = token->flags & TOKEN_SPECIAL};
    }
    added_tokens_build(added, n, &r->tokenizer->added);
    return STATUS_OK;
}

/* ---- byte-level BPE: tokenizer.ggml.model "gpt2" ---- */

static enum status read_merge(const struct reading *r, size_t index) {
    struct gguf_text text;
    if (!gguf_array_text(r->gguf, "tokenizer.ggml.merges", (int64_t)index, &text))
        return FAIL(STATUS_BAD_INPUT, "%s: tokenizer.ggml.merges does not hold texts", r->path);
    /* A part may itself begin with a space in old files, hence the search from the second byte. */
    const char *space = text.size > 1 ? memchr(text.data + 1, ' ', text.size - 1) : NULL;
    if (!space)
        return FAIL(STATUS_BAD_INPUT, "%s: tokenizer.ggml.merges[%zu] is not \"a b\"", r->path, index);
    const size_t left_size = (size_t)(space - text.data);
    return bpe_add_merge(&r->tokenizer->bpe, &r->tokenizer->vocab, r->path, (uint32_t)index, text.data,
                         left_size, space + 1, text.size - left_size - 1, true);
}

static enum status read_merges(struct reading *r) {
    size_t n;
    TRY(array_count(r, "tokenizer.ggml.merges", true, &n));
    if (n > 4 * (size_t)VOCAB_MAX_IDS)
        return FAIL(STATUS_BAD_INPUT, "%s: %zu merges are more than the %d supported", r->path, n,
                    4 * VOCAB_MAX_IDS);
    TRY(bpe_create_merges(r->tokenizer->memory, n, &r->tokenizer->bpe));
    for (size_t i = 0; i < n; i++)
        TRY(read_merge(r, i));
    return STATUS_OK;
}

static enum status read_byte_level(struct reading *r) {
    struct tokenizer *tokenizer = r->tokenizer;
    struct gguf_text name = {"default", strlen("default")};
    (void)gguf_get_text(r->gguf, "tokenizer.ggml.pre", &name);
    const struct gguf_splitter *splitter = gguf_splitter_find(name.data, name.size);
    if (!splitter)
        return FAIL(STATUS_BAD_INPUT, "%s: the pre-tokenizer \"%.*s\" (tokenizer.ggml.pre) is not known",
                    r->path, (int)(name.size < 50 ? name.size : 50), name.data);
    TRY(gguf_splitter_build(splitter, r->path, &tokenizer->splitter));
    r->add_bos = splitter->add_bos;
    tokenizer->bpe.byte_level = true;
    tokenizer->bpe.ignore_merges = splitter->ignore_merges;
    tokenizer->decoder.byte_level = true;
    bpe_find_bytes(&tokenizer->vocab, &tokenizer->bpe);
    return read_merges(r);
}

/* ---- SentencePiece: tokenizer.ggml.model "llama" ---- */

static enum status read_scores(struct reading *r) {
    size_t n;
    TRY(array_count(r, "tokenizer.ggml.scores", true, &n));
    if (n < r->n_tokens)
        return FAIL(STATUS_BAD_INPUT, "%s: tokenizer.ggml.scores has %zu scores for %zu tokens", r->path, n,
                    r->n_tokens);
    float *scores = calloc(r->n_tokens, sizeof *scores);
    if (!scores) return FAIL(STATUS_NO_MEMORY, "out of memory for the scores of %zu tokens", r->n_tokens);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < r->n_tokens && status == STATUS_OK; i++) {
        double score = NAN;
        if (!gguf_array_f64(r->gguf, "tokenizer.ggml.scores", (int64_t)i, &score) || !isfinite(score))
            status =
                FAIL(STATUS_BAD_INPUT, "%s: tokenizer.ggml.scores[%zu] is not a finite number", r->path, i);
        scores[i] = (float)score;
    }
    if (status == STATUS_OK)
        status = bpe_rank_scores(r->tokenizer->memory, scores, r->n_tokens, &r->tokenizer->bpe);
    free(scores);
    return status;
}

/* Spaces become U+2581, and every stretch of text begins with one. */
static enum status add_space_steps(struct reading *r) {
    struct normalizer *normalizer = &r->tokenizer->normalizer;
    bool add_space_prefix = true;
    (void)gguf_get_bool(r->gguf, "tokenizer.ggml.add_space_prefix", &add_space_prefix);
    if (add_space_prefix) {
        normalizer->steps[normalizer->n_steps++] = (struct normalizer_step){
            .kind = NORMALIZE_PREPEND, .content = SPACE_MARK, .content_size = strlen(SPACE_MARK)};
        r->tokenizer->decoder.strip_count = 1;
    }
    struct normalizer_step replace = {
        .kind = NORMALIZE_REPLACE, .content = SPACE_MARK, .content_size = strlen(SPACE_MARK)};
    TRY(pattern_create_literal(" ", 1, &replace.pattern));
    normalizer->steps[normalizer->n_steps++] = replace;
    return STATUS_OK;
}

static enum status read_sentencepiece(struct reading *r) {
    struct tokenizer *tokenizer = r->tokenizer;
    TRY(add_space_steps(r));
    TRY(read_scores(r));
    tokenizer->decoder.byte_fallback = true;
    tokenizer->decoder.mark = SPACE_MARK;
    tokenizer->decoder.mark_size = strlen(SPACE_MARK);
    tokenizer->decoder.strip = " ";
    tokenizer->decoder.strip_size = 1;
    tokenizer->bpe.byte_fallback = true;
    tokenizer->bpe.unknown_id = 0;
    tokenizer->bos_id = 1;
    tokenizer->eos_id = 2;
    r->add_bos = true;
    bpe_find_bytes(&tokenizer->vocab, &tokenizer->bpe);
    return STATUS_OK;
}

/* ---- special tokens ---- */

/* An id beyond the vocabulary (files write 4294967295 for none) leaves the default, if that exists. */
static void read_special_id(const struct reading *r, const char *key, int32_t *id) {
    int64_t value;
    const struct vocab *vocab = &r->tokenizer->vocab;
    if (gguf_get_i64(r->gguf, key, &value) && value >= 0 && value < vocab->n_ids) *id = (int32_t)value;
    if (!vocab_token(vocab, *id)) *id = -1;
}

static enum status read_specials(struct reading *r) {
    struct tokenizer *tokenizer = r->tokenizer;
    read_special_id(r, "tokenizer.ggml.bos_token_id", &tokenizer->bos_id);
    read_special_id(r, "tokenizer.ggml.eos_token_id", &tokenizer->eos_id);
    read_special_id(r, "tokenizer.ggml.unknown_token_id", &tokenizer->bpe.unknown_id);
    (void)gguf_get_bool(r->gguf, "tokenizer.ggml.add_bos_token", &r->add_bos);
    (void)gguf_get_bool(r->gguf, "tokenizer.ggml.add_eos_token", &r->add_eos);
    if (r->add_bos && tokenizer->bos_id < 0)
        return FAIL(STATUS_BAD_INPUT,
                    "%s: texts begin with BOS, but tokenizer.ggml.bos_token_id names no token", r->path);
    if (r->add_eos && tokenizer->eos_id < 0)
        return FAIL(STATUS_BAD_INPUT,
                    "%s: texts end with EOS, but tokenizer.ggml.eos_token_id names no token", r->path);
    if (r->add_bos) TRY(tokenizer_set_bos(tokenizer, true));
    return r->add_eos ? tokenizer_set_eos(tokenizer, true) : STATUS_OK;
}

static enum status read_template(struct reading *r) {
    struct gguf_text text;
    if (!gguf_get_text(r->gguf, "tokenizer.chat_template", &text)) return STATUS_OK;
    if (text.size > 0 && memchr(text.data, '\0', text.size))
        return FAIL(STATUS_BAD_INPUT, "%s: tokenizer.chat_template contains a NUL byte", r->path);
    return tokenizer_copy_text(r->tokenizer, text.data, text.size, &r->tokenizer->chat_template);
}

static bool is_text(struct gguf_text text, const char *expected) {
    return text.size == strlen(expected) && memcmp(text.data, expected, text.size) == 0;
}

static enum status read_all(struct reading *r) {
    struct gguf_text model;
    if (!gguf_get_text(r->gguf, "tokenizer.ggml.model", &model))
        return FAIL(STATUS_BAD_INPUT, "%s: tokenizer.ggml.model is missing: the file has no tokenizer",
                    r->path);
    const bool byte_level = is_text(model, "gpt2");
    if (!byte_level && !is_text(model, "llama"))
        return FAIL(STATUS_BAD_INPUT, "%s: the tokenizer \"%.*s\" is not supported; gpt2 and llama are",
                    r->path, (int)(model.size < 50 ? model.size : 50), model.data);
    TRY(fill_vocab(r));
    TRY(find_added(r));
    TRY(byte_level ? read_byte_level(r) : read_sentencepiece(r));
    TRY(read_specials(r));
    return read_template(r);
}

enum status tokenizer_open_gguf(const struct gguf *gguf, const char *path, struct tokenizer **tokenizer_out) {
    struct reading reading = {.gguf = gguf, .path = path};
    TRY(tokenizer_create(&reading.tokenizer));
    const enum status status = read_all(&reading);
    if (status != STATUS_OK) {
        tokenizer_close(reading.tokenizer);
        return status;
    }
    *tokenizer_out = reading.tokenizer;
    return STATUS_OK;
}
