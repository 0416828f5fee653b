/* What the ways of a message from outside have in common: plain JSON, a CloudEvent, a batch of them. */
#ifndef ORDERLY_INFRA_API_MESSAGES_H
#define ORDERLY_INFRA_API_MESSAGES_H
#include "commands.h"
#include "orderly/infra/inbound/message_in.h"

/* Topics, prefixes: what every message over HTTP is read by; without the memory of a command. */
struct message_in message_in_of_call(const struct call *c);

/* A request with a CloudEvent, or more of them. */
struct cloud_request {
    enum cloud_mode mode;
    struct cloud_header *headers; /* ce-…, decoded */
    unsigned n_headers;
    const struct message_form *form; /* of a body that is no JSON; NULL: it is */
};
/* cloud_messages.c; m->topic: what the events have to be about; empty: what they say. */
void cloud_messages_receive(struct call *c, const struct cloud_request *r, struct message_in *m);

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
