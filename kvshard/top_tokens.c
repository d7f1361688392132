#include "kvshard/top_tokens_impl.h"

#include <math.h>
#include <string.h>

#include "base/check.h"

/* A winner while it is being sorted. */
struct ranked {
    uint32_t word;
    int32_t token;
};

enum status top_scratch_create(struct arena *memory, int64_t n_max, int64_t k_max,
                               struct top_scratch *scratch_out) {
    struct top_scratch scratch;
    TRY(ARENA_TAKE(memory, (size_t)n_max, &scratch.words));
    for (int i = 0; i < 2; i++)
        TRY(ARENA_TAKE(memory, (size_t)k_max, &scratch.ranked[i]));
    *scratch_out = scratch;
    return STATUS_OK;
}

/* Radix select: fixes the k-th smallest word (k >= 1) digit by digit from the top. Each pass counts the
 * words that agree in the digits fixed so far. *n_ties_out: how many of the k smallest equal it. */
static uint32_t kth_smallest(const uint32_t *words, int64_t n, int64_t k, int64_t *n_ties_out) {
    static const struct digit {
        int shift;
        uint32_t mask;
    } digits[] = {{21, 0x7FF}, {10, 0x7FF}, {0, 0x3FF}};
    uint32_t kth = 0, fixed = 0;
    for (int pass = 0; pass < 3; pass++) {
        const struct digit digit = digits[pass];
        int64_t counts[0x800] = {0};
        for (int64_t i = 0; i < n; i++)
            if ((words[i] & fixed) == kth) counts[words[i] >> digit.shift & digit.mask]++;
        uint32_t value = 0;
        while (counts[value] < k)
            k -= counts[value++];
        kth |= value << digit.shift;
        fixed |= digit.mask << digit.shift;
    }
    *n_ties_out = k;
    return kth;
}

void smallest_words(const uint32_t *words, int64_t n, int64_t k, int32_t *indices_out) {
    CHECK(k >= 0 && k <= n && n <= INT32_MAX);
    if (k == 0) return;
    int64_t n_ties;
    const uint32_t kth = kth_smallest(words, n, k, &n_ties);
    int64_t n_found = 0;
    for (int64_t i = 0; n_found < k; i++)
        if (words[i] < kth || (words[i] == kth && n_ties-- > 0)) indices_out[n_found++] = (int32_t)i;
}

/* A word that is smaller where the score is better. The bits of a positive float grow with it, those of
 * a negative one fall; -0 must tie with 0, and any NaN comes last. */
static uint32_t word_of_score(float score) {
    if (isnan(score)) return UINT32_MAX;
    if (score == 0.0f) score = 0.0f;
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    return bits & 0x80000000u ? bits : ~(bits | 0x80000000u);
}

/* One pass of a radix sort by the byte at `shift`; stable. */
static void sort_by_byte(const struct ranked *from, int64_t n, int shift, struct ranked *to) {
    int64_t starts[256 + 1] = {0};
    for (int64_t i = 0; i < n; i++)
        starts[(from[i].word >> shift & 0xFF) + 1]++;
    for (int byte = 0; byte < 256; byte++)
        starts[byte + 1] += starts[byte];
    for (int64_t i = 0; i < n; i++)
        to[starts[from[i].word >> shift & 0xFF]++] = from[i];
}

void top_tokens(const float *scores, int64_t n, int64_t k, const struct top_scratch *scratch,
                int32_t *tokens_out) {
    uint32_t *words = scratch->words;
    for (int64_t i = 0; i < n; i++)
        words[i] = word_of_score(scores[i]);
    smallest_words(words, n, k, tokens_out);

    /* The winners stand in ascending order of token: a stable sort keeps it among ties. */
    struct ranked *ranked = scratch->ranked[0], *other = scratch->ranked[1];
    for (int64_t i = 0; i < k; i++)
        ranked[i] = (struct ranked){words[tokens_out[i]], tokens_out[i]};
    for (int shift = 0; shift < 32; shift += 16) { /* two passes, so that the result is in `ranked` */
        sort_by_byte(ranked, k, shift, other);
        sort_by_byte(other, k, shift + 8, ranked);
    }
    for (int64_t i = 0; i < k; i++)
        tokens_out[i] = ranked[i].token;
}
