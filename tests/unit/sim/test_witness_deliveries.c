/* What the witness makes of deliveries: order, retries, parking, dead letters, cursors, crashes. */
#include "orderly/app/deferred_lane.h"
#include "story.h"

/* ---- pieces of stories ------------------------------------------------------------------------------ */

/* The row of Payments' lane of the order: its head failed so often. */
static void put_lane(struct story *s, uint64_t head, unsigned attempts,
                     const struct dead_letter_id *parked)
{
    struct deferred_lane lane = {
        .subscription = SUBSCRIPTION_PAYMENTS,
        .lane = lane_of_order(s->order),
        .head_position = head,
        .attempts = attempts,
        .is_parked = parked != NULL,
        .first_failed_at_ms = s->wall_ms,
        .last_failed_at_ms = s->wall_ms,
        .due_wall_ms = parked ? 0 : s->wall_ms + 100,
        .error_code = attempts ? STR("handler_failed") : STR_NONE,
    };
    char key[DEFERRED_LANE_KEY_LEN];
    struct buf row = { 0 };

    if (parked)
        lane.dead_letter_id = *parked;
    deferred_lane_key(lane.subscription, lane.lane, key);
    deferred_lane_encode(&lane, &row);
    story_put(s, DB_LANES, (struct str){ key, sizeof(key) }, buf_str(&row));
    buf_deinit(&row);
}

static void drop_lane(struct story *s)
{
    char key[DEFERRED_LANE_KEY_LEN];

    deferred_lane_key(SUBSCRIPTION_PAYMENTS, lane_of_order(s->order), key);
    story_delete(s, DB_LANES, (struct str){ key, sizeof(key) });
}

static const struct dead_letter_id letter_1 = { { { 0xd1, 0, 0, 0, 0, 0, 0x70 } } };

static struct event *letter_event(struct story *s, enum event_type type, uint64_t position,
                                  unsigned attempts)
{
    struct event *e = story_event(s, type, SUBSCRIPTION_PAYMENTS, 0);

    e->stream.type = AGGREGATE_SUBSCRIPTION;
    REQUIRE(text_id_parse(STR("payments"), &e->stream.id));
    e->p.dead_letter_id = letter_1;
    e->p.message_position = position;
    e->p.attempts = attempts;
    e->p.subscription = STR("payments");
    if (type == EVENT_DEAD_LETTERED) {
        e->cause = s->events[position - 1].id;
        e->p.error_code = STR("handler_failed");
    } else {
        e->handled_by = SUBSCRIPTION_NONE;
    }
    return e;
}

static void put_letter(struct story *s, uint64_t position, unsigned attempts,
                       enum dead_letter_state state, uint64_t closed_position)
{
    struct dead_letter letter = {
        .id = letter_1,
        .subscription = SUBSCRIPTION_PAYMENTS,
        .state = state,
        .is_parking = true,
        .lane = lane_of_order(s->order),
        .message_id = s->events[position - 1].id,
        .type = s->events[position - 1].type,
        .position = position,
        .closed_position = closed_position,
        .attempts = attempts,
        .error_code = STR("handler_failed"),
    };
    char key[ROW_KEY_LETTER];
    struct buf row = { 0 };

    dead_letter_encode(&letter, &row);
    story_put(s, DB_DEAD_LETTERS, uuid_bytes(&letter.id.u), buf_str(&row));
    story_put(s, DB_DEAD_LETTERS_BY_LANE, row_key_letter(key, letter.lane, letter.id), STR_NONE);
    buf_deinit(&row);
}

static void put_counts(struct story *s, uint64_t sequence, uint64_t open)
{
    char key[sizeof(BUS_META_LETTERS)], value[16];

    bytes_put_u64(value, sequence);
    bytes_put_u64(value + 8, open);
    story_put(s, DB_META, row_key_letters(key, SUBSCRIPTION_PAYMENTS),
              (struct str){ value, sizeof(value) });
}

/* An order whose payment was asked for: Payments has to hear 2 (OrderPlaced) and 3. */
static struct story *two_messages(void)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    story_placed(s);
    (void)story_event(s, EVENT_ORDER_PAYMENT_REQUESTED, SUBSCRIPTION_NONE, 0);
    story_commit(s);
    return s;
}

static void fail_once(struct story *s, uint64_t position, unsigned attempt)
{
    witness_ended(s->witness, story_hand(s, SUBSCRIPTION_PAYMENTS, position, attempt),
                  DELIVERY_FAILED);
}

/* Three retries, each when its time has come, and the last failure. */
static void fail_for_the_last_time(struct story *s)
{
    for (unsigned attempt = 1; attempt <= 3; attempt++) {
        fail_once(s, 2, attempt);
        put_lane(s, 2, attempt, NULL);
        story_commit(s);
        story_pass_ms(s, 30000);
    }
    fail_once(s, 2, 4);
}

static void park(struct story *s)
{
    fail_for_the_last_time(s);
    (void)letter_event(s, EVENT_DEAD_LETTERED, 2, 4); /* 4 */
    put_letter(s, 2, 4, DEAD_LETTER_PARKED, 0);
    put_counts(s, 1, 1);
    put_lane(s, 2, 4, &letter_1);
    story_commit(s);
}

static void breaks_and_ends(struct story *s, enum sim_invariant i)
{
    story_breaks(s, i);
    story_end(s);
}

/* ---- LANE_ORDER --------------------------------------------------------------------------------------- */

static void witness__lets_a_lane_be_heard_in_order(void **state)
{
    struct story *s = two_messages();

    (void)state;
    story_handle(s, SUBSCRIPTION_PAYMENTS, 2);
    story_handle(s, SUBSCRIPTION_PAYMENTS, 3);
    story_holds(s);
    story_end(s);
}

static void witness__finds_a_message_that_was_left_out(void **state)
{
    struct story *s = two_messages();

    (void)state;
    (void)story_hand(s, SUBSCRIPTION_PAYMENTS, 3, 1);
    breaks_and_ends(s, SIM_LANE_ORDER);
}

static void witness__finds_a_message_that_was_left_out_later(void **state)
{
    struct story *s = two_messages();

    (void)state;
    story_handle(s, SUBSCRIPTION_PAYMENTS, 2);
    story_event(s, EVENT_ORDER_CANCELLED, SUBSCRIPTION_NONE, 0)->p.reason = STR("no");
    story_commit(s);
    (void)story_hand(s, SUBSCRIPTION_PAYMENTS, 4, 1);
    breaks_and_ends(s, SIM_LANE_ORDER);
}

static void witness__finds_two_of_a_lane_at_a_time(void **state)
{
    struct story *s = two_messages();

    (void)state;
    (void)story_hand(s, SUBSCRIPTION_PAYMENTS, 2, 1);
    (void)story_hand(s, SUBSCRIPTION_PAYMENTS, 3, 1);
    breaks_and_ends(s, SIM_LANE_ORDER);
}

static void witness__finds_a_message_that_comes_again_for_no_reason(void **state)
{
    struct story *s = two_messages();

    (void)state;
    story_handle(s, SUBSCRIPTION_PAYMENTS, 2);
    (void)story_hand(s, SUBSCRIPTION_PAYMENTS, 2, 1);
    breaks_and_ends(s, SIM_LANE_ORDER);
}

static void witness__finds_a_message_before_it_is_durable(void **state)
{
    struct story *s = two_messages();

    (void)state;
    story_event(s, EVENT_ORDER_CANCELLED, SUBSCRIPTION_NONE, 0)->p.reason = STR("no");
    (void)story_hand(s, SUBSCRIPTION_PAYMENTS, 4, 1);
    breaks_and_ends(s, SIM_ACKNOWLEDGED);
}

static void witness__finds_a_message_for_somebody_else(void **state)
{
    struct story *s = two_messages();

    (void)state;
    (void)story_hand(s, SUBSCRIPTION_INVENTORY, 2, 1);
    breaks_and_ends(s, SIM_LANE_ORDER);
}

static void witness__lets_a_crash_bring_what_has_no_effect_again(void **state)
{
    struct story *s = two_messages();

    (void)state;
    story_handle(s, SUBSCRIPTION_PAYMENTS, 2);
    story_crash(s);
    story_handle(s, SUBSCRIPTION_PAYMENTS, 2);
    (void)story_hand(s, SUBSCRIPTION_PAYMENTS, 3, 1);
    story_crash(s);
    story_handle(s, SUBSCRIPTION_PAYMENTS, 3);
    story_holds(s);
    story_end(s);
}

static void witness__finds_a_message_that_a_crash_lost(void **state)
{
    struct story *s = two_messages();

    (void)state;
    (void)story_hand(s, SUBSCRIPTION_PAYMENTS, 2, 1);
    story_crash(s);
    (void)story_hand(s, SUBSCRIPTION_PAYMENTS, 3, 1);
    breaks_and_ends(s, SIM_LANE_ORDER);
}

static void witness__finds_an_effect_that_is_not_remembered_after_a_crash(void **state)
{
    struct story *s = two_messages();

    (void)state;
    (void)story_hand(s, SUBSCRIPTION_PAYMENTS, 2, 1);
    (void)story_money(s, EVENT_PAYMENT_APPROVED, SUBSCRIPTION_PAYMENTS, 2, "payment-1");
    story_commit(s);
    story_crash(s);
    story_holds(s);
    (void)story_hand(s, SUBSCRIPTION_PAYMENTS, 2, 1);
    breaks_and_ends(s, SIM_LANE_ORDER);
}

/* ---- retries -------------------------------------------------------------------------------------------- */

static void witness__lets_a_message_come_again_after_it_failed(void **state)
{
    struct story *s = two_messages();

    (void)state;
    fail_once(s, 2, 1);
    put_lane(s, 2, 1, NULL);
    story_commit(s);
    story_pass_ms(s, 50);
    witness_ended(s->witness, story_hand(s, SUBSCRIPTION_PAYMENTS, 2, 2), DELIVERY_UNAVAILABLE);
    witness_ended(s->witness, story_hand(s, SUBSCRIPTION_PAYMENTS, 2, 2), DELIVERY_DONE);
    story_handle(s, SUBSCRIPTION_PAYMENTS, 3);
    drop_lane(s);
    story_commit(s);
    story_holds(s);
    story_end(s);
}

static void witness__finds_a_retry_before_its_time(void **state)
{
    struct story *s = two_messages();

    (void)state;
    fail_once(s, 2, 1);
    put_lane(s, 2, 1, NULL);
    story_commit(s);
    story_pass_ms(s, 49);
    (void)story_hand(s, SUBSCRIPTION_PAYMENTS, 2, 2);
    breaks_and_ends(s, SIM_TIMER);
}

static void witness__finds_a_retry_before_the_failure_is_durable(void **state)
{
    struct story *s = two_messages();

    (void)state;
    fail_once(s, 2, 1);
    story_pass_ms(s, 1000);
    (void)story_hand(s, SUBSCRIPTION_PAYMENTS, 2, 2);
    breaks_and_ends(s, SIM_LANE_ORDER);
}

static void witness__finds_a_lane_that_goes_on_before_its_retry(void **state)
{
    struct story *s = two_messages();

    (void)state;
    fail_once(s, 2, 1);
    put_lane(s, 2, 1, NULL);
    story_commit(s);
    story_pass_ms(s, 1000);
    (void)story_hand(s, SUBSCRIPTION_PAYMENTS, 3, 1);
    breaks_and_ends(s, SIM_LANE_ORDER);
}

static void witness__finds_an_attempt_that_was_not_counted(void **state)
{
    struct story *s = two_messages();

    (void)state;
    fail_once(s, 2, 1);
    put_lane(s, 2, 1, NULL);
    story_commit(s);
    story_crash(s);
    story_pass_ms(s, 1000);
    (void)story_hand(s, SUBSCRIPTION_PAYMENTS, 2, 1);
    breaks_and_ends(s, SIM_DEAD_LETTER);
}

/* ---- DEAD_LETTER ------------------------------------------------------------------------------------------ */

static void witness__lets_an_order_be_parked_retried_and_go_on(void **state)
{
    struct story *s = two_messages();

    (void)state;
    park(s);
    story_crash(s);
    (void)letter_event(s, EVENT_DEAD_LETTER_RETRIED, 2, 0); /* 5 */
    put_letter(s, 2, 4, DEAD_LETTER_RETRIED, 5);
    put_counts(s, 2, 0);
    put_lane(s, 2, 0, NULL);
    story_commit(s);
    story_handle(s, SUBSCRIPTION_PAYMENTS, 2);
    story_handle(s, SUBSCRIPTION_PAYMENTS, 3);
    drop_lane(s);
    story_commit(s);
    story_crash(s);
    story_holds(s);
    story_end(s);
}

static void witness__lets_a_discarded_letter_end_its_message(void **state)
{
    struct story *s = two_messages();

    (void)state;
    park(s);
    (void)letter_event(s, EVENT_DEAD_LETTER_DISCARDED, 2, 0);
    put_letter(s, 2, 4, DEAD_LETTER_DISCARDED, 5);
    put_counts(s, 2, 0);
    put_lane(s, 3, 0, NULL);
    story_commit(s);
    story_handle(s, SUBSCRIPTION_PAYMENTS, 3);
    story_holds(s);
    story_end(s);
}

static void witness__finds_a_parked_order_that_is_overtaken(void **state)
{
    struct story *s = two_messages();

    (void)state;
    park(s);
    story_holds(s);
    (void)story_hand(s, SUBSCRIPTION_PAYMENTS, 3, 1);
    breaks_and_ends(s, SIM_LANE_ORDER);
}

static void witness__finds_a_parked_order_that_is_overtaken_after_a_crash(void **state)
{
    struct story *s = two_messages();

    (void)state;
    park(s);
    story_crash(s);
    (void)story_hand(s, SUBSCRIPTION_PAYMENTS, 3, 1);
    breaks_and_ends(s, SIM_LANE_ORDER);
}

static void witness__finds_a_failure_that_left_no_letter(void **state)
{
    struct story *s = two_messages();

    (void)state;
    fail_for_the_last_time(s);
    story_pass_ms(s, 1000);
    (void)story_hand(s, SUBSCRIPTION_PAYMENTS, 3, 1);
    breaks_and_ends(s, SIM_DEAD_LETTER);
}

static void witness__finds_a_letter_of_what_did_not_fail(void **state)
{
    struct story *s = two_messages();

    (void)state;
    story_handle(s, SUBSCRIPTION_PAYMENTS, 2);
    (void)letter_event(s, EVENT_DEAD_LETTERED, 2, 4);
    put_letter(s, 2, 4, DEAD_LETTER_PARKED, 0);
    put_lane(s, 2, 4, &letter_1);
    story_commit(s);
    breaks_and_ends(s, SIM_DEAD_LETTER);
}

static void witness__finds_a_letter_that_comes_too_soon(void **state)
{
    struct story *s = two_messages();

    (void)state;
    fail_once(s, 2, 1);
    (void)letter_event(s, EVENT_DEAD_LETTERED, 2, 1);
    put_letter(s, 2, 1, DEAD_LETTER_PARKED, 0);
    put_lane(s, 2, 1, &letter_1);
    story_commit(s);
    breaks_and_ends(s, SIM_DEAD_LETTER);
}

static void lacks(enum store_db db)
{
    struct story *s = two_messages();

    fail_for_the_last_time(s);
    (void)letter_event(s, EVENT_DEAD_LETTERED, 2, 4);
    put_letter(s, 2, 4, DEAD_LETTER_PARKED, 0);
    put_counts(s, 1, 1);
    put_lane(s, 2, 4, &letter_1);
    s->without = 1u << db;
    story_commit(s);
    story_crash(s);
    breaks_and_ends(s, SIM_DEAD_LETTER);
}

static void witness__finds_a_letter_without_its_rows(void **state)
{
    (void)state;
    lacks(DB_DEAD_LETTERS);
    lacks(DB_DEAD_LETTERS_BY_LANE);
    lacks(DB_LANES);
}

static void witness__finds_letters_that_are_counted_wrong(void **state)
{
    struct story *s = two_messages();

    (void)state;
    fail_for_the_last_time(s);
    (void)letter_event(s, EVENT_DEAD_LETTERED, 2, 4);
    put_letter(s, 2, 4, DEAD_LETTER_PARKED, 0);
    put_counts(s, 1, 2);
    put_lane(s, 2, 4, &letter_1);
    story_commit(s);
    breaks_and_ends(s, SIM_DEAD_LETTER);
}

static void witness__takes_a_permanent_failure_for_an_open_letter(void **state)
{
    struct story *s = two_messages();
    struct delivery *d = story_hand(s, SUBSCRIPTION_PAYMENTS, 2, 1);

    (void)state;
    witness_fails(s->witness, d, FAILURE_CODE_ILLEGAL_STATE);
    witness_ended(s->witness, d, DELIVERY_FAILED);
    (void)letter_event(s, EVENT_DEAD_LETTERED, 2, 1);
    put_letter(s, 2, 1, DEAD_LETTER_OPEN, 0);
    put_counts(s, 1, 1);
    story_commit(s);
    story_handle(s, SUBSCRIPTION_PAYMENTS, 3);
    story_holds(s);
    story_end(s);
}

/* ---- CURSOR -------------------------------------------------------------------------------------------------- */

static void witness__lets_a_cursor_go_as_far_as_all_is_handled(void **state)
{
    struct story *s = two_messages();

    (void)state;
    story_handle(s, SUBSCRIPTION_PAYMENTS, 2);
    (void)story_hand(s, SUBSCRIPTION_PAYMENTS, 3, 1);
    story_cursor(s, SUBSCRIPTION_PAYMENTS, 2);
    story_cursor(s, SUBSCRIPTION_SHIPMENTS, 3);
    story_commit(s);
    story_holds(s);
    story_end(s);
}

static void witness__finds_a_cursor_past_what_is_in_hand(void **state)
{
    struct story *s = two_messages();

    (void)state;
    story_handle(s, SUBSCRIPTION_PAYMENTS, 2);
    (void)story_hand(s, SUBSCRIPTION_PAYMENTS, 3, 1);
    story_cursor(s, SUBSCRIPTION_PAYMENTS, 3);
    story_commit(s);
    breaks_and_ends(s, SIM_CURSOR);
}

static void witness__lets_a_cursor_pass_a_lane_that_has_a_row(void **state)
{
    struct story *s = two_messages();

    (void)state;
    fail_once(s, 2, 1);
    put_lane(s, 2, 1, NULL);
    story_commit(s);
    story_cursor(s, SUBSCRIPTION_PAYMENTS, 3);
    story_commit(s);
    story_crash(s);
    story_holds(s);
    story_end(s);
}

static void witness__finds_a_row_that_goes_before_its_messages(void **state)
{
    struct story *s = two_messages();

    (void)state;
    fail_once(s, 2, 1);
    put_lane(s, 2, 1, NULL);
    story_cursor(s, SUBSCRIPTION_PAYMENTS, 3);
    story_commit(s);
    story_holds(s);
    drop_lane(s);
    story_commit(s);
    breaks_and_ends(s, SIM_CURSOR);
}

static void witness__finds_a_head_past_what_failed(void **state)
{
    struct story *s = two_messages();

    (void)state;
    fail_once(s, 2, 1);
    put_lane(s, 2, 1, NULL);
    story_commit(s);
    put_lane(s, 3, 0, NULL);
    story_commit(s);
    breaks_and_ends(s, SIM_CURSOR);
}

static void witness__finds_a_handler_that_ends_before_its_effect_is_durable(void **state)
{
    struct story *s = two_messages();

    (void)state;
    story_handle(s, SUBSCRIPTION_PAYMENTS, 2);
    (void)story_money(s, EVENT_PAYMENT_APPROVED, SUBSCRIPTION_PAYMENTS, 2, "payment-1");
    story_commit(s);
    breaks_and_ends(s, SIM_CURSOR);
}

static void witness__finds_a_cursor_that_goes_back(void **state)
{
    struct story *s = two_messages();

    (void)state;
    story_cursor(s, SUBSCRIPTION_SHIPMENTS, 3);
    story_commit(s);
    story_cursor(s, SUBSCRIPTION_SHIPMENTS, 2);
    story_commit(s);
    breaks_and_ends(s, SIM_CURSOR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(witness__lets_a_lane_be_heard_in_order),
        cmocka_unit_test(witness__finds_a_message_that_was_left_out),
        cmocka_unit_test(witness__finds_a_message_that_was_left_out_later),
        cmocka_unit_test(witness__finds_two_of_a_lane_at_a_time),
        cmocka_unit_test(witness__finds_a_message_that_comes_again_for_no_reason),
        cmocka_unit_test(witness__finds_a_message_before_it_is_durable),
        cmocka_unit_test(witness__finds_a_message_for_somebody_else),
        cmocka_unit_test(witness__lets_a_crash_bring_what_has_no_effect_again),
        cmocka_unit_test(witness__finds_a_message_that_a_crash_lost),
        cmocka_unit_test(witness__finds_an_effect_that_is_not_remembered_after_a_crash),
        cmocka_unit_test(witness__lets_a_message_come_again_after_it_failed),
        cmocka_unit_test(witness__finds_a_retry_before_its_time),
        cmocka_unit_test(witness__finds_a_retry_before_the_failure_is_durable),
        cmocka_unit_test(witness__finds_a_lane_that_goes_on_before_its_retry),
        cmocka_unit_test(witness__finds_an_attempt_that_was_not_counted),
        cmocka_unit_test(witness__lets_an_order_be_parked_retried_and_go_on),
        cmocka_unit_test(witness__lets_a_discarded_letter_end_its_message),
        cmocka_unit_test(witness__finds_a_parked_order_that_is_overtaken),
        cmocka_unit_test(witness__finds_a_parked_order_that_is_overtaken_after_a_crash),
        cmocka_unit_test(witness__finds_a_failure_that_left_no_letter),
        cmocka_unit_test(witness__finds_a_letter_of_what_did_not_fail),
        cmocka_unit_test(witness__finds_a_letter_that_comes_too_soon),
        cmocka_unit_test(witness__finds_a_letter_without_its_rows),
        cmocka_unit_test(witness__finds_letters_that_are_counted_wrong),
        cmocka_unit_test(witness__takes_a_permanent_failure_for_an_open_letter),
        cmocka_unit_test(witness__lets_a_cursor_go_as_far_as_all_is_handled),
        cmocka_unit_test(witness__finds_a_cursor_past_what_is_in_hand),
        cmocka_unit_test(witness__lets_a_cursor_pass_a_lane_that_has_a_row),
        cmocka_unit_test(witness__finds_a_row_that_goes_before_its_messages),
        cmocka_unit_test(witness__finds_a_head_past_what_failed),
        cmocka_unit_test(witness__finds_a_handler_that_ends_before_its_effect_is_durable),
        cmocka_unit_test(witness__finds_a_cursor_that_goes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
