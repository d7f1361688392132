/* coordinator/trace_file.h - a trace on disk: written as it goes, read record by record.
 *
 * Each record is a varint with its length and a message of trace.proto: one header, then steps. What a
 * killed writer left half written at the end is not an error for the reader.
 *
 * Memory:  a writer keeps the last step; a reader borrows the file's bytes and keeps two steps.
 * Threads: one at a time.
 * Ranks:   rank 0. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "coordinator/trace_sets.h"
#include "coordinator/trace_tokens.h"
#include "coordinator/trace_wire.h"

struct trace_writer;

/* `path` NULL: to memory, see trace_writer_bytes. The header is written at once. */
NODISCARD enum status trace_writer_create(const char *path, const struct trace_header *header,
                                          struct trace_writer **writer_out);

/* One record, flushed. `sets` are swapped for others, of which only n_pairs means something. */
NODISCARD enum status trace_writer_step(struct trace_writer *writer, const struct trace_tokens *tokens,
                                        struct trace_sets *sets);
int64_t trace_writer_size(const struct trace_writer *writer); /* bytes so far */
const struct bytes *trace_writer_bytes(const struct trace_writer *writer);
NODISCARD enum status trace_writer_close(struct trace_writer *writer);
void trace_writer_destroy(
    struct trace_writer *writer); /* NULL is allowed; without closing: after a failure */

struct trace_step {
    int64_t n_cached; /* tokens, the one that attends included */
    const struct trace_tokens *tokens;
    const struct trace_sets *sets;
};

struct trace_reader;

/* `name` is for sentences. Anything but a trace: STATUS_BAD_INPUT. */
NODISCARD enum status trace_reader_create(const void *data, size_t size, const char *name,
                                          struct trace_reader **reader_out);
void trace_reader_destroy(struct trace_reader *reader); /* NULL is allowed */
const struct trace_header *trace_reader_header(const struct trace_reader *reader);

/* *step_out: the next step, valid until the next call; NULL: there is none. */
NODISCARD enum status trace_reader_next(struct trace_reader *reader, const struct trace_step **step_out);

/* At the end: bytes of a record that was not finished. */
size_t trace_reader_torn_bytes(const struct trace_reader *reader);
