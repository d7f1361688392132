#include "coordinator/trace_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { LENGTH_BYTES_MAX = 10, RECORD_BYTES_MAX = 1 << 28 };

struct trace_writer {
    const char *path; /* NULL: to memory */
    FILE *file;
    int64_t size;
    struct bytes message, record;
    struct trace_sets previous;
};

static enum status put_length(struct bytes *record, size_t length) {
    do {
        const unsigned char byte = (unsigned char)((length & 0x7f) | (length > 0x7f ? 0x80 : 0));
        TRY(bytes_append(record, &byte, 1));
        length >>= 7;
    } while (length > 0);
    return STATUS_OK;
}

/* What is in `message`. */
static enum status put_record(struct trace_writer *writer) {
    if (writer->message.size > RECORD_BYTES_MAX)
        return FAIL(STATUS_BAD_INPUT, "one step's sets take more than %d bytes", RECORD_BYTES_MAX);
    const size_t size_before = writer->record.size;
    TRY(put_length(&writer->record, writer->message.size));
    TRY(bytes_append(&writer->record, writer->message.data, writer->message.size));
    writer->size += (int64_t)(writer->record.size - size_before);
    if (!writer->file) return STATUS_OK;
    const bool written =
        fwrite(writer->record.data, 1, writer->record.size, writer->file) == writer->record.size;
    bytes_clear(&writer->record);
    if (written && fflush(writer->file) == 0) return STATUS_OK;
    return FAIL(STATUS_IO, "cannot write %s: %s", writer->path, strerror(errno));
}

static enum status open_writer(struct trace_writer *writer, const struct trace_header *header) {
    TRY(trace_sets_create(header->n_layers * header->n_kv_heads, &writer->previous));
    TRY(trace_wire_put_header(header, &writer->message));
    if (writer->path) writer->file = fopen(writer->path, "wb");
    if (writer->path && !writer->file)
        return FAIL(STATUS_IO, "cannot write %s: %s", writer->path, strerror(errno));
    return put_record(writer);
}

enum status trace_writer_create(const char *path, const struct trace_header *header,
                                struct trace_writer **writer_out) {
    struct trace_writer *writer = calloc(1, sizeof *writer);
    if (!writer) return FAIL(STATUS_NO_MEMORY, "out of memory for a trace");
    writer->path = path;
    const enum status status = open_writer(writer, header);
    if (status != STATUS_OK) {
        trace_writer_destroy(writer);
        return status;
    }
    *writer_out = writer;
    return STATUS_OK;
}

enum status trace_writer_step(struct trace_writer *writer, const struct trace_tokens *tokens,
                              struct trace_sets *sets) {
    bytes_clear(&writer->message);
    TRY(trace_wire_put_step(tokens, sets, &writer->previous, &writer->message));
    TRY(put_record(writer));
    const struct trace_sets previous = writer->previous;
    writer->previous = *sets;
    *sets = previous;
    return STATUS_OK;
}

int64_t trace_writer_size(const struct trace_writer *writer) {
    return writer->size;
}

const struct bytes *trace_writer_bytes(const struct trace_writer *writer) {
    CHECK(!writer->path);
    return &writer->record;
}

enum status trace_writer_close(struct trace_writer *writer) {
    FILE *file = writer->file;
    writer->file = NULL;
    const bool closed = !file || fclose(file) == 0;
    const enum status status =
        closed ? STATUS_OK : FAIL(STATUS_IO, "cannot write %s: %s", writer->path, strerror(errno));
    trace_writer_destroy(writer);
    return status;
}

void trace_writer_destroy(struct trace_writer *writer) {
    if (!writer) return;
    if (writer->file) fclose(writer->file);
    bytes_free(&writer->message);
    bytes_free(&writer->record);
    trace_sets_free(&writer->previous);
    free(writer);
}

struct trace_reader {
    const char *name;
    const unsigned char *data;
    size_t size, read;
    int64_t n_records;
    struct trace_header header;
    struct trace_tokens tokens;
    struct trace_sets sets, previous;
    struct trace_step step;
};

/* The sentence so far, said of a record of the file. */
static enum status blame(const struct trace_reader *reader, enum status status) {
    if (status != STATUS_BAD_INPUT) return status;
    char fault[512];
    snprintf(fault, sizeof fault, "%s", status_message());
    if (reader->n_records == 0) return FAIL(status, "%s cannot be read as a trace: %s", reader->name, fault);
    return FAIL(status, "%s: step record %lld: %s", reader->name, (long long)reader->n_records, fault);
}

/* The message behind the next length; *message_out NULL where the rest of the file is none. */
static enum status next_message(struct trace_reader *reader, const unsigned char **message_out,
                                size_t *size_out) {
    uint64_t length = 0;
    size_t at = reader->read;
    *message_out = NULL;
    for (int i = 0;; i++) {
        if (at == reader->size) return STATUS_OK;
        if (i == LENGTH_BYTES_MAX - 1) return FAIL(STATUS_BAD_INPUT, "its length is no number");
        length |= (uint64_t)(reader->data[at] & 0x7f) << 7 * i;
        if (reader->data[at++] < 0x80) break;
    }
    if (length > RECORD_BYTES_MAX)
        return FAIL(STATUS_BAD_INPUT, "%llu bytes are more than the %d allowed", (unsigned long long)length,
                    RECORD_BYTES_MAX);
    if (length > reader->size - at) return STATUS_OK;
    *message_out = reader->data + at;
    *size_out = (size_t)length;
    reader->read = at + (size_t)length;
    return STATUS_OK;
}

static enum status read_header(struct trace_reader *reader) {
    const unsigned char *message;
    size_t size;
    enum status status = next_message(reader, &message, &size);
    if (status == STATUS_OK && !message) status = FAIL(STATUS_BAD_INPUT, "it ends before its header does");
    if (status == STATUS_OK) status = trace_wire_get_header(message, size, &reader->header);
    if (status != STATUS_OK) return blame(reader, status);
    const int32_t n_pairs = reader->header.n_layers * reader->header.n_kv_heads;
    TRY(trace_sets_create(n_pairs, &reader->previous));
    TRY(trace_sets_create(n_pairs, &reader->sets));
    reader->step = (struct trace_step){(int64_t)reader->header.prompt.n, &reader->tokens, &reader->sets};
    return STATUS_OK;
}

enum status trace_reader_create(const void *data, size_t size, const char *name,
                                struct trace_reader **reader_out) {
    struct trace_reader *reader = calloc(1, sizeof *reader);
    if (!reader) return FAIL(STATUS_NO_MEMORY, "out of memory for a trace");
    reader->name = name;
    reader->data = data;
    reader->size = size;
    const enum status status = read_header(reader);
    if (status != STATUS_OK) {
        trace_reader_destroy(reader);
        return status;
    }
    *reader_out = reader;
    return STATUS_OK;
}

void trace_reader_destroy(struct trace_reader *reader) {
    if (!reader) return;
    trace_header_free(&reader->header);
    trace_tokens_free(&reader->tokens);
    trace_sets_free(&reader->sets);
    trace_sets_free(&reader->previous);
    free(reader);
}

const struct trace_header *trace_reader_header(const struct trace_reader *reader) {
    return &reader->header;
}

enum status trace_reader_next(struct trace_reader *reader, const struct trace_step **step_out) {
    const unsigned char *message;
    size_t size;
    *step_out = NULL;
    reader->n_records++;
    enum status status = next_message(reader, &message, &size);
    if (status == STATUS_OK && !message) return STATUS_OK;
    const struct trace_sets previous = reader->previous;
    reader->previous = reader->sets;
    reader->sets = previous;
    if (status == STATUS_OK)
        status = trace_wire_get_step(message, size, reader->step.n_cached, &reader->previous, &reader->tokens,
                                     &reader->sets);
    if (status != STATUS_OK) return blame(reader, status);
    reader->step.n_cached += (int64_t)reader->tokens.n;
    *step_out = &reader->step;
    return STATUS_OK;
}

size_t trace_reader_torn_bytes(const struct trace_reader *reader) {
    return reader->size - reader->read;
}
