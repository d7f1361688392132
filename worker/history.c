#include "worker/history.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"

/* Tokens that follow each other, all read or all decoded. */
struct stretch {
    int64_t first_position;
    int64_t n_tokens;
    enum span_phase phase;
};

struct sequence {
    struct bytes tokens;    /* int32_t, of one stretch after the other */
    struct bytes stretches; /* struct stretch */

    /* How far it was made again. */
    size_t stretch;
    int64_t token; /* of the stretch */
    size_t at;     /* of tokens */
};

/* A copy. */
struct noted_plan {
    struct step_plan plan;
    struct bytes spans, freed_slots;
    struct bytes numbers; /* int32_t: each span's tokens, then its targets */
};

/* Likewise. */
struct noted_result {
    struct step_result result;
    struct bytes rows, candidates;
};

struct history {
    struct step_limits limits;
    bool reads_all;
    struct sequence *sequences; /* [max_slots] */
    struct step_span *spans;    /* [max_slots] of the plan that comes next */
    struct noted_plan last;     /* plan.n_spans 0: none */
    bool last_is_done, last_came;
    struct noted_result result;
};

enum status history_create(const struct step_limits *limits, bool reads_all, struct history **history_out) {
    struct history *history = calloc(1, sizeof *history);
    if (history) {
        history->limits = *limits;
        history->reads_all = reads_all;
        history->sequences = calloc((size_t)limits->max_slots, sizeof *history->sequences);
        history->spans = calloc((size_t)limits->max_slots, sizeof *history->spans);
    }
    if (!history || !history->sequences || !history->spans) {
        history_destroy(history);
        return FAIL(STATUS_NO_MEMORY, "out of memory for the history of %d sequences", limits->max_slots);
    }
    *history_out = history;
    return STATUS_OK;
}

static void forget_sequence(struct sequence *sequence) {
    bytes_free(&sequence->tokens);
    bytes_free(&sequence->stretches);
    *sequence = (struct sequence){0};
}

void history_forget(struct history *history) {
    for (int32_t slot = 0; slot < history->limits.max_slots; slot++)
        forget_sequence(&history->sequences[slot]);
    history->last.plan = (struct step_plan){0};
    history->last_is_done = false;
}

void history_destroy(struct history *history) {
    if (!history) return;
    if (history->sequences) history_forget(history);
    bytes_free(&history->last.spans);
    bytes_free(&history->last.freed_slots);
    bytes_free(&history->last.numbers);
    bytes_free(&history->result.rows);
    bytes_free(&history->result.candidates);
    free(history->sequences);
    free(history->spans);
    free(history);
}

/* ---- noting ---- */

static size_t n_stretches(const struct sequence *sequence) {
    return sequence->stretches.size / sizeof(struct stretch);
}

static struct stretch *stretch_of(const struct sequence *sequence, size_t i) {
    return (struct stretch *)(void *)sequence->stretches.data + i;
}

static const int32_t *tokens_of(const struct sequence *sequence) {
    return (const int32_t *)(const void *)sequence->tokens.data;
}

static enum status note_span(struct history *history, const struct step_span *span) {
    struct sequence *sequence = &history->sequences[span->slot];
    const enum span_phase phase = history->reads_all ? SPAN_PREFILL : span->phase;
    const size_t n = n_stretches(sequence);
    struct stretch *last = n > 0 ? stretch_of(sequence, n - 1) : NULL;
    TRY(bytes_append(&sequence->tokens, span->tokens, (size_t)span->n_tokens * sizeof *span->tokens));
    if (last && last->phase == phase && last->first_position + last->n_tokens == span->first_position) {
        last->n_tokens += span->n_tokens;
        return STATUS_OK;
    }
    const struct stretch next = {span->first_position, span->n_tokens, phase};
    return bytes_append(&sequence->stretches, &next, sizeof next);
}

static enum status note_last(struct history *history) {
    const struct step_plan *plan = &history->last.plan;
    for (int32_t i = 0; i < plan->n_freed_slots; i++)
        forget_sequence(&history->sequences[plan->freed_slots[i]]);
    for (int32_t i = 0; i < plan->n_spans; i++)
        TRY(note_span(history, &plan->spans[i]));
    return STATUS_OK;
}

static size_t n_targets(const struct step_span *span) {
    return span->targets ? (size_t)span->n_logits_rows : 0;
}

/* `numbers` does not move any more once all are in it. */
static void point_to_numbers(struct noted_plan *noted) {
    const int32_t *at = (const int32_t *)(const void *)noted->numbers.data;
    struct step_span *spans = (struct step_span *)(void *)noted->spans.data;
    for (int32_t i = 0; i < noted->plan.n_spans; i++) {
        spans[i].tokens = at;
        at += spans[i].n_tokens;
        if (spans[i].targets) spans[i].targets = at;
        at += n_targets(&spans[i]);
    }
    noted->plan.spans = spans;
    noted->plan.freed_slots = (const int32_t *)(const void *)noted->freed_slots.data;
}

static enum status copy_plan(const struct step_plan *plan, struct noted_plan *noted) {
    bytes_clear(&noted->spans);
    bytes_clear(&noted->freed_slots);
    bytes_clear(&noted->numbers);
    TRY(bytes_append(&noted->spans, plan->spans, (size_t)plan->n_spans * sizeof *plan->spans));
    TRY(bytes_append(&noted->freed_slots, plan->freed_slots,
                     (size_t)plan->n_freed_slots * sizeof *plan->freed_slots));
    for (int32_t i = 0; i < plan->n_spans; i++) {
        const struct step_span *span = &plan->spans[i];
        TRY(bytes_append(&noted->numbers, span->tokens, (size_t)span->n_tokens * sizeof *span->tokens));
        TRY(bytes_append(&noted->numbers, span->targets, n_targets(span) * sizeof *span->targets));
    }
    noted->plan = *plan;
    point_to_numbers(noted);
    return STATUS_OK;
}

enum status history_begin(struct history *history, const struct step_plan *plan) {
    if (history->last_is_done) TRY(note_last(history));
    history->last_is_done = false;
    return copy_plan(plan, &history->last);
}

enum status history_done(struct history *history, const struct step_result *result,
                         const struct step_result **copy_out) {
    struct noted_result *noted = &history->result;
    history->last_is_done = true;
    bytes_clear(&noted->rows);
    bytes_clear(&noted->candidates);
    TRY(bytes_append(&noted->rows, result->rows, (size_t)result->n_rows * sizeof *result->rows));
    for (int32_t i = 0; i < result->n_rows; i++)
        TRY(bytes_append(&noted->candidates, result->rows[i].candidates,
                         (size_t)result->rows[i].n_candidates * sizeof *result->rows[i].candidates));
    struct logits_row *rows = (struct logits_row *)(void *)noted->rows.data;
    const struct candidate *at = (const struct candidate *)(const void *)noted->candidates.data;
    for (int32_t i = 0; i < result->n_rows; i++) {
        rows[i].candidates = at;
        at += rows[i].n_candidates;
    }
    noted->result = *result;
    noted->result.rows = rows;
    *copy_out = &noted->result;
    return STATUS_OK;
}

/* ---- making again ---- */

int64_t history_rewind(struct history *history) {
    size_t n_tokens = 0;
    for (int32_t slot = 0; slot < history->limits.max_slots; slot++) {
        struct sequence *sequence = &history->sequences[slot];
        sequence->stretch = sequence->at = 0;
        sequence->token = 0;
        n_tokens += sequence->tokens.size / sizeof(int32_t);
    }
    history->last_came = false;
    for (int32_t i = 0; history->last_is_done && i < history->last.plan.n_spans; i++)
        n_tokens += (size_t)history->last.plan.spans[i].n_tokens;
    return (int64_t)n_tokens;
}

/* At most so many tokens of the sequence; false: there are none any more. */
static bool next_span(struct sequence *sequence, int32_t slot, int32_t most, struct step_span *span_out) {
    if (most == 0 || sequence->stretch == n_stretches(sequence)) return false;
    const struct stretch *stretch = stretch_of(sequence, sequence->stretch);
    const int64_t left = stretch->n_tokens - sequence->token;
    const int32_t room = stretch->phase == SPAN_DECODE ? 1 : most;
    *span_out = (struct step_span){
        .slot = slot,
        .first_position = stretch->first_position + sequence->token,
        .phase = stretch->phase,
        .n_tokens = left < room ? (int32_t)left : room,
        .tokens = tokens_of(sequence) + sequence->at,
        .inverse_temperature = 1,
    };
    sequence->at += (size_t)span_out->n_tokens;
    sequence->token += span_out->n_tokens;
    if (sequence->token == stretch->n_tokens) {
        sequence->stretch++;
        sequence->token = 0;
    }
    return true;
}

bool history_next(struct history *history, struct step_plan *plan_out) {
    int32_t n_spans = 0, n_left = history->limits.max_tokens;
    for (int32_t slot = 0; slot < history->limits.max_slots; slot++) {
        if (!next_span(&history->sequences[slot], slot, n_left, &history->spans[n_spans])) continue;
        n_left -= history->spans[n_spans++].n_tokens;
    }
    if (n_spans > 0) {
        *plan_out = (struct step_plan){
            .kind = STEP_COMPUTE, .n_candidates = 1, .n_spans = n_spans, .spans = history->spans};
        return true;
    }
    if (!history->last_is_done || history->last_came) return false;
    history->last_came = true;
    *plan_out = history->last.plan;
    return true;
}
