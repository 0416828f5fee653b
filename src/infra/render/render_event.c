/* Events and messages: the payload walks the field table of domain/event.h, so an event that is added
 * to the catalogue needs nothing here. */
#include "orderly/infra/render/render_event.h"
#include "orderly/app/event_codec.h"
#include "orderly/app/lanes.h"
#include "orderly/domain/pairs.h"
#include <stdio.h>

void render_address(struct json_out *o, const struct address *a)
{
    static const struct {
        const char *key; /* ready to be written */
        size_t key_len, offset;
        bool required;
    } fields[] = {
#define X(member, json, alias, min, max, required_)                                                \
    { "\"" json "\":", sizeof("\"" json "\":") - 1, offsetof(struct address, member), required_ },
        ADDRESS_FIELD_MAP(X)
#undef X
    };

    json_open(o, '{');
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        struct str text;

        memcpy(&text, (const char *)a + fields[i].offset, sizeof(text));
        if (text.n == 0 && !fields[i].required)
            continue;
        json_key_ready(o, fields[i].key, fields[i].key_len);
        json_str(o, text);
    }
    json_close(o, '}');
}

static void render_order_lines(struct json_out *o, const struct payload *p)
{
    json_open(o, '[');
    for (unsigned i = 0; i < p->n_lines; i++) {
        const struct order_line *line = &p->lines[i];

        json_item(o);
        json_open(o, '{');
        JSON_KEY(o, "productId");
        json_plain(o, sku_str(&line->sku));
        JSON_KEY(o, "sku");
        json_plain(o, sku_str(&line->sku));
        JSON_KEY(o, "name");
        json_str(o, line->name);
        JSON_KEY(o, "description");
        json_str(o, line->description);
        JSON_KEY(o, "quantity");
        json_i64(o, line->quantity);
        JSON_KEY(o, "price");
        json_money(o, line->price, p->currency);
        JSON_KEY(o, "discount");
        json_money(o, line->discount, p->currency);
        json_close(o, '}');
    }
    json_close(o, ']');
}

static void render_stock_lines(struct json_out *o, const struct payload *p)
{
    json_open(o, '[');
    for (unsigned i = 0; i < p->n_stock_lines; i++) {
        json_item(o);
        json_open(o, '{');
        JSON_KEY(o, "productId");
        json_plain(o, sku_str(&p->stock_lines[i].sku));
        JSON_KEY(o, "sku");
        json_plain(o, sku_str(&p->stock_lines[i].sku));
        JSON_KEY(o, "quantity");
        json_i64(o, p->stock_lines[i].quantity);
        json_close(o, '}');
    }
    json_close(o, ']');
}

static void render_discount_list(struct json_out *o, const struct payload *p)
{
    json_open(o, '[');
    for (unsigned i = 0; i < p->n_discounts; i++) {
        json_item(o);
        json_open(o, '{');
        JSON_KEY(o, "code");
        json_str(o, p->discounts[i].code);
        JSON_KEY(o, "description");
        json_str(o, p->discounts[i].description);
        JSON_KEY(o, "amount");
        json_money(o, p->discounts[i].amount, p->currency);
        json_close(o, '}');
    }
    json_close(o, ']');
}

static void render_refund(struct json_out *o, const struct payload *p)
{
    if (!p->refund.set) {
        JSON_LITERAL(o, "null");
        return;
    }
    json_open(o, '{');
    JSON_KEY(o, "paymentId");
    json_text_id(o, &p->refund.payment_id.t);
    JSON_KEY(o, "amount");
    json_money(o, p->refund.amount, p->refund.currency);
    JSON_KEY(o, "currency");
    json_str_or_null(o, currency_str(&p->refund.currency));
    json_close(o, '}');
}

static void render_release(struct json_out *o, const struct payload *p)
{
    if (!p->release.set) {
        JSON_LITERAL(o, "null");
        return;
    }
    json_open(o, '{');
    JSON_KEY(o, "reservationId");
    json_text_id(o, &p->release.reservation_id.t);
    json_close(o, '}');
}

static bool bytes_are_zero(const void *p, size_t n)
{
    const unsigned char *b = p;

    for (size_t i = 0; i < n; i++) {
        if (b[i])
            return false;
    }
    return true;
}

/* Nothing is there to print, so an optional field is left out. */
static bool field_is_empty(const struct payload *p, const struct field_info *info)
{
    const char *member = (const char *)p + info->offset;

    switch (info->kind) {
    case FIELD_KIND_ORDER_ID:
        return p->foreign_order_id.n == 0 && uuid_is_nil(p->order_id.u);
    case FIELD_KIND_FLOW:
        return p->flow == FLOW_NONE;
    case FIELD_KIND_TEXT_ID:
    case FIELD_KIND_SKU:
    case FIELD_KIND_CURRENCY:
        return *member == 0;
    case FIELD_KIND_UUID:
        return bytes_are_zero(member, sizeof(struct uuid));
    case FIELD_KIND_STR:
    case FIELD_KIND_ROW:
    case FIELD_KIND_BYTES:
    case FIELD_KIND_PAIRS:
        return ((const struct str *)(const void *)member)->n == 0;
    case FIELD_KIND_INT:
    case FIELD_KIND_MONEY:
        return false;
    case FIELD_KIND_TIME:
        return bytes_are_zero(member, sizeof(int64_t));
    case FIELD_KIND_OPTIONAL_MONEY:
        return !p->has_price;
    case FIELD_KIND_STATUS:
        return p->previous_status == ORDER_NONE;
    case FIELD_KIND_LINES:
        return p->n_lines == 0;
    case FIELD_KIND_STOCK_LINES:
        return p->n_stock_lines == 0;
    case FIELD_KIND_DISCOUNTS:
        return p->n_discounts == 0;
    case FIELD_KIND_ADDRESS:
        return p->address == NULL;
    case FIELD_KIND_REFUND:
        return !p->refund.set;
    case FIELD_KIND_RELEASE:
        return !p->release.set;
    }
    UNREACHABLE("field kind");
}

/* The payload that an operator gave a message, as it was sent. */
static void render_row(struct json_out *o, struct str row)
{
    struct event e;
    struct arena arena;

    arena_init(&arena, NULL, 0);
    if (event_decode(row, 0, &e, &arena) == ERR_OK && e.raw_payload.n)
        json_raw_str(o, e.raw_payload);
    else
        JSON_LITERAL(o, "null");
    arena_deinit(&arena);
}

static void render_bytes(struct json_out *o, struct str bytes)
{
    if (str_is_utf8(bytes))
        json_str(o, bytes);
    else
        json_base64(o, bytes);
}

/* A list, as a name may be there twice, and may be any bytes too. */
static void render_pairs(struct json_out *o, struct str packed)
{
    struct str name, value;

    json_open(o, '[');
    while (pairs_take(&packed, &name, &value)) {
        json_item(o);
        json_open(o, '{');
        json_key(o, str_is_utf8(name) ? STR("name") : STR("nameBase64"));
        render_bytes(o, name);
        json_key(o, str_is_utf8(value) ? STR("value") : STR("valueBase64"));
        render_bytes(o, value);
        json_close(o, '}');
    }
    json_close(o, ']');
}

static void render_field(struct json_out *o, const struct payload *p, const struct field_info *info)
{
    const void *member = (const char *)p + info->offset;

    switch (info->kind) {
    case FIELD_KIND_ORDER_ID:
        if (p->foreign_order_id.n)
            json_str(o, p->foreign_order_id);
        else
            json_uuid(o, p->order_id.u);
        return;
    case FIELD_KIND_FLOW:
        json_str_or_null(o, p->flow == FLOW_NONE ? STR_NONE : str_of(flow_of(p->flow)->name));
        return;
    case FIELD_KIND_TEXT_ID:
        json_text_id(o, member);
        return;
    case FIELD_KIND_UUID:
        json_uuid(o, *(const struct uuid *)member);
        return;
    case FIELD_KIND_SKU:
        json_str_or_null(o, sku_str(member));
        return;
    case FIELD_KIND_STR:
        json_str(o, *(const struct str *)member);
        return;
    case FIELD_KIND_INT:
        json_i64(o, *(const int64_t *)member);
        return;
    case FIELD_KIND_MONEY:
        json_money(o, *(const int64_t *)member, p->currency);
        return;
    case FIELD_KIND_OPTIONAL_MONEY:
        if (p->has_price)
            json_money(o, p->price, p->currency);
        else
            JSON_LITERAL(o, "null");
        return;
    case FIELD_KIND_CURRENCY:
        json_str_or_null(o, currency_str(member));
        return;
    case FIELD_KIND_TIME:
        json_time(o, *(const int64_t *)member);
        return;
    case FIELD_KIND_STATUS:
        json_str_or_null(
            o, p->previous_status == ORDER_NONE ? STR_NONE : order_status_name(p->previous_status));
        return;
    case FIELD_KIND_LINES:
        render_order_lines(o, p);
        return;
    case FIELD_KIND_STOCK_LINES:
        render_stock_lines(o, p);
        return;
    case FIELD_KIND_DISCOUNTS:
        render_discount_list(o, p);
        return;
    case FIELD_KIND_ADDRESS:
        if (p->address)
            render_address(o, p->address);
        else
            JSON_LITERAL(o, "null");
        return;
    case FIELD_KIND_REFUND:
        render_refund(o, p);
        return;
    case FIELD_KIND_RELEASE:
        render_release(o, p);
        return;
    case FIELD_KIND_ROW:
        render_row(o, *(const struct str *)member);
        return;
    case FIELD_KIND_BYTES:
        render_bytes(o, *(const struct str *)member);
        return;
    case FIELD_KIND_PAIRS:
        render_pairs(o, *(const struct str *)member);
        return;
    }
    UNREACHABLE("field kind");
}

/* Length of the JSON text that s begins with, with its quotes; s.n if it has no end. */
static size_t quoted_len(struct str s)
{
    size_t n = 1;

    while (n < s.n && s.p[n] != '"')
        n += s.p[n] == '\\' ? 2 : 1;
    return n < s.n ? n + 1 : s.n;
}

/* Has the object this member, itself and not in one of its values? It was written by our own
 * writer, so it is valid, without blanks, and a name of ours has no escapes in it. It comes from a
 * stored row, though, so that it may be anything, and nothing is read behind its end. */
static bool object_has(struct str object, struct str name)
{
    unsigned depth = 0;

    for (size_t i = 0; i < object.n;) {
        char c = object.p[i];
        size_t n = c == '"' ? quoted_len((struct str){ object.p + i, object.n - i }) : 1;

        if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
        else if (c == '"' && depth == 1 && i + n < object.n && object.p[i + n] == ':' &&
                 str_eq((struct str){ object.p + i + 1, n - 2 }, name))
            return true;
        i += n;
    }
    return false;
}

/* `said`: what is printed already; empty: nothing is. */
static void render_member(struct json_out *o, const struct payload *p,
                          const struct field_info *info, const char *name, struct str said)
{
    const struct str *bytes = (const void *)((const char *)p + info->offset);
    char text[64];

    if (object_has(said, str_of(name)))
        return;
    if (info->kind == FIELD_KIND_BYTES && !str_is_utf8(*bytes)) {
        int n = snprintf(text, sizeof(text), "%sBase64", name);

        json_key(o, (struct str){ text, (size_t)n });
    } else {
        json_key(o, str_of(name));
    }
    render_field(o, p, info);
}

void render_payload(struct json_out *o, const struct event *e)
{
    struct str said = e->raw_payload;

    /* What an outside context said, whatever else it holds; then what it left out, because a type
     * of event has one payload, whoever it comes from. */
    if (said.n)
        json_raw_str(o, (struct str){ said.p, said.n - 1 });
    else
        json_open(o, '{');
    for (const struct event_field *f = event_infos[e->type].fields; f->field != FIELD_NONE; f++) {
        const struct field_info *info = &field_infos[f->field];

        if (f->optional && field_is_empty(&e->p, info))
            continue;
        render_member(o, &e->p, info, f->json ? f->json : info->json, said);
        if (f->alias)
            render_member(o, &e->p, info, f->alias, said);
    }
    if (!object_has(said, STR("timestamp"))) {
        JSON_KEY(o, "timestamp");
        json_time(o, e->occurred_at_ms);
    }
    json_close(o, '}');
}

void render_event(struct json_out *o, const struct event *e)
{
    const struct event_info *info = &event_infos[e->type];
    struct text_id correlation = correlation_of_event(e);

    json_open(o, '{');
    JSON_KEY(o, "eventId");
    json_uuid(o, e->id.u);
    JSON_KEY(o, "eventType");
    json_plain(o, info->type);
    JSON_KEY(o, "aggregateId");
    json_text_id(o, &e->stream.id);
    JSON_KEY(o, "aggregateType");
    json_plain(o, aggregate_name(e->stream.type));
    JSON_KEY(o, "version");
    json_u64(o, e->version ? e->version : info->version);
    JSON_KEY(o, "sequence");
    json_u64(o, e->sequence);
    JSON_KEY(o, "position");
    json_u64(o, e->position);
    JSON_KEY(o, "occurredAt");
    json_time(o, e->occurred_at_ms);
    JSON_KEY(o, "payload");
    render_payload(o, e);
    JSON_KEY(o, "metadata");
    json_open(o, '{');
    JSON_KEY(o, "correlationId");
    json_text_id(o, &correlation);
    JSON_KEY(o, "causationId");
    json_uuid(o, e->cause.u);
    JSON_KEY(o, "userId");
    json_str_or_null(o, e->user_id);
    if (e->traceparent.n) {
        JSON_KEY(o, "traceparent");
        json_str(o, e->traceparent);
    }
    if (e->message_id.n) {
        JSON_KEY(o, "messageId");
        json_str(o, e->message_id);
    }
    json_close(o, '}');
    json_close(o, '}');
}

/* What a refused message says is its topic; null where that is no text, or nothing. */
static void render_topic(struct json_out *o, const struct event *e)
{
    if (e->type != EVENT_MESSAGE_REFUSED)
        json_plain(o, event_infos[e->type].topic);
    else
        json_str_or_null(o, str_is_utf8(e->p.said_topic) ? e->p.said_topic : STR_NONE);
}

void render_message(struct json_out *o, const struct event *e)
{
    struct text_id correlation = correlation_of_event(e);

    json_open(o, '{');
    JSON_KEY(o, "messageId");
    json_uuid(o, e->id.u);
    JSON_KEY(o, "topic");
    render_topic(o, e);
    JSON_KEY(o, "timestamp");
    json_time(o, e->occurred_at_ms);
    JSON_KEY(o, "correlationId");
    json_text_id(o, &correlation);
    JSON_KEY(o, "position");
    json_u64(o, e->position);
    JSON_KEY(o, "payload");
    render_payload(o, e);
    json_close(o, '}');
}
