#include "tests/kvshard/policy_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

struct kv_policy_config policy_config(const char *name, int32_t n_layers, int32_t n_kv_heads, int32_t group,
                                      int64_t context_length) {
    return (struct kv_policy_config){.name = name,
                                     .n_slots = FIXTURE_SLOTS,
                                     .n_layers = n_layers,
                                     .n_heads_global = n_kv_heads * group,
                                     .n_heads_local = n_kv_heads * group,
                                     .n_kv_heads_local = n_kv_heads,
                                     .head_dim = FIXTURE_HEAD_DIM,
                                     .context_length = context_length,
                                     .n_threads = 2,
                                     .kernels = kernels_at_level(kernels_best_level())};
}

struct kv_policy *policy_create(const struct kv_policy_config *config) {
    struct kv_policy *policy;
    assert_int_equal(kv_policy_create(config, &policy), STATUS_OK);
    return policy;
}

struct kv_policy *policy_of_heads(struct kv_policy_config config, int32_t first_head, int32_t n_heads) {
    config.first_head = first_head;
    config.n_heads_local = n_heads;
    return policy_create(&config);
}

void assert_policy_refused(struct kv_policy_config config, const char *words) {
    struct kv_policy *policy = NULL;
    assert_int_equal(kv_policy_create(&config, &policy), STATUS_BAD_INPUT);
    assert_non_null(strstr(status_message(), words));
    assert_null(policy);
}

int64_t kv_set_token(struct kv_set set, int64_t i) {
    return set.tokens ? set.tokens[i] : i;
}

void assert_set_is(struct kv_set set, const bool *in_set, int64_t n_cached) {
    int64_t n = 0;
    for (int64_t token = 0; token < n_cached; token++) {
        if (!in_set[token]) continue;
        assert_true(n < set.n_tokens);
        assert_int_equal(kv_set_token(set, n++), token);
    }
    assert_int_equal(n, set.n_tokens);
}

void assert_sets_equal(struct kv_set a, struct kv_set b) {
    assert_int_equal(a.n_tokens, b.n_tokens);
    assert_true(!a.tokens == !b.tokens);
    if (a.tokens) assert_memory_equal(a.tokens, b.tokens, (size_t)a.n_tokens * sizeof *a.tokens);
}

void call_at_once(void *(*call)(void *), int32_t n, void *arguments, size_t bytes_each) {
    enum { MAX_THREADS = 8 };
    pthread_t threads[MAX_THREADS];
    assert_true(n <= MAX_THREADS);
    for (int32_t i = 0; i < n; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call, (char *)arguments + (size_t)i * bytes_each),
                         0);
    for (int32_t i = 0; i < n; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}
