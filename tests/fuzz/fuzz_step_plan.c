/* Any bytes decode to a plan within the limits or are refused, and what is accepted has one encoding. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "cluster/step_plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct step_limits limits = {
    .max_slots = 20, .max_tokens = 64, .vocab_size = 1000, .context_length = 4096};

enum { NUMBER = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct step_plan *plan, *again;
    if (step_plan_decode(data, size, &limits, NUMBER, &plan) != STATUS_OK) return 0;

    struct bytes first = {0}, second = {0};
    CHECK(step_plan_encode(plan, &first) == STATUS_OK);
    CHECK(first.size == size);
    CHECK(step_plan_decode(first.data, first.size, &limits, NUMBER, &again) == STATUS_OK);
    CHECK(step_plan_encode(again, &second) == STATUS_OK);
    CHECK(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);

    bytes_free(&second);
    bytes_free(&first);
    step_plan_free(again);
    step_plan_free(plan);
    return 0;
}
