/* coordinator/eval_results.h - the file that eval writes: a header, then a line for each finished sample.
 *
 * Each line is forced to the disk. The header's settings say what makes samples: a file that was begun with
 * others is refused. Problems, samples, policies and budgets are not among them: a file may get more of them.
 *
 * Memory:  results own their records.
 * Threads: one at a time.
 * Ranks:   rank 0. */
#pragma once

#include <jansson.h>

#include "coordinator/config.h"
#include "coordinator/eval_record.h"
#include "coordinator/line_file.h"

extern const struct line_format eval_results_format;

/* What is in a file. */
struct eval_results {
    json_t *header;              /* NULL: the file does not exist, or is empty */
    struct eval_record *records; /* [n], each sample of a method once */
    size_t n;
};

/* A file that does not exist has no records. Anything but results of eval, a torn end aside:
 * STATUS_BAD_INPUT. */
NODISCARD enum status eval_results_read(const char *path, struct eval_results *results_out);
void eval_results_free(struct eval_results *results);

/* May the file be gone on with under these settings (an object of strings and integers)? */
NODISCARD enum status eval_results_check(const struct eval_results *results, const char *path,
                                         json_t *settings);

/* Against a second program that writes, until *lock_out is closed: what is read meanwhile is all there is. A
 * file that does not exist is made, empty. */
NODISCARD enum status eval_results_lock(const char *path, int *lock_out);

/* Is recall that `config` asks for of the same steps as what the file has of it? */
NODISCARD enum status eval_results_check_probe(const struct eval_results *results,
                                               const struct config *config);

struct eval_writer;

/* Cuts a torn end off, and writes the header (borrowed) where there is none yet. The file is there, and is
 * the caller's alone: eval_results_lock. */
NODISCARD enum status eval_writer_open(const char *path, const json_t *header,
                                       struct eval_writer **writer_out);
NODISCARD enum status eval_writer_append(struct eval_writer *writer, const struct eval_record *record);
void eval_writer_close(struct eval_writer *writer); /* NULL is allowed */
