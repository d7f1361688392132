#include "kvshard/kv_policy_impl.h"

const struct kv_policy_vtable kv_policy_full = {
    .name = "full",
    .summary = "every layer attends to every token",
};
