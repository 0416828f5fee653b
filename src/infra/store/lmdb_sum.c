#include "lmdb_sum.h"
#include "orderly/base/check.h"
#include <sodium.h>

#define SUM_LEN sizeof(struct digest16)
#define SHORT_LEN crypto_shorthash_BYTES
#define SHORT_VALUE_MAX 64 /* of the rows of lists */
#define DB_NAME_MAX 32     /* with its NUL */

/* A short one for what can be made again from the events. */
enum lmdb_seal lmdb_seal_of(enum store_db db)
{
    switch (db) {
    case DB_EVENTS:
        return SEAL_CHAIN;
    case DB_ORDERS:
    case DB_PARTS:
    case DB_CARTS:
    case DB_PRODUCTS:
    case DB_STOCK:
    case DB_IDEMPOTENCY:
    case DB_LANES:
    case DB_DEAD_LETTERS:
    case DB_IGNORED:
    case DB_CURSORS:
    case DB_SETTINGS:
    case DB_META:
        return SEAL_SUM;
    case DB_BY_LANE:
    case DB_BY_TYPE:
    case DB_OWNERS:
    case DB_ORDERS_BY_STATUS:
    case DB_ORDERS_BY_CUSTOMER:
    case DB_UNSETTLED:
    case DB_REFUNDS_DUE:
    case DB_DEADLINES:
    case DB_IDEMPOTENCY_EXPIRY:
    case DB_DEAD_LETTERS_BY_LANE:
        return SEAL_SHORT;
    case STORE_DB_COUNT:
        break;
    }
    UNREACHABLE("no such database");
}

size_t lmdb_seal_len(enum store_db db)
{
    switch (lmdb_seal_of(db)) {
    case SEAL_SHORT:
        return SHORT_LEN;
    case SEAL_SUM:
        return SUM_LEN;
    case SEAL_CHAIN:
        return 2 * SUM_LEN;
    }
    UNREACHABLE("no such seal");
}

/* The name ends with a NUL, the key has its length before it and `before` is there or not by
 * database: no two rows give the same bytes. */
static void sum_of(enum store_db db, struct str key, struct str value,
                   const struct digest16 *before, struct digest16 *out)
{
    crypto_generichash_blake2b_state state;
    const char *name = store_db_name(db);
    size_t n = strlen(name) + 1;
    unsigned char head[DB_NAME_MAX + 1 + STORE_KEY_MAX + SUM_LEN];

    REQUIRE(key.n <= STORE_KEY_MAX);
    REQUIRE(n <= DB_NAME_MAX);
    memcpy(head, name, n);
    head[n++] = (unsigned char)key.n;
    if (key.n)
        memcpy(head + n, key.p, key.n);
    n += key.n;
    if (before) {
        memcpy(head + n, before->b, SUM_LEN);
        n += SUM_LEN;
    }
    (void)crypto_generichash_blake2b_init(&state, NULL, 0, SUM_LEN);
    (void)crypto_generichash_blake2b_update(&state, head, n);
    if (value.n)
        (void)crypto_generichash_blake2b_update(&state, (const unsigned char *)value.p, value.n);
    (void)crypto_generichash_blake2b_final(&state, out->b, SUM_LEN);
}

/* False: the row is longer than any of a list. */
static bool short_sum_of(enum store_db db, struct str key, struct str value,
                         unsigned char out[SHORT_LEN])
{
    static const unsigned char hash_key[crypto_shorthash_KEYBYTES] = "orderly's lists";
    unsigned char text[2 + STORE_KEY_MAX + SHORT_VALUE_MAX];
    size_t n = 0;

    REQUIRE(key.n <= STORE_KEY_MAX);
    if (value.n > SHORT_VALUE_MAX)
        return false;
    text[n++] = (unsigned char)db;
    text[n++] = (unsigned char)key.n;
    memcpy(text + n, key.p, key.n);
    n += key.n;
    if (value.n)
        memcpy(text + n, value.p, value.n);
    n += value.n;
    (void)crypto_shorthash(out, text, n, hash_key);
    return true;
}

/* What was stored lies behind the value. */
static bool short_sum_is(enum store_db db, struct str key, struct str value)
{
    unsigned char should[SHORT_LEN];

    return short_sum_of(db, key, value, should) &&
           memcmp(value.p + value.n, should, sizeof(should)) == 0;
}

void lmdb_seal_write(enum store_db db, struct str key, struct str value,
                     const struct digest16 *before, char *out, struct digest16 *sum)
{
    enum lmdb_seal seal = lmdb_seal_of(db);
    struct digest16 own;

    if (value.n)
        memcpy(out, value.p, value.n);
    out += value.n;
    if (seal == SEAL_SHORT) {
        ENSURE(short_sum_of(db, key, value, (unsigned char *)out));
        return;
    }
    if (seal == SEAL_CHAIN) {
        memcpy(out, before->b, SUM_LEN);
        out += SUM_LEN;
        sum_of(db, key, value, before, sum);
        memcpy(out, sum->b, SUM_LEN);
        return;
    }
    sum_of(db, key, value, NULL, &own);
    memcpy(out, own.b, SUM_LEN);
}

bool lmdb_seal_open(enum store_db db, struct str key, struct str stored, struct str *value,
                    struct digest16 *before, struct digest16 *sum)
{
    enum lmdb_seal seal = lmdb_seal_of(db);
    size_t len = lmdb_seal_len(db);
    struct digest16 is;
    struct digest16 was;
    struct digest16 should;

    *value = stored;
    if (stored.n < len || key.n > STORE_KEY_MAX)
        return false;
    value->n -= len;
    if (seal == SEAL_SHORT)
        return short_sum_is(db, key, *value);
    memcpy(is.b, stored.p + stored.n - SUM_LEN, SUM_LEN);
    if (seal == SEAL_CHAIN) {
        memcpy(was.b, stored.p + value->n, SUM_LEN);
        if (before)
            *before = was;
        if (sum)
            *sum = is;
    }
    sum_of(db, key, *value, seal == SEAL_CHAIN ? &was : NULL, &should);
    return memcmp(is.b, should.b, SUM_LEN) == 0;
}
