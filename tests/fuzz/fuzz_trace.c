/* Any bytes are a trace or are refused; what is accepted is the same when written and read again. */
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "coordinator/trace_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_same_sets(const struct trace_sets *a, const struct trace_sets *b) {
    CHECK(a->n_pairs == b->n_pairs && a->n_sets == b->n_sets);
    for (int32_t pair = 0; pair < a->n_pairs; pair++)
        CHECK(trace_set_equal(trace_sets_get(a, a->set_of[pair]), trace_sets_get(b, b->set_of[pair])));
}

/* Writes the records that can be read. */
static struct trace_writer *write_again(struct trace_reader *reader) {
    struct trace_writer *writer;
    struct trace_sets sets;
    CHECK(trace_writer_create(NULL, trace_reader_header(reader), &writer) == STATUS_OK);
    const struct trace_step *step = NULL;
    while (trace_reader_next(reader, &step) == STATUS_OK && step) {
        CHECK(trace_sets_create(step->sets->n_pairs, &sets) == STATUS_OK);
        CHECK(trace_sets_copy(step->sets, &sets) == STATUS_OK);
        CHECK(trace_writer_step(writer, step->tokens, &sets) == STATUS_OK);
        trace_sets_free(&sets);
    }
    return writer;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct trace_reader *first, *second;
    if (trace_reader_create(data, size, "fuzz", &first) != STATUS_OK) return 0;
    struct trace_writer *writer = write_again(first);
    trace_reader_destroy(first);

    const struct bytes *bytes = trace_writer_bytes(writer);
    CHECK(trace_reader_create(data, size, "fuzz", &first) == STATUS_OK);
    CHECK(trace_reader_create(bytes->data, bytes->size, "fuzz", &second) == STATUS_OK);
    const struct trace_step *step, *again;
    while (trace_reader_next(first, &step) == STATUS_OK && step) {
        CHECK(trace_reader_next(second, &again) == STATUS_OK && again);
        CHECK(step->n_cached == again->n_cached);
        expect_same_sets(step->sets, again->sets);
    }
    trace_reader_destroy(second);
    trace_reader_destroy(first);
    trace_writer_destroy(writer);
    return 0;
}
