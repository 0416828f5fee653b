/* Builders and short words for the tests of the domain and of its codecs. */
#ifndef ORDERLY_TESTS_UNIT_DOMAIN_DOMAIN_FIXTURE_H
#define ORDERLY_TESTS_UNIT_DOMAIN_DOMAIN_FIXTURE_H
#include "orderly/base/check.h"
#include "orderly/domain/order.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define FIXTURE __attribute__((unused)) static

#define PLACED_AT_MS INT64_C(1795176000000) /* 2026-11-20T12:00:00Z */
#define TIMEOUT_MS INT64_C(1800000)
#define TOTAL 5997

static const struct currency USD = { "USD" }, EUR = { "EUR" };

FIXTURE struct uuid uuid_of(unsigned n)
{
    struct uuid u = { { 0x01, 0x99, 0xa1, 0xf3, 0, 0, 0x70, 0, 0x80 } };

    u.b[12] = (uint8_t)(n >> 24);
    u.b[13] = (uint8_t)(n >> 16);
    u.b[14] = (uint8_t)(n >> 8);
    u.b[15] = (uint8_t)n;
    return u;
}

FIXTURE struct text_id text_id_of(const char *text)
{
    struct text_id id = { 0 };

    assert_true(text_id_parse(str_of(text), &id));
    return id;
}

FIXTURE struct sku sku_of(const char *text)
{
    struct sku sku;

    assert_true(sku_parse(str_of(text), &sku));
    return sku;
}

FIXTURE struct payment_id payment_of(const char *text)
{
    return (struct payment_id){ text_id_of(text) };
}

FIXTURE struct reservation_id reservation_of(const char *text)
{
    return (struct reservation_id){ text_id_of(text) };
}

FIXTURE struct shipment_id shipment_of(const char *text)
{
    return (struct shipment_id){ text_id_of(text) };
}

FIXTURE struct invoice_id invoice_of(const char *text)
{
    struct invoice_id id = { { 0 } };

    if (*text)
        id.t = text_id_of(text);
    return id;
}

/* Three widgets in two lines and a total of 59.97 USD. */
FIXTURE struct order_placing a_placing(enum flow_id flow)
{
    static struct order_line lines[2];
    static struct address address;

    lines[0] = (struct order_line){ .sku = sku_of("WIDGET-001"),
                                    .name = STR("Widget"),
                                    .description = STR("A widget"),
                                    .quantity = 2,
                                    .price = 1999 };
    lines[1] = lines[0];
    lines[1].quantity = 1;
    address = (struct address){ .street = STR("1 Main St"),
                                .city = STR("Springfield"),
                                .state = STR("IL"),
                                .postal_code = STR("62701"),
                                .country = STR("US") };
    return (struct order_placing){ .id = { uuid_of(1) },
                                   .flow = flow,
                                   .customer_id = { text_id_of("customer-789") },
                                   .lines = lines,
                                   .n_lines = 2,
                                   .address = &address,
                                   .subtotal = TOTAL,
                                   .total = TOTAL,
                                   .currency = USD,
                                   .payment_timeout_ms = TIMEOUT_MS };
}

/* Applies what was decided as the log would: next places in the stream, a second later each. */
FIXTURE void apply_all(struct order *o, struct event_list *list)
{
    for (unsigned i = 0; i < list->n; i++) {
        struct event *e = &list->events[i];

        e->sequence = o->sequence + 1;
        e->position = 100 + e->sequence;
        e->occurred_at_ms = PLACED_AT_MS + (int64_t)(e->sequence - 1) * 1000;
        order_apply(o, e);
    }
}

FIXTURE struct order *an_order(enum flow_id flow)
{
    struct order *o = order_create();
    struct order_placing placing = a_placing(flow);
    struct event_list list;

    event_list_init(&list);
    order_place(&placing, PLACED_AT_MS, &list);
    assert_int_equal(list.n, 1);
    apply_all(o, &list);
    return o;
}

/* The steps on the way, each of which must change the order. `own` ids are P-1, R-1, S-1. */
enum way {
    END_OF_WAY,
    PAY_IT,
    RESERVE_IT,
    SHIP_IT,
    DELIVER_IT,
    READY_IT,
    COMPLETE_IT,
    CANCEL_IT,
    DECLINE_IT,
    REJECT_IT,
    CANCEL_SHIPMENT
};

FIXTURE enum order_outcome decide_step(const struct order *o, enum way step,
                                       struct event_list *list)
{
    struct payment_id p = payment_of("P-1");
    struct reservation_id r = reservation_of("R-1");
    struct shipment_id s = shipment_of("S-1");
    struct invoice_id i = invoice_of("I-1");

    event_list_init(list);
    switch (step) {
    case PAY_IT:
        return order_mark_as_paid(o, &p, TOTAL, USD, list);
    case RESERVE_IT:
        return order_apply_stock_reserved(o, &r, list);
    case SHIP_IT:
        return order_apply_shipment_created(o, &s, STR("TRK-1"), list);
    case DELIVER_IT:
        return order_apply_shipment_delivered(o, &s, PLACED_AT_MS + 5000, list);
    case READY_IT:
        return order_make_ready(o, list);
    case COMPLETE_IT:
        return order_complete(o, &i, list);
    case CANCEL_IT:
        return order_cancel(o, STR("changed my mind"), list);
    case DECLINE_IT:
        return order_apply_payment_declined(o, &p, STR("Card declined"), list);
    case REJECT_IT:
        return order_apply_stock_rejected(o, STR("Product X-1 not found"), list);
    case CANCEL_SHIPMENT:
        return order_apply_shipment_cancelled(o, &s, list);
    case END_OF_WAY:
        break;
    }
    UNREACHABLE("step");
}

FIXTURE void go(struct order *o, enum way step)
{
    struct event_list list;

    assert_int_equal(decide_step(o, step, &list), ORDER_OUTCOME_CHANGED);
    apply_all(o, &list);
}

FIXTURE struct order *an_order_after(enum flow_id flow, const enum way *steps)
{
    struct order *o = an_order(flow);

    for (; *steps != END_OF_WAY; steps++)
        go(o, *steps);
    return o;
}
#define WAY(...) ((const enum way[]){ __VA_ARGS__, END_OF_WAY })

/* A seed for random tests: ORDERLY_SEED if set, else the time; printed, so that a run can be
 * repeated. */
FIXTURE uint64_t seed_of_run(void)
{
    const char *text = getenv("ORDERLY_SEED");
    uint64_t seed = (uint64_t)time(NULL);

    if (text && !str_to_u64(str_of(text), &seed))
        fail_msg("ORDERLY_SEED is no number");
    printf("seed %llu (ORDERLY_SEED)\n", (unsigned long long)seed);
    return seed | 1;
}

/* xorshift64*: good enough to choose steps. */
FIXTURE uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}
FIXTURE unsigned below(uint64_t *state, unsigned n)
{
    return (unsigned)((next_random(state) >> 32) % n);
}
#endif
