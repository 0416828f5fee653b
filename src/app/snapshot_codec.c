#include "orderly/app/snapshot_codec.h"
#include "orderly/base/mem.h"
#include "row_codec.h"

/* One format byte per kind of row, so that a row found under the wrong key is seen as damage. */
enum row_format {
    ROW_ORDER = 0x11,
    ROW_CART = 0x21,
    ROW_PRODUCT = 0x31,
    ROW_STOCK = 0x41,
    ROW_PAYMENT = 0x51,
    ROW_RESERVATION = 0x61,
    ROW_SHIPMENT = 0x71,
    ROW_INBOX = 0x81,
};

static struct bytes_reader row_open(struct str row, enum row_format format)
{
    struct bytes_reader r = bytes_reader_of(row);

    r.bad |= bytes_read_u8(&r) != format;
    return r;
}

static struct str text_copy(struct str s)
{
    char *p;

    if (s.n == 0)
        return STR_NONE;
    p = mem_alloc(s.n);
    memcpy(p, s.p, s.n);
    return (struct str){ p, s.n };
}

/* ---- order ----------------------------------------------------------------------------------- */

#define ORDER_FIXED_ROOM 512
#define ORDER_EFFECT_ROOM (4 + ROW_ID_ROOM + 8 + 3)

enum order_flag { ORDER_FLAG_PAYMENT_REQUESTED = 1, ORDER_FLAGS_ALL = 1 };
enum effect_flag { EFFECT_FLAG_OWN = 1, EFFECT_FLAG_UNASKED = 2, EFFECT_FLAGS_ALL = 3 };

void order_snapshot_encode(const struct order *o, struct buf *out)
{
    const struct order_body *b = o->body;
    size_t room = ORDER_FIXED_ROOM + ROW_TEXT_ROOM(o->tracking_number.n) +
                  ROW_TEXT_ROOM(o->cancellation_reason.n) + ROW_TEXT_ROOM(o->rejection_reason.n) +
                  ROW_TEXT_ROOM(o->payment_failure_reason.n) +
                  o->n_effects * (size_t)ORDER_EFFECT_ROOM;
    uint8_t *start = (uint8_t *)buf_reserve(out, room), *at = start;

    REQUIRE(b);
    REQUIRE(o->n_effects <= UINT16_MAX);
    at = row_put_u8(at, ROW_ORDER);
    at = row_put_u64(at, b->placed_position);
    at = row_put_uuid(at, b->id.u);
    at = row_put_u8(at, b->flow);
    at = row_put_u8(at, o->status);
    at = row_put_id(at, &b->customer_id.t);
    at = row_put_i64(at, b->created_at_ms);
    at = row_put_i64(at, o->updated_at_ms);
    at = row_put_i64(at, b->total);
    at = row_put_currency(at, b->currency);
    at = row_put_i64(at, b->payment_deadline_ms);
    at = row_put_i64(at, o->unsettled_since_ms);
    at = row_put_u64(at, o->sequence);
    /* So far the summary; the rest is for the order itself. */
    at = row_put_u32(at, o->visited);
    at = row_put_u8(at, o->payment_requested ? ORDER_FLAG_PAYMENT_REQUESTED : 0);
    at = row_put_id(at, &o->payment_id.t);
    at = row_put_id(at, &o->reservation_id.t);
    at = row_put_id(at, &o->shipment_id.t);
    at = row_put_id(at, &o->invoice_id.t);
    at = row_put_text(at, o->tracking_number);
    at = row_put_text(at, o->cancellation_reason);
    at = row_put_text(at, o->rejection_reason);
    at = row_put_text(at, o->payment_failure_reason);
    at = row_put_i64(at, o->delivered_at_ms);
    at = row_put_u16(at, o->n_effects);
    for (unsigned i = 0; i < o->n_effects; i++) {
        const struct order_effect *e = &o->effects[i];

        at = row_put_u8(at, e->kind);
        at = row_put_u8(at, (e->is_own ? EFFECT_FLAG_OWN : 0u) |
                                (e->is_unasked ? EFFECT_FLAG_UNASKED : 0u));
        at = row_put_u8(at, e->due);
        at = row_put_id(at, &e->id);
        at = row_put_i64(at, e->amount);
        at = row_put_currency(at, e->currency);
    }
    ENSURE((size_t)(at - start) <= room);
    out->n += (size_t)(at - start);
}

static void order_read_summary(struct bytes_reader *r, struct order_summary *s)
{
    *s = (struct order_summary){ 0 };
    s->placed_position = bytes_read_u64(r);
    row_read_uuid(r, &s->id.u);
    s->flow = (enum flow_id)row_read_enum(r, FLOW_COUNT);
    s->status = (enum order_status)row_read_enum(r, ORDER_STATUS_COUNT);
    row_read_id(r, &s->customer_id.t);
    s->created_at_ms = row_read_i64(r);
    s->updated_at_ms = row_read_i64(r);
    s->total = row_read_i64(r);
    row_read_currency(r, &s->currency);
    s->payment_deadline_ms = row_read_i64(r);
    s->unsettled_since_ms = row_read_i64(r);
    s->sequence = bytes_read_u64(r);
    r->bad |= s->flow == FLOW_NONE || s->status == ORDER_NONE;
}

enum err order_snapshot_summary(struct str row, struct order_summary *out)
{
    struct bytes_reader r = row_open(row, ROW_ORDER);

    order_read_summary(&r, out);
    return r.bad ? ERR_DAMAGED : ERR_OK;
}

enum err order_snapshot_placed_position(struct str row, uint64_t *position)
{
    struct bytes_reader r = row_open(row, ROW_ORDER);

    *position = bytes_read_u64(&r);
    return r.bad ? ERR_DAMAGED : ERR_OK;
}

static void order_read_effects(struct bytes_reader *r, struct order *o)
{
    unsigned n = row_read_count(r, 4 + 8 + 3);

    if (n > ORDER_EFFECTS_INLINE) {
        o->effects = mem_alloc(n * sizeof(*o->effects));
        o->effects_cap = n;
    }
    for (unsigned i = 0; i < n; i++) {
        struct order_effect *e = &o->effects[i];
        unsigned flags;

        memset(e, 0, sizeof(*e));
        e->kind = (enum effect_kind)row_read_enum(r, EFFECT_SHIPMENT + 1);
        flags = row_read_enum(r, EFFECT_FLAGS_ALL + 1);
        e->is_own = flags & EFFECT_FLAG_OWN;
        e->is_unasked = flags & EFFECT_FLAG_UNASKED;
        e->due = (enum due)row_read_enum(r, DUE_DONE + 1);
        row_read_id(r, &e->id);
        e->amount = row_read_i64(r);
        row_read_currency(r, &e->currency);
    }
    o->n_effects = n;
}

static void order_read_rest(struct bytes_reader *r, struct order *o)
{
    unsigned flags;

    o->visited = bytes_read_u32(r);
    r->bad |= o->visited >= 1u << ORDER_STATUS_COUNT || !(o->visited & (1u << o->status));
    flags = row_read_enum(r, ORDER_FLAGS_ALL + 1);
    o->payment_requested = flags & ORDER_FLAG_PAYMENT_REQUESTED;
    row_read_id(r, &o->payment_id.t);
    row_read_id(r, &o->reservation_id.t);
    row_read_id(r, &o->shipment_id.t);
    row_read_id(r, &o->invoice_id.t);
    o->tracking_number = text_copy(row_read_text(r));
    o->cancellation_reason = text_copy(row_read_text(r));
    o->rejection_reason = text_copy(row_read_text(r));
    o->payment_failure_reason = text_copy(row_read_text(r));
    o->delivered_at_ms = row_read_i64(r);
    order_read_effects(r, o);
}

static bool is_placing_of(const struct event *placed, const struct order_summary *s)
{
    return placed->type == EVENT_ORDER_PLACED && placed->position == s->placed_position &&
           uuid_eq(placed->p.order_id.u, s->id.u) && placed->p.flow == s->flow &&
           placed->p.total == s->total && currency_eq(placed->p.currency, s->currency);
}

enum err order_snapshot_decode(struct str row, const struct event *placed, struct order **out)
{
    struct bytes_reader r = row_open(row, ROW_ORDER);
    struct order_summary s;
    struct order *o;

    order_read_summary(&r, &s);
    if (r.bad || !is_placing_of(placed, &s))
        return ERR_DAMAGED;
    o = order_create();
    order_apply(o, placed);
    o->status = s.status;
    o->updated_at_ms = s.updated_at_ms;
    o->unsettled_since_ms = s.unsettled_since_ms;
    o->sequence = s.sequence;
    order_read_rest(&r, o);
    if (!row_ended_well(&r)) {
        order_destroy(o);
        return ERR_DAMAGED;
    }
    *out = o;
    return ERR_OK;
}

/* ---- cart ------------------------------------------------------------------------------------ */

void cart_encode(const struct cart *c, struct buf *out)
{
    size_t room = 256 + c->n_lines * (size_t)(ROW_SKU_ROOM + 8);
    uint8_t *start = (uint8_t *)buf_reserve(out, room), *at = start;

    at = row_put_u8(at, ROW_CART);
    at = row_put_uuid(at, c->id.u);
    at = row_put_id(at, &c->customer_id.t);
    at = row_put_u8(at, c->is_converted);
    at = row_put_uuid(at, c->order_id.u);
    at = row_put_u64(at, c->sequence);
    at = row_put_i64(at, c->created_at_ms);
    at = row_put_i64(at, c->updated_at_ms);
    at = row_put_u16(at, c->n_lines);
    for (unsigned i = 0; i < c->n_lines; i++) {
        at = row_put_sku(at, &c->lines[i].sku);
        at = row_put_i64(at, c->lines[i].quantity);
    }
    ENSURE((size_t)(at - start) <= room);
    out->n += (size_t)(at - start);
}

enum err cart_decode(struct str row, struct cart *out)
{
    struct bytes_reader r = row_open(row, ROW_CART);

    memset(out, 0, sizeof(*out));
    row_read_uuid(&r, &out->id.u);
    row_read_id(&r, &out->customer_id.t);
    out->is_converted = row_read_bool(&r);
    row_read_uuid(&r, &out->order_id.u);
    out->sequence = bytes_read_u64(&r);
    out->created_at_ms = row_read_i64(&r);
    out->updated_at_ms = row_read_i64(&r);
    out->n_lines = row_read_count(&r, 1 + 8);
    if (out->n_lines > CART_LINES_MAX)
        return ERR_DAMAGED;
    for (unsigned i = 0; i < out->n_lines; i++) {
        row_read_sku(&r, &out->lines[i].sku);
        out->lines[i].quantity = row_read_i64(&r);
        r.bad |= out->lines[i].quantity < 1 || out->lines[i].quantity > CART_QUANTITY_MAX;
    }
    return row_ended_well(&r) ? ERR_OK : ERR_DAMAGED;
}

/* ---- product and stock ----------------------------------------------------------------------- */

void product_encode(const struct product *p, struct buf *out)
{
    size_t room = 128 + ROW_TEXT_ROOM(p->name.n) + ROW_TEXT_ROOM(p->description.n);
    uint8_t *start = (uint8_t *)buf_reserve(out, room), *at = start;

    at = row_put_u8(at, ROW_PRODUCT);
    at = row_put_sku(at, &p->sku);
    at = row_put_text(at, p->name);
    at = row_put_text(at, p->description);
    at = row_put_u8(at, p->has_price);
    at = row_put_i64(at, p->price);
    at = row_put_currency(at, p->currency);
    at = row_put_u64(at, p->sequence);
    ENSURE((size_t)(at - start) <= room);
    out->n += (size_t)(at - start);
}

enum err product_decode(struct str row, struct product *out)
{
    struct bytes_reader r = row_open(row, ROW_PRODUCT);
    struct str name, description;

    memset(out, 0, sizeof(*out));
    row_read_sku(&r, &out->sku);
    name = row_read_text(&r);
    description = row_read_text(&r);
    out->has_price = row_read_bool(&r);
    out->price = row_read_i64(&r);
    row_read_currency(&r, &out->currency);
    out->sequence = bytes_read_u64(&r);
    if (!row_ended_well(&r))
        return ERR_DAMAGED;
    out->name = text_copy(name);
    out->description = text_copy(description);
    return ERR_OK;
}

void stock_encode(const struct stock *s, uint64_t position, struct buf *out)
{
    uint8_t *at = (uint8_t *)buf_reserve(out, 1 + 24);

    at = row_put_u8(at, ROW_STOCK);
    at = row_put_i64(at, s->on_hand);
    at = row_put_i64(at, s->reserved);
    row_put_u64(at, position);
    out->n += 1 + 24;
}

enum err stock_decode(struct str row, struct stock *out, uint64_t *position)
{
    struct bytes_reader r = row_open(row, ROW_STOCK);

    out->on_hand = row_read_i64(&r);
    out->reserved = row_read_i64(&r);
    *position = bytes_read_u64(&r);
    return row_ended_well(&r) ? ERR_OK : ERR_DAMAGED;
}

/* ---- payment, reservation, shipment ---------------------------------------------------------- */

void payment_encode(const struct payment *p, struct buf *out)
{
    uint8_t *start = (uint8_t *)buf_reserve(out, 64), *at = start;

    at = row_put_u8(at, ROW_PAYMENT);
    at = row_put_u8(at, p->status);
    at = row_put_u8(at, p->is_ours);
    at = row_put_i64(at, p->amount);
    at = row_put_currency(at, p->currency);
    at = row_put_u64(at, p->sequence);
    out->n += (size_t)(at - start);
}

enum err payment_decode(struct str row, struct payment *out)
{
    struct bytes_reader r = row_open(row, ROW_PAYMENT);

    memset(out, 0, sizeof(*out));
    out->status = (enum payment_status)row_read_enum(&r, PAYMENT_STATUS_REFUNDED + 1);
    out->is_ours = row_read_bool(&r);
    out->amount = row_read_i64(&r);
    row_read_currency(&r, &out->currency);
    out->sequence = bytes_read_u64(&r);
    return row_ended_well(&r) ? ERR_OK : ERR_DAMAGED;
}

void reservation_encode(const struct reservation *r, struct buf *out)
{
    size_t room = 64 + r->n_lines * (size_t)(ROW_SKU_ROOM + 8);
    uint8_t *start = (uint8_t *)buf_reserve(out, room), *at = start;

    REQUIRE(r->n_lines <= UINT16_MAX);
    at = row_put_u8(at, ROW_RESERVATION);
    at = row_put_u8(at, r->status);
    at = row_put_u8(at, r->is_ours);
    at = row_put_u64(at, r->sequence);
    at = row_put_u16(at, r->n_lines);
    for (unsigned i = 0; i < r->n_lines; i++) {
        at = row_put_sku(at, &r->lines[i].sku);
        at = row_put_i64(at, r->lines[i].quantity);
    }
    ENSURE((size_t)(at - start) <= room);
    out->n += (size_t)(at - start);
}

enum err reservation_decode(struct str row, struct reservation *out)
{
    struct bytes_reader r = row_open(row, ROW_RESERVATION);

    memset(out, 0, sizeof(*out));
    out->status = (enum reservation_status)row_read_enum(&r, RESERVATION_STATUS_TAKEN + 1);
    out->is_ours = row_read_bool(&r);
    out->sequence = bytes_read_u64(&r);
    out->n_lines = row_read_count(&r, 1 + 8);
    if (out->n_lines)
        out->lines = mem_zalloc(out->n_lines * sizeof(*out->lines));
    for (unsigned i = 0; i < out->n_lines; i++) {
        row_read_sku(&r, &out->lines[i].sku);
        out->lines[i].quantity = row_read_i64(&r);
    }
    if (row_ended_well(&r))
        return ERR_OK;
    reservation_deinit(out);
    return ERR_DAMAGED;
}

void shipment_encode(const struct shipment *s, struct buf *out)
{
    size_t room = 128 + ROW_TEXT_ROOM(s->tracking_number.n);
    uint8_t *start = (uint8_t *)buf_reserve(out, room), *at = start;

    at = row_put_u8(at, ROW_SHIPMENT);
    at = row_put_u8(at, s->status);
    at = row_put_u8(at, s->is_ours);
    at = row_put_u8(at, s->is_confirmed);
    at = row_put_uuid(at, s->order_id.u);
    at = row_put_u8(at, s->flow);
    at = row_put_text(at, s->tracking_number);
    at = row_put_i64(at, s->created_at_ms);
    at = row_put_i64(at, s->dispatched_at_ms);
    at = row_put_i64(at, s->delivered_at_ms);
    at = row_put_u64(at, s->sequence);
    ENSURE((size_t)(at - start) <= room);
    out->n += (size_t)(at - start);
}

enum err shipment_decode(struct str row, struct shipment *out)
{
    struct bytes_reader r = row_open(row, ROW_SHIPMENT);
    struct str tracking_number;

    memset(out, 0, sizeof(*out));
    out->status = (enum shipment_status)row_read_enum(&r, SHIPMENT_STATUS_CANCELLED + 1);
    out->is_ours = row_read_bool(&r);
    out->is_confirmed = row_read_bool(&r);
    row_read_uuid(&r, &out->order_id.u);
    out->flow = (enum flow_id)row_read_enum(&r, FLOW_COUNT);
    tracking_number = row_read_text(&r);
    out->created_at_ms = row_read_i64(&r);
    out->dispatched_at_ms = row_read_i64(&r);
    out->delivered_at_ms = row_read_i64(&r);
    out->sequence = bytes_read_u64(&r);
    if (!row_ended_well(&r))
        return ERR_DAMAGED;
    out->tracking_number = text_copy(tracking_number);
    return ERR_OK;
}

/* ---- inbox ----------------------------------------------------------------------------------- */

void inbox_encode(const struct inbox *i, struct buf *out)
{
    size_t room = 16 + 3 * ROW_ID_ROOM;
    uint8_t *start = (uint8_t *)buf_reserve(out, room), *at = start;

    at = row_put_u8(at, ROW_INBOX);
    at = row_put_u8(at, i->flow);
    at = row_put_id(at, &i->reservation_id.t);
    at = row_put_id(at, &i->shipment_id.t);
    at = row_put_id(at, &i->left_id.t);
    at = row_put_u8(at, i->is_completed);
    at = row_put_u64(at, i->sequence);
    ENSURE((size_t)(at - start) <= room);
    out->n += (size_t)(at - start);
}

enum err inbox_decode(struct str row, struct inbox *out)
{
    struct bytes_reader r = row_open(row, ROW_INBOX);

    memset(out, 0, sizeof(*out));
    out->flow = (enum flow_id)row_read_enum(&r, FLOW_COUNT);
    row_read_id(&r, &out->reservation_id.t);
    row_read_id(&r, &out->shipment_id.t);
    row_read_id(&r, &out->left_id.t);
    out->is_completed = row_read_bool(&r);
    out->sequence = bytes_read_u64(&r);
    return row_ended_well(&r) ? ERR_OK : ERR_DAMAGED;
}
