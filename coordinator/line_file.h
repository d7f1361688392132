/* coordinator/line_file.h - a file of JSON lines that grows while a program works and outlives its death: a
 * header, which says what the file is and under which settings it was begun, then one line after the other.
 *
 * Lines are appended whole, so a killed program leaves at most one without its newline behind. Such an end is
 * passed over by readers, and cut off by whoever goes on with the file. A file that is something else is
 * never written to.
 *
 * Memory:  headers are the caller's, to be released with json_decref.
 * Threads: one at a time per writer.
 * Ranks:   rank 0. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

/* A kind of such files. The header is {"KEY": VERSION, …, "settings": {…}}. */
struct line_format {
    const char *key;
    int32_t version;
    const char *noun;   /* for sentences: what a file of this kind is, … */
    const char *cure;   /* … what to do about one that is not, … */
    const char *writer; /* … and who writes it */
};

/* What is done with a line; `name` is "FILE:LINE". */
struct line_visitor {
    void *self;
    enum status (*visit)(void *self, const char *text, size_t size, const char *name);
};

/* *header_out is NULL where the file does not exist or has no whole line. Not of this format:
 * STATUS_BAD_INPUT. */
NODISCARD enum status line_file_read(const struct line_format *format, const char *path, json_t **header_out,
                                     struct line_visitor visitor);

/* May the file be gone on with under these settings (an object)? `header` may be NULL. */
NODISCARD enum status line_file_check(const struct line_format *format, const char *path,
                                      const json_t *header, json_t *settings);

/* Against a second program that writes, until *lock_out is closed with close(2). Waits up to three seconds
 * for one that is ending. A file that does not exist is made, empty. */
NODISCARD enum status line_file_lock(const struct line_format *format, const char *path, int *lock_out);

/* One line as an object. */
NODISCARD enum status line_parse(const char *text, size_t size, const char *name, json_t **object_out);

struct line_writer;

/* Cuts a torn end off, and writes the header (borrowed) where there is none yet. The file exists, and is the
 * caller's alone: line_file_lock. */
NODISCARD enum status line_writer_open(const struct line_format *format, const char *path,
                                       const json_t *header, struct line_writer **writer_out);

/* Whole lines, in one write(2). */
NODISCARD enum status line_writer_append(struct line_writer *writer, const struct bytes *lines);

/* Forces to the disk what was appended. A disk that is full may say so only now. */
NODISCARD enum status line_writer_sync(struct line_writer *writer);
void line_writer_close(struct line_writer *writer); /* NULL is allowed */
