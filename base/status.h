/* base/status.h - how a function says that it failed, and why.
 *
 * The first to detect a fault calls FAIL with one sentence for the user; everyone above only forwards
 * the status with TRY. The sentence waits in a slot of the calling thread until main() (or
 * comm_agree(), for a fault of another rank) fetches it with status_message().
 *
 * Memory:  the sentence lives in thread-local storage, 1 KiB, overwritten by the next FAIL.
 * Threads: each thread has its own slot; faults are raised on the thread that called into the module.
 * Ranks:   local. */
#pragma once

#define NODISCARD __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_index, first_argument)                                                            \
    __attribute__((format(printf, format_index, first_argument)))

enum status {
    STATUS_OK = 0,
    STATUS_BAD_INPUT, /* a file, option, message or request is wrong; the user can mend it */
    STATUS_IO,        /* the operating system refused: missing file, short read, full disk */
    STATUS_NO_MEMORY, /* an allocation failed or a limit would be passed */
    STATUS_INTERNAL,  /* a fault of the program or of a library below it */
};

/* Records the sentence; the value is `status`, for `return FAIL(...)`. A long sentence is cut. */
#define FAIL(status, ...) (status_record(__VA_ARGS__), (status))

/* Forwards any failure of `expression` to the caller. */
#define TRY(expression)                                                                                      \
    do {                                                                                                     \
        const enum status try_status_ = (expression);                                                        \
        if (try_status_ != STATUS_OK) return try_status_;                                                    \
    } while (0)

/* Forwards any failure of `expression` to a goto ladder; needs `enum status status` in scope. */
#define TRY_GOTO(expression, label)                                                                          \
    do {                                                                                                     \
        status = (expression);                                                                               \
        if (status != STATUS_OK) goto label;                                                                 \
    } while (0)

void status_record(const char *format, ...) PRINTF_LIKE(1, 2);

/* The sentence of this thread's last FAIL; "" before the first. Valid until the next FAIL. */
const char *status_message(void);

/* The exit status of the program for `status`: 0, 2 for what the user can mend, 1 otherwise. */
int status_exit_code(enum status status);
