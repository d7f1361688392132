#include "coordinator/line_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/utf8.h"

static const size_t MAX_FILE_BYTES = (size_t)64 << 30;
enum { MAX_SHOWN_BYTES = 64, MAX_KEY_BYTES = 64 };

static enum status not_of_format(const struct line_format *format, const char *path) {
    return FAIL(STATUS_BAD_INPUT, "%s is no %s; %s", path, format->noun, format->cure);
}

/* ---- reading ---- */

enum status line_parse(const char *text, size_t size, const char *name, json_t **object_out) {
    json_error_t error;
    json_t *object = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (object) {
        *object_out = object;
        return STATUS_OK;
    }
    char shown[JSON_ERROR_TEXT_LENGTH];
    return FAIL(STATUS_BAD_INPUT, "%s: this is not valid JSON: %s", name,
                utf8_printable(error.text, strlen(error.text), sizeof shown, shown));
}

static enum status read_header(const struct line_format *format, const char *text, size_t size,
                               const char *path, json_t **header_out) {
    json_t *header = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    const json_int_t version = json_integer_value(json_object_get(header, format->key));
    if (version == format->version && json_is_object(json_object_get(header, "settings"))) {
        *header_out = header;
        return STATUS_OK;
    }
    json_decref(header);
    if (version <= 0 || version == format->version) return not_of_format(format, path);
    return FAIL(STATUS_BAD_INPUT, "%s is of version %lld, which this program does not know", path,
                (long long)version);
}

/* Whole lines; what stands behind the last newline was torn. */
static enum status read_lines(const struct line_format *format, const struct bytes *content, const char *path,
                              struct line_visitor visitor, json_t **header) {
    int64_t number = 0;
    for (size_t at = 0; at < content->size;) {
        char name[FILE_PATH_MAX + 32];
        const char *line = content->data + at;
        const char *end = memchr(line, '\n', content->size - at);
        if (!end) break;
        const size_t size = (size_t)(end - line);
        at += size + 1;
        snprintf(name, sizeof name, "%s:%lld", path, (long long)++number);
        if (number == 1)
            TRY(read_header(format, line, size, path, header));
        else
            TRY(visitor.visit(visitor.self, line, size, name));
    }
    return STATUS_OK;
}

enum status line_file_read(const struct line_format *format, const char *path, json_t **header_out,
                           struct line_visitor visitor) {
    json_t *header = NULL;
    struct bytes content = {0};
    if (file_exists(path)) TRY(file_read_all(path, MAX_FILE_BYTES, &content));
    const enum status status = read_lines(format, &content, path, visitor, &header);
    bytes_free(&content);
    if (status != STATUS_OK) {
        json_decref(header);
        return status;
    }
    *header_out = header;
    return STATUS_OK;
}

/* ---- settings ---- */

/* For a sentence. */
static const char *shown(const json_t *value, char text[MAX_SHOWN_BYTES]) {
    char *encoded = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII) : NULL;
    snprintf(text, MAX_SHOWN_BYTES, "%s", encoded ? encoded : "nothing");
    free(encoded);
    return text;
}

enum status line_file_check(const struct line_format *format, const char *path, const json_t *header,
                            json_t *settings) {
    if (!header) return STATUS_OK;
    const json_t *before = json_object_get(header, "settings");
    const char *name;
    json_t *value;
    json_object_foreach(settings, name, value) {
        const json_t *old = json_object_get(before, name);
        if (json_equal(old, value)) continue;
        char old_text[MAX_SHOWN_BYTES], new_text[MAX_SHOWN_BYTES];
        return FAIL(STATUS_BAD_INPUT, "%s was begun with %s %s, not %s; %s", path, name, shown(old, old_text),
                    shown(value, new_text), format->cure);
    }
    return STATUS_OK;
}

/* ---- writing ---- */

struct line_writer {
    const struct line_format *format;
    char *path;
    int file;
};

static enum status fail_io(const char *path) {
    return FAIL(STATUS_IO, "cannot write %s: %s", path, strerror(errno));
}

/* A program that was killed may take a moment to end on all its hosts. */
static bool take_lock(int file) {
    enum { TRIES = 30 };
    const struct timespec pause = {.tv_nsec = 100000000};
    for (int i = 0; i < TRIES; i++) {
        if (flock(file, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
            return true; /* or there are no locks */
        nanosleep(&pause, NULL);
    }
    return false;
}

enum status line_file_lock(const struct line_format *format, const char *path, int *lock_out) {
    const int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0) return fail_io(path);
    if (!take_lock(file)) {
        close(file);
        return FAIL(STATUS_IO, "%s is being written by another %s, or by one that is still ending", path,
                    format->writer);
    }
    *lock_out = file;
    return STATUS_OK;
}

/* Where the last whole line ends, 0 in a file without one. */
static enum status find_end(const struct line_writer *writer, off_t size, off_t *end_out) {
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
static enum status check_torn_header(const struct line_writer *writer, off_t size) {
    char wanted[MAX_KEY_BYTES], begin[MAX_KEY_BYTES];
    const size_t n_wanted = (size_t)snprintf(wanted, sizeof wanted, "{\"%s\":", writer->format->key);
    const size_t n = (size_t)size < n_wanted ? (size_t)size : n_wanted;
    TRY(file_read_at(writer->file, writer->path, 0, n, begin));
    return memcmp(begin, wanted, n) == 0 ? STATUS_OK : not_of_format(writer->format, writer->path);
}

static enum status cut_torn_end(const struct line_writer *writer, off_t *size_out) {
    struct stat info;
    off_t end = 0;
    if (fstat(writer->file, &info) != 0) return fail_io(writer->path);
    TRY(find_end(writer, info.st_size, &end));
    if (end == 0) TRY(check_torn_header(writer, info.st_size));
    if (end < info.st_size && ftruncate(writer->file, end) != 0) return fail_io(writer->path);
    *size_out = end;
    return STATUS_OK;
}

enum status line_writer_append(struct line_writer *writer, const struct bytes *lines) {
    for (size_t written = 0; written < lines->size;) {
        const ssize_t n = write(writer->file, lines->data + written, lines->size - written);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_io(writer->path);
        written += (size_t)n;
    }
    return STATUS_OK;
}

enum status line_writer_sync(struct line_writer *writer) {
    const bool failed = fdatasync(writer->file) != 0 && errno != EINVAL && errno != EROFS;
    return failed ? fail_io(writer->path) : STATUS_OK;
}

static enum status write_header(struct line_writer *writer, const json_t *header) {
    struct bytes line = {0};
    char *text = json_dumps(header, JSON_COMPACT);
    if (!text) return FAIL(STATUS_NO_MEMORY, "out of memory for the header of %s", writer->path);
    enum status status = bytes_printf(&line, "%s\n", text);
    if (status == STATUS_OK) status = line_writer_append(writer, &line);
    bytes_free(&line);
    free(text);
    return status;
}

static enum status open_writer(struct line_writer *writer, const char *path, const json_t *header) {
    writer->path = strdup(path);
    if (!writer->path) return FAIL(STATUS_NO_MEMORY, "out of memory for %s", path);
    writer->file = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
    if (writer->file < 0) return fail_io(path);
    off_t size = 0;
    TRY(cut_torn_end(writer, &size));
    if (size > 0) return STATUS_OK;
    TRY(write_header(writer, header));
    file_sync_folder(path);
    return line_writer_sync(writer);
}

enum status line_writer_open(const struct line_format *format, const char *path, const json_t *header,
                             struct line_writer **writer_out) {
    struct line_writer *writer = malloc(sizeof *writer);
    if (!writer) return FAIL(STATUS_NO_MEMORY, "out of memory for %s", path);
    *writer = (struct line_writer){.format = format, .file = -1};
    const enum status status = open_writer(writer, path, header);
    if (status != STATUS_OK) {
        line_writer_close(writer);
        return status;
    }
    *writer_out = writer;
    return STATUS_OK;
}

void line_writer_close(struct line_writer *writer) {
    if (!writer) return;
    if (writer->file >= 0) close(writer->file);
    free(writer->path);
    free(writer);
}
