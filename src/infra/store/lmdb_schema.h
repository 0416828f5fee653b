/* What the engine keeps about itself, as rows of DB_META whose names begin with "store:":
 *
 *   store:schema       version(4)
 *   store:epoch n(4)   first position(8) id(16)
 *   store:tip          has events(1) position(8) sum(16)
 *   store:copied       nothing; in a backup, so that who opens it begins a new epoch
 *
 * The chain: each event's sum is over the one before it; what the first event of an epoch is over
 * comes from the sum before it and the epoch. All functions return LMDB's codes. */
#ifndef SRC_INFRA_STORE_LMDB_SCHEMA_H
#define SRC_INFRA_STORE_LMDB_SCHEMA_H
#include "lmdb_env.h"
#include "orderly/infra/store/lmdb_engine.h"

/* The end of the chain. */
struct lmdb_tip {
    bool has_events;
    uint64_t position;   /* of the last event */
    struct digest16 sum; /* what the next one's sum is over */
};

struct lmdb_epoch {
    uint64_t first_position; /* 0: from the beginning of the log */
    uint8_t id[LMDB_EPOCH_LEN];
};

/* One step forward: brings the rows of version `from` to from + 1, within txn. */
struct lmdb_step {
    uint32_t from;
    int (*run)(struct lmdb_env *db, MDB_txn *txn);
};

/* MDB_NOTFOUND: there is none. */
MUST_CHECK int lmdb_schema_read(const struct lmdb_env *db, MDB_txn *txn, uint32_t *version);
/* Runs the steps from the version that is there to `to` and writes that. ENOTSUP: there is no way. */
MUST_CHECK int lmdb_schema_forward(struct lmdb_env *db, MDB_txn *txn, uint32_t to,
                                   const struct lmdb_step *steps, unsigned n_steps);
/* The steps to LMDB_SCHEMA. */
extern const struct lmdb_step *const lmdb_steps;
extern const unsigned lmdb_steps_len;

/* Makes a new log: schema, first epoch, empty chain. */
MUST_CHECK int lmdb_schema_begin(const struct lmdb_env *db, MDB_txn *txn);

MUST_CHECK int lmdb_tip_put(const struct lmdb_env *db, MDB_txn *txn, const struct lmdb_tip *tip);
MUST_CHECK int lmdb_tip_get(const struct lmdb_env *db, MDB_txn *txn, struct lmdb_tip *tip);

/* Epoch number n, from 0; MDB_NOTFOUND behind the last. */
MUST_CHECK int lmdb_epoch_get(const struct lmdb_env *db, MDB_txn *txn, uint32_t n,
                              struct lmdb_epoch *out);
/* What the first event of the epoch is over, from what it would have been over without it. */
void lmdb_epoch_enter(const struct lmdb_epoch *epoch, struct digest16 *sum);
/* Begins epoch number n behind the tip, which changes. */
MUST_CHECK int lmdb_epoch_begin(const struct lmdb_env *db, MDB_txn *txn, uint32_t n,
                                struct lmdb_tip *tip);

MUST_CHECK int lmdb_copied_mark(const struct lmdb_env *db, MDB_txn *txn);
MUST_CHECK int lmdb_copied_get(const struct lmdb_env *db, MDB_txn *txn, bool *is_copied);
MUST_CHECK int lmdb_copied_clear(const struct lmdb_env *db, MDB_txn *txn);
#endif
