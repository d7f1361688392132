/* streaming: what is kept, what is read after something was forgotten, and memory that returns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "check_fails.h"
#include "tests/kvshard/kv_world.h"

enum { S = KV_PAGE_TOKENS, CONTEXT = 600, LAYERS = 2, KV_HEADS = 2, N_TABLES = LAYERS * KV_HEADS };

static struct kv_policy_config config_of(int32_t budget, int32_t n_sinks) {
    struct kv_policy_config config = policy_config("streaming", LAYERS, KV_HEADS, 2, CONTEXT);
    config.budget = budget;
    config.n_sinks = n_sinks;
    return config;
}

/* ---- the definition: which tokens of a slot are remembered ---- */

struct memory {
    bool kept[CONTEXT];
    int64_t n;
};

static void remember(struct memory *memory, int64_t first, int64_t n) {
    for (int64_t token = first; token < first + n; token++)
        memory->kept[token] = true;
    memory->n = first + n;
}

static void forget(struct memory *memory, const struct kv_policy_config *config) {
    for (int64_t token = config->n_sinks; token < memory->n - (config->budget - config->n_sinks); token++)
        memory->kept[token] = false;
}

/* What is kept can be read, and holds what was stored. */
static void check_rows(const struct kv_world *world, int32_t slot, struct kv_set set) {
    for (int64_t i = 0; i < set.n_tokens; i++) {
        const int64_t token = kv_set_token(set, i);
        float expected[32], actual[32];
        const void *key, *value;
        assert_int_equal(kv_policy_row(world->policy, slot, 1, 1, token), token);
        kv_cache_rows(world->cache, slot, 1, 1, NULL, token, 1, &key, &value);
        world->config.kernels->load(key, DTYPE_F16, 32, actual);
        kv_world_key(world, slot, 1, 1, token, expected);
        assert_memory_equal(actual, expected, sizeof expected);
    }
}

static int64_t pages_with_kept_tokens(const struct memory *memory) {
    int64_t n = 0;
    for (int64_t page = 0; page < kv_pages_of(memory->n); page++) {
        bool any = false;
        for (int64_t token = page * S; token < (page + 1) * S && token < memory->n; token++)
            any = any || memory->kept[token];
        n += any;
    }
    return n;
}

static void check_pages(const struct kv_world *world, int64_t n_pages) {
    const size_t page_bytes = (size_t)S * 2 * 32 * 2;
    assert_int_equal(kv_cache_bytes_in_use(world->cache), (size_t)n_pages * N_TABLES * page_bytes);
}

static void check(const struct kv_world *world, int32_t slot, const struct memory *memory) {
    const struct kv_set set = kv_policy_resident(world->policy, slot, 1, 1, memory->n);
    assert_set_is(set, memory->kept, memory->n);
    check_rows(world, slot, set);
    check_pages(world, pages_with_kept_tokens(memory));
}

static void decode(struct kv_world *world, int32_t slot, struct memory *memory) {
    const int64_t token = memory->n;
    kv_world_decode(world, slot, token);
    remember(memory, token, 1);
    forget(memory, &world->config);
    assert_int_equal(kv_policy_layer(world->policy, slot, 0, token + 1), KV_ATTEND_ALL);
    check(world, slot, memory);
    const struct kv_set set = kv_policy_set(world->policy, slot, 0, token + 1, 3);
    const int64_t all = token + 1;
    assert_int_equal(set.n_tokens, all < world->config.budget ? all : world->config.budget);
}

static void prefill(struct kv_world *world, int32_t slot, struct memory *memory, int64_t n) {
    const int64_t first = memory->n;
    kv_world_admit(world, slot, first, n, false);
    remember(memory, first, n);
    check(world, slot, memory);
    for (int64_t i = first + 1; i <= memory->n; i++) /* each row of it sees what comes before */
        assert_set_is(kv_policy_resident(world->policy, slot, 0, 1, i), memory->kept, i);
}

static void sinks_and_the_newest_are_kept(void **state) {
    (void)state;
    static const struct {
        int32_t budget, n_sinks, n_prompt;
    } cases[] = {{2, 0, 1}, {6, 4, 3}, {40, 4, 100}, {64, 16, 64}, {65, 17, 7}, {100, 40, 30}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kv_world world = kv_world_create(config_of(cases[i].budget, cases[i].n_sinks), i);
        struct memory memory = {0};
        prefill(&world, 0, &memory, cases[i].n_prompt);
        for (int j = 0; j < 150; j++)
            decode(&world, 0, &memory);
        prefill(&world, 0, &memory, 70); /* another turn: dense over what is left */
        for (int j = 0; j < 40; j++)
            decode(&world, 0, &memory);
        kv_world_free(&world, 0);
        check_pages(&world, 0);
        kv_world_destroy(&world);
    }
}

static void a_large_budget_forgets_nothing(void **state) {
    (void)state;
    struct kv_world world = kv_world_create(config_of(150, 4), 1);
    struct memory memory = {0};
    prefill(&world, 0, &memory, 100);
    while (memory.n < 150) {
        decode(&world, 0, &memory);
        assert_null(kv_policy_resident(world.policy, 0, 0, 0, memory.n).tokens);
    }
    decode(&world, 0, &memory);
    assert_int_equal(kv_policy_resident(world.policy, 0, 0, 0, 151).tokens[4], 5);
    kv_world_destroy(&world);
}

static void memory_is_flat_over_a_long_answer(void **state) {
    (void)state;
    struct kv_policy_config config = config_of(48, 4);
    config.context_length = 20000;
    struct kv_world world = kv_world_create(config, 1);
    kv_world_admit(&world, 0, 0, 1000, false);
    for (int64_t token = 1000; token < 20000; token++) {
        kv_world_decode(&world, 0, token);
        const size_t page_bytes = (size_t)S * 2 * 32 * 2;
        assert_true(kv_cache_bytes_in_use(world.cache) <= 5 * N_TABLES * page_bytes);
    }
    kv_world_destroy(&world);
}

/* To everywhere: into the newest, into what was forgotten, into the sinks. */
static void an_end_may_come_anew(void **state) {
    (void)state;
    static const int64_t ends[] = {199, 190, 176, 161, 160, 100, 33, 16, 5, 4, 3, 1};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct kv_world world = kv_world_create(config_of(40, 4), 1);
        struct memory memory = {0};
        prefill(&world, 1, &memory, 120);
        while (memory.n < 200)
            decode(&world, 1, &memory);
        kv_policy_rewind(world.policy, 1, ends[i]);
        memory.n = ends[i];
        memset(memory.kept + ends[i], 0, (size_t)(CONTEXT - ends[i]));
        prefill(&world, 1, &memory, 50);
        for (int j = 0; j < 60; j++)
            decode(&world, 1, &memory);
        kv_world_destroy(&world);
    }
}

static void slots_forget_for_themselves(void **state) {
    (void)state;
    struct kv_world world = kv_world_create(config_of(40, 4), 1);
    struct memory memories[2] = {0};
    for (int32_t slot = 0; slot < 2; slot++) {
        kv_world_admit(&world, slot, 0, 30 + 50 * slot, false);
        remember(&memories[slot], 0, 30 + 50 * slot);
    }
    for (int i = 0; i < 60; i++)
        for (int32_t slot = 0; slot < 2; slot++) {
            kv_world_decode(&world, slot, memories[slot].n);
            remember(&memories[slot], memories[slot].n, 1);
            forget(&memories[slot], &world.config);
            assert_set_is(kv_policy_resident(world.policy, slot, 0, 0, memories[slot].n), memories[slot].kept,
                          memories[slot].n);
        }
    check_pages(&world, pages_with_kept_tokens(&memories[0]) + pages_with_kept_tokens(&memories[1]));
    kv_world_destroy(&world);
}

static void dense_steps_forget_nothing(void **state) {
    (void)state;
    struct kv_policy_config config = config_of(40, 4);
    config.dense_below = 100;
    struct kv_world world = kv_world_create(config, 1);
    struct memory memory = {0};
    for (int64_t token = 0; token < 100; token++) {
        kv_world_decode(&world, 0, token);
        remember(&memory, token, 1);
        check(&world, 0, &memory);
    }
    decode(&world, 0, &memory);
    kv_world_destroy(&world);
}

static void options_are_checked(void **state) {
    (void)state;
    struct kv_policy_config config = config_of(5, 4);
    struct kv_policy *policy = NULL;
    config.kernels = kernels_at_level(0);
    assert_int_equal(kv_policy_create(&config, &policy), STATUS_BAD_INPUT);
    assert_non_null(strstr(status_message(), "at least 6"));
    config.n_sinks = -1;
    assert_int_equal(kv_policy_create(&config, &policy), STATUS_BAD_INPUT);
    assert_non_null(strstr(status_message(), "sinks"));
}

static void read_a_forgotten_token(void *cache) {
    const void *key, *value;
    kv_cache_rows(cache, 0, 0, 0, NULL, 17, 1, &key, &value);
}

static void what_is_forgotten_cannot_be_read(void **state) {
    (void)state;
    struct kv_world world = kv_world_create(config_of(40, 4), 1);
    kv_world_admit(&world, 0, 0, 100, false);
    kv_world_decode(&world, 0, 100);
    assert_true(check_fails(read_a_forgotten_token, world.cache));
    kv_world_destroy(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sinks_and_the_newest_are_kept),
        cmocka_unit_test(a_large_budget_forgets_nothing),
        cmocka_unit_test(memory_is_flat_over_a_long_answer),
        cmocka_unit_test(an_end_may_come_anew),
        cmocka_unit_test(slots_forget_for_themselves),
        cmocka_unit_test(dense_steps_forget_nothing),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(what_is_forgotten_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
