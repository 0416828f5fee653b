#include "orderly/app/row_keys.h"
#include "orderly/app/bus.h"
#include "orderly/base/bytes.h"

struct str row_key_position(char key[ROW_KEY_POSITION], uint64_t position)
{
    bytes_put_u64(key, position);
    return (struct str){ key, ROW_KEY_POSITION };
}

struct str row_key_by_lane(char key[ROW_KEY_BY_LANE], struct lane_id lane, uint64_t position)
{
    memcpy(key, lane.u.b, sizeof(lane.u.b));
    bytes_put_u64(key + sizeof(lane.u.b), position);
    return (struct str){ key, ROW_KEY_BY_LANE };
}

struct str row_key_by_type(char key[ROW_KEY_BY_TYPE], enum event_type type, uint64_t position)
{
    bytes_put_u16(key, (uint16_t)type);
    bytes_put_u64(key + 2, position);
    return (struct str){ key, ROW_KEY_BY_TYPE };
}

struct str row_key_owner(char key[ROW_KEY_OWNER_MAX], enum aggregate type, struct str id)
{
    REQUIRE(id.n <= TEXT_ID_MAX);
    key[0] = (char)type;
    if (id.n)
        memcpy(key + 1, id.p, id.n);
    return (struct str){ key, 1 + id.n };
}

struct str row_key_part(char key[ROW_KEY_PART_MAX], struct lane_id lane, enum aggregate type,
                        struct str id)
{
    struct str rest = row_key_owner(key + sizeof(lane.u.b), type, id);

    memcpy(key, lane.u.b, sizeof(lane.u.b));
    return (struct str){ key, sizeof(lane.u.b) + rest.n };
}

struct str row_key_status(char key[ROW_KEY_STATUS], enum order_status status, struct order_id id)
{
    key[0] = (char)status;
    memcpy(key + 1, id.u.b, sizeof(id.u.b));
    return (struct str){ key, ROW_KEY_STATUS };
}

struct str row_key_customer(char key[ROW_KEY_CUSTOMER_MAX], const struct customer_id *customer,
                            struct order_id id)
{
    struct str c = text_id_str(&customer->t);

    if (c.n)
        memcpy(key, c.p, c.n);
    key[c.n] = 0;
    memcpy(key + c.n + 1, id.u.b, sizeof(id.u.b));
    return (struct str){ key, c.n + 1 + sizeof(id.u.b) };
}

struct str row_key_time(char key[ROW_KEY_TIME], int64_t ms, struct order_id id)
{
    bytes_put_u64(key, (uint64_t)ms);
    memcpy(key + 8, id.u.b, sizeof(id.u.b));
    return (struct str){ key, ROW_KEY_TIME };
}

struct str row_key_letter(char key[ROW_KEY_LETTER], struct lane_id lane, struct dead_letter_id id)
{
    memcpy(key, lane.u.b, sizeof(lane.u.b));
    memcpy(key + sizeof(lane.u.b), id.u.b, sizeof(id.u.b));
    return (struct str){ key, ROW_KEY_LETTER };
}

struct str row_key_letters(char *key, enum subscription_id s)
{
    memcpy(key, BUS_META_LETTERS, sizeof(BUS_META_LETTERS) - 1);
    key[sizeof(BUS_META_LETTERS) - 1] = (char)s;
    return (struct str){ key, sizeof(BUS_META_LETTERS) };
}

/* ---- for people ------------------------------------------------------------------------------ */

/* Each piece takes from the front of the key. A key that has too little left, or too much at the
 * end, is none of this database. */
struct key_text {
    struct str rest;
    char *out;
    size_t n;
    bool is_odd;
};

static void text_add(struct key_text *t, struct str s)
{
    if (t->n > 0 && t->n + 1 < ROW_KEY_TEXT_MAX)
        t->out[t->n++] = ' ';
    for (size_t i = 0; i < s.n && t->n + 1 < ROW_KEY_TEXT_MAX; i++)
        t->out[t->n++] = s.p[i];
    t->out[t->n] = '\0';
}

static const char *text_take(struct key_text *t, size_t n)
{
    const char *p = t->rest.p;

    if (t->is_odd || t->rest.n < n) {
        t->is_odd = true;
        return NULL;
    }
    t->rest.p += n;
    t->rest.n -= n;
    return p;
}

static void text_uuid(struct key_text *t)
{
    const char *p = text_take(t, sizeof(struct uuid));
    char text[UUID_TEXT_LEN];
    struct uuid u;

    if (!p)
        return;
    memcpy(u.b, p, sizeof(u.b));
    uuid_format(u, text);
    text_add(t, (struct str){ text, sizeof(text) });
}

static void text_number(struct key_text *t)
{
    const char *p = text_take(t, 8);
    char digits[20];
    size_t n = sizeof(digits);
    uint64_t v;

    if (!p)
        return;
    v = bytes_get_u64(p);
    do {
        digits[--n] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    text_add(t, (struct str){ digits + n, sizeof(digits) - n });
}

/* The name of what a byte stands for. */
static void text_name(struct key_text *t, struct str (*name)(unsigned), unsigned count)
{
    const char *p = text_take(t, 1);

    if (!p)
        return;
    if ((uint8_t)*p == 0 || (uint8_t)*p >= count)
        t->is_odd = true;
    else
        text_add(t, name((uint8_t)*p));
}

static struct str name_of_subscription(unsigned n)
{
    return subscription_name((enum subscription_id)n);
}

static struct str name_of_aggregate(unsigned n)
{
    return aggregate_name((enum aggregate)n);
}

static struct str name_of_status(unsigned n)
{
    return order_status_name((enum order_status)n);
}

static void text_type(struct key_text *t)
{
    const char *p = text_take(t, 2);
    unsigned type = p ? bytes_get_u16(p) : 0;

    if (type == EVENT_NONE || type >= EVENT_TYPE_COUNT)
        t->is_odd = true;
    else
        text_add(t, event_infos[type].type);
}

/* All that is left, if a person can read it. */
static void text_words(struct key_text *t, size_t n)
{
    const char *p = text_take(t, n);

    if (!p || n == 0) {
        t->is_odd = true;
        return;
    }
    for (size_t i = 0; i < n; i++)
        t->is_odd |= p[i] < ' ' || p[i] > '~';
    if (!t->is_odd)
        text_add(t, (struct str){ p, n });
}

static void text_meta(struct key_text *t)
{
    const struct str letters = STR(BUS_META_LETTERS);

    if (str_starts_with(t->rest, letters) && t->rest.n == letters.n + 1) {
        text_words(t, letters.n - 1); /* without its colon */
        (void)text_take(t, 1);
        text_name(t, name_of_subscription, SUBSCRIPTION_COUNT);
    } else {
        text_words(t, t->rest.n);
    }
}

static void text_of(struct key_text *t, enum store_db db)
{
    switch (db) {
    case DB_EVENTS:
        text_number(t);
        return;
    case DB_BY_LANE:
        text_uuid(t);
        text_number(t);
        return;
    case DB_BY_TYPE:
        text_type(t);
        text_number(t);
        return;
    case DB_ORDERS:
    case DB_CARTS:
    case DB_REFUNDS_DUE:
    case DB_DEAD_LETTERS:
    case DB_IDEMPOTENCY:
        text_uuid(t);
        return;
    case DB_PARTS:
        text_uuid(t);
        text_name(t, name_of_aggregate, AGGREGATE_COUNT);
        text_words(t, t->rest.n);
        return;
    case DB_OWNERS:
        text_name(t, name_of_aggregate, AGGREGATE_COUNT);
        text_words(t, t->rest.n);
        return;
    case DB_ORDERS_BY_STATUS:
        text_name(t, name_of_status, ORDER_STATUS_COUNT);
        text_uuid(t);
        return;
    case DB_ORDERS_BY_CUSTOMER:
        text_words(t, t->rest.n > 17 ? t->rest.n - 17 : 0);
        t->is_odd |= t->rest.n > 0 && t->rest.p[0] != 0;
        (void)text_take(t, 1);
        text_uuid(t);
        return;
    case DB_UNSETTLED:
    case DB_DEADLINES:
    case DB_IDEMPOTENCY_EXPIRY:
        text_number(t);
        text_uuid(t);
        return;
    case DB_LANES:
        text_name(t, name_of_subscription, SUBSCRIPTION_COUNT);
        text_uuid(t);
        return;
    case DB_DEAD_LETTERS_BY_LANE:
        text_uuid(t);
        text_uuid(t);
        return;
    case DB_IGNORED:
        text_uuid(t);
        text_number(t);
        text_name(t, name_of_subscription, SUBSCRIPTION_COUNT);
        return;
    case DB_CURSORS:
        text_name(t, name_of_subscription, SUBSCRIPTION_COUNT);
        return;
    case DB_PRODUCTS:
    case DB_STOCK:
    case DB_SETTINGS:
        text_words(t, t->rest.n);
        return;
    case DB_META:
        text_meta(t);
        return;
    case STORE_DB_COUNT:
        break;
    }
    t->is_odd = true;
}

void row_key_text(enum store_db db, struct str key, char *out)
{
    static const char digits[] = "0123456789abcdef";
    struct key_text t = { .rest = key, .out = out };
    size_t n = 0;

    out[0] = '\0';
    text_of(&t, db);
    if (!t.is_odd && t.rest.n == 0)
        return;
    for (size_t i = 0; i < key.n && n + 2 < ROW_KEY_TEXT_MAX; i++) {
        out[n++] = digits[(uint8_t)key.p[i] >> 4];
        out[n++] = digits[(uint8_t)key.p[i] & 15];
    }
    out[n] = '\0';
}
