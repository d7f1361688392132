#include "tests/tokenizer/tokenizer_fixture.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "modelfile/gguf.h"

static void check(enum status status) {
    if (status != STATUS_OK) fail_msg("%s", status_message());
}

static void path_of(const char *name, char path[FILE_PATH_MAX]) {
    check(file_join(TEST_DATA, name, path));
}

struct bytes fixture_read(const char *name) {
    char path[FILE_PATH_MAX];
    struct bytes content = {0};
    path_of(name, path);
    check(file_read_all(path, 1 << 26, &content));
    return content;
}

static struct tokenizer *open_gguf(const char *path) {
    struct gguf *gguf;
    struct tokenizer *tokenizer;
    check(gguf_open(path, &gguf));
    check(tokenizer_open_gguf(gguf, path, &tokenizer));
    gguf_close(gguf); /* the tokenizer needs it no longer */
    return tokenizer;
}

struct tokenizer *fixture_open(const char *name) {
    char path[FILE_PATH_MAX];
    struct tokenizer *tokenizer;
    path_of(name, path);
    if (strstr(name, ".gguf")) return open_gguf(path);
    if (file_is_directory(path)) {
        check(tokenizer_open_folder(path, &tokenizer));
        return tokenizer;
    }
    struct bytes content = fixture_read(name);
    check(tokenizer_parse(content.data, content.size, name, &tokenizer));
    bytes_free(&content);
    return tokenizer;
}

static struct bytes double_quoted(const char *json) {
    struct bytes text = {0};
    check(bytes_append_text(&text, json));
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] == '\'') text.data[i] = '"';
    return text;
}

struct tokenizer *fixture_parse(const char *json) {
    struct bytes text = double_quoted(json);
    struct tokenizer *tokenizer;
    check(tokenizer_parse(text.data, text.size, "tokenizer.json", &tokenizer));
    bytes_free(&text);
    return tokenizer;
}

void fixture_refused(const char *json, const char *expected) {
    struct bytes text = double_quoted(json);
    struct tokenizer *tokenizer = NULL;
    assert_int_equal(tokenizer_parse(text.data, text.size, "tokenizer.json", &tokenizer), STATUS_BAD_INPUT);
    assert_null(tokenizer);
    if (!strstr(status_message(), expected) || !strstr(status_message(), "tokenizer.json"))
        fail_msg("\"%s\" does not name the file and say \"%s\"", status_message(), expected);
    bytes_free(&text);
}

void fixture_check_ids(const struct tokenizer *tokenizer, const char *text, size_t size,
                       struct tokenizer_encode_options options, const int32_t *ids, size_t n) {
    struct token_list got = {0};
    check(tokenizer_encode(tokenizer, text, size, options, &got));
    for (size_t i = 0; i < n || i < got.n; i++)
        if (i >= n || i >= got.n || got.ids[i] != ids[i])
            fail_msg("token %zu of \"%.*s\" is %d, not %d (%zu tokens, not %zu)", i, (int)size, text,
                     i < got.n ? got.ids[i] : -1, i < n ? ids[i] : -1, got.n, n);
    token_list_free(&got);
}

void fixture_check_round_trip(const struct tokenizer *tokenizer, const char *text, size_t size) {
    struct token_list ids = {0};
    struct bytes decoded = {0};
    check(tokenizer_encode(tokenizer, text, size, (struct tokenizer_encode_options){false, true}, &ids));
    check(tokenizer_decode(tokenizer, ids.ids, ids.n, true, &decoded));
    assert_int_equal(decoded.size, size);
    if (size > 0) assert_memory_equal(decoded.data, text, size);
    token_list_free(&ids);
    bytes_free(&decoded);
}

static uint32_t draw(uint64_t stream, uint64_t index, uint32_t limit) {
    return (uint32_t)(rng_uniform(11, stream, index) * limit);
}

struct bytes fixture_random_text(uint64_t stream, size_t n) {
    static const uint32_t limits[] = {0x80, 0x300, 0x3000, 0x110000};
    const uint32_t limit = limits[stream % 4];
    struct bytes text = {0};
    for (size_t i = 0; i < n; i++) {
        char character[4];
        const size_t length = utf8_encode(draw(stream, i, limit), character);
        check(bytes_append(&text, character, length)); /* nothing for a surrogate */
    }
    return text;
}

struct token_list fixture_ids(const json_t *array) {
    struct token_list ids = {0};
    assert_true(json_is_array(array));
    for (size_t i = 0; i < json_array_size(array); i++)
        check(token_list_append(&ids, (int32_t)json_integer_value(json_array_get(array, i))));
    return ids;
}
