#include "tests/coordinator/eval_record_fixture.h"

#include <stdio.h>

static char text_x[] = "x", text_y[] = "y=1", text_stop[] = "stop", id[] = "\"a\"", text[] = "<think>\n\"";

struct eval_record eval_record_of(const char *policy, int32_t budget, int64_t problem, int64_t sample) {
    struct eval_record record = {
        .method = {.budget = budget, .options = "sinks=8"},
        .problem = problem,
        .fingerprint = UINT64_C(0xfedcba9876543210),
        .id_json = id,
        .steps = 8,
        .sample = sample,
        .seed = (UINT64_C(1) << 53) - 1,
        .expected = text_x,
        .answer = text_y,
        .correct = true,
        .finish = text_stop,
        .n_prompt = 92,
        .n_generated = 122,
        .attended = 152.25,
        .kv_bytes = 1835008,
        .seconds = 1.5,
        .share_seconds = 0.125,
        .text = text,
    };
    snprintf(record.method.policy, sizeof record.method.policy, "%s", policy);
    return record;
}
