/* coordinator/trace_wire.h - the records of a trace as protobuf (trace.proto). Only trace_wire.c knows
 * protobuf-c.
 *
 * Memory:  a header that was read owns what it points to; one that is to be written borrows.
 * Threads: one at a time.
 * Ranks:   rank 0. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "coordinator/trace_sets.h"
#include "coordinator/trace_tokens.h"

enum { TRACE_VERSION = 1, TRACE_MAX_TOKENS = 1 << 30 };

struct trace_option {
    const char *name, *value;
};

struct trace_header {
    const char *program; /* version of caucus */
    const char *model;
    uint64_t fingerprint;
    const char *policy;
    int32_t budget;
    size_t n_options;
    const struct trace_option *options; /* [n_options] */
    int32_t n_layers, n_kv_heads;
    int32_t every; /* each so many-th decode step is recorded */
    struct trace_tokens prompt;

    void *memory; /* private */
};

/* Append one message, without its length. `previous` is the step's before, or as trace_sets_create made it.
 */
NODISCARD enum status trace_wire_put_header(const struct trace_header *header, struct bytes *message);
NODISCARD enum status trace_wire_put_step(const struct trace_tokens *tokens, const struct trace_sets *sets,
                                          const struct trace_sets *previous, struct bytes *message);

/* What contradicts itself, or what went before: STATUS_BAD_INPUT. */
NODISCARD enum status trace_wire_get_header(const void *message, size_t size,
                                            struct trace_header *header_out);
void trace_header_free(struct trace_header *header); /* of one that was read */

/* `n_cached` tokens came before this record. Replaces the content of `tokens` and `sets`. */
NODISCARD enum status trace_wire_get_step(const void *message, size_t size, int64_t n_cached,
                                          const struct trace_sets *previous, struct trace_tokens *tokens,
                                          struct trace_sets *sets);
