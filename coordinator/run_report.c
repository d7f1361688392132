#include "coordinator/run_report.h"

#include <jansson.h>
#include <stdlib.h>

#include "coordinator/json_build.h"

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
        array = json_appended(array, json_integer(ids[i]));
    return array;
}

static json_t *times_json(const struct scheduler_totals *totals) {
    json_t *times = json_object();
    times = json_with(times, "prefill_seconds", json_real(totals->prefill_seconds));
    times = json_with(times, "prefill_tokens", json_integer(totals->prefill_tokens));
    times = json_with(times, "decode_seconds", json_real(totals->decode_seconds));
    times = json_with(times, "decode_tokens", json_integer(totals->decode_tokens));
    times = json_with(times, "decode_steps", json_integer(totals->decode_steps));
    times = json_with(times, "compute_seconds", json_real(totals->decode_times.compute));
    times = json_with(times, "sync_seconds", json_real(totals->decode_times.sync));
    times = json_with(times, "select_seconds", json_real(totals->decode_times.select));
    times = json_with(times, "agree_seconds", json_real(totals->decode_times.agree));
    times = json_with(times, "sample_seconds", json_real(totals->sample_seconds));
    times = json_with(times, "attended_tokens", json_integer(totals->attended_tokens));
    return json_with(times, "cached_tokens", json_integer(totals->cached_tokens));
}

/* The likeliest tokens beside the `index`-th one: [[token, logprob], …]. */
static json_t *top_json(const struct generation_view *view, int32_t index) {
    const struct sampled_token *top = view->top + (int64_t)index * view->n_top;
    json_t *array = json_array();
    for (int32_t i = 0; i < view->n_top && top[i].token >= 0; i++)
        array = json_appended(array, json_pack("[i, f]", top[i].token, (double)top[i].logprob));
    return array;
}

/* [{"logprob": …, "top": …}, …] */
static json_t *logprobs_json(const struct generation_view *view) {
    json_t *array = json_array();
    for (int32_t i = 0; i < view->n_generated; i++)
        array = json_appended(array, json_with(json_pack("{s:f}", "logprob", (double)view->logprobs[i]),
                                               "top", top_json(view, i)));
    return array;
}

static json_t *report_json(const struct generation *generation, const struct scheduler_totals *totals) {
    const struct generation_view view = generation_view(generation);
    const char *finish_reason = finish_reason_name(generation_finish_reason(generation));
    json_t *report = json_object();
    report = json_with(report, "prompt_ids", ids_json(view.prompt, view.n_prompt));
    report = json_with(report, "generated_ids", ids_json(view.generated, view.n_generated));
    report = json_with(report, "text", json_stringn(view.text, view.text_size));
    report = json_with(report, "finish_reason", json_string(finish_reason));
    report = json_with(report, "logits_rows_fetched", json_integer(view.n_fetches));
    report = json_with(report, "times", times_json(totals));
    if (view.recall) report = json_with(report, "recall", recall_json(view.recall));
    return view.n_top < 0 ? report : json_with(report, "logprobs", logprobs_json(&view));
}

enum status run_report_json(const struct generation *generation, const struct scheduler_totals *totals,
                            struct bytes *text) {
    json_t *report = report_json(generation, totals);
    char *encoded = json_dumps(report, JSON_REAL_PRECISION(9));
    json_decref(report);
    if (!encoded) return FAIL(STATUS_INTERNAL, "cannot encode the answer as JSON");
    const enum status status = bytes_printf(text, "%s\n", encoded);
    free(encoded);
    return status;
}
