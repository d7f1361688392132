#include "coordinator/commands.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/numbers.h"

bool command_needs_engine(enum command command) {
    return command == COMMAND_RUN || command == COMMAND_SCORE;
}

enum status command_check(const struct config *config) {
    if (config->command == COMMAND_SCORE) return command_score_check(config);
    return config->prompt_file ? file_check_readable(config->prompt_file) : STATUS_OK;
}

static enum status copy_text(const char *option, const char *text, size_t room, char *copy) {
    if ((size_t)snprintf(copy, room, "%s", text) < room) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT, "--%s: at most %zu bytes are allowed", option, room - 1);
}

enum status command_engine_config(const struct config *config, struct engine_config *engine_out) {
    struct engine_config engine = {
        .n_threads = config->threads,
        .numerics = config->numerics,
        .allreduce = config->allreduce,
        .binding = config->bind,
        .weights = config->weights,
        .kv_dtype = config->kv_type,
        .context_length = config->context,
        .sliding_window = config->sliding_window,
        .max_slots = config->parallel,
        /* every sequence may decode in every step */
        .max_step_tokens = (int32_t)larger_i64(config->batch_tokens, config->parallel),
        .verbosity = config->verbosity,
        .budget = config->budget,
        .recent_ratio = config->recent_ratio,
        .n_sinks = config->sinks,
        .n_select_layers = config->n_select_layers,
    };
    TRY(copy_text("model", config->model, sizeof engine.model_path, engine.model_path));
    TRY(copy_text("policy", config->policy, sizeof engine.policy, engine.policy));
    memcpy(engine.select_layers, config->select_layers, sizeof engine.select_layers);
    *engine_out = engine;
    return STATUS_OK;
}
