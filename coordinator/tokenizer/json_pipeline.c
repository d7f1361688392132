#include "coordinator/tokenizer/json_pipeline_impl.h"

#include <stdio.h>
#include <string.h>

/* ---- shared by all chains ---- */

enum status json_step_refuse(const struct json_part *step, const char *reason) {
    return FAIL(STATUS_BAD_INPUT, "%s: the %s %.50s %s", step->path, step->name, json_part_type(step),
                reason);
}

enum status json_pattern_read(const struct json_part *step, struct pattern **pattern_out) {
    json_t *object = NULL;
    const char *literal = NULL, *regex = NULL;
    TRY(json_part_object(step, "pattern", &object));
    const struct json_part part = {object, step->path, "pattern"};
    TRY(json_part_text(&part, "String", &literal));
    TRY(json_part_text(&part, "Regex", &regex));
    if (regex) {
        char where[512];
        snprintf(where, sizeof where, "%s: %s", step->path, step->name);
        return pattern_create_regex(regex, where, pattern_out);
    }
    if (!literal || !*literal) return json_step_refuse(step, "needs a pattern, a String or a Regex");
    return pattern_create_literal(literal, strlen(literal), pattern_out);
}

enum status json_content_read(const struct json_part *step, const char *field, struct tokenizer *tokenizer,
                              const char **content_out, size_t *size_out) {
    const char *content;
    TRY(json_part_need_text(step, field, &content));
    const size_t size = strlen(content);
    if (size > PIPELINE_MAX_CONTENT)
        return FAIL(STATUS_BAD_INPUT, "%s: %s.%s is longer than %d bytes", step->path, step->name, field,
                    PIPELINE_MAX_CONTENT);
    TRY(tokenizer_copy_text(tokenizer, content, size, content_out));
    *size_out = size;
    return STATUS_OK;
}

/* ---- normalizer ---- */

static enum status read_normalizer_step(const struct json_part *part, struct tokenizer *tokenizer) {
    const char *type = json_part_type(part);
    struct normalizer *normalizer = &tokenizer->normalizer;
    struct normalizer_step step = {.kind = NORMALIZE_NFC};
    if (strcmp(type, "Prepend") == 0) {
        step.kind = NORMALIZE_PREPEND;
        TRY(json_content_read(part, "prepend", tokenizer, &step.content, &step.content_size));
    } else if (strcmp(type, "Replace") == 0) {
        step.kind = NORMALIZE_REPLACE;
        TRY(json_content_read(part, "content", tokenizer, &step.content, &step.content_size));
        TRY(json_pattern_read(part, &step.pattern));
    } else if (strcmp(type, "NFC") != 0) {
        return json_step_refuse(part, "is not supported; NFC, Prepend, Replace and Sequence are");
    }
    normalizer->steps[normalizer->n_steps++] = step;
    return STATUS_OK;
}

enum status json_normalizer_read(const json_t *root, const char *path, struct tokenizer *tokenizer) {
    const struct json_part chain = {json_object_get(root, "normalizer"), path, "normalizer"};
    struct json_part steps[PIPELINE_MAX_STEPS];
    size_t n;
    TRY(json_part_steps(&chain, "normalizers", PIPELINE_MAX_STEPS, steps, &n));
    for (size_t i = 0; i < n; i++)
        TRY(read_normalizer_step(&steps[i], tokenizer));
    return STATUS_OK;
}

/* ---- pre-tokenizer ---- */

static enum status add_step(const struct json_part *part, struct tokenizer *tokenizer,
                            struct splitter_step step) {
    struct splitter *splitter = &tokenizer->splitter;
    if (splitter->n_steps == PIPELINE_MAX_STEPS) {
        pattern_destroy(step.pattern);
        return json_step_refuse(part, "comes after too many others");
    }
    splitter->steps[splitter->n_steps++] = step;
    return STATUS_OK;
}

static enum status add_split(const struct json_part *part, struct tokenizer *tokenizer, const char *regex,
                             enum split_behavior behavior) {
    struct splitter_step step = {.kind = STEP_SPLIT, .behavior = behavior};
    TRY(pattern_create_regex(regex, part->path, &step.pattern));
    return add_step(part, tokenizer, step);
}

static enum status add_prefix(const struct json_part *part, struct tokenizer *tokenizer, const char *mark,
                              enum prefix_scheme scheme) {
    struct splitter_step step = {.kind = STEP_PREFIX, .mark_size = strlen(mark), .scheme = scheme};
    TRY(tokenizer_copy_text(tokenizer, mark, step.mark_size, &step.mark));
    return add_step(part, tokenizer, step);
}

static enum status read_byte_level(const struct json_part *part, struct tokenizer *tokenizer) {
    bool add_prefix_space = true, use_regex = true;
    TRY(json_part_bool(part, "add_prefix_space", &add_prefix_space));
    TRY(json_part_bool(part, "use_regex", &use_regex));
    tokenizer->bpe.byte_level = true;
    if (add_prefix_space) TRY(add_prefix(part, tokenizer, " ", PREFIX_ALWAYS));
    if (!use_regex) return STATUS_OK;
    return add_split(part, tokenizer,
                     "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
                     SPLIT_ISOLATED);
}

static enum status read_behavior(const struct json_part *part, enum split_behavior *behavior_out) {
    static const char *const names[] = {"Removed", "Isolated", "Contiguous", "MergedWithPrevious",
                                        "MergedWithNext"}; /* in the order of the enum */
    const char *name;
    TRY(json_part_need_text(part, "behavior", &name));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            *behavior_out = (enum split_behavior)i;
            return STATUS_OK;
        }
    return FAIL(STATUS_BAD_INPUT, "%s: the behavior \"%.50s\" of the %s Split is not known", part->path, name,
                part->name);
}

static enum status read_split(const struct json_part *part, struct tokenizer *tokenizer) {
    struct splitter_step step = {.kind = STEP_SPLIT};
    TRY(read_behavior(part, &step.behavior));
    TRY(json_part_bool(part, "invert", &step.invert));
    TRY(json_pattern_read(part, &step.pattern));
    return add_step(part, tokenizer, step);
}

static enum status read_digits(const struct json_part *part, struct tokenizer *tokenizer) {
    bool individual = false;
    TRY(json_part_bool(part, "individual_digits", &individual));
    return add_split(part, tokenizer, "\\p{N}", individual ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS);
}

static enum status read_prefix_scheme(const struct json_part *part, enum prefix_scheme *scheme_out) {
    const char *name = "always";
    bool add_prefix_space = true; /* the older spelling: false stands for "never" */
    TRY(json_part_text(part, "prepend_scheme", &name));
    TRY(json_part_bool(part, "add_prefix_space", &add_prefix_space));
    if (!add_prefix_space || strcmp(name, "never") == 0)
        *scheme_out = PREFIX_NEVER;
    else if (strcmp(name, "first") == 0)
        *scheme_out = PREFIX_FIRST;
    else if (strcmp(name, "always") == 0)
        *scheme_out = PREFIX_ALWAYS;
    else
        return json_step_refuse(part, "has a prepend_scheme that is not always, first or never");
    return STATUS_OK;
}

static enum status read_metaspace(const struct json_part *part, struct tokenizer *tokenizer) {
    const char *mark;
    enum prefix_scheme scheme = PREFIX_ALWAYS;
    bool split = true;
    TRY(json_part_need_character(part, "replacement", &mark));
    TRY(read_prefix_scheme(part, &scheme));
    TRY(json_part_bool(part, "split", &split));
    TRY(add_prefix(part, tokenizer, mark, scheme));
    if (!split) return STATUS_OK;
    struct splitter_step step = {.kind = STEP_SPLIT, .behavior = SPLIT_MERGED_WITH_NEXT};
    TRY(pattern_create_literal(mark, strlen(mark), &step.pattern));
    return add_step(part, tokenizer, step);
}

static enum status read_pre_tokenizer_step(const struct json_part *part, struct tokenizer *tokenizer) {
    static const struct {
        const char *type;
        enum status (*read)(const struct json_part *, struct tokenizer *);
    } known[] = {
        {"ByteLevel", read_byte_level},
        {"Split", read_split},
        {"Digits", read_digits},
        {"Metaspace", read_metaspace},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(json_part_type(part), known[i].type) == 0) return known[i].read(part, tokenizer);
    return json_step_refuse(part, "is not supported; ByteLevel, Split, Digits, Metaspace and Sequence are");
}

enum status json_pre_tokenizer_read(const json_t *root, const char *path, struct tokenizer *tokenizer) {
    const struct json_part chain = {json_object_get(root, "pre_tokenizer"), path, "pre_tokenizer"};
    struct json_part steps[PIPELINE_MAX_STEPS];
    size_t n;
    TRY(json_part_steps(&chain, "pretokenizers", PIPELINE_MAX_STEPS, steps, &n));
    for (size_t i = 0; i < n; i++) {
        /* Its alphabet would hide the text from whatever follows. */
        if (tokenizer->bpe.byte_level) return json_step_refuse(&steps[i], "after ByteLevel is not supported");
        TRY(read_pre_tokenizer_step(&steps[i], tokenizer));
    }
    return STATUS_OK;
}
