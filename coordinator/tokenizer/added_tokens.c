#include "coordinator/tokenizer/added_tokens_impl.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/utf8.h"

static int by_text(const void *a, const void *b) {
    const struct added_token *x = a, *y = b;
    const int order = memcmp(x->text, y->text, x->size < y->size ? x->size : y->size);
    if (order != 0) return order;
    if (x->size != y->size) return x->size < y->size ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

void added_tokens_build(struct added_token *tokens, size_t n, struct added_tokens *added_out) {
    struct added_tokens added = {.sorted = tokens, .n = n};
    if (n > 0) qsort(tokens, n, sizeof *tokens, by_text);
    for (size_t b = 0, at = 0; b <= 256; b++) {
        while (at < n && (unsigned char)tokens[at].text[0] < b)
            at++;
        added.first[b] = at;
    }
    *added_out = added;
}

/* The first of sorted[low, high), which share `depth` bytes, whose next byte is at least `byte`. */
static size_t bisect(const struct added_token *sorted, size_t low, size_t high, size_t depth, unsigned byte) {
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if ((unsigned char)sorted[middle].text[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The longest token that `text` begins with, or NULL. */
static const struct added_token *longest_here(const struct added_tokens *added, const char *text,
                                              size_t size) {
    const struct added_token *sorted = added->sorted, *longest = NULL;
    const unsigned char head = (unsigned char)text[0];
    size_t low = added->first[head], high = added->first[head + 1];
    for (size_t depth = 1; low < high; depth++) {
        while (low < high && sorted[low].size == depth) /* the shortest comes first */
            longest = &sorted[low++];
        if (depth == size) break;
        const unsigned byte = (unsigned char)text[depth];
        low = bisect(sorted, low, high, depth, byte);
        high = bisect(sorted, low, high, depth, byte + 1);
    }
    return longest;
}

/* ---- what stands beside a match ---- */

static bool is_white_space(uint32_t c) {
    return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
           c == 0x3000;
}

/* Letters, marks, numbers and connectors. */
static bool is_word_character(uint32_t c) {
    const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_PC) &&
           category != UTF8PROC_CATEGORY_NO;
}

/* The character that ends at `end`; 0 at the beginning. */
static size_t character_before(const char *text, size_t end, uint32_t *code_point) {
    size_t length = 1;
    while (length < end && length < 4 && ((unsigned char)text[end - length] & 0xC0) == 0x80)
        length++;
    return end > 0 ? utf8_decode(text + end - length, length, code_point) : 0;
}

static size_t character_after(const char *text, size_t size, size_t at, uint32_t *code_point) {
    return at < size ? utf8_decode(text + at, size - at, code_point) : 0;
}

static bool stands_alone(const char *text, size_t size, struct span match) {
    uint32_t c;
    if (character_before(text, match.start, &c) && is_word_character(c)) return false;
    return !(character_after(text, size, match.end, &c) && is_word_character(c));
}

static struct span with_space(const struct added_token *token, const char *text, size_t size, size_t from,
                              struct span match) {
    uint32_t c;
    size_t length;
    while (token->takes_left_space && match.start > from &&
           (length = character_before(text, match.start, &c)) > 0 && is_white_space(c))
        match.start -= length;
    while (token->takes_right_space && (length = character_after(text, size, match.end, &c)) > 0 &&
           is_white_space(c))
        match.end += length;
    return match;
}

bool added_tokens_find(const struct added_tokens *added, const char *text, size_t size, size_t from,
                       bool parse_special, int32_t *id_out, struct span *match_out) {
    if (added->n == 0) return false;
    for (size_t at = from; at < size;) {
        const size_t head = (unsigned char)text[at];
        const struct added_token *token =
            added->first[head] < added->first[head + 1] ? longest_here(added, text + at, size - at) : NULL;
        if (!token) {
            at++;
            continue;
        }
        const struct span match = {at, at + token->size};
        at = match.end; /* what is not wanted is text as a whole, also the tokens inside it */
        if (token->special && !parse_special) continue;
        if (token->single_word && !stands_alone(text, size, match)) continue;
        *id_out = token->id;
        *match_out = with_space(token, text, size, from, match);
        return true;
    }
    return false;
}
