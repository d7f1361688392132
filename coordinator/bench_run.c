#include "coordinator/bench_run.h"

#include <stdlib.h>

#include "base/numbers.h"
#include "base/rng.h"
#include "base/timer.h"
#include "coordinator/sampler.h"

enum { SEED = 1, FILL_SEED = 2 };
enum { DECODE_WORK = 8 }; /* about how many tokens of a prompt are read while one is generated */

struct bench_runner {
    const struct engine *engine;
    struct bench_options options;
    struct sampler *sampler;
    int32_t *tokens;         /* [limits.max_tokens] of the step under way */
    struct step_span *spans; /* [limits.max_slots] likewise */
    int32_t *slots;          /* [limits.max_slots] 0, 1, … */
    uint64_t n_drawn;        /* random tokens so far */
    double read_rate;        /* as last measured */
    struct progress *progress;
    uint64_t work_done;
    bool timed; /* only timed steps count as work */
};

/* What the clock covers. */
struct timing {
    struct step_times times;
    double sample_seconds;
    int64_t attended_tokens;
};

static enum status allocate(struct bench_runner *runner) {
    const struct step_limits *limits = &runner->engine->limits;
    runner->tokens = calloc((size_t)limits->max_tokens, sizeof *runner->tokens);
    runner->spans = calloc((size_t)limits->max_slots, sizeof *runner->spans);
    runner->slots = calloc((size_t)limits->max_slots, sizeof *runner->slots);
    if (!runner->tokens || !runner->spans || !runner->slots)
        return FAIL(STATUS_NO_MEMORY, "out of memory for a benchmark");
    for (int32_t slot = 0; slot < limits->max_slots; slot++)
        runner->slots[slot] = slot;
    return STATUS_OK;
}

enum status bench_runner_create(const struct engine *engine, const struct bench_options *options,
                                struct bench_runner **runner_out) {
    struct bench_runner *runner = calloc(1, sizeof *runner);
    if (!runner) return FAIL(STATUS_NO_MEMORY, "out of memory for a benchmark");
    *runner = (struct bench_runner){.engine = engine, .options = *options};
    enum status status;
    const struct sampler_config greedy = {.top_p = 1, .repetition_penalty = 1};
    TRY_GOTO(allocate(runner), fail);
    TRY_GOTO(sampler_create(&greedy, engine->limits.vocab_size, &runner->sampler), fail);
    TRY_GOTO(engine->read_memory(engine->self, &runner->read_rate), fail);
    *runner_out = runner;
    return STATUS_OK;
fail:
    bench_runner_destroy(runner);
    return status;
}

void bench_runner_destroy(struct bench_runner *runner) {
    if (!runner) return;
    sampler_destroy(runner->sampler);
    free(runner->tokens);
    free(runner->spans);
    free(runner->slots);
    free(runner);
}

void bench_result_free(struct bench_result *result) {
    free(result->seconds);
    *result = (struct bench_result){0};
}

static void draw_tokens(struct bench_runner *runner, int32_t n) {
    const double vocab_size = runner->engine->limits.vocab_size;
    for (int32_t i = 0; i < n; i++)
        runner->tokens[i] = (int32_t)(rng_uniform(SEED, 0, runner->n_drawn++) * vocab_size);
}

static enum status sample(struct bench_runner *runner, const struct logits_row *row, struct timing *timing) {
    const double begin = timer_seconds();
    struct sampled_token token;
    TRY(sampler_draw(runner->sampler, row, 0, (struct logits_source){0}, &token));
    timing->sample_seconds += timer_seconds() - begin;
    return STATUS_OK;
}

uint64_t bench_work(const struct bench_test *test) {
    return (uint64_t)(test->n_prompt + DECODE_WORK * test->n_gen) * (uint64_t)test->n_parallel;
}

static void count_work(struct bench_runner *runner, const struct step_span *span, int32_t n_spans) {
    if (!runner->timed) return;
    const uint64_t work = span->phase == SPAN_DECODE ? DECODE_WORK : (uint64_t)span->n_tokens;
    runner->work_done += work * (uint64_t)n_spans;
    progress_update(runner->progress, runner->work_done);
}

/* One step of n slots from span.slot on, which do the same; their tokens are drawn here. A token is drawn
 * from every row of logits. */
static enum status step(struct bench_runner *runner, struct step_span span, int32_t n,
                        struct timing *timing) {
    const struct engine *engine = runner->engine;
    draw_tokens(runner, n * span.n_tokens);
    span.inverse_temperature = 1;
    for (int32_t i = 0; i < n; i++) {
        runner->spans[i] = span;
        runner->spans[i].slot = span.slot + i;
        runner->spans[i].tokens = runner->tokens + i * span.n_tokens;
    }
    const struct step_plan plan = {
        .kind = STEP_COMPUTE, .n_candidates = 1, .n_spans = n, .spans = runner->spans};
    const struct step_result *result;
    TRY(engine->step(engine->self, &plan, &result));
    timing->times.compute += result->times.compute;
    timing->times.sync += result->times.sync;
    timing->times.select += result->times.select;
    timing->times.agree += result->times.agree;
    timing->attended_tokens = result->attended_tokens;
    count_work(runner, &span, n);
    for (int32_t row = 0; row < result->n_rows; row++)
        TRY(sample(runner, &result->rows[row], timing));
    return STATUS_OK;
}

/* Slot by slot, in chunks as long as a step may be. */
static enum status read_prompt(struct bench_runner *runner, int32_t slot, int64_t position, int64_t n,
                               struct timing *timing) {
    for (int64_t end = position + n; position < end;) {
        const int64_t n_tokens = smaller_i64(end - position, runner->engine->limits.max_tokens);
        TRY(step(runner,
                 (struct step_span){.slot = slot,
                                    .first_position = position,
                                    .phase = SPAN_PREFILL,
                                    .n_tokens = (int32_t)n_tokens,
                                    .n_logits_rows = position + n_tokens == end},
                 1, timing));
        position += n_tokens;
    }
    return STATUS_OK;
}

static enum status read_prompts(struct bench_runner *runner, int32_t n_slots, int64_t position, int64_t n,
                                struct timing *timing) {
    for (int32_t slot = 0; slot < n_slots; slot++)
        TRY(read_prompt(runner, slot, position, n, timing));
    return STATUS_OK;
}

static enum status generate(struct bench_runner *runner, int32_t n_slots, int64_t position, int64_t n,
                            struct timing *timing) {
    for (int64_t end = position + n; position < end; position++)
        TRY(step(runner,
                 (struct step_span){
                     .first_position = position, .phase = SPAN_DECODE, .n_tokens = 1, .n_logits_rows = 1},
                 n_slots, timing));
    return STATUS_OK;
}

/* Empties all slots and fills those of the test up to its depth. */
static enum status reach_depth(struct bench_runner *runner, const struct bench_test *test) {
    const struct engine *engine = runner->engine;
    const struct step_plan plan = {.kind = STEP_COMPUTE,
                                   .n_candidates = 1,
                                   .n_freed_slots = engine->limits.max_slots,
                                   .freed_slots = runner->slots};
    const struct step_result *result;
    TRY(engine->step(engine->self, &plan, &result));
    if (runner->options.prefill_depth || test->n_depth == 0)
        return read_prompts(runner, test->n_parallel, 0, test->n_depth, &(struct timing){0});
    for (int32_t slot = 0; slot < test->n_parallel; slot++) {
        const struct step_fill fill = {slot, test->n_depth, FILL_SEED + (uint64_t)slot};
        TRY(engine->fill_kv(engine->self, fill));
    }
    return STATUS_OK;
}

static enum status run_once(struct bench_runner *runner, const struct bench_test *test,
                            struct timing *timing) {
    TRY(read_prompts(runner, test->n_parallel, test->n_depth, test->n_prompt, timing));
    return generate(runner, test->n_parallel, test->n_depth + test->n_prompt, test->n_gen, timing);
}

/* As llama-bench: the whole prompt, and one token. */
static enum status warm_up(struct bench_runner *runner, const struct bench_test *test) {
    struct bench_test once = *test;
    once.n_gen = smaller_i64(test->n_gen, 1);
    return runner->options.warmup ? run_once(runner, &once, &(struct timing){0}) : STATUS_OK;
}

static enum status take_samples(struct bench_runner *runner, const struct bench_test *test,
                                struct bench_result *result) {
    struct timing timing = {0};
    for (int32_t i = 0; i < runner->options.repetitions; i++) {
        const double begin = timer_seconds();
        TRY(run_once(runner, test, &timing));
        result->seconds[result->n_samples++] = timer_seconds() - begin;
    }
    result->times = timing.times;
    result->sample_seconds = timing.sample_seconds;
    result->attended_tokens = timing.attended_tokens;
    return STATUS_OK;
}

/* Asked for before the samples, a report starts the counts anew. */
static enum status take_report(const struct engine *engine, struct bench_result *result) {
    const struct rank_report *reports;
    TRY(engine->report(engine->self, &reports));
    result->weight_bytes_read = result->kv_bytes_read = 0;
    result->weight_bytes = result->kv_bytes = 0;
    for (int32_t rank = 0; rank < engine->n_ranks; rank++) {
        const struct rank_report *report = &reports[rank];
        const int64_t overhead = report->resident_bytes - report->weight_bytes - report->kv_bytes;
        result->weight_bytes_read += report->weight_bytes_read;
        result->kv_bytes_read += report->kv_bytes_read;
        result->weight_bytes += report->weight_bytes;
        result->kv_bytes += report->kv_bytes;
        result->resident_bytes = larger_i64(result->resident_bytes, report->resident_bytes);
        result->overhead_bytes = rank == 0 ? overhead : larger_i64(result->overhead_bytes, overhead);
    }
    return STATUS_OK;
}

static enum status measure(struct bench_runner *runner, const struct bench_test *test,
                           struct bench_result *result) {
    const struct engine *engine = runner->engine;
    TRY(reach_depth(runner, test));
    TRY(warm_up(runner, test));
    TRY(take_report(engine, result));
    runner->timed = true;
    TRY(take_samples(runner, test, result));
    runner->timed = false;
    TRY(take_report(engine, result));
    const double rate_before = runner->read_rate;
    TRY(engine->read_memory(engine->self, &runner->read_rate));
    result->read_rate = (rate_before + runner->read_rate) / 2;
    return STATUS_OK;
}

enum status bench_run(struct bench_runner *runner, const struct bench_test *test, struct progress *progress,
                      struct bench_result *result_out) {
    struct bench_result result = {0};
    result.seconds = calloc((size_t)runner->options.repetitions, sizeof *result.seconds);
    if (!result.seconds) return FAIL(STATUS_NO_MEMORY, "out of memory for the times of a test");
    runner->progress = progress;
    const enum status status = measure(runner, test, &result);
    if (status == STATUS_OK)
        *result_out = result;
    else
        bench_result_free(&result);
    return status;
}
