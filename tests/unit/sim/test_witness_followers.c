/* What the witness makes of streams and waits: every event once, in order, when it is durable; and who
 * waits is told in time. */
#include "story.h"

static struct sim_entry entry(uint64_t after, uint64_t position, const char *type)
{
    static char data[100];

    (void)snprintf(data, sizeof(data), "{\"eventType\":\"%s\"}", type);
    return (struct sim_entry){ .is_of_events = true,
                               .after = after,
                               .position = position,
                               .name = str_of(type),
                               .data = str_of(data) };
}

/* Of a paid order: 1 ProductAdded, 2 OrderPlaced, 3 PaymentApproved, 4 OrderPaid. */
static void streams(const struct sim_entry *e, enum sim_invariant breaks)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    story_paid(s);
    witness_streamed(s->witness, e);
    if (breaks == SIM_INVARIANT_COUNT)
        story_holds(s);
    else
        story_breaks(s, breaks);
    story_end(s);
}

static void witness__lets_a_stream_say_what_follows(void **state)
{
    struct sim_entry e = entry(1, 2, "OrderPlaced");

    (void)state;
    streams(&e, SIM_INVARIANT_COUNT);
    e = entry(3, 4, "order.paid");
    e.is_of_events = false;
    e.data = STR("{\"topic\":\"order.paid\"}");
    streams(&e, SIM_INVARIANT_COUNT);
}

static void witness__finds_what_a_stream_leaves_out_repeats_or_makes_up(void **state)
{
    struct sim_entry e = entry(1, 3, "PaymentApproved");

    (void)state;
    streams(&e, SIM_STREAMED);
    e = entry(2, 2, "OrderPlaced");
    streams(&e, SIM_STREAMED);
    e = entry(1, 2, "OrderPaid");
    streams(&e, SIM_STREAMED);
    e = entry(4, 5, "OrderStockReserved");
    streams(&e, SIM_ACKNOWLEDGED);
}

static void witness__finds_a_stream_that_stops_or_goes_on_elsewhere(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    story_paid(s);
    witness_followed(s->witness, true, 4);
    story_holds(s);
    witness_followed(s->witness, true, 3);
    story_breaks(s, SIM_STREAMED);
    story_end(s);

    s = story_begin(FLOW_PAY_FIRST);
    witness_streamed_from(s->witness, 3, 4);
    story_breaks(s, SIM_STREAMED);
    story_end(s);
}

/* An order that is paid at once, and told of after that time. */
static void waits(enum order_status until, int64_t wait_ms, int64_t told_ms, bool is_ending,
                  bool breaks)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);
    struct sim_answer a = {
        .command = SIM_WAIT,
        .status = 200,
        .has_order = true,
        .sequence = 2,
        .body = STR("{\"status\":\"PAID\",\"paymentId\":\"p\",\"sequence\":2}"),
        .until = 1u << until,
        .wait_ms = wait_ms,
        .is_ending = is_ending,
    };

    story_paid(s);
    a.order = s->order;
    a.asked_us = s->mono_us;
    a.asked_awake_us = witness_awake_us(s->witness);
    for (int64_t ms = 0; ms < told_ms; ms += 1000)
        story_pass_ms(s, 1000);
    witness_answered(s->witness, &a);
    if (breaks)
        story_breaks(s, SIM_STREAMED);
    else
        story_holds(s);
    story_end(s);
}

static void witness__wants_who_waits_to_be_told_in_time(void **state)
{
    (void)state;
    waits(ORDER_PAID, 30000, 0, false, false);
    waits(ORDER_PAID, 30000, 20000, false, true);
    waits(ORDER_SHIPPED, 3000, 3000, false, false);
    waits(ORDER_SHIPPED, 3000, 2000, false, true);
    waits(ORDER_SHIPPED, 3000, 2000, true, false);
    waits(ORDER_SHIPPED, 3000, 20000, false, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(witness__lets_a_stream_say_what_follows),
        cmocka_unit_test(witness__finds_what_a_stream_leaves_out_repeats_or_makes_up),
        cmocka_unit_test(witness__finds_a_stream_that_stops_or_goes_on_elsewhere),
        cmocka_unit_test(witness__wants_who_waits_to_be_told_in_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
