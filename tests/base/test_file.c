/* Files: what can be read and written is known before anything is opened; written files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"

/* A folder of the test's own, with the file "there" in it. */
static int make_folder(void **state) {
    char *folder = strdup("/tmp/test_file_XXXXXX"), path[FILE_PATH_MAX];
    if (!folder || !mkdtemp(folder) || file_join(folder, "there", path) != STATUS_OK) return -1;
    FILE *file = fopen(path, "w");
    if (!file || fputs("content", file) == EOF || fclose(file) != 0) return -1;
    *state = folder;
    return 0;
}

static int remove_folder(void **state) {
    char path[FILE_PATH_MAX];
    if (file_join(*state, "there", path) != STATUS_OK || unlink(path) != 0 || rmdir(*state) != 0) return -1;
    free(*state);
    return 0;
}

typedef enum status (*check_function)(const char *path);

static void assert_allowed(check_function check, const char *folder, const char *name) {
    char path[FILE_PATH_MAX];
    assert_int_equal(file_join(folder, name, path), STATUS_OK);
    assert_int_equal(check(path), STATUS_OK);
}

static void assert_refused(check_function check, const char *folder, const char *name, const char *verb) {
    char path[FILE_PATH_MAX], sentence[2 * FILE_PATH_MAX];
    assert_int_equal(file_join(folder, name, path), STATUS_OK);
    assert_int_equal(check(path), STATUS_IO);
    snprintf(sentence, sizeof sentence, "cannot %s %s: %s", verb, path, strrchr(status_message(), ':') + 2);
    assert_string_equal(status_message(), sentence);
}

static void readable_files_are_known(void **state) {
    assert_allowed(file_check_readable, *state, "there");
    assert_int_equal(file_check_readable("-"), STATUS_OK);
    assert_refused(file_check_readable, *state, "none", "open");
    assert_refused(file_check_readable, *state, "there/none", "open");
    assert_refused(file_check_readable, *state, ".", "read");
}

static void writable_files_are_known_and_left_alone(void **state) {
    char path[FILE_PATH_MAX];
    struct stat info;
    assert_allowed(file_check_writable, *state, "there");
    assert_allowed(file_check_writable, *state, "new");
    assert_int_equal(file_check_writable("-"), STATUS_OK);
    assert_int_equal(file_check_writable("in-the-working-directory"), STATUS_OK);
    assert_refused(file_check_writable, *state, ".", "write");
    assert_refused(file_check_writable, *state, "none/new", "write");
    assert_refused(file_check_writable, *state, "there/new", "write");
    assert_int_equal(file_join(*state, "new", path), STATUS_OK);
    assert_false(file_exists(path));
    assert_int_equal(file_join(*state, "there", path), STATUS_OK);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_size, strlen("content"));
}

static void a_file_is_written_whole_or_a_sentence_says_why(void **state) {
    char path[FILE_PATH_MAX];
    struct bytes content = {0}, again = {0};
    assert_int_equal(file_join(*state, "there", path), STATUS_OK);
    for (int i = 0; i < 2; i++) { /* the longer content first: nothing of it stays */
        bytes_free(&again);
        bytes_clear(&content);
        assert_int_equal(bytes_append(&content, "some\0bytes", i == 0 ? 10 : 4), STATUS_OK);
        assert_int_equal(file_write(path, &content), STATUS_OK);
        assert_int_equal(file_read_all(path, 100, &again), STATUS_OK);
        assert_int_equal(again.size, content.size);
        assert_memory_equal(again.data, content.data, content.size);
    }
    assert_int_equal(file_write("/dev/full", &content), STATUS_IO);
    assert_string_equal(status_message(), "cannot write /dev/full: No space left on device");
    assert_int_equal(file_write(*state, &content), STATUS_IO);
    bytes_free(&again);
    bytes_free(&content);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readable_files_are_known),
        cmocka_unit_test(writable_files_are_known_and_left_alone),
        cmocka_unit_test(a_file_is_written_whole_or_a_sentence_says_why),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
