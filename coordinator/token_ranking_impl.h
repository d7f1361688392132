/* coordinator/token_ranking_impl.h - tokens best first, sorted no further than somebody asks.
 *
 * A ranking may know only some tokens of the vocabulary, with a bound on the logits of all others. It then
 * answers only for places that no unlisted token can take.
 *
 * Cost: O(n) to begin, O(log n) for each new place.
 *
 * Memory:  works in the caller's array.
 * Threads: one at a time.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cluster/step_plan.h"

struct token_ranking {
    struct candidate *tokens; /* [n] a heap in front; the places known so far from the end backwards */
    int32_t n;
    int32_t n_heap;
    float unlisted_max; /* no unlisted token has a larger logit; -INFINITY: all are listed */
    bool unlisted_last; /* unlisted tokens rank behind listed ones of equal logit */
};

/* Takes over `tokens` [n], in any order. */
struct token_ranking token_ranking_begin(struct candidate *tokens, int32_t n, float unlisted_max,
                                         bool unlisted_last);

enum place {
    PLACE_KNOWN,
    PLACE_NONE,    /* the vocabulary is smaller */
    PLACE_UNKNOWN, /* perhaps an unlisted token; all from here on have logits <= unlisted_max */
};

/* The token at `place`, 0 for the best. Places must be asked for in order; earlier ones may be again. */
enum place token_ranking_at(struct token_ranking *ranking, int32_t place, struct candidate *token_out);
