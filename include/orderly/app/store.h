/* Port: the durable store. Ordered rows in a fixed set of databases, written in atomic groups.
 *
 * The app makes the rows (events, snapshots, lists, keys, cursors); an adapter writes them. Writes
 * become durable in the order in which they were handed over; many share one commit. An adapter is
 * asynchronous: nothing that is called on the loop thread waits for a disk.
 *
 * Adapters: infra/store/store_thread (one writer thread over an engine), infra/store/store_virtual
 * (no threads, driven by a test). */
#ifndef ORDERLY_APP_STORE_H
#define ORDERLY_APP_STORE_H
#include "orderly/app/metrics.h"
#include "orderly/base/arena.h"
#include "orderly/base/err.h"
#include "orderly/base/list.h"
#include "orderly/base/str.h"
#include <stdbool.h>
#include <stdint.h>

/* name, what lies under which key. Integers in keys are big endian. */
#define STORE_DB_MAP(X)                                                                            \
    X(EVENTS, "position(8) -> event row")                                                          \
    X(BY_LANE, "lane(16) position(8) -> nothing; everything an order caused")                      \
    X(BY_TYPE, "event type(2) position(8) -> nothing")                                             \
    X(ORDERS, "order id(16) -> order snapshot; in order of creation")                              \
    X(PARTS, "lane(16) aggregate type(1) id -> payment, reservation, shipment snapshot")           \
    X(OWNERS, "aggregate type(1) id -> lane(16); whose payment, reservation, shipment it is")      \
    X(CARTS, "cart id(16) -> cart snapshot")                                                       \
    X(PRODUCTS, "sku -> catalogue row")                                                            \
    X(STOCK, "sku -> stock row")                                                                   \
    X(ORDERS_BY_STATUS, "status(1) order id(16) -> nothing")                                       \
    X(ORDERS_BY_CUSTOMER, "customer id NUL order id(16) -> nothing")                               \
    X(UNSETTLED, "since ms(8) order id(16) -> nothing")                                            \
    X(REFUNDS_DUE, "order id(16) -> nothing")                                                      \
    X(DEADLINES, "due ms(8) order id(16) -> nothing; open payment deadlines")                      \
    X(IDEMPOTENCY, "digest(16) -> stored answer")                                                  \
    X(IDEMPOTENCY_EXPIRY, "expires ms(8) digest(16) -> nothing")                                   \
    X(LANES, "subscription(1) lane(16) -> deferred lane")                                          \
    X(DEAD_LETTERS, "dead letter id(16) -> dead letter")                                           \
    X(DEAD_LETTERS_BY_LANE, "lane(16) dead letter id(16) -> nothing")                              \
    X(IGNORED, "lane(16) position(8) subscription(1) -> state and why")                            \
    X(CURSORS, "subscription(1) -> position(8)")                                                   \
    X(SETTINGS, "name -> JSON")                                                                    \
    X(META, "name -> value")

enum store_db {
#define X(name, what) DB_##name,
    STORE_DB_MAP(X)
#undef X
        STORE_DB_COUNT
};
const char *store_db_name(enum store_db db);

#define STORE_KEY_MAX 128

struct store_row {
    enum store_db db;
    bool is_delete; /* deleting what is not there is no error */
    struct str key, value;
};

/* One atomic group of rows. Embed it in the operation that waits for it. */
struct store_write {
    /* Set by the caller; the store's until the write comes back. The rows' memory too. */
    const struct store_row *rows;
    unsigned n_rows;
    unsigned n_events; /* rows in DB_EVENTS */
    size_t n_bytes;    /* keys and values together, for the batch limit */
    bool is_command;   /* may not use the last quarter of the hand-over queue */
    /* Grows each time the app has taken back everything after an ERR_FULL. Once a write has failed,
     * the store fails every write of the same or an older epoch: positions behind a hole must never
     * become durable. */
    uint32_t epoch;

    /* Set by the store before the write comes back.
     * ERR_OK: durable. ERR_FULL: not written, nor was anything queued behind it. */
    enum err status;

    /* Store only. */
    struct list link;
};

/* A consistent enough look at the store from any thread. The memory adapter is consistent per call
 * only, so a reader checks what it finds against the row it leads to. */
struct store_view;
enum store_seek { STORE_GE, STORE_GT, STORE_LE, STORE_LT };
struct store_view_ops {
    /* ERR_OK, ERR_NOT_FOUND, ERR_DAMAGED (a sum does not agree), ERR_IO. value is copied into a. */
    enum err (*get)(const struct store_view *v, enum store_db db, struct str key, struct arena *a,
                    struct str *value);
    /* The first row at or after (last at or before) the key. found_key and value are copied into a. */
    enum err (*seek)(const struct store_view *v, enum store_db db, enum store_seek how,
                     struct str key, struct arena *a, struct str *found_key, struct str *value);
    /* A row of this list leads to one that is not there. If the view shows one moment that is damage:
     * ends the process, since the list may as well lack something. Otherwise, NULL or returning: the
     * row may have come or gone meanwhile. */
    void (*contradicts)(const struct store_view *v, enum store_db list);
    /* True once the read has taken longer than STORE_READ_MAX_MS: stop, and answer what you have. */
    bool (*is_late)(const struct store_view *v);
};
struct store_view {
    const struct store_view_ops *ops;
};
#define STORE_READ_MAX_MS 1000

struct store_read {
    /* Set by the caller. run: on any thread; may touch only this object and memory that it owns.
     * done: on the loop thread, exactly once, later, never inside store_read_start. */
    void (*run)(struct store_read *r, const struct store_view *v);
    void (*done)(struct store_read *r);

    /* Store only. */
    struct list link;
};

struct store_stats {
    uint64_t events;        /* rows in DB_EVENTS */
    uint64_t events_max;    /* 0: no bound but the disk */
    uint64_t bytes;         /* on disk, or in memory */
    uint64_t commits;       /* since start */
    uint64_t commit_events; /* events in them */
    uint32_t waiting;       /* writes handed over and not yet back */
    uint32_t commit_us_last, batch_events_last;
    double free_ratio; /* of the disk; 1.0 in memory */
    /* Of the commits whose letters were opened; loop thread only, as long as the store is. */
    const struct commit_stats *opened;
    /* Rows whose sum was found wrong since the start, and the last of them: the beginning of its key,
     * or all of it, padded with zeros. */
    uint64_t damaged;
    enum store_db damaged_db;
    uint8_t damaged_key[16];
};

/* How long commits took, and how many events they had: at most 1, 2, 4 … 4096, and more. */
#define COMMIT_SIZES 14
struct commit_stats {
    struct histogram duration; /* of the engine's work, the fsync included */
    uint64_t by_size[COMMIT_SIZES];
    uint64_t events;
};
void commit_stats_add(struct commit_stats *s, int64_t us, uint32_t n_events);

struct store;
struct store_ops {
    enum err (*write)(struct store *s, struct store_write *w);
    enum err (*read)(struct store *s, struct store_read *r);
    void (*stats)(struct store *s, struct store_stats *out);
};
struct store {
    const struct store_ops *ops;

    /* Set by the app before the first call. Runs on the loop thread with the writes that came back
     * (linked by store_write.link, in the order of hand-over); it takes them all out of the list. */
    void (*on_written)(void *ctx, struct list *writes);
    void *ctx;
};

#define STORE_QUEUE_MAX 16384          /* hand-over queue, operations */
#define STORE_QUEUE_COMMANDS_MAX 12288 /* of which commands may use */
#define STORE_BATCH_EVENTS_MAX 4096
/* Twice what so many events of small orders take, so that the events are the bound. */
#define STORE_BATCH_BYTES_MAX (4u << 20)
#define STORE_READS_WAITING_MAX 65536 /* reads in flight and waiting */

/* Hands a write over. ERR_OK: it comes back exactly once by on_written, later. ERR_BUSY: the queue
 * is full, nothing was taken. Thread: loop. */
MUST_CHECK static inline enum err store_write_start(struct store *s, struct store_write *w)
{
    return s->ops->write(s, w);
}
/* ERR_OK: done runs exactly once, later. ERR_BUSY: too many reads wait; nothing was taken. */
MUST_CHECK static inline enum err store_read_start(struct store *s, struct store_read *r)
{
    return s->ops->read(s, r);
}

static inline enum err store_get(const struct store_view *v, enum store_db db, struct str key,
                                 struct arena *a, struct str *value)
{
    return v->ops->get(v, db, key, a, value);
}
static inline void store_contradicts(const struct store_view *v, enum store_db list)
{
    if (v->ops->contradicts)
        v->ops->contradicts(v, list);
}
static inline enum err store_seek(const struct store_view *v, enum store_db db, enum store_seek how,
                                  struct str key, struct arena *a, struct str *found_key,
                                  struct str *value)
{
    return v->ops->seek(v, db, how, key, a, found_key, value);
}
#endif
