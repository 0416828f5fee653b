/* Locking: the writer holds the lock once per store_write, so that a look never sees half of one
 * and never waits for a whole batch. A look holds it for one get or seek. The lock prefers the
 * writer: readers that follow each other without a gap would otherwise keep it out for good. */
#include "orderly/infra/store/memory.h"
#include "btree.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include <pthread.h>
#include <stdatomic.h>

struct memory_engine {
    struct engine engine;
    uint64_t events_max;

    /* Guarded by lock; changed by the writer only, so the writer may read them without it. */
    pthread_rwlock_t lock;
    struct btree trees[STORE_DB_COUNT];

    /* Written by the writer, read by anybody; each stands for itself, so relaxed order is enough. */
    _Atomic uint64_t events, bytes;
};

_Static_assert((int)STORE_GE == (int)BTREE_GE && (int)STORE_GT == (int)BTREE_GT &&
                   (int)STORE_LE == (int)BTREE_LE && (int)STORE_LT == (int)BTREE_LT,
               "the ways to seek have the same numbers");
_Static_assert(STORE_KEY_MAX == BTREE_KEY_MAX, "the tree takes every key");

static struct memory_engine *memory_of(struct engine *e)
{
    return container_of(e, struct memory_engine, engine);
}

static const struct btree *memory_tree(const struct memory_engine *m, enum store_db db)
{
    REQUIRE((unsigned)db < STORE_DB_COUNT);
    return &m->trees[db];
}

static void memory_lock(struct memory_engine *m, int (*how)(pthread_rwlock_t *))
{
    int rc = how(&m->lock);

    ENSURE(rc == 0);
}

static void memory_unlock(struct memory_engine *m)
{
    int rc = pthread_rwlock_unlock(&m->lock);

    ENSURE(rc == 0);
}

/* ---- writing ------------------------------------------------------------------ */

static void memory_apply_row(struct memory_engine *m, const struct store_row *row)
{
    REQUIRE((unsigned)row->db < STORE_DB_COUNT);
    if (row->is_delete)
        (void)btree_delete(&m->trees[row->db], row->key);
    else
        (void)btree_put(&m->trees[row->db], row->key, row->value);
}

static void memory_note_stats(struct memory_engine *m)
{
    uint64_t bytes = 0;

    for (unsigned db = 0; db < STORE_DB_COUNT; db++)
        bytes += m->trees[db].bytes;
    atomic_store_explicit(&m->events, m->trees[DB_EVENTS].len, memory_order_relaxed);
    atomic_store_explicit(&m->bytes, bytes, memory_order_relaxed);
}

static enum err memory_apply(struct engine *e, const struct list *writes)
{
    struct memory_engine *m = memory_of(e);
    uint64_t events = m->trees[DB_EVENTS].len;

    /* The only thing that can fail is the bound, so it is checked before the first row. */
    list_for_each(at, writes) events += container_of(at, struct store_write, link)->n_events;
    if (events > m->events_max && events > m->trees[DB_EVENTS].len)
        return ERR_FULL;
    list_for_each(at, writes)
    {
        const struct store_write *w = container_of(at, struct store_write, link);

        memory_lock(m, pthread_rwlock_wrlock);
        for (unsigned i = 0; i < w->n_rows; i++)
            memory_apply_row(m, &w->rows[i]);
        memory_unlock(m);
    }
    memory_note_stats(m);
    return ERR_OK;
}

/* ---- looking ------------------------------------------------------------------ */

static enum err memory_view_begin(struct engine *e, void **txn)
{
    (void)e;
    *txn = NULL;
    return ERR_OK;
}

static void memory_view_end(struct engine *e, void *txn)
{
    (void)e;
    (void)txn;
}

static void copy_out(struct arena *a, struct str s, struct str *out)
{
    if (out)
        *out = arena_str(a, s);
}

static enum err memory_get(struct engine *e, void *txn, enum store_db db, struct str key,
                           struct arena *a, struct str *value)
{
    struct memory_engine *m = memory_of(e);
    struct str found;
    bool has;

    (void)txn;
    memory_lock(m, pthread_rwlock_rdlock);
    has = btree_get(memory_tree(m, db), key, &found);
    if (has)
        copy_out(a, found, value);
    memory_unlock(m);
    return has ? ERR_OK : ERR_NOT_FOUND;
}

static enum err memory_seek(struct engine *e, void *txn, enum store_db db, enum store_seek how,
                            struct str key, struct arena *a, struct str *found_key,
                            struct str *value)
{
    struct memory_engine *m = memory_of(e);
    struct str k;
    struct str v;
    bool has;

    (void)txn;
    memory_lock(m, pthread_rwlock_rdlock);
    has = btree_seek(memory_tree(m, db), (enum btree_seek)how, key, &k, &v);
    if (has) {
        copy_out(a, k, found_key);
        copy_out(a, v, value);
    }
    memory_unlock(m);
    return has ? ERR_OK : ERR_NOT_FOUND;
}

/* ---- life --------------------------------------------------------------------- */

static void memory_stats(struct engine *e, struct store_stats *out)
{
    struct memory_engine *m = memory_of(e);

    out->events = atomic_load_explicit(&m->events, memory_order_relaxed);
    out->events_max = m->events_max;
    out->bytes = atomic_load_explicit(&m->bytes, memory_order_relaxed);
    out->free_ratio = 1.0;
}

static const struct engine_ops memory_ops = {
    .apply = memory_apply,
    .view_begin = memory_view_begin,
    .view_end = memory_view_end,
    .get = memory_get,
    .seek = memory_seek,
    .stats = memory_stats,
};

struct engine *memory_engine_create(uint64_t events_max)
{
    struct memory_engine *m = mem_zalloc(sizeof(*m));
    pthread_rwlockattr_t attr;
    int rc;

    REQUIRE(events_max > 0);
    m->engine.ops = &memory_ops;
    m->events_max = events_max;
    rc = pthread_rwlockattr_init(&attr);
    ENSURE(rc == 0);
#ifdef PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP
    rc = pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    ENSURE(rc == 0);
#endif
    rc = pthread_rwlock_init(&m->lock, &attr);
    ENSURE(rc == 0);
    (void)pthread_rwlockattr_destroy(&attr);
    for (unsigned db = 0; db < STORE_DB_COUNT; db++)
        btree_init(&m->trees[db]);
    memory_note_stats(m);
    return &m->engine;
}

void memory_engine_destroy(struct engine *e)
{
    struct memory_engine *m = memory_of(e);

    for (unsigned db = 0; db < STORE_DB_COUNT; db++)
        btree_deinit(&m->trees[db]);
    (void)pthread_rwlock_destroy(&m->lock);
    mem_free(m);
}
