#include "coordinator/eval_results.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static const size_t MAX_FILE_BYTES = (size_t)64 << 30;
static const char HEADER_BEGIN[] = "{\"caucus_eval\":";
enum { EVAL_VERSION = 1, MAX_SHOWN_BYTES = 64 };

/* ---- reading ---- */

static enum status not_results(const char *path) {
    return FAIL(STATUS_BAD_INPUT, "%s is no file of eval's results; choose another --results", path);
}

static enum status read_header(const char *text, size_t size, const char *path, json_t **header_out) {
    json_t *header = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    const json_int_t version = json_integer_value(json_object_get(header, "caucus_eval"));
    if (version == EVAL_VERSION && json_is_object(json_object_get(header, "settings"))) {
        *header_out = header;
        return STATUS_OK;
    }
    json_decref(header);
    if (version <= 0) return not_results(path);
    return FAIL(STATUS_BAD_INPUT, "%s is of version %lld, which this program does not know", path,
                (long long)version);
}

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

static enum status read_record(const char *text, size_t size, const char *path, int64_t number,
                               struct eval_results *results) {
    char name[FILE_PATH_MAX + 32];
    snprintf(name, sizeof name, "%s:%lld", path, (long long)number);
    struct eval_record record;
    TRY(eval_record_parse(text, size, name, &record));
    const enum status status = append(results, record);
    if (status != STATUS_OK) eval_record_free(&record);
    return status;
}

/* Whole lines; what stands behind the last newline was torn. */
static enum status read_lines(const struct bytes *content, const char *path, struct eval_results *results) {
    int64_t number = 0;
    for (size_t at = 0; at < content->size;) {
        const char *line = content->data + at;
        const char *end = memchr(line, '\n', content->size - at);
        if (!end) break;
        const size_t size = (size_t)(end - line);
        at += size + 1;
        if (++number == 1)
            TRY(read_header(line, size, path, &results->header));
        else
            TRY(read_record(line, size, path, number, results));
    }
    return STATUS_OK;
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
    struct bytes content = {0};
    if (file_exists(path)) TRY(file_read_all(path, MAX_FILE_BYTES, &content));
    const enum status status = read_lines(&content, path, &results);
    bytes_free(&content);
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

/* For a sentence. */
static const char *shown(const json_t *value, char text[MAX_SHOWN_BYTES]) {
    char *encoded = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII) : NULL;
    snprintf(text, MAX_SHOWN_BYTES, "%s", encoded ? encoded : "nothing");
    free(encoded);
    return text;
}

enum status eval_results_check(const struct eval_results *results, const char *path, json_t *settings) {
    if (!results->header) return STATUS_OK;
    const json_t *before = json_object_get(results->header, "settings");
    const char *name;
    json_t *value;
    json_object_foreach(settings, name, value) {
        const json_t *old = json_object_get(before, name);
        if (json_equal(old, value)) continue;
        char old_text[MAX_SHOWN_BYTES], new_text[MAX_SHOWN_BYTES];
        return FAIL(STATUS_BAD_INPUT, "%s was begun with %s %s, not %s; choose another --results", path, name,
                    shown(old, old_text), shown(value, new_text));
    }
    return STATUS_OK;
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
    char *path;
    int file;
    struct bytes line;
};

static enum status fail_io(const char *path) {
    return FAIL(STATUS_IO, "cannot write %s: %s", path, strerror(errno));
}

enum status eval_results_lock(const char *path, int *lock_out) {
    const int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0) return fail_io(path);
    if (flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) { /* else: a file system without locks */
        close(file);
        return FAIL(STATUS_IO, "%s is being written by another caucus eval", path);
    }
    *lock_out = file;
    return STATUS_OK;
}

/* Where the last whole line ends, 0 in a file without one. */
static enum status find_end(const struct eval_writer *writer, off_t size, off_t *end_out) {
    char piece[4096];
    for (off_t end = size; end > 0;) {
        const off_t begin = end > (off_t)sizeof piece ? end - (off_t)sizeof piece : 0;
        TRY(file_read_at(writer->file, writer->path, (uint64_t)begin, (size_t)(end - begin), piece));
        const char *newline = memrchr(piece, '\n', (size_t)(end - begin));
        if (newline) {
            *end_out = begin + (newline - piece) + 1;
            return STATUS_OK;
        }
        end = begin;
    }
    *end_out = 0;
    return STATUS_OK;
}

/* A file without a whole line is only emptied where it begins as a header does. */
static enum status check_torn_header(const struct eval_writer *writer, off_t size) {
    char begin[sizeof HEADER_BEGIN];
    const size_t n = (size_t)size < sizeof HEADER_BEGIN - 1 ? (size_t)size : sizeof HEADER_BEGIN - 1;
    TRY(file_read_at(writer->file, writer->path, 0, n, begin));
    return memcmp(begin, HEADER_BEGIN, n) == 0 ? STATUS_OK : not_results(writer->path);
}

static enum status cut_torn_end(const struct eval_writer *writer, off_t *size_out) {
    struct stat info;
    off_t end = 0;
    if (fstat(writer->file, &info) != 0) return fail_io(writer->path);
    TRY(find_end(writer, info.st_size, &end));
    if (end == 0) TRY(check_torn_header(writer, info.st_size));
    if (end < info.st_size && ftruncate(writer->file, end) != 0) return fail_io(writer->path);
    *size_out = end;
    return STATUS_OK;
}

static enum status write_line(const struct eval_writer *writer) {
    const struct bytes *line = &writer->line;
    for (size_t written = 0; written < line->size;) {
        const ssize_t n = write(writer->file, line->data + written, line->size - written);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_io(writer->path);
        written += (size_t)n;
    }
    return STATUS_OK;
}

static enum status write_header(struct eval_writer *writer, const json_t *header) {
    char *text = json_dumps(header, JSON_COMPACT);
    if (!text) return FAIL(STATUS_NO_MEMORY, "out of memory for the results' header");
    const enum status status = bytes_printf(&writer->line, "%s\n", text);
    free(text);
    return status == STATUS_OK ? write_line(writer) : status;
}

static enum status open_writer(struct eval_writer *writer, const char *path, const json_t *header) {
    writer->path = strdup(path);
    if (!writer->path) return FAIL(STATUS_NO_MEMORY, "out of memory for %s", path);
    writer->file = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
    if (writer->file < 0) return fail_io(path);
    off_t size = 0;
    TRY(cut_torn_end(writer, &size));
    return size > 0 ? STATUS_OK : write_header(writer, header);
}

enum status eval_writer_open(const char *path, const json_t *header, struct eval_writer **writer_out) {
    struct eval_writer *writer = calloc(1, sizeof *writer);
    if (!writer) return FAIL(STATUS_NO_MEMORY, "out of memory for %s", path);
    writer->file = -1;
    const enum status status = open_writer(writer, path, header);
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
    TRY(write_line(writer));
    /* A sample takes seconds, this milliseconds; and a disk that is full may say so only now. */
    if (fdatasync(writer->file) != 0 && errno != EINVAL && errno != EROFS) return fail_io(writer->path);
    return STATUS_OK;
}

void eval_writer_close(struct eval_writer *writer) {
    if (!writer) return;
    if (writer->file >= 0) close(writer->file);
    bytes_free(&writer->line);
    free(writer->path);
    free(writer);
}
