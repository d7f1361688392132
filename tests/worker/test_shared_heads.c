/* Ranks that share a KV head: the bits of one that has all of it, whatever their number, also where a rank
 * owns no stripe, no row of a list or all of them. */
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/rng.h"
#include "tests/cluster/mpi_fixture.h"
#include "worker/attention.h"

enum {
    N_SLOTS = 2,
    CONTEXT = 2200,
    HEAD_DIM = 32,
    GROUP = 3,
    LAYERS = 4,
    MAX_ROWS = 40,
    BUDGET = 200,
    SMALL_BUDGET = 40,
    N_THREADS = 2
};

struct setting {
    const char *policy;
    int32_t budget;
    bool ties; /* few different keys: most scores are equal */
};

/* All of the head, or what this rank has of it. */
struct world {
    struct arena *memory;
    struct kv_cache *cache;
    struct kv_policy *policy;
    struct attention *attention;
    uint32_t *messages;
    float *out; /* [MAX_ROWS, GROUP * HEAD_DIM] */
};

static const struct kernels *kernels(void) {
    return kernels_at_level(kernels_best_level());
}

/* group NULL: one rank has the whole head. */
static struct world create(struct setting setting, struct head_group *group) {
    static const int32_t select_layers[] = {1};
    struct world world;
    const struct kv_shape shape = {.n_slots = N_SLOTS,
                                   .n_layers = LAYERS,
                                   .n_kv_heads_local = 1,
                                   .head_dim = HEAD_DIM,
                                   .context_length = CONTEXT,
                                   .dtype = DTYPE_F16,
                                   .other_stripes = group ? head_group_other_stripes(group) : 0};
    const struct attention_shape attention = {.n_heads_local = GROUP,
                                              .n_kv_heads_local = 1,
                                              .head_dim = HEAD_DIM,
                                              .context_length = CONTEXT,
                                              .max_tokens = MAX_ROWS,
                                              .n_threads = N_THREADS,
                                              .selects = true,
                                              .rescores = true,
                                              .kv_dtype = DTYPE_F16,
                                              .group = group};
    struct kv_policy_config policy = {.name = setting.policy,
                                      .budget = setting.budget,
                                      .recent_ratio = 0.25,
                                      .n_sinks = 4,
                                      .n_select_layers = strcmp(setting.policy, "quest") ? 1 : 0,
                                      .select_layers = select_layers,
                                      .n_slots = N_SLOTS,
                                      .n_layers = LAYERS,
                                      .n_heads_global = GROUP,
                                      .n_heads_local = GROUP,
                                      .n_kv_heads_local = 1,
                                      .head_dim = HEAD_DIM,
                                      .context_length = CONTEXT,
                                      .n_threads = N_THREADS,
                                      .keys_are_fed = shape.other_stripes != 0,
                                      .kernels = kernels()};
    assert_int_equal(arena_create("test", &world.memory), STATUS_OK);
    assert_int_equal(kv_cache_create(&shape, kernels(), &world.cache), STATUS_OK);
    policy.cache = world.cache;
    assert_int_equal(kv_policy_create(&policy, &world.policy), STATUS_OK);
    assert_int_equal(attention_create(&attention, kernels(), world.memory, &world.attention), STATUS_OK);
    assert_int_equal(ARENA_TAKE(world.memory, (size_t)N_SLOTS * CONTEXT, &world.messages), STATUS_OK);
    assert_int_equal(ARENA_TAKE(world.memory, MAX_ROWS * GROUP * HEAD_DIM, &world.out), STATUS_OK);
    return world;
}

static void destroy(struct world *world) {
    kv_policy_destroy(world->policy);
    kv_cache_destroy(world->cache);
    arena_destroy(world->memory);
}

static void draw_row(uint64_t stream, uint64_t position, float *row) {
    for (uint64_t d = 0; d < HEAD_DIM; d++)
        row[d] = (float)(rng_uniform(stream, position, d) * 4 - 2);
}

static void fill_slot(struct world *world, int32_t slot, int64_t n, bool ties) {
    float key[HEAD_DIM], value[HEAD_DIM];
    assert_int_equal(kv_policy_admit(world->policy, slot, 0, n, false), STATUS_OK);
    for (int32_t layer = 0; layer < LAYERS; layer++)
        for (int64_t token = 0; token < n; token++) {
            const int64_t key_number = ties ? token * 7 % 5 : token;
            draw_row((uint64_t)(2 * (slot * LAYERS + layer)), (uint64_t)key_number, key);
            draw_row((uint64_t)(2 * (slot * LAYERS + layer) + 1), (uint64_t)token, value);
            kv_cache_append(world->cache, slot, layer, 0, token, key, value);
            kv_policy_feed(world->policy, 0, slot, layer, token, key);
        }
}

/* A decode token of slot 0 and the last n_prefill tokens of slot 1. */
static struct batch new_batch(struct arena *memory, const int64_t lengths[N_SLOTS], int32_t n_prefill) {
    struct batch batch;
    assert_int_equal(batch_create(MAX_ROWS, memory, &batch), STATUS_OK);
    batch.decodes[batch.n_decodes++] = batch.n_blocks;
    batch.blocks[batch.n_blocks++] =
        (struct batch_block){.n_rows = 1, .first_position = lengths[0] - 1, .decode = true};
    batch.n_rows = 1 + n_prefill;
    if (n_prefill)
        batch.blocks[batch.n_blocks++] = (struct batch_block){
            .first_row = 1, .n_rows = n_prefill, .slot = 1, .first_position = lengths[1] - n_prefill};
    return batch;
}

static void run_layer(struct world *world, const struct batch *batch, int32_t layer, const float *q) {
    static const size_t offsets[] = {0};
    attention_run(world->attention, &(struct attention_call){.batch = batch,
                                                             .cache = world->cache,
                                                             .policy = world->policy,
                                                             .layer = layer,
                                                             .q = q,
                                                             .out = world->out,
                                                             .messages = world->messages,
                                                             .message_offsets = offsets});
    const int64_t n_cached = batch->blocks[0].first_position + 1;
    if (kv_policy_layer(world->policy, 0, layer, n_cached) & KV_AGREE)
        kv_policy_take(world->policy, 0, layer, n_cached, world->messages);
}

static void setting_does_not_show(struct setting setting, int64_t n_decode, int64_t n_other,
                                  int32_t n_prefill) {
    static float q[MAX_ROWS * GROUP * HEAD_DIM];
    const int64_t lengths[N_SLOTS] = {n_decode, n_other};
    struct shard_map map;
    struct head_group *group;
    const struct shard_dims dims = {GROUP, 1, HEAD_DIM, 64, 0, 64, 64};
    assert_int_equal(shard_map_create(&dims, comm_size(comm), &map), STATUS_OK);
    assert_int_equal(head_group_create(comm, &map, &group), STATUS_OK);
    struct world whole = create(setting, NULL), shared = create(setting, group);
    const struct batch batch = new_batch(whole.memory, lengths, n_prefill);
    for (int32_t slot = 0; slot < N_SLOTS; slot++) {
        fill_slot(&whole, slot, lengths[slot], setting.ties);
        fill_slot(&shared, slot, lengths[slot], setting.ties);
    }
    for (int32_t layer = 0; layer < LAYERS; layer++) {
        for (size_t i = 0; i < sizeof q / sizeof *q; i++)
            q[i] = (float)(rng_uniform(99, (uint64_t)layer, i) * 4 - 2);
        run_layer(&whole, &batch, layer, q);
        run_layer(&shared, &batch, layer, q);
        assert_memory_equal(shared.out, whole.out, (size_t)batch.n_rows * GROUP * HEAD_DIM * sizeof *q);
        assert_memory_equal(shared.messages, whole.messages, CONTEXT * sizeof *whole.messages);
    }
    destroy(&whole);
    destroy(&shared);
    head_group_destroy(group);
}

static void sharing_does_not_show(const char *policy, int64_t n_decode, int64_t n_other, int32_t n_prefill) {
    setting_does_not_show((struct setting){policy, BUDGET, false}, n_decode, n_other, n_prefill);
}

static void test_long_lists(void **state) {
    (void)state;
    sharing_does_not_show("full", CONTEXT, 1300, 32);
}

/* Below 129 tokens all are in stripe 0. */
static void test_one_stripe_has_all(void **state) {
    (void)state;
    sharing_does_not_show("full", 1, 1, 1);
    sharing_does_not_show("full", 128, 20, 20);
    sharing_does_not_show("full", 129, 140, 30); /* some of the rows see the second unit, some do not */
}

static void test_sets(void **state) {
    (void)state;
    sharing_does_not_show("lessismore", CONTEXT, 1000, 7);
    sharing_does_not_show("tidal", 1500, 300, 0);
    sharing_does_not_show("quest", 1777, 129, 3);
}

/* Of few tokens the best of all ranks travel, of many all scores. */
static void test_sets_of_few(void **state) {
    static const int64_t lengths[] = {SMALL_BUDGET + 1, 129, 260, 1100, CONTEXT};
    static const char *const policies[] = {"lessismore", "tidal"};
    (void)state;
    for (int i = 0; i < 2; i++)
        for (int ties = 0; ties < 2; ties++)
            for (int j = 0; j < 5; j++)
                setting_does_not_show((struct setting){policies[i], SMALL_BUDGET, ties}, lengths[j], 20, 1);
}

static void test_replaced_scores(void **state) {
    (void)state;
    sharing_does_not_show("sparsemax", 1100, 40, 2);
    sharing_does_not_show("sparsemax-select", 900, 40, 0);
    sharing_does_not_show("emulate", CONTEXT, 900, 5);
}

int main(void) {
    omp_set_num_threads(N_THREADS);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_lists),
        cmocka_unit_test(test_one_stripe_has_all),
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_sets_of_few),
        cmocka_unit_test(test_replaced_scores),
    };
    return cmocka_run_group_tests(tests, mpi_fixture_open, mpi_fixture_close);
}
