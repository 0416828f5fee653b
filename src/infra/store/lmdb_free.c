/* LMDB's own list of pages to use again. One that is wrong would let it write over what is in use.
 *
 * The pages that every commit writes anew, the roots and those that hold their numbers, tell more:
 * if the newest meta page leads to an older one of them, or to an older list of free pages, then a
 * page that is in use is in the list. */
#include "lmdb_check.h"
#include "lmdb_pages.h"

#define FREE_DBI 0
#define ROOTS_MAX (2 * STORE_DB_COUNT + 2)

struct roots {
    uint64_t pages[ROOTS_MAX];
    unsigned n;
};

static int roots_collect(const struct lmdb_env *db, MDB_txn *txn, struct roots *r)
{
    MDB_dbi names;
    MDB_stat stat;
    int rc = mdb_dbi_open(txn, NULL, 0, &names);

    if (rc == 0)
        rc = mdb_env_stat(db->env, &stat);
    r->n = 0;
    /* The names may be found through a page that is none of theirs: a branch that once led to the
     * page where they are now. */
    if (rc == 0 && lmdb_meta_roots(db->env, mdb_txn_id(txn), r->pages))
        r->n = 2;
    for (unsigned i = 0; i < STORE_DB_COUNT && rc == 0; i++) {
        MDB_val name = val_of(str_of(store_db_name((enum store_db)i)));
        MDB_val record;

        rc = mdb_get(txn, names, &name, &record);
        if (rc == MDB_NOTFOUND) /* of a later version */
            rc = 0;
        else if (rc == 0 && !lmdb_record_pages(record, stat.ms_psize, &r->pages[r->n]))
            rc = MDB_CORRUPTED;
        else if (rc == 0)
            r->n += 2;
    }
    return rc;
}

static bool is_root(const struct roots *r, uint64_t page)
{
    for (unsigned i = 0; i < r->n; i++)
        if (r->pages[i] == page)
            return true;
    return false;
}

/* A list of descending numbers, with their count before them. */
static bool are_free(const struct roots *r, uint64_t last_page, MDB_val v)
{
    const char *at = v.mv_data;
    size_t before = SIZE_MAX;
    size_t n = 0;

    if (v.mv_size < sizeof(n))
        return false;
    memcpy(&n, at, sizeof(n));
    if (n > v.mv_size / sizeof(n) - 1)
        return false;
    for (size_t i = 1; i <= n; i++) {
        size_t page;

        memcpy(&page, at + i * sizeof(page), sizeof(page));
        if (page < 2 || page > last_page || page >= before || is_root(r, page))
            return false;
        before = page;
    }
    return true;
}

int lmdb_walk_free(const struct lmdb_env *db, bool *is_sound)
{
    MDB_cursor *cursor;
    MDB_envinfo info;
    struct roots roots;
    MDB_txn *txn;
    MDB_val k;
    MDB_val v;
    int rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);

    *is_sound = true;
    if (rc != 0)
        return rc;
    rc = roots_collect(db, txn, &roots);
    if (rc == 0)
        rc = mdb_env_info(db->env, &info);
    if (rc == 0)
        rc = mdb_cursor_open(txn, FREE_DBI, &cursor);
    if (rc == 0) {
        while (*is_sound && (rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0)
            *is_sound = are_free(&roots, info.me_last_pgno, v);
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return rc == MDB_NOTFOUND ? 0 : rc;
}
