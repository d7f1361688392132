#include "base/options.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/edit_distance.h"
#include "base/option_impl.h"

size_t option_count(const struct option_table *table) {
    size_t n = 0;
    for (size_t g = 0; g < table->n_groups; g++)
        n += table->groups[g]->n;
    return n;
}

const struct option *option_at(const struct option_table *table, size_t index) {
    size_t g = 0;
    for (; index >= table->groups[g]->n; g++)
        index -= table->groups[g]->n;
    return &table->groups[g]->options[index];
}

static enum status set_initial_values(struct options *options) {
    const struct option_table *table = options->table;
    for (size_t i = 0; i < option_count(table); i++) {
        const struct option *option = option_at(table, i);
        if (option->initial) TRY(option_value_parse(options, option, option->initial, option->name, false));
    }
    return STATUS_OK;
}

enum status options_create(const struct option_table *table, void *target, struct options **options_out) {
    struct options *options = calloc(1, sizeof *options);
    if (!options) return FAIL(STATUS_NO_MEMORY, "out of memory for the options");
    *options = (struct options){.table = table, .target = target, .source = 1};

    enum status status;
    TRY_GOTO(arena_create("the options", &options->arena), destroy);
    TRY_GOTO(ARENA_TAKE(options->arena, option_count(table), &options->set_by), destroy);
    TRY_GOTO(set_initial_values(options), destroy);
    *options_out = options;
    return STATUS_OK;

destroy:
    options_destroy(options);
    return status;
}

void options_destroy(struct options *options) {
    if (!options) return;
    arena_destroy(options->arena);
    free(options);
}

static bool is_called(const struct option *option, const char *name) {
    return strcmp(option->name, name) == 0 || (option->alias && strcmp(option->alias, name) == 0);
}

struct option_match options_find(const struct options *options, const char *name) {
    const bool negated = strncmp(name, "no-", 3) == 0;
    for (size_t i = 0; i < option_count(options->table); i++) {
        const struct option *option = option_at(options->table, i);
        if (is_called(option, name)) return (struct option_match){option, false};
        if (negated && option->kind == OPTION_FLAG && is_called(option, name + 3))
            return (struct option_match){option, true};
    }
    return (struct option_match){NULL, false};
}

static bool is_allowed(const struct option *option, int command) {
    return command == OPTIONS_ANY_COMMAND ? !option->only_arguments : option->commands & 1u << command;
}

const char *options_suggest(const struct options *options, int command, const char *name) {
    const char *nearest = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < option_count(options->table); i++) {
        const struct option *option = option_at(options->table, i);
        const size_t distance = edit_distance(name, option->name);
        if (!is_allowed(option, command) || distance >= least) continue;
        if (!edit_distance_is_near(name, option->name)) continue;
        nearest = option->name;
        least = distance;
    }
    return nearest;
}

void options_begin_source(struct options *options) {
    options->source++;
}

static uint32_t *set_by(const struct options *options, const struct option *option) {
    size_t i = 0;
    while (option_at(options->table, i) != option)
        i++;
    return &options->set_by[i];
}

bool options_is_set(const struct options *options, const struct option *option) {
    return *set_by(options, option) == options->source;
}

bool options_was_given(const struct options *options, const struct option *option) {
    return *set_by(options, option) != 0;
}

enum status options_set(struct options *options, struct option_match match, const char *value,
                        const char *label) {
    const struct option *option = match.option;
    CHECK(option && (value || !option_takes_value(option)));
    if (!options_is_set(options, option)) option_value_clear(options, option);
    *set_by(options, option) = options->source;
    if (!match.negated) return option_value_parse(options, option, value, label, true);

    bool negation = true;
    if (value) TRY(option_parse_bool(value, label, &negation));
    return option_value_parse(options, option, negation ? "false" : "true", label, true);
}
