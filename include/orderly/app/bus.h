/* The bus: topics, subscriptions, lanes, deferred delivery, retry, parking.
 *
 * publish() links a message into the lanes of its subscribers and asks for a turn; it never calls a
 * handler. A lane is (subscription, lane id): the order in which messages are handed over, one at a
 * time. A turn gives each ready lane one message, at most TURN_MESSAGES_MAX or TURN_US_MAX.
 *
 * A subscription is a cursor, a window and deferred lanes (architecture.md §4):
 *   - in work: deliveries that were taken and not yet handled, in position order. The cursor is the
 *     position before the first of them. At most `window` are in work; beyond that the subscription
 *     stops taking what is published and reads the log later, in position order, until it has caught
 *     up.
 *   - a lane whose head failed is deferred: one row in DB_LANES (head position, attempts, due or
 *     parked, last error), written before it counts. Its deliveries leave the memory and the in-work
 *     list; once its head is done, the lane's messages are read from the log in order until it has
 *     caught up with what was published. Retry, park and catch-up of a lane are this one mechanism.
 *
 *     idle --publish--> ready --turn--> busy --done--> idle | ready
 *                                        | failed, attempts left: DEFERRED (due at) --timer--> busy
 *                                        | failed for the last time: DEFERRED (parked), dead letter
 *                                        | failed permanently: dead letter, lane goes on
 *                                        | unavailable: the subscription pauses, same message again
 *
 * Promise: FIFO inside a lane. None between lanes.
 * Thread: loop. Knows no libuv. */
#ifndef ORDERLY_APP_BUS_H
#define ORDERLY_APP_BUS_H
#include "orderly/app/event_log.h"
#include "orderly/app/log.h"
#include "orderly/app/message.h"
#include "orderly/app/metrics.h"
#include "orderly/app/timers.h"
#include "orderly/base/map.h"

#define BUS_WINDOW_DEFAULT 65536
#define BUS_DEFERRED_MAX 1000000
#define BUS_DEAD_LETTERS_MAX 1000000
#define BUS_BACKLOG_MAX 100000
#define BUS_TURN_MESSAGES_MAX 256
#define BUS_TURN_US_MAX 1000

struct bus;
struct subscription;
struct lane;

/* A message in the hands of a handler. It belongs to the handler until exactly one of
 * delivery_done, delivery_failed, delivery_unavailable, now or later. */
struct delivery {
    /* For the handler. */
    struct message *message; /* stays valid until the delivery ends */
    unsigned attempt;        /* from 1 */
    struct subscription *subscription;

    /* Bus only. */
    struct lane *lane;
    struct list lane_link, work_link;
    int64_t started_us;
};

struct failure {
    const char *code;   /* handler_failed, unknown_order, payment_taken, … */
    struct str detail;  /* copied */
    bool is_permanent;  /* dead letter at once, parks nothing */
};

/* Handled, with everything it causes durable (or nothing to cause). */
void delivery_done(struct delivery *d);
/* A failure of this message: an attempt. */
void delivery_failed(struct delivery *d, const struct failure *f);
/* Not the message's fault (queue full, disk full, peer away): no attempt; the subscription pauses
 * for a moment and hands over the same message again. */
void delivery_unavailable(struct delivery *d);

struct subscription_config {
    enum subscription_id id;
    const char *name;
    unsigned window;
    /* attempts = 1 + retries; delay before retry n (0-based) = base * 4^n ± 50 %, at most max */
    unsigned retries;
    int64_t retry_base_ms, retry_max_ms;
    bool counts_for_backlog; /* a built-in context whose lag refuses new orders */
};
extern const struct subscription_config subscription_config_default; /* 3, 100, 30000 */

struct subscription {
    /* Set by the caller before bus_subscribe. */
    struct subscription_config config;
    bool (*wants)(const struct subscription *s, const struct event *e);
    void (*handle)(struct subscription *s, struct delivery *d); /* a later turn than publish */

    /* Bus only. */
    struct bus *bus;
    struct list in_work;
    unsigned n_in_work;
    struct map lanes;
    struct list ready;
    unsigned n_deferred, n_parked;
    uint64_t taken_position; /* last published position that was taken or passed over */
    uint64_t stored_cursor;  /* last written to DB_CURSORS */
    bool is_live;            /* takes what is published; else reads the log */
    bool is_paused;
    struct timer resume;
    void *private; /* of bus.c */
};

struct bus {
    struct scheduler *scheduler;
    struct timers *timers;
    struct event_log *log;
    struct random *random; /* jitter of retries, ids of dead letters */
    struct log *logger;
    struct metrics *metrics;
    struct map_key map_key;
    struct subscription *subscriptions[SUBSCRIPTION_COUNT];
    uint64_t published_position;
    uint64_t n_dead_letters_open;
    bool is_draining; /* hands over no new messages */
    void *private;
};

void bus_init(struct bus *b, struct event_log *log, struct timers *timers, struct random *random,
              struct log *logger, struct metrics *metrics, const struct map_key *key);
/* All deliveries must have ended. */
void bus_deinit(struct bus *b);
/* s outlives the bus. Only before the first publish. */
void bus_subscribe(struct bus *b, struct subscription *s);
/* Takes references of its own. Delivers nothing inside this call. */
void bus_publish(struct bus *b, struct message *m);
/* One turn; true if another is needed. */
bool bus_run_turn(struct bus *b);
/* Messages behind, of the slowest subscription that counts for the backlog. */
uint64_t bus_backlog(const struct bus *b);
uint64_t subscription_lag(const struct subscription *s);
/* Lowest position that is not yet handled or deferred, minus 1. */
uint64_t subscription_cursor(const struct subscription *s);
/* Deliveries in the hands of handlers, over all subscriptions: zero when a drain is done. */
unsigned bus_in_progress(const struct bus *b);

/* What explain and until-waits need to know of one order. */
struct lane_state {
    enum subscription_id subscription;
    enum { LANE_WAITING, LANE_IN_PROGRESS, LANE_RETRYING, LANE_PARKED } state;
    uint64_t position; /* of the message at its head */
    unsigned attempts;
    int64_t due_wall_ms; /* RETRYING: next attempt */
    const char *error_code;
    struct str error_detail;
    unsigned queued_behind; /* known to be waiting behind the head */
};
/* Fills out[] (room for SUBSCRIPTION_COUNT); returns how many lanes of the order are not idle. */
unsigned bus_lane_states(const struct bus *b, struct lane_id lane, struct lane_state *out);
#endif
