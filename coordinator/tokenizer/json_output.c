#include <string.h>

#include "coordinator/tokenizer/json_pipeline_impl.h"

/* ---- decoder ---- */

/* The chain is carried out token by token, so that text can be streamed: replacements first, then bytes,
 * and only what strips the beginning of the text may follow. */
enum decoder_stage { STAGE_REPLACE, STAGE_BYTES, STAGE_FUSED, STAGE_END };

static enum status read_replace(const struct json_part *part, struct tokenizer *tokenizer) {
    struct decoder *decoder = &tokenizer->decoder;
    struct decoder_replacement replacement = {0};
    TRY(json_content_read(part, "content", tokenizer, &replacement.content, &replacement.content_size));
    TRY(json_pattern_read(part, &replacement.pattern));
    decoder->replacements[decoder->n_replacements++] = replacement;
    return STATUS_OK;
}

static enum status read_byte_level(const struct json_part *part, struct tokenizer *tokenizer) {
    (void)part;
    tokenizer->decoder.byte_level = true;
    return STATUS_OK;
}

static enum status read_byte_fallback(const struct json_part *part, struct tokenizer *tokenizer) {
    (void)part;
    tokenizer->decoder.byte_fallback = true;
    return STATUS_OK;
}

static enum status read_metaspace(const struct json_part *part, struct tokenizer *tokenizer) {
    struct decoder *decoder = &tokenizer->decoder;
    const char *mark, *scheme = "always";
    bool add_prefix_space = true;
    TRY(json_part_need_character(part, "replacement", &mark));
    TRY(json_part_text(part, "prepend_scheme", &scheme));
    TRY(json_part_bool(part, "add_prefix_space", &add_prefix_space));
    decoder->mark_size = strlen(mark);
    decoder->drop_first_marks = add_prefix_space && strcmp(scheme, "never") != 0;
    return tokenizer_copy_text(tokenizer, mark, decoder->mark_size, &decoder->mark);
}

static enum status read_fuse(const struct json_part *part, struct tokenizer *tokenizer) {
    (void)part;
    (void)tokenizer;
    return STATUS_OK;
}

static enum status read_strip(const struct json_part *part, struct tokenizer *tokenizer) {
    struct decoder *decoder = &tokenizer->decoder;
    int64_t stop = 0;
    const char *content;
    TRY(json_part_need_character(part, "content", &content));
    TRY(json_part_integer(part, "start", &decoder->strip_count));
    TRY(json_part_integer(part, "stop", &stop));
    if (decoder->strip_count < 0 || stop != 0)
        return json_step_refuse(part, "is supported only with start >= 0 and stop 0");
    return json_content_read(part, "content", tokenizer, &decoder->strip, &decoder->strip_size);
}

struct decoder_kind {
    const char *type;
    enum status (*read)(const struct json_part *, struct tokenizer *);
    enum decoder_stage latest; /* the stage that must not be passed before it */
    enum decoder_stage next;
};

static enum status read_decoder_step(const struct json_part *part, struct tokenizer *tokenizer,
                                     enum decoder_stage *stage) {
    static const struct decoder_kind known[] = {
        {"Replace", read_replace, STAGE_REPLACE, STAGE_REPLACE},
        {"ByteLevel", read_byte_level, STAGE_REPLACE, STAGE_FUSED},
        {"ByteFallback", read_byte_fallback, STAGE_REPLACE, STAGE_BYTES},
        {"Metaspace", read_metaspace, STAGE_BYTES, STAGE_BYTES},
        {"Fuse", read_fuse, STAGE_FUSED, STAGE_FUSED},
        {"Strip", read_strip, STAGE_FUSED, STAGE_END},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(json_part_type(part), known[i].type) != 0) continue;
        const bool too_early = known[i].read == read_strip && *stage != STAGE_FUSED;
        if (*stage > known[i].latest || too_early)
            return json_step_refuse(part, "is not supported in this place");
        *stage = known[i].next;
        return known[i].read(part, tokenizer);
    }
    return json_step_refuse(part,
                            "is not supported; ByteLevel, ByteFallback, Replace, Metaspace, Fuse, Strip and "
                            "Sequence are");
}

enum status json_decoder_read(const json_t *root, const char *path, struct tokenizer *tokenizer) {
    const struct json_part chain = {json_object_get(root, "decoder"), path, "decoder"};
    struct json_part steps[PIPELINE_MAX_STEPS];
    enum decoder_stage stage = STAGE_REPLACE;
    size_t n;
    TRY(json_part_steps(&chain, "decoders", PIPELINE_MAX_STEPS, steps, &n));
    if (n == 0) return FAIL(STATUS_BAD_INPUT, "%s: the decoder is missing", path);
    for (size_t i = 0; i < n; i++)
        TRY(read_decoder_step(&steps[i], tokenizer, &stage));
    return STATUS_OK;
}

/* ---- post-processor: the special tokens around a text ---- */

/* The ids that stand for the template's special token `name`. */
static enum status append_special(const struct json_part *part, struct tokenizer *tokenizer, const char *name,
                                  struct token_list *ids) {
    const json_t *known = json_object_get(json_object_get(part->json, "special_tokens"), name);
    const json_t *list = json_object_get(known, "ids");
    if (json_array_size(list) == 0)
        return FAIL(STATUS_BAD_INPUT, "%s: %s.special_tokens does not say which ids \"%.100s\" has",
                    part->path, part->name, name);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *value = json_array_get(list, i);
        const json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        if (id < 0 || id >= tokenizer->vocab.n_ids || !vocab_token(&tokenizer->vocab, (int32_t)id))
            return FAIL(STATUS_BAD_INPUT, "%s: %s.special_tokens gives \"%.100s\" an id that no token has",
                        part->path, part->name, name);
        TRY(token_list_append(ids, (int32_t)id));
    }
    return STATUS_OK;
}

/* {"SpecialToken": {"id": "<s>"}} or {"Sequence": {"id": "A"}} */
static enum status read_piece(const struct json_part *part, struct tokenizer *tokenizer, const json_t *piece,
                              int *n_sequences) {
    const char *special = json_string_value(json_object_get(json_object_get(piece, "SpecialToken"), "id"));
    const char *sequence = json_string_value(json_object_get(json_object_get(piece, "Sequence"), "id"));
    if (special)
        return append_special(part, tokenizer, special,
                              *n_sequences ? &tokenizer->suffix : &tokenizer->prefix);
    if (!sequence || strcmp(sequence, "A") != 0 || (*n_sequences)++ > 0)
        return json_step_refuse(part, "is supported only with special tokens and one sequence A in `single`");
    return STATUS_OK;
}

static enum status read_template(const struct json_part *part, struct tokenizer *tokenizer) {
    json_t *single = NULL;
    int n_sequences = 0;
    TRY(json_part_array(part, "single", &single));
    for (size_t i = 0; i < json_array_size(single); i++)
        TRY(read_piece(part, tokenizer, json_array_get(single, i), &n_sequences));
    return n_sequences == 1 ? STATUS_OK : json_step_refuse(part, "has no sequence A in `single`");
}

enum status json_post_processor_read(const json_t *root, const char *path, struct tokenizer *tokenizer) {
    const struct json_part chain = {json_object_get(root, "post_processor"), path, "post_processor"};
    struct json_part steps[PIPELINE_MAX_STEPS];
    bool has_template = false;
    size_t n;
    TRY(json_part_steps(&chain, "processors", PIPELINE_MAX_STEPS, steps, &n));
    for (size_t i = 0; i < n; i++) {
        const char *type = json_part_type(&steps[i]);
        if (strcmp(type, "ByteLevel") == 0) continue; /* only moves offsets, which nobody asks for */
        if (strcmp(type, "TemplateProcessing") != 0)
            return json_step_refuse(&steps[i],
                                    "is not supported; TemplateProcessing, ByteLevel and Sequence are");
        if (has_template) return json_step_refuse(&steps[i], "occurs twice");
        TRY(read_template(&steps[i], tokenizer));
        has_template = true;
    }
    return STATUS_OK;
}
