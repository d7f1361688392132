#include "coordinator/commands.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/numbers.h"
#include "coordinator/bench_plan.h"

int32_t command_engines(const struct config *config) {
    if (config->command == COMMAND_BENCH) return bench_plan_engines(config);
    if (config->command == COMMAND_TRACE) return config->draw ? 0 : 1;
    return config->command == COMMAND_RUN || config->command == COMMAND_SCORE;
}

enum status command_check(const struct config *config) {
    if (config->command == COMMAND_SCORE) return command_score_check(config);
    if (config->command == COMMAND_BENCH) return bench_plan_check(config);
    if (config->command == COMMAND_TRACE) return command_trace_check(config);
    return config->prompt_file ? file_check_readable(config->prompt_file) : STATUS_OK;
}

static enum status copy_text(const char *option, const char *text, size_t room, char *copy) {
    if ((size_t)snprintf(copy, room, "%s", text) < room) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT, "--%s: at most %zu bytes are allowed", option, room - 1);
}

static struct bench_engine engine_choice(const struct config *config, int32_t index) {
    if (config->command == COMMAND_BENCH) return bench_plan_engine(config, index);
    struct bench_engine choice = {.budget = config->budget, .n_threads = config->threads};
    snprintf(choice.policy, sizeof choice.policy, "%s", config->policy);
    return choice;
}

enum status command_engine_config(const struct config *config, int32_t index,
                                  struct engine_config *engine_out) {
    const struct bench_engine choice = engine_choice(config, index);
    struct engine_config engine = {
        .n_threads = choice.n_threads,
        .numerics = config->numerics,
        .allreduce = config->allreduce,
        .binding = config->bind,
        .weights = config->weights,
        .kv_dtype = config->kv_type,
        .context_length = config->command == COMMAND_BENCH ? bench_plan_context(config) : config->context,
        .sliding_window = config->sliding_window,
        .max_slots = config->parallel,
        /* every sequence may decode in every step */
        .max_step_tokens = (int32_t)larger_i64(config->batch_tokens, config->parallel),
        .verbosity = config->verbosity,
        .budget = choice.budget,
        .recent_ratio = config->recent_ratio,
        .n_sinks = config->sinks,
        .n_select_layers = config->n_select_layers,
        .dense_below = config->dense_below,
        .probe = config->probe,
        .probe_every = config->probe_every,
        .emulates = config->emulate >= 0,
        .emulate_layer = config->emulate,
    };
    TRY(copy_text("model", config->model, sizeof engine.model_path, engine.model_path));
    TRY(copy_text("policy-options", config->policy_options, sizeof engine.policy_options,
                  engine.policy_options));
    memcpy(engine.policy, choice.policy, sizeof engine.policy);
    memcpy(engine.select_layers, config->select_layers, sizeof engine.select_layers);
    *engine_out = engine;
    return STATUS_OK;
}
