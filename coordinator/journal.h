/* coordinator/journal.h - tokens made durable while their answers are still being generated, so that a
 * program that is killed loses a moment's work: the next one goes on with what the journal holds.
 *
 * Tokens are written five times a second, and forced to the disk as often as that takes no more than a
 * fiftieth of the time: a program that dies loses 0.2 s, a host that does perhaps more where the disk is
 * slow.
 *
 * Memory:  a journal owns its tokens.
 * Threads: one at a time.
 * Ranks:   rank 0. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "coordinator/line_file.h"

/* The header's key and version are the same for all journals. */
#define JOURNAL_KEY     "caucus_journal"
#define JOURNAL_VERSION 1

/* Before anything is loaded: is there no file, or one that these settings may go on with? */
NODISCARD enum status journal_check(const struct line_format *format, const char *path, json_t *settings);

struct journal;

/* Reads what the file holds, and goes on with it. It exists, and is the caller's alone: line_file_lock. The
 * header (borrowed) has the settings. */
NODISCARD enum status journal_open(const struct line_format *format, const char *path, json_t *header,
                                   struct journal **journal_out);

/* Writes what was noted, but does not force it to the disk. Leaves status_message() alone: it is closed when
 * something else has failed, too. NULL is allowed. */
void journal_close(struct journal *journal);

/* Finds the answer of this fingerprint, or makes it, without tokens. *index_out stays valid. */
NODISCARD enum status journal_answer(struct journal *journal, uint64_t answer, size_t *index_out);

struct journal_tokens {
    const int32_t *ids; /* [n]; valid until the next note of any answer */
    int32_t n;
    double seconds; /* that they took */
};
struct journal_tokens journal_tokens(const struct journal *journal, size_t index);

/* All tokens that the answer has so far, and the seconds they took; writes them when it is time to. */
NODISCARD enum status journal_note(struct journal *journal, size_t index, struct journal_tokens tokens);

/* The answer is whole, and kept elsewhere: its tokens are forgotten, but in the file. */
void journal_forget(struct journal *journal, size_t index);

/* Writes what was noted and is not written yet, and forces it to the disk. */
NODISCARD enum status journal_flush(struct journal *journal);
