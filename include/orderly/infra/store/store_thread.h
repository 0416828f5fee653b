/* The asynchronous store of the server: one writer thread over an engine, reads on libuv's pool.
 *
 * Writes of one turn of the loop are handed to the writer together, just before the loop looks for
 * I/O and just after; the writer takes everything that waits, up to a batch, and posts one letter
 * back for it. The busier the server, the bigger the batches.
 *
 * Failure modes
 *   ERR_FULL from the engine: the batch, and everything that was handed over behind it until the
 *   loop thread hears of it, comes back with ERR_FULL, in order, in one call of on_written. Then
 *   the store goes on. Whoever counts positions may so go back to the last durable one.
 *   Any other failure: on_fatal runs, on the loop thread; no write comes back any more and every
 *   start is refused with ERR_IO. The server's on_fatal ends the process. */
#ifndef ORDERLY_INFRA_STORE_STORE_THREAD_H
#define ORDERLY_INFRA_STORE_STORE_THREAD_H
#include "orderly/infra/store/engine.h"
#include <uv.h>

struct store_thread;

typedef void (*store_fatal_cb)(void *ctx, enum err why);
typedef void (*store_thread_close_cb)(void *ctx);

/* The engine is borrowed and is used by the writer thread and the pool until the store is closed. */
struct store_thread *store_thread_create(uv_loop_t *loop, struct engine *engine,
                                         store_fatal_cb on_fatal, void *ctx);
struct store *store_thread_port(struct store_thread *s);

/* From now on every start is refused with ERR_SHUTTING_DOWN. What was taken comes back first; then
 * the writer ends, s is freed, and on_closed runs, always later. Thread: loop. */
void store_thread_close(struct store_thread *s, store_thread_close_cb on_closed, void *ctx);
#endif
