#include "coordinator/journal.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/timer.h"
#include "coordinator/journal_line.h"

/* What is written outlives the program, what is forced to the disk the host. Forcing takes a fiftieth of the
 * time at most. */
static const double write_pause_seconds = 0.2, pause_per_sync = 50;

struct journal_entry {
    uint64_t answer;
    struct token_list ids;
    size_t n_written; /* of them */
    double seconds;
};

struct journal {
    struct line_writer *writer;
    struct journal_entry *entries; /* [n] */
    size_t n;
    void *by_answer;              /* tsearch(3)'s tree of struct place */
    struct bytes lines;           /* scratch */
    double next_write, next_sync; /* when it is time to, in seconds */
};

/* Where an answer's entry is. */
struct place {
    uint64_t answer;
    size_t index;
};

/* ---- reading ---- */

static int compare_answers(const void *left, const void *right) {
    const uint64_t a = ((const struct place *)left)->answer, b = ((const struct place *)right)->answer;
    return (a > b) - (a < b);
}

static struct journal_entry *find(const struct journal *journal, uint64_t answer) {
    const struct place wanted = {.answer = answer};
    struct place *const *found = tfind(&wanted, &journal->by_answer, compare_answers);
    return found ? &journal->entries[(*found)->index] : NULL;
}

static enum status index_entry(struct journal *journal, uint64_t answer, size_t index) {
    struct place *place = malloc(sizeof *place);
    if (place) *place = (struct place){answer, index};
    if (place && tsearch(place, &journal->by_answer, compare_answers)) return STATUS_OK;
    free(place);
    return FAIL(STATUS_NO_MEMORY, "out of memory for %zu answers", index + 1);
}

static enum status add(struct journal *journal, uint64_t answer, struct journal_entry **entry_out) {
    const size_t n = journal->n;
    if ((n & (n - 1)) == 0) { /* full: room doubles at powers of two */
        struct journal_entry *entries = realloc(journal->entries, (n ? 2 * n : 1) * sizeof *entries);
        if (!entries) return FAIL(STATUS_NO_MEMORY, "out of memory for %zu answers", n + 1);
        journal->entries = entries;
    }
    TRY(index_entry(journal, answer, n));
    journal->entries[n] = (struct journal_entry){.answer = answer};
    *entry_out = &journal->entries[journal->n++];
    return STATUS_OK;
}

static enum status append(struct journal_entry *entry, const int32_t *ids, size_t n) {
    for (size_t i = 0; i < n; i++)
        TRY(token_list_append(&entry->ids, ids[i]));
    return STATUS_OK;
}

static enum status take_line(struct journal *journal, const struct journal_line *line, const char *name) {
    struct journal_entry *entry = find(journal, line->answer);
    if (!entry) TRY(add(journal, line->answer, &entry));
    if ((size_t)line->first != entry->ids.n || line->ids.n > INT32_MAX - entry->ids.n)
        return FAIL(STATUS_BAD_INPUT, "%s: the tokens before %lld are not in the lines before", name,
                    (long long)line->first);
    TRY(append(entry, line->ids.ids, line->ids.n));
    entry->n_written = entry->ids.n;
    entry->seconds = line->seconds;
    return STATUS_OK;
}

static enum status read_line(void *self, const char *text, size_t size, const char *name) {
    struct journal_line line;
    TRY(journal_line_parse(text, size, name, &line));
    const enum status status = take_line(self, &line, name);
    journal_line_free(&line);
    return status;
}

/* A pipe would be waited for. */
static enum status check_kind(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0 || S_ISREG(info.st_mode)) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT, "%s is not a regular file", path);
}

static enum status read_file(const struct line_format *format, const char *path, json_t *settings,
                             struct journal *journal) {
    json_t *header;
    TRY(check_kind(path));
    TRY(line_file_read(format, path, &header, (struct line_visitor){journal, read_line}));
    const enum status status = line_file_check(format, path, header, settings);
    json_decref(header);
    return status;
}

static void free_entries(struct journal *journal) {
    for (size_t i = 0; i < journal->n; i++)
        token_list_free(&journal->entries[i].ids);
    free(journal->entries);
    tdestroy(journal->by_answer, free);
}

enum status journal_check(const struct line_format *format, const char *path, json_t *settings) {
    struct journal journal = {0};
    const enum status status = read_file(format, path, settings, &journal);
    free_entries(&journal);
    return status;
}

/* ---- answers ---- */

enum status journal_answer(struct journal *journal, uint64_t answer, size_t *index_out) {
    struct journal_entry *entry = find(journal, answer);
    if (!entry) TRY(add(journal, answer, &entry));
    *index_out = (size_t)(entry - journal->entries);
    return STATUS_OK;
}

struct journal_tokens journal_tokens(const struct journal *journal, size_t index) {
    const struct journal_entry *entry = &journal->entries[index];
    return (struct journal_tokens){entry->ids.ids, (int32_t)entry->ids.n, entry->seconds};
}

void journal_forget(struct journal *journal, size_t index) {
    struct journal_entry *entry = &journal->entries[index];
    token_list_free(&entry->ids);
    entry->n_written = 0;
}

static enum status print_entry(struct journal_entry *entry, struct bytes *lines) {
    const struct journal_line line = {
        .answer = entry->answer, .first = (int64_t)entry->n_written, .seconds = entry->seconds};
    const size_t n_new = entry->ids.n - entry->n_written;
    if (n_new == 0) return STATUS_OK;
    TRY(journal_line_print(&line, entry->ids.ids + entry->n_written, n_new, lines));
    entry->n_written = entry->ids.n;
    return STATUS_OK;
}

static enum status write_new(struct journal *journal) {
    bytes_clear(&journal->lines);
    for (size_t i = 0; i < journal->n; i++)
        TRY(print_entry(&journal->entries[i], &journal->lines));
    if (journal->lines.size > 0) TRY(line_writer_append(journal->writer, &journal->lines));
    journal->next_write = timer_seconds() + write_pause_seconds;
    return STATUS_OK;
}

static enum status sync_written(struct journal *journal) {
    const double begin = timer_seconds();
    TRY(line_writer_sync(journal->writer));
    journal->next_sync = begin + (pause_per_sync + 1) * (timer_seconds() - begin);
    return STATUS_OK;
}

enum status journal_note(struct journal *journal, size_t index, struct journal_tokens tokens) {
    struct journal_entry *entry = &journal->entries[index];
    const size_t n_before = entry->ids.n;
    if ((size_t)tokens.n > n_before) {
        TRY(append(entry, tokens.ids + n_before, (size_t)tokens.n - n_before));
        entry->seconds = tokens.seconds;
    }
    const double now = timer_seconds();
    if (now < journal->next_write) return STATUS_OK;
    TRY(write_new(journal));
    return now < journal->next_sync ? STATUS_OK : sync_written(journal);
}

enum status journal_flush(struct journal *journal) {
    TRY(write_new(journal));
    return sync_written(journal);
}

/* ---- opening and closing ---- */

enum status journal_open(const struct line_format *format, const char *path, json_t *header,
                         struct journal **journal_out) {
    struct journal *journal = calloc(1, sizeof *journal);
    if (!journal) return FAIL(STATUS_NO_MEMORY, "out of memory for %s", path);
    enum status status = read_file(format, path, json_object_get(header, "settings"), journal);
    if (status == STATUS_OK) status = line_writer_open(format, path, header, &journal->writer);
    if (status != STATUS_OK) {
        journal_close(journal);
        return status;
    }
    *journal_out = journal;
    return STATUS_OK;
}

/* A program that ends with a fault may have noted tokens since the last write. Where a write was the fault,
 * they count as written: nothing is put behind a torn line. */
static void write_last(struct journal *journal) {
    char fault[1024];
    snprintf(fault, sizeof fault, "%s", status_message());
    if (write_new(journal) != STATUS_OK) status_record("%s", fault);
}

void journal_close(struct journal *journal) {
    if (!journal) return;
    if (journal->writer) write_last(journal);
    line_writer_close(journal->writer);
    free_entries(journal);
    bytes_free(&journal->lines);
    free(journal);
}
