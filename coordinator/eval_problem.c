#include "coordinator/eval_problem.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/fingerprint.h"
#include "base/utf8.h"

static const size_t MAX_FILE_BYTES = (size_t)1 << 30;
enum { MAX_SHOWN_BYTES = 64 }; /* of foreign text in a sentence */

/* A sentence that begins with file and line. */
#define REFUSE(problem, format, ...)                                                                         \
    FAIL(STATUS_BAD_INPUT, "%s:%lld: " format, (problem)->file, (long long)(problem)->line, __VA_ARGS__)

static enum status fail_memory(const struct eval_problem *problem) {
    return FAIL(STATUS_NO_MEMORY, "%s:%lld: out of memory for the problem", problem->file,
                (long long)problem->line);
}

/* ---- question ---- */

static bool is_role(const char *role) {
    return role &&
           (strcmp(role, "system") == 0 || strcmp(role, "user") == 0 || strcmp(role, "assistant") == 0);
}

static enum status read_message(const json_t *source, size_t i, struct eval_problem *problem) {
    const char *role = json_string_value(json_object_get(source, "role"));
    const char *content = json_string_value(json_object_get(source, "content"));
    if (!is_role(role) || !content)
        return REFUSE(problem,
                      "messages[%zu] needs \"role\", one of system, user and assistant, and \"content\"", i);
    problem->messages[i] = (struct chat_message){role, content};
    return STATUS_OK;
}

static enum status read_messages(const json_t *list, struct eval_problem *problem) {
    const size_t n = json_array_size(list);
    if (n == 0) return REFUSE(problem, "\"%s\" is no list of messages", "messages");
    problem->messages = calloc(n, sizeof *problem->messages);
    if (!problem->messages) return fail_memory(problem);
    problem->n_messages = n;
    for (size_t i = 0; i < n; i++)
        TRY(read_message(json_array_get(list, i), i, problem));
    if (strcmp(problem->messages[n - 1].role, "user") == 0) return STATUS_OK;
    return REFUSE(problem, "the last of the messages is the %s's, not the user's",
                  problem->messages[n - 1].role);
}

static enum status read_text(const char *field, const json_t *text, struct eval_problem *problem) {
    if (!json_is_string(text) || json_string_length(text) == 0)
        return REFUSE(problem, "\"%s\" is no text", field);
    problem->messages = calloc(1, sizeof *problem->messages);
    if (!problem->messages) return fail_memory(problem);
    problem->messages[0] = (struct chat_message){"user", json_string_value(text)};
    problem->n_messages = 1;
    return STATUS_OK;
}

/* Exactly one of the fields that a question can be in; returns which. */
static enum status read_question(const json_t *object, struct eval_problem *problem, const char **field_out) {
    static const char *const fields[] = {"prompt", "messages", "question", "problem"};
    const char *field = NULL;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (!json_object_get(object, fields[i])) continue;
        if (field) return REFUSE(problem, "both \"%s\" and \"%s\" are there", field, fields[i]);
        field = fields[i];
    }
    if (!field)
        return REFUSE(problem, "none of %s is there", "\"prompt\", \"messages\", \"question\", \"problem\"");
    const json_t *value = json_object_get(object, field);
    *field_out = field;
    return strcmp(field, "messages") == 0 ? read_messages(value, problem) : read_text(field, value, problem);
}

/* ---- the rest ---- */

/* GSM8K's answers are derivations that end in "#### 18". */
static enum status cut_derivation(struct eval_problem *problem) {
    const char *last = NULL;
    for (const char *at = problem->answer; (at = strstr(at, "####")) != NULL; at++)
        last = at;
    if (!last) return REFUSE(problem, "the \"%s\" of a \"question\" has no \"####\"", "answer");
    const char *value = last + strlen("####");
    value += strspn(value, " \t\r\n");
    memmove(problem->answer, value, strlen(value) + 1);
    return STATUS_OK;
}

static enum status read_answer(const json_t *object, const char *question, struct eval_problem *problem) {
    const json_t *answer = json_object_get(object, "answer");
    if (!json_is_string(answer) && !json_is_number(answer))
        return REFUSE(problem, "\"%s\" is neither a string nor a number", "answer");
    problem->answer = json_is_string(answer) ? strdup(json_string_value(answer))
                                             : json_dumps(answer, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    if (!problem->answer) return fail_memory(problem);
    if (strcmp(question, "question") == 0) TRY(cut_derivation(problem));
    if (problem->answer[strspn(problem->answer, " \t\r\n")] == '\0')
        return REFUSE(problem, "\"%s\" is empty", "answer");
    return STATUS_OK;
}

/* What is encoded again without loss. */
static enum status read_id(const json_t *object, struct eval_problem *problem) {
    const json_t *id = json_object_get(object, "id");
    if (!id) id = json_object_get(object, "unique_id");
    if (!json_is_string(id) && !json_is_integer(id)) return STATUS_OK;
    problem->id_json = json_dumps(id, JSON_ENCODE_ANY);
    return problem->id_json ? STATUS_OK : fail_memory(problem);
}

static void read_steps(const json_t *object, struct eval_problem *problem) {
    const json_t *steps = json_object_get(object, "steps");
    const bool is_count = json_is_integer(steps) && json_integer_value(steps) >= 0;
    problem->steps = is_count ? json_integer_value(steps) : -1;
}

static uint64_t add_text(uint64_t fingerprint, const char *text) {
    return fingerprint_add(fingerprint, text, strlen(text) + 1);
}

static void take_fingerprint(struct eval_problem *problem) {
    uint64_t fingerprint = add_text(FINGERPRINT_BEGIN, problem->answer);
    for (size_t i = 0; i < problem->n_messages; i++) {
        fingerprint = add_text(fingerprint, problem->messages[i].role);
        fingerprint = add_text(fingerprint, problem->messages[i].content);
    }
    problem->fingerprint = fingerprint;
}

static enum status read_object(struct eval_problem *problem) {
    const json_t *object = problem->source;
    if (!json_is_object(object)) return REFUSE(problem, "this is no JSON %s", "object");
    const char *question;
    TRY(read_question(object, problem, &question));
    TRY(read_answer(object, question, problem));
    TRY(read_id(object, problem));
    read_steps(object, problem);
    take_fingerprint(problem);
    return STATUS_OK;
}

enum status eval_problem_parse(const char *text, size_t size, const char *file, int64_t line,
                               struct eval_problem *problem_out) {
    struct eval_problem problem = {.file = file, .line = line};
    json_error_t error;
    problem.source = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!problem.source) {
        char shown[JSON_ERROR_TEXT_LENGTH];
        return REFUSE(&problem, "this is not valid JSON: %s",
                      utf8_printable(error.text, strlen(error.text), sizeof shown, shown));
    }
    const enum status status = read_object(&problem);
    if (status != STATUS_OK) {
        eval_problem_free(&problem);
        return status;
    }
    *problem_out = problem;
    return STATUS_OK;
}

void eval_problem_free(struct eval_problem *problem) {
    free(problem->messages);
    free(problem->answer);
    free(problem->id_json);
    json_decref(problem->source);
    *problem = (struct eval_problem){0};
}

/* ---- files ---- */

static enum status append(struct eval_problems *problems, struct eval_problem problem) {
    const size_t n = problems->n;
    if ((n & (n - 1)) == 0) { /* full: room doubles at powers of two */
        struct eval_problem *items = realloc(problems->items, (n ? 2 * n : 1) * sizeof *items);
        if (!items) return fail_memory(&problem);
        problems->items = items;
    }
    problems->items[problems->n++] = problem;
    return STATUS_OK;
}

static enum status read_line(const char *text, size_t size, const char *file, int64_t number,
                             struct eval_problems *problems) {
    struct eval_problem problem;
    TRY(eval_problem_parse(text, size, file, number, &problem));
    const enum status status = append(problems, problem);
    if (status != STATUS_OK) eval_problem_free(&problem);
    return status;
}

static bool is_full(const struct eval_problems *problems, int64_t limit) {
    return limit > 0 && problems->n >= (size_t)limit;
}

static enum status read_lines(const struct bytes *content, const char *file, int64_t limit,
                              struct eval_problems *problems) {
    int64_t number = 0;
    for (size_t at = 0; at < content->size && !is_full(problems, limit);) {
        const char *line = content->data + at;
        const char *end = memchr(line, '\n', content->size - at);
        const size_t size = end ? (size_t)(end - line) : content->size - at;
        at += size + 1;
        number++;
        if (strspn(line, " \t\r") < size) TRY(read_line(line, size, file, number, problems));
    }
    return STATUS_OK;
}

static enum status read_file(const char *file, int64_t limit, struct eval_problems *problems) {
    struct bytes content = {0};
    TRY(file_read_all(file, MAX_FILE_BYTES, &content));
    const enum status status = read_lines(&content, file, limit, problems);
    bytes_free(&content);
    return status;
}

enum status eval_problems_read(struct text_list files, int64_t limit, struct eval_problems *problems_out) {
    struct eval_problems problems = {0};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < files.n && !is_full(&problems, limit) && status == STATUS_OK; i++)
        status = read_file(files.items[i], limit, &problems);
    if (status == STATUS_OK && problems.n == 0)
        status =
            FAIL(STATUS_BAD_INPUT, "there are no problems in %s", files.n > 0 ? files.items[0] : "no file");
    if (status != STATUS_OK) {
        eval_problems_free(&problems);
        return status;
    }
    *problems_out = problems;
    return STATUS_OK;
}

void eval_problems_free(struct eval_problems *problems) {
    for (size_t i = 0; i < problems->n; i++)
        eval_problem_free(&problems->items[i]);
    free(problems->items);
    *problems = (struct eval_problems){0};
}
