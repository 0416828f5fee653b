/* What the witness makes of what a broker brings: durable before the broker may forget it, as it was
 * said; and of an outside Payments or Inventory, which does as the built-in one does. */
#include "story.h"

static void says(struct story *s, const char *id, enum event_type type)
{
    struct sim_said said = { .id = str_of(id),
                             .type = type,
                             .order = s->order,
                             .payment_id = story_payment("payment-1"),
                             .reservation_id.t = story_payment("reservation-1").t,
                             .amount = 1000 };

    REQUIRE(currency_parse(STR("USD"), &said.currency));
    witness_said(s->witness, &said);
}

/* It has come, and is durable. */
static void comes(struct story *s, const char *id, enum event_type type, const char *payment)
{
    struct event *e = story_money(s, type, SUBSCRIPTION_NONE, 0, payment);

    e->message_id = str_of(id);
    story_commit(s);
}

/* The same of reservation-1, or of another one; of what nobody here has on a shelf. */
static void comes_stock(struct story *s, const char *id, enum event_type type,
                        const char *reservation)
{
    struct event *e = story_pieces(s, type, SUBSCRIPTION_NONE, 0, 0);

    e->p.n_stock_lines = 0;
    e->message_id = str_of(id);
    REQUIRE(text_id_parse(str_of(reservation), &e->p.reservation_id.t));
    e->stream.id = e->p.reservation_id.t;
    story_commit(s);
}

static struct story *a_placed_order(void)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    story_placed(s);
    return s;
}

static void witness__lets_a_broker_forget_what_is_durable_and_bring_it_again(void **state)
{
    struct story *s = a_placed_order();

    (void)state;
    says(s, "charge-1", EVENT_PAYMENT_APPROVED);
    comes(s, "charge-1", EVENT_PAYMENT_APPROVED, "payment-1");
    witness_received(s->witness, STR("charge-1"));
    witness_received(s->witness, STR("charge-1"));
    story_holds(s);
    story_end(s);
}

static void witness__finds_what_a_broker_may_forget_before_it_is_durable(void **state)
{
    struct story *s = a_placed_order();

    (void)state;
    says(s, "charge-1", EVENT_PAYMENT_APPROVED);
    witness_received(s->witness, STR("charge-1"));
    story_breaks(s, SIM_RECEIVED);
    story_end(s);
}

static void witness__finds_what_is_not_as_it_was_said(void **state)
{
    struct story *s = a_placed_order();

    (void)state;
    says(s, "charge-1", EVENT_PAYMENT_APPROVED);
    comes(s, "charge-1", EVENT_PAYMENT_APPROVED, "payment-2");
    story_breaks(s, SIM_RECEIVED);
    story_end(s);
}

/* It can't be received, and what is kept of it is the body. */
static void nonsense(const char *body, bool breaks)
{
    struct story *s = a_placed_order();
    struct event *e;

    witness_said(s->witness, &(struct sim_said){ .id = STR("nonsense-1"),
                                                 .type = EVENT_MESSAGE_REFUSED,
                                                 .body = STR("{\"nonsense-1\"") });
    e = story_event(s, EVENT_MESSAGE_REFUSED, SUBSCRIPTION_NONE, 0);
    e->lane.u.b[0] = 2;
    e->message_id = STR("nonsense-1");
    e->p = (struct payload){ .said_body = str_of(body) };
    REQUIRE(text_id_parse(STR("nats"), &e->stream.id));
    story_commit(s);
    if (breaks)
        story_breaks(s, SIM_RECEIVED);
    else
        story_holds(s);
    story_end(s);
}

static void witness__wants_what_cant_be_received_kept_byte_by_byte(void **state)
{
    (void)state;
    nonsense("{\"nonsense-1\"", false);
    nonsense("{\"nonsense-1", true);
}

static void witness__finds_what_was_said_and_never_came(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    says(s, "charge-1", EVENT_PAYMENT_APPROVED);
    story_finish(s);
    story_breaks(s, SIM_RECEIVED);
    story_end(s);
}

static void witness__finds_a_message_from_a_broker_that_is_in_the_log_twice(void **state)
{
    struct story *s = a_placed_order();

    (void)state;
    says(s, "charge-1", EVENT_PAYMENT_APPROVED);
    comes(s, "charge-1", EVENT_PAYMENT_APPROVED, "payment-1");
    comes(s, "charge-1", EVENT_PAYMENT_APPROVED, "payment-1");
    story_breaks(s, SIM_ONCE);
    story_end(s);
}

static void witness__finds_an_order_that_outside_payments_charge_twice(void **state)
{
    struct story *s = a_placed_order();

    (void)state;
    says(s, "charge-1", EVENT_PAYMENT_APPROVED);
    says(s, "charge-2", EVENT_PAYMENT_APPROVED);
    comes(s, "charge-1", EVENT_PAYMENT_APPROVED, "payment-1");
    story_holds(s);
    comes(s, "charge-2", EVENT_PAYMENT_APPROVED, "payment-2");
    story_breaks(s, SIM_CHARGED_ONCE);
    story_end(s);
}

static void witness__finds_a_refund_from_outside_that_nobody_asked_for(void **state)
{
    struct story *s = a_placed_order();

    (void)state;
    says(s, "charge-1", EVENT_PAYMENT_APPROVED);
    says(s, "refund-1", EVENT_PAYMENT_REFUNDED);
    comes(s, "charge-1", EVENT_PAYMENT_APPROVED, "payment-1");
    comes(s, "refund-1", EVENT_PAYMENT_REFUNDED, "payment-1");
    story_breaks(s, SIM_REFUNDED);
    story_end(s);
}

static void witness__lets_an_outside_inventory_reserve_what_is_not_here(void **state)
{
    struct story *s = a_placed_order();

    (void)state;
    says(s, "reserve-1", EVENT_STOCK_RESERVED);
    comes_stock(s, "reserve-1", EVENT_STOCK_RESERVED, "reservation-1");
    witness_received(s->witness, STR("reserve-1"));
    story_holds(s);
    story_end(s);
}

static void witness__finds_another_reservation_than_was_said(void **state)
{
    struct story *s = a_placed_order();

    (void)state;
    says(s, "reserve-1", EVENT_STOCK_RESERVED);
    comes_stock(s, "reserve-1", EVENT_STOCK_RESERVED, "reservation-2");
    story_breaks(s, SIM_RECEIVED);
    story_end(s);
}

static void witness__finds_an_order_that_is_reserved_for_twice_outside(void **state)
{
    struct story *s = a_placed_order();

    (void)state;
    says(s, "reserve-1", EVENT_STOCK_RESERVED);
    says(s, "reserve-2", EVENT_STOCK_RESERVED);
    comes_stock(s, "reserve-1", EVENT_STOCK_RESERVED, "reservation-1");
    story_holds(s);
    comes_stock(s, "reserve-2", EVENT_STOCK_RESERVED, "reservation-2");
    story_breaks(s, SIM_STOCK);
    story_end(s);
}

static void witness__finds_a_release_from_outside_that_nobody_asked_for(void **state)
{
    struct story *s = a_placed_order();

    (void)state;
    says(s, "reserve-1", EVENT_STOCK_RESERVED);
    says(s, "release-1", EVENT_STOCK_RELEASED);
    comes_stock(s, "reserve-1", EVENT_STOCK_RESERVED, "reservation-1");
    comes_stock(s, "release-1", EVENT_STOCK_RELEASED, "reservation-1");
    story_breaks(s, SIM_STOCK);
    story_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(witness__lets_a_broker_forget_what_is_durable_and_bring_it_again),
        cmocka_unit_test(witness__finds_what_a_broker_may_forget_before_it_is_durable),
        cmocka_unit_test(witness__finds_what_is_not_as_it_was_said),
        cmocka_unit_test(witness__wants_what_cant_be_received_kept_byte_by_byte),
        cmocka_unit_test(witness__finds_what_was_said_and_never_came),
        cmocka_unit_test(witness__finds_a_message_from_a_broker_that_is_in_the_log_twice),
        cmocka_unit_test(witness__finds_an_order_that_outside_payments_charge_twice),
        cmocka_unit_test(witness__finds_a_refund_from_outside_that_nobody_asked_for),
        cmocka_unit_test(witness__lets_an_outside_inventory_reserve_what_is_not_here),
        cmocka_unit_test(witness__finds_another_reservation_than_was_said),
        cmocka_unit_test(witness__finds_an_order_that_is_reserved_for_twice_outside),
        cmocka_unit_test(witness__finds_a_release_from_outside_that_nobody_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
