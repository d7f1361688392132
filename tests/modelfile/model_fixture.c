#include "tests/modelfile/model_fixture.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"

void scratch_create(char folder[SCRATCH_PATH_MAX]) {
    snprintf(folder, SCRATCH_PATH_MAX, "/tmp/caucus_test_XXXXXX");
    assert_non_null(mkdtemp(folder));
}

int scratch_set_up(void **state) {
    static char folder[SCRATCH_PATH_MAX];
    scratch_create(folder);
    *state = folder;
    return 0;
}

int scratch_tear_down(void **state) {
    scratch_remove(*state);
    return 0;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info, (void)kind, (void)where;
    return remove(path);
}

void scratch_remove(const char *folder) {
    assert_int_equal(nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

void scratch_write(const char *folder, const char *name, const void *data, size_t size) {
    char path[2 * SCRATCH_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

void scratch_write_text(const char *folder, const char *name, const char *text) {
    scratch_write(folder, name, text, strlen(text));
}

struct bytes read_test_data(const char *source) {
    char path[2 * SCRATCH_PATH_MAX];
    struct bytes content;
    snprintf(path, sizeof path, "%s/%s", TEST_DATA, source);
    assert_int_equal(file_read_all(path, 16 << 20, &content), STATUS_OK);
    return content;
}

void scratch_copy(const char *folder, const char *source, const char *name) {
    struct bytes content = read_test_data(source);
    scratch_write(folder, name, content.data, content.size);
    bytes_free(&content);
}

void expect_refusal(enum status status, enum status expected, ...) {
    if (status != expected) fail_msg("status %d instead of %d: %s", status, expected, status_message());
    va_list words;
    va_start(words, expected);
    for (const char *word = va_arg(words, const char *); word; word = va_arg(words, const char *))
        if (!strstr(status_message(), word)) fail_msg("no \"%s\" in: %s", word, status_message());
    va_end(words);
}

uint64_t pattern_seed(const char *name) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return hash;
}

unsigned char pattern_byte(uint64_t seed, uint64_t index) {
    return (unsigned char)(((seed + index) * UINT64_C(0x9e3779b97f4a7c15)) >> 40);
}

static void append(struct bytes *bytes, const void *data, size_t size) {
    assert_int_equal(bytes_append(bytes, data, size), STATUS_OK);
}

static void append_pattern(struct bytes *bytes, const char *name, size_t size) {
    const uint64_t seed = pattern_seed(name);
    assert_int_equal(bytes_reserve(bytes, bytes->size + size), STATUS_OK);
    for (size_t i = 0; i < size; i++)
        bytes->data[bytes->size + i] = (char)pattern_byte(seed, i);
    bytes->size += size;
}

void safetensors_add(struct safetensors_writer *writer, const char *name, const char *dtype, size_t bytes,
                     int n_dims, const int64_t *shape) {
    struct bytes *header = &writer->header;
    assert_int_equal(
        bytes_printf(header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", header->size ? "," : "{", name, dtype),
        STATUS_OK);
    for (int i = 0; i < n_dims; i++)
        assert_int_equal(bytes_printf(header, "%s%lld", i ? "," : "", (long long)shape[i]), STATUS_OK);
    assert_int_equal(
        bytes_printf(header, "],\"data_offsets\":[%zu,%zu]}", writer->data.size, writer->data.size + bytes),
        STATUS_OK);
    append_pattern(&writer->data, name, bytes);
}

struct bytes safetensors_finish(struct safetensors_writer *writer) {
    struct bytes file = {0};
    append(&writer->header, writer->header.size ? "}" : "{}", writer->header.size ? 1 : 2);
    const uint64_t length = writer->header.size;
    append(&file, &length, sizeof length);
    append(&file, writer->header.data, writer->header.size);
    if (writer->data.size) append(&file, writer->data.data, writer->data.size);
    bytes_free(&writer->header);
    bytes_free(&writer->data);
    return file;
}

static void append_u32(struct bytes *bytes, uint32_t value) {
    append(bytes, &value, sizeof value);
}

static void append_u64(struct bytes *bytes, uint64_t value) {
    append(bytes, &value, sizeof value);
}

static void append_gguf_text(struct bytes *bytes, const char *text) {
    append_u64(bytes, strlen(text));
    append(bytes, text, strlen(text));
}

enum { KIND_U32 = 4, KIND_F32 = 6, KIND_TEXT = 8, KIND_ARRAY = 9, ALIGNMENT = 32 };

static void begin_value(struct gguf_writer *writer, const char *key, uint32_t kind) {
    append_gguf_text(&writer->values, key);
    append_u32(&writer->values, kind);
    writer->n_values++;
}

void gguf_add_number(struct gguf_writer *writer, const char *key, uint32_t kind, const void *value,
                     size_t size) {
    begin_value(writer, key, kind);
    append(&writer->values, value, size);
}

void gguf_add_u32(struct gguf_writer *writer, const char *key, uint32_t value) {
    gguf_add_number(writer, key, KIND_U32, &value, sizeof value);
}

void gguf_add_f32(struct gguf_writer *writer, const char *key, float value) {
    gguf_add_number(writer, key, KIND_F32, &value, sizeof value);
}

void gguf_add_text(struct gguf_writer *writer, const char *key, const char *value) {
    begin_value(writer, key, KIND_TEXT);
    append_gguf_text(&writer->values, value);
}

void gguf_add_array(struct gguf_writer *writer, const char *key, uint32_t kind, uint64_t count,
                    const void *data, size_t bytes) {
    begin_value(writer, key, KIND_ARRAY);
    append_u32(&writer->values, kind);
    append_u64(&writer->values, count);
    if (bytes) append(&writer->values, data, bytes);
}

void gguf_add_texts(struct gguf_writer *writer, const char *key, uint64_t count, const char *const *texts) {
    gguf_add_array(writer, key, KIND_TEXT, count, NULL, 0);
    for (uint64_t i = 0; i < count; i++)
        append_gguf_text(&writer->values, texts[i]);
}

static void pad(struct bytes *bytes) {
    while (bytes->size % ALIGNMENT != 0)
        append(bytes, "", 1);
}

void gguf_add_tensor(struct gguf_writer *writer, const char *name, uint32_t type, size_t bytes, int n_dims,
                     const int64_t *shape) {
    pad(&writer->data);
    append_gguf_text(&writer->tensors, name);
    append_u32(&writer->tensors, (uint32_t)n_dims);
    for (int i = n_dims - 1; i >= 0; i--)
        append_u64(&writer->tensors, (uint64_t)shape[i]);
    append_u32(&writer->tensors, type);
    append_u64(&writer->tensors, writer->data.size);
    append_pattern(&writer->data, name, bytes);
    writer->n_tensors++;
}

struct bytes gguf_finish(struct gguf_writer *writer) {
    struct bytes file = {0};
    append(&file, "GGUF", 4);
    append_u32(&file, writer->version ? writer->version : 3);
    append_u64(&file, writer->n_tensors);
    append_u64(&file, writer->n_values);
    if (writer->values.size) append(&file, writer->values.data, writer->values.size);
    if (writer->tensors.size) append(&file, writer->tensors.data, writer->tensors.size);
    pad(&file);
    if (writer->data.size) append(&file, writer->data.data, writer->data.size);
    bytes_free(&writer->values);
    bytes_free(&writer->tensors);
    bytes_free(&writer->data);
    *writer = (struct gguf_writer){0};
    return file;
}

struct gguf_writer gguf_begin(const char *architecture, const struct gguf_number *numbers, size_t n,
                              float epsilon) {
    struct gguf_writer writer = {0};
    char key[64];
    gguf_add_text(&writer, "general.architecture", architecture);
    for (size_t i = 0; i < n; i++) {
        snprintf(key, sizeof key, "%s.%s", architecture, numbers[i].key);
        gguf_add_u32(&writer, key, numbers[i].value);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", architecture);
    gguf_add_f32(&writer, key, epsilon);
    return writer;
}

static void finish_model(struct gguf_writer *writer, const char *folder) {
    struct bytes file = gguf_finish(writer);
    scratch_write(folder, "m.gguf", file.data, file.size);
    bytes_free(&file);
}

void write_gguf_llama(const char *folder, uint32_t type, size_t block_elements, size_t block_bytes,
                      bool biases) {
    static const struct gguf_number numbers[] = {
        {"block_count", 1},           {"embedding_length", 96},
        {"attention.head_count", 2},  {"attention.head_count_kv", 1},
        {"attention.key_length", 32}, {"feed_forward_length", 64},
        {"context_length", 128},      {"vocab_size", 40},
    };
    struct gguf_writer writer = gguf_begin("llama", numbers, sizeof numbers / sizeof *numbers, 1e-5f);
    static const struct {
        const char *name;
        int64_t shape[2];
    } matrices[] = {
        {"token_embd.weight", {40, 96}},        {"blk.0.attn_q.weight", {64, 96}},
        {"blk.0.attn_k.weight", {32, 96}},      {"blk.0.attn_v.weight", {32, 96}},
        {"blk.0.attn_output.weight", {96, 64}}, {"blk.0.ffn_gate.weight", {64, 96}},
        {"blk.0.ffn_up.weight", {64, 96}},      {"blk.0.ffn_down.weight", {96, 64}},
    };
    for (size_t i = 0; i < sizeof matrices / sizeof matrices[0]; i++) {
        const size_t blocks = (size_t)(matrices[i].shape[0] * matrices[i].shape[1]) / block_elements;
        gguf_add_tensor(&writer, matrices[i].name, type, blocks * block_bytes, 2, matrices[i].shape);
    }
    static const char *const norms[] = {"output_norm.weight", "blk.0.attn_norm.weight",
                                        "blk.0.ffn_norm.weight"};
    for (size_t i = 0; i < sizeof norms / sizeof norms[0]; i++)
        gguf_add_tensor(&writer, norms[i], 0, 96 * 4, 1, (int64_t[]){96});
    gguf_add_tensor(&writer, "rope_freqs.weight", 0, 16 * 4, 1, (int64_t[]){16});
    if (biases) {
        gguf_add_tensor(&writer, "blk.0.attn_q.bias", 1, 64 * 2, 1, (int64_t[]){64});
        gguf_add_tensor(&writer, "blk.0.attn_k.bias", 0, 32 * 4, 1, (int64_t[]){32});
        gguf_add_tensor(&writer, "blk.0.attn_v.bias", 30, 32 * 2, 1, (int64_t[]){32});
    }
    finish_model(&writer, folder);
}

void write_gguf_experts(const char *folder) {
    static const struct gguf_number numbers[] = {
        {"block_count", 1},           {"embedding_length", 32},
        {"attention.head_count", 2},  {"attention.head_count_kv", 1},
        {"attention.key_length", 16}, {"expert_count", 3},
        {"expert_used_count", 2},     {"expert_feed_forward_length", 64},
        {"context_length", 64},       {"vocab_size", 10},
    };
    struct gguf_writer writer = gguf_begin("qwen3moe", numbers, sizeof numbers / sizeof *numbers, 1e-6f);
    gguf_add_tensor(&writer, "token_embd.weight", 0, 10 * 32 * 4, 2, (int64_t[]){10, 32});
    gguf_add_tensor(&writer, "output_norm.weight", 0, 32 * 4, 1, (int64_t[]){32});
    gguf_add_tensor(&writer, "blk.0.attn_norm.weight", 0, 32 * 4, 1, (int64_t[]){32});
    gguf_add_tensor(&writer, "blk.0.ffn_norm.weight", 0, 32 * 4, 1, (int64_t[]){32});
    gguf_add_tensor(&writer, "blk.0.attn_q.weight", 8, 32 * 34, 2, (int64_t[]){32, 32});
    gguf_add_tensor(&writer, "blk.0.attn_k.weight", 8, 16 * 34, 2, (int64_t[]){16, 32});
    gguf_add_tensor(&writer, "blk.0.attn_v.weight", 8, 16 * 34, 2, (int64_t[]){16, 32});
    gguf_add_tensor(&writer, "blk.0.attn_output.weight", 8, 32 * 34, 2, (int64_t[]){32, 32});
    gguf_add_tensor(&writer, "blk.0.attn_q_norm.weight", 0, 16 * 4, 1, (int64_t[]){16});
    gguf_add_tensor(&writer, "blk.0.attn_k_norm.weight", 0, 16 * 4, 1, (int64_t[]){16});
    gguf_add_tensor(&writer, "blk.0.ffn_gate_inp.weight", 0, 3 * 32 * 4, 2, (int64_t[]){3, 32});
    gguf_add_tensor(&writer, "blk.0.ffn_gate_exps.weight", 8, 3 * 64 * 34, 3, (int64_t[]){3, 64, 32});
    gguf_add_tensor(&writer, "blk.0.ffn_up_exps.weight", 2, 3 * 64 * 18, 3, (int64_t[]){3, 64, 32});
    gguf_add_tensor(&writer, "blk.0.ffn_down_exps.weight", 8, 3 * 32 * 68, 3, (int64_t[]){3, 32, 64});
    finish_model(&writer, folder);
}
