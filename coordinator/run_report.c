#include "coordinator/run_report.h"

#include <jansson.h>
#include <stdlib.h>

static double rate(int64_t tokens, double seconds) {
    return seconds > 0 ? (double)tokens / seconds : 0;
}

static double milliseconds_per_step(double seconds, int64_t steps) {
    return steps > 0 ? 1e3 * seconds / (double)steps : 0;
}

enum status run_report_line(const struct scheduler_totals *totals, struct bytes *text) {
    const struct step_times *times = &totals->decode_times;
    const int64_t steps = totals->decode_steps;
    return bytes_printf(
        text,
        "prefill %.1f tok/s · decode %.1f tok/s · compute %.2f ms sync %.2f ms select %.2f ms · "
        "attended %lld of %lld",
        rate(totals->prefill_tokens, totals->prefill_seconds),
        rate(totals->decode_tokens, totals->decode_seconds), milliseconds_per_step(times->compute, steps),
        milliseconds_per_step(times->sync, steps), milliseconds_per_step(times->select, steps),
        (long long)totals->attended_tokens, (long long)totals->cached_tokens);
}

static json_t *ids_json(const int32_t *ids, int32_t n) {
    json_t *array = json_array();
    for (int32_t i = 0; i < n; i++)
        json_array_append_new(array, json_integer(ids[i]));
    return array;
}

static void set_real(json_t *object, const char *key, double value) {
    json_object_set_new(object, key, json_real(value));
}

static void set_count(json_t *object, const char *key, int64_t value) {
    json_object_set_new(object, key, json_integer(value));
}

static json_t *times_json(const struct scheduler_totals *totals) {
    json_t *times = json_object();
    set_real(times, "prefill_seconds", totals->prefill_seconds);
    set_count(times, "prefill_tokens", totals->prefill_tokens);
    set_real(times, "decode_seconds", totals->decode_seconds);
    set_count(times, "decode_tokens", totals->decode_tokens);
    set_count(times, "decode_steps", totals->decode_steps);
    set_real(times, "compute_seconds", totals->decode_times.compute);
    set_real(times, "sync_seconds", totals->decode_times.sync);
    set_real(times, "select_seconds", totals->decode_times.select);
    set_real(times, "sample_seconds", totals->sample_seconds);
    set_count(times, "attended_tokens", totals->attended_tokens);
    set_count(times, "cached_tokens", totals->cached_tokens);
    return times;
}

/* [{"logprob": …, "top": [[token, logprob], …]}, …] */
static json_t *logprobs_json(const struct generation_view *view) {
    json_t *array = json_array();
    for (int32_t i = 0; i < view->n_generated; i++) {
        json_t *top = json_array();
        for (int32_t j = 0; j < view->n_top; j++) {
            const struct sampled_token *best = &view->top[(int64_t)i * view->n_top + j];
            if (best->token >= 0)
                json_array_append_new(top, json_pack("[i, f]", best->token, (double)best->logprob));
        }
        json_array_append_new(array,
                              json_pack("{s:f, s:o}", "logprob", (double)view->logprobs[i], "top", top));
    }
    return array;
}

enum status run_report_json(const struct generation *generation, const struct scheduler_totals *totals,
                            struct bytes *text) {
    const struct generation_view view = generation_view(generation);
    json_t *report = json_object();
    json_object_set_new(report, "prompt_ids", ids_json(view.prompt, view.n_prompt));
    json_object_set_new(report, "generated_ids", ids_json(view.generated, view.n_generated));
    json_object_set_new(report, "text", json_stringn(view.text, view.text_size));
    json_object_set_new(report, "finish_reason",
                        json_string(finish_reason_name(generation_finish_reason(generation))));
    set_count(report, "logits_rows_fetched", view.n_fetches);
    json_object_set_new(report, "times", times_json(totals));
    if (view.logprobs) json_object_set_new(report, "logprobs", logprobs_json(&view));
    char *encoded = json_dumps(report, JSON_REAL_PRECISION(9));
    json_decref(report);
    if (!encoded) return FAIL(STATUS_INTERNAL, "cannot encode the answer as JSON");
    const enum status status = bytes_printf(text, "%s\n", encoded);
    free(encoded);
    return status;
}
