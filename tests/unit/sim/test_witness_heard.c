/* What the witness makes of messages that are called handled: what Orders passes over, and what the
 * built-in contexts are asked for. */
#include "orderly/app/settings_codec.h"
#include "story.h"

static void pass_over(struct story *s, uint64_t position, enum order_status status)
{
    char key[16 + 8 + 1], value[2] = { (char)status, 'x' };
    struct lane_id lane = lane_of_order(s->order);

    memcpy(key, lane.u.b, 16);
    bytes_put_u64(key + 16, position);
    key[24] = SUBSCRIPTION_ORDERS;
    story_put(s, DB_IGNORED, (struct str){ key, sizeof(key) },
              (struct str){ value, sizeof(value) });
}

/* An order that is paid, and then a message from outside. Its position: 5. */
static struct story *says(enum event_type type)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    story_paid(s);
    if (event_infos[type].aggregate == AGGREGATE_PAYMENT)
        (void)story_money(s, type, SUBSCRIPTION_NONE, 0, "payment-1");
    else
        (void)story_event(s, type, SUBSCRIPTION_NONE, 0);
    story_commit(s);
    return s;
}

static void passes_over(enum event_type type, enum order_status as, bool breaks)
{
    struct story *s = says(type);
    struct delivery *d = story_hand(s, SUBSCRIPTION_ORDERS, 5, 1);

    pass_over(s, 5, as);
    story_tell(s);
    witness_ended(s->witness, d, DELIVERY_DONE);
    if (breaks)
        story_breaks(s, SIM_HEARD);
    else
        story_holds(s);
    story_end(s);
}

static void witness__lets_orders_pass_over_what_moves_nothing(void **state)
{
    (void)state;
    passes_over(EVENT_PAYMENT_APPROVED, ORDER_PAID, false); /* a duplicate */
    passes_over(EVENT_PAYMENT_DECLINED, ORDER_PAID, false);
    passes_over(EVENT_SHIPMENT_CANCELLED, ORDER_PAID, false);
}

static void witness__finds_orders_passing_over_what_moves_the_order(void **state)
{
    (void)state;
    passes_over(EVENT_STOCK_REJECTED, ORDER_PAID, true);
    passes_over(EVENT_PAYMENT_REFUNDED, ORDER_PAID, true);
    passes_over(EVENT_PAYMENT_DECLINED, ORDER_AWAITING_PAYMENT, true); /* which it was not */
}

static void witness__finds_a_message_that_left_nothing(void **state)
{
    struct story *s = says(EVENT_PAYMENT_DECLINED);

    (void)state;
    story_handle(s, SUBSCRIPTION_ORDERS, 5);
    story_breaks(s, SIM_HEARD);
    story_end(s);
}

static void set(struct story *s, bool enabled)
{
    struct simulators settings = simulators_default;
    struct buf row = { 0 };

    settings.payments.enabled = enabled;
    settings_encode(&settings, SIMULATOR_PAYMENTS, &row);
    story_put(s, DB_SETTINGS, simulator_name(SIMULATOR_PAYMENTS), buf_str(&row));
    story_tell(s);
    buf_deinit(&row);
}

static void is_not_charged(bool enabled, int64_t after_ms, bool breaks)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    story_placed(s);
    set(s, enabled);
    for (int64_t ms = 0; ms < after_ms; ms += 1000)
        story_pass_ms(s, 1000);
    story_handle(s, SUBSCRIPTION_PAYMENTS, 2);
    if (breaks)
        story_breaks(s, SIM_HEARD);
    else
        story_holds(s);
    story_end(s);
}

static void witness__finds_a_context_that_does_not_answer(void **state)
{
    (void)state;
    is_not_charged(true, 7000, true);
    is_not_charged(true, 1000, false); /* it may not know of the settings yet */
    is_not_charged(false, 7000, false);
}

/* ---- SETTLED ------------------------------------------------------------------------------------------- */

static void witness__expects_an_order_without_faults_to_go_its_whole_way(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    story_reserved(s);
    story_finish(s);
    story_holds(s); /* at rest */
    witness_expects(s->witness, &s->order);
    story_finish(s);
    story_breaks(s, SIM_SETTLED);
    story_end(s);
}

static void witness__finds_that_nobody_answers(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    witness_unanswered(s->witness, "who orders");
    story_breaks(s, SIM_SETTLED);
    story_end(s);
}

/* ---- STREAM -------------------------------------------------------------------------------------------- */

static void witness__finds_what_has_no_cause_and_what_has_not_happened_yet(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    story_placed(s);
    (void)story_hand(s, SUBSCRIPTION_PAYMENTS, 2, 1);
    (void)story_money(s, EVENT_PAYMENT_APPROVED, SUBSCRIPTION_PAYMENTS, 0, "payment-1");
    story_commit(s);
    story_breaks(s, SIM_STREAM);
    story_end(s);

    s = story_begin(FLOW_PAY_FIRST);
    story_product(s, 10);
    s->events[0].occurred_at_ms = s->wall_ms + 1;
    story_commit(s);
    story_breaks(s, SIM_STREAM);
    story_end(s);
}

static void witness__finds_goods_that_leave_before_shipments_knows(void **state)
{
    struct story *s = story_begin(FLOW_STOCK_FIRST);
    struct event *e;

    (void)state;
    story_placed(s);
    e = story_event(s, EVENT_SHIPMENT_DISPATCHED, SUBSCRIPTION_NONE, 0);
    REQUIRE(text_id_parse(STR("shipment-1"), &e->p.shipment_id.t));
    e->stream.id = e->p.shipment_id.t;
    story_commit(s);
    story_breaks(s, SIM_STREAM);
    story_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(witness__lets_orders_pass_over_what_moves_nothing),
        cmocka_unit_test(witness__finds_orders_passing_over_what_moves_the_order),
        cmocka_unit_test(witness__finds_a_message_that_left_nothing),
        cmocka_unit_test(witness__finds_a_context_that_does_not_answer),
        cmocka_unit_test(witness__expects_an_order_without_faults_to_go_its_whole_way),
        cmocka_unit_test(witness__finds_that_nobody_answers),
        cmocka_unit_test(witness__finds_what_has_no_cause_and_what_has_not_happened_yet),
        cmocka_unit_test(witness__finds_goods_that_leave_before_shipments_knows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
