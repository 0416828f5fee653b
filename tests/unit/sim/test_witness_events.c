/* What the witness makes of events and rows: each invariant holds in a right story, and breaks in one
 * that is wrong in one thing. */
#include "story.h"

/* ---- right stories -------------------------------------------------------------------------------- */

static void witness__holds_for_an_order_that_is_paid_and_reserved(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);
    struct witness_counts counts;

    (void)state;
    story_reserved(s);
    for (unsigned i = SUBSCRIPTION_ORDERS; i < SUBSCRIPTION_AUDIT; i++)
        story_cursor(s, (enum subscription_id)i, 6);
    story_commit(s);
    story_crash(s);
    story_finish(s);
    story_holds(s);
    witness_counts(s->witness, &counts);
    assert_int_equal(counts.events, 6);
    assert_int_equal(counts.deliveries, 4);
    assert_int_equal(counts.whole_judged, 2);
    story_end(s);
}

/* Cancelled by a client after it was paid and reserved: refund and release, to the end. */
static void cancelled(struct story *s)
{
    struct event *e;

    story_reserved(s);
    e = story_event(s, EVENT_ORDER_CANCELLED, SUBSCRIPTION_NONE, 0); /* 7 */
    e->p.previous_status = ORDER_STOCK_RESERVED;
    e->p.reason = STR("no longer wanted");
    e->p.refund.set = true;
    e->p.refund.payment_id = story_payment("payment-1");
    e->p.refund.amount = 1000;
    REQUIRE(currency_parse(STR("USD"), &e->p.refund.currency));
    e->p.release.set = true;
    REQUIRE(text_id_parse(STR("reservation-1"), &e->p.release.reservation_id.t));
}

static void given_back(struct story *s)
{
    struct delivery *d = story_hand(s, SUBSCRIPTION_PAYMENTS, 7, 1);

    (void)story_money(s, EVENT_PAYMENT_REFUNDED, SUBSCRIPTION_PAYMENTS, 7, "payment-1"); /* 8 */
    story_commit(s);
    witness_ended(s->witness, d, DELIVERY_DONE);
    d = story_hand(s, SUBSCRIPTION_INVENTORY, 7, 1);
    (void)story_pieces(s, EVENT_STOCK_RELEASED, SUBSCRIPTION_INVENTORY, 7, 2); /* 9 */
    story_commit(s);
    witness_ended(s->witness, d, DELIVERY_DONE);
    d = story_hand(s, SUBSCRIPTION_ORDERS, 8, 1);
    (void)story_money(s, EVENT_ORDER_REFUNDED, SUBSCRIPTION_ORDERS, 8, "payment-1"); /* 10 */
    story_commit(s);
    witness_ended(s->witness, d, DELIVERY_DONE);
    d = story_hand(s, SUBSCRIPTION_ORDERS, 9, 1);
    (void)story_pieces(s, EVENT_ORDER_STOCK_RELEASED, SUBSCRIPTION_ORDERS, 9, 2); /* 11 */
    story_commit(s);
    witness_ended(s->witness, d, DELIVERY_DONE);
}

static void witness__holds_for_an_order_that_is_cancelled_and_paid_back(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    cancelled(s);
    story_commit(s);
    given_back(s);
    story_finish(s);
    story_holds(s);
    story_end(s);
}

/* ---- STREAM --------------------------------------------------------------------------------------- */

static void witness__finds_a_hole_in_the_log(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    story_product(s, 10);
    s->n_events++; /* one that is not written */
    s->n_committed = 0;
    (void)story_place(s);
    s->events[1] = s->events[2];
    s->n_events = 2;
    s->events[1].position = 3;
    story_commit(s);
    story_breaks(s, SIM_STREAM);
    story_end(s);
}

static void witness__finds_a_step_that_is_not_on_the_drawing(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    story_placed(s);
    (void)story_event(s, EVENT_ORDER_READIED, SUBSCRIPTION_NONE, 0);
    story_commit(s);
    story_breaks(s, SIM_STREAM);
    story_end(s);
}

static void witness__finds_a_number_that_is_left_out_of_a_stream(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    story_placed(s);
    story_event(s, EVENT_ORDER_PAYMENT_REQUESTED, SUBSCRIPTION_NONE, 0)->sequence = 3;
    story_commit(s);
    story_breaks(s, SIM_STREAM);
    story_end(s);
}

static void witness__finds_an_event_that_was_written_twice(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);
    struct event *e;

    (void)state;
    story_placed(s);
    e = story_place(s);
    e->id = s->events[1].id;
    story_commit(s);
    story_breaks(s, SIM_STREAM);
    story_end(s);
}

/* ---- CHARGED_ONCE, REFUNDED ----------------------------------------------------------------------- */

static void witness__finds_a_second_charge(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);
    struct delivery *d;

    (void)state;
    story_placed(s);
    d = story_hand(s, SUBSCRIPTION_PAYMENTS, 2, 1);
    (void)story_money(s, EVENT_PAYMENT_APPROVED, SUBSCRIPTION_PAYMENTS, 2, "payment-1");
    story_commit(s);
    story_holds(s);
    (void)story_money(s, EVENT_PAYMENT_APPROVED, SUBSCRIPTION_PAYMENTS, 2, "payment-2");
    story_commit(s);
    story_breaks(s, SIM_CHARGED_ONCE);
    (void)d;
    story_end(s);
}

static void witness__finds_an_order_that_is_paid_with_nothing(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    story_placed(s);
    story_money(s, EVENT_PAYMENT_DECLINED, SUBSCRIPTION_NONE, 0, "payment-1")->message_id =
        STR("m-1");
    story_commit(s);
    (void)story_hand(s, SUBSCRIPTION_ORDERS, 3, 1);
    (void)story_money(s, EVENT_ORDER_PAID, SUBSCRIPTION_ORDERS, 3, "payment-2");
    story_commit(s);
    story_breaks(s, SIM_CHARGED_ONCE);
    story_end(s);
}

static void witness__finds_an_end_that_keeps_the_money(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    cancelled(s);
    s->events[6].p.refund.set = false;
    story_commit(s);
    story_breaks(s, SIM_REFUNDED);
    story_end(s);
}

static void witness__finds_money_that_goes_back_twice(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    cancelled(s);
    story_commit(s);
    (void)story_hand(s, SUBSCRIPTION_PAYMENTS, 7, 1);
    (void)story_money(s, EVENT_PAYMENT_REFUNDED, SUBSCRIPTION_PAYMENTS, 7, "payment-1");
    story_commit(s);
    story_holds(s);
    (void)story_money(s, EVENT_PAYMENT_REFUNDED, SUBSCRIPTION_PAYMENTS, 7, "payment-1");
    story_commit(s);
    story_breaks(s, SIM_REFUNDED);
    story_end(s);
}

static void witness__finds_money_that_never_goes_back(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);
    struct delivery *d;

    (void)state;
    cancelled(s);
    story_commit(s);
    story_handle(s, SUBSCRIPTION_PAYMENTS, 7); /* and does nothing */
    d = story_hand(s, SUBSCRIPTION_INVENTORY, 7, 1);
    (void)story_pieces(s, EVENT_STOCK_RELEASED, SUBSCRIPTION_INVENTORY, 7, 2);
    story_commit(s);
    witness_ended(s->witness, d, DELIVERY_DONE);
    d = story_hand(s, SUBSCRIPTION_ORDERS, 8, 1);
    (void)story_pieces(s, EVENT_ORDER_STOCK_RELEASED, SUBSCRIPTION_ORDERS, 8, 2);
    story_commit(s);
    witness_ended(s->witness, d, DELIVERY_DONE);
    story_holds(s);
    story_finish(s);
    story_breaks(s, SIM_REFUNDED);
    story_end(s);
}

static void witness__finds_a_stray_payment_that_orders_keeps(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    story_paid(s);
    story_money(s, EVENT_PAYMENT_APPROVED, SUBSCRIPTION_NONE, 0, "stray-1")->message_id = STR("m");
    story_commit(s);
    story_holds(s);
    story_handle(s, SUBSCRIPTION_ORDERS, 5);
    story_breaks(s, SIM_REFUNDED);
    story_end(s);
}

/* ---- STOCK ------------------------------------------------------------------------------------------ */

static void witness__finds_stock_below_nothing(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    story_paid(s);
    (void)story_hand(s, SUBSCRIPTION_INVENTORY, 4, 1);
    (void)story_pieces(s, EVENT_STOCK_RESERVED, SUBSCRIPTION_INVENTORY, 4, 11);
    story_commit(s);
    story_breaks(s, SIM_STOCK);
    story_end(s);
}

static void witness__finds_a_stock_row_that_is_not_the_sum(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    story_paid(s);
    s->stock.reserved += 1;
    (void)story_hand(s, SUBSCRIPTION_INVENTORY, 4, 1);
    (void)story_pieces(s, EVENT_STOCK_RESERVED, SUBSCRIPTION_INVENTORY, 4, 2);
    story_commit(s);
    story_breaks(s, SIM_STOCK);
    story_end(s);
}

static void witness__finds_a_stock_row_that_was_forgotten(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    story_paid(s);
    s->without = 1u << DB_STOCK;
    (void)story_hand(s, SUBSCRIPTION_INVENTORY, 4, 1);
    (void)story_pieces(s, EVENT_STOCK_RESERVED, SUBSCRIPTION_INVENTORY, 4, 2);
    story_commit(s);
    story_breaks(s, SIM_STOCK);
    story_end(s);
}

static void witness__finds_an_end_that_keeps_the_stock(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    cancelled(s);
    s->events[6].p.release.set = false;
    story_commit(s);
    story_breaks(s, SIM_STOCK);
    story_end(s);
}

/* ---- READ_MODEL, and what the store keeps --------------------------------------------------------------- */

static void misses(enum store_db db)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    story_placed(s);
    story_handle(s, SUBSCRIPTION_PAYMENTS, 2); /* leaves the charging to somebody outside */
    story_money(s, EVENT_PAYMENT_APPROVED, SUBSCRIPTION_NONE, 0, "payment-1")->message_id =
        STR("m");
    story_commit(s);
    (void)story_hand(s, SUBSCRIPTION_ORDERS, 3, 1);
    (void)story_money(s, EVENT_ORDER_PAID, SUBSCRIPTION_ORDERS, 3, "payment-1");
    s->without = 1u << db;
    story_commit(s);
    story_breaks(s, SIM_READ_MODEL);
    story_end(s);
}

static void witness__finds_rows_that_were_not_written(void **state)
{
    (void)state;
    misses(DB_ORDERS);
    misses(DB_ORDERS_BY_STATUS); /* here the old one stays, too */
    misses(DB_DEADLINES);        /* here it is only that the old one stays */
    misses(DB_BY_LANE);
    misses(DB_BY_TYPE);
}

static void witness__finds_a_row_that_nothing_stands_behind(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    story_placed(s);
    story_put(s, DB_REFUNDS_DUE, uuid_bytes(&s->order.u), STR_NONE);
    story_commit(s);
    story_breaks(s, SIM_READ_MODEL);
    story_end(s);
}

static void changed_behind_its_back(enum store_db db, struct str key, bool is_delete,
                                    enum sim_invariant i)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);
    struct store_row row = { .db = db, .is_delete = is_delete, .key = key, .value = STR("x") };
    struct store_write write = { .rows = &row, .n_rows = 1 };
    struct list writes;

    story_placed(s);
    list_init(&writes);
    list_push_back(&writes, &write.link);
    REQUIRE(s->disk->ops->apply(s->disk, &writes) == ERR_OK);
    story_crash(s);
    story_breaks(s, i);
    story_end(s);
}

static void witness__finds_what_the_store_lost_or_made_up(void **state)
{
    char position[ROW_KEY_POSITION];

    (void)state;
    changed_behind_its_back(DB_EVENTS, row_key_position(position, 2), true, SIM_ACKNOWLEDGED);
    changed_behind_its_back(DB_EVENTS, row_key_position(position, 3), false, SIM_ACKNOWLEDGED);
    changed_behind_its_back(DB_STOCK, STR(STORY_SKU), true, SIM_STOCK);
    changed_behind_its_back(DB_STOCK, STR(STORY_SKU), false, SIM_STOCK);
    changed_behind_its_back(DB_ORDERS, STR("0123456789abcdef"), false, SIM_READ_MODEL);
}

/* ---- TIMER ------------------------------------------------------------------------------------------------ */

static void times_out(struct story *s, int64_t after_ms)
{
    struct event *e;

    story_placed(s);
    story_pass_ms(s, after_ms);
    e = story_event(s, EVENT_ORDER_CANCELLED, SUBSCRIPTION_NONE, 0);
    e->p.previous_status = ORDER_AWAITING_PAYMENT;
    e->p.reason = STR("payment_timeout");
    story_commit(s);
}

static void witness__wants_a_deadline_to_fire_at_its_time_and_not_before(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    times_out(s, STORY_TIMEOUT_MS);
    story_holds(s);
    story_end(s);
    s = story_begin(FLOW_PAY_FIRST);
    times_out(s, STORY_TIMEOUT_MS - 1);
    story_breaks(s, SIM_TIMER);
    story_end(s);
}

static void witness__wants_a_deadline_to_fire_some_time(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    story_placed(s);
    story_pass_ms(s, STORY_TIMEOUT_MS);
    for (unsigned i = 0; i < 55; i++)
        story_pass_ms(s, 1000);
    story_holds(s);
    for (unsigned i = 0; i < 20; i++)
        story_pass_ms(s, 1000);
    story_breaks(s, SIM_TIMER);
    story_end(s);
}

static void witness__lets_a_process_that_is_down_be_late(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    story_placed(s);
    story_look(s, false);
    for (unsigned i = 0; i < 4000; i++)
        story_pass_ms(s, 1000);
    witness_started(s->witness, &s->bus);
    story_pass_ms(s, 1000);
    story_holds(s);
    story_end(s);
}

static void witness__finds_a_deadline_that_is_not_the_configured_one(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    story_place(s)->p.payment_deadline_ms += 1;
    story_commit(s);
    story_breaks(s, SIM_TIMER);
    story_end(s);
}

/* ---- SETTLED ------------------------------------------------------------------------------------------------ */

static void witness__finds_an_order_that_came_to_no_end(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    story_placed(s);
    story_handle(s, SUBSCRIPTION_PAYMENTS, 2);
    story_finish(s);
    story_breaks(s, SIM_SETTLED);
    story_end(s);
}

static void witness__finds_a_message_that_nobody_heard(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    cancelled(s);
    story_commit(s);
    story_finish(s);
    story_breaks(s, SIM_SETTLED);
    story_end(s);
}

static void witness__finds_an_order_past_its_deadline_at_the_end(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    story_placed(s);
    story_handle(s, SUBSCRIPTION_PAYMENTS, 2);
    story_pass_ms(s, STORY_TIMEOUT_MS);
    story_finish(s);
    story_breaks(s, SIM_TIMER);
    story_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(witness__holds_for_an_order_that_is_paid_and_reserved),
        cmocka_unit_test(witness__holds_for_an_order_that_is_cancelled_and_paid_back),
        cmocka_unit_test(witness__finds_a_hole_in_the_log),
        cmocka_unit_test(witness__finds_a_step_that_is_not_on_the_drawing),
        cmocka_unit_test(witness__finds_a_number_that_is_left_out_of_a_stream),
        cmocka_unit_test(witness__finds_an_event_that_was_written_twice),
        cmocka_unit_test(witness__finds_a_second_charge),
        cmocka_unit_test(witness__finds_an_order_that_is_paid_with_nothing),
        cmocka_unit_test(witness__finds_an_end_that_keeps_the_money),
        cmocka_unit_test(witness__finds_money_that_goes_back_twice),
        cmocka_unit_test(witness__finds_money_that_never_goes_back),
        cmocka_unit_test(witness__finds_a_stray_payment_that_orders_keeps),
        cmocka_unit_test(witness__finds_stock_below_nothing),
        cmocka_unit_test(witness__finds_a_stock_row_that_is_not_the_sum),
        cmocka_unit_test(witness__finds_a_stock_row_that_was_forgotten),
        cmocka_unit_test(witness__finds_an_end_that_keeps_the_stock),
        cmocka_unit_test(witness__finds_rows_that_were_not_written),
        cmocka_unit_test(witness__finds_a_row_that_nothing_stands_behind),
        cmocka_unit_test(witness__finds_what_the_store_lost_or_made_up),
        cmocka_unit_test(witness__wants_a_deadline_to_fire_at_its_time_and_not_before),
        cmocka_unit_test(witness__wants_a_deadline_to_fire_some_time),
        cmocka_unit_test(witness__lets_a_process_that_is_down_be_late),
        cmocka_unit_test(witness__finds_a_deadline_that_is_not_the_configured_one),
        cmocka_unit_test(witness__finds_an_order_that_came_to_no_end),
        cmocka_unit_test(witness__finds_a_message_that_nobody_heard),
        cmocka_unit_test(witness__finds_an_order_past_its_deadline_at_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
