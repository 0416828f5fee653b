#include "orderly/infra/store/lmdb_build.h"
#include "lmdb_check.h"
#include "lmdb_private.h"
#include "lmdb_sum.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define ROWS_OF_A_COMMIT 20000
/* Rows that come in no order leave room in their pages. */
#define ROOM_MORE_PERCENT 50
#define ROOM_LEAST (UINT64_C(16) << 20)

struct lmdb_build {
    struct store_dir dir;
    struct lmdb_look *from, *to;
    struct lmdb_env db; /* the fresh one */
    MDB_txn *txn;
    unsigned n_rows; /* of the transaction */
    bool is_adopted;
    char why[LMDB_TEXT_MAX];
};

static enum err build_failed(struct lmdb_build *b, const char *what, int rc)
{
    enum err err = lmdb_err(rc);

    store_say(b->why, "%s: %s: %s", b->dir.path, what, mdb_strerror(rc));
    return err == ERR_NOT_FOUND ? ERR_IO : err;
}

/* ---- beginning ------------------------------------------------------------------ */

static enum err check_room(struct lmdb_build *b)
{
    uint64_t needed = lmdb_look_bytes(b->from) * (100 + ROOM_MORE_PERCENT) / 100 + ROOM_LEAST;
    struct statvfs fs;

    if (fstatvfs(b->dir.fd, &fs) != 0)
        return build_failed(b, "can't tell the room of the disk", errno);
    if ((uint64_t)fs.f_bavail * fs.f_frsize >= needed)
        return ERR_OK;
    store_say(b->why, "%s: no room to make it anew beside itself: %llu MiB are needed", b->dir.path,
              (unsigned long long)(needed >> 20) + 1);
    return ERR_FULL;
}

static enum err open_from(struct lmdb_build *b)
{
    char file[STORE_FILE_PATH_MAX];
    enum err err =
        lmdb_look_open_file(store_dir_file(&b->dir, STORE_FILE_DATA, file), &b->from, b->why);

    if (err != ERR_OK)
        return err;
    err = lmdb_look_renew(b->from);
    if (err != ERR_OK)
        store_say(b->why, "%s: %s", file, lmdb_look_why(b->from, NULL));
    return err;
}

static enum err txn_begin(struct lmdb_build *b)
{
    int rc = mdb_txn_begin(b->db.env, NULL, 0, &b->txn);

    b->n_rows = 0;
    if (rc == 0)
        return ERR_OK;
    b->txn = NULL;
    return build_failed(b, "can't be written", rc);
}

/* Without LMDB's own lock, which would be one more file; nobody else knows this one. And without an
 * fsync for each commit: before all of it is on the disk it counts for nothing. */
static enum err open_to(struct lmdb_build *b)
{
    char file[STORE_FILE_PATH_MAX];
    MDB_txn *txn;
    int rc;

    if (store_dir_remove(&b->dir, STORE_FILE_COPY) != ERR_OK)
        return build_failed(b, "a file that was left can't be removed", errno);
    rc = lmdb_env_open(&b->db, store_dir_file(&b->dir, STORE_FILE_COPY, file),
                       MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, 0);
    if (rc != 0) {
        b->db.env = NULL;
        return build_failed(b, "a fresh store can't be made", rc);
    }
    rc = mdb_txn_begin(b->db.env, NULL, 0, &txn);
    if (rc == 0) {
        rc = lmdb_env_open_all(&b->db, txn, true);
        if (rc == 0)
            rc = mdb_txn_commit(txn);
        else
            mdb_txn_abort(txn);
    }
    if (rc != 0)
        return build_failed(b, "a fresh store can't be made", rc);
    b->to = lmdb_look_of_env(&b->db);
    if (lmdb_look_renew(b->to) != ERR_OK)
        return build_failed(b, "a fresh store can't be made", EIO);
    return txn_begin(b);
}

enum err lmdb_build_begin(const char *dir, struct lmdb_build **out, struct lmdb_report *report)
{
    struct lmdb_build *b = mem_zalloc(sizeof(*b));
    enum err err;

    memset(report, 0, sizeof(*report));
    *out = NULL;
    b->dir.fd = b->dir.lock_fd = -1;
    /* First as who makes nothing, also no directory. */
    err = store_dir_open(&b->dir, dir, true, report);
    if (err == ERR_OK && !store_dir_has(&b->dir, STORE_FILE_DATA)) {
        store_say(report->why, "%s holds no store", dir);
        err = ERR_NOT_FOUND;
    }
    store_dir_close(&b->dir);
    if (err == ERR_OK)
        err = store_dir_open(&b->dir, dir, false, report);
    if (err == ERR_OK) {
        err = open_from(b);
        if (err == ERR_OK)
            err = check_room(b);
        if (err == ERR_OK)
            err = open_to(b);
        if (err != ERR_OK)
            store_say(report->why, "%s", b->why);
    }
    if (err != ERR_OK) {
        lmdb_build_end(b);
        return err;
    }
    *out = b;
    return ERR_OK;
}

static void close_to(struct lmdb_build *b)
{
    if (b->txn)
        mdb_txn_abort(b->txn);
    b->txn = NULL;
    if (b->to)
        lmdb_look_destroy(b->to);
    b->to = NULL;
    lmdb_env_close(&b->db);
}

void lmdb_build_end(struct lmdb_build *b)
{
    close_to(b);
    if (b->from)
        lmdb_look_destroy(b->from);
    if (b->dir.lock_fd >= 0 && !b->is_adopted)
        (void)!store_dir_remove(&b->dir, STORE_FILE_COPY);
    store_dir_close(&b->dir);
    mem_free(b);
}

void lmdb_build_tidy(const char *dir)
{
    struct lmdb_report report = { 0 };
    struct store_dir d;

    if (access(dir, F_OK) != 0)
        return;
    /* With the lock: a server may have begun, and copy for its own reasons. */
    if (store_dir_open(&d, dir, false, &report) != ERR_OK)
        return;
    (void)!store_dir_remove(&d, STORE_FILE_COPY);
    store_dir_close(&d);
}

struct lmdb_look *lmdb_build_from(struct lmdb_build *b)
{
    return b->from;
}

struct lmdb_look *lmdb_build_to(struct lmdb_build *b)
{
    return b->to;
}

const char *lmdb_build_why(const struct lmdb_build *b)
{
    return b->why;
}

/* ---- rows ----------------------------------------------------------------------- */

static enum err build_reserve(struct lmdb_build *b, enum store_db db, struct str key, size_t n,
                              char **out)
{
    MDB_val k = val_of(key);
    MDB_val v = { .mv_size = n };
    int rc;

    REQUIRE(b->txn != NULL);
    b->n_rows++;
    rc = mdb_put(b->txn, b->db.dbis[db], &k, &v, MDB_RESERVE | (db == DB_EVENTS ? MDB_APPEND : 0u));
    if (rc != 0)
        return build_failed(b, "the fresh store can't be written", rc);
    *out = v.mv_data;
    return ERR_OK;
}

enum err lmdb_build_put(struct lmdb_build *b, enum store_db db, struct str key, struct str value)
{
    char *room;
    enum err err;

    REQUIRE(db != DB_EVENTS);
    err = build_reserve(b, db, key, value.n + lmdb_seal_len(db), &room);
    if (err == ERR_OK)
        lmdb_seal_write(db, key, value, NULL, room, NULL);
    return err;
}

enum err lmdb_build_put_stored(struct lmdb_build *b, enum store_db db, struct str key,
                               struct str stored)
{
    char *room;
    enum err err = build_reserve(b, db, key, stored.n, &room);

    if (err == ERR_OK)
        memcpy(room, stored.p, stored.n);
    return err;
}

enum err lmdb_build_get(struct lmdb_build *b, enum store_db db, struct str key, struct str *value)
{
    int rc = lmdb_env_get(&b->db, b->txn, db, key, value);

    return rc == MDB_NOTFOUND || rc == 0 ? lmdb_err(rc)
                                         : build_failed(b, "the fresh store can't be read", rc);
}

bool lmdb_build_is_large(const struct lmdb_build *b)
{
    return b->n_rows >= ROWS_OF_A_COMMIT;
}

static enum err txn_commit(struct lmdb_build *b)
{
    MDB_txn *txn = b->txn;
    int rc;

    b->txn = NULL;
    rc = mdb_txn_commit(txn);
    return rc == 0 ? ERR_OK : build_failed(b, "the fresh store can't be written", rc);
}

/* Without LMDB's lock it knows of no readers, so the look goes on with every commit. */
enum err lmdb_build_commit(struct lmdb_build *b)
{
    enum err err = txn_commit(b);

    if (err == ERR_OK && lmdb_look_renew(b->to) != ERR_OK)
        err = build_failed(b, "the fresh store can't be read", EIO);
    return err == ERR_OK ? txn_begin(b) : err;
}

/* ---- the end -------------------------------------------------------------------- */

enum err lmdb_build_finish(struct lmdb_build *b)
{
    enum err err = txn_commit(b);
    int rc = err == ERR_OK ? mdb_env_sync(b->db.env, 1) : 0;

    if (rc != 0)
        err = build_failed(b, "the fresh store can't be written", rc);
    if (err == ERR_OK && lmdb_look_renew(b->to) != ERR_OK)
        err = build_failed(b, "the fresh store can't be read", EIO);
    return err;
}

enum err lmdb_build_adopt(struct lmdb_build *b)
{
    int rc;

    close_to(b);
    /* The old lock file knows the old file's transactions, and somebody may hold it: it must not
     * meet the new file. */
    if (store_dir_remove(&b->dir, STORE_FILE_LMDB_LOCK) != ERR_OK)
        return build_failed(b, "the lock file can't be removed", errno);
    rc = store_dir_adopt(&b->dir, STORE_FILE_COPY, STORE_FILE_DATA);
    if (rc != 0)
        return build_failed(b, "the fresh store can't take its place", rc);
    b->is_adopted = true;
    return ERR_OK;
}
