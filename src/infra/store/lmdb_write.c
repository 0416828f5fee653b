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

/* How far ahead the values of rows are asked for: they come from the caches of the loop thread. */
#define PREFETCH_ROWS 4
#define PREFETCH_BYTES 384 /* of a value; an event of a small order */
#define CACHE_LINE 64

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

static void prefetch_value(const struct row_ref *ref, const struct row_ref *end)
{
    struct str value;

    if (ref + PREFETCH_ROWS >= end)
        return;
    value = ref[PREFETCH_ROWS].row->value;
    for (size_t at = 0; at < value.n && at < PREFETCH_BYTES; at += CACHE_LINE)
        __builtin_prefetch(value.p + at);
}

/* Of a row that is written again and again, as a hot product's stock is, only the last counts. */
static bool is_superseded(const struct row_ref *ref, const struct row_ref *end)
{
    return ref + 1 < end && row_ref_same_key(ref, ref + 1);
}

static int put_events(struct batch_txn *b, const struct row_ref *ref, const struct row_ref *end)
{
    int rc = 0;

    for (; ref < end && rc == 0; ref++) {
        prefetch_value(ref, end);
        rc = put_event(b, ref->row);
    }
    return rc;
}

/* Those of the database that stay or those that go, by one cursor: the next key is mostly in the page
 * where the last one was, and is not searched from the root. */
static int write_rows(struct batch_txn *b, enum store_db db, const struct row_ref *ref,
                      const struct row_ref *end, bool are_deletes)
{
    MDB_cursor *cursor = NULL;
    int rc = 0;

    for (; ref < end && rc == 0; ref++) {
        const struct store_row *row = ref->row;

        prefetch_value(ref, end);
        if (row->is_delete != are_deletes || is_superseded(ref, end))
            continue;
        REQUIRE(row->key.n > 0);
        if (!cursor)
            rc = mdb_cursor_open(b->txn, b->le->db.dbis[db], &cursor);
        if (rc == 0)
            rc = are_deletes ? lmdb_env_del_at(cursor, row->key)
                             : lmdb_env_put_at(cursor, db, row->key, row->value);
    }
    if (cursor)
        mdb_cursor_close(cursor);
    return rc;
}

/* All become visible at once, so within the batch they are written database by database; and of each
 * the deletions first, because no key is in both. */
static int put_all(struct batch_txn *b, const struct list *writes)
{
    struct row_sort *rows = &b->le->rows;
    int rc = 0;

    row_sort_take(rows, writes);
    for (unsigned i = 0; i < STORE_DB_COUNT && rc == 0; i++) {
        const struct row_ref *first = rows->refs + rows->first[i];
        const struct row_ref *end = rows->refs + rows->first[i + 1];

        if (i == DB_EVENTS) {
            rc = put_events(b, first, end);
            continue;
        }
        rc = write_rows(b, (enum store_db)i, first, end, true);
        if (rc == 0)
            rc = write_rows(b, (enum store_db)i, first, end, false);
    }
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

    if (now - le->readers_checked_ms <
        (le->has_grown ? LMDB_READER_CHECK_GROWN_MS : LMDB_READER_CHECK_MS))
        return;
    le->readers_checked_ms = now;
    le->has_grown = false;
    (void)mdb_reader_check(le->db.env, NULL);
}

/* The highest page of a transaction may have been given back before it was ever written; then the
 * file would be shorter than the meta page says, as if it had been cut. */
static void keep_file_whole(struct lmdb_engine *le, uint64_t used)
{
    if (used <= le->file_bytes || lmdb_env_file_bytes(&le->db, &le->file_bytes) != 0)
        return;
    if (used > le->file_bytes && ftruncate(lmdb_env_fd(le->db.env), (off_t)used) == 0)
        le->file_bytes = used;
}

void lmdb_note_sizes(struct lmdb_engine *le)
{
    uint64_t used = lmdb_env_used_bytes(&le->db);

    if (!le->is_reader)
        keep_file_whole(le, used);
    le->has_grown |= used > atomic_load_explicit(&le->bytes, memory_order_relaxed);
    atomic_store_explicit(&le->bytes, used, memory_order_relaxed);
}

static enum err apply_once(struct lmdb_engine *le, const struct list *writes)
{
    struct batch_txn b = { .le = le, .tip = le->tip };
    enum err err;
    int rc;

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

/* Before anybody hears that the store is full: is it for a reader who is gone? */
static bool has_dead_readers(struct lmdb_engine *le)
{
    int n_dead = 0;

    return mdb_reader_check(le->db.env, &n_dead) == 0 && n_dead > 0;
}

enum err lmdb_apply(struct engine *e, const struct list *writes)
{
    struct lmdb_engine *le = lmdb_of(e);
    enum err err;

    REQUIRE(!le->is_reader);
    REQUIRE(!list_is_empty(writes));
    look_after_readers(le);
    if (passes_bound(le, writes))
        return ERR_FULL;
    err = apply_once(le, writes);
    if (err == ERR_FULL && has_dead_readers(le))
        err = apply_once(le, writes);
    return err;
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
    out->damaged = atomic_load_explicit(&le->n_damaged, memory_order_relaxed);
    out->damaged_db = atomic_load_explicit(&le->damaged_db, memory_order_relaxed);
    for (size_t i = 0; i < ARRAY_LEN(le->damaged_key); i++) {
        uint64_t word = atomic_load_explicit(&le->damaged_key[i], memory_order_relaxed);

        memcpy(out->damaged_key + sizeof(word) * i, &word, sizeof(word));
    }
}
