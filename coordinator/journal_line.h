/* coordinator/journal_line.h - one line of a journal: tokens that follow those of an answer's lines before.
 * docs/faults.md names the fields.
 *
 * Memory:  a parsed line owns its tokens; journal_line_free gives them back.
 * Threads: any.
 * Ranks:   rank 0. */
#pragma once

#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "coordinator/tokenizer/tokenizer.h"

struct journal_line {
    uint64_t answer; /* which one: a fingerprint */
    int64_t first;   /* tokens of it in the lines before */
    double seconds;  /* that all its tokens took, from the first */
    struct token_list ids;
};

/* Appends the line of `n` ids, newline included; line->ids is not looked at. */
NODISCARD enum status journal_line_print(const struct journal_line *line, const int32_t *ids, size_t n,
                                         struct bytes *text);

/* `name`: what to call the line in a sentence, "FILE:LINE". */
NODISCARD enum status journal_line_parse(const char *text, size_t size, const char *name,
                                         struct journal_line *line_out);
void journal_line_free(struct journal_line *line);
