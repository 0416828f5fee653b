#include "orderly/base/check.h"
#include "orderly/domain/event.h"
#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static bool event_has(enum event_type t, enum field field)
{
    for (unsigned i = 0; event_infos[t].fields[i].field; i++) {
        if (event_infos[t].fields[i].field == field)
            return true;
    }
    return false;
}

/* OrderPaymentFailed is order.payment_failed: words in lower case; the first ends with a dot. */
static void topic__is_the_type_in_dotted_lower_case(void **state)
{
    (void)state;
    for (unsigned t = EVENT_NONE + 1; t < EVENT_TYPE_COUNT; t++) {
        struct str type = event_infos[t].type, topic = event_infos[t].topic;
        char expected[64];
        size_t n = 0, words = 0;

        for (size_t i = 0; i < type.n; i++) {
            bool is_upper = type.p[i] >= 'A' && type.p[i] <= 'Z';

            if (is_upper && i > 0)
                expected[n++] = words++ == 0 ? '.' : '_';
            expected[n++] = is_upper ? (char)(type.p[i] - 'A' + 'a') : type.p[i];
        }
        if (event_infos[t].aggregate == AGGREGATE_SUBSCRIPTION)
            assert_int_equal(topic.n, 0);
        else if (!str_eq(topic, (struct str){ expected, n }))
            fail_msg("%.*s, not %.*s", (int)n, expected, STR_ARG(topic));
    }
}

static void event__has_the_names_that_the_wire_knows(void **state)
{
    enum event_type found;

    (void)state;
    for (unsigned t = EVENT_NONE + 1; t < EVENT_TYPE_COUNT; t++) {
        assert_true(event_type_parse(event_infos[t].type, &found));
        assert_int_equal(found, t);
        if (event_infos[t].topic.n) {
            assert_true(event_type_of_topic(event_infos[t].topic, &found));
            assert_int_equal(found, t);
        }
    }
    assert_false(event_type_parse(STR("OrderPaidTwice"), &found));
    assert_false(event_type_parse(STR(""), &found));
    assert_false(event_type_of_topic(STR("order.paid.twice"), &found));
    assert_false(event_type_of_topic(STR(""), &found));
    assert_true(str_eq(aggregate_name(AGGREGATE_RESERVATION), STR("Reservation")));
    assert_true(str_eq(subscription_name(SUBSCRIPTION_INVENTORY), STR("inventory")));
    assert_true(str_eq(subscription_name(SUBSCRIPTION_NATS), STR("nats")));
    assert_true(str_eq(subscription_name(SUBSCRIPTION_KAFKA), STR("kafka")));
    assert_true(str_eq(subscription_name(SUBSCRIPTION_RABBITMQ), STR("rabbitmq")));
    assert_string_equal(verdict_name(VERDICT_PAYMENT_TAKEN), "payment_taken");
}

static void event__of_an_order_always_says_which_order_and_flow(void **state)
{
    (void)state;
    for (unsigned t = EVENT_NONE + 1; t < EVENT_TYPE_COUNT; t++) {
        const struct event_info *info = &event_infos[t];

        if (info->aggregate > AGGREGATE_SHIPMENT)
            continue;
        assert_int_equal(info->fields[0].field, FIELD_ORDER_ID);
        assert_int_equal(info->fields[1].field, FIELD_FLOW);
    }
}

static void event__has_a_currency_beside_every_amount(void **state)
{
    (void)state;
    for (unsigned t = EVENT_NONE + 1; t < EVENT_TYPE_COUNT; t++) {
        for (unsigned i = 0; event_infos[t].fields[i].field; i++) {
            enum field_kind kind = field_infos[event_infos[t].fields[i].field].kind;

            if (kind == FIELD_KIND_MONEY || kind == FIELD_KIND_OPTIONAL_MONEY)
                assert_true(event_has((enum event_type)t, FIELD_CURRENCY));
        }
    }
}

/* POST /messages: what is required per topic. */
static void event__from_outside_must_have_what_the_wire_asks(void **state)
{
    static const struct {
        enum event_type type;
        enum field must[5];
    } rows[] = {
        { EVENT_PAYMENT_APPROVED,
          { FIELD_ORDER_ID, FIELD_PAYMENT_ID, FIELD_AMOUNT, FIELD_CURRENCY } },
        { EVENT_PAYMENT_PROCESSED,
          { FIELD_ORDER_ID, FIELD_PAYMENT_ID, FIELD_AMOUNT, FIELD_CURRENCY } },
        { EVENT_PAYMENT_DECLINED, { FIELD_ORDER_ID, FIELD_REASON } },
        { EVENT_PAYMENT_FAILED, { FIELD_ORDER_ID, FIELD_REASON } },
        { EVENT_PAYMENT_REFUNDED,
          { FIELD_ORDER_ID, FIELD_PAYMENT_ID, FIELD_AMOUNT, FIELD_CURRENCY } },
        { EVENT_STOCK_RESERVED, { FIELD_ORDER_ID, FIELD_RESERVATION_ID } },
        { EVENT_INVENTORY_RESERVED, { FIELD_ORDER_ID, FIELD_RESERVATION_ID } },
        { EVENT_STOCK_REJECTED, { FIELD_ORDER_ID, FIELD_REASON } },
        { EVENT_INVENTORY_RESERVATION_FAILED, { FIELD_ORDER_ID, FIELD_REASON } },
        { EVENT_STOCK_RELEASED, { FIELD_ORDER_ID, FIELD_RESERVATION_ID } },
        { EVENT_INVENTORY_RELEASED, { FIELD_ORDER_ID, FIELD_RESERVATION_ID } },
        { EVENT_SHIPMENT_CREATED, { FIELD_ORDER_ID, FIELD_SHIPMENT_ID, FIELD_TRACKING_NUMBER } },
        { EVENT_SHIPMENT_DISPATCHED, { FIELD_ORDER_ID, FIELD_SHIPMENT_ID } },
        { EVENT_SHIPMENT_DELIVERED, { FIELD_ORDER_ID, FIELD_SHIPMENT_ID } },
        { EVENT_SHIPMENT_CANCELLED, { FIELD_ORDER_ID, FIELD_SHIPMENT_ID } },
    };

    (void)state;
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        const struct event_info *info = &event_infos[rows[r].type];
        unsigned n = 0;

        for (unsigned i = 0; info->fields[i].field; i++) {
            if (!info->fields[i].optional)
                assert_int_equal(info->fields[i].field, rows[r].must[n++]);
        }
        assert_int_equal(rows[r].must[n], FIELD_NONE);
    }
}

static void approved_and_processed__print_the_amount_under_both_names(void **state)
{
    static const enum event_type types[] = { EVENT_PAYMENT_APPROVED, EVENT_PAYMENT_PROCESSED };

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(types); i++) {
        assert_string_equal(event_infos[types[i]].fields[3].json, "approvedAmount");
        assert_string_equal(event_infos[types[i]].fields[3].alias, "amount");
    }
    assert_string_equal(event_infos[EVENT_INVENTORY_RESERVED].fields[3].alias, "reservations");
}

static void event_list__hands_out_zeroed_events(void **state)
{
    static struct event_list list;
    static const struct payload empty;

    (void)state;
    memset(&list, 0xa5, sizeof(list));
    event_list_init(&list);
    for (unsigned i = 0; i < EVENT_LIST_MAX; i++) {
        const struct event *e = event_list_add(&list, EVENT_ORDER_PAID);

        assert_int_equal(e->type, EVENT_ORDER_PAID);
        assert_memory_equal(&e->p, &empty, sizeof(empty));
        assert_int_equal(e->position, 0);
    }
    assert_int_equal(list.n, EVENT_LIST_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topic__is_the_type_in_dotted_lower_case),
        cmocka_unit_test(event__has_the_names_that_the_wire_knows),
        cmocka_unit_test(event__of_an_order_always_says_which_order_and_flow),
        cmocka_unit_test(event__has_a_currency_beside_every_amount),
        cmocka_unit_test(event__from_outside_must_have_what_the_wire_asks),
        cmocka_unit_test(approved_and_processed__print_the_amount_under_both_names),
        cmocka_unit_test(event_list__hands_out_zeroed_events),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
