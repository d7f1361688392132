/* base/options.h - options of a program as one table: the command line, the environment, pairs of a
 * configuration file and --help all come from it.
 *
 * An option fills one field of a plain struct, the target. Sources are applied one after the other and the
 * later one wins: options_begin_source(), then options_set() for each value found. Within a source a scalar
 * may be repeated (the last counts) and a list grows; the first value of a new source replaces a list.
 *
 * Memory:  the table is static; texts and lists live as long as the struct options.
 * Threads: one at a time.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

enum option_kind {                /* the field */
                   OPTION_FLAG,   /* bool: --name, --no-name; true/false, yes/no, on/off, 1/0 as a value */
                   OPTION_COUNT,  /* int32_t: how often it was given (-vv), or the number given as a value */
                   OPTION_INT32,  /* int32_t */
                   OPTION_INT64,  /* int64_t */
                   OPTION_UINT64, /* uint64_t; any value */
                   OPTION_FLOAT,  /* double, finite */
                   OPTION_TEXT,   /* const char *, UTF-8; min and max are its bytes, max 0 is no limit */
                   OPTION_PATH,   /* const char *, any bytes; likewise */
                   OPTION_CHOICE, /* an enum, one of `choices` by name */
                   OPTION_TEXT_LIST,    /* struct text_list; repeated, each like OPTION_TEXT */
                   OPTION_INT32_VECTOR, /* int32_t [capacity], int32_t at count_offset; comma-separated */
                   OPTION_INT64_LIST,   /* int64_t *, size_t at count_offset; comma-separated */
                   OPTION_INT64_RANGES, /* likewise, each part a base/integer_range.h */
};

struct text_list {
    const char **items; /* [n] */
    size_t n;
};

struct option_choice { /* the array ends with name NULL */
    const char *name;
    int value;
};

struct option {
    const char *name;  /* "top-p": --top-p, top-p in a file, PREFIX_TOP_P in the environment */
    const char *alias; /* another long name, or NULL */
    char letter;       /* -x, or 0 */
    enum option_kind kind;
    size_t offset;       /* of the field in the target */
    size_t count_offset; /* lists of numbers: of the field with their number */
    int32_t capacity;    /* OPTION_INT32_VECTOR, OPTION_INT64_RANGES: most numbers */
    double min, max;     /* numbers, both allowed; max INFINITY: as much as the field holds */
    const struct option_choice *choices;
    const char *initial;     /* as a user would write it, but not held to the bounds; NULL: zero */
    const char *initial_doc; /* what --help says of the default; NULL: `initial` itself */
    const char *metavar;     /* the value's name in --help; NULL for flags and counts */
    const char *doc;         /* a flag that begins true: what --no-name does */
    uint32_t commands;       /* bit c: command c takes it on its command line */
    bool only_arguments;     /* not in files and environment (--help) */
};

/* Options that --help shows together. */
struct option_group {
    const char *name;
    const struct option *options; /* [n] */
    size_t n;
};

struct option_table {
    const struct option_group *const *groups; /* [n_groups], in the order of --help */
    size_t n_groups;
    const char *const *command_names; /* by the bits of option.commands, NULL at the end */
    const char *environment_prefix;   /* "PROGRAM_" */
    const char *environment_ignored;  /* variables with this longer prefix are somebody else's */
};

struct options;

/* Sets every field to its initial value. `table` and `target` are kept. */
NODISCARD enum status options_create(const struct option_table *table, void *target,
                                     struct options **options_out);
void options_destroy(struct options *options); /* NULL is allowed */

/* An option as some source spelt it: by name, alias, or "no-" before the name of a flag. */
struct option_match {
    const struct option *option; /* NULL: none */
    bool negated;
};
struct option_match options_find(const struct options *options, const char *name);

/* The nearest name among the options of a command's line, or with OPTIONS_ANY_COMMAND among those of files
 * and environment; NULL where none is near. Valid as long as the table. */
enum { OPTIONS_ANY_COMMAND = -1 };
const char *options_suggest(const struct options *options, int command, const char *name);

/* From here on values come from another source, which overrides the ones before. */
void options_begin_source(struct options *options);

/* Did this source give it already? */
bool options_is_set(const struct options *options, const struct option *option);

/* Did any source? */
bool options_was_given(const struct options *options, const struct option *option);

/* Appends the option's value in `target` as text that would set it; parts of lists with commas between. */
struct bytes;
NODISCARD enum status option_value_print(const struct option *option, const void *target, struct bytes *text);

/* Gives the option a value; NULL is a flag or count without one. What is wrong with it becomes
 * STATUS_BAD_INPUT, "LABEL: …". */
NODISCARD enum status options_set(struct options *options, struct option_match match, const char *value,
                                  const char *label);

/* A whole source: GNU style arguments (--name VALUE, --name=VALUE, -xVALUE, -vv, --, and -xy for an option
 * whose whole name is xy), or the variables with the table's prefix (an empty one counts as unset). `command`
 * is the bit number of the command that runs. */
NODISCARD enum status options_parse_arguments(struct options *options, int command, int argc,
                                              const char *const *argv);
NODISCARD enum status options_parse_environment(struct options *options, const char *const *environment);

/* The options of one command by group, wrapped to 100 columns. */
void options_print_help(const struct option_table *table, int command, FILE *file);
