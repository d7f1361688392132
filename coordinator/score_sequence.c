#include "coordinator/score_sequence.h"

#include <math.h>

#include "base/numbers.h"

static void plan(void *self, int32_t room, struct step_span *span_out) {
    struct score_sequence *score = self;
    sequence_next_span(&score->sequence, score->line->ids, room, span_out);
    /* What a correction computes again was scored already. */
    const int64_t n_new = score->sequence.n_planned - score->n_scored;
    span_out->n_logits_rows = (int32_t)larger_i64(n_new, 0);
    span_out->targets = n_new > 0 ? score->line->ids + score->n_scored + 1 : NULL;
}

static enum status fetch_wanted_logits(struct score_sequence *score, const struct engine *engine,
                                       int64_t position, int32_t row) {
    for (size_t i = 0; i < score->context->n_logits_positions; i++)
        if (score->context->logits_positions[i] == position)
            TRY(engine->fetch_logits(engine->self, row,
                                     score->line->logits + i * (size_t)score->context->vocab_size));
    return STATUS_OK;
}

static enum status take(void *self, const struct engine *engine, const struct logits_row *rows,
                        int32_t n_rows, int32_t first_row) {
    struct score_sequence *score = self;
    for (int32_t i = 0; i < n_rows; i++) {
        const struct logits_row *row = &rows[i];
        if (!row->finite) {
            score->broken = true;
            return STATUS_OK;
        }
        const int32_t position = score->n_scored++;
        score->line->argmax[position] = row->candidates[0].token;
        score->line->logprobs[position] =
            (float)((double)row->target_logit - (double)row->max_logit - log(row->sum_exp));
        TRY(fetch_wanted_logits(score, engine, position, first_row + i));
    }
    if (score->n_scored < score->line->n) return STATUS_OK;
    return recall_take(&score->line->recall, engine, score->sequence.slot);
}

static bool finished(const void *self) {
    const struct score_sequence *score = self;
    return score->broken || score->n_scored == score->line->n;
}

void score_sequence_begin(struct score_sequence *score, struct score_line *line,
                          const struct score_context *context) {
    *score = (struct score_sequence){
        .sequence = {.self = score,
                     .plan = plan,
                     .take = take,
                     .finished = finished,
                     .n_candidates = 1,
                     .correct_every = context->correct_every,
                     .n_prompt = line->n_prompt},
        .line = line,
        .context = context,
    };
}

enum status score_sequence_check(const struct score_sequence *score) {
    if (!score->broken) return STATUS_OK;
    return FAIL(
        STATUS_BAD_INPUT,
        "input line %lld: the logits at position %d hold NaN or infinity; the weights may be damaged, "
        "or try --numerics fast",
        (long long)score->line->number, score->n_scored);
}
