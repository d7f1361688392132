/* coordinator/eval_problem.h - problems of `caucus eval`: JSON lines, each with a question and its answer.
 *
 * The question of a line is one of
 *
 * - "prompt": the user's message, as tools/lemma/problems writes it.
 * - "messages": a dialogue, [{"role": "system" | "user" | "assistant", "content": …}, …]; the last is the
 *   user's.
 * - "question": as in GSM8K, where the answer is what follows "####" in "answer".
 * - "problem": as in MATH500 and OlymMATH.
 *
 * The answer is "answer", a string or a number. "id" or "unique_id" (a string or an integer) and "steps"
 * (how long the derivation is) are repeated in the results; other fields are left alone.
 *
 * Memory:  problems own what they point to; eval_problems_free gives it back.
 * Threads: one at a time.
 * Ranks:   rank 0. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "coordinator/chat_format.h"
#include "coordinator/config.h"

struct eval_problem {
    struct chat_message *messages; /* [n_messages] */
    size_t n_messages;
    char *answer;         /* the expected one */
    char *id_json;        /* encoded again; NULL: none */
    int64_t steps;        /* -1: not said */
    uint64_t fingerprint; /* of messages and answer */
    const char *file;     /* the caller's; with the line for sentences */
    int64_t line;
    void *source; /* private: what the messages point into */
};

struct eval_problems {
    struct eval_problem *items; /* [n] */
    size_t n;
};

/* One line, `size` bytes. */
NODISCARD enum status eval_problem_parse(const char *text, size_t size, const char *file, int64_t line,
                                         struct eval_problem *problem_out);
void eval_problem_free(struct eval_problem *problem);

/* All files in turn, up to `limit` problems (0: no limit). No problem at all: STATUS_BAD_INPUT. */
NODISCARD enum status eval_problems_read(struct text_list files, int64_t limit,
                                         struct eval_problems *problems_out);
void eval_problems_free(struct eval_problems *problems);
