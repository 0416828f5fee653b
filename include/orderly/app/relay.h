/* A relay, as the app sees it: one more subscription with a durable cursor, whose handler is the
 * acknowledgement of a broker. It is handed what this server decided itself; what it was told from
 * outside (metadata.messageId) is not passed on, so that nothing goes round in circles.
 *
 * The order of an order is kept by the bus: of each order one message at a time is in the relay's
 * hands, and comes back as done only when the broker has it. So whatever is lost on the way and sent
 * again, no message overtakes an earlier one of its order, and the cursor passes nothing that the
 * broker does not have. A relay never counts for the backlog: no order waits for a broker.
 *
 * Thread: loop. */
#ifndef ORDERLY_APP_RELAY_H
#define ORDERLY_APP_RELAY_H
#include "orderly/app/bus.h"

/* What a relay did since the process began. */
struct relay_counts {
    uint64_t published; /* handed to the broker, again too */
    uint64_t acked;
    uint64_t unrouted; /* acknowledged, but nobody was there to get it */
    uint64_t again;    /* not taken, to be published again */
    uint64_t refused;  /* never to be taken: dead letters */
    uint64_t received; /* from the broker, redelivered ones too */
    uint64_t own;      /* of those, what this log said itself: acknowledged, and not recorded */
    uint64_t settled;  /* of those received, acknowledged to the broker */
    uint64_t connects, losses;
};

#define RELAY_WHY_MAX 600

struct relay {
    /* Set by the caller before app_add_relay. */
    enum subscription_id id;
    bool topics[EVENT_TYPE_COUNT]; /* that are passed on */
    unsigned window;               /* messages in its hands at a time */
    /* Where it has no cursor yet: begin behind what is in the log, and not at the log's beginning. The
     * place is durable before the app is ready, and holds from then on. */
    bool begins_now;
    void (*handle)(struct relay *r, struct delivery *d);
    /* What has to come from outside may be something else now (app_listens). */
    void (*contexts_changed)(struct relay *r);

    /* For readiness and metrics; whoever implements it writes them. */
    struct relay_counts counts;
    uint64_t limit; /* messages a second, where orders go first; 0: none */
    bool is_connected;
    char why[RELAY_WHY_MAX]; /* it is not connected, or gets no further; "" : all is well */

    /* App only. */
    struct subscription *subscription;
};

/* How a relay gets on, for whoever has to know whether it needs help:
 *
 *   CURRENT  what waits has not waited for long
 *   BEHIND   the broker takes what waits, but the oldest of it is older than RELAY_LATE_MS
 *   STUCK    there is a reason (why), or messages have waited for RELAY_LATE_MS without the broker
 *            taking one: also over connections that are made again and again */
enum relay_progress { RELAY_CURRENT, RELAY_BEHIND, RELAY_STUCK };
#define RELAY_LATE_MS 10000
enum relay_progress relay_progress(const struct relay *r);

struct app;
/* Before app_start; r outlives the app. At most one of each id. A relay that is taken away keeps its
 * cursor, and goes on there when it comes back. */
void app_add_relay(struct app *a, struct relay *r);
/* NULL: there is none. */
struct relay *app_relay(const struct app *a, enum subscription_id id);
#endif
