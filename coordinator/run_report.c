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

static json_t *times_json(const struct scheduler_totals *totals) {
    return json_pack(
        "{s:f, s:I, s:f, s:I, s:I, s:f, s:f, s:f, s:f}", "prefill_seconds", totals->prefill_seconds,
        "prefill_tokens", (json_int_t)totals->prefill_tokens, "decode_seconds", totals->decode_seconds,
        "decode_tokens", (json_int_t)totals->decode_tokens, "decode_steps", (json_int_t)totals->decode_steps,
        "compute_seconds", totals->decode_times.compute, "sync_seconds", totals->decode_times.sync,
        "select_seconds", totals->decode_times.select, "sample_seconds", totals->sample_seconds);
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
    json_t *report =
        json_pack("{s:o, s:o, s:s%, s:s, s:I, s:I, s:o}", "prompt_ids", ids_json(view.prompt, view.n_prompt),
                  "generated_ids", ids_json(view.generated, view.n_generated), "text", view.text,
                  view.text_size, "finish_reason", finish_reason_name(generation_finish_reason(generation)),
                  "attended_tokens", (json_int_t)totals->attended_tokens, "logits_rows_fetched",
                  (json_int_t)view.n_fetches, "times", times_json(totals));
    if (report && view.logprobs) json_object_set_new(report, "logprobs", logprobs_json(&view));
    char *encoded = report ? json_dumps(report, JSON_REAL_PRECISION(9)) : NULL;
    json_decref(report);
    if (!encoded) return FAIL(STATUS_INTERNAL, "cannot encode the answer as JSON");
    const enum status status = bytes_printf(text, "%s\n", encoded);
    free(encoded);
    return status;
}
