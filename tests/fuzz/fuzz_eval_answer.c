/* Answers: what is found lies within the text; an answer is right where it is expected itself, and of two
 * texts each is right for the other or neither. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "coordinator/eval_answer.h"
#include "coordinator/eval_canonical.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_right(const char *answer, const char *expected) {
    bool right = false;
    CHECK(eval_answer_check((struct eval_answer){answer, strlen(answer)}, expected, &right) == STATUS_OK);
    return right;
}

static void check_pair(const char *a, const char *b) {
    struct bytes canonical = {0};
    CHECK(eval_canonical(a, strlen(a), &canonical) == STATUS_OK);
    CHECK(canonical.size <= 3 * strlen(a)); /* each byte can come into braces */
    CHECK(is_right(a, a) == (canonical.size > 0));
    CHECK(is_right(a, b) == is_right(b, a));
    bytes_free(&canonical);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 2); /* two texts, where the input has a NUL */
    if (!text) return 0;
    if (size > 0) memcpy(text, data, size);
    text[size] = text[size + 1] = '\0';
    for (int thinking = 0; thinking < 2; thinking++) {
        const struct eval_answer answer = eval_answer_find(text, size, thinking);
        CHECK(!answer.text || (answer.text >= text && answer.text + answer.size <= text + size));
    }
    check_pair(text, strlen(text) < size ? text + strlen(text) + 1 : "");
    free(text);
    return 0;
}
