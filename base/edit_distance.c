#include "base/edit_distance.h"

#include <stdint.h>
#include <string.h>

enum { MAX_ROW = EDIT_DISTANCE_MAX_WORD + 1 };

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Row i of the table from the two rows above it; column j is the distance of a[0, i) and b[0, j). */
static void next_row(const char *a, const char *b, size_t i, size_t n, const size_t *before_last,
                     const size_t *last, size_t *row) {
    row[0] = i;
    for (size_t j = 1; j <= n; j++) {
        const size_t substituted = last[j - 1] + (a[i - 1] != b[j - 1]);
        row[j] = smaller(substituted, smaller(last[j], row[j - 1]) + 1);
        const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
        if (swapped) row[j] = smaller(row[j], before_last[j - 2] + 1);
    }
}

size_t edit_distance(const char *a, const char *b) {
    const size_t m = strlen(a), n = strlen(b);
    if (m > EDIT_DISTANCE_MAX_WORD || n > EDIT_DISTANCE_MAX_WORD) return SIZE_MAX;
    size_t rows[3][MAX_ROW] = {{0}};
    for (size_t j = 0; j <= n; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= m; i++)
        next_row(a, b, i, n, rows[(i + 1) % 3], rows[(i + 2) % 3], rows[i % 3]);
    return rows[m % 3][n];
}

bool edit_distance_is_near(const char *a, const char *b) {
    const size_t m = strlen(a), n = strlen(b);
    const size_t longer = m > n ? m : n;
    return edit_distance(a, b) <= (longer + 2) / 3;
}
