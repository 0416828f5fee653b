/* The flows as tables: what is on the drawings of the documentation, and nothing else. */
#include "orderly/base/check.h"
#include "orderly/domain/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct flow *flow_named(const char *name)
{
    enum flow_id id;

    assert_true(flow_parse(str_of(name), &id));
    return flow_of(id);
}

/* Walks a path and compares the states and the order's own events on the way. */
struct step {
    enum order_input input;
    enum order_status to;
    enum event_type event;
};
static void walk(const struct flow *f, const struct step *steps, unsigned n)
{
    enum order_status at = f->start;

    for (unsigned i = 0; i < n; i++) {
        const struct flow_row *row = flow_find(f, at, steps[i].input);

        assert_non_null(row);
        assert_int_equal(row->to, steps[i].to);
        assert_int_equal(row->event, steps[i].event);
        at = row->to;
    }
}

static void pay_first__goes_from_checkout_to_completed(void **state)
{
    static const struct step steps[] = {
        { ORDER_INPUT_PAY, ORDER_AWAITING_PAYMENT, EVENT_ORDER_PAYMENT_REQUESTED },
        { ORDER_INPUT_PAYMENT_APPROVED, ORDER_PAID, EVENT_ORDER_PAID },
        { ORDER_INPUT_STOCK_RESERVED, ORDER_STOCK_RESERVED, EVENT_ORDER_STOCK_RESERVED },
        { ORDER_INPUT_READY, ORDER_READY, EVENT_ORDER_READIED },
        { ORDER_INPUT_COMPLETE, ORDER_COMPLETED, EVENT_ORDER_COMPLETED },
    };

    (void)state;
    assert_int_equal(flow_named("pay_first")->start, ORDER_AWAITING_PAYMENT);
    walk(flow_named("pay_first"), steps, ARRAY_LEN(steps));
}

static void stock_first__goes_from_placing_to_delivered(void **state)
{
    static const struct step steps[] = {
        { ORDER_INPUT_STOCK_RESERVED, ORDER_CONFIRMED, EVENT_ORDER_CONFIRMED },
        { ORDER_INPUT_PAYMENT_APPROVED, ORDER_PAID, EVENT_ORDER_PAID },
        { ORDER_INPUT_SHIPMENT_CREATED, ORDER_SHIPPED, EVENT_ORDER_SHIPPED },
        { ORDER_INPUT_SHIPMENT_DELIVERED, ORDER_DELIVERED, EVENT_ORDER_DELIVERED },
    };

    (void)state;
    assert_int_equal(flow_named("stock_first")->start, ORDER_PENDING);
    walk(flow_named("stock_first"), steps, ARRAY_LEN(steps));
}

static void flow__has_no_way_out_of_a_final_state(void **state)
{
    (void)state;
    for (unsigned id = FLOW_NONE + 1; id < FLOW_COUNT; id++) {
        const struct flow *f = flow_of((enum flow_id)id);

        for (unsigned i = 0; i < f->n_rows; i++)
            assert_false(order_status_is_final(f->rows[i].from));
    }
}

static void flow__has_no_state_that_is_reached_and_never_left_but_the_final_ones(void **state)
{
    (void)state;
    for (unsigned id = FLOW_NONE + 1; id < FLOW_COUNT; id++) {
        const struct flow *f = flow_of((enum flow_id)id);
        uint32_t left = 0;

        for (unsigned i = 0; i < f->n_rows; i++) {
            if (f->rows[i].to != f->rows[i].from)
                left |= 1u << f->rows[i].from;
        }
        for (unsigned i = 0; i < f->n_rows; i++)
            assert_true(order_status_is_final(f->rows[i].to) || (left & (1u << f->rows[i].to)));
    }
}

static void flow__names_each_pair_of_state_and_input_once(void **state)
{
    (void)state;
    for (unsigned id = FLOW_NONE + 1; id < FLOW_COUNT; id++) {
        const struct flow *f = flow_of((enum flow_id)id);

        for (unsigned i = 0; i < f->n_rows; i++)
            assert_ptr_equal(flow_find(f, f->rows[i].from, f->rows[i].input), &f->rows[i]);
        for (unsigned i = 0; i < f->n_reactions; i++)
            assert_ptr_equal(flow_reaction_of(f, f->reactions[i].heard, f->reactions[i].context),
                             &f->reactions[i]);
    }
}

static void flow__knows_what_can_still_come(void **state)
{
    const struct flow *f = flow_named("pay_first"), *s = flow_named("stock_first");

    (void)state;
    assert_true(flow_reaches(f, ORDER_AWAITING_PAYMENT, ORDER_INPUT_STOCK_RESERVED));
    assert_true(flow_reaches(f, ORDER_AWAITING_PAYMENT, ORDER_INPUT_COMPLETE));
    assert_false(flow_reaches(f, ORDER_PAID, ORDER_INPUT_PAYMENT_APPROVED));
    assert_false(flow_reaches(f, ORDER_AWAITING_PAYMENT, ORDER_INPUT_SHIPMENT_CREATED));
    assert_true(flow_reaches(s, ORDER_PENDING, ORDER_INPUT_SHIPMENT_DELIVERED));
    assert_false(flow_reaches(s, ORDER_CANCELLED, ORDER_INPUT_STOCK_RESERVED));
}

/* Every answer of a context is heard by Orders, and Orders answers only what its rows emit. */
static void reactions__form_a_closed_conversation(void **state)
{
    (void)state;
    for (unsigned id = FLOW_NONE + 1; id < FLOW_COUNT; id++) {
        const struct flow *f = flow_of((enum flow_id)id);

        for (unsigned i = 0; i < f->n_reactions; i++) {
            const struct flow_reaction *r = &f->reactions[i];

            for (unsigned a = 0; a < FLOW_ANSWERS_MAX && r->answers[a]; a++) {
                if (r->context == CONTEXT_ORDERS)
                    assert_int_equal(event_infos[r->answers[a]].aggregate, AGGREGATE_ORDER);
                else
                    assert_non_null(flow_reaction_of(f, r->answers[a], CONTEXT_ORDERS));
            }
        }
        for (unsigned t = EVENT_PAYMENT_APPROVED; t <= EVENT_SHIPMENT_CANCELLED; t++)
            assert_non_null(flow_reaction_of(f, (uint16_t)t, CONTEXT_ORDERS));
    }
}

static void reactions__differ_by_flow(void **state)
{
    const struct flow *f = flow_named("pay_first"), *s = flow_named("stock_first");

    (void)state;
    assert_non_null(flow_reaction_of(f, EVENT_ORDER_PLACED, CONTEXT_PAYMENTS));
    assert_null(flow_reaction_of(s, EVENT_ORDER_PLACED, CONTEXT_PAYMENTS));
    assert_null(flow_reaction_of(f, EVENT_ORDER_PLACED, CONTEXT_INVENTORY));
    assert_non_null(flow_reaction_of(s, EVENT_ORDER_PLACED, CONTEXT_INVENTORY));
    assert_non_null(flow_reaction_of(s, EVENT_ORDER_CONFIRMED, CONTEXT_PAYMENTS));
    assert_non_null(flow_reaction_of(f, EVENT_ORDER_PAID, CONTEXT_INVENTORY));
    assert_null(flow_reaction_of(s, EVENT_ORDER_PAID, CONTEXT_INVENTORY));
    assert_null(flow_reaction_of(f, EVENT_ORDER_PAID, CONTEXT_SHIPMENTS));
    assert_non_null(flow_reaction_of(s, EVENT_ORDER_PAID, CONTEXT_SHIPMENTS));
    assert_non_null(flow_reaction_of(f, EVENT_ORDER_COMPLETED, CONTEXT_INVENTORY));
    assert_non_null(flow_reaction_of(s, EVENT_SHIPMENT_DISPATCHED, CONTEXT_INVENTORY));
    assert_null(flow_reaction_of(f, EVENT_SHIPMENT_DISPATCHED, CONTEXT_INVENTORY));
    for (unsigned id = FLOW_NONE + 1; id < FLOW_COUNT; id++)
        assert_non_null(flow_reaction_of(flow_of((enum flow_id)id), EVENT_ORDER_SHIPMENT_REFUSED,
                                         CONTEXT_SHIPMENTS));
}

static void status__has_names_and_kinds(void **state)
{
    enum order_status s;
    enum flow_id f;

    (void)state;
    assert_true(order_status_parse(STR("PAYMENT_FAILED"), &s));
    assert_int_equal(s, ORDER_PAYMENT_FAILED);
    assert_true(str_eq(order_status_name(ORDER_STOCK_RESERVED), STR("STOCK_RESERVED")));
    assert_false(order_status_parse(STR("paid"), &s));
    assert_false(order_status_parse(STR(""), &s));
    assert_true(order_status_is_at_rest(ORDER_SHIPPED));
    assert_false(order_status_is_at_rest(ORDER_PAID));
    assert_false(order_status_is_final(ORDER_NONE));
    assert_false(flow_parse(STR("ship_first"), &f));
    assert_null(flow_of(FLOW_NONE));
    assert_string_equal(order_input_name(ORDER_INPUT_MARK_PAID), "mark-paid");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pay_first__goes_from_checkout_to_completed),
        cmocka_unit_test(stock_first__goes_from_placing_to_delivered),
        cmocka_unit_test(flow__has_no_way_out_of_a_final_state),
        cmocka_unit_test(flow__has_no_state_that_is_reached_and_never_left_but_the_final_ones),
        cmocka_unit_test(flow__names_each_pair_of_state_and_input_once),
        cmocka_unit_test(flow__knows_what_can_still_come),
        cmocka_unit_test(reactions__form_a_closed_conversation),
        cmocka_unit_test(reactions__differ_by_flow),
        cmocka_unit_test(status__has_names_and_kinds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
