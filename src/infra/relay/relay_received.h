/* A message from the broker: copied on the relay's thread, read on the loop's, and on its way back the
 * handle by which the broker is told. One allocation; at most unacked_max of them for a connection, and
 * of all of them together about RELAY_HELD_BYTES_MAX. */
#ifndef ORDERLY_SRC_INFRA_RELAY_RECEIVED_H
#define ORDERLY_SRC_INFRA_RELAY_RECEIVED_H
#include "orderly/base/list.h"
#include "orderly/infra/relay/broker.h"
#include <stdatomic.h>

/* Bytes of a topic, an id or a media type, and of all attributes together. What is longer is told as too
 * large, with as much of it: a broker may take a header of megabytes, and a message that can't be
 * received becomes an event that holds what was sent. */
#define RELAY_RECEIVED_TEXT_BYTES_MAX 1024
#define RELAY_RECEIVED_ATTRIBUTES_BYTES_MAX 65536

/* From the thread to the loop. */
struct relay_letter {
    struct list link; /* the mailbox's, or another list's before */
    unsigned kind;    /* enum relay_letter_kind */
};

struct relay_received {
    struct relay_letter letter;
    uint64_t connection; /* that its handle is of */
    bool is_own;         /* this log said this very message; only the handle is kept of it */
    size_t bytes;        /* of it, as it came; counted in *held until it is freed */
    atomic_size_t *held;
    struct broker_delivery d; /* views of the memory behind */
    struct broker_attribute attributes[BROKER_ATTRIBUTES_MAX];
};

/* origin: of this log; empty: it has none. held: outlives it. */
struct relay_received *relay_received_copy(const struct broker_delivery *d, uint64_t connection,
                                           struct str origin, atomic_size_t *held);
void relay_received_free(struct relay_received *r);
/* Bytes that may still be received, where so many are held. */
size_t relay_received_room(size_t held);
#endif
