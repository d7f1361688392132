#include "cluster/step_plan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "cluster/comm.h"
#include "cluster/heartbeat.h"
#include "cluster/wire_impl.h"

/* Every plan begins with one packet of fixed size, which holds the whole of a decode step of about 30
 * sequences: such a step costs one broadcast. What does not fit follows in a second one. 1 KiB is within the
 * eager limit of every transport and takes hardly longer than 64 bytes. */
enum {
    PACKET_BYTES = 1024,
    PACKET_MAGIC = 0x53554143 /* "CAUS", read on a machine of the same byte order */
};

struct packet_header {
    uint32_t magic;
    uint32_t checksum; /* of the whole message: protobuf has none */
    uint64_t size;     /* of the message */
};

struct packet {
    struct packet_header header;
    unsigned char head[PACKET_BYTES - sizeof(struct packet_header)]; /* the message's first bytes */
};

struct step_channel {
    struct comm *comm;
    struct step_limits limits;
    uint64_t next_number;
    int32_t n_rows; /* of logits, in the last compute step */
    struct packet packet;
    struct bytes message;
    struct wire_memory memory;
};

/* FNV-1a. Against faults of memory and wire, not against forgery. */
static uint32_t checksum(const char *data, size_t size) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)data[i]) * 16777619u;
    return hash;
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

enum status step_channel_create(struct comm *comm, struct step_limits limits,
                                struct step_channel **channel_out) {
    struct step_channel *channel = calloc(1, sizeof *channel);
    if (!channel) return FAIL(STATUS_NO_MEMORY, "out of memory for step plans");
    channel->comm = comm;
    channel->limits = limits;
    const size_t capacity = larger(wire_decode_bytes(&limits), wire_encode_bytes(limits.max_slots));
    enum status status = wire_memory_create(capacity, &channel->memory);
    if (status == STATUS_OK) status = bytes_reserve(&channel->message, wire_message_bytes(&limits));
    if (status != STATUS_OK) {
        step_channel_destroy(channel);
        return status;
    }
    *channel_out = channel;
    return STATUS_OK;
}

void step_channel_destroy(struct step_channel *channel) {
    if (!channel) return;
    bytes_free(&channel->message);
    wire_memory_free(&channel->memory);
    free(channel);
}

/* What a plan says about the steps before it, the same on the sender and on every receiver. */
static enum status follow(struct step_channel *channel, const struct step_plan *plan) {
    TRY(step_plan_check(plan, &channel->limits, channel->next_number));
    if (plan->kind == STEP_LOGITS && plan->logits_row >= channel->n_rows)
        return FAIL(STATUS_INTERNAL,
                    "step plan %" PRIu64 ": row %d of logits is wanted, but the last step had %d",
                    plan->number, plan->logits_row, channel->n_rows);
    if (plan->kind == STEP_COMPUTE) channel->n_rows = step_plan_rows(plan);
    heartbeat_step(comm_heartbeat(channel->comm), channel->next_number++);
    return STATUS_OK;
}

/* Bytes of the message that do not fit the packet. */
static size_t tail_bytes(const struct step_channel *channel, size_t size) {
    return size > sizeof channel->packet.head ? size - sizeof channel->packet.head : 0;
}

enum status step_plan_send(struct step_channel *channel, const struct step_plan *plan) {
    CHECK(comm_rank(channel->comm) == 0);
    TRY(follow(channel, plan));
    struct bytes *message = &channel->message;
    TRY(wire_encode(&channel->memory, plan, message));
    const size_t tail = tail_bytes(channel, message->size);
    const size_t head = message->size - tail;

    channel->packet.header = (struct packet_header){
        .magic = PACKET_MAGIC,
        .checksum = checksum(message->data, message->size),
        .size = message->size,
    };
    memcpy(channel->packet.head, message->data, head);
    comm_broadcast_patient(channel->comm, &channel->packet, sizeof channel->packet);
    if (tail) comm_broadcast(channel->comm, message->data + head, tail);
    return STATUS_OK;
}

static enum status receive_message(struct step_channel *channel) {
    struct packet *packet = &channel->packet;
    struct bytes *message = &channel->message;
    comm_broadcast_patient(channel->comm, packet, sizeof *packet);
    if (packet->header.magic != PACKET_MAGIC)
        return FAIL(STATUS_INTERNAL, "a step plan begins with %08" PRIx32, packet->header.magic);
    if (packet->header.size > wire_message_bytes(&channel->limits))
        return FAIL(STATUS_INTERNAL, "a step plan of %" PRIu64 " bytes is larger than the limits allow",
                    packet->header.size);

    const size_t size = (size_t)packet->header.size;
    const size_t tail = tail_bytes(channel, size);
    bytes_clear(message);
    TRY(bytes_append(message, packet->head, size - tail));
    if (tail) comm_broadcast(channel->comm, message->data + message->size, tail);
    message->size = size;
    if (checksum(message->data, size) != packet->header.checksum)
        return FAIL(STATUS_INTERNAL, "a step plan was changed on its way: its checksum is wrong");
    return STATUS_OK;
}

enum status step_plan_receive(struct step_channel *channel, const struct step_plan **plan_out) {
    CHECK(comm_rank(channel->comm) != 0);
    TRY(receive_message(channel));
    struct step_plan *plan;
    TRY(wire_decode(&channel->memory, channel->message.data, channel->message.size, &channel->limits, &plan));
    TRY(follow(channel, plan));
    *plan_out = plan;
    return STATUS_OK;
}
