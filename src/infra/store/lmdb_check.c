#include "lmdb_check.h"
#include "lmdb_private.h"
#include "lmdb_sum.h"
#include "orderly/base/bytes.h"
#include "orderly/base/check.h"
#include "orderly/infra/store/in_child.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What no start can mend. */
#define RESTORE "restore from backup"
/* The most that one transaction can have taken and given back without writing it. */
#define UNWRITTEN_MAX (UINT64_C(512) << 20)

struct check {
    const struct store_dir *dir;
};

static void on_assert(MDB_env *env, const char *what)
{
    (void)env;
    in_child_leave(ERR_DAMAGED, what);
}

static enum err say(char *why, int rc)
{
    store_say(why, "%s", mdb_strerror(rc));
    return lmdb_err(rc);
}

enum err lmdb_check_schema(struct lmdb_env *db, MDB_txn *txn, uint32_t *version, char *why)
{
    int rc = lmdb_env_open_one(db, txn, DB_META, false);

    if (rc == 0)
        rc = lmdb_schema_read(db, txn, version);
    if (rc == MDB_NOTFOUND || rc == MDB_CORRUPTED) {
        store_say(why, "it says no schema");
        return ERR_DAMAGED;
    }
    if (rc != 0)
        return say(why, rc);
    if (*version <= LMDB_SCHEMA)
        return ERR_OK;
    store_say(why, "it was written by a newer version of this program (schema %u, here %u)",
              *version, LMDB_SCHEMA);
    return ERR_INVALID;
}

#define METAS_TRIES 100 /* a millisecond apart */

/* ---- meta pages ----------------------------------------------------------------- */

/* LMDB has two meta pages, writes them in turn, and goes by the one with the higher transaction. It
 * keeps no sum of them, so a flipped bit could make it go by the older one, and the last commit
 * would be gone without a word. What must hold between them is looked at here, in its file format
 * number 1. */
struct meta {
    uint32_t magic, version;
    uint64_t address, map_size;
    struct meta_db {
        uint32_t pad;
        uint16_t flags, depth;
        uint64_t branch_pages, leaf_pages, overflow_pages, entries, root;
    } dbs[2]; /* pad of the first: the page size */
    uint64_t last_page, txn;
};

#define META_MAGIC 0xBEEFC0DEu
#define META_VERSION 1
#define PAGE_HEADER 16
#define PAGES_MAX (UINT64_C(1) << 36) /* beyond any map */

static bool read_meta(int fd, uint64_t offset, struct meta *out)
{
    return pread(fd, out, sizeof(*out), (off_t)(offset + PAGE_HEADER)) == (ssize_t)sizeof(*out) &&
           out->magic == META_MAGIC && out->version == META_VERSION;
}

bool lmdb_check_metas(int fd)
{
    struct meta metas[2];
    unsigned newer;
    uint32_t page_size;

    if (!read_meta(fd, 0, &metas[0]))
        return false;
    page_size = metas[0].dbs[0].pad;
    if (!read_meta(fd, page_size, &metas[1]) || metas[1].dbs[0].pad != page_size)
        return false;
    newer = metas[1].txn > metas[0].txn;
    return metas[newer].txn == metas[!newer].txn + 1 && (metas[newer].txn & 1) == newer &&
           metas[newer].last_page >= metas[!newer].last_page && metas[newer].last_page < PAGES_MAX;
}

bool lmdb_check_env_metas(MDB_env *env)
{
    int fd = lmdb_env_fd(env);

    for (unsigned i = 0; i < METAS_TRIES; i++) {
        const struct timespec pause = { .tv_nsec = 1000000 };

        if (lmdb_check_metas(fd))
            return true;
        (void)nanosleep(&pause, NULL); /* a server may have been between the two */
    }
    return false;
}

bool lmdb_meta_roots(MDB_env *env, uint64_t txn, uint64_t roots[2])
{
    struct meta meta;
    MDB_stat stat;

    (void)mdb_env_stat(env, &stat);
    if (!read_meta(lmdb_env_fd(env), (txn & 1) * stat.ms_psize, &meta) || meta.txn != txn)
        return false;
    roots[0] = meta.dbs[0].root;
    roots[1] = meta.dbs[1].root;
    return true;
}

static enum err peek_metas(const struct store_dir *d, char *why)
{
    char file[STORE_FILE_PATH_MAX];
    int fd = open(store_dir_file(d, STORE_FILE_DATA, file), O_RDONLY | O_CLOEXEC);
    bool is_sound;

    if (fd < 0)
        return say(why, errno);
    is_sound = lmdb_check_metas(fd);
    (void)close(fd);
    if (is_sound)
        return ERR_OK;
    store_say(why, "its meta pages do not belong together");
    return ERR_DAMAGED;
}

/* ---- peeking -------------------------------------------------------------------- */

/* The last event and the end of the chain: what a start builds on. */
static int peek_tip(const struct lmdb_env *db, MDB_txn *txn, char *why)
{
    MDB_cursor *cursor;
    struct lmdb_tip tip;
    struct str value;
    MDB_val k;
    MDB_val v;
    int rc = lmdb_tip_get(db, txn, &tip);

    if (rc == 0)
        rc = mdb_cursor_open(txn, db->dbis[DB_EVENTS], &cursor);
    if (rc != 0)
        return rc;
    rc = mdb_cursor_get(cursor, &k, &v, MDB_LAST);
    mdb_cursor_close(cursor);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return rc;
    if ((rc == 0) == tip.has_events &&
        (rc != 0 || (k.mv_size == 8 && bytes_get_u64(k.mv_data) == tip.position &&
                     lmdb_seal_open(DB_EVENTS, str_of_val(k), str_of_val(v), &value, NULL, NULL))))
        return 0;
    store_say(why, "its last event is not position %llu, or is damaged",
              (unsigned long long)tip.position);
    return MDB_CORRUPTED;
}

static enum err peek_rows(struct lmdb_env *db, char *why)
{
    uint32_t version;
    MDB_txn *txn;
    enum err err;
    int rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);

    if (rc != 0)
        return say(why, rc);
    err = lmdb_check_schema(db, txn, &version, why);
    if (err == ERR_OK && version == LMDB_SCHEMA) {
        rc = lmdb_env_open_all(db, txn, false);
        if (rc == 0)
            rc = peek_tip(db, txn, why);
        if (rc != 0) {
            if (!why[0])
                (void)say(why, rc);
            err = rc == MDB_NOTFOUND ? ERR_DAMAGED : lmdb_err(rc);
        }
    }
    /* Committed, not aborted: the databases stay open. */
    if (mdb_txn_commit(txn) != 0 && err == ERR_OK)
        err = ERR_IO;
    return err;
}

static enum err peek_size(const struct lmdb_env *db, char *why)
{
    struct lmdb_walk walk = { 0 };
    uint64_t used = lmdb_env_used_bytes(db);
    uint64_t has = 0;
    int rc = lmdb_env_file_bytes(db, &has);

    if (rc != 0)
        return say(why, rc);
    if (has >= used || (used - has <= UNWRITTEN_MAX && lmdb_walk_env(db, &walk) == ERR_OK))
        return ERR_OK;
    store_say(why, "it has %llu bytes and should have %llu", (unsigned long long)has,
              (unsigned long long)used);
    return ERR_DAMAGED;
}

/* Before anything is written over what it says is free. */
static enum err peek_free(const struct lmdb_env *db, char *why)
{
    bool is_sound;
    int rc = lmdb_walk_free(db, &is_sound);

    if (rc != 0)
        return say(why, rc);
    if (is_sound)
        return ERR_OK;
    store_say(why, "its list of free pages is wrong");
    return ERR_DAMAGED;
}

static enum err peek_run(void *ctx, char *why, size_t why_size)
{
    const struct check *c = ctx;
    struct lmdb_env db;
    enum err err;
    int rc;

    REQUIRE(why_size == LMDB_TEXT_MAX);
    err = peek_metas(c->dir, why);
    if (err != ERR_OK)
        return err;
    rc = lmdb_env_open(&db, c->dir->path, MDB_RDONLY | MDB_NOLOCK, 0);
    if (rc != 0)
        return say(why, rc);
    (void)mdb_env_set_assert(db.env, on_assert);
    err = peek_rows(&db, why);
    if (err == ERR_OK)
        err = peek_size(&db, why);
    if (err == ERR_OK)
        err = peek_free(&db, why);
    return err;
}

/* Adds what can be done about it. */
static enum err conclude(const struct store_dir *d, enum err err, const char *what, char *why)
{
    if (err == ERR_DAMAGED)
        store_say(why, "%s/%s is damaged: %s; " RESTORE, d->path, STORE_FILE_DATA, what);
    else if (err != ERR_OK)
        store_say(why, "%s/%s can't be used: %s", d->path, STORE_FILE_DATA, what);
    return err;
}

enum err lmdb_check_peek(const struct store_dir *d, char *why)
{
    struct check c = { d };
    char what[LMDB_TEXT_MAX];
    enum err err = in_child_run(peek_run, &c, what, sizeof(what));

    return conclude(d, err, what, why);
}

/* ---- copying -------------------------------------------------------------------- */

int lmdb_copy_to(MDB_env *env, int fd)
{
    int rc = mdb_env_copyfd2(env, fd, MDB_CP_COMPACT);

    /* Some pages belong to nobody; that wastes room and harms nothing, so copy them as well. */
    if (rc == MDB_INCOMPATIBLE) {
        if (ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) != 0)
            return errno;
        rc = mdb_env_copyfd2(env, fd, 0);
    }
    if (rc != 0)
        return rc;
    return fsync(fd) == 0 ? 0 : errno;
}

enum err lmdb_check_copied(const char *file, struct lmdb_walk *walk, char *why)
{
    struct lmdb_env db;
    MDB_txn *txn;
    enum err err;
    int rc = lmdb_env_open(&db, file, MDB_RDONLY | MDB_NOLOCK | MDB_NOSUBDIR, 0);

    if (rc != 0)
        return say(why, rc);
    rc = mdb_txn_begin(db.env, NULL, MDB_RDONLY, &txn);
    if (rc == 0) {
        rc = lmdb_env_open_all(&db, txn, false);
        if (rc == 0)
            rc = mdb_txn_commit(txn);
        else
            mdb_txn_abort(txn);
    }
    if (rc == 0) {
        err = lmdb_walk_env(&db, walk);
        store_say(why, "%s", walk->first_damage);
    } else {
        err = say(why, rc);
        if (err == ERR_NOT_FOUND)
            err = ERR_DAMAGED;
    }
    lmdb_env_close(&db);
    return err;
}

static enum err copy_file(const struct store_dir *d, const char *to, char *why)
{
    uint32_t version;
    struct lmdb_env db;
    MDB_txn *txn;
    enum err err;
    int rc = lmdb_env_open(&db, d->path, MDB_RDONLY | MDB_NOLOCK, 0);
    int fd;

    if (rc != 0)
        return say(why, rc);
    (void)mdb_env_set_assert(db.env, on_assert);
    rc = mdb_txn_begin(db.env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return say(why, rc);
    err = lmdb_check_schema(&db, txn, &version, why);
    mdb_txn_abort(txn);
    if (err != ERR_OK)
        return err;
    fd = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return say(why, errno);
    rc = lmdb_copy_to(db.env, fd);
    (void)close(fd);
    lmdb_env_close(&db);
    return rc == 0 ? ERR_OK : say(why, rc);
}

static enum err copy_run(void *ctx, char *why, size_t why_size)
{
    const struct check *c = ctx;
    struct lmdb_walk walk = { 0 };
    char file[STORE_FILE_PATH_MAX];
    enum err err;

    REQUIRE(why_size == LMDB_TEXT_MAX);
    (void)store_dir_file(c->dir, STORE_FILE_COPY, file);
    err = copy_file(c->dir, file, why);
    return err == ERR_OK ? lmdb_check_copied(file, &walk, why) : err;
}

enum err lmdb_check_copy(const struct store_dir *d, char *why)
{
    struct check c = { d };
    char what[LMDB_TEXT_MAX];
    enum err err = in_child_run(copy_run, &c, what, sizeof(what));
    int rc = 0;

    /* Others may still look at the old file by the old lock file, which knows its transactions. */
    if (err == ERR_OK) {
        rc = store_dir_adopt(d, STORE_FILE_COPY, STORE_FILE_DATA);
        if (rc != 0)
            err = say(what, rc);
        else if (store_dir_remove(d, STORE_FILE_LMDB_LOCK) != ERR_OK ||
                 store_dir_remove(d, STORE_FILE_MARK) != ERR_OK)
            err = say(what, errno);
    }
    if (err != ERR_OK)
        (void)!store_dir_remove(d, STORE_FILE_COPY); /* the next start tries again */
    return conclude(d, err, what, why);
}
