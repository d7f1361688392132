/* coordinator/config_impl.h - the tables behind config.h. */
#pragma once

#include "base/options.h"
#include "coordinator/config.h"

extern const struct option_table config_table;

struct command_text {
    const char *name;
    const char *summary; /* one line */
    const char *usage;   /* what stands behind "caucus NAME" */
    const char *about;
    const char *examples;
};

/* NULL past the last command. */
const struct command_text *config_command_text(enum command command);
