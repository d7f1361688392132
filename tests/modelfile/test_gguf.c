/* GGUF: metadata of every kind, the tensor table, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "modelfile/gguf.h"
#include "tests/modelfile/model_fixture.h"

static enum status parse(const struct bytes *file, struct gguf **gguf) {
    return gguf_parse(file->data, file->size, file->size, "m.gguf", gguf);
}

/* Parses what was written so far and gives the file back. */
static struct gguf *parse_good(struct gguf_writer *writer) {
    struct gguf *gguf;
    struct bytes file = gguf_finish(writer);
    if (parse(&file, &gguf) != STATUS_OK) fail_msg("%s", status_message());
    bytes_free(&file);
    return gguf;
}

static void refuse_file(struct bytes *file, const char *word, const char *other_word) {
    struct gguf *gguf;
    expect_refusal(parse(file, &gguf), STATUS_BAD_INPUT, "m.gguf", word, other_word, NULL);
    bytes_free(file);
}

static void refuse(struct gguf_writer *writer, const char *word, const char *other_word) {
    struct bytes file = gguf_finish(writer);
    refuse_file(&file, word, other_word);
}

static bool text_is(struct gguf_text text, const char *expected) {
    return text.size == strlen(expected) && memcmp(text.data, expected, text.size) == 0;
}

static void reads_single_values(void **state) {
    (void)state;
    struct gguf_writer writer = {.version = 2};
    const uint8_t u8 = 200, yes = 1;
    const int8_t i8 = -5;
    const uint16_t u16 = 60000;
    const int16_t i16 = -300;
    const int32_t i32 = -70000;
    const uint64_t u64 = UINT64_C(1) << 40, huge = UINT64_MAX;
    const int64_t i64 = -1;
    const double f64 = 0.25;
    gguf_add_number(&writer, "u8", 0, &u8, 1);
    gguf_add_number(&writer, "i8", 1, &i8, 1);
    gguf_add_number(&writer, "u16", 2, &u16, 2);
    gguf_add_number(&writer, "i16", 3, &i16, 2);
    gguf_add_u32(&writer, "u32", 4000000000u);
    gguf_add_number(&writer, "i32", 5, &i32, 4);
    gguf_add_f32(&writer, "f32", 0.5f);
    gguf_add_number(&writer, "bool", 7, &yes, 1);
    gguf_add_text(&writer, "text", "w\xc3\xb6rd");
    gguf_add_number(&writer, "u64", 10, &u64, 8);
    gguf_add_number(&writer, "huge", 10, &huge, 8);
    gguf_add_number(&writer, "i64", 11, &i64, 8);
    gguf_add_number(&writer, "f64", 12, &f64, 8);
    struct gguf *gguf = parse_good(&writer);

    static const struct {
        const char *key;
        int64_t value;
    } integers[] = {{"u8", 200},
                    {"i8", -5},
                    {"u16", 60000},
                    {"i16", -300},
                    {"u32", 4000000000u},
                    {"i32", -70000},
                    {"u64", INT64_C(1) << 40},
                    {"i64", -1}};
    for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++) {
        int64_t value;
        double real;
        assert_true(gguf_get_i64(gguf, integers[i].key, &value));
        assert_int_equal(value, integers[i].value);
        assert_true(gguf_get_f64(gguf, integers[i].key, &real));
        assert_true(real == (double)integers[i].value);
    }
    int64_t integer;
    double real;
    bool flag;
    struct gguf_text text;
    assert_true(gguf_get_f64(gguf, "f32", &real) && real == 0.5);
    assert_true(gguf_get_f64(gguf, "f64", &real) && real == 0.25);
    assert_true(gguf_get_bool(gguf, "bool", &flag) && flag);
    assert_true(gguf_get_text(gguf, "text", &text) && text_is(text, "w\xc3\xb6rd"));
    assert_true(gguf_has(gguf, "huge") && !gguf_has(gguf, "hug") && !gguf_has(gguf, "hugee"));
    assert_false(gguf_get_i64(gguf, "huge", &integer));
    assert_false(gguf_get_i64(gguf, "f32", &integer));
    assert_false(gguf_get_i64(gguf, "bool", &integer));
    assert_false(gguf_get_i64(gguf, "text", &integer));
    assert_false(gguf_get_f64(gguf, "text", &real));
    assert_false(gguf_get_bool(gguf, "u8", &flag));
    assert_false(gguf_get_text(gguf, "u8", &text));
    assert_int_equal(gguf_array_count(gguf, "u8"), -1);
    gguf_close(gguf);
}

static void reads_arrays(void **state) {
    (void)state;
    struct gguf_writer writer = {0};
    const char *texts[] = {"a", "", "long one"};
    const float floats[] = {0.5f, -1.5f};
    const int32_t integers[] = {7, -7, 70};
    gguf_add_texts(&writer, "texts", 3, texts);
    gguf_add_array(&writer, "floats", 6, 2, floats, sizeof floats);
    gguf_add_array(&writer, "integers", 5, 3, integers, sizeof integers);
    gguf_add_array(&writer, "none", 5, 0, NULL, 0);
    struct gguf *gguf = parse_good(&writer);
    struct gguf_text text;
    double real;
    int64_t integer;
    assert_int_equal(gguf_array_count(gguf, "texts"), 3);
    assert_int_equal(gguf_array_count(gguf, "none"), 0);
    assert_int_equal(gguf_array_count(gguf, "missing"), -1);
    assert_true(gguf_array_text(gguf, "texts", 2, &text) && text_is(text, "long one"));
    assert_true(gguf_array_text(gguf, "texts", 1, &text) && text.size == 0);
    assert_false(gguf_array_text(gguf, "texts", 3, &text));
    assert_false(gguf_array_text(gguf, "texts", -1, &text));
    assert_true(gguf_array_f64(gguf, "floats", 1, &real) && real == -1.5);
    assert_true(gguf_array_i64(gguf, "integers", 1, &integer) && integer == -7);
    assert_true(gguf_array_f64(gguf, "integers", 2, &real) && real == 70);
    assert_false(gguf_array_i64(gguf, "texts", 0, &integer));
    assert_false(gguf_array_text(gguf, "floats", 0, &text));
    assert_false(gguf_get_i64(gguf, "integers", &integer));
    gguf_close(gguf);
}

static void reads_the_tensor_table(void **state) {
    (void)state;
    struct gguf_writer writer = {0};
    gguf_add_tensor(&writer, "q8", 8, 3 * 2 * 34, 2, (int64_t[]){3, 64});
    gguf_add_tensor(&writer, "new", 99, 64, 1, (int64_t[]){5});
    struct gguf *gguf = parse_good(&writer);
    assert_int_equal(gguf_tensor_count(gguf), 2);
    const struct gguf_tensor *q8 = gguf_tensor_at(gguf, 0), *new = gguf_tensor_at(gguf, 1);
    assert_true(text_is(q8->name, "q8"));
    assert_true(q8->n_dims == 2 && q8->shape[0] == 3 && q8->shape[1] == 64);
    assert_int_equal(q8->bytes, 204);
    assert_int_equal(q8->offset % 32, 0);
    assert_string_equal(gguf_type_find(q8->type)->name, "Q8_0");
    assert_null(gguf_type_find(new->type));
    assert_int_equal(new->bytes, 0);
    assert_int_equal(new->offset, q8->offset + 224);
    gguf_close(gguf);
}

static void opens_a_real_file(void **state) {
    (void)state;
    struct gguf *gguf;
    assert_int_equal(gguf_open(TEST_DATA "/models/stories260K.gguf", &gguf), STATUS_OK);
    assert_int_equal(gguf_tensor_count(gguf), 48);
    assert_int_equal(gguf_array_count(gguf, "tokenizer.ggml.tokens"), 512);
    struct gguf_text text;
    assert_true(gguf_array_text(gguf, "tokenizer.ggml.tokens", 1, &text) && text_is(text, "<s>"));
    gguf_close(gguf);
}

/* More metadata than the first piece that is read. */
static void opens_a_long_header(void **state) {
    (void)state;
    enum { N_TEXTS = 400000 };
    static const char *texts[N_TEXTS];
    for (int i = 0; i < N_TEXTS; i++)
        texts[i] = i == N_TEXTS - 1 ? "last" : "token of a tokenizer";
    struct gguf_writer writer = {0};
    gguf_add_texts(&writer, "tokens", N_TEXTS, texts);
    gguf_add_tensor(&writer, "t", 0, 8, 1, (int64_t[]){2});
    struct bytes file = gguf_finish(&writer);
    assert_true(file.size > 8 << 20);

    char folder[SCRATCH_PATH_MAX], path[2 * SCRATCH_PATH_MAX];
    scratch_create(folder);
    scratch_write(folder, "m.gguf", file.data, file.size);
    snprintf(path, sizeof path, "%s/m.gguf", folder);
    struct gguf *gguf;
    struct gguf_text text;
    assert_int_equal(gguf_open(path, &gguf), STATUS_OK);
    assert_true(gguf_array_text(gguf, "tokens", N_TEXTS - 1, &text) && text_is(text, "last"));
    assert_int_equal(gguf_tensor_at(gguf, 0)->offset + 8, file.size);
    gguf_close(gguf);
    scratch_write(folder, "m.gguf", file.data, 6 << 20);
    expect_refusal(gguf_open(path, &gguf), STATUS_BAD_INPUT, "truncated", NULL);
    scratch_remove(folder);
    bytes_free(&file);
}

static struct bytes small_file(void) {
    struct gguf_writer writer = {0};
    const char *texts[] = {"a", "b"};
    gguf_add_u32(&writer, "number", 1);
    gguf_add_texts(&writer, "texts", 2, texts);
    gguf_add_tensor(&writer, "t", 0, 40, 1, (int64_t[]){10});
    return gguf_finish(&writer);
}

static void refuses_every_truncation(void **state) {
    (void)state;
    struct bytes file = small_file();
    struct gguf *gguf;
    for (size_t size = 0; size < file.size; size++)
        expect_refusal(gguf_parse(file.data, size, size, "m.gguf", &gguf), STATUS_BAD_INPUT, "m.gguf", NULL);
    assert_int_equal(parse(&file, &gguf), STATUS_OK);
    gguf_close(gguf);
    bytes_free(&file);
}

/* The small file with 8 bytes at `offset` replaced. */
static void refuse_patched(size_t offset, uint64_t value, size_t size, const char *word, const char *other) {
    struct bytes file = small_file();
    memcpy(file.data + offset, &value, size);
    refuse_file(&file, word, other);
}

static void refuses_bad_headers(void **state) {
    (void)state;
    refuse_patched(0, 0x4c4d4747, 4, "not a GGUF file", "begin");
    refuse_patched(4, 1, 4, "version 1", "only 2 and 3");
    refuse_patched(4, 4, 4, "version 4", "only 2 and 3");
    refuse_patched(4, 3u << 24, 4, "big-endian", "not supported");
    refuse_patched(8, UINT64_MAX, 8, "tensor count", "absurd");
    refuse_patched(8, 1000, 8, "tensor count", "absurd");
    refuse_patched(16, UINT64_MAX / 2, 8, "metadata count", "absurd");
    refuse_patched(24, UINT64_MAX, 8, "a metadata key", "truncated");
    refuse_patched(24, 0, 8, "metadata key", "empty");
    refuse_patched(32, 0x1b, 1, "metadata key", "no plain text");
    refuse_patched(38, 77, 4, "metadata number", "unknown type 77");
    const size_t texts = 38 + 4 + 4 + 8 + 5;
    refuse_patched(texts + 4, 9, 4, "metadata texts", "array of arrays");
    refuse_patched(texts + 8, UINT64_MAX, 8, "an array length", "absurd");
    refuse_patched(texts + 16, UINT64_MAX, 8, "an element of an array", "truncated");
}

static void refuses_bad_metadata(void **state) {
    (void)state;
    struct gguf_writer writer = {0};
    gguf_add_u32(&writer, "twice", 1);
    gguf_add_u32(&writer, "once", 1);
    gguf_add_u32(&writer, "twice", 2);
    refuse(&writer, "metadata twice", "there twice");
    const uint8_t two = 2;
    gguf_add_number(&writer, "flag", 7, &two, 1);
    refuse(&writer, "metadata flag", "neither true nor false");
    gguf_add_u32(&writer, "general.alignment", 24);
    refuse(&writer, "general.alignment", "power of two");
    gguf_add_text(&writer, "general.alignment", "32");
    refuse(&writer, "general.alignment", "no number");
}

static void refuses_bad_tensors(void **state) {
    (void)state;
    struct gguf_writer writer = {0};
    gguf_add_tensor(&writer, "t", 0, 4, 1, (int64_t[]){1 << 20});
    refuse(&writer, "tensor t", "truncated");
    gguf_add_tensor(&writer, "t", 8, 34, 1, (int64_t[]){33});
    refuse(&writer, "tensor t", "Q8_0");
    gguf_add_tensor(&writer, "t", 0, 4, 3, (int64_t[]){INT64_C(1) << 40, INT64_C(1) << 40, 4});
    refuse(&writer, "tensor t", "F32");
    gguf_add_tensor(&writer, "t", 0, 4, 1, (int64_t[]){-1});
    refuse(&writer, "tensor t", "dimension");
    gguf_add_tensor(&writer, "t", 0, 4, 0, NULL);
    refuse(&writer, "tensor t", "0 dimensions");
    gguf_add_tensor(&writer, "", 0, 4, 1, (int64_t[]){1});
    refuse(&writer, "tensor name", "empty");
    gguf_add_tensor(&writer, "t", 0, 4, 1, (int64_t[]){1});
    writer.tensors.data[writer.tensors.size - 8] = 4;
    refuse(&writer, "tensor t", "alignment");
    gguf_add_tensor(&writer, "t", 0, 4, 1, (int64_t[]){1});
    memset(writer.tensors.data + writer.tensors.size - 7, 0xff, 7);
    refuse(&writer, "tensor t", "truncated");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_single_values),    cmocka_unit_test(reads_arrays),
        cmocka_unit_test(reads_the_tensor_table), cmocka_unit_test(opens_a_real_file),
        cmocka_unit_test(opens_a_long_header),    cmocka_unit_test(refuses_every_truncation),
        cmocka_unit_test(refuses_bad_headers),    cmocka_unit_test(refuses_bad_metadata),
        cmocka_unit_test(refuses_bad_tensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
