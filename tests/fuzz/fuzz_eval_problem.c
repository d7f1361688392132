/* A line of problems: refused, or with a question of the user's and an answer. */
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "coordinator/eval_problem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct eval_problem problem;
    const enum status status = eval_problem_parse((const char *)data, size, "fuzz", 1, &problem);
    CHECK(status == STATUS_OK || status == STATUS_BAD_INPUT);
    if (status != STATUS_OK) return 0;
    CHECK(problem.n_messages >= 1 && problem.answer[0] != '\0' && problem.steps >= -1);
    for (size_t i = 0; i < problem.n_messages; i++)
        CHECK(problem.messages[i].role && problem.messages[i].content);
    CHECK(strcmp(problem.messages[problem.n_messages - 1].role, "user") == 0);
    eval_problem_free(&problem);
    return 0;
}
