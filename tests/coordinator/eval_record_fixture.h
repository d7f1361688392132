/* tests/coordinator/eval_record_fixture.h - a made-up record of eval's results. */
#pragma once

#include "coordinator/eval_results.h"

/* Everything of it is said but series and recall. Its texts live for ever, and are not to be freed. */
struct eval_record eval_record_of(const char *policy, int32_t budget, int64_t problem, int64_t sample);
