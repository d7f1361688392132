#include "worker/top_candidates.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_better(struct candidate a, struct candidate b) {
    if (isnan(a.logit) || isnan(b.logit))
        return isnan(a.logit) != isnan(b.logit) ? isnan(b.logit) : a.token < b.token;
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

static int compare(const void *a, const void *b) {
    const struct candidate *first = a, *second = b;
    return is_better(*first, *second) ? -1 : is_better(*second, *first) ? 1 : 0;
}

/* heap [n] has its worst at the root; restores that order below `i`. */
static void sift_down(struct candidate *heap, int32_t n, int32_t i) {
    for (;;) {
        int32_t worst = i;
        for (int32_t child = 2 * i + 1; child <= 2 * i + 2 && child < n; child++)
            if (is_better(heap[worst], heap[child])) worst = child;
        if (worst == i) return;
        const struct candidate swapped = heap[i];
        heap[i] = heap[worst];
        heap[worst] = swapped;
        i = worst;
    }
}

int32_t top_candidates(const float *values, int64_t n, int32_t first_token, int32_t limit,
                       struct candidate *best) {
    const int32_t kept = n < limit ? (int32_t)n : limit;
    for (int32_t i = 0; i < kept; i++)
        best[i] = (struct candidate){.token = first_token + i, .logit = values[i]};
    for (int32_t i = kept / 2 - 1; i >= 0; i--)
        sift_down(best, kept, i);
    for (int64_t i = kept; i < n; i++) {
        /* Later tokens lose ties, so only a larger logit (or a number against NaN) displaces the root. */
        if (kept == 0 || values[i] <= best[0].logit) continue;
        const struct candidate challenger = {.token = first_token + (int32_t)i, .logit = values[i]};
        if (!is_better(challenger, best[0])) continue;
        best[0] = challenger;
        sift_down(best, kept, 0);
    }
    qsort(best, (size_t)kept, sizeof *best, compare);
    return kept;
}

int32_t top_candidates_sort(struct candidate *candidates, int32_t n, int32_t limit, struct candidate *best) {
    qsort(candidates, (size_t)n, sizeof *candidates, compare);
    const int32_t kept = n < limit ? n : limit;
    memcpy(best, candidates, (size_t)kept * sizeof *best);
    return kept;
}
