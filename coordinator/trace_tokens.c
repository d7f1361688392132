#include "coordinator/trace_tokens.h"

#include <stdlib.h>

static enum status reserve_one(struct trace_tokens *tokens) {
    if (tokens->n < tokens->capacity) return STATUS_OK;
    const size_t capacity = tokens->capacity ? 2 * tokens->capacity : 64;
    int32_t *ids = realloc(tokens->ids, capacity * sizeof *ids);
    if (ids) tokens->ids = ids;
    uint32_t *text_bytes = realloc(tokens->text_bytes, capacity * sizeof *text_bytes);
    if (text_bytes) tokens->text_bytes = text_bytes;
    if (!ids || !text_bytes) return FAIL(STATUS_NO_MEMORY, "out of memory for %zu tokens", capacity);
    tokens->capacity = capacity;
    return STATUS_OK;
}

enum status trace_tokens_append(struct trace_tokens *tokens, int32_t id, const char *text, size_t text_size) {
    TRY(reserve_one(tokens));
    TRY(bytes_append(&tokens->text, text, text_size));
    tokens->ids[tokens->n] = id;
    tokens->text_bytes[tokens->n++] = (uint32_t)text_size;
    return STATUS_OK;
}

enum status trace_tokens_append_all(struct trace_tokens *tokens, const struct trace_tokens *more) {
    const char *text = more->text.data;
    for (size_t i = 0; i < more->n; i++) {
        TRY(trace_tokens_append(tokens, more->ids[i], text, more->text_bytes[i]));
        text += more->text_bytes[i];
    }
    return STATUS_OK;
}

void trace_tokens_clear(struct trace_tokens *tokens) {
    tokens->n = 0;
    bytes_clear(&tokens->text);
}

void trace_tokens_free(struct trace_tokens *tokens) {
    free(tokens->ids);
    free(tokens->text_bytes);
    bytes_free(&tokens->text);
    *tokens = (struct trace_tokens){0};
}
