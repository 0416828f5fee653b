#include "orderly/infra/store/lmdb_look.h"
#include "lmdb_check.h"
#include "lmdb_private.h"
#include "lmdb_sum.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include <string.h>
#include <time.h>

#define MOMENT_MS 1000
#define CLOCK_EVERY 256 /* questions between two looks at the clock */

struct lmdb_look {
    const struct lmdb_env *db;
    struct lmdb_env own; /* of lmdb_look_open_file */
    bool has_own;
    MDB_txn *txn;
    MDB_cursor *cursors[STORE_DB_COUNT]; /* for single rows: near the last one it is quick */
    bool is_current[STORE_DB_COUNT];
    int64_t old_at_ms;
    unsigned n_asked;
    bool is_old, is_broken, is_restless;
    char why[LMDB_TEXT_MAX];
};

static int64_t now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static enum err look_failed(struct lmdb_look *l, int rc)
{
    if (rc == MDB_NOTFOUND)
        return ERR_NOT_FOUND;
    l->is_broken = lmdb_is_broken(rc);
    store_say(l->why, "%s", mdb_strerror(rc));
    return ERR_IO;
}

/* ---- life ----------------------------------------------------------------------- */

struct lmdb_look *lmdb_look_of_env(const struct lmdb_env *db)
{
    struct lmdb_look *l = mem_zalloc(sizeof(*l));

    l->db = db;
    return l;
}

struct lmdb_look *lmdb_look_create(struct engine *e)
{
    return lmdb_look_of_env(&lmdb_of(e)->db);
}

/* Only what this program can read. */
static enum err look_open_all(struct lmdb_look *l, MDB_txn *txn, char *why)
{
    uint32_t version;
    enum err err = lmdb_check_schema(&l->own, txn, &version, why);
    int rc;

    if (err == ERR_OK && version < LMDB_SCHEMA) {
        store_say(why, "it is of an older version: start the server once");
        err = ERR_INVALID;
    }
    if (err != ERR_OK)
        return err;
    rc = lmdb_env_open_all(&l->own, txn, false);
    if (rc == 0)
        return ERR_OK;
    store_say(why, "%s", mdb_strerror(rc));
    return rc == MDB_NOTFOUND ? ERR_DAMAGED : lmdb_err(rc);
}

static enum err look_open(struct lmdb_look *l, const char *file, char *why)
{
    enum err err;
    MDB_txn *txn;
    int rc = lmdb_env_open(&l->own, file, MDB_RDONLY | MDB_NOLOCK | MDB_NOSUBDIR, 0);

    l->has_own = rc == 0;
    if (rc == 0)
        rc = mdb_txn_begin(l->own.env, NULL, MDB_RDONLY, &txn);
    if (rc == 0) {
        err = look_open_all(l, txn, why);
        if (err != ERR_OK) {
            mdb_txn_abort(txn);
            return err;
        }
        rc = mdb_txn_commit(txn); /* the databases stay open */
    }
    if (rc == 0)
        return ERR_OK;
    store_say(why, "%s", mdb_strerror(rc));
    return lmdb_err(rc);
}

enum err lmdb_look_open_file(const char *file, struct lmdb_look **out, char *why)
{
    struct lmdb_look *l = lmdb_look_of_env(NULL);
    char what[LMDB_TEXT_MAX] = "";
    enum err err;

    l->db = &l->own;
    err = look_open(l, file, what);
    if (err == ERR_OK && !lmdb_look_has_sound_metas(l)) {
        store_say(what, "its meta pages do not belong together");
        err = ERR_DAMAGED;
    }
    *out = err == ERR_OK ? l : NULL;
    if (err == ERR_OK)
        return ERR_OK;
    store_say(why, "%s: %s", file, what);
    lmdb_look_destroy(l);
    return err;
}

void lmdb_look_destroy(struct lmdb_look *l)
{
    for (unsigned i = 0; i < STORE_DB_COUNT; i++)
        if (l->cursors[i])
            mdb_cursor_close(l->cursors[i]);
    if (l->txn)
        mdb_txn_abort(l->txn);
    if (l->has_own)
        lmdb_env_close(&l->own);
    mem_free(l);
}

enum err lmdb_look_renew(struct lmdb_look *l)
{
    int rc;

    memset(l->is_current, 0, sizeof(l->is_current));
    if (l->txn) {
        mdb_txn_reset(l->txn);
        rc = mdb_txn_renew(l->txn);
    } else {
        rc = mdb_txn_begin(l->db->env, NULL, MDB_RDONLY, &l->txn);
        if (rc != 0)
            l->txn = NULL;
    }
    l->old_at_ms = now_ms() + MOMENT_MS;
    l->is_old = false;
    l->n_asked = 0;
    return rc == 0 ? ERR_OK : look_failed(l, rc);
}

bool lmdb_look_is_old(struct lmdb_look *l)
{
    if (++l->n_asked % CLOCK_EVERY == 0)
        l->is_old = now_ms() >= l->old_at_ms;
    return l->is_old || l->is_restless;
}

void lmdb_look_be_restless(struct lmdb_look *l)
{
    l->is_restless = true;
}

const char *lmdb_look_why(const struct lmdb_look *l, bool *is_broken)
{
    if (is_broken)
        *is_broken = l->is_broken;
    return l->why;
}

/* ---- single rows ---------------------------------------------------------------- */

static enum err row_of(enum store_db db, MDB_val k, MDB_val v, struct lmdb_row *out)
{
    out->key = str_of_val(k);
    out->stored = str_of_val(v);
    out->value = STR_NONE;
    return lmdb_seal_open(db, out->key, out->stored, &out->value, NULL, NULL) ? ERR_OK
                                                                              : ERR_DAMAGED;
}

static int look_cursor(struct lmdb_look *l, enum store_db db)
{
    int rc = 0;

    REQUIRE(l->txn != NULL);
    if (!l->cursors[db])
        rc = mdb_cursor_open(l->txn, l->db->dbis[db], &l->cursors[db]);
    else if (!l->is_current[db])
        rc = mdb_cursor_renew(l->txn, l->cursors[db]);
    l->is_current[db] = rc == 0;
    return rc;
}

enum err lmdb_look_get(struct lmdb_look *l, enum store_db db, struct str key, struct lmdb_row *out)
{
    MDB_val k = val_of(key);
    MDB_val v;
    int rc;

    if (key.n == 0)
        return ERR_NOT_FOUND; /* LMDB has no empty keys */
    rc = look_cursor(l, db);
    if (rc == 0)
        rc = mdb_cursor_get(l->cursors[db], &k, &v, MDB_SET_KEY);
    return rc == 0 ? row_of(db, k, v, out) : look_failed(l, rc);
}

uint64_t lmdb_look_count(struct lmdb_look *l, enum store_db db)
{
    MDB_stat stat;

    return mdb_stat(l->txn, l->db->dbis[db], &stat) == 0 ? stat.ms_entries : 0;
}

uint64_t lmdb_look_bytes(const struct lmdb_look *l)
{
    return lmdb_env_used_bytes(l->db);
}

/* ---- scans ---------------------------------------------------------------------- */

static void scan_found(struct lmdb_scan *s, int rc, MDB_val k, MDB_val v)
{
    if (rc != 0) {
        s->status = look_failed(s->look, rc);
        s->is_behind = true; /* of the last row that was met */
        return;
    }
    s->status = row_of(s->db, k, v, &s->row);
    s->is_behind = false;
    s->at_len = s->row.key.n < sizeof(s->at) ? s->row.key.n : sizeof(s->at);
    memcpy(s->at, s->row.key.p, s->at_len);
}

static void scan_seek(struct lmdb_scan *s, struct str key, bool is_behind)
{
    MDB_val k = val_of(key);
    MDB_val v;
    int rc = mdb_cursor_get(s->cursor, &k, &v, key.n ? MDB_SET_RANGE : MDB_FIRST);

    if (rc == 0 && is_behind && str_eq(str_of_val(k), key))
        rc = mdb_cursor_get(s->cursor, &k, &v, MDB_NEXT);
    scan_found(s, rc, k, v);
}

void lmdb_scan_begin(struct lmdb_scan *s, struct lmdb_look *l, enum store_db db, struct str key)
{
    MDB_cursor *cursor = NULL;
    int rc;

    REQUIRE(l->txn != NULL);
    *s = (struct lmdb_scan){ .look = l, .db = db };
    rc = mdb_cursor_open(l->txn, l->db->dbis[db], &cursor);
    s->cursor = cursor;
    if (rc != 0)
        s->status = look_failed(l, rc);
    else
        lmdb_scan_seek(s, key);
}

void lmdb_scan_seek(struct lmdb_scan *s, struct str key)
{
    REQUIRE(key.n <= sizeof(s->at));
    if (key.n)
        memmove(s->at, key.p, key.n);
    s->at_len = key.n;
    scan_seek(s, (struct str){ s->at, s->at_len }, false);
}

void lmdb_scan_next(struct lmdb_scan *s)
{
    MDB_val k;
    MDB_val v;
    int rc = mdb_cursor_get(s->cursor, &k, &v, MDB_NEXT);

    scan_found(s, rc, k, v);
}

void lmdb_scan_refresh(struct lmdb_scan *s)
{
    char at[STORE_KEY_MAX];
    int rc;

    if (s->status == ERR_IO)
        return;
    rc = mdb_cursor_renew(s->look->txn, s->cursor);
    memcpy(at, s->at, s->at_len);
    if (rc != 0)
        s->status = look_failed(s->look, rc);
    else
        scan_seek(s, (struct str){ at, s->at_len }, s->is_behind);
}

void lmdb_scan_end(struct lmdb_scan *s)
{
    if (s->cursor)
        mdb_cursor_close(s->cursor);
    s->cursor = NULL;
}

/* ---- the whole ------------------------------------------------------------------ */

enum err lmdb_look_walk(struct lmdb_look *l, struct lmdb_walk *w)
{
    return lmdb_walk_env(l->db, w);
}

bool lmdb_look_has_sound_metas(struct lmdb_look *l)
{
    return lmdb_check_env_metas(l->db->env);
}
