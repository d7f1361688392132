/* tests/cross/cmocka.h - what the kernel tests use of cmocka, for a target whose cmocka is not at hand. A
 * failed assertion ends the program, so that the tests behind it are not run. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};

static inline _Noreturn __attribute__((format(printf, 3, 4))) void cmocka_fail_at(const char *file, int line,
                                                                                  const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(EXIT_FAILURE);
}

static inline void cmocka_int_equal_at(const char *file, int line, unsigned long long a,
                                       unsigned long long b) {
    if (a != b) cmocka_fail_at(file, line, "%#llx is not %#llx", a, b);
}

static jmp_buf cmocka_next_test;

static inline _Noreturn void cmocka_skip(void) {
    printf("skipped\n");
    longjmp(cmocka_next_test, 1);
}

static inline int cmocka_run(const struct CMUnitTest *tests, size_t n_tests) {
    for (volatile size_t i = 0; i < n_tests; i++) {
        void *state = NULL;
        printf("%s\n", tests[i].name);
        fflush(stdout);
        if (setjmp(cmocka_next_test) == 0) tests[i].run(&state);
    }
    return EXIT_SUCCESS;
}

#define print_message(...)       printf(__VA_ARGS__)
#define fail_msg(...)            cmocka_fail_at(__FILE__, __LINE__, __VA_ARGS__)
#define skip()                   cmocka_skip()
#define assert_true(condition)   ((condition) ? (void)0 : fail_msg("not so: %s", #condition))
#define assert_non_null(pointer) assert_true((pointer) != NULL)
#define assert_null(pointer)     assert_true((pointer) == NULL)
#define assert_int_equal(a, b)                                                                               \
    cmocka_int_equal_at(__FILE__, __LINE__, (unsigned long long)(a), (unsigned long long)(b))
#define assert_string_equal(a, b)        assert_true(strcmp(a, b) == 0)
#define assert_memory_equal(a, b, bytes) assert_true(memcmp(a, b, bytes) == 0)

#define cmocka_unit_test(function)                                                                           \
    { #function, function }
#define cmocka_run_group_tests(tests, setup, teardown) cmocka_run(tests, sizeof(tests) / sizeof *(tests))
