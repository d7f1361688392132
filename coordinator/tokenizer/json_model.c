#include "coordinator/tokenizer/json_model_impl.h"

#include <string.h>

#include "coordinator/tokenizer/json_part_impl.h"

static enum status read_id(const json_t *json, const char *path, const char *token, int32_t *id_out) {
    const json_int_t id = json_is_integer(json) ? json_integer_value(json) : -1;
    if (id < 0 || id >= VOCAB_MAX_IDS)
        return FAIL(STATUS_BAD_INPUT, "%s: the id of the token \"%.100s\" is not an integer from 0 to %d",
                    path, token, VOCAB_MAX_IDS - 1);
    *id_out = (int32_t)id;
    return STATUS_OK;
}

/* How large the vocabulary will be, the added tokens included. */
struct extent {
    size_t n_ids, n_tokens, text_bytes;
};

static void extend(struct extent *extent, int32_t id, const char *text) {
    if ((size_t)id >= extent->n_ids) extent->n_ids = (size_t)id + 1;
    extent->n_tokens++;
    extent->text_bytes += strlen(text);
}

static enum status measure(json_t *vocab, const json_t *added, const char *path, struct extent *extent) {
    const char *text;
    json_t *value;
    int32_t id;
    json_object_foreach(vocab, text, value) {
        TRY(read_id(value, path, text, &id));
        extend(extent, id, text);
    }
    for (size_t i = 0; i < json_array_size(added); i++) {
        const struct json_part part = {json_array_get(added, i), path, "added_tokens[]"};
        TRY(json_part_need_text(&part, "content", &text));
        TRY(read_id(json_object_get(part.json, "id"), path, text, &id));
        extend(extent, id, text);
    }
    /* Added tokens usually repeat tokens of the vocabulary. */
    if (extent->n_tokens > extent->n_ids) extent->n_tokens = extent->n_ids;
    return STATUS_OK;
}

static enum status fill_vocab(json_t *vocab, const char *path, struct tokenizer *tokenizer) {
    const char *text;
    json_t *value;
    json_object_foreach(vocab, text, value) {
        int32_t id;
        TRY(read_id(value, path, text, &id));
        TRY(vocab_add(&tokenizer->vocab, path, id, text, strlen(text), 0));
    }
    return STATUS_OK;
}

/* The two parts of a merge: "a b", or ["a", "b"]. */
static enum status split_merge(const json_t *merge, const char *path, size_t rank, const char **left,
                               size_t *left_size, const char **right) {
    if (json_is_string(merge)) {
        *left = json_string_value(merge);
        const char *space = strchr(*left, ' ');
        if (space && !strchr(space + 1, ' ')) {
            *left_size = (size_t)(space - *left);
            *right = space + 1;
            return STATUS_OK;
        }
    } else if (json_array_size(merge) == 2) {
        *left = json_string_value(json_array_get(merge, 0));
        *right = json_string_value(json_array_get(merge, 1));
        *left_size = *left ? strlen(*left) : 0;
        if (*left && *right) return STATUS_OK;
    }
    return FAIL(STATUS_BAD_INPUT, "%s: merge %zu is neither \"a b\" nor [\"a\", \"b\"]", path, rank);
}

static bool is_version_line(const json_t *merge) {
    return json_is_string(merge) && strncmp(json_string_value(merge), "#version", 8) == 0;
}

static enum status read_merges(const json_t *merges, const char *path, struct tokenizer *tokenizer) {
    const size_t n = json_array_size(merges);
    if (n > 4 * (size_t)VOCAB_MAX_IDS)
        return FAIL(STATUS_BAD_INPUT, "%s: %zu merges are more than the %d supported", path, n,
                    4 * VOCAB_MAX_IDS);
    TRY(bpe_create_merges(tokenizer->memory, n, &tokenizer->bpe));
    for (size_t i = 0, rank = 0; i < n; i++) {
        const json_t *merge = json_array_get(merges, i);
        if (is_version_line(merge)) continue;
        const char *left = NULL, *right = NULL;
        size_t left_size = 0;
        TRY(split_merge(merge, path, i, &left, &left_size, &right));
        TRY(bpe_add_merge(&tokenizer->bpe, &tokenizer->vocab, path, (uint32_t)rank++, left, left_size, right,
                          strlen(right), false));
    }
    return STATUS_OK;
}

/* Variants of BPE that no decoder-only model uses. */
static enum status refuse_variants(const struct json_part *model) {
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < sizeof affixes / sizeof *affixes; i++) {
        const char *affix = "";
        TRY(json_part_text(model, affixes[i], &affix));
        if (*affix)
            return FAIL(STATUS_BAD_INPUT, "%s: model.%s \"%.50s\" is not supported", model->path, affixes[i],
                        affix);
    }
    const json_t *dropout = json_object_get(model->json, "dropout");
    if (dropout && !json_is_null(dropout) && json_number_value(dropout) != 0.0)
        return FAIL(STATUS_BAD_INPUT, "%s: model.dropout is not supported: tokens would be random",
                    model->path);
    return STATUS_OK;
}

static enum status read_flags(const struct json_part *model, struct tokenizer *tokenizer) {
    struct bpe *bpe = &tokenizer->bpe;
    const char *unknown = NULL;
    TRY(json_part_bool(model, "byte_fallback", &bpe->byte_fallback));
    TRY(json_part_bool(model, "fuse_unk", &bpe->fuse_unknown));
    TRY(json_part_bool(model, "ignore_merges", &bpe->ignore_merges));
    TRY(json_part_text(model, "unk_token", &unknown));
    if (!unknown) return STATUS_OK;
    bpe->unknown_id = vocab_find(&tokenizer->vocab, unknown, strlen(unknown));
    if (bpe->unknown_id < 0)
        return FAIL(STATUS_BAD_INPUT, "%s: model.unk_token \"%.100s\" is not in the vocabulary", model->path,
                    unknown);
    return STATUS_OK;
}

enum status json_model_read(const json_t *root, const char *path, struct tokenizer *tokenizer) {
    const struct json_part document = {root, path, "document"};
    json_t *object = NULL, *vocab = NULL, *merges = NULL, *added = NULL;
    const char *type = "BPE";
    TRY(json_part_object(&document, "model", &object));
    const struct json_part model = {object, path, "model"};
    if (!object) return FAIL(STATUS_BAD_INPUT, "%s: model is missing", path);
    TRY(json_part_text(&model, "type", &type));
    if (strcmp(type, "BPE") != 0)
        return FAIL(STATUS_BAD_INPUT, "%s: model.type \"%.50s\" is not supported; only BPE is", path, type);
    TRY(refuse_variants(&model));
    TRY(json_part_object(&model, "vocab", &vocab));
    TRY(json_part_array(&model, "merges", &merges));
    TRY(json_part_array(&document, "added_tokens", &added));
    if (!vocab || !merges || json_object_size(vocab) == 0)
        return FAIL(STATUS_BAD_INPUT, "%s: model.%s is missing", path, merges ? "vocab" : "merges");
    struct extent extent = {0};
    TRY(measure(vocab, added, path, &extent));
    TRY(vocab_create(tokenizer->memory, extent.n_ids, extent.n_tokens, extent.text_bytes, &tokenizer->vocab));
    TRY(fill_vocab(vocab, path, tokenizer));
    TRY(read_flags(&model, tokenizer));
    bpe_find_bytes(&tokenizer->vocab, &tokenizer->bpe);
    return read_merges(merges, path, tokenizer);
}

/* ---- added tokens ---- */

/* Puts the token into the vocabulary, unless it is there already under the same id. */
static enum status settle_id(struct tokenizer *tokenizer, const char *path, const struct added_token *token) {
    const int32_t known = vocab_find(&tokenizer->vocab, token->text, token->size);
    if (known >= 0 && known != token->id)
        return FAIL(STATUS_BAD_INPUT, "%s: the added token \"%s\" has the id %d, but %d in the vocabulary",
                    path, token->text, token->id, known);
    if (known < 0) TRY(vocab_add(&tokenizer->vocab, path, token->id, token->text, token->size, 0));
    tokenizer->vocab.tokens[token->id].flags = TOKEN_VERBATIM | (token->special ? TOKEN_SPECIAL : 0);
    return STATUS_OK;
}

static enum status read_added(const struct json_part *part, struct tokenizer *tokenizer,
                              struct added_token *token_out, bool *normalized_out) {
    struct added_token token = {0};
    TRY(json_part_need_text(part, "content", &token.text));
    TRY(read_id(json_object_get(part->json, "id"), part->path, token.text, &token.id));
    TRY(json_part_bool(part, "special", &token.special));
    TRY(json_part_bool(part, "lstrip", &token.takes_left_space));
    TRY(json_part_bool(part, "rstrip", &token.takes_right_space));
    TRY(json_part_bool(part, "single_word", &token.single_word));
    TRY(json_part_bool(part, "normalized", normalized_out));
    if (strlen(token.text) > ADDED_TOKEN_MAX_BYTES)
        return FAIL(STATUS_BAD_INPUT, "%s: the added token %d is longer than %d bytes", part->path, token.id,
                    ADDED_TOKEN_MAX_BYTES);
    token.size = (uint32_t)strlen(token.text);
    if (token.size > 0) {
        TRY(settle_id(tokenizer, part->path, &token));
        token.text = tokenizer->vocab.tokens[token.id].text; /* the document goes away */
    }
    *token_out = token;
    return STATUS_OK;
}

enum status json_added_tokens_read(const json_t *root, const char *path, struct tokenizer *tokenizer) {
    const json_t *list = json_object_get(root, "added_tokens");
    const size_t n = json_array_size(list);
    struct added_token *raw, *normalized;
    size_t n_raw = 0, n_normalized = 0;
    if (n == 0) return STATUS_OK;
    TRY(ARENA_TAKE(tokenizer->memory, n, &raw));
    TRY(ARENA_TAKE(tokenizer->memory, n, &normalized));
    for (size_t i = 0; i < n; i++) {
        const struct json_part part = {json_array_get(list, i), path, "added_tokens[]"};
        struct added_token token;
        bool is_normalized = false;
        TRY(read_added(&part, tokenizer, &token, &is_normalized));
        if (token.size == 0) continue;
        if (is_normalized)
            normalized[n_normalized++] = token;
        else
            raw[n_raw++] = token;
    }
    added_tokens_build(raw, n_raw, &tokenizer->added);
    return tokenizer_add_normalized(tokenizer, normalized, n_normalized);
}
