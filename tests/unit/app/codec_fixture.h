/* Events with every field filled, and what the tests of the codecs share. */
#ifndef ORDERLY_TESTS_UNIT_APP_CODEC_FIXTURE_H
#define ORDERLY_TESTS_UNIT_APP_CODEC_FIXTURE_H
#include "../domain/domain_fixture.h"
#include "orderly/app/event_codec.h"

FIXTURE struct payload *fill_field(struct payload *p, enum field field)
{
    static const struct stock_line stock_lines[2] = {
        { .sku = { 10, "WIDGET-001" }, .quantity = 2 },
        { .sku = { 1, "X" }, .quantity = INT64_C(1000000000000) },
    };
    static struct order_line lines[2];
    static struct discount discounts[1];
    static struct address address;
    void *member = (char *)p + field_infos[field].offset;

    lines[0] = (struct order_line){ .sku = { 10, "WIDGET-001" },
                                    .name = STR("Widget"),
                                    .description = STR("A widget \xe2\x80\x93 blue"),
                                    .quantity = 3,
                                    .price = 1999,
                                    .discount = 600 };
    lines[1] = (struct order_line){ .sku = { 1, "X" }, .quantity = 1 };
    discounts[0] = (struct discount){ .code = STR("line_percent"),
                                      .description = STR("10 % off"),
                                      .amount = 600 };
    address = (struct address){ .street = STR("1 Main St"),
                                .city = STR("Springfield"),
                                .state = STR("IL"),
                                .postal_code = STR("62701"),
                                .country = STR("US") };
    switch (field_infos[field].kind) {
    case FIELD_KIND_ORDER_ID:
        p->order_id.u = uuid_of(1);
        break;
    case FIELD_KIND_FLOW:
        p->flow = FLOW_STOCK_FIRST;
        break;
    case FIELD_KIND_STATUS:
        p->previous_status = ORDER_CONFIRMED;
        break;
    case FIELD_KIND_TEXT_ID:
        *(struct text_id *)member = text_id_of(field == FIELD_CUSTOMER_ID  ? "customer-789"
                                               : field == FIELD_PAYMENT_ID ? "payment-1"
                                                                           : "other-1");
        break;
    case FIELD_KIND_UUID:
        *(struct uuid *)member = uuid_of(7);
        break;
    case FIELD_KIND_SKU:
        p->sku = sku_of("WIDGET-001");
        break;
    case FIELD_KIND_STR:
    case FIELD_KIND_ROW:
    case FIELD_KIND_BYTES:
        *(struct str *)member = STR("some text");
        break;
    case FIELD_KIND_PAIRS:
        *(struct str *)member = STR("\0\0\0\1n\0\0\0\2\xff\xfe");
        break;
    case FIELD_KIND_INT:
    case FIELD_KIND_MONEY:
        *(int64_t *)member = 3998;
        break;
    case FIELD_KIND_TIME:
        *(int64_t *)member = PLACED_AT_MS;
        break;
    case FIELD_KIND_OPTIONAL_MONEY:
        p->has_price = true;
        p->price = 1999;
        break;
    case FIELD_KIND_CURRENCY:
        p->currency = USD;
        break;
    case FIELD_KIND_LINES:
        p->lines = lines;
        p->n_lines = 2;
        break;
    case FIELD_KIND_STOCK_LINES:
        p->stock_lines = stock_lines;
        p->n_stock_lines = 2;
        break;
    case FIELD_KIND_DISCOUNTS:
        p->discounts = discounts;
        p->n_discounts = 1;
        break;
    case FIELD_KIND_ADDRESS:
        p->address = &address;
        break;
    case FIELD_KIND_REFUND:
        p->refund.set = true;
        p->refund.payment_id = payment_of("payment-1");
        p->refund.amount = 3998;
        p->refund.currency = USD;
        break;
    case FIELD_KIND_RELEASE:
        p->release.set = true;
        p->release.reservation_id = reservation_of("reservation-1");
        break;
    }
    return p;
}

/* An event of this type with all of its fields, made by nobody in particular. Golden rows are rows
 * of these: change them, and they must be written anew. */
FIXTURE void an_event(enum event_type type, struct event *e)
{
    memset(e, 0, sizeof(*e));
    e->type = type;
    e->version = 1;
    e->stream.type = event_infos[type].aggregate;
    e->stream.id = text_id_of("0199a1f3-0000-7000-8000-000000000001");
    e->lane.u = uuid_of(1);
    e->sequence = 3;
    e->id.u = uuid_of(42);
    e->cause.u = uuid_of(41);
    e->handled_by = SUBSCRIPTION_ORDERS;
    e->occurred_at_ms = PLACED_AT_MS;
    e->position = 4711;
    for (const struct event_field *f = event_infos[type].fields; f->field; f++)
        fill_field(&e->p, f->field);
    if (type == EVENT_ORDER_PLACED)
        e->p.flow_version = 1;
}

FIXTURE bool same_id(const struct text_id *a, const struct text_id *b)
{
    return str_eq(text_id_str(a), text_id_str(b));
}

FIXTURE bool same_field(const struct payload *a, const struct payload *b, enum field field)
{
    const void *ma = (const char *)a + field_infos[field].offset;
    const void *mb = (const char *)b + field_infos[field].offset;
    bool same = true;

    switch (field_infos[field].kind) {
    case FIELD_KIND_ORDER_ID:
        return uuid_eq(a->order_id.u, b->order_id.u) &&
               str_eq(a->foreign_order_id, b->foreign_order_id);
    case FIELD_KIND_FLOW:
        return a->flow == b->flow && a->flow_version == b->flow_version;
    case FIELD_KIND_STATUS:
        return a->previous_status == b->previous_status;
    case FIELD_KIND_TEXT_ID:
        return same_id(ma, mb);
    case FIELD_KIND_UUID:
        return memcmp(ma, mb, sizeof(struct uuid)) == 0;
    case FIELD_KIND_SKU:
        return sku_eq(&a->sku, &b->sku);
    case FIELD_KIND_STR:
    case FIELD_KIND_ROW:
    case FIELD_KIND_BYTES:
    case FIELD_KIND_PAIRS:
        return str_eq(*(const struct str *)ma, *(const struct str *)mb);
    case FIELD_KIND_INT:
    case FIELD_KIND_MONEY:
    case FIELD_KIND_TIME:
        return memcmp(ma, mb, sizeof(int64_t)) == 0;
    case FIELD_KIND_OPTIONAL_MONEY:
        return a->has_price == b->has_price && a->price == b->price;
    case FIELD_KIND_CURRENCY:
        return currency_eq(a->currency, b->currency);
    case FIELD_KIND_LINES:
        same = a->n_lines == b->n_lines;
        for (unsigned i = 0; same && i < a->n_lines; i++)
            same = sku_eq(&a->lines[i].sku, &b->lines[i].sku) &&
                   str_eq(a->lines[i].name, b->lines[i].name) &&
                   str_eq(a->lines[i].description, b->lines[i].description) &&
                   a->lines[i].quantity == b->lines[i].quantity &&
                   a->lines[i].price == b->lines[i].price &&
                   a->lines[i].discount == b->lines[i].discount;
        return same;
    case FIELD_KIND_STOCK_LINES:
        same = a->n_stock_lines == b->n_stock_lines;
        for (unsigned i = 0; same && i < a->n_stock_lines; i++)
            same = sku_eq(&a->stock_lines[i].sku, &b->stock_lines[i].sku) &&
                   a->stock_lines[i].quantity == b->stock_lines[i].quantity;
        return same;
    case FIELD_KIND_DISCOUNTS:
        same = a->n_discounts == b->n_discounts;
        for (unsigned i = 0; same && i < a->n_discounts; i++)
            same = str_eq(a->discounts[i].code, b->discounts[i].code) &&
                   str_eq(a->discounts[i].description, b->discounts[i].description) &&
                   a->discounts[i].amount == b->discounts[i].amount;
        return same;
    case FIELD_KIND_ADDRESS:
        if (!a->address || !b->address)
            return a->address == b->address;
#define X(member, json, alias, min, max, required)                                                 \
    same = same && str_eq(a->address->member, b->address->member);
        ADDRESS_FIELD_MAP(X)
#undef X
        return same;
    case FIELD_KIND_REFUND:
        return a->refund.set == b->refund.set &&
               same_id(&a->refund.payment_id.t, &b->refund.payment_id.t) &&
               a->refund.amount == b->refund.amount &&
               currency_eq(a->refund.currency, b->refund.currency);
    case FIELD_KIND_RELEASE:
        return a->release.set == b->release.set &&
               same_id(&a->release.reservation_id.t, &b->release.reservation_id.t);
    }
    UNREACHABLE("kind of field");
}

FIXTURE void assert_same_event(const struct event *a, const struct event *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->verdict, b->verdict);
    assert_int_equal(a->handled_by, b->handled_by);
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->stream.type, b->stream.type);
    assert_true(same_id(&a->stream.id, &b->stream.id));
    assert_true(uuid_eq(a->lane.u, b->lane.u));
    assert_true(uuid_eq(a->cause.u, b->cause.u));
    assert_true(uuid_eq(a->id.u, b->id.u));
    assert_true(a->sequence == b->sequence);
    assert_true(a->position == b->position);
    assert_true(a->occurred_at_ms == b->occurred_at_ms);
    assert_true(str_eq(a->user_id, b->user_id));
    assert_true(str_eq(a->traceparent, b->traceparent));
    assert_true(str_eq(a->message_id, b->message_id));
    assert_true(str_eq(a->cause_message_id, b->cause_message_id));
    assert_true(str_eq(a->raw_payload, b->raw_payload));
    for (unsigned f = FIELD_NONE + 1; f < FIELD_COUNT; f++) {
        if (!same_field(&a->p, &b->p, (enum field)f))
            fail_msg("%s: field %s differs", event_infos[a->type].type.p, field_infos[f].json);
    }
}

/* A copy that ends exactly where the row ends, so that a read past it is found. */
FIXTURE struct str tight_copy(struct str s)
{
    char *p = malloc(s.n ? s.n : 1);

    assert_non_null(p);
    if (s.n)
        memcpy(p, s.p, s.n);
    return (struct str){ p, s.n };
}
FIXTURE void tight_free(struct str s)
{
    free((char *)s.p);
}
#endif
