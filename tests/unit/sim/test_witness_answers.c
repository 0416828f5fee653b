/* What the witness makes of what clients read: nothing that is not durable, and one answer for one
 * key. */
#include "orderly/app/command.h"
#include "orderly/app/idempotency.h"
#include "story.h"

#define DAY_MS (INT64_C(24) * 60 * 60 * 1000)

static struct sim_answer answer(const struct story *s, enum sim_command command, int status)
{
    return (struct sim_answer){
        .command = command,
        .request = 7,
        .key = STR("key-7"),
        .status = status,
        .has_order = true,
        .order = s->order,
        .body = STR("{\"orderId\":\"...\"}"),
        .asked_wall_ms = s->wall_ms,
        .answered_wall_ms = s->wall_ms,
    };
}

static void read_answer(struct story *s, struct sim_answer a)
{
    witness_answered(s->witness, &a);
}

/* The row that keeps the answer, in the next write. */
static void keep(struct story *s, int64_t expires_ms)
{
    struct stored_answer stored = { .expires_ms = expires_ms, .answer.status = 201 };
    struct buf row = { 0 };

    stored_answer_encode(&stored, &row);
    story_put(s, DB_IDEMPOTENCY, STR("0123456789abcdef"), buf_str(&row));
    buf_deinit(&row);
}

/* ---- ACKNOWLEDGED ------------------------------------------------------------------------------------ */

static void witness__lets_a_client_read_what_is_durable(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);
    struct sim_answer a;
    struct witness_counts counts;

    (void)state;
    story_placed(s);
    a = answer(s, SIM_PLACE, 201);
    a.sequence = 1;
    read_answer(s, a);
    story_crash(s);
    story_holds(s);
    witness_counts(s->witness, &counts);
    assert_int_equal(counts.acknowledged, 1);
    story_end(s);
}

static void witness__finds_an_answer_before_the_order_is_durable(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    (void)story_place(s);
    read_answer(s, answer(s, SIM_PLACE, 201));
    story_breaks(s, SIM_ACKNOWLEDGED);
    assert_true(witness_violation(s->witness)->has_order);
    story_end(s);
}

static void witness__finds_an_answer_ahead_of_the_stream(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);
    struct sim_answer a;

    (void)state;
    story_placed(s);
    a = answer(s, SIM_READ, 200);
    a.sequence = 2;
    read_answer(s, a);
    story_breaks(s, SIM_ACKNOWLEDGED);
    story_end(s);
}

static void finds_no_effect(enum sim_command command)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    story_placed(s);
    read_answer(s, answer(s, command, 200));
    story_breaks(s, SIM_ACKNOWLEDGED);
    story_end(s);
}

static void witness__finds_an_answer_whose_effect_is_not_there(void **state)
{
    (void)state;
    finds_no_effect(SIM_CANCEL);
    finds_no_effect(SIM_MARK_PAID);
    finds_no_effect(SIM_READY);
    finds_no_effect(SIM_COMPLETE);
    finds_no_effect(SIM_DISPATCH);
    finds_no_effect(SIM_DELIVER);
}

static void witness__finds_a_message_that_was_accepted_and_is_not_there(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);
    struct sim_answer a = answer(s, SIM_MESSAGE, 202);

    (void)state;
    story_placed(s);
    a.has_order = false;
    a.message_id = STR("m-1");
    story_money(s, EVENT_PAYMENT_APPROVED, SUBSCRIPTION_NONE, 0, "p")->message_id = STR("m-1");
    story_commit(s);
    read_answer(s, a);
    story_holds(s);
    a.message_id = STR("m-2");
    read_answer(s, a);
    story_breaks(s, SIM_ACKNOWLEDGED);
    story_end(s);
}

/* ---- ONCE ----------------------------------------------------------------------------------------------- */

static void witness__lets_a_key_have_one_answer(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);
    struct sim_answer a;

    (void)state;
    story_placed(s);
    a = answer(s, SIM_PLACE, 201);
    read_answer(s, a);
    a.is_replayed = true;
    story_pass_ms(s, DAY_MS - 1);
    read_answer(s, a);
    a.status = 503;
    read_answer(s, a); /* of the moment */
    a.status = 409;
    a.body = STR("{\"code\":\"idempotency_in_flight\"}");
    read_answer(s, a);
    story_holds(s);
    story_end(s);
}

static void witness__finds_a_key_that_is_carried_out_twice(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    story_placed(s);
    read_answer(s, answer(s, SIM_PLACE, 201));
    story_pass_ms(s, DAY_MS - 1);
    story_holds(s);
    s->wall_ms -= DAY_MS - 1; /* the asking */
    read_answer(s, answer(s, SIM_PLACE, 201));
    story_breaks(s, SIM_ONCE);
    story_end(s);
}

static void witness__finds_another_answer_to_the_same_key(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);
    struct sim_answer a;

    (void)state;
    story_placed(s);
    a = answer(s, SIM_PLACE, 201);
    read_answer(s, a);
    story_pass_ms(s, 1);
    a.asked_wall_ms = s->wall_ms;
    a.is_replayed = true;
    a.body = STR("{}");
    read_answer(s, a);
    story_breaks(s, SIM_ONCE);
    story_end(s);
}

/* Asked just before the 24 hours were over, and read when the key had been used anew. */
static void witness__lets_an_answer_of_the_day_before_be_read_late(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);
    struct sim_answer first, anew;

    (void)state;
    story_placed(s);
    first = answer(s, SIM_PLACE, 201);
    read_answer(s, first);
    story_look(s, false);
    story_pass_ms(s, DAY_MS - 1);
    first.asked_wall_ms = s->wall_ms;
    first.is_replayed = true;
    story_pass_ms(s, 2);
    anew = answer(s, SIM_PLACE, 201);
    anew.body = STR("{}");
    read_answer(s, anew);
    story_pass_ms(s, 1);
    read_answer(s, first);
    story_holds(s);
    story_end(s);
}

static void witness__wants_a_key_to_be_new_after_24_hours(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);
    struct sim_answer a;

    (void)state;
    story_placed(s);
    read_answer(s, answer(s, SIM_PLACE, 201));
    story_crash(s); /* a process that is down fires no deadline */
    story_look(s, false);
    story_pass_ms(s, DAY_MS);
    a = answer(s, SIM_PLACE, 201);
    a.is_replayed = true;
    read_answer(s, a);
    story_breaks(s, SIM_ONCE);
    story_end(s);
}

static void put_twice(int64_t apart_ms, bool breaks)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    keep(s, s->wall_ms + DAY_MS);
    story_placed(s);
    story_look(s, false);
    story_pass_ms(s, apart_ms);
    keep(s, s->wall_ms + DAY_MS);
    story_commit(s);
    if (breaks)
        story_breaks(s, SIM_ONCE);
    else
        story_holds(s);
    story_end(s);
}

static void witness__finds_a_key_that_is_stored_again_within_24_hours(void **state)
{
    (void)state;
    put_twice(DAY_MS - 1, true);
    put_twice(DAY_MS, false);
}

static void witness__finds_a_key_that_is_kept_for_less(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    keep(s, s->wall_ms + DAY_MS - 1000);
    story_placed(s);
    story_breaks(s, SIM_ONCE);
    story_end(s);
}

static void witness__finds_a_key_that_is_forgotten_early(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    keep(s, s->wall_ms + DAY_MS);
    story_placed(s);
    story_look(s, false);
    story_pass_ms(s, DAY_MS - 1);
    story_delete(s, DB_IDEMPOTENCY, STR("0123456789abcdef"));
    story_commit(s);
    story_breaks(s, SIM_ONCE);
    story_end(s);
}

static void said_twice(int64_t apart_ms, bool breaks)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    story_placed(s);
    story_money(s, EVENT_PAYMENT_APPROVED, SUBSCRIPTION_NONE, 0, "p")->message_id = STR("m-1");
    story_commit(s);
    story_look(s, false);
    story_pass_ms(s, apart_ms);
    story_money(s, EVENT_PAYMENT_APPROVED, SUBSCRIPTION_NONE, 0, "p")->message_id = STR("m-1");
    story_commit(s);
    if (breaks)
        story_breaks(s, SIM_ONCE);
    else
        story_holds(s);
    story_end(s);
}

static void witness__finds_a_message_that_is_taken_twice_within_24_hours(void **state)
{
    (void)state;
    said_twice(DAY_MS - 1, true);
    said_twice(DAY_MS, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(witness__lets_a_client_read_what_is_durable),
        cmocka_unit_test(witness__finds_an_answer_before_the_order_is_durable),
        cmocka_unit_test(witness__finds_an_answer_ahead_of_the_stream),
        cmocka_unit_test(witness__finds_an_answer_whose_effect_is_not_there),
        cmocka_unit_test(witness__finds_a_message_that_was_accepted_and_is_not_there),
        cmocka_unit_test(witness__lets_a_key_have_one_answer),
        cmocka_unit_test(witness__finds_a_key_that_is_carried_out_twice),
        cmocka_unit_test(witness__finds_another_answer_to_the_same_key),
        cmocka_unit_test(witness__lets_an_answer_of_the_day_before_be_read_late),
        cmocka_unit_test(witness__wants_a_key_to_be_new_after_24_hours),
        cmocka_unit_test(witness__finds_a_key_that_is_stored_again_within_24_hours),
        cmocka_unit_test(witness__finds_a_key_that_is_kept_for_less),
        cmocka_unit_test(witness__finds_a_key_that_is_forgotten_early),
        cmocka_unit_test(witness__finds_a_message_that_is_taken_twice_within_24_hours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
