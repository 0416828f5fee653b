#include "lmdb_env.h"
#include "lmdb_private.h"
#include "lmdb_sum.h"
#include "orderly/base/check.h"
#include "orderly/infra/store/lmdb_engine.h"
#include <errno.h>
#include <sys/stat.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

#define MAP_BYTES_LEAST (UINT64_C(1) << 30) /* of what is tried without being told */

/* A failed mdb_env_open leaves an environment that is good for closing only, so each try has its
 * own. */
static int env_open_once(struct lmdb_env *db, const char *path, unsigned flags, uint64_t map_bytes)
{
    int rc = mdb_env_create(&db->env);

    if (rc != 0) {
        db->env = NULL;
        return rc;
    }
    rc = mdb_env_set_mapsize(db->env, map_bytes);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(db->env, STORE_DB_COUNT);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(db->env, LMDB_READERS_MAX);
    if (rc == 0)
        rc = mdb_env_open(db->env, path, flags | MDB_NOTLS, 0600);
    if (rc != 0)
        lmdb_env_close(db);
    return rc;
}

int lmdb_env_open(struct lmdb_env *db, const char *path, unsigned flags, uint64_t map_bytes)
{
    bool may_shrink = map_bytes == 0;
    int rc;

    if (map_bytes == 0)
        map_bytes = IS_SANITIZED ? LMDB_MAP_BYTES_DEFAULT_SANITIZED : LMDB_MAP_BYTES_DEFAULT;
    for (;;) {
        rc = env_open_once(db, path, flags, map_bytes);
        /* Under valgrind too much is EINVAL. */
        if ((rc != ENOMEM && rc != EINVAL) || !may_shrink || map_bytes <= MAP_BYTES_LEAST)
            return rc;
        map_bytes /= 2;
    }
}

void lmdb_env_close(struct lmdb_env *db)
{
    if (db->env)
        mdb_env_close(db->env);
    db->env = NULL;
}

int lmdb_env_open_one(struct lmdb_env *db, MDB_txn *txn, enum store_db which, bool create)
{
    return mdb_dbi_open(txn, store_db_name(which), create ? MDB_CREATE : 0, &db->dbis[which]);
}

int lmdb_env_open_all(struct lmdb_env *db, MDB_txn *txn, bool create)
{
    for (unsigned i = 0; i < STORE_DB_COUNT; i++) {
        int rc = lmdb_env_open_one(db, txn, (enum store_db)i, create);

        if (rc != 0)
            return rc;
    }
    return mdb_dbi_open(txn, NULL, 0, &db->names);
}

int lmdb_env_fd(MDB_env *env)
{
    int fd;
    int rc = mdb_env_get_fd(env, &fd);

    ENSURE(rc == 0); /* it only fails where there is no environment */
    return fd;
}

uint64_t lmdb_env_used_bytes(const struct lmdb_env *db)
{
    MDB_envinfo info;
    MDB_stat stat;

    (void)mdb_env_info(db->env, &info);
    (void)mdb_env_stat(db->env, &stat);
    return ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
}

int lmdb_env_file_bytes(const struct lmdb_env *db, uint64_t *out)
{
    struct stat st;

    if (fstat(lmdb_env_fd(db->env), &st) != 0)
        return errno;
    *out = (uint64_t)st.st_size;
    return 0;
}

int lmdb_env_put(const struct lmdb_env *db, MDB_txn *txn, enum store_db which, struct str key,
                 struct str value)
{
    MDB_val k = val_of(key);
    MDB_val v = { .mv_size = value.n + lmdb_seal_len(which) };
    int rc;

    REQUIRE(lmdb_seal_of(which) != SEAL_CHAIN);
    rc = mdb_put(txn, db->dbis[which], &k, &v, MDB_RESERVE);
    if (rc == 0)
        lmdb_seal_write(which, key, value, NULL, v.mv_data, NULL);
    return rc;
}

int lmdb_env_put_at(MDB_cursor *cursor, enum store_db which, struct str key, struct str value)
{
    MDB_val k = val_of(key);
    MDB_val v = { .mv_size = value.n + lmdb_seal_len(which) };
    int rc;

    REQUIRE(lmdb_seal_of(which) != SEAL_CHAIN);
    rc = mdb_cursor_put(cursor, &k, &v, MDB_RESERVE);
    if (rc == 0)
        lmdb_seal_write(which, key, value, NULL, v.mv_data, NULL);
    return rc;
}

int lmdb_env_del_at(MDB_cursor *cursor, struct str key)
{
    MDB_val k = val_of(key);
    int rc = mdb_cursor_get(cursor, &k, NULL, MDB_SET);

    if (rc == 0)
        rc = mdb_cursor_del(cursor, 0);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int lmdb_env_get(const struct lmdb_env *db, MDB_txn *txn, enum store_db which, struct str key,
                 struct str *value)
{
    MDB_val k = val_of(key);
    MDB_val v;
    int rc = mdb_get(txn, db->dbis[which], &k, &v);

    if (rc != 0)
        return rc;
    return lmdb_seal_open(which, key, str_of_val(v), value, NULL, NULL) ? 0 : MDB_CORRUPTED;
}

bool lmdb_is_broken(int rc)
{
    switch (rc) {
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_CURSOR_FULL: /* deeper than any tree of ours */
    case MDB_INCOMPATIBLE:
    /* A cursor that is opened looks at the root of its database and keeps to itself what is wrong
     * there; the transaction is bad from then on, and the next call says no more than that. */
    case MDB_BAD_TXN:
        return true;
    default:
        return false;
    }
}

enum err lmdb_err(int rc)
{
    if (lmdb_is_broken(rc))
        return ERR_DAMAGED;
    switch (rc) {
    case 0:
        return ERR_OK;
    case MDB_NOTFOUND:
    case ENOENT:
        return ERR_NOT_FOUND;
    case MDB_MAP_FULL:
    case ENOSPC:
    case EDQUOT:
        return ERR_FULL;
    case MDB_READERS_FULL:
        return ERR_BUSY;
    case MDB_VERSION_MISMATCH:
        return ERR_INVALID;
    default:
        return ERR_IO;
    }
}
