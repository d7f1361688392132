/* Two sources of options: arguments and environment. */
#include "base/option_impl.h"

#include <ctype.h>
#include <string.h>

enum { MAX_NAME = 64 };

struct arguments {
    struct options *options;
    int command;
    int argc;
    const char *const *argv;
    int next; /* index of the argument to read next */
};

static enum status fail_unknown(const struct arguments *arguments, const char *argument, const char *name) {
    const char *suggestion = options_suggest(arguments->options, arguments->command, name);
    if (!suggestion)
        return FAIL(STATUS_BAD_INPUT, "%s: unknown option; --help lists those that exist", argument);
    return FAIL(STATUS_BAD_INPUT, "%s: unknown option; did you mean --%s?", argument, suggestion);
}

/* An option that exists, but under another command. */
static enum status fail_elsewhere(const struct arguments *arguments, const struct option *option) {
    const char *const *names = arguments->options->table->command_names;
    int other = 0;
    while (names[other] && !(option->commands & 1u << other))
        other++;
    return FAIL(STATUS_BAD_INPUT, "--%s: '%s' does not take this option; '%s' does", option->name,
                names[arguments->command], names[other]);
}

/* Hands the option its value: the text given with it, else the next argument. */
static enum status take_value(struct arguments *arguments, struct option_match match, const char *value) {
    const struct option *option = match.option;
    char label[MAX_NAME + 8];
    snprintf(label, sizeof label, "--%s%s", match.negated ? "no-" : "", option->name);
    if (!value && option_takes_value(option)) {
        if (arguments->next == arguments->argc)
            return FAIL(STATUS_BAD_INPUT, "%s: the value is missing; write %s %s", label, label,
                        option->metavar);
        value = arguments->argv[arguments->next++];
    }
    return options_set(arguments->options, match, value, label);
}

/* --name or --name=value */
static enum status parse_long(struct arguments *arguments, const char *argument) {
    const char *equals = strchr(argument, '=');
    const size_t size = equals ? (size_t)(equals - argument) : strlen(argument);
    char label[MAX_NAME];
    if (size >= sizeof label) return FAIL(STATUS_BAD_INPUT, "%.40s…: unknown option", argument);
    memcpy(label, argument, size);
    label[size] = '\0';

    const char *name = label + 2;
    const struct option_match match = options_find(arguments->options, name);
    if (!match.option) return fail_unknown(arguments, label, name);
    if (!(match.option->commands & 1u << arguments->command)) return fail_elsewhere(arguments, match.option);
    return take_value(arguments, match, equals ? equals + 1 : NULL);
}

/* The same letter may mean different options of different commands. */
static const struct option *find_letter(const struct arguments *arguments, char letter) {
    const struct option_table *table = arguments->options->table;
    for (size_t i = 0; i < option_count(table); i++) {
        const struct option *option = option_at(table, i);
        if (option->letter == letter && option->commands & 1u << arguments->command) return option;
    }
    return NULL;
}

/* "-pg": a name of two letters may stand behind one dash. */
static const struct option *find_two_letters(const struct arguments *arguments, const char *argument) {
    if (strlen(argument) != 3) return NULL;
    const struct option *option = options_find(arguments->options, argument + 1).option;
    return option && option->commands & 1u << arguments->command ? option : NULL;
}

/* -x, -xVALUE, or several flags -xyz */
static enum status parse_letters(struct arguments *arguments, const char *argument) {
    const struct option *two_letters = find_two_letters(arguments, argument);
    if (two_letters) return take_value(arguments, (struct option_match){.option = two_letters}, NULL);
    for (const char *letter = argument + 1; *letter; letter++) {
        const struct option_match match = {.option = find_letter(arguments, *letter)};
        if (!match.option) return fail_unknown(arguments, argument, argument + 1);
        const char *rest = letter[1] && option_takes_value(match.option) ? letter + 1 : NULL;
        TRY(take_value(arguments, match, rest));
        if (option_takes_value(match.option)) break;
    }
    return STATUS_OK;
}

static enum status fail_stray(const char *argument) {
    return FAIL(STATUS_BAD_INPUT, "'%s': unexpected argument; a value belongs behind its option", argument);
}

enum status options_parse_arguments(struct options *options, int command, int argc, const char *const *argv) {
    struct arguments arguments = {.options = options, .command = command, .argc = argc, .argv = argv};
    options_begin_source(options);
    while (arguments.next < argc) {
        const char *argument = argv[arguments.next++];
        if (strcmp(argument, "--") == 0)
            return arguments.next < argc ? fail_stray(argv[arguments.next]) : STATUS_OK;
        if (strncmp(argument, "--", 2) == 0)
            TRY(parse_long(&arguments, argument));
        else if (argument[0] == '-' && argument[1])
            TRY(parse_letters(&arguments, argument));
        else
            return fail_stray(argument);
    }
    return STATUS_OK;
}

/* "TOP_P" as "top-p" and back. */
static void swap_case(char *name, bool upper) {
    for (; *name; name++) {
        if (upper)
            *name = *name == '-' ? '_' : (char)toupper((unsigned char)*name);
        else
            *name = *name == '_' ? '-' : (char)tolower((unsigned char)*name);
    }
}

static enum status fail_unknown_variable(const struct options *options, const char *variable,
                                         const char *name) {
    const char *suggestion = options_suggest(options, OPTIONS_ANY_COMMAND, name);
    if (!suggestion) return FAIL(STATUS_BAD_INPUT, "%s: this environment variable names no option", variable);
    char spelt[MAX_NAME];
    snprintf(spelt, sizeof spelt, "%s", suggestion);
    swap_case(spelt, true);
    return FAIL(STATUS_BAD_INPUT, "%s: this environment variable names no option; did you mean %s%s?",
                variable, options->table->environment_prefix, spelt);
}

/* variable: "PREFIX_TOP_P=0.9", split at the first '='. */
static enum status parse_variable(struct options *options, const char *variable, const char *value) {
    char label[MAX_NAME], name[MAX_NAME];
    const size_t size = (size_t)(value - variable);
    if (size >= sizeof label)
        return FAIL(STATUS_BAD_INPUT, "%.40s…: this environment variable names no option", variable);
    memcpy(label, variable, size);
    label[size] = '\0';
    snprintf(name, sizeof name, "%s", label + strlen(options->table->environment_prefix));
    swap_case(name, false);

    const struct option_match match = options_find(options, name);
    if (!match.option || match.option->only_arguments) return fail_unknown_variable(options, label, name);
    return value[1] ? options_set(options, match, value + 1, label) : STATUS_OK;
}

enum status options_parse_environment(struct options *options, const char *const *environment) {
    const char *prefix = options->table->environment_prefix;
    const char *ignored = options->table->environment_ignored;
    options_begin_source(options);
    for (; *environment; environment++) {
        const char *value = strchr(*environment, '=');
        if (!value || strncmp(*environment, prefix, strlen(prefix)) != 0) continue;
        if (ignored && strncmp(*environment, ignored, strlen(ignored)) == 0) continue;
        TRY(parse_variable(options, *environment, value));
    }
    return STATUS_OK;
}
