/* What the witness makes of what a broker gets: all that was decided here, an order's in order. */
#include "story.h"

/* Of a paid order: 1 ProductAdded, 2 OrderPlaced, 3 PaymentApproved, 4 OrderPaid. */
static struct story *a_paid_order(void)
{
    struct story *s = story_begin_with(FLOW_PAY_FIRST, true);

    story_paid(s);
    return s;
}

static void relays(struct story *s, uint64_t position)
{
    story_handle(s, SUBSCRIPTION_NATS, position);
    witness_relayed(s->witness, SUBSCRIPTION_NATS, position);
}

static void witness__lets_a_broker_get_what_follows_and_get_it_again(void **state)
{
    struct story *s = a_paid_order();

    (void)state;
    relays(s, 2);
    relays(s, 1); /* of another lane */
    relays(s, 3);
    witness_relayed(s->witness, SUBSCRIPTION_NATS, 3);
    witness_relayed(s->witness, SUBSCRIPTION_NATS, 2);
    relays(s, 4);
    story_holds(s);
    story_end(s);
}

static void witness__finds_what_a_broker_got_without_what_was_before(void **state)
{
    struct story *s = a_paid_order();

    (void)state;
    relays(s, 2);
    story_handle(s, SUBSCRIPTION_NATS, 3); /* and the broker never had it */
    story_holds(s);
    relays(s, 4);
    story_breaks(s, SIM_RELAYED);
    story_end(s);
}

static void witness__finds_what_a_broker_got_before_it_was_durable(void **state)
{
    struct story *s = a_paid_order();

    (void)state;
    witness_relayed(s->witness, SUBSCRIPTION_NATS, 5);
    story_breaks(s, SIM_RELAYED);
    story_end(s);
}

static void witness__finds_what_was_said_from_outside_and_went_out_again(void **state)
{
    struct story *s = story_begin_with(FLOW_PAY_FIRST, true);

    (void)state;
    story_product(s, 10);
    story_commit(s);
    story_place(s)->message_id = STR("theirs");
    story_commit(s);
    story_holds(s);
    witness_relayed(s->witness, SUBSCRIPTION_NATS, 2);
    story_breaks(s, SIM_RELAYED);
    story_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(witness__lets_a_broker_get_what_follows_and_get_it_again),
        cmocka_unit_test(witness__finds_what_a_broker_got_without_what_was_before),
        cmocka_unit_test(witness__finds_what_a_broker_got_before_it_was_durable),
        cmocka_unit_test(witness__finds_what_was_said_from_outside_and_went_out_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
