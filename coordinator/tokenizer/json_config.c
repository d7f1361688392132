#include "coordinator/tokenizer/json_config_impl.h"

#include <string.h>

#include "coordinator/tokenizer/json_part_impl.h"

/* The id of a token given as "<s>" or as {"content": "<s>", …}; null: none. */
static enum status read_token(const struct json_part *config, const char *field,
                              const struct tokenizer *tokenizer, int32_t *id_out) {
    const json_t *json = json_object_get(config->json, field);
    if (json_is_object(json)) json = json_object_get(json, "content");
    if (!json || json_is_null(json)) return STATUS_OK;
    const char *text = json_string_value(json);
    if (!text)
        return FAIL(STATUS_BAD_INPUT, "%s: %s is neither a string nor has it a content", config->path, field);
    const int32_t id = tokenizer_find(tokenizer, text);
    if (id < 0)
        return FAIL(STATUS_BAD_INPUT, "%s: %s \"%.100s\" is not in the vocabulary", config->path, field,
                    text);
    *id_out = id;
    return STATUS_OK;
}

/* What the configuration says explicitly goes before the template in tokenizer.json. */
static enum status read_additions(const struct json_part *config, struct tokenizer *tokenizer) {
    const struct {
        const char *field;
        int32_t id;
        enum status (*set)(struct tokenizer *, bool);
    } additions[] = {
        {"add_bos_token", tokenizer->bos_id, tokenizer_set_bos},
        {"add_eos_token", tokenizer->eos_id, tokenizer_set_eos},
    };
    for (size_t i = 0; i < sizeof additions / sizeof *additions; i++) {
        const json_t *json = json_object_get(config->json, additions[i].field);
        bool add = false;
        if (!json || json_is_null(json)) continue;
        TRY(json_part_bool(config, additions[i].field, &add));
        if (add && additions[i].id < 0)
            return FAIL(STATUS_BAD_INPUT, "%s: %s is true, but that token is not named", config->path,
                        additions[i].field);
        if (additions[i].id >= 0) TRY(additions[i].set(tokenizer, add));
    }
    return STATUS_OK;
}

/* A string, or a list of named templates of which "default" counts. */
static const char *find_template(const json_t *json) {
    for (size_t i = 0; i < json_array_size(json); i++) {
        const json_t *entry = json_array_get(json, i);
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (name && strcmp(name, "default") == 0)
            return json_string_value(json_object_get(entry, "template"));
    }
    return json_string_value(json);
}

static enum status read_template(const struct json_part *config, struct tokenizer *tokenizer) {
    const json_t *json = json_object_get(config->json, "chat_template");
    if (!json || json_is_null(json)) return STATUS_OK;
    const char *template_source = find_template(json);
    if (!template_source)
        return FAIL(STATUS_BAD_INPUT, "%s: chat_template is neither a string nor a list with a default",
                    config->path);
    return tokenizer_copy_text(tokenizer, template_source, strlen(template_source),
                               &tokenizer->chat_template);
}

enum status tokenizer_configure(struct tokenizer *tokenizer, const char *json, size_t size,
                                const char *path) {
    json_t *root;
    TRY(json_part_parse(json, size, path, &root));
    const struct json_part config = {root, path, "document"};
    enum status status;
    TRY_GOTO(read_token(&config, "bos_token", tokenizer, &tokenizer->bos_id), done);
    TRY_GOTO(read_token(&config, "eos_token", tokenizer, &tokenizer->eos_id), done);
    TRY_GOTO(read_additions(&config, tokenizer), done);
    status = read_template(&config, tokenizer);
done:
    json_decref(root);
    return status;
}
