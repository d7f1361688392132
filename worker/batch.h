/* worker/batch.h - a step plan laid flat: one row of activations per token, spans one after the other.
 *
 * Memory:  arrays come from the arena given to create, sized for the largest plan.
 * Threads: filled on the main thread, then read-only.
 * Ranks:   local; the same on every rank. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "cluster/step_plan.h"

/* Rows that attention handles together: a lone decode token, or neighbouring tokens of a prefill chunk. */
struct batch_block {
    int32_t first_row;
    int32_t n_rows;
    int32_t slot;
    int64_t first_position; /* of the first row; the others follow */
    bool decode;
};

struct batch {
    int32_t n_rows;
    int32_t *tokens;    /* [n_rows] */
    int64_t *positions; /* [n_rows] */
    bool *in_prompt;    /* [n_rows] of a prefill span of BATCH_PROMPT_ROWS and more */

    int32_t n_blocks;
    struct batch_block *blocks; /* [n_blocks] */

    int32_t n_decodes;
    int32_t *decodes; /* [n_decodes] block numbers of the decode tokens */

    int32_t n_logits;
    int32_t *logits_rows;               /* [n_logits] row of each wanted row of logits */
    int32_t *logits_targets;            /* [n_logits] target token, -1: none */
    double *logits_inverse_temperature; /* [n_logits] */
};

enum { BATCH_BLOCK_ROWS = 32 }; /* most rows of a block: they share each key and value that is read */
enum { BATCH_PROMPT_ROWS = 16 };

NODISCARD enum status batch_create(int32_t max_tokens, struct arena *memory, struct batch *batch_out);

/* Lays out a plan that was checked against the limits `batch` was made for. Blocks hold at most
 * `block_rows` rows. */
void batch_fill(struct batch *batch, const struct step_plan *plan, int32_t block_rows);
