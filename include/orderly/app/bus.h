/* The bus: topics, subscriptions, lanes, deferred delivery, retry, parking.
 *
 * publish() links a message into the lanes of its subscribers and asks for a turn; it never calls a
 * handler. A lane is (subscription, lane id): the order in which messages are handed over, one at a
 * time. A turn gives each ready lane one message, at most TURN_MESSAGES_MAX or TURN_US_MAX.
 *
 * A subscription is a cursor, a window and deferred lanes:
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
 *                                        |     parked --retry--> busy, --discard--> the next one
 *                                        | failed permanently: dead letter, lane goes on
 *                                        | unavailable: the subscription pauses, same message again
 *
 * Promise: FIFO inside a lane. None between lanes.
 * Thread: loop. Knows no libuv. */
#ifndef ORDERLY_APP_BUS_H
#define ORDERLY_APP_BUS_H
#include "orderly/app/deferred_lane.h"
#include "orderly/app/event_log.h"
#include "orderly/app/failure.h"
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
/* The rest of this page are sizes of our own making, no limits of the product. */
#define BUS_READ_MAX 512 /* events that one read of a subscription looks at */
#define BUS_READ_BYTES_MAX (1u << 20)
#define BUS_LANE_READ_MAX 16  /* messages that one read of a deferred lane brings back */
#define BUS_LANE_READS_MAX 64 /* such reads at a time, of each subscription */
#define BUS_WRITES_MAX 1024   /* failures on their way to the log at a time */
#define BUS_CLEARS_MAX 256    /* rows deleted in one append */
#define BUS_CHORES_MS 100
#define BUS_PAUSE_MS 100
#define BUS_PAUSE_MS_MAX 1000
#define BUS_ERROR_DETAIL_MAX 512 /* bytes of an error's detail that are kept */

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

/* Into the open append that holds what the message causes: the fact that it was handled, where its
 * lane is deferred and the row has to say so. Elsewhere the events' causes do. */
void delivery_put_handled(const struct delivery *d, struct append *a);
/* Handled, with everything it causes durable (or nothing to cause). */
void delivery_done(struct delivery *d);
/* A failure of this message: an attempt. What becomes of it, its code says (failure.h). */
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

/* Lanes that wait for their share of a turn, longest waiting first. */
struct ready_lanes {
    struct list lanes;
    unsigned n;
    unsigned turn_left; /* of them, those that this turn still has to serve */
};

struct subscription {
    /* Set by the caller before bus_subscribe. */
    struct subscription_config config;
    bool (*wants)(const struct subscription *s, const struct event *e);
    void (*handle)(struct subscription *s, struct delivery *d); /* a later turn than publish */
    /* After a restart only, for messages that were published before it; NULL: never. True when this
     * message, or a later one of its lane, has left something durable that this subscription made
     * of it: then it is passed over. */
    bool (*was_handled)(const struct subscription *s, const struct message *m);
    uint64_t sequence;  /* last event of the stream (Subscription, name): its dead letters */
    uint64_t n_letters; /* of its dead letters those that are open, as the log will have it */

    /* For readiness and metrics; the bus writes them. */
    unsigned n_deferred, n_parked; /* lanes; parked ones are among the deferred */
    bool is_paused;                /* for a moment, after delivery_unavailable or a full log */
    bool is_at_limit;              /* no room for another deferred lane or dead letter */
    bool is_stuck;                 /* the log could not be read; tried again and again */
    int64_t moved_us; /* a message in work ended, or was the first to come; monotonic */

    /* Bus only. */
    struct bus *bus;
    struct list in_work; /* deliveries by work_link, in position order */
    unsigned n_in_work;
    unsigned n_recalled; /* deliveries of deferred lanes that were read back from the log */
    struct map lanes;    /* those that are not idle */
    struct ready_lanes ready, ready_deferred;
    struct list failed, failed_deferred; /* lanes whose failure the log does not have yet */
    struct list due;                     /* deferred lanes that wait to be read */
    unsigned n_lane_reads;
    uint64_t taken_position;     /* last published position that was taken or passed over */
    uint64_t stored_cursor;      /* last written to DB_CURSORS */
    uint64_t recovered_position; /* up to here was_handled is asked */
    bool is_live;                /* takes what is published; else reads the log */
    bool is_reading;
    int64_t pause_ms; /* length of the last pause; 0 after a message that went through */
    struct timer resume;
};

/* In DB_META, followed by the subscription(1): sequence(8) open letters(8). Written with every event
 * of a subscription's stream. */
#define BUS_META_LETTERS "letters:"

/* For who watches every delivery, as the simulator does; the server has none. Called on the loop
 * thread, before the handler is, and as soon as the handler has said how it ended. The callbacks
 * change nothing. */
enum delivery_end { DELIVERY_DONE, DELIVERY_FAILED, DELIVERY_UNAVAILABLE };
struct bus_tap {
    void (*handed_over)(struct bus_tap *t, const struct delivery *d);
    void (*ended)(struct bus_tap *t, const struct delivery *d, enum delivery_end how);
};

struct bus_clear; /* a deferred lane's row that has to go */

struct bus {
    struct scheduler *scheduler;
    struct timers *timers;
    struct event_log *log;
    struct random *random; /* jitter of retries */
    struct log *logger;
    struct metrics *metrics;
    struct map_key map_key;
    struct subscription *subscriptions[SUBSCRIPTION_COUNT];
    /* Whose dead letters there may be, subscribed or not: config.id and name, sequence, n_letters.
     * NULL: only those that are subscribed. Set by the app. */
    struct subscription *letters_of[SUBSCRIPTION_COUNT];
    uint64_t published_position;
    bool is_draining;    /* hands over no new messages; whoever sets it wakes the scheduler */
    bool is_stopped;     /* and writes nothing more */
    struct bus_tap *tap; /* borrowed; NULL: nobody watches */

    /* A failure adds, a redrive takes off. */
    uint64_t n_dead_letters_open;
    uint64_t dead_letters_max; /* BUS_DEAD_LETTERS_MAX */
    unsigned deferred_max;     /* of each subscription: BUS_DEFERRED_MAX */

    /* Bus only. */
    bool is_awake; /* a turn was asked for */
    bool is_in_turn;
    unsigned next_source; /* where the next turn begins, so that none is always last */
    unsigned n_in_progress;
    unsigned n_writes, n_reads;   /* of ours, in the log and in the store */
    uint64_t n_letters_in_writes; /* dead letters among n_writes */
    int64_t clock_us;             /* read when a delivery ended, good for the next hand-over */
    bool clock_is_fresh;
    struct list spare_deliveries, spare_lanes;
    unsigned n_spare_deliveries, n_spare_lanes;
    struct timer chores; /* cursors and rows to delete, together */
    struct append chores_append;
    bool is_writing_chores;
    uint64_t chores_cursors[SUBSCRIPTION_COUNT];
    struct list clears;    /* bus_clear, oldest first */
    struct map clears_map; /* the same, by the row's key */
    size_t n_clears, n_clears_writing;
};

void bus_init(struct bus *b, struct event_log *log, struct timers *timers, struct random *random,
              struct log *logger, struct metrics *metrics, const struct map_key *key);
/* All deliveries must have ended, and nothing of the bus may be in the log or the store. */
void bus_deinit(struct bus *b);
/* s outlives the bus. Only before the first publish. */
void bus_subscribe(struct bus *b, struct subscription *s);
/* Goes on where an earlier process stopped: everything behind the cursor is read from the log, the
 * deferred lanes wait, or stay parked, as their rows say. After bus_subscribe, before the first
 * publish; log->durable_position is known. The rows are copied. */
void bus_recover_subscription(struct subscription *s, uint64_t cursor,
                              const struct deferred_lane *lanes, size_t n_lanes);
/* Takes references of its own. Delivers nothing inside this call. */
void bus_publish(struct bus *b, struct message *m);
/* One turn; true if another is needed. */
bool bus_run_turn(struct bus *b);
/* The log or the peer has room again: paused subscriptions need not wait for the end of the pause. */
void bus_resume(struct bus *b);
/* Lanes that are ready to be handed a message. */
unsigned bus_ready(const struct bus *b);
/* Messages behind, of the slowest subscription that counts for the backlog. */
uint64_t bus_backlog(const struct bus *b);
uint64_t subscription_lag(const struct subscription *s);
/* Age of the oldest message that is in work; 0: none is. */
int64_t subscription_oldest_us(const struct subscription *s);
/* For how long messages have been in work without one of them coming to its end; 0: none is in work. */
int64_t subscription_stands_us(const struct subscription *s);
/* Lowest position that is not yet handled or deferred, minus 1. */
uint64_t subscription_cursor(const struct subscription *s);
/* Deliveries in the hands of handlers, over all subscriptions: zero when a drain is done. */
unsigned bus_in_progress(const struct bus *b);
/* No delivery in progress and nothing of the bus in the log or the store. A drain goes on with its
 * turns until this holds, and then the cursors are stored too. */
bool bus_is_quiet(const struct bus *b);
/* The drain is done: nothing is written any more, however long it takes until the bus goes. What failed
 * and could not be written down, as the log was full, is handed over again by the next process. */
void bus_stop(struct bus *b);

/* What explain and until-waits need to know of one order. */
struct lane_state {
    enum subscription_id subscription;
    enum { LANE_WAITING, LANE_IN_PROGRESS, LANE_RETRYING, LANE_PARKED } state;
    uint64_t position; /* of the message at its head */
    unsigned attempts;
    int64_t due_wall_ms; /* RETRYING: next attempt */
    const char *error_code;
    struct str error_detail;
    int64_t first_failed_at_ms, last_failed_at_ms; /* attempts > 0 */
    struct dead_letter_id dead_letter_id;          /* PARKED */
    unsigned queued_behind;                        /* known to be waiting behind the head */
};
/* Fills out[] (room for SUBSCRIPTION_COUNT); returns how many lanes of the order are not idle. */
unsigned bus_lane_states(const struct bus *b, struct lane_id lane, struct lane_state *out);
#endif
