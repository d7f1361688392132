#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "coordinator/tokenizer/json_config_impl.h"
#include "coordinator/tokenizer/json_model_impl.h"
#include "coordinator/tokenizer/json_pipeline_impl.h"

/* The largest tokenizer.json in use has 33 MB. */
enum { MAX_TOKENIZER_BYTES = 1 << 27, MAX_CONFIG_BYTES = 1 << 24 };

/* "truncation" and "padding" are about training batches; a prompt is never cut. */
static enum status read_document(const json_t *root, const char *path, struct tokenizer *tokenizer) {
    TRY(json_normalizer_read(root, path, tokenizer));
    TRY(json_pre_tokenizer_read(root, path, tokenizer));
    TRY(json_decoder_read(root, path, tokenizer));
    TRY(json_model_read(root, path, tokenizer));
    TRY(json_added_tokens_read(root, path, tokenizer));
    return json_post_processor_read(root, path, tokenizer);
}

enum status tokenizer_parse(const char *json, size_t size, const char *path,
                            struct tokenizer **tokenizer_out) {
    struct tokenizer *tokenizer = NULL;
    json_t *root = NULL;
    enum status status;
    TRY(tokenizer_create(&tokenizer));
    TRY_GOTO(json_part_parse(json, size, path, &root), close);
    TRY_GOTO(read_document(root, path, tokenizer), close);
    json_decref(root);
    *tokenizer_out = tokenizer;
    return STATUS_OK;
close:
    json_decref(root);
    tokenizer_close(tokenizer);
    return status;
}

static enum status parse_file(const char *path, struct tokenizer **tokenizer_out) {
    struct bytes content = {0};
    TRY(file_read_all(path, MAX_TOKENIZER_BYTES, &content));
    const enum status status = tokenizer_parse(content.data, content.size, path, tokenizer_out);
    bytes_free(&content);
    return status;
}

static enum status configure_from_file(const char *path, struct tokenizer *tokenizer) {
    struct bytes content = {0};
    if (!file_exists(path)) return STATUS_OK;
    TRY(file_read_all(path, MAX_CONFIG_BYTES, &content));
    const enum status status = tokenizer_configure(tokenizer, content.data, content.size, path);
    bytes_free(&content);
    return status;
}

/* A template in a file of its own goes before the one in tokenizer_config.json. */
static enum status read_template_file(const char *path, struct tokenizer *tokenizer) {
    struct bytes content = {0};
    if (!file_exists(path)) return STATUS_OK;
    TRY(file_read_all(path, MAX_CONFIG_BYTES, &content));
    enum status status = STATUS_OK;
    if (memchr(content.data, '\0', content.size))
        status = FAIL(STATUS_BAD_INPUT, "%s contains a NUL byte", path);
    else
        status = tokenizer_copy_text(tokenizer, content.data, content.size, &tokenizer->chat_template);
    bytes_free(&content);
    return status;
}

enum status tokenizer_open_folder(const char *folder, struct tokenizer **tokenizer_out) {
    char tokenizer_path[FILE_PATH_MAX], config_path[FILE_PATH_MAX], template_path[FILE_PATH_MAX];
    TRY(file_join(folder, "tokenizer.json", tokenizer_path));
    TRY(file_join(folder, "tokenizer_config.json", config_path));
    TRY(file_join(folder, "chat_template.jinja", template_path));
    struct tokenizer *tokenizer;
    TRY(parse_file(tokenizer_path, &tokenizer));
    enum status status;
    TRY_GOTO(configure_from_file(config_path, tokenizer), close);
    TRY_GOTO(read_template_file(template_path, tokenizer), close);
    *tokenizer_out = tokenizer;
    return STATUS_OK;
close:
    tokenizer_close(tokenizer);
    return status;
}
