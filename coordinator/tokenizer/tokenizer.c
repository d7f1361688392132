#include "coordinator/tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "coordinator/tokenizer/tokenizer_impl.h"

enum status token_list_append(struct token_list *list, int32_t id) {
    if (list->n == list->capacity) {
        const size_t larger = list->capacity ? 2 * list->capacity : 64;
        int32_t *moved = realloc(list->ids, larger * sizeof *moved);
        if (!moved) return FAIL(STATUS_NO_MEMORY, "out of memory: more than %zu tokens", list->n);
        list->ids = moved;
        list->capacity = larger;
    }
    list->ids[list->n++] = id;
    return STATUS_OK;
}

void token_list_free(struct token_list *list) {
    free(list->ids);
    *list = (struct token_list){0};
}

enum status tokenizer_create(struct tokenizer **tokenizer_out) {
    struct tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    if (!tokenizer) return FAIL(STATUS_NO_MEMORY, "out of memory for the tokenizer");
    const enum status status = arena_create("the tokenizer", &tokenizer->memory);
    if (status != STATUS_OK) {
        free(tokenizer);
        return status;
    }
    tokenizer->bos_id = tokenizer->eos_id = tokenizer->bpe.unknown_id = -1;
    *tokenizer_out = tokenizer;
    return STATUS_OK;
}

void tokenizer_close(struct tokenizer *tokenizer) {
    if (!tokenizer) return;
    normalizer_free(&tokenizer->normalizer);
    splitter_free(&tokenizer->splitter);
    decoder_free(&tokenizer->decoder);
    token_list_free(&tokenizer->prefix);
    token_list_free(&tokenizer->suffix);
    arena_destroy(tokenizer->memory);
    free(tokenizer);
}

enum status tokenizer_copy_text(struct tokenizer *tokenizer, const char *text, size_t size,
                                const char **copy_out) {
    char *copy;
    TRY(ARENA_TAKE(tokenizer->memory, size + 1, &copy));
    memcpy(copy, text, size);
    *copy_out = copy;
    return STATUS_OK;
}

static enum status normalize_added(struct tokenizer *tokenizer, struct added_token *token,
                                   struct pattern_scratch *scratch, struct bytes *text, struct bytes *spare) {
    bytes_clear(text);
    TRY(bytes_append(text, token->text, token->size));
    TRY(normalizer_run(&tokenizer->normalizer, scratch, text, spare));
    if (text->size > ADDED_TOKEN_MAX_BYTES)
        return FAIL(STATUS_BAD_INPUT, "the added token \"%s\" is longer than %d bytes once normalised",
                    token->text, ADDED_TOKEN_MAX_BYTES);
    if (text->size == token->size && memcmp(text->data, token->text, token->size) == 0) return STATUS_OK;
    token->size = (uint32_t)text->size;
    TRY(tokenizer_copy_text(tokenizer, text->data, text->size, &token->text));
    tokenizer->vocab.tokens[token->id].normalized = token->text;
    return STATUS_OK;
}

enum status tokenizer_add_normalized(struct tokenizer *tokenizer, struct added_token *tokens, size_t n) {
    struct pattern_scratch scratch = {0};
    struct bytes text = {0}, spare = {0};
    enum status status = STATUS_OK;
    size_t kept = 0;
    for (size_t i = 0; i < n && status == STATUS_OK; i++) {
        tokens[kept] = tokens[i];
        status = normalize_added(tokenizer, &tokens[kept], &scratch, &text, &spare);
        if (text.size > 0) kept++; /* a token that vanishes is never found */
    }
    bytes_free(&text);
    bytes_free(&spare);
    pattern_scratch_free(&scratch);
    if (status == STATUS_OK) added_tokens_build(tokens, kept, &tokenizer->normalized_added);
    return status;
}

enum status tokenizer_set_bos(struct tokenizer *tokenizer, bool add) {
    struct token_list *prefix = &tokenizer->prefix;
    const bool has = prefix->n > 0 && prefix->ids[0] == tokenizer->bos_id;
    if (add == has) return STATUS_OK;
    if (!add) {
        memmove(prefix->ids, prefix->ids + 1, --prefix->n * sizeof *prefix->ids);
        return STATUS_OK;
    }
    TRY(token_list_append(prefix, 0));
    memmove(prefix->ids + 1, prefix->ids, (prefix->n - 1) * sizeof *prefix->ids);
    prefix->ids[0] = tokenizer->bos_id;
    return STATUS_OK;
}

enum status tokenizer_set_eos(struct tokenizer *tokenizer, bool add) {
    struct token_list *suffix = &tokenizer->suffix;
    const bool has = suffix->n > 0 && suffix->ids[suffix->n - 1] == tokenizer->eos_id;
    if (add == has) return STATUS_OK;
    if (add) return token_list_append(suffix, tokenizer->eos_id);
    suffix->n--;
    return STATUS_OK;
}

int32_t tokenizer_vocab_size(const struct tokenizer *tokenizer) {
    return tokenizer->vocab.n_ids;
}

int32_t tokenizer_find(const struct tokenizer *tokenizer, const char *token) {
    return vocab_find(&tokenizer->vocab, token, strlen(token));
}

int32_t tokenizer_bos_id(const struct tokenizer *tokenizer) {
    return tokenizer->bos_id;
}

int32_t tokenizer_eos_id(const struct tokenizer *tokenizer) {
    return tokenizer->eos_id;
}

const char *tokenizer_kind(const struct tokenizer *tokenizer) {
    return tokenizer->bpe.byte_level ? "byte-level BPE" : "SentencePiece BPE";
}

const char *tokenizer_chat_template(const struct tokenizer *tokenizer) {
    return tokenizer->chat_template;
}
