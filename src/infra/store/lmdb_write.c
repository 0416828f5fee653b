/* Writing: a batch is one transaction.
 *
 * Whatever fails before LMDB comes to its fsync has changed nothing that counts: pages that were
 * written meanwhile are free ones by the meta page that holds. What fails from the fsync on leaves
 * it open what the disk has. */
#include "lmdb_private.h"
#include "lmdb_sum.h"
#include "lmdb_sync.h"
#include "orderly/base/bytes.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A transaction on its way. */
struct batch_txn {
    struct lmdb_engine *le;
    MDB_txn *txn;
    MDB_cursor *events; /* appends without searching its place; opened at the first event */
    struct lmdb_tip tip;
    uint64_t n_events;
};

static int64_t now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- failures ------------------------------------------------------------------- */

static enum err write_is_lost(struct lmdb_engine *le, const char *what, int rc)
{
    const char *after = "the next start checks the store";

    store_say(le->failure, "%s: %s", what, mdb_strerror(rc));
    if (store_dir_mark(&le->dir, le->failure) != ERR_OK)
        after = "and the mark for the next start to check the store could not be left";
    store_say(le->failure, "%s: %s; %s", what, mdb_strerror(rc), after);
    return ERR_IO;
}

/* Of something that failed before the fsync. LMDB gives EIO also for a write that was cut short,
 * which is how a disk that is nearly full announces itself. */
static enum err write_is_refused(struct lmdb_engine *le, const char *what, int rc)
{
    switch (rc) {
    case MDB_MAP_FULL:
    case MDB_TXN_FULL: /* more pages than a transaction may hold: no write of ours is so large */
    case ENOSPC:
    case EDQUOT:
        return ERR_FULL;
    case EIO:
        return store_dir_is_full(&le->dir) ? ERR_FULL : write_is_lost(le, what, rc);
    default:
        return write_is_lost(le, what, rc);
    }
}

static enum err write_commit(struct lmdb_engine *le, MDB_txn *txn)
{
    int rc;

    lmdb_sync_begin();
    rc = mdb_txn_commit(txn);
    if (rc == 0)
        return ERR_OK;
    if (le->sees_syncs ? lmdb_sync_count() == 0 : rc == MDB_MAP_FULL)
        return write_is_refused(le, "writing pages", rc);
    return write_is_lost(le, "fsync or meta page", rc);
}

/* ---- rows ----------------------------------------------------------------------- */

static int put_event(struct batch_txn *b, const struct store_row *row)
{
    MDB_val k = val_of(row->key);
    MDB_val v = { .mv_size = row->value.n + lmdb_seal_len(DB_EVENTS) };
    uint64_t position;
    int rc = 0;

    REQUIRE(!row->is_delete);
    REQUIRE(row->key.n == 8);
    position = bytes_get_u64(row->key.p);
    REQUIRE(!b->tip.has_events || position == b->tip.position + 1);
    if (!b->events)
        rc = mdb_cursor_open(b->txn, b->le->db.dbis[DB_EVENTS], &b->events);
    if (rc == 0)
        rc = mdb_cursor_put(b->events, &k, &v, MDB_APPEND | MDB_RESERVE);
    if (rc != 0)
        return rc;
    lmdb_seal_write(DB_EVENTS, row->key, row->value, &b->tip.sum, v.mv_data, &b->tip.sum);
    b->tip.has_events = true;
    b->tip.position = position;
    b->n_events++;
    return 0;
}

static int put_row(struct batch_txn *b, const struct store_row *row)
{
    REQUIRE(row->key.n > 0);
    if (row->db == DB_EVENTS)
        return put_event(b, row);
    if (row->is_delete) {
        MDB_val k = val_of(row->key);
        int rc = mdb_del(b->txn, b->le->db.dbis[row->db], &k, NULL);

        return rc == MDB_NOTFOUND ? 0 : rc;
    }
    return lmdb_env_put(&b->le->db, b->txn, row->db, row->key, row->value);
}

static void count_rows(const struct list *writes, unsigned n[STORE_DB_COUNT])
{
    list_for_each(at, writes)
    {
        const struct store_write *w = container_of(at, struct store_write, link);

        for (unsigned i = 0; i < w->n_rows; i++) {
            REQUIRE((unsigned)w->rows[i].db < STORE_DB_COUNT);
            n[w->rows[i].db]++;
        }
    }
}

/* The rows of all writes, database by database, in their order within each: all become visible at
 * once, and a tree that is worked on for a while stays in the caches. The array is the engine's. */
static const struct store_row **group_rows(struct lmdb_engine *le, const struct list *writes,
                                           size_t *n_rows)
{
    unsigned n[STORE_DB_COUNT] = { 0 };
    size_t at[STORE_DB_COUNT];
    size_t total = 0;

    count_rows(writes, n);
    for (unsigned i = 0; i < STORE_DB_COUNT; i++) {
        at[i] = total;
        total += n[i];
    }
    if (total > le->rows_cap) {
        le->rows_cap = total * 2;
        le->rows = mem_realloc(le->rows, le->rows_cap * sizeof(const struct store_row *));
    }
    list_for_each(link, writes)
    {
        const struct store_write *w = container_of(link, struct store_write, link);

        for (unsigned i = 0; i < w->n_rows; i++)
            le->rows[at[w->rows[i].db]++] = &w->rows[i];
    }
    *n_rows = total;
    return le->rows;
}

/* Of a row that is written again and again, as a hot product's stock is, only the last counts. */
static bool is_superseded(const struct store_row *row, const struct store_row *next)
{
    return row->db == next->db && row->db != DB_EVENTS && str_eq(row->key, next->key);
}

static int put_all(struct batch_txn *b, const struct list *writes)
{
    size_t n = 0;
    const struct store_row **rows = group_rows(b->le, writes, &n);
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++)
        if (i + 1 == n || !is_superseded(rows[i], rows[i + 1]))
            rc = put_row(b, rows[i]);
    if (rc != 0)
        return rc;
    return b->n_events > 0 ? lmdb_tip_put(&b->le->db, b->txn, &b->tip) : 0;
}

/* ---- a batch -------------------------------------------------------------------- */

static bool passes_bound(const struct lmdb_engine *le, const struct list *writes)
{
    uint64_t more = 0;

    if (le->events_max == 0)
        return false;
    list_for_each(at, writes) more += container_of(at, struct store_write, link)->n_events;
    return more > 0 && le->events + more > le->events_max;
}

/* What a reader that was killed had pinned can be used again. */
static void look_after_readers(struct lmdb_engine *le)
{
    int64_t now = now_ms();

    if (now - le->readers_checked_ms < LMDB_READER_CHECK_MS)
        return;
    le->readers_checked_ms = now;
    (void)mdb_reader_check(le->db.env, NULL);
}

/* The highest page of a transaction may have been given back before it was ever written; then the
 * file would be shorter than the meta page says, as if it had been cut. */
static void keep_file_whole(struct lmdb_engine *le, uint64_t used)
{
    int fd;

    if (used <= le->file_bytes || lmdb_env_file_bytes(&le->db, &le->file_bytes) != 0)
        return;
    if (used <= le->file_bytes || mdb_env_get_fd(le->db.env, &fd) != 0)
        return;
    if (ftruncate(fd, (off_t)used) == 0)
        le->file_bytes = used;
}

void lmdb_note_sizes(struct lmdb_engine *le)
{
    uint64_t used = lmdb_env_used_bytes(&le->db);

    if (!le->is_reader)
        keep_file_whole(le, used);
    atomic_store_explicit(&le->bytes, used, memory_order_relaxed);
}

enum err lmdb_apply(struct engine *e, const struct list *writes)
{
    struct lmdb_engine *le = lmdb_of(e);
    struct batch_txn b = { .le = le, .tip = le->tip };
    enum err err;
    int rc;

    REQUIRE(!le->is_reader);
    REQUIRE(!list_is_empty(writes));
    look_after_readers(le);
    if (passes_bound(le, writes))
        return ERR_FULL;
    rc = mdb_txn_begin(le->db.env, NULL, 0, &b.txn);
    if (rc != 0)
        return write_is_lost(le, "beginning a transaction", rc);
    rc = put_all(&b, writes);
    if (rc != 0) {
        mdb_txn_abort(b.txn); /* its cursor goes with it */
        return write_is_refused(le, "writing rows", rc);
    }
    err = write_commit(le, b.txn);
    if (err != ERR_OK)
        return err;
    le->tip = b.tip;
    atomic_store_explicit(&le->events, le->events + b.n_events, memory_order_relaxed);
    lmdb_note_sizes(le);
    return ERR_OK;
}

/* ---- figures -------------------------------------------------------------------- */

/* The disk's, or the map's if that is nearer to its end. */
static uint32_t free_ppm(struct lmdb_engine *le, uint64_t bytes)
{
    int64_t now = now_ms();
    uint32_t disk = atomic_load_explicit(&le->free_ppm, memory_order_relaxed);
    uint32_t map = bytes < le->map_bytes
                       ? (uint32_t)((double)(le->map_bytes - bytes) * 1e6 / (double)le->map_bytes)
                       : 0;

    if (now - atomic_load_explicit(&le->free_looked_ms, memory_order_relaxed) >=
        LMDB_FREE_LOOK_MS) {
        atomic_store_explicit(&le->free_looked_ms, now, memory_order_relaxed);
        disk = store_dir_free_ppm(&le->dir);
        atomic_store_explicit(&le->free_ppm, disk, memory_order_relaxed);
    }
    return disk < map ? disk : map;
}

void lmdb_stats(struct engine *e, struct store_stats *out)
{
    struct lmdb_engine *le = lmdb_of(e);

    out->events = atomic_load_explicit(&le->events, memory_order_relaxed);
    out->events_max = le->events_max;
    out->bytes = atomic_load_explicit(&le->bytes, memory_order_relaxed);
    out->free_ratio = free_ppm(le, out->bytes) / 1e6;
}
