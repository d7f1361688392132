#include "coordinator/generation.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/numbers.h"
#include "coordinator/stop_matcher.h"

struct generation {
    struct sequence sequence;
    struct generation_options options;
    int64_t context_length; /* what is left of it behind n_filled */
    struct sampler *sampler;
    struct detokenizer *detokenizer;
    struct stop_matcher *stop_matcher;

    struct token_list tokens; /* prompt, then what was generated */
    int32_t n_prompt;         /* of them; the sequence's may be more: known tokens that are read */
    int32_t n_drawn;          /* generated tokens whose row of logits has come; known ones run ahead of it */
    enum finish_reason finish_reason;

    struct bytes decoded; /* scratch: text of the newest token */
    struct bytes text;    /* certain not to be a stop string */

    float *logprobs;           /* [generated so far], grown with the tokens */
    struct sampled_token *top; /* [generated so far, n_logprobs] */
    size_t logprobs_capacity;  /* tokens */

    struct recall recall;
};

const char *finish_reason_name(enum finish_reason reason) {
    static const char *const names[] = {[FINISH_NONE] = "none",
                                        [FINISH_STOP] = "stop",
                                        [FINISH_LENGTH] = "length",
                                        [FINISH_CANCELLED] = "cancelled"};
    return names[reason];
}

static int32_t n_generated(const struct generation *generation) {
    return (int32_t)generation->tokens.n - generation->n_prompt;
}

static bool finished(const void *self) {
    const struct generation *generation = self;
    return generation->finish_reason != FINISH_NONE;
}

/* Where a chunk has to end, at the latest: a prompt's is an end by itself. */
static int32_t next_stop(const struct generation *generation) {
    const int32_t every = generation->options.known.stop_every, n_planned = generation->sequence.n_planned;
    if (every == 0) return INT32_MAX;
    return n_planned < generation->n_prompt ? generation->n_prompt : (n_planned / every + 1) * every;
}

/* Rows of logits are wanted of the tokens whose successor has not been drawn: of the last one, and of those
 * before known ones. */
static void plan(void *self, int32_t room, struct step_span *span_out) {
    struct generation *generation = self;
    struct sequence *sequence = &generation->sequence;
    const int32_t n_before = sequence->n_planned;
    const int32_t most = (int32_t)smaller_i64(room, next_stop(generation) - n_before);
    sequence_next_span(sequence, generation->tokens.ids, most, span_out);
    const int64_t first_row = larger_i64(n_before, generation->n_prompt + generation->n_drawn - 1);
    span_out->n_logits_rows = (int32_t)larger_i64(sequence->n_planned - first_row, 0);
    span_out->inverse_temperature = sampler_inverse_temperature(&generation->options.sampler);
}

static enum status keep_logprobs(struct generation *generation, const struct logits_row *row, float logprob) {
    const int32_t n_top = generation->options.n_logprobs;
    if (n_top < 0) return STATUS_OK;
    const size_t n = (size_t)generation->n_drawn;
    if (n == generation->logprobs_capacity) {
        const size_t capacity = n ? 2 * n : 64;
        float *logprobs = realloc(generation->logprobs, capacity * sizeof *logprobs);
        if (logprobs) generation->logprobs = logprobs;
        const size_t row_bytes = ((size_t)n_top + 1) * sizeof *generation->top;
        struct sampled_token *top = realloc(generation->top, capacity * row_bytes);
        if (top) generation->top = top;
        if (!logprobs || !top) return FAIL(STATUS_NO_MEMORY, "out of memory for log probabilities");
        generation->logprobs_capacity = capacity;
    }
    generation->logprobs[n] = logprob;
    struct sampled_token *best = generation->top + n * (size_t)n_top;
    for (int32_t i = logits_row_top(row, n_top, best); i < n_top; i++)
        best[i] = (struct sampled_token){.token = -1};
    return STATUS_OK;
}

static bool is_end_of_sequence(const struct generation *generation, int32_t token) {
    for (int32_t i = 0; i < generation->options.n_eos; i++)
        if (generation->options.eos_ids[i] == token) return true;
    return false;
}

/* Text that is certain goes out. */
static enum status emit(struct generation *generation, size_t from) {
    const struct text_sink *sink = &generation->options.sink;
    if (!sink->write || generation->text.size == from) return STATUS_OK;
    return sink->write(sink->self, generation->text.data + from, generation->text.size - from);
}

/* Sends the newest decoded bytes through the matcher; a complete stop string ends the answer. */
static enum status match_decoded(struct generation *generation) {
    const struct bytes *decoded = &generation->decoded;
    if (decoded->size == 0) return STATUS_OK;
    TRY(stop_matcher_push(generation->stop_matcher, decoded->data, decoded->size, &generation->text));
    if (stop_matcher_match(generation->stop_matcher)) generation->finish_reason = FINISH_STOP;
    return STATUS_OK;
}

/* The token's text goes out as far as it is certain. */
static enum status add_text(struct generation *generation, int32_t token) {
    const size_t before = generation->text.size;
    bytes_clear(&generation->decoded);
    TRY(detokenizer_push(generation->detokenizer, token, &generation->decoded));
    TRY(match_decoded(generation));
    return emit(generation, before);
}

/* What the detokenizer and the matcher still hold back, once nothing more will come. */
static enum status flush_text(struct generation *generation) {
    const size_t before = generation->text.size;
    bytes_clear(&generation->decoded);
    TRY(detokenizer_finish(generation->detokenizer, &generation->decoded));
    TRY(match_decoded(generation));
    TRY(stop_matcher_finish(generation->stop_matcher, &generation->text));
    return emit(generation, before);
}

static enum status accept(struct generation *generation, int32_t token) {
    TRY(token_list_append(&generation->tokens, token));
    if (is_end_of_sequence(generation, token)) {
        generation->finish_reason = FINISH_STOP;
        return flush_text(generation);
    }
    TRY(add_text(generation, token));
    if (generation->finish_reason != FINISH_NONE) return STATUS_OK;
    const bool enough = n_generated(generation) == generation->options.max_tokens;
    const bool full = (int64_t)generation->tokens.n >= generation->context_length;
    if (!enough && !full) return STATUS_OK;
    generation->finish_reason = FINISH_LENGTH;
    return flush_text(generation);
}

/* A row of the engine's last step, as the sampler fetches it. */
struct row_source {
    const struct engine *engine;
    int32_t row;
};

static enum status fetch_row(void *self, float *logits) {
    const struct row_source *source = self;
    return source->engine->fetch_logits(source->engine->self, source->row, logits);
}

static enum status compare(const struct generation *generation, int32_t drawn, int32_t known) {
    if (drawn == known || generation->options.known.are_trusted) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT,
                "%s: token %d of the answer is %d, but %d is drawn there: the file is damaged, or comes from "
                "another build",
                generation->options.known.source, (int)generation->n_drawn, (int)known, (int)drawn);
}

/* The next token: a new one, or one that is known. */
static enum status take_row(struct generation *generation, const struct logits_row *row,
                            struct logits_source source) {
    const int32_t index = generation->n_drawn;
    const bool is_known = index < n_generated(generation);
    struct sampled_token drawn;
    TRY(sampler_draw(generation->sampler, row, (uint64_t)index, source, &drawn));
    TRY(keep_logprobs(generation, row, drawn.logprob));
    if (!is_known) TRY(accept(generation, drawn.token));
    const int32_t token = generation->tokens.ids[generation->n_prompt + index];
    TRY(compare(generation, drawn.token, token));
    sampler_accept(generation->sampler, token);
    generation->n_drawn++;
    return STATUS_OK;
}

/* No rows: the prompt goes on. */
static enum status take(void *self, const struct engine *engine, const struct logits_row *rows,
                        int32_t n_rows, int32_t first_row) {
    struct generation *generation = self;
    for (int32_t i = 0; i < n_rows; i++) {
        struct row_source source = {.engine = engine, .row = first_row + i};
        TRY(take_row(generation, &rows[i], (struct logits_source){.self = &source, .fetch = fetch_row}));
    }
    return finished(generation) ? recall_take(&generation->recall, engine, generation->sequence.slot)
                                : STATUS_OK;
}

static enum status check_options(const struct generation_options *options) {
    if (options->max_tokens != 0) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT, "max-tokens is 0; it must be 1 or more, or -1 for all the context holds");
}

static enum status check_room(const struct engine *engine, const struct token_list *prompt,
                              int64_t n_filled) {
    const int64_t context_length = engine->limits.context_length;
    if (n_filled + (int64_t)prompt->n < context_length) return STATUS_OK;
    if (n_filled == 0)
        return FAIL(STATUS_BAD_INPUT,
                    "the prompt has %zu tokens, which leaves no room in the context of %lld", prompt->n,
                    (long long)context_length);
    return FAIL(STATUS_BAD_INPUT,
                "the prompt has %zu tokens, which behind %lld of --fill-kv leaves no room in the context of "
                "%lld",
                prompt->n, (long long)n_filled, (long long)context_length);
}

static enum status check_prompt(const struct engine *engine, const struct token_list *prompt) {
    if (prompt->n == 0) return FAIL(STATUS_BAD_INPUT, "the prompt is empty: there is nothing to continue");
    for (size_t i = 0; i < prompt->n; i++)
        if (prompt->ids[i] < 0 || prompt->ids[i] >= engine->limits.vocab_size)
            return FAIL(STATUS_BAD_INPUT,
                        "the tokenizer gave token %d, but the model's vocabulary ends at %d", prompt->ids[i],
                        engine->limits.vocab_size - 1);
    return STATUS_OK;
}

static enum status fail_known(const struct known_tokens *known, int32_t index, const char *what) {
    return FAIL(STATUS_BAD_INPUT, "%s: token %d of the answer %s", known->source, (int)index, what);
}

/* As if they had just been drawn; that they would have been is seen later. */
static enum status accept_known(struct generation *generation, const struct engine *engine) {
    const struct known_tokens *known = &generation->options.known;
    for (int32_t i = 0; i < known->n; i++) {
        if (finished(generation)) return fail_known(known, i, "stands behind its end");
        if (known->ids[i] < 0 || known->ids[i] >= engine->limits.vocab_size)
            return fail_known(known, i, "is not in the vocabulary");
        TRY(accept(generation, known->ids[i]));
    }
    if (known->are_read) generation->sequence.n_prompt += known->n;
    return STATUS_OK;
}

static enum status set_up(struct generation *generation, const struct engine *engine,
                          const struct tokenizer *tokenizer) {
    const struct generation_options *options = &generation->options;
    TRY(sampler_create(&options->sampler, engine->limits.vocab_size, &generation->sampler));
    TRY(detokenizer_create(tokenizer, false, &generation->detokenizer));
    TRY(stop_matcher_create(options->stop.items, options->stop.n, &generation->stop_matcher));
    for (size_t i = 0; i < generation->tokens.n; i++)
        sampler_accept(generation->sampler, generation->tokens.ids[i]);
    TRY(bytes_append(&generation->text, "", 0));
    return accept_known(generation, engine);
}

enum status generation_create(const struct generation_options *options, const struct engine *engine,
                              const struct tokenizer *tokenizer, struct token_list *prompt, int32_t n_cached,
                              struct generation **generation_out) {
    TRY(check_options(options));
    TRY(check_prompt(engine, prompt));
    TRY(check_room(engine, prompt, options->n_filled));
    CHECK(n_cached >= 0 && n_cached < (int32_t)prompt->n);
    struct generation *generation = calloc(1, sizeof *generation);
    if (!generation) return FAIL(STATUS_NO_MEMORY, "out of memory for an answer");
    const int32_t wanted = sampler_candidates_wanted(&options->sampler);
    *generation = (struct generation){
        .sequence = {.self = generation,
                     .plan = plan,
                     .take = take,
                     .finished = finished,
                     .n_candidates = (int32_t)larger_i64(wanted, options->n_logprobs),
                     .n_prompt = (int32_t)prompt->n,
                     .n_planned = n_cached,
                     .correct_every = options->correct_every,
                     .n_filled = options->n_filled,
                     .fill_seed = options->sampler.seed},
        .options = *options,
        .context_length = engine->limits.context_length - options->n_filled,
        .tokens = *prompt,
        .n_prompt = (int32_t)prompt->n,
    };
    *prompt = (struct token_list){0};
    const enum status status = set_up(generation, engine, tokenizer);
    if (status != STATUS_OK) {
        generation_destroy(generation);
        return status;
    }
    *generation_out = generation;
    return STATUS_OK;
}

void generation_destroy(struct generation *generation) {
    if (!generation) return;
    sampler_destroy(generation->sampler);
    detokenizer_destroy(generation->detokenizer);
    stop_matcher_destroy(generation->stop_matcher);
    token_list_free(&generation->tokens);
    bytes_free(&generation->decoded);
    bytes_free(&generation->text);
    free(generation->logprobs);
    free(generation->top);
    recall_free(&generation->recall);
    free(generation);
}

struct sequence *generation_sequence(struct generation *generation) {
    return &generation->sequence;
}

enum status generation_cancel(struct generation *generation) {
    if (generation->finish_reason != FINISH_NONE) return STATUS_OK;
    generation->finish_reason = FINISH_CANCELLED;
    return flush_text(generation);
}

enum finish_reason generation_finish_reason(const struct generation *generation) {
    return generation->finish_reason;
}

struct generation_view generation_view(const struct generation *generation) {
    return (struct generation_view){
        .prompt = generation->tokens.ids,
        .n_prompt = generation->n_prompt,
        .generated = generation->tokens.ids + generation->n_prompt,
        .n_generated = n_generated(generation),
        .text = generation->text.data,
        .text_size = generation->text.size,
        .logprobs = generation->logprobs,
        .top = generation->top,
        .n_top = generation->options.n_logprobs,
        .n_computed = generation->sequence.n_planned,
        .n_fetches = sampler_fetches(generation->sampler),
        .recall = generation->recall.memory ? &generation->recall : NULL,
    };
}
