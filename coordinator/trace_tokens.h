/* coordinator/trace_tokens.h - tokens with their texts, which need not be whole characters.
 *
 * Memory:  owns its lists, which grow. Zero-initialise.
 * Threads: one at a time.
 * Ranks:   rank 0. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

struct trace_tokens {
    int32_t *ids;         /* [n] */
    uint32_t *text_bytes; /* [n] */
    size_t n, capacity;
    struct bytes text; /* of all of them, one after the other */
};

NODISCARD enum status trace_tokens_append(struct trace_tokens *tokens, int32_t id, const char *text,
                                          size_t text_size);
NODISCARD enum status trace_tokens_append_all(struct trace_tokens *tokens, const struct trace_tokens *more);
void trace_tokens_clear(struct trace_tokens *tokens); /* memory kept */
void trace_tokens_free(struct trace_tokens *tokens);
