#include "coordinator/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/numbers.h"
#include "base/edit_distance.h"
#include "coordinator/config_impl.h"
#include "coordinator/config_yaml.h"

static enum status fail_unknown_command(const char *name) {
    for (int command = COMMAND_NONE + 1; config_command_text(command); command++) {
        const char *known = config_command_text(command)->name;
        if (edit_distance_is_near(name, known))
            return FAIL(STATUS_BAD_INPUT, "'%s' is no command; did you mean '%s'?", name, known);
    }
    return FAIL(STATUS_BAD_INPUT, "'%s' is no command; 'caucus --help' lists those that exist", name);
}

/* argv[1], where it is no option. Sets how many arguments precede the options. */
static enum status parse_command(int argc, char *const *argv, enum command *command_out, int *n_before_out) {
    *command_out = COMMAND_NONE;
    *n_before_out = argc > 0;
    if (argc < 2) return FAIL(STATUS_BAD_INPUT, "no command given; 'caucus --help' lists those that exist");
    if (argv[1][0] == '-') return STATUS_OK;
    for (int command = COMMAND_NONE + 1; config_command_text(command); command++) {
        if (strcmp(argv[1], config_command_text(command)->name) != 0) continue;
        *command_out = command;
        *n_before_out = 2;
        return STATUS_OK;
    }
    return fail_unknown_command(argv[1]);
}

static bool is_timing(const struct config *config) {
    return config->command == COMMAND_BENCH || config->command == COMMAND_SCALE;
}

static enum status check_lists(const struct config *config) {
    const bool several =
        is_timing(config) || config->command == COMMAND_EVAL || config->command == COMMAND_SIMULATE;
    if (config->n_thread_counts > 1 && !is_timing(config))
        return FAIL(STATUS_BAD_INPUT, "--threads: one number is wanted; only bench takes several");
    if (several) return STATUS_OK;
    if (config->n_budgets > 1)
        return FAIL(STATUS_BAD_INPUT, "--budget: one number is wanted; only bench and eval take several");
    if (config->command == COMMAND_RUN && config->n_depths > 1)
        return FAIL(STATUS_BAD_INPUT, "--fill-kv: one number is wanted; only bench takes several");
    if (strchr(config->policy, ','))
        return FAIL(STATUS_BAD_INPUT, "--policy: one name is wanted; only bench and eval take several");
    if (strlen(config->policy) < ENGINE_NAME_MAX) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT, "--policy: the value has %zu bytes; at most %d are allowed",
                strlen(config->policy), ENGINE_NAME_MAX - 1);
}

static bool is_standard_output(const char *path) {
    return path && strcmp(path, "-") == 0;
}

static enum status check_trace(const struct config *config) {
    const bool recording = !config->draw;
    if (is_standard_output(config->svg) && is_standard_output(config->html))
        return FAIL(STATUS_BAD_INPUT, "--svg and --html cannot both be standard output");
    if (recording && (is_standard_output(config->svg) || is_standard_output(config->html)))
        return FAIL(STATUS_BAD_INPUT,
                    "standard output has the answer: name a file to draw to, or draw to - with "
                    "--draw FILE when it is recorded");
    if (config->prompts.n > 1)
        return FAIL(STATUS_BAD_INPUT, "--prompt: one is wanted; only run and tokenize take several");
    if (recording && is_standard_output(config->output))
        return FAIL(STATUS_BAD_INPUT,
                    "name the file to record in with --output FILE (standard output has the answer), or draw "
                    "one with --draw FILE");
    if (!recording && (config->prompts.n > 0 || config->prompt_file || !is_standard_output(config->output)))
        return FAIL(STATUS_BAD_INPUT,
                    "--draw reads a trace that is there: leave out --prompt, --file and --output");
    if (!recording && !config->svg && !config->html)
        return FAIL(STATUS_BAD_INPUT, "--draw: name what to draw to with --svg FILE or --html FILE");
    return STATUS_OK;
}

static enum status check_eval(const struct config *config) {
    if (config->summary_only) return STATUS_OK;
    if (config->problems.n == 0)
        return FAIL(STATUS_BAD_INPUT, "no problems given; name a file of JSON lines with --problems FILE");
    if (!config->results)
        return FAIL(STATUS_BAD_INPUT,
                    "name the file that the results go to, and are gone on from, with --results FILE");
    return STATUS_OK;
}

/* What is in the journal is not computed again. */
static enum status check_journal(const struct config *config) {
    if (!config->journal) return STATUS_OK;
    if (config->interactive)
        return FAIL(STATUS_BAD_INPUT, "--interactive and --journal cannot be given together");
    if (config->logprobs >= 0)
        return FAIL(STATUS_BAD_INPUT,
                    "--logprobs and --journal cannot be given together: it keeps tokens, not probabilities");
    if (config->probe != PROBE_NONE)
        return FAIL(STATUS_BAD_INPUT,
                    "--probe and --journal cannot be given together: steps of an earlier run are not probed");
    return STATUS_OK;
}

/* Tokens can be computed again, but not what is seen or filled in beside them. */
static enum status check_lost_ranks(const struct config *config) {
    if (config->lost_ranks == 0) return STATUS_OK;
    if (config->probe != PROBE_NONE)
        return FAIL(STATUS_BAD_INPUT, "--probe and --lost-ranks cannot be given together");
    if (config->fill_kv > 0)
        return FAIL(STATUS_BAD_INPUT, "--fill-kv and --lost-ranks cannot be given together");
    return STATUS_OK;
}

static enum status check_supervise(const struct config *config) {
    if (config->supervised && config->supervised[0]) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT,
                "name the command to supervise: caucus supervise -- mpirun -n 4 caucus eval ...");
}

static enum status read_check(struct config *config) {
    static const char prefix[] = "every=";
    if (!config->check) return STATUS_OK;
    char *end = NULL;
    const bool named = strncmp(config->check, prefix, sizeof prefix - 1) == 0;
    const char *digits = named ? config->check + sizeof prefix - 1 : "";
    const long n = strtol(digits, &end, 10);
    if (*digits < '1' || *digits > '9' || *end != '\0' || n > INT32_MAX)
        return FAIL(STATUS_BAD_INPUT, "--check: '%s' is not every=N, with N from 1 to %d", config->check,
                    INT32_MAX);
    config->check_every = (int32_t)n;
    return STATUS_OK;
}

static enum status read_shares(struct config *config) {
    if (!config->shares_text) return STATUS_OK;
    config->measures_shares = strcmp(config->shares_text, "auto") == 0;
    if (config->measures_shares && config->command == COMMAND_PLAN)
        return FAIL(STATUS_BAD_INPUT,
                    "--shares auto measures the ranks, which plan does not start: give it numbers");
    return config->measures_shares ? STATUS_OK : shares_parse(config->shares_text, &config->shares);
}

/* What depends on more than one option. */
static enum status check_together(const struct config *config) {
    if (config->command == COMMAND_SUPERVISE) return check_supervise(config);
    if (config->command == COMMAND_NONE)
        return FAIL(STATUS_BAD_INPUT, "no command given; 'caucus --help' lists those that exist");
    if (config->command == COMMAND_TRACE) TRY(check_trace(config));
    if (config->command == COMMAND_EVAL) TRY(check_eval(config));
    if (!config->model && !config->draw && !config->summary_only)
        return FAIL(STATUS_BAD_INPUT,
                    "no model given; name a Hugging Face folder or a .gguf file with -m PATH "
                    "or CAUCUS_MODEL");
    TRY(check_lists(config));
    if (config->json && !config->thinking_output)
        return FAIL(STATUS_BAD_INPUT,
                    "--no-thinking-output has no place beside --json, whose text is the whole answer");
    if (config->max_tokens == 0)
        return FAIL(STATUS_BAD_INPUT,
                    "--max-tokens 0 leaves nothing to do; -1 goes on until the context is full");
    if (config->timeout > 0 && config->timeout < 1)
        return FAIL(STATUS_BAD_INPUT, "--timeout %g is too short; it must be 0 (none) or from 1 second",
                    config->timeout);
    if (config->wire == ALLREDUCE_WIRE_BF16 && config->numerics == NUMERICS_REPRODUCIBLE)
        return FAIL(
            STATUS_BAD_INPUT,
            "--wire bf16 rounds sums, and --numerics reproducible does not; it goes with --numerics fast");
    if (config->prompts.n > 0 && config->prompt_file)
        return FAIL(STATUS_BAD_INPUT, "--prompt and --file cannot be given together");
    if (config->interactive && (config->prompts.n > 0 || config->prompt_file))
        return FAIL(STATUS_BAD_INPUT, "--interactive asks for the prompts: leave out --prompt and --file");
    if (config->interactive && config->fill_kv > 0)
        return FAIL(STATUS_BAD_INPUT, "--interactive and --fill-kv cannot be given together");
    if (config->interactive && config->json)
        return FAIL(STATUS_BAD_INPUT, "--interactive and --json cannot be given together");
    if (config->command == COMMAND_RUN && config->logprobs >= 0 && !config->json)
        return FAIL(STATUS_BAD_INPUT, "--logprobs has no place in plain text; it needs --json");
    if (config->command == COMMAND_RUN) TRY(check_journal(config));
    return check_lost_ranks(config);
}

static int32_t sequences_side_by_side(const struct config *config) {
    int64_t most = 0;
    for (size_t i = 0; i < config->n_parallel_counts; i++)
        most = larger_i64(most, config->parallel_counts[i]);
    if (is_timing(config)) return (int32_t)most;
    if (config->parallel > 0 || config->command == COMMAND_EVAL) return config->parallel;
    if (config->prompts.n > CONFIG_MAX_PARALLEL) return CONFIG_MAX_PARALLEL;
    return config->prompts.n > 1 ? (int32_t)config->prompts.n : 1;
}

/* The arguments are read twice: first to know whether help is wanted and which file to read, and at the end
 * because they override file and environment. */
static enum status read_sources(struct config *config, struct options *options, int argc,
                                const char *const *argv, const char *const *environment) {
    TRY(options_parse_arguments(options, config->command, argc, argv));
    if (config->help || config->version) return STATUS_OK;
    if (config->config_file) TRY(config_yaml_read(options, config->config_file));
    TRY(options_parse_environment(options, environment));
    TRY(options_parse_arguments(options, config->command, argc, argv));
    config->parallel = sequences_side_by_side(config);
    config->budget = (int32_t)config->budgets[0];
    config->threads = (int32_t)config->thread_counts[0];
    config->fill_kv = config->depths[0];
    TRY(read_check(config));
    TRY(read_shares(config));
    return check_together(config);
}

/* The command to supervise begins behind "--", or with the first word that is no option or its value; it has
 * options of its own. Returns how many arguments come before. */
static int split_at_command(const struct options *options, int argc, char *const *argv, int n_before,
                            char *const **rest_out) {
    for (int i = n_before; i < argc; i++) {
        const bool is_dashes = strcmp(argv[i], "--") == 0;
        if (is_dashes || argv[i][0] != '-') {
            *rest_out = argv + i + is_dashes;
            return i;
        }
        const struct option *option = options_find(options, argv[i] + strspn(argv[i], "-")).option;
        if (option && option->metavar) i++;
    }
    return argc;
}

enum status config_parse(int argc, char *const *argv, char *const *environment, struct config *config_out) {
    *config_out = (struct config){0};
    int n_before = 0;
    TRY(parse_command(argc, argv, &config_out->command, &n_before));
    struct options *options = NULL;
    TRY(options_create(&config_table, config_out, &options));
    config_out->memory = options;
    if (config_out->command == COMMAND_SUPERVISE)
        argc = split_at_command(options, argc, argv, n_before, &config_out->supervised);
    const enum status status =
        read_sources(config_out, options, argc - n_before, (const char *const *)argv + n_before,
                     (const char *const *)environment);
    if (status != STATUS_OK) config_free(config_out);
    return status;
}

void config_free(struct config *config) {
    options_destroy(config->memory);
    *config = (struct config){0};
}
