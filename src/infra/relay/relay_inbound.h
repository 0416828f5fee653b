/* What a relay received, on the loop's side: handed to the inlet while it has room, and given back to
 * the thread when the broker may forget it. Thread: loop. */
#ifndef ORDERLY_SRC_INFRA_RELAY_INBOUND_H
#define ORDERLY_SRC_INFRA_RELAY_INBOUND_H
#include "orderly/infra/inbound/inlet.h"
#include "relay_received.h"

struct relay_inbound {
    struct inlet *inlet;
    /* Those in the inlet, by the handle that it knows them by; without their bytes. */
    struct relay_received **slots;
    unsigned *free;
    unsigned n_free;
    struct list waiting; /* of the connection that was heard last; at most unacked_max */
    uint64_t connection;
    bool is_draining;
    /* There is room for one that waits: relay_inbound_hand_over, when there is time for it. */
    void (*ready)(void *ctx);
    /* The broker may forget it: to the thread. */
    void (*settle)(void *ctx, struct relay_received *received);
    void *ctx;
};

void relay_inbound_init(struct relay_inbound *in, struct app *app, enum subscription_id id,
                        const struct inbound_reader *reader, unsigned unacked_max);
void relay_inbound_deinit(struct relay_inbound *in, unsigned unacked_max);
/* received is the inbound's from here on. Hands over at most one, which is read then: the work of a
 * turn is bounded by who calls. */
void relay_inbound_take(struct relay_inbound *in, struct relay_received *received);
/* One waits, and there is room for it. */
bool relay_inbound_is_ready(const struct relay_inbound *in);
void relay_inbound_hand_over(struct relay_inbound *in);
void relay_inbound_drain(struct relay_inbound *in);
#endif
