/* Rows as they are stored: a decoder reads nothing past the end of its row, and what decodes is
 * encoded to a row that decodes to the same.
 *
 * input = kind(1) row
 *   deferred lanes: kind key(17) row; settings: kind which(1) row; keys: kind database(1) key;
 *   keys of ours: kind and what they are made of
 *
 * "The same" is seen in the second encoding: it must be that of the first byte by byte. */
#include "orderly/app/dead_letters.h"
#include "orderly/app/deferred_lane.h"
#include "orderly/app/event_codec.h"
#include "orderly/app/idempotency.h"
#include "orderly/app/message.h"
#include "orderly/app/row_keys.h"
#include "orderly/app/settings_codec.h"
#include "orderly/app/snapshot_codec.h"
#include "orderly/base/mem.h"
#include "orderly/infra/api/render_json.h"
#include "rig/fuzz.h"

#define ROUNDS 2

/* In memory of its own size: a read past the end of an encoding is seen, too. */
static struct str exact_copy(const struct buf *b, char **memory)
{
    *memory = mem_alloc(b->n ? b->n : 1);
    if (b->n)
        memcpy(*memory, b->p, b->n);
    return (struct str){ *memory, b->n };
}

/* Decodes the row and appends its encoding; false: it is damaged. */
typedef bool (*again_cb)(struct str key, struct str row, struct buf *out);

static void try_row(again_cb again, struct str key, struct str row)
{
    struct buf encoded[ROUNDS] = { { 0 } };
    char *memory = NULL;

    if (again(key, row, &encoded[0])) {
        bool is_good = again(key, exact_copy(&encoded[0], &memory), &encoded[1]);

        FUZZ_EXPECT(is_good, "what was just encoded is damaged");
        FUZZ_EXPECT(str_eq(buf_str(&encoded[0]), buf_str(&encoded[1])),
                    "what was decoded anew is another");
        mem_free(memory);
    }
    buf_deinit(&encoded[0]);
    buf_deinit(&encoded[1]);
}

/* ---- events ---------------------------------------------------------------------------------- */

static bool event_again(struct str key, struct str row, struct buf *out)
{
    struct buf json = { 0 };
    struct event e;
    struct arena a;
    bool ok;

    (void)key;
    arena_init(&a, NULL, 0);
    ok = event_decode(row, 42, &e, &a) == ERR_OK;
    if (ok) {
        event_encode(&e, out);
        FUZZ_EXPECT(out->n <= event_encoded_max(&e), "longer than the longest");
        render_json_event(&json, &e);
        buf_deinit(&json);
    }
    arena_deinit(&a);
    return ok;
}

static void try_message(struct str row)
{
    struct message *m;

    if (message_of_row(row, 42, &m) == ERR_OK)
        message_unref(m);
}

/* ---- orders ---------------------------------------------------------------------------------- */

/* The event that an order's row stands on: of the order that the row names, at the place that it
 * names. */
static void placed_of(struct str row, struct event *e)
{
    static const struct order_line lines[] = {
        { .sku = { 10, "WIDGET-001" }, .name = { "Widget", 6 }, .quantity = 2, .price = 1999 }
    };
    static const struct address address = { .street = { "1 Main St", 9 } };
    struct order_summary s;

    *e = (struct event){ .type = EVENT_ORDER_PLACED, .version = 1, .sequence = 1 };
    if (order_snapshot_summary(row, &s) != ERR_OK)
        return;
    e->position = s.placed_position;
    e->stream.type = AGGREGATE_ORDER;
    e->occurred_at_ms = s.created_at_ms;
    e->p.order_id = s.id;
    e->p.flow = s.flow;
    e->p.flow_version = 1;
    e->p.customer_id = s.customer_id;
    e->p.lines = lines;
    e->p.n_lines = 1;
    e->p.address = &address;
    e->p.total = s.total;
    e->p.subtotal = s.total;
    e->p.currency = s.currency;
    e->p.payment_deadline_ms = s.payment_deadline_ms;
}

static bool order_again(struct str key, struct str row, struct buf *out)
{
    struct buf json = { 0 };
    struct event placed;
    struct order *o;
    uint64_t position;

    (void)key;
    placed_of(row, &placed);
    if (order_snapshot_decode(row, &placed, &o) != ERR_OK)
        return false;
    FUZZ_EXPECT(order_snapshot_placed_position(row, &position) == ERR_OK &&
                    position == placed.position,
                "another place");
    order_snapshot_encode(o, out);
    render_json_order(&json, o);
    buf_deinit(&json);
    order_destroy(o);
    return true;
}

/* ---- the others ------------------------------------------------------------------------------ */

static bool cart_again(struct str key, struct str row, struct buf *out)
{
    struct cart c;

    (void)key;
    if (cart_decode(row, &c) != ERR_OK)
        return false;
    cart_encode(&c, out);
    return true;
}

static bool product_again(struct str key, struct str row, struct buf *out)
{
    struct product p;

    (void)key;
    if (product_decode(row, &p) != ERR_OK)
        return false;
    product_encode(&p, out);
    product_deinit(&p);
    return true;
}

static bool stock_again(struct str key, struct str row, struct buf *out)
{
    struct stock s;
    uint64_t position;

    (void)key;
    if (stock_decode(row, &s, &position) != ERR_OK)
        return false;
    stock_encode(&s, position, out);
    return true;
}

static bool payment_again(struct str key, struct str row, struct buf *out)
{
    struct payment p;

    (void)key;
    if (payment_decode(row, &p) != ERR_OK)
        return false;
    payment_encode(&p, out);
    return true;
}

static bool reservation_again(struct str key, struct str row, struct buf *out)
{
    struct reservation r;

    (void)key;
    if (reservation_decode(row, &r) != ERR_OK)
        return false;
    reservation_encode(&r, out);
    reservation_deinit(&r);
    return true;
}

static bool shipment_again(struct str key, struct str row, struct buf *out)
{
    struct shipment s;

    (void)key;
    if (shipment_decode(row, &s) != ERR_OK)
        return false;
    shipment_encode(&s, out);
    shipment_deinit(&s);
    return true;
}

static bool inbox_again(struct str key, struct str row, struct buf *out)
{
    struct inbox i;

    (void)key;
    if (inbox_decode(row, &i) != ERR_OK)
        return false;
    inbox_encode(&i, out);
    return true;
}

static bool settings_again(struct str key, struct str row, struct buf *out)
{
    enum simulator which = (enum simulator)((unsigned)(uint8_t)key.p[0] % SIMULATOR_COUNT);
    struct simulators s = simulators_default;

    if (settings_decode(row, which, &s) != ERR_OK)
        return false;
    FUZZ_EXPECT(s.payments.failure_rate >= 0 && s.payments.failure_rate <= 1, "no rate");
    FUZZ_EXPECT(s.payments.poison_rate >= 0 && s.payments.poison_rate <= 1, "no rate");
    settings_encode(&s, which, out);
    return true;
}

static bool letter_again(struct str key, struct str row, struct buf *out)
{
    struct dead_letter d;

    (void)key;
    if (dead_letter_decode(row, &d) != ERR_OK)
        return false;
    dead_letter_encode(&d, out);
    return true;
}

static bool lane_again(struct str key, struct str row, struct buf *out)
{
    char own[DEFERRED_LANE_KEY_LEN];
    struct deferred_lane d;

    if (deferred_lane_decode(key, row, &d) != ERR_OK)
        return false;
    deferred_lane_key(d.subscription, d.lane, own);
    FUZZ_EXPECT(str_eq(key, (struct str){ own, sizeof(own) }), "another key");
    deferred_lane_encode(&d, out);
    return true;
}

static bool answer_again(struct str key, struct str row, struct buf *out)
{
    struct stored_answer s;

    (void)key;
    if (stored_answer_decode(row, &s) != ERR_OK)
        return false;
    stored_answer_encode(&s, out);
    return true;
}

static void try_key_text(struct str in)
{
    enum store_db db = (enum store_db)(fuzz_take_u8(&in) % STORE_DB_COUNT);
    char *text = mem_alloc(ROW_KEY_TEXT_MAX);

    row_key_text(db, in, text);
    FUZZ_EXPECT(memchr(text, 0, ROW_KEY_TEXT_MAX) != NULL, "no string");
    mem_free(text);
}

/* Each key that we make is shown as what it is. */
static void try_own_key(struct str in)
{
    char key[ROW_KEY_PART_MAX + ROW_KEY_CUSTOMER_MAX], *text = mem_alloc(ROW_KEY_TEXT_MAX);
    unsigned which = fuzz_take_u8(&in), small = fuzz_take_u8(&in);
    struct lane_id lane = { { { 0 } } };
    struct order_id order = { { { 0 } } };
    struct dead_letter_id letter = { { { 0 } } };
    struct customer_id customer = { { 0 } };
    uint64_t number = 0;
    struct str made, id;

    for (unsigned i = 0; i < 8; i++)
        number = number << 8 | fuzz_take_u8(&in);
    for (unsigned i = 0; i < sizeof(lane.u.b); i++)
        lane.u.b[i] = order.u.b[i] = letter.u.b[15 - i] = (uint8_t)fuzz_take_u8(&in);
    id = (struct str){ in.p, in.n < TEXT_ID_MAX ? in.n : TEXT_ID_MAX };
    if (!text_id_parse(id, &customer.t))
        id = STR("x");
    enum store_db db = DB_EVENTS;
    switch (which % 8) {
    case 0:
        made = row_key_position(key, number);
        break;
    case 1:
        db = DB_BY_LANE;
        made = row_key_by_lane(key, lane, number);
        break;
    case 2:
        db = DB_BY_TYPE;
        made = row_key_by_type(key, (enum event_type)(small % EVENT_TYPE_COUNT), number);
        break;
    case 3:
        db = DB_PARTS;
        made = row_key_part(key, lane, (enum aggregate)(small % 4), id);
        break;
    case 4:
        db = DB_ORDERS_BY_STATUS;
        made = row_key_status(key, (enum order_status)(small % ORDER_STATUS_COUNT), order);
        break;
    case 5:
        db = DB_ORDERS_BY_CUSTOMER;
        made = row_key_customer(key, &customer, order);
        break;
    case 6:
        db = DB_UNSETTLED;
        made = row_key_time(key, (int64_t)(number >> 1), order);
        break;
    default:
        db = DB_DEAD_LETTERS_BY_LANE;
        made = row_key_letter(key, lane, letter);
        break;
    }
    FUZZ_EXPECT(made.p == key && made.n <= sizeof(key), "a key elsewhere");
    row_key_text(db, made, text);
    FUZZ_EXPECT(text[0] && memchr(text, 0, ROW_KEY_TEXT_MAX), "no string");
    mem_free(text);
}

static const struct {
    again_cb again;
    size_t key_len; /* that many bytes before the row */
} kinds[] = {
    { event_again, 0 },
    { order_again, 0 },
    { cart_again, 0 },
    { product_again, 0 },
    { stock_again, 0 },
    { payment_again, 0 },
    { reservation_again, 0 },
    { shipment_again, 0 },
    { settings_again, 1 },
    { letter_again, 0 },
    { lane_again, DEFERRED_LANE_KEY_LEN },
    { answer_again, 0 },
    { inbox_again, 0 },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = { (const char *)data, size }, key;
    unsigned kind = fuzz_take_u8(&in) % (ARRAY_LEN(kinds) + 2);

    if (kind >= ARRAY_LEN(kinds)) {
        if (kind == ARRAY_LEN(kinds))
            try_key_text(in);
        else
            try_own_key(in);
        return 0;
    }
    if (in.n < kinds[kind].key_len)
        return 0;
    key = (struct str){ in.p, kinds[kind].key_len };
    in.p += key.n;
    in.n -= key.n;
    try_row(kinds[kind].again, key, in);
    if (kind == 0)
        try_message(in);
    return 0;
}
