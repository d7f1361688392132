/* Every option of the program: where it is kept, what it may be, what it does. */
#include "coordinator/config_table_impl.h"

static const char *const command_names[] = {
    [COMMAND_NONE] = "caucus",         [COMMAND_RUN] = "run",
    [COMMAND_SCORE] = "score",         [COMMAND_BENCH] = "bench",
    [COMMAND_EVAL] = "eval",           [COMMAND_TOKENIZE] = "tokenize",
    [COMMAND_PLAN] = "plan",           [COMMAND_INSPECT] = "inspect",
    [COMMAND_TRACE] = "trace",         [COMMAND_CALIBRATE] = "calibrate",
    [COMMAND_SCALE] = "scale",         [COMMAND_SIMULATE] = "simulate",
    [COMMAND_SUPERVISE] = "supervise", NULL,
};

static const struct option_group *const groups[] = {
    &config_model_options,      &config_input_options,  &config_chat_options,
    &config_generation_options, &config_timing_options, &config_attention_options,
    &config_engine_options,     &config_output_options, &config_general_options,
};

const struct option_table config_table = {
    .groups = groups,
    .n_groups = sizeof groups / sizeof *groups,
    .command_names = command_names,
    .environment_prefix = "CAUCUS_",
    .environment_ignored = "CAUCUS_TEST_",
};
