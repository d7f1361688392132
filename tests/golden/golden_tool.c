/* golden_tool - between golden files and `caucus score`.
 *
 *   golden_tool input GOLDEN            the input line for `caucus score`
 *   golden_tool positions GOLDEN        the positions whose logits the golden holds, for --logits
 *   golden_tool compare GOLDEN OUTPUT [TOLERANCE]   fails unless the output agrees with the golden
 *   golden_tool greedy GOLDEN ANSWER    fails unless `caucus run --json` gave the golden's ids and text
 *
 * Agreement: every logit within the tolerance times the largest golden logit, every argmax equal, log
 * probabilities and perplexity within the tolerance. Where a tolerance is given, an argmax may be another
 * token whose golden logit is so near the best that both could have moved there. A golden must hold argmax,
 * and logits or log probabilities; what it holds the output must hold too. */
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tolerance {
    double relative;
    bool argmax; /* of it, too */
};

static json_t *load(const char *path) {
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    if (root) return root;
    fprintf(stderr, "%s: %s\n", path, error.text);
    exit(1);
}

/* The position of the golden's i-th row. */
static json_int_t position_at(const json_t *golden, size_t i) {
    const json_t *positions = json_object_get(golden, "positions");
    return positions ? json_integer_value(json_array_get(positions, i)) : (json_int_t)i;
}

static void print_input(json_t *golden) {
    json_t *line = json_object();
    json_object_set(line, "ids", json_object_get(golden, "token_ids"));
    json_t *prompt_tokens = json_object_get(golden, "prompt_tokens");
    if (prompt_tokens) json_object_set(line, "prompt_tokens", prompt_tokens);
    char *text = json_dumps(line, JSON_COMPACT);
    puts(text);
    free(text);
    json_decref(line);
}

static void print_positions(const json_t *golden) {
    const size_t n = json_array_size(json_object_get(golden, "logits"));
    for (size_t i = 0; i < n; i++)
        printf("%s%lld", i ? "," : "", (long long)position_at(golden, i));
    puts("");
}

/* INFINITY where one of them is no number. */
static double distance(const json_t *expected, const json_t *actual) {
    if (!json_is_number(expected) || !json_is_number(actual)) return INFINITY;
    return fabs(json_number_value(expected) - json_number_value(actual));
}

/* Largest difference of one row, and the row's largest logit. */
static void compare_row(const json_t *expected, const json_t *actual, double *difference, double *largest) {
    if (json_array_size(expected) != json_array_size(actual) || json_array_size(expected) == 0) {
        *difference = INFINITY;
        return;
    }
    for (size_t i = 0; i < json_array_size(expected); i++) {
        *difference = fmax(*difference, distance(json_array_get(expected, i), json_array_get(actual, i)));
        *largest = fmax(*largest, fabs(json_number_value(json_array_get(expected, i))));
    }
}

static int compare_logits(const json_t *golden, const json_t *output, struct tolerance tolerance) {
    const json_t *rows = json_object_get(golden, "logits");
    double difference = 0, largest = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        char key[32];
        snprintf(key, sizeof key, "%lld", (long long)position_at(golden, i));
        compare_row(json_array_get(rows, i), json_object_get(json_object_get(output, "logits"), key),
                    &difference, &largest);
    }
    if (!rows) return 0;
    printf("logits: %zu rows, largest difference %.3g of %.3g: %.2g\n", json_array_size(rows), difference,
           largest, difference / largest);
    return json_array_size(rows) == 0 || !(difference <= tolerance.relative * largest);
}

/* Could both logits of golden row i have moved so far that `token` became the best? */
static bool nearly_best(const json_t *golden, size_t i, json_int_t token, double relative) {
    const json_t *row = json_array_get(json_object_get(golden, "logits"), i);
    if (token < 0 || (size_t)token >= json_array_size(row)) return false;
    double best = -INFINITY, largest = 0;
    for (size_t j = 0; j < json_array_size(row); j++) {
        const double logit = json_number_value(json_array_get(row, j));
        best = fmax(best, logit);
        largest = fmax(largest, fabs(logit));
    }
    return best - json_number_value(json_array_get(row, (size_t)token)) <= 2 * relative * largest;
}

/* Where the golden has positions, its argmax has one entry for each; otherwise one for every token. */
static int compare_argmax(const json_t *golden, const json_t *output, struct tolerance tolerance) {
    const json_t *expected = json_object_get(golden, "argmax"), *actual = json_object_get(output, "argmax");
    int n_wrong = 0;
    for (size_t i = 0; i < json_array_size(expected); i++) {
        const json_t *ours = json_array_get(actual, (size_t)position_at(golden, i));
        const bool equal =
            ours && json_integer_value(ours) == json_integer_value(json_array_get(expected, i));
        n_wrong += !equal && !(tolerance.argmax && ours &&
                               nearly_best(golden, i, json_integer_value(ours), tolerance.relative));
    }
    printf("argmax: %d of %zu are wrong\n", n_wrong, json_array_size(expected));
    return n_wrong != 0 || json_array_size(expected) == 0;
}

/* The output has one entry more, null: nothing is known of what follows the last token. */
static int compare_logprobs(const json_t *golden, const json_t *output, struct tolerance tolerance) {
    const json_t *expected = json_object_get(golden, "logprobs"),
                 *actual = json_object_get(output, "logprobs");
    if (!expected) return 0;
    const size_t n = json_array_size(expected);
    double difference = 0;
    for (size_t i = 0; i < n; i++)
        difference = fmax(difference, distance(json_array_get(expected, i), json_array_get(actual, i)));
    printf("logprobs: %zu, largest difference %.3g\n", n, difference);
    return n == 0 || json_array_size(actual) != n + 1 || !(difference <= tolerance.relative);
}

static int compare_perplexity(const json_t *golden, const json_t *output, struct tolerance tolerance) {
    const json_t *expected = json_object_get(golden, "perplexity"),
                 *actual = json_object_get(output, "perplexity");
    if (!expected) return 0;
    const double difference = distance(expected, actual);
    printf("perplexity: %.8g, golden %.8g\n", json_number_value(actual), json_number_value(expected));
    return !(difference <= tolerance.relative * json_number_value(expected));
}

static int compare(const json_t *golden, const json_t *output, struct tolerance tolerance) {
    if (json_array_size(json_object_get(golden, "logits")) == 0 &&
        json_array_size(json_object_get(golden, "logprobs")) == 0) {
        puts("the golden has neither logits nor logprobs");
        return 1;
    }
    return compare_logits(golden, output, tolerance) | compare_argmax(golden, output, tolerance) |
           compare_logprobs(golden, output, tolerance) | compare_perplexity(golden, output, tolerance);
}

/* The golden's ids begin with the prompt's one, BOS. */
static int compare_greedy(const json_t *golden, const json_t *answer) {
    const json_t *expected = json_object_get(golden, "token_ids"),
                 *ids = json_object_get(answer, "generated_ids");
    const size_t n = json_array_size(expected);
    size_t n_same = 0;
    for (size_t i = 1; i < n; i++)
        n_same += json_equal(json_array_get(expected, i), json_array_get(ids, i - 1));
    const int same_text = json_equal(json_object_get(golden, "text"), json_object_get(answer, "text"));
    printf("ids: %zu of %zu equal; text %s\n", n_same, n - 1, same_text ? "equal" : "differs");
    return n < 2 || n_same != n - 1 || json_array_size(ids) != n - 1 || !same_text;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    json_t *golden = load(argv[2]);
    int failed = 0;
    if (strcmp(argv[1], "input") == 0) {
        print_input(golden);
    } else if (strcmp(argv[1], "positions") == 0) {
        print_positions(golden);
    } else {
        json_t *output = argc > 3 ? load(argv[3]) : NULL;
        if (strcmp(argv[1], "greedy") == 0)
            failed = compare_greedy(golden, output);
        else
            failed =
                compare(golden, output,
                        argc > 4 ? (struct tolerance){atof(argv[4]), true} : (struct tolerance){2e-3, false});
        json_decref(output);
    }
    json_decref(golden);
    return failed;
}
