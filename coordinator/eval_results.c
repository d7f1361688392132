#include "coordinator/eval_results.h"

#include <stdlib.h>
#include <string.h>

const struct line_format eval_results_format = {
    .key = "caucus_eval",
    .version = 1,
    .noun = "file of eval's results",
    .cure = "choose another --results",
    .writer = "caucus eval",
};

/* ---- reading ---- */

static enum status append(struct eval_results *results, struct eval_record record) {
    const size_t n = results->n;
    if ((n & (n - 1)) == 0) { /* full: room doubles at powers of two */
        struct eval_record *records = realloc(results->records, (n ? 2 * n : 1) * sizeof *records);
        if (!records) return FAIL(STATUS_NO_MEMORY, "out of memory for %zu results", n);
        results->records = records;
    }
    results->records[results->n++] = record;
    return STATUS_OK;
}

static enum status read_record(void *self, const char *text, size_t size, const char *name) {
    struct eval_record record;
    TRY(eval_record_parse(text, size, name, &record));
    const enum status status = append(self, record);
    if (status != STATUS_OK) eval_record_free(&record);
    return status;
}

static int by_sample(const void *a, const void *b) {
    const struct eval_record *left = a, *right = b;
    int order = strcmp(left->method.policy, right->method.policy);
    if (!order)
        order = (left->method.budget > right->method.budget) - (left->method.budget < right->method.budget);
    if (!order) order = strcmp(left->method.options, right->method.options);
    if (!order) order = (left->problem > right->problem) - (left->problem < right->problem);
    return order ? order : (left->sample > right->sample) - (left->sample < right->sample);
}

/* Nothing is written twice, but files may have been joined by hand. */
static void drop_duplicates(struct eval_results *results) {
    if (results->n == 0) return;
    qsort(results->records, results->n, sizeof *results->records, by_sample);
    size_t kept = 1;
    for (size_t i = 1; i < results->n; i++) {
        if (by_sample(&results->records[kept - 1], &results->records[i]) != 0)
            results->records[kept++] = results->records[i];
        else
            eval_record_free(&results->records[i]);
    }
    results->n = kept;
}

enum status eval_results_read(const char *path, struct eval_results *results_out) {
    struct eval_results results = {0};
    const struct line_visitor visitor = {&results, read_record};
    const enum status status = line_file_read(&eval_results_format, path, &results.header, visitor);
    if (status != STATUS_OK) {
        eval_results_free(&results);
        return status;
    }
    drop_duplicates(&results);
    *results_out = results;
    return STATUS_OK;
}

void eval_results_free(struct eval_results *results) {
    for (size_t i = 0; i < results->n; i++)
        eval_record_free(&results->records[i]);
    free(results->records);
    json_decref(results->header);
    *results = (struct eval_results){0};
}

/* ---- settings ---- */

enum status eval_results_check(const struct eval_results *results, const char *path, json_t *settings) {
    return line_file_check(&eval_results_format, path, results->header, settings);
}

enum status eval_results_check_probe(const struct eval_results *results, const struct config *config) {
    if (config->probe != PROBE_RECALL) return STATUS_OK;
    for (size_t i = 0; i < results->n; i++) {
        const int64_t every = results->records[i].probe_every;
        if (every > 0 && every != config->probe_every)
            return FAIL(STATUS_BAD_INPUT,
                        "%s has recall with --probe-every %lld, not %d; choose another --results",
                        config->results, (long long)every, config->probe_every);
    }
    return STATUS_OK;
}

/* ---- writing ---- */

struct eval_writer {
    struct line_writer *lines;
    struct bytes line; /* scratch */
};

enum status eval_results_lock(const char *path, int *lock_out) {
    return line_file_lock(&eval_results_format, path, lock_out);
}

enum status eval_writer_open(const char *path, const json_t *header, struct eval_writer **writer_out) {
    struct eval_writer *writer = calloc(1, sizeof *writer);
    if (!writer) return FAIL(STATUS_NO_MEMORY, "out of memory for %s", path);
    const enum status status = line_writer_open(&eval_results_format, path, header, &writer->lines);
    if (status != STATUS_OK) {
        eval_writer_close(writer);
        return status;
    }
    *writer_out = writer;
    return STATUS_OK;
}

enum status eval_writer_append(struct eval_writer *writer, const struct eval_record *record) {
    bytes_clear(&writer->line);
    TRY(eval_record_print(record, &writer->line));
    TRY(line_writer_append(writer->lines, &writer->line));
    return line_writer_sync(writer->lines); /* a sample takes seconds, this milliseconds */
}

void eval_writer_close(struct eval_writer *writer) {
    if (!writer) return;
    line_writer_close(writer->lines);
    bytes_free(&writer->line);
    free(writer);
}
