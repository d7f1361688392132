/* caucus tokenize: text to token ids, one line each, and back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "coordinator/commands.h"
#include "coordinator/json_build.h"
#include "coordinator/json_print.h"
#include "coordinator/model_text.h"

enum { MAX_TEXT_BYTES = 1 << 30 };

static json_t *json_ids(const struct token_list *ids) {
    json_t *array = json_array();
    for (size_t i = 0; i < ids->n; i++) {
        if (json_array_append_new(array, json_integer(ids->ids[i])) == 0) continue;
        json_decref(array);
        return NULL;
    }
    return array;
}

static enum status print_ids(const struct config *config, const struct token_list *ids) {
    if (config->json) return json_print(json_pack("{s:o}", "ids", json_ids(ids)), false);
    for (size_t i = 0; i < ids->n; i++)
        printf("%s%d", i ? " " : "", (int)ids->ids[i]);
    putchar('\n');
    return STATUS_OK;
}

static enum status encode(const struct config *config, const struct tokenizer *tokenizer, const char *text,
                          size_t size) {
    const struct tokenizer_encode_options options = {
        .add_special = config->add_special,
        .parse_special = config->parse_special,
    };
    struct token_list ids = {0};
    enum status status = tokenizer_encode(tokenizer, text, size, options, &ids);
    if (status == STATUS_OK) status = print_ids(config, &ids);
    token_list_free(&ids);
    return status;
}

/* Ids are separated by white space or commas; the brackets of a JSON list are allowed. */
static enum status parse_ids(const char *text, size_t size, int32_t vocab_size, struct token_list *ids) {
    if (strlen(text) != size) return FAIL(STATUS_BAD_INPUT, "the token ids hold a NUL character");
    for (const char *next = text + strspn(text, " \t\r\n,[]"); *next; next += strspn(next, " \t\r\n,[]")) {
        char *end = NULL;
        errno = 0;
        const long long id = strtoll(next, &end, 10);
        if (end == next || !strchr(" \t\r\n,]", *end))
            return FAIL(STATUS_BAD_INPUT, "'%.20s' is not a token id", next);
        if (errno || id < 0 || id >= vocab_size)
            return FAIL(STATUS_BAD_INPUT, "%.*s is no token id: the vocabulary ends at %d",
                        (int)(end - next < 24 ? end - next : 24), next, (int)vocab_size - 1);
        TRY(token_list_append(ids, (int32_t)id));
        next = end;
    }
    return STATUS_OK;
}

static enum status print_text(const struct config *config, const struct bytes *text) {
    const char *data = text->data ? text->data : "";
    if (config->json) return json_print(json_pack("{s:o}", "text", json_lossy_text(data, text->size)), false);
    fwrite(data, 1, text->size, stdout);
    putchar('\n');
    return STATUS_OK;
}

static enum status decode(const struct config *config, const struct tokenizer *tokenizer, const char *text,
                          size_t size) {
    struct token_list ids = {0};
    struct bytes decoded = {0};
    enum status status;
    TRY_GOTO(parse_ids(text, size, tokenizer_vocab_size(tokenizer), &ids), free);
    TRY_GOTO(tokenizer_decode(tokenizer, ids.ids, ids.n, true, &decoded), free);
    TRY_GOTO(print_text(config, &decoded), free);
free:
    bytes_free(&decoded);
    token_list_free(&ids);
    return status;
}

static enum status convert(const struct config *config, const struct tokenizer *tokenizer, const char *text,
                           size_t size) {
    return config->decode ? decode(config, tokenizer, text, size) : encode(config, tokenizer, text, size);
}

static enum status convert_file(const struct config *config, const struct tokenizer *tokenizer) {
    struct bytes text = {0};
    TRY(file_read_all(config->prompt_file ? config->prompt_file : "-", MAX_TEXT_BYTES, &text));
    const enum status status = convert(config, tokenizer, text.data, text.size);
    bytes_free(&text);
    return status;
}

static enum status convert_all(const struct config *config, const struct tokenizer *tokenizer) {
    if (config->prompts.n == 0) return convert_file(config, tokenizer);
    for (size_t i = 0; i < config->prompts.n; i++) {
        const char *text = config->prompts.items[i];
        TRY(convert(config, tokenizer, text, strlen(text)));
    }
    return STATUS_OK;
}

enum status command_tokenize(const struct config *config) {
    struct tokenizer *tokenizer = NULL;
    TRY(model_text_open(config->model, &tokenizer));
    const enum status status = convert_all(config, tokenizer);
    tokenizer_close(tokenizer);
    return status;
}
