/* coordinator/tokenizer/pattern_impl.h - what splitters and replacements look for: a literal text or a
 * regular expression in the syntax of Oniguruma, which tokenizer.json is written in.
 *
 * The expression runs on PCRE2. Where the two differ, pattern_translate rewrites it or refuses it.
 * Time: matching takes at most a fixed number of steps per byte of text, whatever the expression; one
 * that needs more (nested repeats) ends in a sentence.
 *
 * Memory:  a pattern is freed by destroy; scratch belongs to one call of the encoder or decoder.
 * Threads: a pattern is read-only; scratch is for one thread.
 * Ranks:   local. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

struct pattern;

/* Made when the first expression runs; start with {0}. */
struct pattern_scratch {
    void *match_data, *context, *stack;
};
void pattern_scratch_free(struct pattern_scratch *scratch);

/* `where` names the place in sentences, for example "tokenizer.json: pre_tokenizer". */
NODISCARD enum status pattern_create_literal(const char *text, size_t size, struct pattern **pattern_out);
NODISCARD enum status pattern_create_regex(const char *source, const char *where,
                                           struct pattern **pattern_out);
void pattern_destroy(struct pattern *pattern); /* NULL is allowed */

/* Rewrites an expression from Oniguruma's syntax to PCRE2's. */
NODISCARD enum status pattern_translate(const char *source, const char *where, struct bytes *translated);

struct span {
    size_t start, end; /* bytes; end is past the last */
};

/* All matches in `text` from left to right. They do not overlap; an empty one does not touch the one
 * before. `text` is UTF-8. */
struct pattern_search {
    const struct pattern *pattern;
    struct pattern_scratch *scratch;
    const char *text;
    size_t size;
    size_t from;         /* where the search goes on */
    size_t last_end;     /* of the last match; SIZE_MAX: none yet */
    uint64_t steps_left; /* beyond the ones that every position has */
};
struct pattern_search pattern_search_begin(const struct pattern *pattern, struct pattern_scratch *scratch,
                                           const char *text, size_t size);
NODISCARD enum status pattern_search_next(struct pattern_search *search, bool *found_out,
                                          struct span *match_out);

/* Appends `text` to `replaced` with every match replaced by `content`. A result of more than `limit`
 * bytes: STATUS_BAD_INPUT. */
NODISCARD enum status pattern_replace(const struct pattern *pattern, struct pattern_scratch *scratch,
                                      const char *text, size_t size, const char *content, size_t content_size,
                                      size_t limit, struct bytes *replaced);

/* How long the intermediate forms of a text of `size` bytes may become. Real normalizers stay within 3
 * times; the limit keeps a crafted chain of replacements from filling the memory. */
size_t pattern_text_limit(size_t size);
