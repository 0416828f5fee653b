/* What the ways of a message from outside have in common: plain JSON, a CloudEvent, a batch of them. */
#ifndef ORDERLY_INFRA_API_MESSAGES_H
#define ORDERLY_INFRA_API_MESSAGES_H
#include "cloud_in.h"
#include "commands.h"

enum outside_topic {
    OUTSIDE_FINE,
    OUTSIDE_ORDERS, /* order.*: only the server itself speaks for orders */
    OUTSIDE_UNKNOWN,
};
enum outside_topic outside_topic_of(struct str topic, enum event_type *type);
/* Is the correlationId the payload's order? True where either is not there. */
bool outside_correlation_fits(struct str correlation_id, const struct payload *p);
#define OUTSIDE_ORDERS_DETAIL "Only the server itself speaks for orders."

/* cloud_messages.c: a request of one of the CloudEvents modes. path_topic: what the events have to be
 * about; empty: what they say. */
void cloud_messages_receive(struct call *c, enum cloud_mode mode, struct str path_topic);

/* message_batch.c: several messages of one request, each a command of its own.
 *
 * Messages of different orders go their ways at the same time and share commits; those of one order,
 * and those with the same id, go one after the other, in the order of the batch. Where one is refused
 * for now (409, 503, 5xx) what waits for it is not tried any more, so that the sender can send all of
 * it again.
 *
 * The answer comes when the last one is done: 202 when all of them are in the log, with `results` in
 * the order of the batch; otherwise a problem with the gravest status, what is to be repeated first,
 * and the same `results`. To send the whole batch again is never wrong. */
struct message_batch;
/* The commands get what `first` has of the request: its header fields and its memory. */
struct message_batch *message_batch_create(struct command_call *first, unsigned n);
/* To be filled, all but its command. */
struct receive_message *message_batch_item(struct message_batch *b, unsigned i);
/* Every item is filled; n may be 0. Ends the call. */
void message_batch_start(struct message_batch *b);
#endif
