/* The rows that became durable, apart from the events: what the store has to hold until it is told
 * otherwise. */
#include "orderly/app/lanes.h"
#include "orderly/base/bytes.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "witness_private.h"

void rows_init(struct witness *w)
{
    map_init(&w->rows, &w->key);
}

static void row_free(void *ctx, struct map_node *n)
{
    struct durable_row *r = container_of(n, struct durable_row, node);

    (void)ctx;
    mem_free((char *)r->value.p);
    mem_free(r);
}

void rows_deinit(struct witness *w)
{
    map_each(&w->rows, row_free, NULL);
    map_deinit(&w->rows);
}

static struct str full_key(char out[1 + STORE_KEY_MAX], enum store_db db, struct str key)
{
    REQUIRE(key.n <= STORE_KEY_MAX);
    out[0] = (char)db;
    if (key.n)
        memcpy(out + 1, key.p, key.n);
    return (struct str){ out, key.n + 1 };
}

const struct durable_row *rows_find(const struct witness *w, enum store_db db, struct str key)
{
    char bytes[1 + STORE_KEY_MAX];
    struct map_node *n = map_find(&w->rows, full_key(bytes, db, key));

    return n ? container_of(n, struct durable_row, node) : NULL;
}

/* ---- whose a row is -------------------------------------------------------------------------- */

static bool lane_at(struct str s, size_t at, struct lane_id *out)
{
    if (s.n < at + sizeof(out->u.b))
        return false;
    memcpy(out->u.b, s.p + at, sizeof(out->u.b));
    return true;
}

/* Of the rows that follow from the events of one lane. False: it is none of these. */
static bool row_lane(enum store_db db, struct str key, struct str value, struct lane_id *out)
{
    switch (db) {
    case DB_ORDERS:
    case DB_PARTS:
    case DB_CARTS:
    case DB_REFUNDS_DUE:
        return lane_at(key, 0, out);
    case DB_OWNERS:
        return lane_at(value, 0, out);
    case DB_PRODUCTS:
        *out = lane_of_text(key);
        return true;
    case DB_ORDERS_BY_STATUS:
        return lane_at(key, 1, out);
    case DB_ORDERS_BY_CUSTOMER:
        return key.n >= 16 && lane_at(key, key.n - 16, out);
    case DB_UNSETTLED:
    case DB_DEADLINES:
        return lane_at(key, 8, out);
    default:
        return false;
    }
}

static void row_count(struct witness *w, enum store_db db, struct str key, struct str value,
                      int change)
{
    struct lane_id id;
    struct seen_lane *l;

    if (!row_lane(db, key, value, &id))
        return;
    l = history_lane(w, id);
    l->n_rows += (unsigned)change;
    history_touch(w, l);
}

/* ---- changes --------------------------------------------------------------------------------- */

static void row_set(struct durable_row *r, struct str value)
{
    if (value.n > r->value_cap) {
        r->value_cap = 2 * value.n;
        r->value.p = mem_realloc((char *)r->value.p, r->value_cap);
    }
    if (value.n)
        memcpy((char *)r->value.p, value.p, value.n);
    r->value.n = value.n;
}

void rows_apply(struct witness *w, const struct store_row *row)
{
    struct durable_row *r = (struct durable_row *)rows_find(w, row->db, row->key);

    if (r)
        row_count(w, row->db, row->key, r->value, -1);
    if (row->is_delete) {
        if (!r)
            return;
        map_remove(&w->rows, &r->node);
        w->n_rows[row->db]--;
        row_free(NULL, &r->node);
        return;
    }
    if (!r) {
        r = mem_zalloc(sizeof(*r));
        r->db = row->db;
        r->key_n = full_key(r->key, row->db, row->key).n;
        map_insert(&w->rows, &r->node, (struct str){ r->key, r->key_n });
        w->n_rows[row->db]++;
    }
    row_set(r, row->value);
    row_count(w, row->db, row->key, r->value, 1);
}

struct str row_key_of(const struct durable_row *r)
{
    return (struct str){ r->key + 1, r->key_n - 1 };
}

/* ---- the store ------------------------------------------------------------------------------- */

static enum sim_invariant invariant_of(enum store_db db)
{
    switch (db) {
    case DB_EVENTS:
    case DB_BY_LANE:
    case DB_BY_TYPE:
        return SIM_ACKNOWLEDGED;
    case DB_STOCK:
        return SIM_STOCK;
    case DB_CURSORS:
    case DB_LANES:
    case DB_IGNORED:
        return SIM_CURSOR;
    case DB_DEAD_LETTERS:
    case DB_DEAD_LETTERS_BY_LANE:
        return SIM_DEAD_LETTER;
    case DB_IDEMPOTENCY:
    case DB_IDEMPOTENCY_EXPIRY:
        return SIM_ONCE;
    default:
        return SIM_READ_MODEL;
    }
}

static bool row_is_known(const struct witness *w, enum store_db db, struct str key,
                         struct str value)
{
    const struct durable_row *r;
    const struct seen *s;

    switch (db) {
    case DB_EVENTS:
        s = key.n == 8 ? history_at(w, bytes_get_u64(key.p)) : NULL;
        return s && str_eq(s->row, value);
    case DB_BY_LANE:
        s = key.n == 24 ? history_at(w, bytes_get_u64(key.p + 16)) : NULL;
        return s && memcmp(key.p, s->lane->id.u.b, 16) == 0;
    case DB_BY_TYPE:
        s = key.n == 10 ? history_at(w, bytes_get_u64(key.p + 2)) : NULL;
        return s && bytes_get_u16(key.p) == s->type;
    default:
        r = rows_find(w, db, key);
        return r && str_eq(r->value, value);
    }
}

static uint64_t rows_expected(const struct witness *w, enum store_db db)
{
    return db == DB_EVENTS || db == DB_BY_LANE || db == DB_BY_TYPE ? w->n_events : w->n_rows[db];
}

static void compare_db(struct witness *w, const struct store_view *v, enum store_db db)
{
    char at[STORE_KEY_MAX];
    struct str key = STR(""), value;
    enum store_seek how = STORE_GE;
    uint64_t n = 0;

    for (;;) {
        enum err err;

        arena_reset(&w->scratch);
        err = store_seek(v, db, how, key, &w->scratch, &key, &value);
        if (err == ERR_NOT_FOUND)
            break;
        if (err != ERR_OK || !row_is_known(w, db, key, value)) {
            witness_violate(w, invariant_of(db), NULL, "%s has a row that was never committed",
                            store_db_name(db));
            return;
        }
        n++;
        memcpy(at, key.p, key.n);
        key.p = at;
        how = STORE_GT;
    }
    if (n != rows_expected(w, db))
        witness_violate(w, invariant_of(db), NULL, "%s has %llu rows, and %llu were committed",
                        store_db_name(db), (unsigned long long)n,
                        (unsigned long long)rows_expected(w, db));
}

void rows_compare(struct witness *w, const struct store_view *v)
{
    for (unsigned db = 0; db < STORE_DB_COUNT; db++)
        compare_db(w, v, (enum store_db)db);
}
