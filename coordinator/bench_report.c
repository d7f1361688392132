#include "coordinator/bench_report.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/bench_figures.h"
#include "coordinator/bench_report_impl.h"
#include "coordinator/json_build.h"
#include "coordinator/json_print.h"

static enum status flush(void) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return STATUS_OK;
    return FAIL(STATUS_IO, "cannot write the measurements: %s", strerror(errno));
}

/* ---- fields ---- */

static void read_cpu_name(char name[128]) {
    name[0] = '\0';
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && !name[0] && fgets(line, sizeof line, file))
        if (sscanf(line, "model name : %127[^\n]", name) != 1) name[0] = '\0';
    if (file) fclose(file);
}

/* "tg128 @ d4096 x16" */
void bench_test_name(const struct bench_test *test, char name[BENCH_NAME_MAX]) {
    int size = 0;
    if (test->n_prompt > 0) size = snprintf(name, BENCH_NAME_MAX, "pp%lld", (long long)test->n_prompt);
    if (test->n_gen > 0)
        size += snprintf(name + size, BENCH_NAME_MAX - (size_t)size, "%stg%lld", size > 0 ? "+" : "",
                         (long long)test->n_gen);
    if (test->n_depth > 0)
        size += snprintf(name + size, BENCH_NAME_MAX - (size_t)size, " @ d%lld", (long long)test->n_depth);
    if (test->n_parallel > 1) snprintf(name + size, BENCH_NAME_MAX - (size_t)size, " x%d", test->n_parallel);
}

static json_t *system_json(const struct bench_record *record) {
    char cpu[128];
    read_cpu_name(cpu);
    return json_pack("{s:s, s:o, s:s, s:s, s:i, s:i, s:s}", "version", CAUCUS_VERSION, "cpu_info",
                     json_lossy_text(cpu, strlen(cpu)), "backends", "CPU", "kernels",
                     record->engine->kernels_name, "n_ranks", (int)record->engine->n_ranks, "n_threads",
                     (int)record->engine->n_threads, "numerics",
                     record->config->numerics == NUMERICS_FAST ? "fast" : "reproducible");
}

static json_t *model_json(const struct bench_record *record) {
    const struct config *config = record->config;
    const char *kv_type = dtype_layout(config->kv_type)->name;
    const int n_batch = (int)record->engine->limits.max_tokens;
    const char *weights = config->weights == DTYPE_COUNT ? "file" : dtype_layout(config->weights)->name;
    return json_pack("{s:o, s:s, s:I, s:I, s:s, s:i, s:i, s:s, s:s, s:s, s:i}", "model_filename",
                     json_lossy_text(config->model, strlen(config->model)), "model_type", record->model->type,
                     "model_size", (json_int_t)record->model->bytes, "model_n_params",
                     (json_int_t)record->model->n_weights, "weights", weights, "n_batch", n_batch, "n_ubatch",
                     n_batch, "type_k", kv_type, "type_v", kv_type, "policy", record->choice.policy, "budget",
                     (int)record->choice.budget);
}

static json_t *test_json(const struct bench_record *record) {
    char name[BENCH_NAME_MAX], began[32];
    bench_test_name(&record->test, name);
    struct tm parts;
    strftime(began, sizeof began, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&record->began, &parts));
    return json_pack("{s:s, s:I, s:I, s:I, s:i, s:s}", "test", name, "n_prompt",
                     (json_int_t)record->test.n_prompt, "n_gen", (json_int_t)record->test.n_gen, "n_depth",
                     (json_int_t)record->test.n_depth, "n_parallel", (int)record->test.n_parallel,
                     "test_time", began);
}

static json_t *times_json(const struct bench_figures *figures) {
    return json_pack("{s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "avg_ns", (json_int_t)figures->mean_ns,
                     "stddev_ns", (json_int_t)figures->deviation_ns, "avg_ts", figures->mean_rate,
                     "stddev_ts", figures->deviation_rate, "compute_ms", figures->compute_ms, "sync_ms",
                     figures->sync_ms, "select_ms", figures->select_ms, "agree_ms", figures->agree_ms,
                     "sample_ms", figures->sample_ms);
}

/* A number, or null for a test that does not only generate. */
static json_t *decode_only(const struct bench_record *record, double value) {
    return record->test.n_prompt > 0 ? json_null() : json_real(value);
}

static json_t *traffic_json(const struct bench_record *record, const struct bench_figures *figures) {
    const struct bench_result *result = &record->result;
    const double n_tokens = (double)record->test.n_gen * record->test.n_parallel * result->n_samples;
    return json_pack("{s:o, s:o, s:o, s:o, s:f, s:o, s:I}", "bytes_per_token",
                     decode_only(record, figures->bytes_per_token), "weight_bytes_per_token",
                     decode_only(record, (double)result->weight_bytes_read / n_tokens), "kv_bytes_per_token",
                     decode_only(record, (double)result->kv_bytes_read / n_tokens), "gb_per_s",
                     decode_only(record, figures->bytes_per_second / 1e9), "read_gb_per_s",
                     result->read_rate / 1e9, "read_share", decode_only(record, figures->share),
                     "attended_tokens", (json_int_t)result->attended_tokens);
}

static json_t *memory_json(const struct bench_result *result) {
    return json_pack("{s:I, s:I, s:I, s:I}", "resident_bytes_max", (json_int_t)result->resident_bytes,
                     "resident_overhead_bytes", (json_int_t)result->overhead_bytes, "weight_bytes",
                     (json_int_t)result->weight_bytes, "kv_bytes", (json_int_t)result->kv_bytes);
}

static json_t *samples_json(const struct bench_record *record) {
    const struct bench_result *result = &record->result;
    json_t *ns = json_array(), *rates = json_array();
    bool failed = !ns || !rates;
    for (int32_t i = 0; i < result->n_samples && !failed; i++) {
        const double rate = bench_figures_rate(&record->test, result, i);
        failed = json_array_append_new(ns, json_integer((json_int_t)(1e9 * result->seconds[i]))) != 0 ||
                 json_array_append_new(rates, json_real(rate)) != 0;
    }
    if (!failed) return json_pack("{s:o, s:o}", "samples_ns", ns, "samples_ts", rates);
    json_decref(ns);
    json_decref(rates);
    return NULL;
}

static json_t *record_json(const struct bench_record *record) {
    const struct bench_figures figures = bench_figures_of(&record->test, &record->result);
    json_t *object = system_json(record);
    object = json_merged(object, model_json(record));
    object = json_merged(object, test_json(record));
    object = json_merged(object, times_json(&figures));
    object = json_merged(object, traffic_json(record, &figures));
    object = json_merged(object, memory_json(&record->result));
    return json_merged(object, samples_json(record));
}

/* ---- CSV: the same fields, but for the samples; everything in quotation marks ---- */

static void print_csv_text(const char *text) {
    putchar('"');
    for (; *text; text++) {
        if (*text == '"') putchar('"');
        putchar(*text);
    }
    putchar('"');
}

static void print_csv_value(const json_t *value) {
    char number[64] = "";
    if (json_is_integer(value))
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(number, sizeof number, "%.9g", json_real_value(value));
    print_csv_text(json_is_string(value) ? json_string_value(value) : number);
}

static enum status print_csv(json_t *record, bool first) {
    if (!record) return FAIL(STATUS_NO_MEMORY, "out of memory for the measurements");
    const char *name, *separator = "";
    json_t *value;
    json_object_foreach(record, name, value) {
        if (!first || json_is_array(value)) continue;
        printf("%s%s", separator, name);
        separator = ",";
    }
    if (first) putchar('\n');
    separator = "";
    json_object_foreach(record, name, value) {
        if (json_is_array(value)) continue;
        fputs(separator, stdout);
        print_csv_value(value);
        separator = ",";
    }
    putchar('\n');
    json_decref(record);
    return STATUS_OK;
}

/* ---- all formats ---- */

/* An object of the list, indented; jansson ends it with no newline of its own. */
static enum status print_list_element(json_t *record, bool first) {
    char *text = record ? json_dumps(record, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(record);
    if (!text) return FAIL(STATUS_NO_MEMORY, "out of memory for the measurements");
    printf("%s%s", first ? "" : ",\n", text);
    free(text);
    return STATUS_OK;
}

enum status bench_report_begin(enum bench_format format) {
    if (format == BENCH_MARKDOWN) bench_markdown_begin();
    if (format == BENCH_JSON) puts("[");
    return flush();
}

enum status bench_report_record(enum bench_format format, const struct bench_record *record, bool first) {
    switch (format) {
    case BENCH_MARKDOWN:
        bench_markdown_record(record);
        break;
    case BENCH_CSV:
        TRY(print_csv(record_json(record), first));
        break;
    case BENCH_JSON:
        TRY(print_list_element(record_json(record), first));
        break;
    case BENCH_JSON_LINES:
        TRY(json_print(record_json(record), false));
        break;
    }
    return flush();
}

enum status bench_report_end(enum bench_format format, const struct engine *engine) {
    if (format == BENCH_MARKDOWN)
        printf("\nbuild: caucus %s, %s kernels\n", CAUCUS_VERSION, engine->kernels_name);
    if (format == BENCH_JSON) puts("\n]");
    return flush();
}
