/* coordinator/json_print.h - JSON for standard output.
 *
 * Memory:  consumes the value it is given.
 * Threads: one at a time.
 * Ranks:   rank 0 only. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/status.h"

/* One line (or `indented`), reals with 15 digits. NULL, what jansson's constructors give when memory ends:
 * STATUS_NO_MEMORY. */
NODISCARD enum status json_print(json_t *value, bool indented);
