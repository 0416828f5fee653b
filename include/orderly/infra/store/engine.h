/* Port inside the store: a synchronous engine, under the asynchronous adapters of app/store.h.
 *
 * An engine knows neither threads nor queues of its own. One thread at a time calls apply; any
 * number of threads look at the same time, each in a view of its own. Engines: memory (memory.h),
 * LMDB. One conformance suite runs over all of them. */
#ifndef ORDERLY_INFRA_STORE_ENGINE_H
#define ORDERLY_INFRA_STORE_ENGINE_H
#include "orderly/app/store.h"
#include <stdint.h>

struct engine;

struct engine_ops {
    /* Writes the rows of all store_writes in the list (linked by store_write.link, not empty), in
     * their order, all or nothing, and returns when they are durable. It leaves the list and the
     * writes' status alone.
     *
     * ERR_OK:   all of it is durable.
     * ERR_FULL: nothing of it was written, and the engine goes on as if it had not been asked.
     * Anything else: it is not known what was written; apply is not called again.
     * Thread:   writer. */
    enum err (*apply)(struct engine *e, const struct list *writes);

    /* Begins a look, which shows whole store_writes only. An engine with transactions puts its read
     * transaction into *txn and shows one moment; one without leaves NULL and shows what is there at
     * the time of each call. When it fails view_end is not called.
     * Thread: any; the view stays on the thread that began it. */
    enum err (*view_begin)(struct engine *e, void **txn);
    void (*view_end)(struct engine *e, void *txn);

    /* As in store_view_ops. An empty key lies before all others. found_key and value may be NULL;
     * what is copied into the arena has a NUL behind it that is not counted. */
    enum err (*get)(struct engine *e, void *txn, enum store_db db, struct str key, struct arena *a,
                    struct str *value);
    enum err (*seek)(struct engine *e, void *txn, enum store_db db, enum store_seek how,
                     struct str key, struct arena *a, struct str *found_key, struct str *value);

    /* As in store_view_ops; NULL where a look does not show one moment. */
    void (*contradicts)(struct engine *e, enum store_db list);

    /* Fills events, events_max, bytes and free_ratio. Thread: any; must not wait for a write. */
    void (*stats)(struct engine *e, struct store_stats *out);
};

struct engine {
    const struct engine_ops *ops;
};

/* Opens a view, runs the read on it, and closes it. The view is late from late_at_us of the clock
 * now_us (monotonic) on. If the engine gives no view, its calls answer why. Thread: any. */
void engine_run_read(struct engine *e, int64_t (*now_us)(void), int64_t late_at_us,
                     struct store_read *read);
#endif
