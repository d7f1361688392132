#include "coordinator/scale_launch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "base/subprocess.h"
#include "coordinator/config_impl.h"

enum { MOST_WORDS = 1024 };

/* The words of a command, each a string behind the other in one buffer. */
struct words {
    struct bytes text;
    size_t begins[MOST_WORDS];
    size_t n;
};

/* ---- the command ---- */

static enum status add_word(struct words *words, const char *text, size_t size) {
    if (words->n == MOST_WORDS) return FAIL(STATUS_BAD_INPUT, "the launcher and options have too many words");
    words->begins[words->n++] = words->text.size;
    TRY(bytes_append(&words->text, text, size));
    return bytes_append(&words->text, "", 1);
}

static enum status add_text(struct words *words, const char *text) {
    return add_word(words, text, strlen(text));
}

static enum status add_launcher(struct words *words, const struct config *config, int32_t n_ranks) {
    char number[16];
    for (const char *word = config->launcher; *word;) {
        word += strspn(word, " ");
        const size_t size = strcspn(word, " ");
        if (size > 0) TRY(add_word(words, word, size));
        word += size;
    }
    if (words->n == 0) return FAIL(STATUS_BAD_INPUT, "--launcher has no words");
    snprintf(number, sizeof number, "%d", n_ranks);
    TRY(add_text(words, "-n"));
    return add_text(words, number);
}

static enum status add_program(struct words *words) {
    char path[FILE_PATH_MAX];
    const ssize_t size = readlink("/proc/self/exe", path, sizeof path);
    if (size < 0 || (size_t)size >= sizeof path)
        return FAIL(STATUS_IO, "cannot find this program's own file: %s", strerror(errno));
    return add_word(words, path, (size_t)size);
}

/* "--name=value" */
static enum status add_option(struct words *words, const char *name, const char *value) {
    if (words->n == MOST_WORDS) return FAIL(STATUS_BAD_INPUT, "the launcher and options have too many words");
    words->begins[words->n++] = words->text.size;
    TRY(bytes_printf(&words->text, "--%s=%s", name, value));
    return bytes_append(&words->text, "", 1);
}

static enum status add_given(struct words *words, const struct config *config, const struct option *option) {
    struct bytes value = {0};
    enum status status = option_value_print(option, config, &value);
    if (status == STATUS_OK) status = add_option(words, option->name, value.data ? value.data : "");
    bytes_free(&value);
    return status;
}

/* Those that scale gives bench in its own way. */
static bool is_own(const struct option *option) {
    static const char *const own[] = {"repetitions", "output-format", "fill-kv", "pg", "verbose"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strcmp(option->name, own[i]) == 0) return true;
    return false;
}

/* What was given on the command line or in a file; the environment reaches bench by itself, but may say
 * otherwise than these. */
static enum status add_given_options(struct words *words, const struct config *config) {
    for (size_t g = 0; g < config_table.n_groups; g++) {
        const struct option_group *group = config_table.groups[g];
        for (size_t i = 0; i < group->n; i++) {
            const struct option *option = &group->options[i];
            if (!(option->commands & 1u << COMMAND_BENCH) || option->only_arguments || is_own(option))
                continue;
            if (options_was_given(config->memory, option)) TRY(add_given(words, config, option));
        }
    }
    for (size_t i = 0; i < config->prompt_and_generation.n; i++)
        TRY(add_option(words, "pg", config->prompt_and_generation.items[i]));
    return STATUS_OK;
}

static enum status add_depths(struct words *words, const struct config *config, int32_t n_ranks) {
    struct bytes depths = {0};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < config->n_depths && status == STATUS_OK; i++)
        status = bytes_printf(&depths, "%s%lld", i > 0 ? "," : "",
                              (long long)config->depths[i] * (config->weak ? n_ranks : 1));
    if (status == STATUS_OK) status = add_option(words, "fill-kv", depths.data);
    bytes_free(&depths);
    return status;
}

static enum status build_command(const struct config *config, int32_t n_ranks, struct words *words) {
    TRY(add_launcher(words, config, n_ranks));
    TRY(add_program(words));
    TRY(add_text(words, "bench"));
    TRY(add_given_options(words, config));
    if (!config->sweep_depth) TRY(add_depths(words, config, n_ranks));
    TRY(add_option(words, "repetitions", "1"));
    return add_option(words, "output-format", "jsonl");
}

/* ---- the run ---- */

static enum status run_words(struct words *words, struct bytes *output) {
    char *argv[MOST_WORDS + 1];
    int exit_status = 0;
    for (size_t i = 0; i < words->n; i++)
        argv[i] = words->text.data + words->begins[i];
    argv[words->n] = NULL;
    setenv("OMPI_MCA_orte_execute_quiet", "1", 0); /* what bench says of a mistake is enough */
    const enum status status =
        subprocess_run(&(struct subprocess){.argv = argv, .output = output}, &exit_status);
    if (status == STATUS_BAD_INPUT)
        return FAIL(STATUS_BAD_INPUT, "cannot run '%s'; name what starts MPI programs with --launcher",
                    argv[0]);
    if (status != STATUS_OK || exit_status == 0) return status;
    for (size_t i = 0; i + 1 < words->n; i++)
        words->text.data[words->begins[i + 1] - 1] = ' ';
    return FAIL(exit_status == status_exit_code(STATUS_BAD_INPUT) ? STATUS_BAD_INPUT : STATUS_INTERNAL,
                "exit status %d of %.900s", exit_status, words->text.data);
}

/* Launchers may print lines of their own. */
static enum status add_records(const struct config *config, int32_t n_ranks, const struct bytes *output,
                               struct scale_study *study) {
    size_t n = 0;
    for (const char *line = output->data ? output->data : ""; *line;) {
        const size_t size = strcspn(line, "\n");
        json_t *record = *line == '{' ? json_loadb(line, size, 0, NULL) : NULL;
        const enum status status = record ? scale_study_add(study, config, n_ranks, record) : STATUS_OK;
        n += record != NULL;
        json_decref(record);
        TRY(status);
        line += size + (line[size] == '\n');
    }
    if (n > 0) return STATUS_OK;
    return FAIL(STATUS_BAD_INPUT,
                "bench on %d rank%s printed no measurement: does '%s' show what its ranks print?", n_ranks,
                n_ranks == 1 ? "" : "s", config->launcher);
}

enum status scale_launch(const struct config *config, int32_t n_ranks, struct scale_study *study) {
    struct words *words = calloc(1, sizeof *words);
    if (!words) return FAIL(STATUS_NO_MEMORY, "out of memory for a command");
    struct bytes output = {0};
    enum status status = build_command(config, n_ranks, words);
    if (status == STATUS_OK) status = run_words(words, &output);
    if (status == STATUS_OK) status = add_records(config, n_ranks, &output, study);
    bytes_free(&output);
    bytes_free(&words->text);
    free(words);
    return status;
}
