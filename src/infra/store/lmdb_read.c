/* Looking: a view is one read transaction, and for each database that it touches a tree of pages
 * that were checked (lmdb_pages.h). Idle ones are kept, so that a read costs no allocation and no
 * place in LMDB's table of readers.
 *
 * The rule for damage, for all who read: a row whose sum is wrong is ERR_DAMAGED, if it is an event,
 * a snapshot, a stored answer or anything else that stands for itself: the caller refuses this one
 * thing, and the rest is served. A row of a list whose sum is wrong, and pages that do not fit
 * together, end the server (on_broken): a list would be answered without what is missing from it.
 * "Not there" is said only between two rows that are whole. A row of a list that leads nowhere ends
 * the server too (store_contradicts): a look shows one moment. */
#include "lmdb_pages.h"
#include "lmdb_private.h"
#include "lmdb_sum.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"

struct lmdb_view {
    struct lmdb_view *next; /* while idle */
    MDB_txn *txn;
    MDB_cursor *names; /* of LMDB's own database of databases */
    struct lmdb_map map;
    bool is_mapped;                  /* map is of this look */
    bool is_current[STORE_DB_COUNT]; /* the tree is of this look, not of one before */
    struct lmdb_tree trees[STORE_DB_COUNT];
};

_Noreturn void lmdb_broken(struct lmdb_engine *le, const char *why)
{
    if (le->on_broken)
        le->on_broken(le->broken_ctx, why);
    UNREACHABLE("the pages of the store are broken");
}

/* Of a look that went wrong in LMDB. */
static enum err look_err(struct lmdb_engine *le, int rc)
{
    char why[LMDB_TEXT_MAX];

    if (!lmdb_is_broken(rc))
        return lmdb_err(rc);
    store_say(why, "%s: %s", STORE_FILE_DATA, mdb_strerror(rc));
    lmdb_broken(le, why);
}

/* Of one that went wrong in the pages of a database. */
static enum err tree_err(struct lmdb_engine *le, enum store_db db, const struct lmdb_tree *t,
                         int rc)
{
    char why[LMDB_TEXT_MAX];

    if (rc == MDB_NOTFOUND)
        return ERR_NOT_FOUND;
    store_say(why, "%s: %s, %s", STORE_FILE_DATA, store_db_name(db), t->why);
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
    if (v->names)
        mdb_cursor_close(v->names);
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

/* Takes the place that the last look left, or one of its own, be it that of a dead process. */
static int view_open(struct lmdb_engine *le, struct lmdb_view *v)
{
    int n_dead = 0;
    int rc;

    if (v->txn) {
        rc = mdb_txn_renew(v->txn);
        return rc == 0 ? mdb_cursor_renew(v->txn, v->names) : rc;
    }
    rc = mdb_txn_begin(le->db.env, NULL, MDB_RDONLY, &v->txn);
    if (rc == MDB_READERS_FULL && mdb_reader_check(le->db.env, &n_dead) == 0 && n_dead > 0)
        rc = mdb_txn_begin(le->db.env, NULL, MDB_RDONLY, &v->txn);
    if (rc != 0)
        v->txn = NULL;
    return rc == 0 ? mdb_cursor_open(v->txn, le->db.names, &v->names) : rc;
}

enum err lmdb_view_begin(struct engine *e, void **txn)
{
    struct lmdb_engine *le = lmdb_of(e);
    struct lmdb_view *v = view_take_idle(le);
    int rc;

    if (!v)
        v = mem_zalloc(sizeof(*v));
    rc = view_open(le, v);
    if (rc != 0) {
        view_destroy(v);
        return look_err(le, rc);
    }
    *txn = v;
    return ERR_OK;
}

void lmdb_view_end(struct engine *e, void *txn)
{
    struct lmdb_engine *le = lmdb_of(e);
    struct lmdb_view *v = txn;

    mdb_txn_reset(v->txn);
    v->is_mapped = false;
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

void lmdb_reserve_views(struct lmdb_engine *le)
{
    void *txns[LMDB_VIEWS_KEPT_MAX];
    unsigned n = 0;

    while (n < ARRAY_LEN(txns) && lmdb_view_begin(&le->engine, &txns[n]) == ERR_OK)
        n++;
    while (n > 0)
        lmdb_view_end(&le->engine, txns[--n]);
}

void lmdb_close_views(struct lmdb_engine *le)
{
    struct lmdb_view *v;

    while ((v = view_take_idle(le)) != NULL)
        view_destroy(v);
}

static enum err view_tree(struct lmdb_engine *le, struct lmdb_view *v, enum store_db db,
                          struct lmdb_tree **out)
{
    struct lmdb_tree *t = &v->trees[db];
    MDB_val name = val_of(str_of(store_db_name(db)));
    MDB_val record;
    int rc;

    REQUIRE((unsigned)db < STORE_DB_COUNT);
    *out = t;
    if (v->is_current[db])
        return ERR_OK;
    rc = mdb_cursor_get(v->names, &name, &record, MDB_SET_KEY);
    if (rc != 0)
        return look_err(le, rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc);
    if (!v->is_mapped && !lmdb_map_find(&v->map, le->db.env, record))
        return look_err(le, MDB_CORRUPTED);
    v->is_mapped = true;
    rc = lmdb_tree_init(t, &v->map, record);
    if (rc != 0)
        return tree_err(le, db, t, rc);
    v->is_current[db] = true;
    return ERR_OK;
}

/* ---- rows ----------------------------------------------------------------------- */

static void note_damaged(struct lmdb_engine *le, enum store_db db, struct str key)
{
    uint64_t words[2] = { 0 };

    memcpy(words, key.p, key.n < sizeof(words) ? key.n : sizeof(words));
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        atomic_store_explicit(&le->damaged_key[i], words[i], memory_order_relaxed);
    atomic_store_explicit(&le->damaged_db, db, memory_order_relaxed);
    atomic_fetch_add_explicit(&le->n_damaged, 1, memory_order_relaxed);
}

/* The row where the tree stands, whole or not at all. */
static enum err whole_row(struct lmdb_engine *le, enum store_db db, struct lmdb_tree *t,
                          struct str *key, struct str *plain)
{
    char why[LMDB_TEXT_MAX];
    struct str stored;
    int rc = lmdb_tree_row(t, key, &stored);

    if (rc != 0)
        return tree_err(le, db, t, rc);
    if (lmdb_seal_open(db, *key, stored, plain, NULL, NULL))
        return ERR_OK;
    if (lmdb_seal_of(db) != SEAL_SHORT) {
        note_damaged(le, db, *key);
        return ERR_DAMAGED;
    }
    store_say(why, "%s: %s, a row is not what was written", STORE_FILE_DATA, store_db_name(db));
    lmdb_broken(le, why);
}

/* The row there is whole; none is as good. */
static enum err check_beside(struct lmdb_engine *le, enum store_db db, struct lmdb_tree *t, int rc)
{
    struct str key;
    struct str plain;

    if (rc == MDB_NOTFOUND)
        return ERR_OK;
    return rc == 0 ? whole_row(le, db, t, &key, &plain) : tree_err(le, db, t, rc);
}

/* Of the place where a key is not: whether both sides of it are whole. The tree stays. */
static enum err check_gap(struct lmdb_engine *le, enum store_db db, const struct lmdb_tree *t,
                          bool looks_down, bool looks_up)
{
    struct lmdb_tree beside;
    enum err err = ERR_OK;

    if (looks_down) {
        beside = *t;
        err = check_beside(le, db, &beside, lmdb_tree_before(&beside));
    }
    if (looks_up && err == ERR_OK) {
        beside = *t;
        err = check_beside(le, db, &beside, lmdb_tree_settle(&beside));
    }
    return err;
}

enum err lmdb_get(struct engine *e, void *txn, enum store_db db, struct str key, struct arena *a,
                  struct str *value)
{
    struct lmdb_engine *le = lmdb_of(e);
    struct lmdb_tree *t;
    struct str found;
    struct str plain;
    bool is_there;
    enum err err;
    int rc;

    if (key.n == 0)
        return ERR_NOT_FOUND; /* LMDB has no empty keys */
    err = view_tree(le, txn, db, &t);
    if (err != ERR_OK)
        return err;
    rc = lmdb_tree_find(t, key, &is_there);
    if (rc != 0)
        return tree_err(le, db, t, rc);
    if (!is_there) {
        err = check_gap(le, db, t, true, true);
        return err == ERR_OK ? ERR_NOT_FOUND : err;
    }
    err = whole_row(le, db, t, &found, &plain);
    if (err == ERR_OK && value)
        *value = arena_str(a, plain);
    return err;
}

/* Goes on from where the key is, or would be. */
static int seek_from(struct lmdb_tree *t, enum store_seek how, bool is_there)
{
    switch (how) {
    case STORE_GE:
        return lmdb_tree_settle(t);
    case STORE_GT:
        return is_there ? lmdb_tree_next(t) : lmdb_tree_settle(t);
    case STORE_LE:
        return is_there ? 0 : lmdb_tree_before(t);
    case STORE_LT:
        return lmdb_tree_before(t);
    }
    UNREACHABLE("no such way to seek");
}

enum err lmdb_seek(struct engine *e, void *txn, enum store_db db, enum store_seek how,
                   struct str key, struct arena *a, struct str *found_key, struct str *value)
{
    struct lmdb_engine *le = lmdb_of(e);
    bool is_up = how == STORE_GE || how == STORE_GT;
    struct lmdb_tree *t;
    struct str found;
    struct str plain;
    bool is_there;
    int rc;
    enum err err = view_tree(le, txn, db, &t);

    if (err != ERR_OK)
        return err;
    rc = lmdb_tree_find(t, key, &is_there);
    if (rc != 0)
        return tree_err(le, db, t, rc);
    if (!is_there) /* the other side is handed out below */
        err = check_gap(le, db, t, is_up, !is_up);
    if (err != ERR_OK)
        return err;
    rc = seek_from(t, how, is_there);
    if (rc != 0)
        return tree_err(le, db, t, rc);
    err = whole_row(le, db, t, &found, &plain);
    if (err != ERR_OK)
        return err;
    if (found_key)
        *found_key = arena_str(a, found);
    if (value)
        *value = arena_str(a, plain);
    return ERR_OK;
}

void lmdb_contradicts(struct engine *e, enum store_db list)
{
    char why[LMDB_TEXT_MAX];

    store_say(why, "%s: %s, a row leads to one that is not there", STORE_FILE_DATA,
              store_db_name(list));
    lmdb_broken(lmdb_of(e), why);
}
