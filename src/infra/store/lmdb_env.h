/* An LMDB environment with the databases of app/store.h. The functions return LMDB's codes: 0, its
 * own negative ones (MDB_CORRUPTED also for a row whose sum is wrong), or an errno. */
#ifndef SRC_INFRA_STORE_LMDB_ENV_H
#define SRC_INFRA_STORE_LMDB_ENV_H
#include "orderly/app/store.h"
#include "orderly/base/digest.h"
#include <lmdb.h>

struct lmdb_env {
    MDB_env *env;
    MDB_dbi dbis[STORE_DB_COUNT];
    MDB_dbi names; /* LMDB's own, in which those are */
};

/* flags: as for mdb_env_open; MDB_NOTLS comes with it. map_bytes 0: the default, or half of it, and
 * half again, until the machine gives it. The databases are not open yet. */
MUST_CHECK int lmdb_env_open(struct lmdb_env *db, const char *path, unsigned flags,
                             uint64_t map_bytes);
void lmdb_env_close(struct lmdb_env *db);

/* Opens all databases within txn, and makes the missing ones; without `create` a missing one is
 * MDB_NOTFOUND. They stay open when the transaction is committed, also a reading one. */
MUST_CHECK int lmdb_env_open_all(struct lmdb_env *db, MDB_txn *txn, bool create);
/* The same for one. */
MUST_CHECK int lmdb_env_open_one(struct lmdb_env *db, MDB_txn *txn, enum store_db which,
                                 bool create);

/* The descriptor of its data file, which stays the environment's. */
int lmdb_env_fd(MDB_env *env);
/* Bytes of the file that the last commit uses. */
uint64_t lmdb_env_used_bytes(const struct lmdb_env *db);
/* Bytes that the file has. */
MUST_CHECK int lmdb_env_file_bytes(const struct lmdb_env *db, uint64_t *out);

/* One row with its sum, in any database but DB_EVENTS. */
MUST_CHECK int lmdb_env_put(const struct lmdb_env *db, MDB_txn *txn, enum store_db which,
                            struct str key, struct str value);
/* The same, with a cursor of that database, which stays where the row is. */
MUST_CHECK int lmdb_env_put_at(MDB_cursor *cursor, enum store_db which, struct str key,
                               struct str value);
/* Deletes the row if it is there. */
MUST_CHECK int lmdb_env_del_at(MDB_cursor *cursor, struct str key);
/* *value lies in the map, for the time of txn. */
MUST_CHECK int lmdb_env_get(const struct lmdb_env *db, MDB_txn *txn, enum store_db which,
                            struct str key, struct str *value);

static inline MDB_val val_of(struct str s)
{
    return (MDB_val){ .mv_size = s.n, .mv_data = (void *)s.p };
}
static inline struct str str_of_val(MDB_val v)
{
    return (struct str){ v.mv_data, v.mv_size };
}

/* What an opening or a look answers: ERR_FULL, ERR_BUSY (too many readers), ERR_DAMAGED, ERR_NOT_FOUND, ERR_INVALID (another
 * version of LMDB), ERR_IO. */
enum err lmdb_err(int rc);
/* True where LMDB says that its own pages are not what they were. */
bool lmdb_is_broken(int rc);
#endif
