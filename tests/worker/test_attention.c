/* Attention over pages: the same bits however many threads share the lists, and near the textbook for every
 * type of keys and values. */
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/rng.h"
#include "worker/attention.h"

enum { MAX_THREADS = 7, MAX_SLOTS = 3, CONTEXT = 1500, HEAD_DIM = 32, LAYERS = 4, MAX_ROWS = 40 };

/* What is attended to and by whom. */
struct setting {
    int32_t n_kv_heads, group, n_decodes; /* of slots 0, 1, … */
    int32_t n_prefill;                    /* rows of one more slot */
    const char *policy;
    enum dtype dtype;
};

struct world {
    struct setting setting;
    struct arena *memory;
    struct kv_cache *cache;
    struct kv_policy *policy;
    struct attention *attention;
    struct batch batch;
    int64_t lengths[MAX_SLOTS];
    float *q, *out;
    uint32_t *messages;
    size_t offsets[MAX_SLOTS];
};

static void draw_row(uint64_t stream, uint64_t position, float *row) {
    for (uint64_t d = 0; d < HEAD_DIM; d++)
        row[d] = (float)(rng_uniform(stream, position, d) * 4 - 2);
}

static uint64_t stream_of(int32_t slot, int32_t layer, int32_t head, int value) {
    return (uint64_t)(((slot * 16 + layer) * 16 + head) * 2 + value);
}

static void fill_slot(struct world *world, int32_t slot, int64_t n) {
    float key[HEAD_DIM], value[HEAD_DIM];
    world->lengths[slot] = n;
    assert_int_equal(kv_cache_reserve(world->cache, slot, n), STATUS_OK);
    for (int32_t layer = 0; layer < LAYERS; layer++)
        for (int32_t head = 0; head < world->setting.n_kv_heads; head++)
            for (int64_t position = 0; position < n; position++) {
                draw_row(stream_of(slot, layer, head, 0), (uint64_t)position, key);
                draw_row(stream_of(slot, layer, head, 1), (uint64_t)position, value);
                kv_cache_append(world->cache, slot, layer, head, position, key, value);
            }
}

static void add_rows(struct world *world, int32_t slot, int32_t n, bool decode) {
    struct batch *batch = &world->batch;
    if (decode) batch->decodes[batch->n_decodes++] = batch->n_blocks;
    for (int32_t i = 0; i < n; i += BATCH_BLOCK_ROWS) {
        const int32_t left = n - i;
        batch->blocks[batch->n_blocks++] =
            (struct batch_block){.first_row = batch->n_rows + i,
                                 .n_rows = left < BATCH_BLOCK_ROWS ? left : BATCH_BLOCK_ROWS,
                                 .slot = slot,
                                 .first_position = world->lengths[slot] - n + i,
                                 .decode = decode};
    }
    batch->n_rows += n;
}

static struct world create(struct setting setting) {
    static const int32_t select_layers[] = {1};
    struct world world = {.setting = setting};
    const struct kernels *kernels = kernels_at_level(kernels_best_level());
    const int32_t n_heads = setting.n_kv_heads * setting.group;
    const struct kv_shape shape = {.n_slots = MAX_SLOTS,
                                   .n_layers = LAYERS,
                                   .n_kv_heads_local = setting.n_kv_heads,
                                   .head_dim = HEAD_DIM,
                                   .context_length = CONTEXT,
                                   .dtype = setting.dtype};
    struct kv_policy_config policy = {.name = setting.policy,
                                      .budget = 400,
                                      .recent_ratio = 0.25,
                                      .n_sinks = 4,
                                      .n_select_layers = 1,
                                      .select_layers = select_layers,
                                      .n_slots = MAX_SLOTS,
                                      .n_layers = LAYERS,
                                      .n_heads_global = n_heads,
                                      .n_heads_local = n_heads,
                                      .n_kv_heads_local = setting.n_kv_heads,
                                      .head_dim = HEAD_DIM,
                                      .context_length = CONTEXT,
                                      .n_threads = MAX_THREADS,
                                      .kernels = kernels};
    const struct attention_shape attention = {.n_heads_local = n_heads,
                                              .n_kv_heads_local = setting.n_kv_heads,
                                              .head_dim = HEAD_DIM,
                                              .context_length = CONTEXT,
                                              .max_tokens = MAX_ROWS,
                                              .n_threads = MAX_THREADS,
                                              .selects = true,
                                              .kv_dtype = setting.dtype};
    assert_int_equal(arena_create("test", &world.memory), STATUS_OK);
    assert_int_equal(kv_cache_create(&shape, kernels, &world.cache), STATUS_OK);
    policy.cache = world.cache;
    assert_int_equal(kv_policy_create(&policy, &world.policy), STATUS_OK);
    assert_int_equal(attention_create(&attention, kernels, world.memory, &world.attention), STATUS_OK);
    assert_int_equal(batch_create(MAX_ROWS, world.memory, &world.batch), STATUS_OK);
    const size_t row_size = (size_t)n_heads * HEAD_DIM;
    assert_int_equal(ARENA_TAKE(world.memory, MAX_ROWS * row_size, &world.q), STATUS_OK);
    assert_int_equal(ARENA_TAKE(world.memory, MAX_ROWS * row_size, &world.out), STATUS_OK);
    assert_int_equal(ARENA_TAKE(world.memory, (size_t)MAX_SLOTS * CONTEXT, &world.messages), STATUS_OK);
    for (size_t i = 0; i < MAX_ROWS * row_size; i++)
        world.q[i] = (float)(rng_uniform(99, 1, i) * 4 - 2);
    return world;
}

static void destroy(struct world *world) {
    kv_policy_destroy(world->policy);
    kv_cache_destroy(world->cache);
    arena_destroy(world->memory);
}

static void run_layer(struct world *world, int32_t layer) {
    attention_run(world->attention, &(struct attention_call){.batch = &world->batch,
                                                             .cache = world->cache,
                                                             .policy = world->policy,
                                                             .layer = layer,
                                                             .q = world->q,
                                                             .out = world->out,
                                                             .messages = world->messages,
                                                             .message_offsets = world->offsets});
}

static size_t output_size(const struct world *world) {
    return (size_t)world->batch.n_rows * (size_t)(world->setting.n_kv_heads * world->setting.group) *
           HEAD_DIM;
}

/* All layers with n_threads: outputs [LAYERS, rows], then the messages. */
static void run_all(struct world *world, int n_threads, float *outputs, uint32_t *messages) {
    const size_t size = output_size(world);
    omp_set_num_threads(n_threads);
    memset(world->messages, 0, (size_t)MAX_SLOTS * CONTEXT * sizeof *messages);
    for (int32_t layer = 0; layer < LAYERS; layer++) {
        memset(world->out, 0, size * sizeof *world->out);
        run_layer(world, layer);
        memcpy(outputs + (size_t)layer * size, world->out, size * sizeof *outputs);
        for (int32_t slot = 0; slot < world->setting.n_decodes; slot++)
            if (kv_policy_layer(world->policy, slot, layer, world->lengths[slot]) & KV_AGREE)
                kv_policy_take(world->policy, slot, layer, world->lengths[slot],
                               world->messages + world->offsets[slot]);
    }
    memcpy(messages, world->messages, (size_t)MAX_SLOTS * CONTEXT * sizeof *messages);
}

static void threads_do_not_show(struct setting setting) {
    static const int64_t lengths[MAX_SLOTS] = {1500, 129, 777};
    struct world world = create(setting);
    for (int32_t slot = 0; slot < MAX_SLOTS; slot++) {
        fill_slot(&world, slot, lengths[slot]);
        world.offsets[slot] = (size_t)slot * CONTEXT;
    }
    for (int32_t slot = 0; slot < setting.n_decodes; slot++)
        add_rows(&world, slot, 1, true);
    if (setting.n_prefill) add_rows(&world, MAX_SLOTS - 1, setting.n_prefill, false);
    const size_t bytes = LAYERS * output_size(&world) * sizeof(float),
                 message_bytes = MAX_SLOTS * CONTEXT * 4;
    float *expected = malloc(bytes), *actual = malloc(bytes);
    uint32_t *expected_messages = malloc(message_bytes), *actual_messages = malloc(message_bytes);
    assert_true(expected && actual && expected_messages && actual_messages);
    run_all(&world, 1, expected, expected_messages);
    for (int n_threads = 2; n_threads <= MAX_THREADS; n_threads++) {
        run_all(&world, n_threads, actual, actual_messages);
        assert_memory_equal(expected, actual, bytes);
        assert_memory_equal(expected_messages, actual_messages, message_bytes);
    }
    free(expected);
    free(actual);
    free(expected_messages);
    free(actual_messages);
    destroy(&world);
}

static void one_list_is_split_and_merged(void **state) {
    (void)state;
    threads_do_not_show((struct setting){1, 2, 1, 0, "full", DTYPE_F16});
    threads_do_not_show((struct setting){1, 5, 1, 0, "lessismore", DTYPE_BF16});
}

static void uneven_lists_are_shared(void **state) {
    (void)state;
    threads_do_not_show((struct setting){3, 2, 3, 0, "full", DTYPE_F32});
    threads_do_not_show((struct setting){3, 1, 3, 0, "lessismore", DTYPE_Q8_0});
}

static void prompts_are_read_beside_answers(void **state) {
    (void)state;
    threads_do_not_show((struct setting){2, 4, 2, 37, "full", DTYPE_F16});
    threads_do_not_show((struct setting){2, 2, 2, 9, "lessismore", DTYPE_Q8_0});
}

/* Query head `head` of the decode token of slot 0 at layer 0, in double. */
static void textbook(const struct world *world, int32_t head, double out[HEAD_DIM]) {
    static double weights[CONTEXT];
    float row[HEAD_DIM];
    const float *q = world->q + head * HEAD_DIM;
    const int64_t n = world->lengths[0];
    double largest = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        draw_row(stream_of(0, 0, head / world->setting.group, 0), (uint64_t)i, row);
        weights[i] = 0;
        for (int d = 0; d < HEAD_DIM; d++)
            weights[i] += (double)q[d] * row[d] / sqrt(HEAD_DIM);
        largest = fmax(largest, weights[i]);
    }
    for (int64_t i = 0; i < n; i++)
        sum += weights[i] = exp(weights[i] - largest);
    memset(out, 0, HEAD_DIM * sizeof *out);
    for (int64_t i = 0; i < n; i++) {
        draw_row(stream_of(0, 0, head / world->setting.group, 1), (uint64_t)i, row);
        for (int d = 0; d < HEAD_DIM; d++)
            out[d] += weights[i] / sum * row[d];
    }
}

static void every_type_is_near_the_textbook(void **state) {
    (void)state;
    static const struct {
        enum dtype dtype;
        double bound; /* outputs are below 2, scores below 10 */
    } cases[] = {{DTYPE_F32, 1e-6}, {DTYPE_F16, 3e-4}, {DTYPE_BF16, 2e-3}, {DTYPE_Q8_0, 5e-3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world world = create((struct setting){2, 2, 1, 0, "full", cases[i].dtype});
        fill_slot(&world, 0, 1000);
        add_rows(&world, 0, 1, true);
        run_layer(&world, 0);
        double worst = 0;
        for (int32_t head = 0; head < 4; head++) {
            double expected[HEAD_DIM];
            textbook(&world, head, expected);
            for (int d = 0; d < HEAD_DIM; d++)
                worst = fmax(worst, fabs(world.out[head * HEAD_DIM + d] - expected[d]));
        }
        print_message("%s: at most %.2g from the textbook\n", dtype_layout(cases[i].dtype)->name, worst);
        assert_true(worst <= cases[i].bound);
        destroy(&world);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_list_is_split_and_merged),
        cmocka_unit_test(uneven_lists_are_shared),
        cmocka_unit_test(prompts_are_read_beside_answers),
        cmocka_unit_test(every_type_is_near_the_textbook),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
