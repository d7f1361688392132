/* coordinator/eval_canonical.h - an answer without what does not matter: spaces, dollar, percent and degree
 * signs, LaTeX's \left and \text and thin spaces, units, thousands' commas, a full stop at the end.
 *
 *   "$32,\!348"           32348             "\dfrac 34"            \frac{3}{4}
 *   "\text{Evelyn}"       Evelyn            "15 \mbox{ cm}^2"      15
 *   "(C)"                 C                 "x^{2}"                x^2
 *
 * Memory:  fills the caller's bytes.
 * Threads: any.
 * Ranks:   local. */
#pragma once

#include <stddef.h>

#include "base/bytes.h"
#include "base/status.h"

/* Any bytes; the cost is linear. What `canonical` held is gone. */
NODISCARD enum status eval_canonical(const char *text, size_t size, struct bytes *canonical);
