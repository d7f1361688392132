#include "cluster/shares.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/check.h"

/* Shares that were measured are thousandths of the largest. */
enum { FULL_SHARE = 1000 };

static enum status fail_text(const char *text) {
    return FAIL(STATUS_BAD_INPUT,
                "'%s' is neither 'auto' nor a list of shares, one for each rank, as 3,2,1: each is "
                "a whole number from 1 to %d, and there are at most %d",
                text, SHARES_LARGEST, SHARES_MAX_RANKS);
}

enum status shares_parse(const char *text, struct shares *shares_out) {
    struct shares shares = {0};
    for (const char *next = text;; next++) {
        char *end;
        if (*next < '0' || *next > '9' || shares.n == SHARES_MAX_RANKS) return fail_text(text);
        const long long share = strtoll(next, &end, 10);
        if (share < 1 || share > SHARES_LARGEST) return fail_text(text);
        shares.of[shares.n++] = (int32_t)share;
        next = end;
        if (*next == '\0') break;
        if (*next != ',') return fail_text(text);
    }
    *shares_out = shares;
    return STATUS_OK;
}

static bool all_alike(const double *rates, int32_t n) {
    double sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += rates[i];
    for (int32_t i = 0; i < n; i++)
        if (fabs(rates[i] * n - sum) > 0.1 * sum) return false;
    return true;
}

struct shares shares_from_rates(const double *rates, int32_t n) {
    struct shares shares = {0};
    double largest = 0;
    for (int32_t i = 0; i < n; i++) {
        CHECK(rates[i] > 0);
        largest = fmax(largest, rates[i]);
    }
    if (n > SHARES_MAX_RANKS || all_alike(rates, n)) return shares;
    shares.n = n;
    for (int32_t i = 0; i < n; i++)
        shares.of[i] = (int32_t)fmax(1, round(FULL_SHARE * rates[i] / largest));
    return shares;
}

int64_t shares_first_block(const struct shares *shares, int32_t begin, int32_t end, int32_t rank,
                           int64_t n_blocks, int64_t least) {
    CHECK(0 <= begin && begin <= rank && rank <= end && end <= shares->n);
    CHECK(least >= 0 && n_blocks >= least * (end - begin));
    int64_t total = 0, before = 0;
    for (int32_t i = begin; i < end; i++) {
        total += shares->of[i];
        if (i < rank) before += shares->of[i];
    }
    const int64_t free_blocks = n_blocks - least * (end - begin);
    return least * (rank - begin) + (2 * free_blocks * before + total) / (2 * total); /* nearest */
}
