/* The rows of a day's work, made beforehand: the app itself runs on virtual time over a store in
 * memory, takes orders as fast as it can, and every write that it hands over is kept, in order. What
 * a store is given to write in a measurement is so what the server would give it. */
#ifndef BENCH_ROWS_MADE_ROWS_H
#define BENCH_ROWS_MADE_ROWS_H
#include "orderly/app/store.h"

struct made_rows {
    struct store_write *writes; /* in the order of hand-over; their links are free to use */
    size_t n_writes, writes_cap;
    uint64_t n_events, n_rows, n_bytes; /* keys and values */
    uint64_t first_order_write;         /* before it: the settings and the product */
    struct arena arena;
};

/* stock_first orders of one piece, without simulated delays, each from its POST to SHIPPED;
 * in_flight of them at a time. Stops the process if they do not all get there. */
void made_rows_init(struct made_rows *m, unsigned orders, unsigned in_flight);
void made_rows_deinit(struct made_rows *m);
#endif
