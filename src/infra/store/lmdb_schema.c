#include "lmdb_schema.h"
#include "orderly/base/bytes.h"
#include "orderly/base/check.h"
#include <errno.h>
#include <sodium.h>

#define KEY_SCHEMA STR("store:schema")
#define KEY_TIP STR("store:tip")
#define KEY_COPIED STR("store:copied")
#define KEY_EPOCH "store:epoch "
#define KEY_EPOCH_LEN (sizeof(KEY_EPOCH) - 1)

/* ---- version -------------------------------------------------------------------- */

/* None yet: version 1 is the first. A step stays here for good, so that a directory of any age can
 * be opened. */
const struct lmdb_step *const lmdb_steps = NULL;
const unsigned lmdb_steps_len = 0;

/* Not by its sum: that of a newer version may be made in another way, and "newer" is to be said. */
int lmdb_schema_read(const struct lmdb_env *db, MDB_txn *txn, uint32_t *version)
{
    MDB_val key = val_of(KEY_SCHEMA);
    MDB_val stored;
    struct str value;
    int rc = mdb_get(txn, db->dbis[DB_META], &key, &stored);

    if (rc != 0)
        return rc;
    if (stored.mv_size < 4)
        return MDB_CORRUPTED;
    *version = bytes_get_u32(stored.mv_data);
    if (*version > LMDB_SCHEMA)
        return 0;
    return lmdb_env_get(db, txn, DB_META, KEY_SCHEMA, &value);
}

static int schema_put(const struct lmdb_env *db, MDB_txn *txn, uint32_t version)
{
    char row[4];

    bytes_put_u32(row, version);
    return lmdb_env_put(db, txn, DB_META, KEY_SCHEMA, (struct str){ row, sizeof(row) });
}

int lmdb_schema_forward(struct lmdb_env *db, MDB_txn *txn, uint32_t to,
                        const struct lmdb_step *steps, unsigned n_steps)
{
    uint32_t at = 0;
    int rc = lmdb_schema_read(db, txn, &at);

    if (rc != 0)
        return rc;
    REQUIRE(at <= to);
    while (at < to) {
        unsigned i = 0;

        while (i < n_steps && steps[i].from != at)
            i++;
        if (i == n_steps)
            return ENOTSUP;
        rc = steps[i].run(db, txn);
        if (rc != 0)
            return rc;
        at++;
    }
    return schema_put(db, txn, to);
}

/* ---- the chain ------------------------------------------------------------------ */

int lmdb_tip_put(const struct lmdb_env *db, MDB_txn *txn, const struct lmdb_tip *tip)
{
    char row[1 + 8 + sizeof(tip->sum.b)];

    row[0] = tip->has_events;
    bytes_put_u64(row + 1, tip->position);
    memcpy(row + 9, tip->sum.b, sizeof(tip->sum.b));
    return lmdb_env_put(db, txn, DB_META, KEY_TIP, (struct str){ row, sizeof(row) });
}

int lmdb_tip_get(const struct lmdb_env *db, MDB_txn *txn, struct lmdb_tip *tip)
{
    struct str row;
    int rc = lmdb_env_get(db, txn, DB_META, KEY_TIP, &row);

    if (rc != 0)
        return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
    if (row.n != 1 + 8 + sizeof(tip->sum.b))
        return MDB_CORRUPTED;
    tip->has_events = row.p[0] != 0;
    tip->position = bytes_get_u64(row.p + 1);
    memcpy(tip->sum.b, row.p + 9, sizeof(tip->sum.b));
    return 0;
}

/* ---- epochs --------------------------------------------------------------------- */

static struct str epoch_key(uint32_t n, char out[KEY_EPOCH_LEN + 4])
{
    memcpy(out, KEY_EPOCH, KEY_EPOCH_LEN);
    bytes_put_u32(out + KEY_EPOCH_LEN, n);
    return (struct str){ out, KEY_EPOCH_LEN + 4 };
}

int lmdb_epoch_get(const struct lmdb_env *db, MDB_txn *txn, uint32_t n, struct lmdb_epoch *out)
{
    char key[KEY_EPOCH_LEN + 4];
    struct str row;
    int rc = lmdb_env_get(db, txn, DB_META, epoch_key(n, key), &row);

    if (rc != 0)
        return rc;
    if (row.n != 8 + sizeof(out->id))
        return MDB_CORRUPTED;
    out->first_position = bytes_get_u64(row.p);
    memcpy(out->id, row.p + 8, sizeof(out->id));
    return 0;
}

void lmdb_epoch_enter(const struct lmdb_epoch *epoch, struct digest16 *sum)
{
    char first[8];
    struct digest16 before = *sum;
    const struct str parts[] = {
        STR("epoch"),
        { (const char *)before.b, sizeof(before.b) },
        { first, sizeof(first) },
        { (const char *)epoch->id, sizeof(epoch->id) },
    };

    bytes_put_u64(first, epoch->first_position);
    digest16_of(sum, parts, ARRAY_LEN(parts));
}

int lmdb_epoch_begin(const struct lmdb_env *db, MDB_txn *txn, uint32_t n, struct lmdb_tip *tip)
{
    struct lmdb_epoch epoch = { .first_position = tip->has_events ? tip->position + 1 : 0 };
    char key[KEY_EPOCH_LEN + 4];
    char row[8 + sizeof(epoch.id)];
    int rc;

    randombytes_buf(epoch.id, sizeof(epoch.id));
    bytes_put_u64(row, epoch.first_position);
    memcpy(row + 8, epoch.id, sizeof(epoch.id));
    rc = lmdb_env_put(db, txn, DB_META, epoch_key(n, key), (struct str){ row, sizeof(row) });
    if (rc != 0)
        return rc;
    lmdb_epoch_enter(&epoch, &tip->sum);
    return lmdb_tip_put(db, txn, tip);
}

int lmdb_schema_begin(const struct lmdb_env *db, MDB_txn *txn)
{
    struct lmdb_tip tip = { 0 };
    int rc = schema_put(db, txn, LMDB_SCHEMA);

    return rc != 0 ? rc : lmdb_epoch_begin(db, txn, 0, &tip);
}

/* ---- copies --------------------------------------------------------------------- */

int lmdb_copied_mark(const struct lmdb_env *db, MDB_txn *txn)
{
    return lmdb_env_put(db, txn, DB_META, KEY_COPIED, STR_NONE);
}

int lmdb_copied_get(const struct lmdb_env *db, MDB_txn *txn, bool *is_copied)
{
    struct str row;
    int rc = lmdb_env_get(db, txn, DB_META, KEY_COPIED, &row);

    *is_copied = rc == 0;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int lmdb_copied_clear(const struct lmdb_env *db, MDB_txn *txn)
{
    MDB_val key = val_of(KEY_COPIED);
    int rc = mdb_del(txn, db->dbis[DB_META], &key, NULL);

    return rc == MDB_NOTFOUND ? 0 : rc;
}
