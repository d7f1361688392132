#include "cluster/watchdog_message_impl.h"

#include <string.h>

#include "cluster/heartbeat.h"

/* In the sender's byte order: the magic number shows another one. */
struct wire_form {
    uint32_t magic;
    int32_t size;
    uint64_t token;
    uint64_t sequence;
    uint64_t place;
    uint64_t progress;
    int32_t rank;
    int32_t lost;
    uint32_t ending;
    uint32_t zero;
};

_Static_assert(sizeof(struct wire_form) == WATCHDOG_MESSAGE_BYTES, "no padding");

static const uint32_t MAGIC = 0x31424843; /* "CHB1" */

void watchdog_message_write(const struct watchdog_job *job, const struct watchdog_message *message,
                            unsigned char data_out[WATCHDOG_MESSAGE_BYTES]) {
    const struct wire_form form = {
        .magic = MAGIC,
        .size = job->size,
        .token = job->token,
        .sequence = message->sequence,
        .place = message->place,
        .progress = message->progress,
        .rank = message->rank,
        .lost = message->lost,
        .ending = message->ending,
    };
    memcpy(data_out, &form, sizeof form);
}

bool watchdog_message_read(const struct watchdog_job *job, const void *data, size_t size,
                           struct watchdog_message *message_out) {
    struct wire_form form;
    if (size != sizeof form) return false;
    memcpy(&form, data, sizeof form);
    if (form.magic != MAGIC || form.token != job->token || form.size != job->size) return false;
    if (form.rank < 0 || form.rank >= job->size || form.sequence == 0) return false;
    if (form.lost < WATCHDOG_NOBODY || form.lost >= job->size || form.lost == form.rank) return false;
    if (form.ending > 1 || form.zero != 0) return false;
    if (place_unpack(form.place).operation >= OPERATIONS) return false;
    *message_out = (struct watchdog_message){
        .rank = form.rank,
        .sequence = form.sequence,
        .place = form.place,
        .progress = form.progress,
        .lost = form.lost,
        .ending = form.ending != 0,
    };
    return true;
}
