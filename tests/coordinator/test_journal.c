/* A journal on disk: tokens come back, what was torn is cut off, what is not ours is left alone. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "coordinator/journal.h"
#include "coordinator/journal_line.h"

static const struct line_format format = {
    .key = JOURNAL_KEY,
    .version = JOURNAL_VERSION,
    .noun = "journal",
    .cure = "take another",
    .writer = "test",
};

static const int32_t ids[] = {5, 0, 151935, 7, 7, 2147483647};

struct fixture {
    char path[64];
    json_t *header;
};

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    strcpy(fixture->path, "/tmp/test_journal_XXXXXX");
    close(mkstemp(fixture->path));
    fixture->header = json_pack("{s:i, s:{s:s, s:i}}", JOURNAL_KEY, JOURNAL_VERSION, "settings",
                                "temperature", "0.6", "top-k", 20);
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

static struct journal *open_at(const struct fixture *fixture, uint64_t answer, size_t *index_out) {
    struct journal *journal;
    assert_int_equal(journal_open(&format, fixture->path, fixture->header, &journal), STATUS_OK);
    assert_int_equal(journal_answer(journal, answer, index_out), STATUS_OK);
    return journal;
}

/* All that the answer has by now, or a little more. */
static void note(const struct fixture *fixture, uint64_t answer, int32_t n, double seconds) {
    size_t index;
    struct journal *journal = open_at(fixture, answer, &index);
    assert_int_equal(journal_note(journal, index, (struct journal_tokens){ids, n, seconds}), STATUS_OK);
    assert_int_equal(journal_flush(journal), STATUS_OK);
    journal_close(journal);
}

static int32_t count(const struct fixture *fixture, uint64_t answer) {
    size_t index;
    struct journal *journal = open_at(fixture, answer, &index);
    const struct journal_tokens tokens = journal_tokens(journal, index);
    if (tokens.n > 0) assert_memory_equal(tokens.ids, ids, (size_t)tokens.n * sizeof *ids);
    if (tokens.n > 0) assert_true(tokens.seconds == 0.25 * tokens.n);
    journal_close(journal);
    return tokens.n;
}

static void write_raw(const struct fixture *fixture, const char *content) {
    FILE *file = fopen(fixture->path, "w");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void tokens_come_back(void **state) {
    const struct fixture *fixture = *state;
    assert_int_equal(count(fixture, 1), 0);
    note(fixture, 1, 2, 0.5);
    note(fixture, UINT64_MAX, 1, 0.25);
    note(fixture, 1, 3, 0.75);
    note(fixture, 1, 3, 99); /* nothing new */
    note(fixture, 1, 1, 99); /* nor here: they are made anew */
    note(fixture, 1, 6, 1.5);
    assert_int_equal(count(fixture, 1), 6);
    assert_int_equal(count(fixture, UINT64_MAX), 1);
    assert_int_equal(count(fixture, 2), 0);
}

/* Whatever the place where a killed program stopped writing, what is left is the answer's beginning. */
static void torn_ends_are_cut_off(void **state) {
    const struct fixture *fixture = *state;
    struct bytes content = {0};
    note(fixture, 1, 2, 0.5);
    note(fixture, 1, 4, 1);
    assert_int_equal(file_read_all(fixture->path, 1 << 20, &content), STATUS_OK);
    int32_t most = 0;
    for (off_t size = 0; size <= (off_t)content.size; size++) {
        write_raw(fixture, content.data);
        assert_int_equal(truncate(fixture->path, size), 0);
        const int32_t n = count(fixture, 1);
        assert_true(n >= most && (n == 0 || n == 2 || n == 4));
        most = n;
        note(fixture, 1, 6, 1.5);
        assert_int_equal(count(fixture, 1), 6);
    }
    assert_int_equal(most, 4);
    bytes_free(&content);
}

static void closing_writes_what_was_noted(void **state) {
    const struct fixture *fixture = *state;
    size_t index;
    struct journal *journal = open_at(fixture, 1, &index);
    assert_int_equal(journal_note(journal, index, (struct journal_tokens){ids, 2, 0.5}), STATUS_OK);
    assert_int_equal(journal_note(journal, index, (struct journal_tokens){ids, 6, 1.5}), STATUS_OK);
    assert_int_equal(count(fixture, 1), 2); /* for the others it is not time yet */
    journal_close(journal);
    assert_int_equal(count(fixture, 1), 6);
}

/* What the process may write to a file, as on a disk with no more room. */
static void set_room(off_t size) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = size < 0 ? limit.rlim_max : (rlim_t)size;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* What went wrong before is still to be said. */
static void closing_adds_nothing_to_a_torn_line(void **state) {
    const struct fixture *fixture = *state;
    size_t index;
    struct stat info;
    note(fixture, 1, 2, 0.5);
    struct journal *journal = open_at(fixture, 1, &index);
    assert_int_equal(stat(fixture->path, &info), 0);
    signal(SIGXFSZ, SIG_IGN);
    set_room(info.st_size + 10);
    assert_int_equal(journal_note(journal, index, (struct journal_tokens){ids, 4, 1}), STATUS_IO);
    set_room(-1);
    status_record("something else went wrong");
    journal_close(journal);
    assert_string_equal(status_message(), "something else went wrong");
    assert_int_equal(count(fixture, 1), 2);
}

/* Neither read nor written. */
static void check_refused(const struct fixture *fixture, const char *content, const char *sentence) {
    struct journal *journal;
    struct bytes after = {0};
    char expected[256];
    write_raw(fixture, content);
    assert_int_equal(journal_open(&format, fixture->path, fixture->header, &journal), STATUS_BAD_INPUT);
    snprintf(expected, sizeof expected, "%s%s", fixture->path, sentence);
    assert_string_equal(status_message(), expected);
    assert_int_equal(file_read_all(fixture->path, 1 << 20, &after), STATUS_OK);
    assert_string_equal(after.data, content);
    bytes_free(&after);
}

static void other_files_are_left_alone(void **state) {
    check_refused(*state, "my notes", " is no journal; take another");
    check_refused(*state, "my notes\n", " is no journal; take another");
    check_refused(*state, "{\"caucus_eval\":1,\"settings\":{}}\n", " is no journal; take another");
    check_refused(*state, "{\"caucus_journal\":1}\n", " is no journal; take another");
    check_refused(*state, "{\"caucus_journal\":2,\"settings\":{}}\n",
                  " is of version 2, which this program does not know");
    check_refused(*state, "{\"caucus_journal\":1,\"settings\":{\"temperature\":\"0.6\",\"top-k\":5}}\n",
                  " was begun with top-k 5, not 20; take another");
}

#define HEADER       "{\"caucus_journal\":1,\"settings\":{\"temperature\":\"0.6\",\"top-k\":20}}\n"
#define LINE(fields) "{\"answer\":\"0000000000000001\"," fields "}\n"

static void damaged_lines_are_refused(void **state) {
    static const char *const lines[] = {
        LINE("\"first\":0,\"seconds\":0,\"ids\":[]"),
        LINE("\"first\":0,\"seconds\":0,\"ids\":5"),
        LINE("\"first\":0,\"seconds\":0,\"ids\":[-1]"),
        LINE("\"first\":0,\"seconds\":0,\"ids\":[1.5]"),
        LINE("\"first\":0,\"seconds\":-1,\"ids\":[1]"),
        LINE("\"first\":0,\"ids\":[1]"),
        LINE("\"first\":\"0\",\"seconds\":0,\"ids\":[1]"),
        LINE("\"first\":0,\"seconds\":0,\"ids\":[2147483648]"),
        LINE("\"first\":-1,\"seconds\":0,\"ids\":[1]"),
        "{\"answer\":\"1\",\"first\":0,\"seconds\":0,\"ids\":[1]}\n",
        "{}\n",
        "[]\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char content[512];
        snprintf(content, sizeof content, HEADER "%s", lines[i]);
        check_refused(*state, content, ":2: this is no line of a journal");
    }
    const char *gap =
        HEADER LINE("\"first\":0,\"seconds\":0,\"ids\":[1,2]") LINE("\"first\":3,\"seconds\":0,\"ids\":[4]");
    check_refused(*state, gap, ":3: the tokens before 3 are not in the lines before");
    const char *twice = HEADER LINE("\"first\":0,\"seconds\":0,\"ids\":[1,2]")
        LINE("\"first\":0,\"seconds\":0,\"ids\":[1,2]");
    check_refused(*state, twice, ":3: the tokens before 0 are not in the lines before");
}

static void what_is_no_file_is_refused(void **state) {
    (void)state;
    json_t *settings = json_object();
    assert_int_equal(journal_check(&format, "/dev/null", settings), STATUS_BAD_INPUT);
    assert_string_equal(status_message(), "/dev/null is not a regular file");
    assert_int_equal(journal_check(&format, "/nothing/at/all", settings), STATUS_OK); /* to be made */
    json_decref(settings);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tokens_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(torn_ends_are_cut_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(closing_writes_what_was_noted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(closing_adds_nothing_to_a_torn_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_files_are_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_lines_are_refused, set_up, tear_down),
        cmocka_unit_test(what_is_no_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
