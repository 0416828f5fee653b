/* Looking: a view is one read transaction with a cursor for each database that it touches. Idle ones
 * are kept, so that a read costs no allocation and no place in LMDB's table of readers. */
#include "lmdb_private.h"
#include "lmdb_sum.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"

struct lmdb_view {
    struct lmdb_view *next; /* while idle */
    MDB_txn *txn;
    MDB_cursor *cursors[STORE_DB_COUNT];
    bool is_current[STORE_DB_COUNT]; /* the cursor is of this look, not of one before */
};

_Noreturn void lmdb_broken(struct lmdb_engine *le, const char *why)
{
    if (le->on_broken)
        le->on_broken(le->broken_ctx, why);
    UNREACHABLE("the pages of the store are broken");
}

/* Of a look. A page that is broken ends the server: what it would answer could be wrong. */
static enum err look_err(struct lmdb_engine *le, int rc)
{
    char why[LMDB_TEXT_MAX];

    if (!lmdb_is_broken(rc))
        return lmdb_err(rc);
    store_say(why, "%s/%s: %s", le->dir.path, STORE_FILE_DATA, mdb_strerror(rc));
    lmdb_broken(le, why);
}

/* ---- views ---------------------------------------------------------------------- */

static void views_lock(struct lmdb_engine *le)
{
    int rc = pthread_mutex_lock(&le->views_lock);

    ENSURE(rc == 0);
}

static void views_unlock(struct lmdb_engine *le)
{
    int rc = pthread_mutex_unlock(&le->views_lock);

    ENSURE(rc == 0);
}

static void view_destroy(struct lmdb_view *v)
{
    for (unsigned i = 0; i < STORE_DB_COUNT; i++)
        if (v->cursors[i])
            mdb_cursor_close(v->cursors[i]);
    mdb_txn_abort(v->txn);
    mem_free(v);
}

static struct lmdb_view *view_take_idle(struct lmdb_engine *le)
{
    struct lmdb_view *v;

    views_lock(le);
    v = le->views_idle;
    if (v) {
        le->views_idle = v->next;
        le->n_views_idle--;
    }
    views_unlock(le);
    return v;
}

enum err lmdb_view_begin(struct engine *e, void **txn)
{
    struct lmdb_engine *le = lmdb_of(e);
    struct lmdb_view *v = view_take_idle(le);
    int rc;

    if (v) {
        rc = mdb_txn_renew(v->txn);
        if (rc != 0)
            view_destroy(v);
    } else {
        MDB_txn *fresh = NULL;

        rc = mdb_txn_begin(le->db.env, NULL, MDB_RDONLY, &fresh);
        if (rc == 0) {
            v = mem_zalloc(sizeof(*v));
            v->txn = fresh;
        }
    }
    if (rc != 0)
        return look_err(le, rc);
    *txn = v;
    return ERR_OK;
}

void lmdb_view_end(struct engine *e, void *txn)
{
    struct lmdb_engine *le = lmdb_of(e);
    struct lmdb_view *v = txn;

    mdb_txn_reset(v->txn);
    memset(v->is_current, 0, sizeof(v->is_current));
    views_lock(le);
    if (le->n_views_idle < LMDB_VIEWS_KEPT_MAX) {
        v->next = le->views_idle;
        le->views_idle = v;
        le->n_views_idle++;
        v = NULL;
    }
    views_unlock(le);
    if (v)
        view_destroy(v);
}

void lmdb_close_views(struct lmdb_engine *le)
{
    struct lmdb_view *v;

    while ((v = view_take_idle(le)) != NULL)
        view_destroy(v);
}

static int view_cursor(const struct lmdb_engine *le, struct lmdb_view *v, enum store_db db,
                       MDB_cursor **out)
{
    int rc = 0;

    REQUIRE((unsigned)db < STORE_DB_COUNT);
    if (!v->cursors[db])
        rc = mdb_cursor_open(v->txn, le->db.dbis[db], &v->cursors[db]);
    else if (!v->is_current[db])
        rc = mdb_cursor_renew(v->txn, v->cursors[db]);
    v->is_current[db] = rc == 0;
    *out = v->cursors[db];
    return rc;
}

/* ---- rows ----------------------------------------------------------------------- */

/* Checks what was found and copies what is wanted. */
static enum err hand_out(enum store_db db, MDB_val k, MDB_val v, struct arena *a,
                         struct str *found_key, struct str *value)
{
    struct str plain;

    if (!lmdb_seal_open(db, str_of_val(k), str_of_val(v), &plain, NULL, NULL))
        return ERR_DAMAGED;
    if (found_key)
        *found_key = arena_str(a, str_of_val(k));
    if (value)
        *value = arena_str(a, plain);
    return ERR_OK;
}

enum err lmdb_get(struct engine *e, void *txn, enum store_db db, struct str key, struct arena *a,
                  struct str *value)
{
    struct lmdb_engine *le = lmdb_of(e);
    MDB_cursor *cursor;
    MDB_val k = val_of(key);
    MDB_val v;
    int rc;

    if (key.n == 0)
        return ERR_NOT_FOUND; /* LMDB has no empty keys */
    rc = view_cursor(le, txn, db, &cursor);
    if (rc == 0)
        rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_KEY);
    if (rc != 0)
        return look_err(le, rc);
    return hand_out(db, k, v, a, NULL, value);
}

static int cursor_seek(MDB_cursor *cursor, enum store_seek how, struct str key, MDB_val *k,
                       MDB_val *v)
{
    bool is_up = how == STORE_GE || how == STORE_GT;
    bool is_there;
    int rc;

    if (key.n == 0) /* before everything */
        return is_up ? mdb_cursor_get(cursor, k, v, MDB_FIRST) : MDB_NOTFOUND;
    *k = val_of(key);
    rc = mdb_cursor_get(cursor, k, v, MDB_SET_RANGE);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return rc;
    is_there = rc == 0 && str_eq(str_of_val(*k), key);
    if (is_up)
        return is_there && how == STORE_GT ? mdb_cursor_get(cursor, k, v, MDB_NEXT) : rc;
    if (is_there && how == STORE_LE)
        return 0;
    return mdb_cursor_get(cursor, k, v, rc == 0 ? MDB_PREV : MDB_LAST);
}

enum err lmdb_seek(struct engine *e, void *txn, enum store_db db, enum store_seek how,
                   struct str key, struct arena *a, struct str *found_key, struct str *value)
{
    struct lmdb_engine *le = lmdb_of(e);
    MDB_cursor *cursor;
    MDB_val k;
    MDB_val v;
    int rc = view_cursor(le, txn, db, &cursor);

    if (rc == 0)
        rc = cursor_seek(cursor, how, key, &k, &v);
    if (rc != 0)
        return look_err(le, rc);
    return hand_out(db, k, v, a, found_key, value);
}
