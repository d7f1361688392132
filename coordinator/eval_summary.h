/* coordinator/eval_summary.h - the samples of each policy and budget as one row of figures, beside `full`.
 *
 * Memory:  the caller frees the rows with eval_summary_free.
 * Threads: any.
 * Ranks:   rank 0. */
#pragma once

#include "coordinator/config.h"
#include "coordinator/eval_results.h"

/* A share of n with its Wilson interval of 95 % confidence (Wilson 1927). */
struct eval_share {
    double share, low, high;
};
struct eval_share eval_share_of(int64_t n_hits, int64_t n);

/* NaN: there is nothing to say. */
struct eval_row {
    struct eval_method method;
    int64_t n, n_correct;
    struct eval_share accuracy;
    double tokens_error;           /* half-width of the 95 % interval of `tokens`, normal */
    double tokens, correct_tokens; /* generated: mean of all samples, and of the correct ones */
    double full_accuracy;          /* of `full` in the same samples … */
    struct eval_share versus_full; /* accuracy less that, with its interval */
    double versus_full_tokens;     /* tokens as a multiple */
    int64_t n_versus_full;         /* samples that both have */
    double by_length;              /* share of samples that were cut off */
    double attended;               /* tokens read per step, layer and query head */
    double recall;                 /* mean of samples and layers */
    double tokens_per_second;      /* of all sequences side by side */
    int64_t kv_bytes;              /* most of any sample */
    double mean_kv_bytes;          /* of the samples' most */
    size_t first;                  /* its records are results.records[first … first + n - 1] */
};

struct eval_summary {
    struct eval_row *rows; /* [n], `full` first, then by policy and budget */
    size_t n;
};

NODISCARD enum status eval_summary_create(const struct eval_results *results,
                                          struct eval_summary *summary_out);
void eval_summary_free(struct eval_summary *summary);

/* On standard output. */
NODISCARD enum status eval_summary_print(const struct eval_summary *summary, enum bench_format format);
