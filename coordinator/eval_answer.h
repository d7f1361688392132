/* coordinator/eval_answer.h - finds the answer in a model's text, and says whether it is the expected one.
 *
 * Memory:  what is found lies in the text.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct eval_answer {
    const char *text; /* [size], not NUL-terminated; NULL: the text has no answer */
    size_t size;
};

/* The content of the last \boxed{…} that is closed, wherever it is; else the last line that is not blank,
 * from its last "####" on where it has one: of what follows the last </think>, or of the whole text where it
 * has no think block. A think block that never ends has no answer but a boxed one. Spaces around it are left
 * out. Any bytes; the cost is linear. `thinking`: the prompt has opened the think block already. */
struct eval_answer eval_answer_find(const char *text, size_t size, bool thinking);

/* Equal as numbers, or in canonical form (eval_canonical.h); lists and tuples part by part; "x = 5" is 5
 * where only one of the two has a name. No answer is never right. */
NODISCARD enum status eval_answer_check(struct eval_answer answer, const char *expected, bool *right_out);
