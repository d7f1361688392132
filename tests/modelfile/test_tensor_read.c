/* Rectangles of tensors, in every dtype, from one file and many, single experts and stacked ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "modelfile/model_file.h"
#include "tests/modelfile/model_fixture.h"

static struct model_file *open_good(const char *path) {
    struct model_file *model;
    if (model_file_open(path, &model) != STATUS_OK) fail_msg("%s", status_message());
    return model;
}

static unsigned char *read_rectangle(const struct model_file *model, const struct tensor_ref *tensor,
                                     int64_t row_begin, int64_t row_end, int64_t col_begin, int64_t col_end,
                                     size_t *bytes_out) {
    const size_t bytes = (size_t)(row_end - row_begin) * dtype_bytes(tensor->dtype, col_end - col_begin);
    unsigned char *data = malloc(bytes + 1);
    assert_non_null(data);
    data[bytes] = 0xa5;
    if (model_file_read(model, tensor, row_begin, row_end, col_begin, col_end, data) != STATUS_OK)
        fail_msg("%s", status_message());
    assert_int_equal(data[bytes], 0xa5);
    *bytes_out = bytes;
    return data;
}

/* Where in the file's data of the tensor the byte at (row, byte) of the tensor lies. */
static uint64_t place(const struct tensor_ref *tensor, int64_t row, size_t byte) {
    const int64_t head = tensor->interleaved_head_rows;
    if (head > 0) {
        const int64_t within = row % head;
        row += 2 * (within % (head / 2)) + within / (head / 2) - within;
    }
    return (uint64_t)row * dtype_bytes(tensor->dtype, tensor->cols) + byte;
}

/* A rectangle of a tensor of the fixture's writers holds its pattern; `base` bytes precede it. */
static void check_rectangle(const struct model_file *model, const struct tensor_ref *tensor, uint64_t base,
                            int64_t row_begin, int64_t row_end, int64_t col_begin, int64_t col_end) {
    size_t bytes;
    unsigned char *data = read_rectangle(model, tensor, row_begin, row_end, col_begin, col_end, &bytes);
    const uint64_t seed = pattern_seed(tensor->name);
    const size_t skip = dtype_bytes(tensor->dtype, col_begin);
    const size_t width = dtype_bytes(tensor->dtype, col_end - col_begin);
    for (size_t i = 0; i < bytes; i++) {
        const uint64_t at = place(tensor, row_begin + (int64_t)(i / width), skip + i % width);
        if (data[i] != pattern_byte(seed, base + at))
            fail_msg("%s: byte %zu of rows %lld… columns %lld…", tensor->name, i, (long long)row_begin,
                     (long long)col_begin);
    }
    free(data);
}

static void check_tensor(const struct model_file *model, const struct tensor_ref *tensor, uint64_t base) {
    const int64_t rows = tensor->rows, cols = tensor->cols;
    const int block = dtype_layout(tensor->dtype)->block_elements;
    check_rectangle(model, tensor, base, 0, rows, 0, cols);
    check_rectangle(model, tensor, base, rows / 3, rows - 1, 0, cols);
    check_rectangle(model, tensor, base, rows / 2, rows / 2, 0, cols);
    const int64_t third = cols / 3 / block * block, half = cols / 2 / block * block;
    check_rectangle(model, tensor, base, 0, rows, third, cols);
    check_rectangle(model, tensor, base, rows / 2, rows, third, half);
    check_rectangle(model, tensor, base, 0, rows, half, half);
}

/* All the roles that `left` and `right` have hold the same bytes. */
static void compare_models(const struct model_file *left, const struct model_file *right) {
    const struct model_spec *spec = model_file_spec(left);
    for (int role = 0; role < TENSOR_ROLE_COUNT; role++)
        for (int layer = 0; layer < spec->n_layers; layer++) {
            const struct tensor_ref *a = model_file_tensor(left, (enum tensor_role)role, layer, 0);
            const struct tensor_ref *b = model_file_tensor(right, (enum tensor_role)role, layer, 0);
            assert_true(!a == !b);
            if (!a) continue;
            size_t a_bytes, b_bytes;
            unsigned char *a_data = read_rectangle(left, a, 0, a->rows, 0, a->cols, &a_bytes);
            unsigned char *b_data = read_rectangle(right, b, 0, b->rows, 0, b->cols, &b_bytes);
            assert_int_equal(a_bytes, b_bytes);
            assert_memory_equal(a_data, b_data, a_bytes);
            free(a_data);
            free(b_data);
        }
}

static void gguf_equals_the_folder(void **state) {
    (void)state;
    struct model_file *folder = open_good(TEST_DATA "/models/stories260K");
    struct model_file *gguf = open_good(TEST_DATA "/models/stories260K.gguf");
    compare_models(folder, gguf);
    /* Parts of heads too. */
    const struct tensor_ref *a = model_file_tensor(folder, TENSOR_Q, 2, 0);
    const struct tensor_ref *b = model_file_tensor(gguf, TENSOR_Q, 2, 0);
    size_t bytes;
    unsigned char *a_data = read_rectangle(folder, a, 13, 42, 7, 50, &bytes);
    unsigned char *b_data = read_rectangle(gguf, b, 13, 42, 7, 50, &bytes);
    assert_memory_equal(a_data, b_data, bytes);
    free(a_data);
    free(b_data);
    model_file_close(folder);
    model_file_close(gguf);
}

static void reads_every_gguf_type(void **state) {
    static const struct {
        uint32_t type;
        size_t block_elements, block_bytes;
        enum dtype dtype;
    } types[] = {{0, 1, 4, DTYPE_F32},
                 {1, 1, 2, DTYPE_F16},
                 {30, 1, 2, DTYPE_BF16},
                 {8, 32, 34, DTYPE_Q8_0},
                 {2, 32, 18, DTYPE_Q4_0}};
    char path[2 * SCRATCH_PATH_MAX];
    snprintf(path, sizeof path, "%s/m.gguf", (const char *)*state);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        write_gguf_llama(*state, types[i].type, types[i].block_elements, types[i].block_bytes, false);
        struct model_file *model = open_good(path);
        assert_int_equal(model_file_tensor(model, TENSOR_DOWN, 0, 0)->dtype, types[i].dtype);
        static const enum tensor_role roles[] = {
            TENSOR_TOKEN_EMBEDDING, TENSOR_Q,           TENSOR_K, TENSOR_O, TENSOR_GATE, TENSOR_DOWN,
            TENSOR_FINAL_NORM,      TENSOR_ROPE_FACTORS};
        for (size_t r = 0; r < sizeof roles / sizeof roles[0]; r++) {
            const struct tensor_ref *tensor = model_file_tensor(model, roles[r], 0, 0);
            assert_non_null(tensor);
            if (tensor->rows > 1)
                check_tensor(model, tensor, 0);
            else
                check_rectangle(model, tensor, 0, 0, 1, tensor->cols / 3, tensor->cols);
        }
        model_file_close(model);
    }
}

/* Biases are vectors; the interleaving runs along them. */
static void reads_interleaved_biases(void **state) {
    char path[2 * SCRATCH_PATH_MAX];
    snprintf(path, sizeof path, "%s/m.gguf", (const char *)*state);
    write_gguf_llama(*state, 0, 1, 4, true);
    struct model_file *model = open_good(path);
    static const enum tensor_role roles[] = {TENSOR_Q_BIAS, TENSOR_K_BIAS, TENSOR_V_BIAS};
    for (size_t r = 0; r < sizeof roles / sizeof roles[0]; r++) {
        const struct tensor_ref *bias = model_file_tensor(model, roles[r], 0, 0);
        assert_non_null(bias);
        assert_int_equal(bias->rows, 1);
        const struct tensor_ref as_column = {.name = bias->name,
                                             .dtype = bias->dtype,
                                             .rows = bias->cols,
                                             .cols = 1,
                                             .interleaved_head_rows = bias->interleaved_head_rows};
        assert_int_equal(bias->interleaved_head_rows, roles[r] == TENSOR_V_BIAS ? 0 : 32);
        size_t bytes;
        unsigned char *data = read_rectangle(model, bias, 0, 1, 5, bias->cols, &bytes);
        const size_t width = dtype_bytes(bias->dtype, 1);
        for (size_t i = 0; i < bytes; i++)
            assert_int_equal(data[i], pattern_byte(pattern_seed(bias->name),
                                                   place(&as_column, 5 + (int64_t)(i / width), i % width)));
        free(data);
    }
    model_file_close(model);
}

static const char *const moe_config =
    "{\"model_type\":\"qwen3_moe\",\"vocab_size\":10,\"hidden_size\":8,\"num_hidden_layers\":2,"
    "\"num_attention_heads\":2,\"num_key_value_heads\":1,\"head_dim\":4,\"max_position_embeddings\":64,"
    "\"num_experts\":3,\"num_experts_per_tok\":2,\"moe_intermediate_size\":6,\"tie_word_embeddings\":true}";

static void add_float(struct safetensors_writer *writer, const char *name, const char *dtype, int64_t rows,
                      int64_t cols) {
    const size_t width = strcmp(dtype, "F32") == 0 ? 4 : 2;
    const int64_t shape[2] = {rows, cols};
    safetensors_add(writer, name, dtype, (size_t)(rows * cols) * width, rows == 1 ? 1 : 2,
                    rows == 1 ? &shape[1] : shape);
}

/* What comes before the experts in a layer. */
static void add_layer(struct safetensors_writer *writer, int layer) {
    static const struct {
        const char *name, *dtype;
        int64_t rows, cols;
    } tensors[] = {
        {"input_layernorm.weight", "F32", 1, 8},   {"post_attention_layernorm.weight", "BF16", 1, 8},
        {"self_attn.q_proj.weight", "BF16", 8, 8}, {"self_attn.k_proj.weight", "F16", 4, 8},
        {"self_attn.v_proj.weight", "F32", 4, 8},  {"self_attn.o_proj.weight", "BF16", 8, 8},
        {"self_attn.q_norm.weight", "F16", 1, 4},  {"self_attn.k_norm.weight", "F32", 1, 4},
        {"mlp.gate.weight", "BF16", 3, 8},
    };
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        char name[128];
        snprintf(name, sizeof name, "model.layers.%d.%s", layer, tensors[i].name);
        add_float(writer, name, tensors[i].dtype, tensors[i].rows, tensors[i].cols);
    }
}

static void add_experts(struct safetensors_writer *writer, int layer, bool stacked) {
    char name[128];
    if (stacked) {
        snprintf(name, sizeof name, "model.layers.%d.mlp.experts.gate_up_proj", layer);
        safetensors_add(writer, name, "BF16", 3 * 12 * 8 * 2, 3, (int64_t[]){3, 12, 8});
        snprintf(name, sizeof name, "model.layers.%d.mlp.experts.down_proj", layer);
        safetensors_add(writer, name, "BF16", 3 * 8 * 6 * 2, 3, (int64_t[]){3, 8, 6});
        return;
    }
    static const char *const parts[] = {"gate", "up", "down"};
    for (int expert = 0; expert < 3; expert++)
        for (int part = 0; part < 3; part++) {
            snprintf(name, sizeof name, "model.layers.%d.mlp.experts.%d.%s_proj.weight", layer, expert,
                     parts[part]);
            add_float(writer, name, "BF16", part == 2 ? 8 : 6, part == 2 ? 6 : 8);
        }
}

static void write_part(const char *folder, const char *name, struct safetensors_writer *writer) {
    struct bytes file = safetensors_finish(writer);
    scratch_write(folder, name, file.data, file.size);
    bytes_free(&file);
}

/* Layer 0 in one file, all else in the other. */
static void write_moe(const char *folder, bool stacked) {
    struct safetensors_writer writer = {0};
    scratch_write_text(folder, "config.json", moe_config);
    add_layer(&writer, 0);
    add_experts(&writer, 0, stacked);
    write_part(folder, "model-00001-of-00002.safetensors", &writer);
    add_float(&writer, "model.embed_tokens.weight", "BF16", 10, 8);
    add_float(&writer, "model.norm.weight", "F32", 1, 8);
    add_layer(&writer, 1);
    add_experts(&writer, 1, stacked);
    write_part(folder, "model-00002-of-00002.safetensors", &writer);
    scratch_write_text(folder, "model.safetensors.index.json",
                       "{\"metadata\":{},\"weight_map\":{"
                       "\"model.layers.0.mlp.gate.weight\":\"model-00001-of-00002.safetensors\","
                       "\"model.norm.weight\":\"model-00002-of-00002.safetensors\"}}");
}

static void reads_experts_from_two_files(void **state) {
    write_moe(*state, false);
    struct model_file *model = open_good(*state);
    static const enum tensor_role roles[] = {TENSOR_EXPERT_GATE, TENSOR_EXPERT_UP, TENSOR_EXPERT_DOWN};
    for (int layer = 0; layer < 2; layer++) {
        check_tensor(model, model_file_tensor(model, TENSOR_Q, layer, 0), 0);
        check_tensor(model, model_file_tensor(model, TENSOR_ROUTER, layer, 0), 0);
        for (int expert = 0; expert < 3; expert++)
            for (size_t r = 0; r < sizeof roles / sizeof roles[0]; r++) {
                const struct tensor_ref *tensor = model_file_tensor(model, roles[r], layer, expert);
                assert_int_equal(tensor->file, layer == 0 ? 0 : 1);
                check_tensor(model, tensor, 0);
            }
    }
    assert_null(model_file_tensor(model, TENSOR_GATE, 0, 0));
    assert_null(model_file_tensor(model, TENSOR_EXPERT_GATE, 0, 3));
    model_file_close(model);
}

static void reads_stacked_experts(void **state) {
    write_moe(*state, true);
    struct model_file *model = open_good(*state);
    const uint64_t matrix = 6 * 8 * 2; /* bytes of one of an expert's three matrices */
    for (int expert = 0; expert < 3; expert++) {
        const uint64_t both = 2 * matrix * (uint64_t)expert;
        check_tensor(model, model_file_tensor(model, TENSOR_EXPERT_GATE, 1, expert), both);
        check_tensor(model, model_file_tensor(model, TENSOR_EXPERT_UP, 1, expert), both + matrix);
        check_tensor(model, model_file_tensor(model, TENSOR_EXPERT_DOWN, 1, expert), both / 2);
    }
    model_file_close(model);
}

static void reads_gguf_experts(void **state) {
    char path[2 * SCRATCH_PATH_MAX];
    snprintf(path, sizeof path, "%s/m.gguf", (const char *)*state);
    write_gguf_experts(*state);
    struct model_file *model = open_good(path);
    assert_int_equal(model_file_tensor(model, TENSOR_Q, 0, 0)->interleaved_head_rows, 0);
    for (int expert = 0; expert < 3; expert++) {
        check_tensor(model, model_file_tensor(model, TENSOR_EXPERT_GATE, 0, expert),
                     64u * 34 * (uint64_t)expert);
        check_tensor(model, model_file_tensor(model, TENSOR_EXPERT_UP, 0, expert),
                     64u * 18 * (uint64_t)expert);
        check_tensor(model, model_file_tensor(model, TENSOR_EXPERT_DOWN, 0, expert),
                     32u * 68 * (uint64_t)expert);
    }
    model_file_close(model);
}

/* Rows so long that narrow slices are read one by one, and wide ones in more than one piece. */
static void reads_slices_of_long_rows(void **state) {
    enum { MLP = 20000, HIDDEN = 72 };
    struct safetensors_writer writer = {0};
    char config[512];
    snprintf(config, sizeof config,
             "{\"model_type\":\"llama\",\"vocab_size\":3,\"hidden_size\":%d,\"num_hidden_layers\":1,"
             "\"num_attention_heads\":2,\"intermediate_size\":%d,\"max_position_embeddings\":9,"
             "\"tie_word_embeddings\":true}",
             HIDDEN, MLP);
    scratch_write_text(*state, "config.json", config);
    add_float(&writer, "model.embed_tokens.weight", "F32", 3, HIDDEN);
    add_float(&writer, "model.norm.weight", "F32", 1, HIDDEN);
    add_float(&writer, "model.layers.0.input_layernorm.weight", "F32", 1, HIDDEN);
    add_float(&writer, "model.layers.0.post_attention_layernorm.weight", "F32", 1, HIDDEN);
    static const char *const projections[] = {"q", "k", "v", "o"};
    for (int i = 0; i < 4; i++) {
        char name[128];
        snprintf(name, sizeof name, "model.layers.0.self_attn.%s_proj.weight", projections[i]);
        add_float(&writer, name, "BF16", HIDDEN, HIDDEN);
    }
    add_float(&writer, "model.layers.0.mlp.gate_proj.weight", "BF16", MLP, HIDDEN);
    add_float(&writer, "model.layers.0.mlp.up_proj.weight", "BF16", MLP, HIDDEN);
    add_float(&writer, "model.layers.0.mlp.down_proj.weight", "F32", HIDDEN, MLP);
    write_part(*state, "model.safetensors", &writer);
    struct model_file *model = open_good(*state);
    const struct tensor_ref *down = model_file_tensor(model, TENSOR_DOWN, 0, 0);
    check_rectangle(model, down, 0, 0, HIDDEN, 100, 200);
    check_rectangle(model, down, 0, 1, HIDDEN, 100, MLP - 100);
    check_rectangle(model, down, 0, 5, HIDDEN, 0, MLP);
    model_file_close(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gguf_equals_the_folder), IN_FOLDER(reads_every_gguf_type),
        IN_FOLDER(reads_interleaved_biases),      IN_FOLDER(reads_experts_from_two_files),
        IN_FOLDER(reads_stacked_experts),         IN_FOLDER(reads_gguf_experts),
        IN_FOLDER(reads_slices_of_long_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
