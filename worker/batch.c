#include "worker/batch.h"

#include "base/check.h"

enum status batch_create(int32_t max_tokens, struct arena *memory, struct batch *batch_out) {
    const size_t n = (size_t)max_tokens;
    *batch_out = (struct batch){0};
    TRY(ARENA_TAKE(memory, n, &batch_out->tokens));
    TRY(ARENA_TAKE(memory, n, &batch_out->positions));
    TRY(ARENA_TAKE(memory, n, &batch_out->in_prompt));
    TRY(ARENA_TAKE(memory, n, &batch_out->blocks));
    TRY(ARENA_TAKE(memory, n, &batch_out->decodes));
    TRY(ARENA_TAKE(memory, n, &batch_out->logits_rows));
    TRY(ARENA_TAKE(memory, n, &batch_out->logits_targets));
    return ARENA_TAKE(memory, n, &batch_out->logits_inverse_temperature);
}

static void add_blocks(struct batch *batch, const struct step_span *span, int32_t block_rows) {
    for (int32_t i = 0; i < span->n_tokens; i += block_rows) {
        const int32_t left = span->n_tokens - i;
        if (span->phase == SPAN_DECODE) batch->decodes[batch->n_decodes++] = batch->n_blocks;
        batch->blocks[batch->n_blocks++] = (struct batch_block){
            .first_row = batch->n_rows + i,
            .n_rows = left < block_rows ? left : block_rows,
            .slot = span->slot,
            .first_position = span->first_position + i,
            .decode = span->phase == SPAN_DECODE,
        };
    }
}

static void add_logits(struct batch *batch, const struct step_span *span) {
    for (int32_t i = 0; i < span->n_logits_rows; i++) {
        const int32_t n = batch->n_logits++;
        batch->logits_rows[n] = batch->n_rows + span->n_tokens - span->n_logits_rows + i;
        batch->logits_targets[n] = span->targets ? span->targets[i] : -1;
        batch->logits_inverse_temperature[n] = span->inverse_temperature;
    }
}

void batch_fill(struct batch *batch, const struct step_plan *plan, int32_t block_rows) {
    CHECK(block_rows >= 1 && block_rows <= BATCH_BLOCK_ROWS);
    batch->n_rows = batch->n_blocks = batch->n_decodes = batch->n_logits = 0;
    for (int32_t s = 0; s < plan->n_spans; s++) {
        const struct step_span *span = &plan->spans[s];
        add_blocks(batch, span, block_rows);
        add_logits(batch, span);
        for (int32_t i = 0; i < span->n_tokens; i++) {
            batch->tokens[batch->n_rows] = span->tokens[i];
            batch->positions[batch->n_rows] = span->first_position + i;
            batch->in_prompt[batch->n_rows] =
                span->phase == SPAN_PREFILL && span->n_tokens >= BATCH_PROMPT_ROWS;
            batch->n_rows++;
        }
    }
}
