/* An integration message: what contexts, streams and brokers hear. Made from one durable domain
 * event by message_of_event, the only translator.
 *
 * Immutable after it was made, counted, loop thread only. */
#ifndef ORDERLY_APP_MESSAGE_H
#define ORDERLY_APP_MESSAGE_H
#include "orderly/base/arena.h"
#include "orderly/base/buf.h"
#include "orderly/base/err.h"
#include "orderly/domain/event.h"

struct message {
    unsigned refs;
    /* The event; its views point into row and into the message's own memory. messageId = event.id,
     * topic, timestamp = occurred_at_ms, payload = p, correlationId = lane, position. */
    struct event event;
    struct str topic;    /* n == 0: an internal event that is not published */
    struct str row;      /* the encoded event, behind the message */
    int64_t appended_us; /* monotonic time when it was handed to the log; 0: read from the log */
    struct arena arena;
};

/* Encodes the event (id, position, occurred_at set) and keeps a copy that is decoded from the row;
 * refs == 1. */
struct message *message_of_event(const struct event *e);
/* From a stored row. ERR_DAMAGED if it is no event row. Any thread: nobody else knows the message yet,
 * and it may be handed to the loop thread. */
MUST_CHECK enum err message_of_row(struct str row, uint64_t position, struct message **out);
static inline struct message *message_ref(struct message *m)
{
    m->refs++;
    return m;
}
void message_unref(struct message *m);

/* What a dead letter, and a line of the log about one message, calls it: the name that its sender gave
 * it (outside; may be none), else ours, which is written into text. */
struct str message_id_said(struct str outside, struct event_id ours, char text[UUID_TEXT_LEN]);
#endif
