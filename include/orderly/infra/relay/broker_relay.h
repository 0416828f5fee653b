/* A relay to a broker: between the bus, on the loop's thread, and an adapter (broker.h), on a thread
 * of its own.
 *
 *     bus ─► handle ─► todo ──► publish ─► unacked ─► acked ─► delivery_done          out
 *                       ▲   wake_fd           │         mailbox
 *                       └── lost, again ──────┘
 *     durable ─► ack ◄── taken ◄── received                                            in
 *
 * Whatever the bus has handed over comes back exactly once: done, failed (the broker refuses the
 * message for good) or unavailable (at a drain). In between it is published again as often as it
 * takes: when the connection was lost, when the broker said 'later', when it said nothing for
 * RELAY_ACK_TIMEOUT_MS, which counts as a lost connection (but not where it has said that it takes
 * nothing for now). At most `window` messages are in its hands,
 * however long the broker is away; the rest stays in the log.
 *
 * It publishes as fast as the broker takes it, and slower while that would make orders wait
 * (relay_pace.h).
 *
 * A broker that can't be reached is tried again after RELAY_RETRY_MS, doubling to RELAY_RETRY_MS_MAX,
 * for ever; so is an adapter that could not be made anew where other topics have to be listened to.
 * Nothing of the server waits for it: neither a start nor an order, and the end no longer
 * than the drain.
 *
 * Thread: loop; the adapter and the rendering of messages run on the relay's own. */
#ifndef ORDERLY_INFRA_RELAY_BROKER_RELAY_H
#define ORDERLY_INFRA_RELAY_BROKER_RELAY_H
#include "orderly/app/app.h"
#include "orderly/app/relay.h"
#include "orderly/infra/inbound/reader.h"
#include "orderly/infra/relay/broker.h"
#include "orderly/infra/relay/relay_options.h"
#include "orderly/infra/render/cloud_event.h"
#include <uv.h>

#define RELAY_CONNECT_TIMEOUT_MS 5000
#define RELAY_ACK_TIMEOUT_MS 30000
#define RELAY_RETRY_MS 100
#define RELAY_RETRY_MS_MAX 5000
/* What one turn of the loop works off of what a relay's thread has for it: letters, among them messages
 * from outside, which are read then. The rest is the next turn's. */
#define RELAY_TURN_LETTERS_MAX 256
#define RELAY_TURN_US_MAX 1000
/* Of messages that were received and are not done with, whatever unacked_max says: beyond it none is
 * taken from the broker until others are durable here. One more may be begun with a byte left, so that
 * a message of any length is received in the end. Room for RELAY_UNACKED_DEFAULT messages as long as they
 * may be: NATS is asked for a number of messages, and with a quarter of that room was asked for so few
 * that 2,300 a second came in instead of 4,100. */
#define RELAY_HELD_BYTES_MAX (64u << 20)
/* At a drain: for the broker to acknowledge what it was handed before. */
#define RELAY_DRAIN_MS 2000

/* Everything it points to outlives the relay. */
struct broker_relay_config {
    enum subscription_id id; /* NATS, KAFKA, RABBITMQ; its name is the module's */
    const struct broker_module *module;
    struct broker_config broker;
    const bool *topics; /* EVENT_TYPE_COUNT of them: that are passed on */
    enum relay_from from;
    enum relay_encoding encoding;
    enum relay_mode mode;
    unsigned slack_percent; /* relay_pace.h */
    struct cloud_config cloud;
    struct str origin; /* of this log; empty: it tells nobody */
    bool listens;      /* takes what has to come from outside (app_listens) from the broker */
    const struct inbound_reader *reader;
    struct log *log;
    struct app *app;
    uv_loop_t *loop;
};

struct broker_relay;
/* Before app_start. NULL: the adapter can't work with this configuration, or the system lacks something;
 * `why` (BROKER_WHY_MAX) says what it is. */
struct broker_relay *broker_relay_create(const struct broker_relay_config *config, char *why);
/* Connects, and goes on where the cursor is. The app has started. */
void broker_relay_start(struct broker_relay *r);
/* Together with app_drain: what the broker does not have yet goes back to the bus, at the latest
 * after RELAY_DRAIN_MS. */
void broker_relay_drain(struct broker_relay *r);
/* The bus is quiet, or will never be asked again. on_closed runs once, later: the thread has ended. */
void broker_relay_close(struct broker_relay *r, void (*on_closed)(void *ctx), void *ctx);
/* Closed. */
void broker_relay_destroy(struct broker_relay *r);
#endif
