#include "kvshard/top_tokens_impl.h"

#include <math.h>
#include <string.h>

#include "base/check.h"

enum { SAMPLE = 512, DIGIT_BITS_MAX = 11 };

/* A word while it is being sorted, and where it came from. */
struct ranked {
    uint32_t word;
    int32_t index;
};

enum status top_scratch_create(struct arena *memory, const struct kernels *kernels, int64_t n_max,
                               struct top_scratch *scratch_out) {
    struct top_scratch scratch = {.kernels = kernels};
    const size_t n = (size_t)(n_max < SAMPLE ? SAMPLE : n_max);
    TRY(ARENA_TAKE(memory, n, &scratch.words));
    TRY(ARENA_TAKE(memory, n, &scratch.few));
    for (int i = 0; i < 2; i++)
        TRY(ARENA_TAKE(memory, n, &scratch.ranked[i]));
    *scratch_out = scratch;
    return STATUS_OK;
}

/* One pass of a radix sort by `bits` bits of word - base, from `shift` up; stable. */
static void sort_by_digit(const struct ranked *from, int64_t n, uint32_t base, int shift, int bits,
                          struct ranked *to) {
    uint32_t starts[(1 << DIGIT_BITS_MAX) + 1];
    const uint32_t n_digits = 1u << bits, mask = n_digits - 1;
    memset(starts, 0, (n_digits + 1) * sizeof *starts);
    for (int64_t i = 0; i < n; i++)
        starts[((from[i].word - base) >> shift & mask) + 1]++;
    for (uint32_t digit = 0; digit < n_digits; digit++)
        starts[digit + 1] += starts[digit];
    for (int64_t i = 0; i < n; i++)
        to[starts[(from[i].word - base) >> shift & mask]++] = from[i];
}

/* Sorts the n in ranked[0], stably, by as few passes as the span of their words asks for. */
static const struct ranked *sort_ranked(struct ranked *const ranked[2], int64_t n) {
    uint32_t least = UINT32_MAX, most = 0;
    for (int64_t i = 0; i < n; i++) {
        if (ranked[0][i].word < least) least = ranked[0][i].word;
        if (ranked[0][i].word > most) most = ranked[0][i].word;
    }
    int n_bits = 0, turn = 0;
    while (n_bits < 32 && least < most && (most - least) >> n_bits > 0)
        n_bits++;
    const int n_passes = (n_bits + DIGIT_BITS_MAX - 1) / DIGIT_BITS_MAX;
    const int bits = n_passes ? (n_bits + n_passes - 1) / n_passes : 0;
    for (int pass = 0; pass < n_passes; pass++, turn ^= 1)
        sort_by_digit(ranked[turn], n, least, pass * bits, bits, ranked[turn ^ 1]);
    return ranked[turn];
}

/* A word that most likely is no smaller than the k-th smallest, by three standard deviations, and likely not
 * by much. */
static uint32_t likely_limit(const uint32_t *words, int64_t n, int64_t k, const struct top_scratch *scratch) {
    const double expected = (double)k * SAMPLE / (double)n;
    const int64_t place = (int64_t)(expected + 3 * sqrt(expected)) + 1;
    if (n < 2 * SAMPLE || place >= SAMPLE) return UINT32_MAX;
    for (int64_t i = 0; i < SAMPLE; i++)
        scratch->ranked[0][i].word = words[i * n / SAMPLE];
    const uint32_t limit = sort_ranked(scratch->ranked, SAMPLE)[place].word;
    return limit == UINT32_MAX ? UINT32_MAX - 1 : limit; /* NaN, or never proposed: in vain, mostly */
}

/* Indices of at least the k smallest words, ascending, in scratch->few; returns how many. */
static int64_t find_few(const uint32_t *words, int64_t n, int64_t k, const struct top_scratch *scratch) {
    const int64_t n_few =
        scratch->kernels->words_at_most(words, n, likely_limit(words, n, k, scratch), scratch->few);
    return n_few >= k ? n_few : scratch->kernels->words_at_most(words, n, UINT32_MAX, scratch->few);
}

/* The few in ascending order of word, then of index: they stand in the latter, and the sort is stable. */
static const struct ranked *sort_few(const uint32_t *words, int64_t n_few,
                                     const struct top_scratch *scratch) {
    for (int64_t i = 0; i < n_few; i++)
        scratch->ranked[0][i] = (struct ranked){words[scratch->few[i]], scratch->few[i]};
    return sort_ranked(scratch->ranked, n_few);
}

static void check_sizes(int64_t n, int64_t k) {
    CHECK(k >= 0 && k <= n && n <= INT32_MAX);
}

void top_tokens(const float *scores, int64_t n, int64_t k, const struct top_scratch *scratch,
                int32_t *tokens_out) {
    check_sizes(n, k);
    scratch->kernels->words_of_scores(scores, n, scratch->words);
    const int64_t n_few = find_few(scratch->words, n, k, scratch);
    const struct ranked *sorted = sort_few(scratch->words, n_few, scratch);
    for (int64_t i = 0; i < k; i++)
        tokens_out[i] = sorted[i].index;
}

void smallest_words(const uint32_t *words, int64_t n, int64_t k, const struct top_scratch *scratch,
                    int32_t *indices_out) {
    check_sizes(n, k);
    if (k == 0) return;
    const int64_t n_few = find_few(words, n, k, scratch);
    const struct ranked last = sort_few(words, n_few, scratch)[k - 1];
    int64_t n_found = 0;
    for (int64_t i = 0; n_found < k; i++) {
        const int32_t index = scratch->few[i];
        if (words[index] < last.word || (words[index] == last.word && index <= last.index))
            indices_out[n_found++] = index;
    }
}
