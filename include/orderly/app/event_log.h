/* The event log on the loop thread: the only sequencer. It gives events their positions and ids,
 * makes their rows, hands the group to the store, and on the letter back ends the operation and
 * publishes the messages.
 *
 * One append is built and submitted without a step back to the loop:
 *
 *     e = append_begin(&op->append, log, APPEND_COMMAND);      refused here or never
 *     append_event(&op->append, &event);                       position and id are known from here
 *     append_put(&op->append, DB_ORDERS, key, snapshot);
 *     append_submit(&op->append, place_order_on_appended);     done runs once, in a later turn
 *
 * Thread: loop. */
#ifndef ORDERLY_APP_EVENT_LOG_H
#define ORDERLY_APP_EVENT_LOG_H
#include "orderly/app/message.h"
#include "orderly/app/random.h"
#include "orderly/app/scheduler.h"
#include "orderly/app/store.h"
#include "orderly/base/arena.h"
#include "orderly/base/uuid.h"

struct metrics;
struct event_log;
struct append;
typedef void (*append_cb)(struct append *a);

enum append_kind {
    APPEND_COMMAND,    /* may not use the last quarter of the hand-over queue */
    APPEND_CONSEQUENCE /* what an accepted thing causes: refused only when the queue is full */
};

#define APPEND_EVENTS_MAX EVENT_LIST_MAX
#define APPEND_ROWS_INLINE 24

struct append {
    /* Outcome, readable in done.
     * ERR_OK    durable: it survives a power cut
     * ERR_FULL  not written, nor was anything queued behind it */
    enum err status;
    uint64_t first_position, last_position; /* of its events; 0 if it has none */

    /* Log only. */
    struct event_log *log;
    append_cb done;
    struct store_write write;
    struct store_row *rows;
    unsigned rows_cap;
    struct store_row rows_inline[APPEND_ROWS_INLINE];
    struct arena arena;
    unsigned n_messages;
    struct message *messages[APPEND_EVENTS_MAX];
    struct list link;
    int64_t submitted_us;
};

struct event_log {
    struct store *store;
    struct scheduler *scheduler;
    struct random *random;
    struct metrics *metrics;
    struct uuid_maker uuids;
    uint64_t last_position;    /* sequenced */
    uint64_t durable_position; /* came back */
    uint32_t epoch;
    unsigned in_flight, commands_in_flight;
    bool is_full;        /* an append came back ERR_FULL; appends are refused until a probe works */
    bool is_closed;      /* shutting down: commands are refused */
    struct append *open; /* between begin and submit */
    unsigned n_written;
    struct list written; /* appends that came back, waiting for their share of a turn */
    /* Called for each durable message in position order, after done of its append. */
    void (*publish)(void *ctx, struct message *m);
    void *publish_ctx;
    struct arena spare;  /* memory of one finished append, used again */
    struct append probe; /* asks a full store whether it takes rows again */
};

void event_log_init(struct event_log *log, struct store *store, struct scheduler *scheduler,
                    struct random *random, struct metrics *metrics);
void event_log_deinit(struct event_log *log);

/* ERR_OK: the append is open; exactly one append_submit or append_abandon must follow before the
 *         caller returns to the loop.
 * ERR_BUSY: the hand-over queue is full. ERR_FULL: the disk was full a moment ago.
 * ERR_SHUTTING_DOWN: commands only. */
MUST_CHECK enum err append_begin(struct append *a, struct event_log *log, enum append_kind kind);
/* Sets e->id, position, occurred_at_ms and makes the rows EVENTS, BY_LANE, BY_TYPE. */
void append_event(struct append *a, struct event *e);
void append_put(struct append *a, enum store_db db, struct str key, struct str value);
void append_delete(struct append *a, enum store_db db, struct str key);
/* Works out later: done runs exactly once on the loop thread, never inside this call. The rows are
 * freed before done; `a` may be freed inside done. */
void append_submit(struct append *a, append_cb done);
/* Takes the open append back; positions return. */
void append_abandon(struct append *a);

/* A new UUIDv7 of now (for order ids and the like). */
struct uuid event_log_new_uuid(struct event_log *log);

/* Where the store was full: writes one row, after which appends are taken again if it worked. To be
 * called once a second. Does nothing while anything is in flight. */
void event_log_probe(struct event_log *log);

/* Works off up to max finished appends. Returns true if more wait. Called by the app's turn. */
bool event_log_run(struct event_log *log, unsigned max);
#endif
