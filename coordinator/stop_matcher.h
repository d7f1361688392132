/* coordinator/stop_matcher.h - ends streamed text before the first of many stop strings.
 *
 * An Aho-Corasick automaton ("Efficient string matching: an aid to bibliographic search", CACM 1975): the
 * cost is linear in the text, however many stop strings there are and however the text is cut into pushes.
 * Text that may be the beginning of a stop string is withheld; it is the path to the automaton's state, so
 * nothing is buffered. Where text and stop strings are UTF-8, whole characters in are whole characters out.
 *
 * Memory:  the matcher copies the stop strings; text is appended to the caller's bytes.
 * Threads: one at a time per matcher.
 * Ranks:   local. */
#pragma once

#include <stddef.h>

#include "base/bytes.h"
#include "base/status.h"

struct stop_matcher;

/* No stop strings (n = 0) is allowed; an empty one: STATUS_BAD_INPUT. */
NODISCARD enum status stop_matcher_create(const char *const *stops, size_t n,
                                          struct stop_matcher **matcher_out);
void stop_matcher_destroy(struct stop_matcher *matcher); /* NULL is allowed */

/* Appends to `safe` what can be printed. The stop string that is complete first matches; of several
 * complete at the same byte, the longest. It and all that follows are swallowed. */
NODISCARD enum status stop_matcher_push(struct stop_matcher *matcher, const char *text, size_t size,
                                        struct bytes *safe);

/* The text has ended: appends what was withheld. */
NODISCARD enum status stop_matcher_finish(struct stop_matcher *matcher, struct bytes *safe);

/* The stop string that matched; NULL while none has. */
const char *stop_matcher_match(const struct stop_matcher *matcher);
