/* Any datagram is a message of this job or none, and a message has one form. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "cluster/heartbeat.h"
#include "cluster/watchdog_message_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct watchdog_job job = {.token = UINT64_C(0x1122334455667788), .size = 4};
    struct watchdog_message message;
    unsigned char again[WATCHDOG_MESSAGE_BYTES];
    char text[PLACE_TEXT_MAX];
    if (!watchdog_message_read(&job, data, size, &message)) return 0;
    CHECK(message.rank >= 0 && message.rank < job.size && message.lost >= -1 && message.lost < job.size);
    place_text(message.place, text);
    watchdog_message_write(&job, &message, again);
    CHECK(size == sizeof again && memcmp(again, data, size) == 0);
    return 0;
}
