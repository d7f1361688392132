#include "coordinator/trace_record.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "coordinator/config_impl.h"
#include "coordinator/trace_file.h"

/* Options that change what is generated or attended to; policy and budget have places of their own. */
static const char *const told_options[] = {
    "select-layers",  "emulate", "sinks",   "recent-ratio", "dense-below",        "policy-options",
    "temperature",    "top-k",   "top-p",   "min-p",        "repetition-penalty", "seed",
    "sliding-window", "weights", "kv-type", "numerics",
};
enum { N_TOLD = sizeof told_options / sizeof *told_options };

struct trace_recorder {
    struct trace_source source;
    struct trace_writer *writer;
    struct trace_tokens tokens; /* since the last record */
    struct trace_sets sets;
    struct bytes text;
    int64_t n_steps;
};

static enum status append_token(struct trace_recorder *recorder, int32_t token, struct trace_tokens *tokens) {
    bytes_clear(&recorder->text);
    TRY(tokenizer_decode_token(recorder->source.tokenizer, token, true, &recorder->text));
    return trace_tokens_append(tokens, token, recorder->text.data, recorder->text.size);
}

/* The last part of the model's path. */
static enum status model_name(const char *path, struct bytes *name) {
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    return bytes_append(name, path + begin, end - begin);
}

/* Those that were given: names in `options_out`, values one after the other in `values`, NULs between them.
 */
static enum status collect_options(const struct config *config, struct bytes *values,
                                   struct trace_option *options_out, size_t *n_out) {
    size_t begins[N_TOLD], n = 0;
    for (size_t i = 0; i < N_TOLD; i++) {
        const struct option *option = options_find(config->memory, told_options[i]).option;
        CHECK(option);
        if (!options_was_given(config->memory, option)) continue;
        options_out[n].name = option->name;
        begins[n++] = values->size;
        TRY(option_value_print(option, config, values));
        TRY(bytes_append(values, "", 1));
    }
    for (size_t i = 0; i < n; i++)
        options_out[i].value = values->data + begins[i];
    *n_out = n;
    return STATUS_OK;
}

static enum status open_writer(struct trace_recorder *recorder, struct trace_header *header,
                               struct bytes *name, struct bytes *values) {
    struct trace_option options[N_TOLD];
    const struct config *config = recorder->source.config;
    TRY(model_name(config->model, name));
    TRY(collect_options(config, values, options, &header->n_options));
    const struct model_spec *spec = model_file_spec(recorder->source.model);
    header->program = CAUCUS_VERSION;
    header->model = name->data;
    header->fingerprint = model_file_fingerprint(recorder->source.model);
    header->policy = config->policy;
    header->budget = config->budget;
    header->options = options;
    header->n_layers = spec->n_layers;
    header->n_kv_heads = spec->n_kv_heads;
    header->every = config->trace_every;
    TRY(trace_sets_create(spec->n_layers * spec->n_kv_heads, &recorder->sets));
    return trace_writer_create(config->output, header, &recorder->writer);
}

static enum status begin(struct trace_recorder *recorder, const int32_t *prompt, size_t n_prompt) {
    struct trace_header header = {0};
    struct bytes name = {0}, values = {0};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < n_prompt && status == STATUS_OK; i++)
        status = append_token(recorder, prompt[i], &header.prompt);
    if (status == STATUS_OK) status = open_writer(recorder, &header, &name, &values);
    trace_tokens_free(&header.prompt);
    bytes_free(&name);
    bytes_free(&values);
    const struct step_trace *none;
    return status == STATUS_OK ? recorder->source.engine->trace(recorder->source.engine->self, &none)
                               : status;
}

enum status trace_record_check(const struct model_spec *spec) {
    if ((int64_t)spec->n_layers * spec->n_kv_heads <= TRACE_MAX_PAIRS) return STATUS_OK;
    return FAIL(
        STATUS_BAD_INPUT,
        "a trace has room for %d pairs of a layer and a KV head: the model has %d layers of %d KV heads",
        TRACE_MAX_PAIRS, spec->n_layers, spec->n_kv_heads);
}

enum status trace_recorder_create(const struct trace_source *source, const int32_t *prompt, size_t n_prompt,
                                  struct trace_recorder **recorder_out) {
    struct trace_recorder *recorder = calloc(1, sizeof *recorder);
    if (!recorder) return FAIL(STATUS_NO_MEMORY, "out of memory for a trace");
    recorder->source = *source;
    const enum status status = begin(recorder, prompt, n_prompt);
    if (status != STATUS_OK) {
        trace_recorder_destroy(recorder);
        return status;
    }
    *recorder_out = recorder;
    return STATUS_OK;
}

static enum status take_set(struct trace_sets *sets, struct attended_set set, uint32_t *index_out) {
    if (set.tokens)
        TRY(trace_sets_add_tokens(sets, set.tokens, set.n_tokens));
    else if (set.n_tokens > 0) {
        TRY(trace_sets_add_edge(sets, 0));
        TRY(trace_sets_add_edge(sets, set.n_tokens));
    }
    return trace_sets_close(sets, index_out);
}

/* Sets that came as one pointer are taken once. */
static enum status take_sets(const struct step_trace *trace, struct trace_sets *sets) {
    trace_sets_clear(sets);
    for (int32_t pair = 0; pair < sets->n_pairs; pair++) {
        const struct attended_set *set = &trace->sets[pair];
        const bool known = pair > 0 && set->tokens == set[-1].tokens && set->n_tokens == set[-1].n_tokens;
        if (known)
            sets->set_of[pair] = sets->set_of[pair - 1];
        else
            TRY(take_set(sets, *set, &sets->set_of[pair]));
    }
    return STATUS_OK;
}

enum status trace_recorder_step(struct trace_recorder *recorder, int32_t token) {
    const struct engine *engine = recorder->source.engine;
    TRY(append_token(recorder, token, &recorder->tokens));
    if (recorder->n_steps++ % recorder->source.config->trace_every != 0) return STATUS_OK;
    const struct step_trace *trace;
    TRY(engine->trace(engine->self, &trace));
    CHECK(trace->n_layers * trace->n_kv_heads == recorder->sets.n_pairs && trace->n_cached > 0);
    TRY(take_sets(trace, &recorder->sets));
    TRY(trace_writer_step(recorder->writer, &recorder->tokens, &recorder->sets));
    trace_tokens_clear(&recorder->tokens);
    return STATUS_OK;
}

enum status trace_recorder_close(struct trace_recorder *recorder) {
    const int64_t every = recorder->source.config->trace_every;
    const int64_t n_records = (recorder->n_steps + every - 1) / every;
    const int64_t size = trace_writer_size(recorder->writer);
    struct trace_writer *writer = recorder->writer;
    recorder->writer = NULL;
    const enum status status = trace_writer_close(writer);
    if (status == STATUS_OK)
        log_info(1, "wrote %lld of %lld decode steps to %s, %lld bytes", (long long)n_records,
                 (long long)recorder->n_steps, recorder->source.config->output, (long long)size);
    trace_recorder_destroy(recorder);
    return status;
}

void trace_recorder_destroy(struct trace_recorder *recorder) {
    if (!recorder) return;
    trace_writer_destroy(recorder->writer);
    trace_tokens_free(&recorder->tokens);
    trace_sets_free(&recorder->sets);
    bytes_free(&recorder->text);
    free(recorder);
}
