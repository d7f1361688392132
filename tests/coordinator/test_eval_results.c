/* Results of eval on disk: what is written comes back, what was torn is cut off, what is not ours is left
 * alone. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "tests/coordinator/eval_record_fixture.h"

static void a_record_comes_back(void **state) {
    (void)state;
    struct eval_point series[] = {{92, -1, 786432}, {256, 0.25, 1048576}};
    double recall[] = {1, 0.5, -1};
    struct eval_record record = eval_record_of("quest", 128, 3, 1), back;
    record.series = series;
    record.n_series = 2;
    record.recall = recall;
    record.n_recall = 3;
    record.probe_every = 16;
    struct bytes line = {0};
    assert_int_equal(eval_record_print(&record, &line), STATUS_OK);
    assert_ptr_equal(strchr(line.data, '\n'), line.data + line.size - 1);
    assert_int_equal(eval_record_parse(line.data, line.size - 1, "r:2", &back), STATUS_OK);
    assert_true(eval_method_equals(&back.method, &record.method));
    assert_int_equal(back.problem, 3);
    assert_int_equal(back.sample, 1);
    assert_true(back.fingerprint == record.fingerprint && back.seed == record.seed);
    assert_string_equal(back.id_json, record.id_json);
    assert_int_equal(back.steps, 8);
    assert_string_equal(back.expected, "x");
    assert_string_equal(back.answer, "y=1");
    assert_string_equal(back.finish, "stop");
    assert_true(back.correct && back.n_prompt == 92 && back.n_generated == 122 && back.kv_bytes == 1835008);
    assert_true(back.attended == 152.25 && back.seconds == 1.5 && back.share_seconds == 0.125);
    assert_int_equal(back.n_series, 2);
    assert_true(back.series[0].seconds_per_token == -1 && back.series[1].seconds_per_token == 0.25);
    assert_true(back.series[1].context == 256 && back.series[1].kv_bytes == 1048576);
    assert_int_equal(back.n_recall, 3);
    assert_int_equal(back.probe_every, 16);
    assert_true(back.recall[1] == 0.5 && isnan(back.recall[2]) == 0 && back.recall[2] < 0);
    assert_null(back.text);
    eval_record_free(&back);
    bytes_free(&line);
}

static void what_is_not_said_stays_unsaid(void **state) {
    (void)state;
    struct eval_record record = eval_record_of("full", 0, 0, 0), back;
    record.id_json = record.answer = record.text = NULL;
    record.steps = -1;
    record.attended = -1;
    record.method.options[0] = '\0';
    struct bytes line = {0};
    assert_int_equal(eval_record_print(&record, &line), STATUS_OK);
    assert_int_equal(eval_record_parse(line.data, line.size, "r:2", &back), STATUS_OK);
    assert_true(eval_method_is_full(&back.method) && back.method.budget == 0);
    assert_true(!back.id_json && !back.answer && back.steps == -1 && back.attended < 0 && back.n_recall == 0);
    assert_int_equal(back.probe_every, 0);
    eval_record_free(&back);
    bytes_free(&line);
}

/* Each field taken away, or given another kind of value. */
static void damaged_records_are_refused(void **state) {
    (void)state;
    const struct eval_record record = eval_record_of("quest", 128, 3, 1);
    struct bytes line = {0};
    assert_int_equal(eval_record_print(&record, &line), STATUS_OK);
    json_t *whole = json_loadb(line.data, line.size, 0, NULL), *value;
    bytes_free(&line);
    const char *name;
    json_object_foreach(whole, name, value) {
        if (strcmp(name, "text") == 0) continue;
        json_t *damaged = json_copy(whole);
        assert_int_equal(json_object_set_new(damaged, name, json_object()), 0);
        char *encoded = json_dumps(damaged, 0), sentence[128];
        struct eval_record back;
        assert_int_equal(eval_record_parse(encoded, strlen(encoded), "r:2", &back), STATUS_BAD_INPUT);
        snprintf(sentence, sizeof sentence, "r:2: \"%s\" is missing or not what eval writes", name);
        assert_string_equal(status_message(), sentence);
        free(encoded);
        json_decref(damaged);
    }
    json_decref(whole);
}

/* ---- files ---- */

struct fixture {
    char path[64];
    json_t *header;
};

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    strcpy(fixture->path, "/tmp/test_eval_results_XXXXXX");
    close(mkstemp(fixture->path));
    unlink(fixture->path);
    fixture->header =
        json_pack("{s:i, s:{s:s, s:i}}", "caucus_eval", 1, "settings", "temperature", "0.6", "top-k", 20);
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    unlink(fixture->path);
    json_decref(fixture->header);
    free(fixture);
    return 0;
}

static void append_held(const struct fixture *fixture, const char *policy, int64_t problem, int64_t sample) {
    struct eval_writer *writer;
    const struct eval_record record = eval_record_of(policy, 64, problem, sample);
    assert_int_equal(eval_writer_open(fixture->path, fixture->header, &writer), STATUS_OK);
    assert_int_equal(eval_writer_append(writer, &record), STATUS_OK);
    eval_writer_close(writer);
}

static void append(const struct fixture *fixture, const char *policy, int64_t problem, int64_t sample) {
    int lock;
    assert_int_equal(eval_results_lock(fixture->path, &lock), STATUS_OK);
    append_held(fixture, policy, problem, sample);
    close(lock);
}

static void write_raw(const struct fixture *fixture, const char *content, bool append_it) {
    FILE *file = fopen(fixture->path, append_it ? "a" : "w");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static size_t count_records(const struct fixture *fixture) {
    struct eval_results results;
    assert_int_equal(eval_results_read(fixture->path, &results), STATUS_OK);
    const size_t n = results.n;
    eval_results_free(&results);
    return n;
}

static void files_are_gone_on_from(void **state) {
    const struct fixture *fixture = *state;
    assert_int_equal(count_records(fixture), 0); /* there is none yet */
    append(fixture, "quest", 0, 0);
    append(fixture, "quest", 1, 0);
    append(fixture, "quest", 0, 0); /* as from files that were joined */
    assert_int_equal(count_records(fixture), 2);
}

/* Whatever the place where a killed program stopped writing. */
static void torn_ends_are_cut_off(void **state) {
    const struct fixture *fixture = *state;
    append(fixture, "quest", 0, 0);
    struct bytes content = {0};
    assert_int_equal(file_read_all(fixture->path, 1 << 20, &content), STATUS_OK);
    for (off_t size = 0; size <= (off_t)content.size; size++) {
        write_raw(fixture, content.data, false);
        assert_int_equal(truncate(fixture->path, size), 0);
        assert_int_equal(count_records(fixture), size == (off_t)content.size);
        append(fixture, "quest", 1, 0);
        assert_int_equal(count_records(fixture), 1 + (size == (off_t)content.size));
    }
    bytes_free(&content);
}

static void other_files_are_left_alone(void **state) {
    const struct fixture *fixture = *state;
    static const char *const others[] = {"my notes", "my notes\n", "{\"prompt\": \"a\"}\n",
                                         "{\"caucus_evil\": 1", "{\"caucus_eval\":1,\"settings\":1}\n"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        write_raw(fixture, others[i], false);
        struct eval_results results;
        struct eval_writer *writer;
        struct bytes content = {0};
        enum status status = eval_results_read(fixture->path, &results);
        if (status == STATUS_OK) status = eval_writer_open(fixture->path, fixture->header, &writer);
        assert_int_equal(status, STATUS_BAD_INPUT);
        assert_true(strstr(status_message(), " is no file of eval's results; choose another --results") ||
                    strstr(status_message(), " is of version "));
        assert_int_equal(file_read_all(fixture->path, 1 << 20, &content), STATUS_OK);
        assert_string_equal(content.data, others[i]);
        bytes_free(&content);
    }
}

static void damage_in_the_middle_is_refused(void **state) {
    const struct fixture *fixture = *state;
    append(fixture, "quest", 0, 0);
    write_raw(fixture, "{\"policy\"\n", true);
    struct eval_results results;
    assert_int_equal(eval_results_read(fixture->path, &results), STATUS_BAD_INPUT);
    char sentence[128];
    snprintf(sentence, sizeof sentence, "%s:3: this is not valid JSON: ", fixture->path);
    assert_memory_equal(status_message(), sentence, strlen(sentence));
}

static void only_one_may_write(void **state) {
    const struct fixture *fixture = *state;
    int first, second;
    assert_int_equal(eval_results_lock(fixture->path, &first), STATUS_OK);
    append_held(fixture, "quest", 0, 0);
    /* Neither what is written nor what is read meanwhile gives it back. */
    assert_int_equal(count_records(fixture), 1);
    assert_int_equal(eval_results_lock(fixture->path, &second), STATUS_IO);
    assert_non_null(strstr(status_message(), "is being written by another caucus eval"));
    close(first);
    assert_int_equal(eval_results_lock(fixture->path, &second), STATUS_OK);
    close(second);
}

static void other_settings_are_refused(void **state) {
    const struct fixture *fixture = *state;
    append(fixture, "quest", 0, 0);
    struct eval_results results;
    assert_int_equal(eval_results_read(fixture->path, &results), STATUS_OK);
    json_t *same = json_pack("{s:s, s:i}", "temperature", "0.6", "top-k", 20);
    json_t *other = json_pack("{s:s, s:i}", "temperature", "0", "top-k", 20);
    assert_int_equal(eval_results_check(&results, "r", same), STATUS_OK);
    assert_int_equal(eval_results_check(&results, "r", other), STATUS_BAD_INPUT);
    assert_string_equal(status_message(),
                        "r was begun with temperature \"0.6\", not \"0\"; choose another --results");
    assert_int_equal(json_object_set_new(same, "min-p", json_string("0")), 0);
    assert_int_equal(eval_results_check(&results, "r", same), STATUS_BAD_INPUT);
    assert_string_equal(status_message(),
                        "r was begun with min-p nothing, not \"0\"; choose another --results");
    json_decref(same);
    json_decref(other);
    eval_results_free(&results);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_comes_back),
        cmocka_unit_test(what_is_not_said_stays_unsaid),
        cmocka_unit_test(damaged_records_are_refused),
        cmocka_unit_test_setup_teardown(files_are_gone_on_from, set_up, tear_down),
        cmocka_unit_test_setup_teardown(torn_ends_are_cut_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_files_are_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_in_the_middle_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_one_may_write, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_settings_are_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
