/* Bytes per rank: all of the files on one rank, slices that add up on several. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/memory_plan.h"

static const struct shares alike = {0};

static const char *const models[] = {
    "stories260K",
    "stories260K.gguf",
    "tiny_qwen2",
    "tiny_qwen3",
    "tiny_qwen3_moe",
    "tiny_llama3",
    "tiny_llama_f16",
    "small_llama.q8_0.gguf",
    "small_llama.q4_0.gguf",
    "wide_llama.q4_k_m.gguf",
    "tiny_llama3_short.bf16.gguf",
};
enum { N_MODELS = sizeof models / sizeof *models };

static struct model_file *open_model(const char *name) {
    char path[512];
    struct model_file *model = NULL;
    snprintf(path, sizeof path, "%s/models/%s", TEST_DATA, name);
    assert_int_equal(model_file_open(path, &model), STATUS_OK);
    return model;
}

/* What the attention outputs gain where a KV head's columns are fewer than a quantised block of 32: they are
 * f32 then. */
static int64_t converted_bytes(const struct model_file *model) {
    const struct model_spec *spec = model_file_spec(model);
    const struct tensor_ref *output = model_file_tensor(model, TENSOR_O, 0, 0);
    const int columns = spec->n_heads / spec->n_kv_heads * spec->head_dim;
    if (columns % 32 == 0 || dtype_layout(output->dtype)->block_elements == 1) return 0;
    const int64_t n = output->rows * output->cols;
    return spec->n_layers * (4 * n - (int64_t)dtype_bytes(output->dtype, n));
}

/* Everything in the files, with vectors as f32. */
static int64_t file_bytes(const struct model_file *model) {
    int64_t bytes = converted_bytes(model);
    for (size_t i = 0; i < model_file_tensor_count(model); i++) {
        const struct tensor_listing tensor = model_file_tensor_listing(model, i);
        bytes += tensor.n_dims == 1 ? 4 * tensor.shape[0] : (int64_t)tensor.bytes;
    }
    return bytes;
}

static int64_t ref_bytes(const struct tensor_ref *tensor) {
    const enum dtype dtype = tensor->rows == 1 ? DTYPE_F32 : tensor->dtype;
    return (int64_t)dtype_bytes(dtype, tensor->rows * tensor->cols);
}

/* By hand: 512 x 64 output rows, five layers of q, k, v, o, gate, up, down and two norms, one norm; f32. */
static void test_known_model(void **state) {
    (void)state;
    struct model_file *model = open_model("stories260K");
    struct memory_plan *plan = NULL;
    assert_int_equal(memory_plan_create(model, 1, &alike, false, DTYPE_COUNT, DTYPE_F16, &plan), STATUS_OK);
    const int64_t layer = 2 * 64 * 64 + 2 * 32 * 64 + 3 * 172 * 64 + 2 * 64;
    assert_int_equal(plan->total.weight_bytes, 4 * (512 * 64 + 5 * layer + 64));
    assert_int_equal(plan->total.kv_bytes_per_token, 2 * 5 * 4 * 8 * 2);
    assert_int_equal(memory_plan_host_bytes(plan, 1, 1000), plan->total.weight_bytes + 640000);
    assert_int_equal(memory_plan_host_bytes(plan, 1, INT64_MAX), INT64_MAX);
    memory_plan_destroy(plan);
    model_file_close(model);
}

static void test_one_rank_holds_the_files(void **state) {
    (void)state;
    for (int i = 0; i < N_MODELS; i++) {
        struct model_file *model = open_model(models[i]);
        struct memory_plan *plan = NULL;
        int64_t unloaded = 0; /* the embedding, where it is not the output matrix too */
        if (!model_file_spec(model)->tied_embeddings)
            unloaded = ref_bytes(model_file_tensor(model, TENSOR_TOKEN_EMBEDDING, 0, 0));
        assert_int_equal(memory_plan_create(model, 1, &alike, false, DTYPE_COUNT, DTYPE_F32, &plan),
                         STATUS_OK);
        assert_int_equal(plan->total.weight_bytes, file_bytes(model) - unloaded);
        memory_plan_destroy(plan);
        model_file_close(model);
    }
}

/* What every rank keeps whole. */
static int64_t replicated_bytes(const struct model_file *model) {
    static const enum tensor_role roles[] = {TENSOR_ATTENTION_NORM, TENSOR_O_BIAS,   TENSOR_Q_NORM,
                                             TENSOR_K_NORM,         TENSOR_MLP_NORM, TENSOR_ROUTER};
    const struct tensor_ref *factors = model_file_tensor(model, TENSOR_ROPE_FACTORS, 0, 0);
    int64_t bytes = ref_bytes(model_file_tensor(model, TENSOR_FINAL_NORM, 0, 0));
    if (factors) bytes += ref_bytes(factors);
    for (int layer = 0; layer < model_file_spec(model)->n_layers; layer++) {
        for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
            const struct tensor_ref *tensor = model_file_tensor(model, roles[i], layer, 0);
            if (tensor) bytes += ref_bytes(tensor);
        }
    }
    return bytes;
}

static void assert_follows(struct shard_range before, struct shard_range range) {
    assert_int_equal(before.end, range.begin);
    assert_true(range.begin <= range.end);
}

/* Do all ranks' columns of the attention output end with a quantised block? */
static bool cuts_no_block(const struct model_file *model, const struct memory_plan *plan) {
    const enum dtype dtype = model_file_tensor(model, TENSOR_O, 0, 0)->dtype;
    const int64_t head_dim = model_file_spec(model)->head_dim;
    for (int rank = 0; rank < plan->n_ranks; rank++)
        if (plan->ranks[rank].heads.end * head_dim % dtype_layout(dtype)->block_elements) return false;
    return true;
}

static void check_shares(const struct model_file *model, const struct memory_plan *one, int n_ranks) {
    struct memory_plan *plan = NULL;
    assert_int_equal(memory_plan_create(model, n_ranks, &alike, false, DTYPE_COUNT, DTYPE_F32, &plan),
                     STATUS_OK);
    if (cuts_no_block(model, plan))
        assert_int_equal(plan->total.weight_bytes,
                         one->total.weight_bytes + (n_ranks - 1) * replicated_bytes(model));
    assert_int_equal(plan->total.kv_bytes_per_token, one->total.kv_bytes_per_token);
    for (int rank = 1; rank < n_ranks; rank++) {
        assert_follows(plan->ranks[rank - 1].kv_heads, plan->ranks[rank].kv_heads);
        assert_follows(plan->ranks[rank - 1].mlp_columns, plan->ranks[rank].mlp_columns);
        assert_follows(plan->ranks[rank - 1].expert_columns, plan->ranks[rank].expert_columns);
        assert_follows(plan->ranks[rank - 1].vocab_rows, plan->ranks[rank].vocab_rows);
    }
    assert_int_equal(plan->ranks[n_ranks - 1].vocab_rows.end, model_file_spec(model)->vocab_size);
    memory_plan_destroy(plan);
}

static void test_shares_add_up(void **state) {
    (void)state;
    for (int i = 0; i < N_MODELS; i++) {
        struct model_file *model = open_model(models[i]);
        struct memory_plan *one = NULL;
        assert_int_equal(memory_plan_create(model, 1, &alike, false, DTYPE_COUNT, DTYPE_F32, &one),
                         STATUS_OK);
        for (int n_ranks = 2; n_ranks <= model_file_spec(model)->n_kv_heads; n_ranks++)
            check_shares(model, one, n_ranks);
        memory_plan_destroy(one);
        model_file_close(model);
    }
}

/* Columns 0-127 and 128-255 of the output projection and of down lie in one super-block: both ranks hold it.
 */
static void test_super_blocks_are_held_whole(void **state) {
    (void)state;
    struct model_file *model = open_model("wide_llama.q4_k_m.gguf");
    struct memory_plan *one = NULL, *two = NULL;
    assert_int_equal(memory_plan_create(model, 1, &alike, false, DTYPE_COUNT, DTYPE_F32, &one), STATUS_OK);
    assert_int_equal(memory_plan_create(model, 2, &alike, false, DTYPE_COUNT, DTYPE_F32, &two), STATUS_OK);
    assert_int_equal(two->ranks[0].mlp_columns.end, 128);
    assert_int_equal(two->total.weight_bytes,
                     one->total.weight_bytes + replicated_bytes(model) + 256 * (144 + 210));
    memory_plan_destroy(one);
    memory_plan_destroy(two);
    model_file_close(model);
}

/* 6 ranks on 4 KV heads: 2, 2, 1 and 1 of them. q, k and v of a shared head are on both of its ranks, o is
 * not. */
static void test_shared_heads(void **state) {
    (void)state;
    struct model_file *model = open_model("stories260K");
    struct memory_plan *one = NULL, *six = NULL;
    assert_int_equal(memory_plan_create(model, 1, &alike, false, DTYPE_COUNT, DTYPE_F16, &one), STATUS_OK);
    assert_int_equal(memory_plan_create(model, 6, &alike, false, DTYPE_COUNT, DTYPE_F16, &six), STATUS_OK);
    static const int64_t kv_bytes[] = {80, 80, 80, 80, 160, 160};
    for (int rank = 0; rank < 6; rank++)
        assert_int_equal(six->ranks[rank].kv_bytes_per_token, kv_bytes[rank]);
    assert_int_equal(six->total.kv_bytes_per_token, one->total.kv_bytes_per_token);
    const int64_t head_rows = 5 * (16 + 8 + 8) * 64 * 4; /* q, k, v of a KV head, in all layers, f32 */
    assert_int_equal(six->total.weight_bytes,
                     one->total.weight_bytes + 5 * replicated_bytes(model) + 2 * head_rows);

    /* For some policies the first rank of a head has all its rows. */
    struct memory_plan *left = NULL;
    static const int64_t left_bytes[] = {160, 0, 160, 0, 160, 160};
    assert_int_equal(memory_plan_create(model, 6, &alike, true, DTYPE_COUNT, DTYPE_F16, &left), STATUS_OK);
    for (int rank = 0; rank < 6; rank++) {
        assert_int_equal(left->ranks[rank].kv_bytes_per_token, left_bytes[rank]);
        assert_int_equal(left->ranks[rank].weight_bytes, six->ranks[rank].weight_bytes);
    }
    memory_plan_destroy(left);

    /* The host of the last two ranks has most keys and values, that of the first two most weights. */
    assert_int_equal(memory_plan_host_bytes(six, 2, 1 << 20),
                     six->ranks[4].weight_bytes + six->ranks[5].weight_bytes + (320 << 20));
    assert_int_equal(memory_plan_host_bytes(six, 9, 1000), six->total.weight_bytes + 640000);
    memory_plan_destroy(one);
    memory_plan_destroy(six);
    model_file_close(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_model),   cmocka_unit_test(test_one_rank_holds_the_files),
        cmocka_unit_test(test_shares_add_up), cmocka_unit_test(test_super_blocks_are_held_whole),
        cmocka_unit_test(test_shared_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
