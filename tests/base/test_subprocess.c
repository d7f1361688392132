#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/subprocess.h"

static enum status run_shell(const char *script, const char *folder, struct bytes *output, int *exit_out) {
    char name[] = "sh", option[] = "-c", text[256];
    assert_true(strlen(script) < sizeof text);
    strcpy(text, script);
    char *const argv[] = {name, option, text, NULL};
    return subprocess_run(&(struct subprocess){.argv = argv, .folder = folder, .output = output}, exit_out);
}

static void takes_output_and_exit_status(void **state) {
    (void)state;
    struct bytes output = {0};
    int exit_status = -1;
    assert_int_equal(run_shell("printf 'a\\0b'; exit 7", NULL, &output, &exit_status), STATUS_OK);
    assert_int_equal(exit_status, 7);
    assert_int_equal(output.size, 3);
    assert_memory_equal(output.data, "a\0b", 3);
    bytes_free(&output);
}

static void takes_more_than_a_pipe_holds(void **state) {
    (void)state;
    struct bytes output = {0};
    int exit_status = -1;
    assert_int_equal(run_shell("head -c 1000000 /dev/zero", NULL, &output, &exit_status), STATUS_OK);
    assert_int_equal(exit_status, 0);
    assert_int_equal(output.size, 1000000);
    bytes_free(&output);
}

static void has_the_environment_it_is_given(void **state) {
    (void)state;
    struct bytes output = {0};
    int exit_status = -1;
    char name[] = "env", setting[] = "LC_ALL=C.UTF-8";
    char *const argv[] = {name, NULL}, *const environment[] = {setting, NULL};
    assert_int_equal(
        subprocess_run(&(struct subprocess){.argv = argv, .environment = environment, .output = &output},
                       &exit_status),
        STATUS_OK);
    assert_int_equal(exit_status, 0);
    assert_string_equal(output.data, "LC_ALL=C.UTF-8\n");
    bytes_free(&output);
}

static void runs_in_a_folder_with_empty_input(void **state) {
    (void)state;
    struct bytes output = {0};
    int exit_status = -1;
    assert_int_equal(run_shell("cat; pwd", "/", &output, &exit_status), STATUS_OK);
    assert_string_equal(output.data, "/\n");
    bytes_free(&output);
}

static void tells_the_signal_that_ended_it(void **state) {
    (void)state;
    int exit_status = -1;
    assert_int_equal(run_shell("kill -TERM $$", NULL, NULL, &exit_status), STATUS_OK);
    assert_int_equal(exit_status, 128 + SIGTERM);
}

static void unblocks_its_signals(void **state) {
    (void)state;
    int exit_status = -1;
    sigset_t term, before;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    assert_int_equal(sigprocmask(SIG_BLOCK, &term, &before), 0);
    const enum status status = run_shell("kill -TERM $$", NULL, NULL, &exit_status);
    assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
    assert_int_equal(status, STATUS_OK);
    assert_int_equal(exit_status, 128 + SIGTERM);
}

static void says_what_cannot_be_run(void **state) {
    (void)state;
    char name[] = "no-such-program", *const argv[] = {name, NULL};
    struct bytes output = {0};
    int exit_status = -1, before = dup(0), after;
    close(before);
    assert_int_equal(subprocess_run(&(struct subprocess){.argv = argv, .output = &output}, &exit_status),
                     STATUS_BAD_INPUT);
    assert_string_equal(status_message(), "cannot run no-such-program: No such file or directory");
    after = dup(0);
    assert_int_equal(after, before); /* no descriptor was left open */
    close(after);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_output_and_exit_status),
        cmocka_unit_test(takes_more_than_a_pipe_holds),
        cmocka_unit_test(has_the_environment_it_is_given),
        cmocka_unit_test(runs_in_a_folder_with_empty_input),
        cmocka_unit_test(tells_the_signal_that_ended_it),
        cmocka_unit_test(unblocks_its_signals),
        cmocka_unit_test(says_what_cannot_be_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
