/* coordinator/config_yaml.h - options from a YAML file.
 *
 * One document, one flat mapping: "name: value" or "name: [value, …]". Everything else, a name given twice
 * included, is refused with file and line.
 *
 * Memory:  values are copied by the options.
 * Threads: one at a time.
 * Ranks:   rank 0 only. */
#pragma once

#include <stddef.h>

#include "base/options.h"
#include "base/status.h"

/* The file as the next source of `options`. */
NODISCARD enum status config_yaml_read(struct options *options, const char *path);

/* The same from memory; `path` is for messages. */
NODISCARD enum status config_yaml_parse(struct options *options, const char *data, size_t size,
                                        const char *path);
