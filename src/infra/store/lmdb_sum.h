/* The sums of rows: what lies in LMDB is the app's value and, behind it, what proves it.
 *
 *   SEAL_SHORT   value short sum(8)            lists and indexes
 *   SEAL_SUM     value sum(16)
 *   SEAL_CHAIN   value before(16) sum(16)      events; before: the sum of the event before it
 *
 * sum = BLAKE2b-128 over the database's name, key, before, value.
 * short sum = SipHash-2-4 over the database's number, key, value; its key is no secret: it finds what
 * a disk did, and `verify`, which compares lists with the events, finds what somebody did. */
#ifndef SRC_INFRA_STORE_LMDB_SUM_H
#define SRC_INFRA_STORE_LMDB_SUM_H
#include "orderly/app/store.h"
#include "orderly/base/digest.h"

enum lmdb_seal { SEAL_SHORT, SEAL_SUM, SEAL_CHAIN };
enum lmdb_seal lmdb_seal_of(enum store_db db);

/* Bytes behind the value. */
size_t lmdb_seal_len(enum store_db db);
/* Writes value and seal to out, which has room for value.n + lmdb_seal_len(db). before and *sum are
 * for SEAL_CHAIN only. The value may not lie in out. */
void lmdb_seal_write(enum store_db db, struct str key, struct str value,
                     const struct digest16 *before, char *out, struct digest16 *sum);
/* Splits what was stored. False: it is not what was written under this key. before and sum may be
 * NULL; they are set for SEAL_CHAIN only, and then also where the sum is wrong, if there is one. */
MUST_CHECK bool lmdb_seal_open(enum store_db db, struct str key, struct str stored,
                               struct str *value, struct digest16 *before, struct digest16 *sum);
#endif
