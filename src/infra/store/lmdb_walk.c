#include "orderly/infra/store/lmdb_walk.h"
#include "lmdb_check.h"
#include "lmdb_private.h"
#include "lmdb_sum.h"
#include "orderly/app/row_keys.h"
#include "orderly/base/bytes.h"
#include "store_dir.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define SLICE_MS 1000   /* as long as a read transaction may be */
#define LOOK_EVERY 1024 /* rows between two looks at the clock */
#define PROGRESS_MS 250
#define WALK_CANCELED (-1) /* neither LMDB's nor an errno */

struct walker {
    const struct lmdb_env *db;
    struct lmdb_walk *walk;
    uint64_t rows_about;
    size_t page_size;
    int64_t slice_ends_ms, progress_due_ms;

    /* How far the walk has come in a database. */
    char at[STORE_KEY_MAX];
    size_t at_len; /* 0: at its beginning */

    /* The chain up to the last event. */
    bool has_events;
    uint64_t position;
    struct digest16 sum;
    uint32_t n_epochs; /* entered */
    bool knows_next;   /* the epoch behind those, or that there is none */
    bool has_next;
    struct lmdb_epoch next;
};

static int64_t now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- damage --------------------------------------------------------------------- */

/* key: empty where it is of no one row. */
__attribute__((format(printf, 4, 5))) static void damage(struct walker *w, enum store_db db,
                                                         struct str key, const char *fmt, ...)
{
    char what[LMDB_TEXT_MAX];
    char row[ROW_KEY_TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    if (w->walk->on_damage)
        w->walk->on_damage(w->walk->ctx, db, key, what);
    if (w->walk->n_damaged++ > 0)
        return;
    row_key_text(db, key, row);
    if (db == STORE_DB_COUNT)
        store_say(w->walk->first_damage, "%s", what);
    else if (key.n == 0 || db == DB_EVENTS) /* which says its position by itself */
        store_say(w->walk->first_damage, "%s: %s", store_db_name(db), what);
    else
        store_say(w->walk->first_damage, "%s, row %s: %s", store_db_name(db), row, what);
}

/* ---- the chain ------------------------------------------------------------------ */

/* Epochs begin before the position that they gave first; the first one has 0 for it. None begins
 * while a server runs. */
static int enter_epochs(struct walker *w, MDB_txn *txn, uint64_t position)
{
    for (;;) {
        if (!w->knows_next) {
            int rc = lmdb_epoch_get(w->db, txn, w->n_epochs, &w->next);

            if (rc != 0 && rc != MDB_NOTFOUND)
                return rc;
            w->knows_next = true;
            w->has_next = rc == 0;
        }
        if (!w->has_next || w->next.first_position > position)
            return 0;
        lmdb_epoch_enter(&w->next, &w->sum);
        w->n_epochs++;
        w->knows_next = false;
    }
}

static int check_event(struct walker *w, MDB_txn *txn, struct str key, struct str stored)
{
    struct digest16 before;
    struct digest16 sum;
    struct str value;
    uint64_t position;
    bool has_sum = stored.n >= lmdb_seal_len(DB_EVENTS);
    bool is_sound = lmdb_seal_open(DB_EVENTS, key, stored, &value, &before, &sum);
    int rc;

    if (key.n != 8) {
        damage(w, DB_EVENTS, key, "its key is no position");
        return 0;
    }
    position = bytes_get_u64(key.p);
    rc = enter_epochs(w, txn, position);
    if (rc != 0)
        return rc;
    if (w->has_events && position != w->position + 1)
        damage(w, DB_EVENTS, key, "position %llu follows %llu", (unsigned long long)position,
               (unsigned long long)w->position);
    else if (!is_sound)
        damage(w, DB_EVENTS, key, "the sum of position %llu is wrong",
               (unsigned long long)position);
    else if (memcmp(before.b, w->sum.b, sizeof(before.b)) != 0)
        damage(w, DB_EVENTS, key, "position %llu is not chained to the one before it",
               (unsigned long long)position);
    if (!w->has_events)
        w->walk->first_position = position;
    w->has_events = true;
    w->walk->last_position = w->position = position;
    if (has_sum)
        w->sum = sum;
    if (is_sound && w->walk->on_row && !w->walk->on_row(w->walk->ctx, DB_EVENTS, key, value))
        return WALK_CANCELED;
    return 0;
}

/* txn shows the last event that was met as the last one. */
static int check_tip(struct walker *w, MDB_txn *txn)
{
    struct lmdb_tip tip;
    int rc = lmdb_tip_get(w->db, txn, &tip);

    if (rc == 0)
        rc = enter_epochs(w, txn, w->has_events ? w->position + 1 : 0);
    if (rc != 0)
        return rc;
    w->walk->epochs = w->n_epochs;
    if (tip.has_events != w->has_events || (w->has_events && tip.position != w->position))
        damage(w, DB_EVENTS, STR_NONE, "the log ends at position %llu and should end at %llu",
               (unsigned long long)w->position, (unsigned long long)tip.position);
    else if (memcmp(tip.sum.b, w->sum.b, sizeof(tip.sum.b)) != 0)
        damage(w, DB_EVENTS, STR_NONE, "the end of the chain is not that of position %llu",
               (unsigned long long)w->position);
    return 0;
}

/* ---- rows ----------------------------------------------------------------------- */

static int check_row(struct walker *w, MDB_txn *txn, enum store_db db, struct str key,
                     struct str stored)
{
    struct lmdb_walk *walk = w->walk;
    struct str value;

    walk->rows++;
    walk->rows_of[db]++;
    walk->bytes += key.n + stored.n;
    if (db == DB_EVENTS)
        return check_event(w, txn, key, stored);
    if (!lmdb_seal_open(db, key, stored, &value, NULL, NULL)) {
        damage(w, db, key, "its sum is wrong");
        return 0;
    }
    return walk->on_row && !walk->on_row(walk->ctx, db, key, value) ? WALK_CANCELED : 0;
}

static bool slice_is_over(struct walker *w)
{
    int64_t now;

    if (w->walk->rows % LOOK_EVERY != 0)
        return false;
    now = now_ms();
    if (w->walk->on_progress && now >= w->progress_due_ms) {
        w->progress_due_ms = now + PROGRESS_MS;
        w->walk->on_progress(w->walk->ctx, w->walk->rows, w->rows_about);
    }
    return now >= w->slice_ends_ms;
}

/* Behind where the walk was; the row there may be gone. */
static int go_on(struct walker *w, MDB_cursor *cursor, MDB_val *k, MDB_val *v)
{
    struct str at = { w->at, w->at_len };
    int rc;

    if (w->at_len == 0)
        return mdb_cursor_get(cursor, k, v, MDB_FIRST);
    *k = val_of(at);
    rc = mdb_cursor_get(cursor, k, v, MDB_SET_RANGE);
    if (rc == 0 && str_eq(str_of_val(*k), at))
        rc = mdb_cursor_get(cursor, k, v, MDB_NEXT);
    return rc;
}

static bool is_before(struct str a, struct str b)
{
    int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

    return order < 0 || (order == 0 && a.n < b.n);
}

/* Remembers how far the walk has come; that each key is behind the one before it says something
 * also about rows without a sum. */
static void step_to(struct walker *w, enum store_db db, struct str key)
{
    if (key.n == 0 || key.n > sizeof(w->at)) {
        damage(w, db, STR_NONE, "a key of %zu bytes", key.n);
        return;
    }
    if (w->at_len > 0 && !is_before((struct str){ w->at, w->at_len }, key))
        damage(w, db, key, "it is out of order");
    memcpy(w->at, key.p, key.n);
    w->at_len = key.n;
}

/* Where one transaction shows all of a database, its own count has to be right. */
static int check_count(struct walker *w, MDB_txn *txn, enum store_db db)
{
    MDB_stat stat;
    int rc = mdb_stat(txn, w->db->dbis[db], &stat);

    if (rc == 0 && stat.ms_entries != w->walk->rows_of[db])
        damage(w, db, STR_NONE, "has %llu rows and should have %llu",
               (unsigned long long)w->walk->rows_of[db], (unsigned long long)stat.ms_entries);
    return rc;
}

/* Going from leaf to leaf needs no branch page, a read by key does. Of each leaf the first and the
 * last key are looked for: if both lead to where they lie, so do all between them. */
static int check_found(struct walker *w, MDB_txn *txn, enum store_db db, MDB_val k)
{
    MDB_val found;
    MDB_val v;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, w->db->dbis[db], &cursor);

    if (rc != 0)
        return rc;
    found = k;
    rc = mdb_cursor_get(cursor, &found, &v, MDB_SET_KEY);
    mdb_cursor_close(cursor);
    if (rc == MDB_NOTFOUND || (rc == 0 && found.mv_data != k.mv_data)) {
        damage(w, db, str_of_val(k), "it is not found by its key");
        return 0;
    }
    return rc;
}

/* last: the key before k in this transaction; mv_size 0: none. Keys lie in their leaf page. */
static int check_leaf_border(struct walker *w, MDB_txn *txn, enum store_db db, MDB_val last,
                             MDB_val k)
{
    uintptr_t page_bits = ~(uintptr_t)(w->page_size - 1);
    int rc = 0;

    if (last.mv_size && k.mv_size &&
        ((uintptr_t)last.mv_data & page_bits) == ((uintptr_t)k.mv_data & page_bits))
        return 0;
    if (last.mv_size)
        rc = check_found(w, txn, db, last);
    if (rc == 0 && k.mv_size)
        rc = check_found(w, txn, db, k);
    return rc;
}

/* Ours are without; with one, keys would be compared in another way. */
static int check_flags(struct walker *w, MDB_txn *txn, enum store_db db)
{
    unsigned flags;
    int rc = mdb_dbi_flags(txn, w->db->dbis[db], &flags);

    if (rc == 0 && flags != 0)
        damage(w, db, STR_NONE, "its keys are in another order than ours");
    return rc;
}

/* Walks on within one transaction. *is_done: came to the end of the database. */
static int walk_slice(struct walker *w, MDB_txn *txn, MDB_cursor *cursor, enum store_db db,
                      bool *is_done)
{
    bool is_whole = w->at_len == 0;
    MDB_val last = { 0 };
    MDB_val k = { 0 };
    MDB_val v;
    int rc = go_on(w, cursor, &k, &v);

    w->slice_ends_ms = now_ms() + SLICE_MS;
    while (rc == 0) {
        rc = check_leaf_border(w, txn, db, last, k);
        if (rc != 0)
            return rc;
        step_to(w, db, str_of_val(k));
        rc = check_row(w, txn, db, str_of_val(k), str_of_val(v));
        if (rc != 0 || slice_is_over(w))
            return rc;
        last = k;
        rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    if (rc != MDB_NOTFOUND)
        return rc;
    *is_done = true;
    rc = check_leaf_border(w, txn, db, last, (MDB_val){ 0 });
    if (rc == 0)
        rc = check_flags(w, txn, db);
    if (rc == 0 && is_whole)
        rc = check_count(w, txn, db);
    return rc == 0 && db == DB_EVENTS ? check_tip(w, txn) : rc;
}

static int walk_db(struct walker *w, enum store_db db)
{
    bool is_done = false;
    int rc = 0;

    w->at_len = 0;
    while (rc == 0 && !is_done) {
        MDB_cursor *cursor;
        MDB_txn *txn;

        rc = mdb_txn_begin(w->db->env, NULL, MDB_RDONLY, &txn);
        if (rc != 0)
            return rc;
        rc = mdb_cursor_open(txn, w->db->dbis[db], &cursor);
        if (rc == 0) {
            rc = walk_slice(w, txn, cursor, db, &is_done);
            mdb_cursor_close(cursor);
        }
        mdb_txn_abort(txn);
    }
    return rc;
}

/* ---- free pages ----------------------------------------------------------------- */

static int walk_free(struct walker *w)
{
    bool is_sound;
    int rc = lmdb_walk_free(w->db, &is_sound);

    if (rc == 0 && !is_sound)
        damage(w, STORE_DB_COUNT, STR_NONE, "the list of free pages is wrong");
    return rc;
}

/* ---- all of it ------------------------------------------------------------------ */

static uint64_t count_rows(const struct lmdb_env *db)
{
    uint64_t rows = 0;
    MDB_txn *txn;

    if (mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn) != 0)
        return 0;
    for (unsigned i = 0; i < STORE_DB_COUNT; i++) {
        MDB_stat stat;

        if (mdb_stat(txn, db->dbis[i], &stat) == 0)
            rows += stat.ms_entries;
    }
    mdb_txn_abort(txn);
    return rows;
}

enum err lmdb_walk_env(const struct lmdb_env *db, struct lmdb_walk *walk)
{
    struct walker w = { .db = db, .walk = walk };
    MDB_stat stat;
    int rc = 0;

    walk->rows = walk->bytes = walk->n_damaged = 0;
    memset(walk->rows_of, 0, sizeof(walk->rows_of));
    walk->first_position = walk->last_position = 0;
    walk->epochs = 0;
    walk->first_damage[0] = '\0';
    w.rows_about = count_rows(db);
    (void)mdb_env_stat(db->env, &stat);
    w.page_size = stat.ms_psize;
    for (unsigned i = 0; i < STORE_DB_COUNT && rc == 0; i++)
        if (!walk->events_only || i == DB_EVENTS)
            rc = walk_db(&w, (enum store_db)i);
    if (rc == 0 && !walk->events_only)
        rc = walk_free(&w);
    if (rc == WALK_CANCELED)
        return ERR_CANCELED;
    if (rc != 0)
        damage(&w, STORE_DB_COUNT, STR_NONE, "after %llu rows: %s", (unsigned long long)walk->rows,
               mdb_strerror(rc));
    if (rc != 0 && !lmdb_is_broken(rc))
        return ERR_IO;
    return walk->n_damaged > 0 ? ERR_DAMAGED : ERR_OK;
}

enum err lmdb_engine_walk(struct engine *e, struct lmdb_walk *w)
{
    return lmdb_walk_env(&lmdb_of(e)->db, w);
}
