#include "orderly/app/event_codec.h"
#include "row_codec.h"

#define EVENT_FORMAT 1

enum event_flag {
    EVENT_FLAG_CAUSE = 1,
    EVENT_FLAG_USER = 2,
    EVENT_FLAG_TRACE = 4,
    EVENT_FLAG_MESSAGE = 8,
    EVENT_FLAG_RAW = 16,
    EVENT_FLAG_CAUSE_MESSAGE = 32,
    EVENT_FLAGS_ALL = 63
};

enum { ORDER_ID_FORM_UUID = 1, ORDER_ID_FORM_TEXT = 2 };

/* A flow and its version share a byte. */
#define FLOW_BITS 3
#define FLOW_VERSION_MAX 31
_Static_assert(FLOW_COUNT <= 1 << FLOW_BITS, "the flow no longer fits its bits");

/* Numbers of fields are one byte, and a set of them is one word. */
_Static_assert(FIELD_COUNT <= 64, "a set of fields no longer fits 64 bits");
_Static_assert(EVENT_TYPE_COUNT <= UINT16_MAX, "types are two bytes");
_Static_assert(sizeof(((struct payload *)0)->message_position) == sizeof(int64_t), "kind INT");

/* Everything of fixed size: envelope, ids, numbers, with the field numbers. */
#define EVENT_FIXED_ROOM 1024

/* ---- encoding -------------------------------------------------------------------------------- */

size_t event_encoded_max(const struct event *e)
{
    const struct payload *p = &e->p;
    size_t n = EVENT_FIXED_ROOM;

    n += ROW_TEXT_ROOM(e->user_id.n) + ROW_TEXT_ROOM(e->traceparent.n);
    n += ROW_TEXT_ROOM(e->message_id.n) + ROW_TEXT_ROOM(e->raw_payload.n);
    n += ROW_TEXT_ROOM(e->cause_message_id.n);
    n += ROW_TEXT_ROOM(p->foreign_order_id.n) + ROW_TEXT_ROOM(p->tracking_number.n);
    n += ROW_TEXT_ROOM(p->reason.n) + ROW_TEXT_ROOM(p->name.n) + ROW_TEXT_ROOM(p->description.n);
    n += ROW_TEXT_ROOM(p->subscription.n);
    n += ROW_TEXT_ROOM(p->error_code.n) + ROW_TEXT_ROOM(p->error_detail.n);
    n += ROW_TEXT_ROOM(p->message_row.n);
    n += ROW_TEXT_ROOM(p->said_topic.n) + ROW_TEXT_ROOM(p->said_id.n);
    n += ROW_TEXT_ROOM(p->said_type.n) + ROW_TEXT_ROOM(p->said_attributes.n);
    n += ROW_TEXT_ROOM(p->said_body.n);
    for (unsigned i = 0; i < p->n_lines; i++)
        n += ROW_SKU_ROOM + ROW_TEXT_ROOM(p->lines[i].name.n) +
             ROW_TEXT_ROOM(p->lines[i].description.n) + 24;
    n += p->n_stock_lines * (size_t)(ROW_SKU_ROOM + 8);
    for (unsigned i = 0; i < p->n_discounts; i++)
        n += ROW_TEXT_ROOM(p->discounts[i].code.n) + ROW_TEXT_ROOM(p->discounts[i].description.n) +
             8;
    if (p->address) {
#define X(member, json, alias, min, max, required) n += ROW_TEXT_ROOM(p->address->member.n);
        ADDRESS_FIELD_MAP(X)
#undef X
    }
    return n;
}

static uint8_t *put_lines(uint8_t *at, const struct payload *p)
{
    REQUIRE(p->n_lines <= UINT16_MAX);
    at = row_put_u16(at, p->n_lines);
    for (unsigned i = 0; i < p->n_lines; i++) {
        const struct order_line *l = &p->lines[i];

        at = row_put_sku(at, &l->sku);
        at = row_put_text(at, l->name);
        at = row_put_text(at, l->description);
        at = row_put_i64(at, l->quantity);
        at = row_put_i64(at, l->price);
        at = row_put_i64(at, l->discount);
    }
    return at;
}

static uint8_t *put_stock_lines(uint8_t *at, const struct payload *p)
{
    REQUIRE(p->n_stock_lines <= UINT16_MAX);
    at = row_put_u16(at, p->n_stock_lines);
    for (unsigned i = 0; i < p->n_stock_lines; i++) {
        at = row_put_sku(at, &p->stock_lines[i].sku);
        at = row_put_i64(at, p->stock_lines[i].quantity);
    }
    return at;
}

static uint8_t *put_discounts(uint8_t *at, const struct payload *p)
{
    REQUIRE(p->n_discounts <= UINT16_MAX);
    at = row_put_u16(at, p->n_discounts);
    for (unsigned i = 0; i < p->n_discounts; i++) {
        at = row_put_text(at, p->discounts[i].code);
        at = row_put_text(at, p->discounts[i].description);
        at = row_put_i64(at, p->discounts[i].amount);
    }
    return at;
}

/* Writes the value behind the place of its field number; returns `at` if the field is empty. */
static uint8_t *put_value(uint8_t *at, const struct payload *p, enum field field)
{
    const void *member = (const char *)p + field_infos[field].offset;
    const struct text_id *id = member;
    const struct uuid *uuid = member;
    const struct sku *sku = member;
    const struct str *text = member;
    const int64_t *number = member;

    switch (field_infos[field].kind) {
    case FIELD_KIND_ORDER_ID:
        if (!uuid_is_nil(p->order_id.u))
            return row_put_uuid(row_put_u8(at, ORDER_ID_FORM_UUID), p->order_id.u);
        if (p->foreign_order_id.n)
            return row_put_text(row_put_u8(at, ORDER_ID_FORM_TEXT), p->foreign_order_id);
        return at;
    case FIELD_KIND_FLOW:
        REQUIRE(p->flow_version <= FLOW_VERSION_MAX);
        return p->flow ? row_put_u8(at, p->flow | (unsigned)p->flow_version << FLOW_BITS) : at;
    case FIELD_KIND_STATUS:
        return p->previous_status ? row_put_u8(at, p->previous_status) : at;
    case FIELD_KIND_TEXT_ID:
        return id->n ? row_put_id(at, id) : at;
    case FIELD_KIND_UUID:
        return uuid_is_nil(*uuid) ? at : row_put_uuid(at, *uuid);
    case FIELD_KIND_SKU:
        return sku->n ? row_put_sku(at, sku) : at;
    case FIELD_KIND_STR:
    case FIELD_KIND_ROW:
    case FIELD_KIND_BYTES:
    case FIELD_KIND_PAIRS:
        return text->n ? row_put_text(at, *text) : at;
    case FIELD_KIND_INT:
    case FIELD_KIND_MONEY:
    case FIELD_KIND_TIME:
        return *number ? row_put_i64(at, *number) : at;
    case FIELD_KIND_OPTIONAL_MONEY:
        return p->has_price ? row_put_i64(at, p->price) : at;
    case FIELD_KIND_CURRENCY:
        return currency_is_none(p->currency) ? at : row_put_currency(at, p->currency);
    case FIELD_KIND_LINES:
        return p->n_lines ? put_lines(at, p) : at;
    case FIELD_KIND_STOCK_LINES:
        return p->n_stock_lines ? put_stock_lines(at, p) : at;
    case FIELD_KIND_DISCOUNTS:
        return p->n_discounts ? put_discounts(at, p) : at;
    case FIELD_KIND_ADDRESS:
        if (p->address) {
#define X(name, json, alias, min, max, required) at = row_put_text(at, p->address->name);
            ADDRESS_FIELD_MAP(X)
#undef X
        }
        return at;
    case FIELD_KIND_REFUND:
        if (p->refund.set) {
            at = row_put_id(at, &p->refund.payment_id.t);
            at = row_put_i64(at, p->refund.amount);
            at = row_put_currency(at, p->refund.currency);
        }
        return at;
    case FIELD_KIND_RELEASE:
        return p->release.set ? row_put_id(at, &p->release.reservation_id.t) : at;
    }
    UNREACHABLE("kind of field");
}

void event_encode(const struct event *e, struct buf *out)
{
    const struct event_info *info = &event_infos[e->type];
    size_t room = event_encoded_max(e);
    uint8_t *start = (uint8_t *)buf_reserve(out, room), *at = start, *n_fields;
    unsigned flags =
        (uuid_is_nil(e->cause.u) ? 0u : EVENT_FLAG_CAUSE) | (e->user_id.n ? EVENT_FLAG_USER : 0u) |
        (e->traceparent.n ? EVENT_FLAG_TRACE : 0u) | (e->message_id.n ? EVENT_FLAG_MESSAGE : 0u) |
        (e->raw_payload.n ? EVENT_FLAG_RAW : 0u) |
        (e->cause_message_id.n ? EVENT_FLAG_CAUSE_MESSAGE : 0u);

    REQUIRE(e->type > EVENT_NONE);
    REQUIRE(e->type < EVENT_TYPE_COUNT);
    at = row_put_u8(at, EVENT_FORMAT);
    at = row_put_u16(at, e->type);
    at = row_put_u16(at, e->version ? e->version : info->version);
    at = row_put_u8(at, e->verdict);
    at = row_put_u8(at, e->handled_by);
    at = row_put_u8(at, flags);
    at = row_put_u8(at, e->stream.type);
    at = row_put_id(at, &e->stream.id);
    at = row_put_uuid(at, e->lane.u);
    at = row_put_u64(at, e->sequence);
    at = row_put_uuid(at, e->id.u);
    at = row_put_i64(at, e->occurred_at_ms);
    if (flags & EVENT_FLAG_CAUSE)
        at = row_put_uuid(at, e->cause.u);
    if (flags & EVENT_FLAG_USER)
        at = row_put_text(at, e->user_id);
    if (flags & EVENT_FLAG_TRACE)
        at = row_put_text(at, e->traceparent);
    if (flags & EVENT_FLAG_MESSAGE)
        at = row_put_text(at, e->message_id);
    if (flags & EVENT_FLAG_RAW)
        at = row_put_text(at, e->raw_payload);
    if (flags & EVENT_FLAG_CAUSE_MESSAGE)
        at = row_put_text(at, e->cause_message_id);

    n_fields = at++;
    *n_fields = 0;
    for (const struct event_field *f = info->fields; f->field; f++) {
        uint8_t *end = put_value(at + 1, &e->p, f->field);

        if (end != at + 1) {
            *at = (uint8_t)f->field;
            at = end;
            ++*n_fields;
        }
    }
    ENSURE((size_t)(at - start) <= room);
    out->n += (size_t)(at - start);
}

/* ---- decoding -------------------------------------------------------------------------------- */

static void read_lines(struct bytes_reader *r, struct payload *p, struct arena *a)
{
    unsigned n = row_read_count(r, 3 + 24);
    struct order_line *lines = arena_zalloc(a, n * sizeof(*lines));

    for (unsigned i = 0; i < n; i++) {
        row_read_sku(r, &lines[i].sku);
        lines[i].name = row_read_text(r);
        lines[i].description = row_read_text(r);
        lines[i].quantity = row_read_i64(r);
        lines[i].price = row_read_i64(r);
        lines[i].discount = row_read_i64(r);
    }
    p->lines = lines;
    p->n_lines = n;
}

static void read_stock_lines(struct bytes_reader *r, struct payload *p, struct arena *a)
{
    unsigned n = row_read_count(r, 1 + 8);
    struct stock_line *lines = arena_zalloc(a, n * sizeof(*lines));

    for (unsigned i = 0; i < n; i++) {
        row_read_sku(r, &lines[i].sku);
        lines[i].quantity = row_read_i64(r);
    }
    p->stock_lines = lines;
    p->n_stock_lines = n;
}

static void read_discounts(struct bytes_reader *r, struct payload *p, struct arena *a)
{
    unsigned n = row_read_count(r, 2 + 8);
    struct discount *discounts = arena_zalloc(a, n * sizeof(*discounts));

    for (unsigned i = 0; i < n; i++) {
        discounts[i].code = row_read_text(r);
        discounts[i].description = row_read_text(r);
        discounts[i].amount = row_read_i64(r);
    }
    p->discounts = discounts;
    p->n_discounts = n;
}

static void read_address(struct bytes_reader *r, struct payload *p, struct arena *a)
{
    struct address *address = arena_alloc(a, sizeof(*address));

#define X(member, json, alias, min, max, required) address->member = row_read_text(r);
    ADDRESS_FIELD_MAP(X)
#undef X
    p->address = address;
}

static void read_flow(struct bytes_reader *r, struct payload *p)
{
    unsigned both = bytes_read_u8(r), flow = both & ((1u << FLOW_BITS) - 1);

    if (flow == FLOW_NONE || flow >= FLOW_COUNT)
        r->bad = true;
    else
        p->flow = (enum flow_id)flow;
    p->flow_version = (uint16_t)(both >> FLOW_BITS);
}

static void read_order_id(struct bytes_reader *r, struct payload *p)
{
    unsigned form = bytes_read_u8(r);

    if (form == ORDER_ID_FORM_UUID)
        row_read_uuid(r, &p->order_id.u);
    else if (form == ORDER_ID_FORM_TEXT)
        p->foreign_order_id = row_read_text(r);
    else
        r->bad = true;
}

static void read_value(struct bytes_reader *r, struct payload *p, enum field field, struct arena *a)
{
    void *member = (char *)p + field_infos[field].offset;

    switch (field_infos[field].kind) {
    case FIELD_KIND_ORDER_ID:
        read_order_id(r, p);
        return;
    case FIELD_KIND_FLOW:
        read_flow(r, p);
        return;
    case FIELD_KIND_STATUS:
        p->previous_status = (enum order_status)row_read_enum(r, ORDER_STATUS_COUNT);
        return;
    case FIELD_KIND_TEXT_ID:
        row_read_id(r, member);
        return;
    case FIELD_KIND_UUID:
        row_read_uuid(r, member);
        return;
    case FIELD_KIND_SKU:
        row_read_sku(r, member);
        return;
    case FIELD_KIND_STR:
    case FIELD_KIND_ROW:
    case FIELD_KIND_BYTES:
    case FIELD_KIND_PAIRS:
        *(struct str *)member = row_read_text(r);
        return;
    case FIELD_KIND_INT:
    case FIELD_KIND_MONEY:
    case FIELD_KIND_TIME:
        *(int64_t *)member = row_read_i64(r);
        return;
    case FIELD_KIND_OPTIONAL_MONEY:
        p->has_price = true;
        p->price = row_read_i64(r);
        return;
    case FIELD_KIND_CURRENCY:
        row_read_currency(r, &p->currency);
        return;
    case FIELD_KIND_LINES:
        read_lines(r, p, a);
        return;
    case FIELD_KIND_STOCK_LINES:
        read_stock_lines(r, p, a);
        return;
    case FIELD_KIND_DISCOUNTS:
        read_discounts(r, p, a);
        return;
    case FIELD_KIND_ADDRESS:
        read_address(r, p, a);
        return;
    case FIELD_KIND_REFUND:
        p->refund.set = true;
        row_read_id(r, &p->refund.payment_id.t);
        p->refund.amount = row_read_i64(r);
        row_read_currency(r, &p->refund.currency);
        return;
    case FIELD_KIND_RELEASE:
        p->release.set = true;
        row_read_id(r, &p->release.reservation_id.t);
        return;
    }
    UNREACHABLE("kind of field");
}

/* Where the field stands in the event's list, looked for from `from` on and around: fields are
 * written in the list's order, so the first look nearly always finds. NULL: it has no such field. */
static const struct event_field *find_field(const struct event_info *info,
                                            const struct event_field *from, unsigned field)
{
    for (const struct event_field *f = from; f->field; f++) {
        if (f->field == field)
            return f;
    }
    for (const struct event_field *f = info->fields; f < from; f++) {
        if (f->field == field)
            return f;
    }
    return NULL;
}

static void read_fields(struct bytes_reader *r, struct event *out, struct arena *a)
{
    const struct event_info *info = &event_infos[out->type];
    const struct event_field *next = info->fields;
    uint64_t seen = 0;

    for (unsigned n = bytes_read_u8(r); n > 0 && !r->bad; n--) {
        unsigned field = bytes_read_u8(r);

        if (field == FIELD_NONE || field >= FIELD_COUNT || (seen & (UINT64_C(1) << field))) {
            r->bad = true;
            return;
        }
        seen |= UINT64_C(1) << field;
        /* An old payload may have fields that its event has lost since; lifting sees to them. */
        if (out->version == info->version) {
            next = find_field(info, next, field);
            if (!next) {
                r->bad = true;
                return;
            }
            next++;
        }
        read_value(r, &out->p, (enum field)field, a);
    }
}

/* Payloads of old versions, step by step. A step is added here, with a golden row of the version
 * that it lifts, when a payload changes in a way that its readers would notice. */
static const struct event_lift_step lift_steps[] = {
    { EVENT_NONE, 0, NULL }, /* ends the list */
};

static const struct event_lift_step *find_step(const struct event *e,
                                               const struct event_lift_step *steps, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (steps[i].type == e->type && steps[i].from == e->version)
            return &steps[i];
    }
    return NULL;
}

enum err event_lift(struct event *e, uint16_t to, const struct event_lift_step *steps,
                    unsigned n_steps, struct arena *a)
{
    while (e->version < to) {
        const struct event_lift_step *step = find_step(e, steps, n_steps);

        if (!step)
            return ERR_DAMAGED;
        step->lift(&e->p, a);
        e->version++;
    }
    return e->version == to ? ERR_OK : ERR_DAMAGED;
}

enum err event_decode(struct str row, uint64_t position, struct event *out, struct arena *a)
{
    struct bytes_reader r = bytes_reader_of(row);
    unsigned type, flags;

    memset(out, 0, sizeof(*out));
    out->position = position;
    if (bytes_read_u8(&r) != EVENT_FORMAT)
        return ERR_DAMAGED;
    type = row_read_u16(&r);
    if (type == EVENT_NONE || type >= EVENT_TYPE_COUNT)
        return ERR_DAMAGED;
    out->type = (enum event_type)type;
    out->version = row_read_u16(&r);
    if (out->version == 0 || out->version > event_infos[type].version)
        return ERR_DAMAGED;
    out->verdict = (enum verdict)row_read_enum(&r, VERDICT_COUNT);
    out->handled_by = (enum subscription_id)row_read_enum(&r, SUBSCRIPTION_COUNT);
    flags = row_read_enum(&r, EVENT_FLAGS_ALL + 1);
    out->stream.type = (enum aggregate)row_read_enum(&r, AGGREGATE_COUNT);
    row_read_id(&r, &out->stream.id);
    row_read_uuid(&r, &out->lane.u);
    out->sequence = bytes_read_u64(&r);
    row_read_uuid(&r, &out->id.u);
    out->occurred_at_ms = row_read_i64(&r);
    if (flags & EVENT_FLAG_CAUSE)
        row_read_uuid(&r, &out->cause.u);
    if (flags & EVENT_FLAG_USER)
        out->user_id = row_read_text(&r);
    if (flags & EVENT_FLAG_TRACE)
        out->traceparent = row_read_text(&r);
    if (flags & EVENT_FLAG_MESSAGE)
        out->message_id = row_read_text(&r);
    if (flags & EVENT_FLAG_RAW)
        out->raw_payload = row_read_text(&r);
    if (flags & EVENT_FLAG_CAUSE_MESSAGE)
        out->cause_message_id = row_read_text(&r);
    read_fields(&r, out, a);
    if (!row_ended_well(&r))
        return ERR_DAMAGED;
    return event_lift(out, event_infos[type].version, lift_steps, ARRAY_LEN(lift_steps) - 1, a);
}
