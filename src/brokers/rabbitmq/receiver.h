/* Receiving from the queue, with acks of our own.
 *
 * A message comes in pieces (method, header, frames of the body); one is put together at a time, and
 * handed to the host when it is whole. */
#ifndef ORDERLY_BROKERS_RABBITMQ_RECEIVER_H
#define ORDERLY_BROKERS_RABBITMQ_RECEIVER_H
#include "handles.h"
#include "link.h"
#include "orderly/base/arena.h"

enum receiver_state { RECEIVER_WANTS_METHOD, RECEIVER_WANTS_HEADER, RECEIVER_WANTS_BODY };

struct receiver {
    struct link link;
    const struct broker_config *config;
    struct broker_host *host;
    char *why;
    struct handles unacked;
    /* Handle of a message: handle_base and its number on the channel, so that none of an earlier
     * connection names a message of this one. */
    uint64_t handle_base, number_last;
    bool is_stopped;
    bool is_full; /* the host has no room: the connection is not read, and acks are written */
    /* The message that comes. */
    enum receiver_state state;
    struct arena texts;
    struct broker_delivery coming;
    struct broker_attribute attributes[BROKER_ATTRIBUTES_MAX];
    struct buf body;
    uint64_t body_left;
};

void receiver_init(struct receiver *r, const struct broker_config *config, struct broker_host *host,
                   char *why);
void receiver_deinit(struct receiver *r);
/* After link_open: queue, bindings and consumer. */
bool receiver_begin(struct receiver *r, int64_t deadline_ms);
void receiver_ack(struct receiver *r, uint64_t handle);
void receiver_stop(struct receiver *r);
/* As sender_serve. */
bool receiver_serve(struct receiver *r, unsigned frames_max, unsigned *n);
#endif
