/* The app itself on virtual time, over any engine, taking orders as fast as it can: stock_first orders
 * of one piece, without simulated delays, each from its POST to SHIPPED. */
#ifndef BENCH_ROWS_BUSY_APP_H
#define BENCH_ROWS_BUSY_APP_H
#include "orderly/infra/store/engine.h"

struct busy_app_config {
    struct engine *engine;      /* empty, and borrowed until busy_app_destroy */
    unsigned in_flight;         /* orders that are under way at a time */
    unsigned commit_writes_max; /* as store_virtual_run takes them */
    unsigned stock;             /* pieces of the one product */
    int64_t wall_ms;            /* when it begins; 0: 2026-11-20T12:00:00Z */
};

/* The app has started and has its product. Stops the process if anything is refused. */
struct busy_app *busy_app_create(const struct busy_app_config *config);
/* Returns when all of them are SHIPPED. progress may be NULL; it is told the events so far. */
void busy_app_place(struct busy_app *b, unsigned orders,
                    void (*progress)(void *ctx, uint64_t events), void *ctx);
/* Ends the app as a server ends: what nobody waits for, such as cursors, is written. */
void busy_app_destroy(struct busy_app *b);
#endif
