#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

/* errno's habit, and the only mutable state besides log.c: a status is an int, so the sentence needs a place.
 */
static _Thread_local char message[1024];

void status_record(const char *format, ...) {
    /* Formatted aside first: an argument may be the previous message. */
    char text[sizeof message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(message, sizeof message, "%s", text);
}

const char *status_message(void) {
    return message;
}

int status_exit_code(enum status status) {
    switch (status) {
    case STATUS_OK:
        return 0;
    case STATUS_BAD_INPUT:
    case STATUS_IO:
    case STATUS_NO_MEMORY:
        return 2;
    case STATUS_INTERNAL:
        break;
    }
    return 1;
}
