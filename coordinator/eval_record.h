/* coordinator/eval_record.h - one line of eval's results: what became of one sample. docs/eval.md names the
 * fields.
 *
 * Memory:  a record owns its texts and lists; eval_record_free gives them back.
 * Threads: any.
 * Ranks:   rank 0. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "coordinator/eval_method.h"

enum { EVAL_POINT_TOKENS = 256 }; /* of context from one point to the next; the first is the prompt's end */

/* What a sample cost when its context was so long. */
struct eval_point {
    int64_t context;          /* tokens */
    double seconds_per_token; /* since the point before; negative: not known */
    int64_t kv_bytes;         /* of all ranks */
};

struct eval_record {
    struct eval_method method;
    int64_t problem;      /* 0, 1, … in the order of the files */
    uint64_t fingerprint; /* the problem's */
    char *id_json;        /* NULL: none */
    int64_t steps;        /* -1: not said */
    int64_t sample;       /* 0, 1, … */
    uint64_t seed;        /* `caucus run --seed` gives the same text */
    char *expected;
    char *answer; /* NULL: none was found */
    bool correct;
    char *finish;                  /* "stop", "length" */
    int64_t n_prompt, n_generated; /* tokens */
    double attended;  /* tokens read per step, mean over steps, layers and query heads; negative: no step */
    int64_t kv_bytes; /* most at any time, of all ranks */
    double seconds;   /* from its first step to its last */
    double share_seconds;      /* its share of the time of steps that it had in common with others */
    struct eval_point *series; /* [n_series] */
    size_t n_series;
    double *recall; /* [n_recall] by layer, where it was asked for */
    size_t n_recall;
    int64_t probe_every; /* … the decode steps that it is of; 0: not said */
    char *text;          /* what the model wrote; NULL: not kept */
};

/* Appends the line, newline included. */
NODISCARD enum status eval_record_print(const struct eval_record *record, struct bytes *line);

/* `name`: what to call the line in a sentence, "FILE:LINE". The text is not kept. */
NODISCARD enum status eval_record_parse(const char *text, size_t size, const char *name,
                                        struct eval_record *record_out);
void eval_record_free(struct eval_record *record);
