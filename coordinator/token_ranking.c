#include "coordinator/token_ranking_impl.h"

#include <math.h>

#include "base/check.h"

static bool is_before(struct candidate a, struct candidate b) {
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

static void sift_down(struct candidate *heap, int32_t n, int32_t node) {
    const struct candidate moving = heap[node];
    while (node < n / 2) {
        int32_t child = 2 * node + 1;
        if (child + 1 < n && is_before(heap[child + 1], heap[child])) child++;
        if (!is_before(heap[child], moving)) break;
        heap[node] = heap[child];
        node = child;
    }
    heap[node] = moving;
}

/* The best of the heap moves into the place that the heap gives up at its end, as heapsort does. */
static void settle_next(struct token_ranking *ranking) {
    struct candidate *heap = ranking->tokens;
    const int32_t last = --ranking->n_heap;
    const struct candidate best = heap[0];
    heap[0] = heap[last];
    heap[last] = best;
    if (last > 1) sift_down(heap, last, 0);
}

struct token_ranking token_ranking_begin(struct candidate *tokens, int32_t n, float unlisted_max,
                                         bool unlisted_last) {
    for (int32_t node = n / 2 - 1; node >= 0; node--)
        sift_down(tokens, n, node);
    return (struct token_ranking){tokens, n, n, unlisted_max, unlisted_last};
}

enum place token_ranking_at(struct token_ranking *ranking, int32_t place, struct candidate *token_out) {
    if (place >= ranking->n) return ranking->unlisted_max == -INFINITY ? PLACE_NONE : PLACE_UNKNOWN;
    const int32_t n_settled = ranking->n - ranking->n_heap;
    DCHECK(place <= n_settled);
    if (place == n_settled) settle_next(ranking);
    const struct candidate token = ranking->tokens[ranking->n - 1 - place];
    const bool is_settled = token.logit > ranking->unlisted_max ||
                            (token.logit == ranking->unlisted_max && ranking->unlisted_last);
    if (!is_settled) return PLACE_UNKNOWN;
    *token_out = token;
    return PLACE_KNOWN;
}
