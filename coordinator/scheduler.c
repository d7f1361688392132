#include "coordinator/scheduler.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/numbers.h"
#include "base/timer.h"

struct scheduler {
    const struct engine *engine;
    struct arena *memory;
    struct sequence **slots; /* [max_slots]; NULL: free */
    bool *to_fill;           /* [max_slots] before the next plan */
    int32_t *freed;          /* [max_slots] to be freed with the next plan */
    int32_t n_freed;
    struct step_span *spans;   /* [max_slots] of the plan being made */
    struct sequence **planned; /* [max_slots] whose spans they are */
    int32_t n_planned;
    bool keep_slots;
    struct scheduler_totals totals;
};

/* Tokens that are read in chunks: the prompt, and what is corrected. */
static int32_t tokens_read(const struct sequence *sequence) {
    return sequence->n_prompt + sequence->n_corrected;
}

static bool decodes(const struct sequence *sequence) {
    return sequence->n_planned >= tokens_read(sequence);
}

/* When the next token would be the last of correct_every, it is read together with those decoded before it:
 * their keys and values are stored anew, and no step is lost. */
static void correct_if_due(struct sequence *sequence) {
    const int32_t n_decoded = sequence->n_planned - tokens_read(sequence);
    if (sequence->correct_every == 0 || n_decoded < sequence->correct_every - 1) return;
    sequence->n_planned -= n_decoded;
    sequence->n_corrected += sequence->correct_every;
}

void sequence_next_span(struct sequence *sequence, const int32_t *tokens, int32_t room,
                        struct step_span *span_out) {
    const int32_t first = sequence->n_planned;
    const bool decode = decodes(sequence);
    const int32_t left = decode ? 1 : tokens_read(sequence) - first;
    span_out->phase = decode ? SPAN_DECODE : SPAN_PREFILL;
    span_out->first_position = sequence->n_filled + first;
    span_out->n_tokens = (int32_t)smaller_i64(left, room);
    span_out->tokens = tokens + first;
    sequence->n_planned = first + span_out->n_tokens;
}

enum status scheduler_create(const struct engine *engine, struct scheduler **scheduler_out) {
    struct arena *memory;
    TRY(arena_create("the scheduler", &memory));
    const size_t n = (size_t)engine->limits.max_slots;
    struct scheduler *scheduler = NULL;
    enum status status;
    TRY_GOTO(ARENA_TAKE(memory, 1, &scheduler), fail);
    TRY_GOTO(ARENA_TAKE(memory, n, &scheduler->slots), fail);
    TRY_GOTO(ARENA_TAKE(memory, n, &scheduler->to_fill), fail);
    TRY_GOTO(ARENA_TAKE(memory, n, &scheduler->freed), fail);
    TRY_GOTO(ARENA_TAKE(memory, n, &scheduler->spans), fail);
    TRY_GOTO(ARENA_TAKE(memory, n, &scheduler->planned), fail);
    scheduler->engine = engine;
    scheduler->memory = memory;
    *scheduler_out = scheduler;
    return STATUS_OK;
fail:
    arena_destroy(memory);
    return status;
}

void scheduler_destroy(struct scheduler *scheduler) {
    if (scheduler) arena_destroy(scheduler->memory);
}

static int32_t free_slot(const struct scheduler *scheduler) {
    for (int32_t slot = 0; slot < scheduler->engine->limits.max_slots; slot++)
        if (!scheduler->slots[slot]) return slot;
    return -1;
}

bool scheduler_has_room(const struct scheduler *scheduler) {
    return free_slot(scheduler) >= 0;
}

void scheduler_add(struct scheduler *scheduler, struct sequence *sequence) {
    const int32_t slot = free_slot(scheduler);
    CHECK(slot >= 0);
    scheduler->slots[slot] = sequence;
    sequence->slot = slot;
    scheduler->to_fill[slot] = sequence->n_filled > 0;
}

int32_t scheduler_active(const struct scheduler *scheduler) {
    int32_t n = 0;
    for (int32_t slot = 0; slot < scheduler->engine->limits.max_slots; slot++)
        n += scheduler->slots[slot] != NULL;
    return n;
}

void scheduler_set_keep_slots(struct scheduler *scheduler, bool keep) {
    scheduler->keep_slots = keep;
}

struct scheduler_totals scheduler_totals(const struct scheduler *scheduler) {
    return scheduler->totals;
}

void scheduler_reset_totals(struct scheduler *scheduler) {
    scheduler->totals = (struct scheduler_totals){0};
}

/* Adds the spans of the sequences that are (or are not) decoding while there is room; returns what is left.
 */
static int32_t plan_sequences(struct scheduler *scheduler, bool decoding, int32_t room) {
    for (int32_t slot = 0; slot < scheduler->engine->limits.max_slots && room > 0; slot++) {
        struct sequence *sequence = scheduler->slots[slot];
        if (!sequence || decodes(sequence) != decoding) continue;
        struct step_span *span = &scheduler->spans[scheduler->n_planned];
        *span = (struct step_span){.inverse_temperature = 1};
        sequence->plan(sequence->self, room, span);
        CHECK(span->n_tokens >= 1 && span->n_tokens <= room);
        span->slot = slot;
        room -= span->n_tokens;
        scheduler->planned[scheduler->n_planned++] = sequence;
    }
    return room;
}

static struct step_plan make_plan(struct scheduler *scheduler) {
    scheduler->n_planned = 0;
    for (int32_t slot = 0; slot < scheduler->engine->limits.max_slots; slot++)
        if (scheduler->slots[slot]) correct_if_due(scheduler->slots[slot]);
    const int32_t room = plan_sequences(scheduler, true, scheduler->engine->limits.max_tokens);
    plan_sequences(scheduler, false, room);
    int64_t n_candidates = 1;
    for (int32_t i = 0; i < scheduler->n_planned; i++)
        n_candidates = larger_i64(n_candidates, scheduler->planned[i]->n_candidates);
    return (struct step_plan){
        .kind = STEP_COMPUTE,
        .n_candidates = (int32_t)n_candidates,
        .n_spans = scheduler->n_planned,
        .spans = scheduler->spans,
        .n_freed_slots = scheduler->n_freed,
        .freed_slots = scheduler->freed,
    };
}

static void count_step(struct scheduler *scheduler, const struct step_result *result, double seconds) {
    struct scheduler_totals *totals = &scheduler->totals;
    int64_t prefill = 0, decode = 0;
    for (int32_t i = 0; i < scheduler->n_planned; i++) {
        const struct step_span *span = &scheduler->spans[i];
        const struct sequence *sequence = scheduler->planned[i];
        if (sequence->n_planned - span->n_tokens < sequence->n_prompt) {
            prefill += span->n_tokens;
            continue;
        }
        decode += decodes(sequence); /* a correction gives one new token, with its last chunk */
        if (span->phase == SPAN_PREFILL) continue;
        totals->cached_tokens = span->first_position + 1;
        totals->attended_tokens = result->attended_tokens;
    }
    totals->prefill_tokens += prefill;
    if (prefill > 0) {
        totals->prefill_seconds += seconds;
        return;
    }
    totals->decode_steps++;
    totals->decode_tokens += decode;
    totals->decode_seconds += seconds;
    totals->decode_times.compute += result->times.compute;
    totals->decode_times.sync += result->times.sync;
    totals->decode_times.select += result->times.select;
    totals->decode_times.agree += result->times.agree;
}

/* Hands the rows to the sequences, in plan order. */
static enum status deliver(struct scheduler *scheduler, const struct step_result *result) {
    int32_t first_row = 0;
    for (int32_t i = 0; i < scheduler->n_planned; i++) {
        struct sequence *sequence = scheduler->planned[i];
        const int32_t n_rows = scheduler->spans[i].n_logits_rows;
        TRY(sequence->take(sequence->self, scheduler->engine, result->rows + first_row, n_rows, first_row));
        first_row += n_rows;
    }
    return STATUS_OK;
}

/* A slot can fall free again before the plan that frees it: its next sequence was cancelled at once. */
static void free_with_next_plan(struct scheduler *scheduler, int32_t slot) {
    for (int32_t i = 0; i < scheduler->n_freed; i++)
        if (scheduler->freed[i] == slot) return;
    scheduler->freed[scheduler->n_freed++] = slot;
}

/* Filling a slot frees it: the next plan must not do it again. */
static void keep_from_freeing(struct scheduler *scheduler, int32_t slot) {
    int32_t n_kept = 0;
    for (int32_t i = 0; i < scheduler->n_freed; i++)
        if (scheduler->freed[i] != slot) scheduler->freed[n_kept++] = scheduler->freed[i];
    scheduler->n_freed = n_kept;
}

static enum status fill_slots(struct scheduler *scheduler) {
    const struct engine *engine = scheduler->engine;
    for (int32_t slot = 0; slot < engine->limits.max_slots; slot++) {
        const struct sequence *sequence = scheduler->slots[slot];
        if (!sequence || !scheduler->to_fill[slot]) continue;
        keep_from_freeing(scheduler, slot);
        TRY(engine->fill_kv(engine->self, (struct step_fill){slot, sequence->n_filled, sequence->fill_seed}));
        scheduler->to_fill[slot] = false;
    }
    return STATUS_OK;
}

void scheduler_retire(struct scheduler *scheduler) {
    for (int32_t slot = 0; slot < scheduler->engine->limits.max_slots; slot++) {
        struct sequence *sequence = scheduler->slots[slot];
        if (!sequence || !sequence->finished(sequence->self)) continue;
        scheduler->slots[slot] = NULL;
        if (!scheduler->keep_slots) free_with_next_plan(scheduler, slot);
    }
}

static void let_all_go(struct scheduler *scheduler) {
    for (int32_t slot = 0; slot < scheduler->engine->limits.max_slots; slot++) {
        if (scheduler->slots[slot]) free_with_next_plan(scheduler, slot);
        scheduler->slots[slot] = NULL;
    }
}

static enum status step(struct scheduler *scheduler) {
    TRY(fill_slots(scheduler));
    const double begin = timer_seconds();
    const struct step_plan plan = make_plan(scheduler);
    const struct step_result *result;
    TRY(scheduler->engine->step(scheduler->engine->self, &plan, &result));
    scheduler->n_freed = 0;
    const double end = timer_seconds();
    count_step(scheduler, result, end - begin);
    TRY(deliver(scheduler, result));
    scheduler_retire(scheduler);
    scheduler->totals.sample_seconds += timer_seconds() - end;
    return STATUS_OK;
}

enum status scheduler_step(struct scheduler *scheduler) {
    const enum status status = step(scheduler);
    if (status != STATUS_OK) let_all_go(scheduler);
    return status;
}
