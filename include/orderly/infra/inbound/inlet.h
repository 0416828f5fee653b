/* The way in from a broker: what its relay received becomes the command receive_message, and the
 * relay is told when the broker may forget it.
 *
 *     inlet_take ─► read ─┬─ fine ──────────► receive_message ─┬─► durable ──► done(true)
 *                         │       ▲                            ├─► refused for now: held ─┐
 *                         │       └──── 100 ms, doubling to 5 s ◄─────────────────────────┘
 *                         │                                    └─► refused for good ─┐
 *                         ├─ poison ──► refuse_message (a dead letter, with its bytes) ◄┘
 *                         └─ on a topic that is not taken here ──► passed over, done(true)
 *
 * Messages of one order go one after the other, as they came, and what waits for its time holds back
 * the later ones of its order; those of different orders go their ways at the same time. Refused for
 * now is whatever is not the message's fault: a full queue or disk, too many dead letters, a twin on
 * its way by another road. Nothing is acknowledged before it is durable and nothing is dropped but at
 * a drain, which the broker answers by giving it again.
 *
 * Knows the app's ports and nothing of threads, loops or brokers. Thread: loop. */
#ifndef ORDERLY_INFRA_INBOUND_INLET_H
#define ORDERLY_INFRA_INBOUND_INLET_H
#include "orderly/infra/inbound/reader.h"
#include "orderly/infra/relay/broker.h"

#define INLET_RETRY_MS 100
#define INLET_RETRY_MS_MAX 5000
/* What was refused for now is tried again, as much of it in a turn of the loop, or for as long. */
#define INLET_TURN_RETRIES_MAX 64
#define INLET_TURN_US_MAX 1000

struct inlet_config {
    struct app *app;
    enum subscription_id id;             /* NATS, KAFKA, RABBITMQ: whose the dead letters are */
    const struct inbound_reader *reader; /* outlives the inlet */
    unsigned items_max;                  /* that are taken and not done: the relay's unacked_max */
    /* Exactly once for each that was taken, never inside inlet_take. is_durable: what it says, or why
     * it can't be received, is in the log, or it is not for this server; so the broker may forget it.
     * Else it is none of ours any more, and the broker shall give it again. */
    void (*done)(void *ctx, uint64_t handle, bool is_durable);
    void *ctx;
};

/* Since the process began, but for the last two. */
struct inlet_counts {
    uint64_t taken;
    uint64_t received;    /* durable as messages; repeated ones too */
    uint64_t refused;     /* durable as dead letters; repeated ones too */
    uint64_t passed_over; /* on topics that are not taken here */
    uint64_t retries;     /* tries after the first */
    unsigned items;       /* taken and not done */
    unsigned held;        /* of those: refused for now, and waiting for their time */
};

struct inlet;
/* The app has been created. */
struct inlet *inlet_create(const struct inlet_config *config);
/* After app_destroy, or when nothing is taken that is not done. */
void inlet_destroy(struct inlet *b);
/* Everything is copied. At most items_max may be taken and not done. */
void inlet_take(struct inlet *b, const struct broker_delivery *d);
/* Together with app_drain: what is not in the app's hands is done at once, as not durable, and so is
 * whatever is taken from here on; the rest when the app is through with it. */
void inlet_drain(struct inlet *b);
const struct inlet_counts *inlet_counts(const struct inlet *b);
#endif
