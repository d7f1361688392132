#include "kvshard/budget_impl.h"

enum status budget_check_sinks(const struct kv_policy_config *config) {
    if (config->n_sinks < 0)
        return FAIL(STATUS_BAD_INPUT, "sinks must not be negative, not %d", config->n_sinks);
    if (config->budget < (int64_t)config->n_sinks + 2)
        return FAIL(STATUS_BAD_INPUT, "budget %d is too small: with %d sinks it must be at least %lld",
                    config->budget, config->n_sinks, (long long)config->n_sinks + 2);
    return STATUS_OK;
}

enum status budget_check_pages(const struct kv_policy_config *config, int32_t least) {
    if (config->budget / KV_PAGE_TOKENS < least)
        return FAIL(STATUS_BAD_INPUT,
                    "budget %d is too small: policy %s counts in pages of %d tokens and needs %d of them",
                    config->budget, config->name, KV_PAGE_TOKENS, least);
    return STATUS_OK;
}
