/* coordinator/eval_curves.h - what a method's samples cost as their contexts grow, and its recall by layer:
 * means over the samples that have a value there.
 *
 * Memory:  curves own their points.
 * Threads: any.
 * Ranks:   rank 0. */
#pragma once

#include "coordinator/eval_summary.h"

struct eval_curve {
    double *x, *y; /* [n], x ascending */
    size_t n;
};

struct eval_curves {
    struct eval_curve kv;      /* context in tokens, bytes */
    struct eval_curve seconds; /* context in tokens, seconds per token */
    struct eval_curve recall;  /* layer, share */
};

/* `records`: the row's. */
NODISCARD enum status eval_curves_create(const struct eval_record *records, int64_t n,
                                         struct eval_curves *curves_out);
void eval_curves_free(struct eval_curves *curves);
