#define PCRE2_CODE_UNIT_WIDTH 8
#include "coordinator/tokenizer/pattern_impl.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

/* Steps are PCRE2's: the times it tries another way. Words of real text take a handful, a run of n
 * spaces n. Every position has FREE_STEPS; a position that needs more draws on a purse for the text. */
enum {
    FREE_STEPS = 2048,
    PURSE_STEPS_PER_BYTE = 64,
    PURSE_STEPS = 1 << 20,
    STEP_GROWTH = 16,
    MAX_HEAP_KIB = 1 << 16,
    STACK_BYTES = 1 << 15,
    MAX_STACK_BYTES = 1 << 20,
    MAX_SOURCE_BYTES = 1 << 16
};

struct pattern {
    pcre2_code *code; /* NULL: a literal */
    size_t size;
    char literal[];
};

enum status pattern_create_literal(const char *text, size_t size, struct pattern **pattern_out) {
    struct pattern *pattern = calloc(1, sizeof *pattern + size);
    if (!pattern) return FAIL(STATUS_NO_MEMORY, "out of memory for the tokenizer's patterns");
    pattern->size = size;
    if (size) memcpy(pattern->literal, text, size);
    *pattern_out = pattern;
    return STATUS_OK;
}

/* Anchored: the search walks the positions itself, so that each has its own allowance of steps. */
static enum status compile(const struct bytes *translated, const char *where, pcre2_code **code_out) {
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context) return FAIL(STATUS_NO_MEMORY, "out of memory for a regular expression");
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_max_pattern_length(context, MAX_SOURCE_BYTES);
    const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_ANCHORED |
                             PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_CAPTURE;
    int error = 0;
    PCRE2_SIZE at = 0;
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)translated->data, translated->size, options, &error, &at, context);
    pcre2_compile_context_free(context);
    if (!code) {
        PCRE2_UCHAR reason[128] = "unknown fault";
        (void)pcre2_get_error_message(error, reason, sizeof reason);
        return FAIL(STATUS_BAD_INPUT, "%s: the regular expression \"%.200s\" is wrong at byte %zu: %s", where,
                    translated->data, (size_t)at, (const char *)reason);
    }
    (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* where it cannot, the interpreter serves */
    *code_out = code;
    return STATUS_OK;
}

enum status pattern_create_regex(const char *source, const char *where, struct pattern **pattern_out) {
    struct bytes translated = {0};
    struct pattern *pattern = NULL;
    enum status status;
    TRY_GOTO(pattern_translate(source, where, &translated), done);
    TRY_GOTO(pattern_create_literal("", 0, &pattern), done);
    TRY_GOTO(compile(&translated, where, &pattern->code), done);
    *pattern_out = pattern;
    pattern = NULL;
done:
    pattern_destroy(pattern);
    bytes_free(&translated);
    return status;
}

void pattern_destroy(struct pattern *pattern) {
    if (!pattern) return;
    pcre2_code_free(pattern->code);
    free(pattern);
}

static enum status scratch_create(struct pattern_scratch *scratch) {
    if (scratch->stack) return STATUS_OK;
    pcre2_match_context *context = scratch->context = pcre2_match_context_create(NULL);
    scratch->match_data = pcre2_match_data_create(1, NULL);
    scratch->stack = pcre2_jit_stack_create(STACK_BYTES, MAX_STACK_BYTES, NULL);
    if (!context || !scratch->match_data || !scratch->stack)
        return FAIL(STATUS_NO_MEMORY, "out of memory for matching a regular expression");
    pcre2_set_heap_limit(context, MAX_HEAP_KIB);
    pcre2_jit_stack_assign(context, NULL, scratch->stack);
    return STATUS_OK;
}

void pattern_scratch_free(struct pattern_scratch *scratch) {
    pcre2_jit_stack_free(scratch->stack);
    pcre2_match_data_free(scratch->match_data);
    pcre2_match_context_free(scratch->context);
    *scratch = (struct pattern_scratch){0};
}

struct pattern_search pattern_search_begin(const struct pattern *pattern, struct pattern_scratch *scratch,
                                           const char *text, size_t size) {
    return (struct pattern_search){.pattern = pattern,
                                   .scratch = scratch,
                                   .text = text,
                                   .size = size,
                                   .last_end = SIZE_MAX,
                                   .steps_left = PURSE_STEPS + (uint64_t)PURSE_STEPS_PER_BYTE * size};
}

/* One match attempt at search->from with at most `steps` steps; PCRE2's return code. */
static int attempt(const struct pattern_search *search, uint32_t steps) {
    const struct pattern_scratch *scratch = search->scratch;
    pcre2_set_match_limit(scratch->context, steps);
    int code = pcre2_match(search->pattern->code, (PCRE2_SPTR)search->text, search->size, search->from,
                           PCRE2_NO_UTF_CHECK, scratch->match_data, scratch->context);
    if (code == PCRE2_ERROR_JIT_STACKLIMIT)
        code = pcre2_match(search->pattern->code, (PCRE2_SPTR)search->text, search->size, search->from,
                           PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, scratch->match_data, scratch->context);
    return code;
}

/* Does the expression match at search->from, and up to where? */
static enum status match_here(struct pattern_search *search, bool *found_out, size_t *end_out) {
    uint32_t steps = FREE_STEPS;
    int code = attempt(search, steps);
    while (code == PCRE2_ERROR_MATCHLIMIT && search->steps_left >= (uint64_t)steps * STEP_GROWTH &&
           steps <= UINT32_MAX / STEP_GROWTH) {
        steps *= STEP_GROWTH;
        search->steps_left -= steps;
        code = attempt(search, steps);
    }
    if (code < 0 && code != PCRE2_ERROR_NOMATCH)
        return FAIL(STATUS_BAD_INPUT,
                    "a regular expression of the tokenizer takes too many steps on this text");
    *found_out = code >= 0;
    if (code >= 0) *end_out = pcre2_get_ovector_pointer(search->scratch->match_data)[1];
    return STATUS_OK;
}

static size_t character_size(const struct pattern_search *search) {
    uint32_t code_point;
    const size_t length = utf8_decode(search->text + search->from, search->size - search->from, &code_point);
    return length ? length : 1;
}

static enum status next_regex(struct pattern_search *search, bool *found_out, struct span *match_out) {
    TRY(scratch_create(search->scratch));
    *found_out = false;
    while (search->from <= search->size) {
        bool found = false;
        size_t end = 0;
        TRY(match_here(search, &found, &end));
        const bool repeats = found && end == search->from && end == search->last_end;
        if (found && !repeats) {
            *match_out = (struct span){search->from, end};
            *found_out = true;
            search->from = search->last_end = end;
            return STATUS_OK;
        }
        search->from += search->from < search->size ? character_size(search) : 1;
    }
    return STATUS_OK;
}

static void next_literal(struct pattern_search *search, bool *found_out, struct span *match_out) {
    const struct pattern *pattern = search->pattern;
    const char *at =
        memmem(search->text + search->from, search->size - search->from, pattern->literal, pattern->size);
    *found_out = at != NULL;
    if (!at) return;
    const size_t start = (size_t)(at - search->text);
    *match_out = (struct span){start, start + pattern->size};
    search->from = start + pattern->size;
}

enum status pattern_search_next(struct pattern_search *search, bool *found_out, struct span *match_out) {
    if (search->pattern->code) return next_regex(search, found_out, match_out);
    next_literal(search, found_out, match_out);
    return STATUS_OK;
}

size_t pattern_text_limit(size_t size) {
    return 16 * size + 4096;
}

enum status pattern_replace(const struct pattern *pattern, struct pattern_scratch *scratch, const char *text,
                            size_t size, const char *content, size_t content_size, size_t limit,
                            struct bytes *replaced) {
    struct pattern_search search = pattern_search_begin(pattern, scratch, text, size);
    const size_t before = replaced->size;
    size_t copied = 0;
    for (;;) {
        bool found;
        struct span match;
        TRY(pattern_search_next(&search, &found, &match));
        if (!found) return bytes_append(replaced, text + copied, size - copied);
        TRY(bytes_append(replaced, text + copied, match.start - copied));
        TRY(bytes_append(replaced, content, content_size));
        copied = match.end;
        if (replaced->size - before > limit)
            return FAIL(STATUS_BAD_INPUT,
                        "a replacement of the tokenizer makes %zu bytes of text longer than %zu", size,
                        limit);
    }
}
