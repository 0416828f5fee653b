/* Looking at files before they are trusted: each in a process of its own (in_child.h). */
#ifndef SRC_INFRA_STORE_LMDB_CHECK_H
#define SRC_INFRA_STORE_LMDB_CHECK_H
#include "lmdb_env.h"
#include "orderly/infra/store/lmdb_walk.h"
#include "store_dir.h"

/* lmdb_look.c: of an environment whose databases are open, and which outlives it. */
struct lmdb_look;
struct lmdb_look *lmdb_look_of_env(const struct lmdb_env *db);

/* lmdb_walk.c: of an environment whose databases are open. */
MUST_CHECK enum err lmdb_walk_env(const struct lmdb_env *db, struct lmdb_walk *walk);

/* lmdb_free.c: LMDB's list of free pages. Returns its code. */
MUST_CHECK int lmdb_walk_free(const struct lmdb_env *db, bool *is_sound);

/* Is this a store that this program can open? Takes little time, except where the file is shorter
 * than it says: then every row is looked at, since the pages that are missing may be unused ones.
 * Says in why what is wrong. */
MUST_CHECK enum err lmdb_check_peek(const struct store_dir *d, char *why);

/* After a failed write or fsync: copies the environment into a fresh file, verifies that, and lets
 * it take the place of the old one. Says in why what is wrong. */
MUST_CHECK enum err lmdb_check_copy(const struct store_dir *d, char *why);

/* Do the two meta pages of a data file belong together? Where a server writes meanwhile they may look
 * otherwise for a moment. */
MUST_CHECK bool lmdb_check_metas(int fd);

/* The same of an open one, beside a server that may write: looks again until they do, for a moment. */
MUST_CHECK bool lmdb_check_env_metas(MDB_env *env);
/* The roots of the free list and of the names, as the meta page of this transaction says. False: the
 * page was written anew meanwhile. */
MUST_CHECK bool lmdb_meta_roots(MDB_env *env, uint64_t txn, uint64_t roots[2]);

/* Copies the environment, without what is free in it, into an open empty file, and fsyncs it. */
MUST_CHECK int lmdb_copy_to(MDB_env *env, int fd);
/* Walks a copy. why: LMDB_TEXT_MAX. */
MUST_CHECK enum err lmdb_check_copied(const char *file, struct lmdb_walk *walk, char *why);

/* ERR_INVALID with a text for what a newer version has written, ERR_DAMAGED for what is no store. */
MUST_CHECK enum err lmdb_check_schema(struct lmdb_env *db, MDB_txn *txn, uint32_t *version,
                                      char *why);
#endif
