/* The application: carts, orders, contexts and the bus behind ports. Knows no loop, no disk, no
 * clock, no socket. Thread: loop. */
#ifndef ORDERLY_APP_APP_H
#define ORDERLY_APP_APP_H
#include "orderly/app/bus.h"
#include "orderly/app/command.h"
#include "orderly/app/contexts.h"
#include "orderly/app/feed.h"
#include "orderly/app/log.h"
#include "orderly/app/metrics.h"
#include "orderly/app/random.h"
#include "orderly/app/scheduler.h"
#include "orderly/app/settings.h"
#include "orderly/app/store.h"
#include "orderly/domain/pricing.h"

#define IDEMPOTENCY_KEYS_MAX_DEFAULT 10000000
#define IDEMPOTENCY_KEEP_MS (24 * 3600 * 1000LL)
#define AGGREGATE_CACHE_BYTES_DEFAULT (64u << 20)
#define PRODUCTS_MAX_DEFAULT 100000
#define PAYMENT_TIMEOUT_MS_DEFAULT (30 * 60 * 1000LL)
#define STORE_FREE_WARNS 0.10   /* of the disk, or of what the store may grow to */
#define STORE_FREE_REFUSES 0.02 /* below it new orders are refused */
#define WAITERS_MAX 10000
#define WAIT_MS_MAX 60000

struct app_config {
    unsigned contexts;          /* that this process has: CONTEXT_BIT(ORDERS) | …; at least one */
    int64_t payment_timeout_ms; /* 0: off */
    struct discount_rules discounts[FLOW_COUNT];
    struct currency default_currency;
    unsigned idempotency_keys_max;
    size_t cache_bytes_max;
    unsigned products_max;
    unsigned followers_max; /* stream clients */
    unsigned bus_window;
    unsigned retries;
    int64_t retry_base_ms, retry_max_ms;
    struct simulators simulators; /* at the first start; stored ones win */
    bool audit;                   /* one log line per message */
};
extern const struct app_config app_config_default;

struct app;

/* The ports outlive the app. Nothing runs before app_start. */
struct app *app_create(const struct app_config *config, struct scheduler *scheduler,
                       struct store *store, struct random *random, struct log *log);
/* Loads what has to be in memory (catalogue, settings, cursors, keys) from the store; ready runs
 * once, later. ERR_OK; else the server must end: ERR_DAMAGED, ERR_IO; ERR_INVALID: the store is that
 * of other contexts; ERR_FULL: there is no room to write down which contexts it is of, or where a
 * relay begins. */
void app_start(struct app *a, void (*ready)(void *ctx, enum err status), void *ctx);
/* Adds the demo's products that are missing (where Orders or Inventory is here: one needs their prices,
 * the other their stock) and, where nothing was set, its discounts; ready runs when they are durable. */
void app_add_demo(struct app *a, void (*ready)(void *ctx, enum err status), void *ctx);
/* Refuses new commands, answers waiters, lets what is in progress end; drained runs when nothing is
 * in progress and nothing is in the store's queue. Times out at the caller's. */
void app_drain(struct app *a, void (*drained)(void *ctx), void *ctx);
void app_destroy(struct app *a); /* also when not drained; the store must be closed first */

const struct metrics *app_metrics(const struct app *a);
struct metrics *app_metrics_mut(struct app *a); /* to reset maxima on scrape */
struct bus *app_bus(struct app *a);
struct event_log *app_event_log(struct app *a);
struct feed *app_feed(struct app *a);
struct catalogue *app_catalogue(struct app *a);
const struct simulators *app_simulators(const struct app *a);
struct timers *app_timers(struct app *a);
struct scheduler *app_scheduler(struct app *a);
struct store *app_store(struct app *a);
uint64_t app_idempotency_entries(const struct app *a);
/* What is kept of the settled, for those who ask again: bytes now, and how many had to leave. */
enum cached { CACHED_ORDERS, CACHED_CARTS, CACHED_COUNT };
struct cache_use {
    size_t bytes;
    uint64_t n_evicted;
};
struct cache_use app_cache_use(const struct app *a, enum cached what);
/* As many commands wait to enter as may: a new one would be refused. */
bool app_is_crowded(const struct app *a);
void app_count_refused(struct app *a, enum refused why);
/* True where new orders are taken; else why not (for readyz and the 503). Where they are taken, *why
 * is a warning or empty. */
bool app_is_ready(const struct app *a, struct str *why);

/* ---- reading --------------------------------------------------------------------------------- */

/* Waits until the order is or has been in one of the states (bits 1u << enum order_status) or is
 * final; or, with until == 0, until its sequence is beyond after_sequence. done runs once: with the
 * order as it is then, also when wait_ms is over, when WAITERS_MAX wait already, at shutdown (at
 * once), or with NULL if there is no such order. */
struct order_watch {
    struct order_id id;
    uint32_t until;
    uint64_t after_sequence;
    int64_t wait_ms; /* 0..WAIT_MS_MAX */
    void (*done)(struct order_watch *w, const struct order *o, enum err status);
    /* App only. */
    struct app *app;
    struct dossier_wait open;
    struct dossier *dossier;
    struct timer timer;
    struct list link;     /* of its dossier */
    struct list app_link; /* of all that wait */
    void (*freed)(struct order_watch *w);
    bool is_waiting, is_canceled;
};
void order_watch_start(struct order_watch *w, struct app *a);
/* The client has gone: done never runs; true: the memory may be freed now, false: it may be freed
 * when `freed` runs. */
bool order_watch_cancel(struct order_watch *w, void (*freed)(struct order_watch *w));
unsigned app_waiters(const struct app *a);

/* Shipment by id: loads its order's dossier. NULL: not found. Valid during done only. */
struct shipment_read {
    struct shipment_id id;
    void (*done)(struct shipment_read *r, const struct shipment *s, enum err status);
    /* App only. */
    struct binding_check owner;
    struct dossier_wait wait;
};
void shipment_read_start(struct shipment_read *r, struct app *a);

struct cart_read {
    struct cart_id id;
    void (*done)(struct cart_read *r, const struct cart *c, enum err status);
    /* App only. */
    struct cart_wait wait;
};
void cart_read_start(struct cart_read *r, struct app *a);
#endif
