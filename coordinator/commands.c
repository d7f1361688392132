#include "coordinator/commands.h"

#include <stdio.h>
#include <string.h>

#include "base/numbers.h"
#include "coordinator/bench_plan.h"
#include "coordinator/eval_plan.h"
#include "coordinator/run_journal.h"

int32_t command_engines(const struct config *config) {
    if (config->command == COMMAND_BENCH) return config->costs ? 0 : bench_plan_engines(config);
    if (config->command == COMMAND_EVAL) return config->summary_only ? 0 : eval_plan_engines(config);
    if (config->command == COMMAND_TRACE) return config->draw ? 0 : 1;
    return config->command == COMMAND_RUN || config->command == COMMAND_SCORE ||
           config->command == COMMAND_CALIBRATE;
}

enum status command_check(const struct config *config) {
    if (config->command == COMMAND_SCORE) return command_score_check(config);
    if (config->command == COMMAND_BENCH) return bench_plan_check(config);
    if (config->command == COMMAND_EVAL) return command_eval_check(config);
    if (config->command == COMMAND_TRACE) return command_trace_check(config);
    if (config->command == COMMAND_CALIBRATE) return command_calibrate_check(config);
    return config->command == COMMAND_RUN ? command_run_check(config) : STATUS_OK;
}

enum status command_lock(const struct config *config, int *lock_out) {
    if (config->command == COMMAND_EVAL) return eval_results_lock(config->results, lock_out);
    return config->command == COMMAND_RUN ? run_journal_lock(config, lock_out) : STATUS_OK;
}

enum status command_needs_engine(const struct config *config, int32_t index, bool *needed_out) {
    if (config->command == COMMAND_EVAL) return command_eval_needs(config, index, needed_out);
    *needed_out = true;
    return STATUS_OK;
}

enum status command_finish(const struct config *config) {
    return config->command == COMMAND_EVAL ? command_eval_summary(config) : STATUS_OK;
}

static enum status copy_text(const char *option, const char *text, size_t room, char *copy) {
    if ((size_t)snprintf(copy, room, "%s", text) < room) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT, "--%s: at most %zu bytes are allowed", option, room - 1);
}

/* `full` has no budget, but the engine wants one. */
static enum status eval_choice(const struct config *config, int32_t index, struct bench_engine *choice) {
    struct eval_method method;
    TRY(eval_plan_method(config, index, &method));
    memcpy(choice->policy, method.policy, sizeof choice->policy);
    if (method.budget > 0) choice->budget = method.budget;
    return STATUS_OK;
}

static enum status engine_choice(const struct config *config, int32_t index,
                                 struct bench_engine *choice_out) {
    *choice_out = (struct bench_engine){.budget = config->budget, .n_threads = config->threads};
    if (config->command == COMMAND_EVAL) return eval_choice(config, index, choice_out);
    if (config->command == COMMAND_BENCH || config->command == COMMAND_SIMULATE)
        *choice_out = bench_plan_engine(config, index);
    else
        snprintf(choice_out->policy, sizeof choice_out->policy, "%s",
                 config->command == COMMAND_CALIBRATE ? "full" : config->policy);
    return STATUS_OK;
}

/* What eval holds the others to is plain dense attention. */
static void make_plain(struct engine_config *engine) {
    engine->emulates = false;
    engine->corrects = false;
}

enum status command_engine_config(const struct config *config, int32_t index,
                                  struct engine_config *engine_out) {
    struct bench_engine choice;
    int32_t n_slots = config->parallel;
    TRY(engine_choice(config, index, &choice));
    if (n_slots == 0) TRY(eval_plan_parallel(config, &n_slots));
    struct engine_config engine = {
        .n_threads = choice.n_threads,
        .numerics = config->numerics,
        .allreduce = config->allreduce,
        .wire = config->wire,
        .binding = config->bind,
        .shares = config->shares,
        .measures_shares = config->measures_shares,
        .weights = config->weights,
        .kv_dtype = config->kv_type,
        .context_length = config->command == COMMAND_BENCH ? bench_plan_context(config) : config->context,
        .sliding_window = config->sliding_window,
        .max_slots = n_slots,
        /* every sequence may decode in every step */
        .max_step_tokens = (int32_t)larger_i64(config->batch_tokens, n_slots),
        .verbosity = config->verbosity,
        .check_every = config->check_every,
        .budget = choice.budget,
        .recent_ratio = config->recent_ratio,
        .n_sinks = config->sinks,
        .n_select_layers = config->n_select_layers,
        .dense_below = config->dense_below,
        .corrects = config->correct_every > 0,
        .probe = config->command == COMMAND_CALIBRATE ? PROBE_MATRIX : config->probe,
        .probe_every = config->probe_every,
        .emulates = config->emulate >= 0,
        .emulate_layer = config->emulate,
    };
    TRY(copy_text("model", config->model, sizeof engine.model_path, engine.model_path));
    TRY(copy_text("policy-options", config->policy_options, sizeof engine.policy_options,
                  engine.policy_options));
    memcpy(engine.policy, choice.policy, sizeof engine.policy);
    if (config->command == COMMAND_EVAL && strcmp(engine.policy, "full") == 0) make_plain(&engine);
    memcpy(engine.select_layers, config->select_layers, sizeof engine.select_layers);
    *engine_out = engine;
    return STATUS_OK;
}
