/* base/option_impl.h - what the files of base/option*.c share. */
#pragma once

#include "base/arena.h"
#include "base/options.h"

struct options {
    const struct option_table *table;
    void *target;
    struct arena *arena;
    uint32_t source;  /* number of the present source, from 1 */
    uint32_t *set_by; /* [option_count] the last source that set it, 0: none */
};

/* All options of a table, group after group. */
size_t option_count(const struct option_table *table);
const struct option *option_at(const struct option_table *table, size_t index);

/* Does --name take a value on the command line? */
bool option_takes_value(const struct option *option);

/* Reads `value` into the option's field; `limited` says whether its bounds count. */
NODISCARD enum status option_value_parse(struct options *options, const struct option *option,
                                         const char *value, const char *label, bool limited);

/* Empties a list or count before the first value of a source. */
void option_value_clear(struct options *options, const struct option *option);

/* "true", "no", "1" … into a bool. */
NODISCARD enum status option_parse_bool(const char *value, const char *label, bool *value_out);
