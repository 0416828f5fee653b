/* A fresh store, made beside the one whose place it is to take, with its rows and nothing else.
 *
 *   begin: lock, room -> rows, commit by commit -> finish: synced -> adopt: renamed -> end
 *
 * A crash at any instant leaves the old store or the new one; what is left of a fresh file is removed
 * by the next opening. */
#ifndef ORDERLY_INFRA_STORE_LMDB_BUILD_H
#define ORDERLY_INFRA_STORE_LMDB_BUILD_H
#include "orderly/infra/store/lmdb_look.h"

struct lmdb_build;

/* Of the store in dir, which must be stopped; it is locked like a server's, so none starts.
 * ERR_NOT_FOUND: there is none. ERR_BUSY: a server has it. ERR_FULL: no room for both. ERR_INVALID:
 * of another version. ERR_DAMAGED, ERR_IO. Says why in report->why. */
MUST_CHECK enum err lmdb_build_begin(const char *dir, struct lmdb_build **out,
                                     struct lmdb_report *report);
/* What was not adopted is removed. */
void lmdb_build_end(struct lmdb_build *b);
/* For who comes after one that was ended from outside: removes what it left. */
void lmdb_build_tidy(const char *dir);

/* The old store. */
struct lmdb_look *lmdb_build_from(struct lmdb_build *b);
/* The fresh one as it was committed last; each commit begins a new moment of it. */
struct lmdb_look *lmdb_build_to(struct lmdb_build *b);

/* One row, with its sum; DB_EVENTS only as they are stored. ERR_FULL, ERR_IO: see lmdb_build_why. */
MUST_CHECK enum err lmdb_build_put(struct lmdb_build *b, enum store_db db, struct str key,
                                   struct str value);
/* One row as it is stored elsewhere. */
MUST_CHECK enum err lmdb_build_put_stored(struct lmdb_build *b, enum store_db db, struct str key,
                                          struct str stored);
/* Also what is not committed. value lies in the map until the next put. */
MUST_CHECK enum err lmdb_build_get(struct lmdb_build *b, enum store_db db, struct str key,
                                   struct str *value);
/* So much was put that it should be committed, when the caller can do without its looks. */
bool lmdb_build_is_large(const struct lmdb_build *b);
/* Rows of lmdb_build_to are gone; scans of it must be refreshed. */
MUST_CHECK enum err lmdb_build_commit(struct lmdb_build *b);

/* Commits, and sees to it that all of it is on the disk. */
MUST_CHECK enum err lmdb_build_finish(struct lmdb_build *b);
/* The fresh store takes the place of the old one, durably. */
MUST_CHECK enum err lmdb_build_adopt(struct lmdb_build *b);
const char *lmdb_build_why(const struct lmdb_build *b);
#endif
