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

/* As an order is shown. */
static struct sim_answer shown(struct story *s, enum sim_command command, const char *status,
                               uint64_t sequence)
{
    struct sim_answer a = answer(s, command, 200);

    a.request = 0;
    a.sequence = sequence;
    a.asked_us = s->mono_us;
    a.body = arena_printf(&s->arena, "{\"status\":\"%s\",\"sequence\":%llu}", status,
                          (unsigned long long)sequence);
    return a;
}

static struct sim_answer refused(struct story *s, enum sim_command command, int status,
                                 const char *code, const char *current)
{
    struct sim_answer a = answer(s, command, status);

    a.request = 0;
    a.asked_us = s->mono_us;
    a.body = arena_printf(&s->arena, "{\"code\":\"%s\",\"currentStatus\":\"%s\"}", code, current);
    return a;
}

static void keep_until(struct story *s, int64_t expires_ms)
{
    char key[8 + 16];

    bytes_put_u64(key, (uint64_t)expires_ms);
    memcpy(key + 8, "0123456789abcdef", 16);
    story_put(s, DB_IDEMPOTENCY_EXPIRY, (struct str){ key, sizeof(key) }, STR_NONE);
}

/* The rows that keep the answer, in the next write. */
static void keep(struct story *s, int64_t expires_ms)
{
    struct stored_answer stored = { .expires_ms = expires_ms, .answer.status = 201 };
    struct buf row = { 0 };

    keep_until(s, expires_ms);

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
    a = shown(s, SIM_PLACE, "AWAITING_PAYMENT", 1);
    a.status = 201;
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
    finds_no_effect(SIM_APPROVE);
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

static void witness__finds_a_key_without_its_end_and_an_end_without_its_key(void **state)
{
    (void)state;
    for (unsigned db = 0; db < 2; db++) {
        struct story *s = story_begin(FLOW_PAY_FIRST);

        keep(s, s->wall_ms + DAY_MS);
        s->without = 1u << (db ? DB_IDEMPOTENCY : DB_IDEMPOTENCY_EXPIRY);
        story_placed(s);
        story_breaks(s, SIM_ONCE);
        story_end(s);
    }
}

static void witness__finds_a_key_that_is_kept_when_its_end_is_forgotten(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);
    char key[8 + 16];

    (void)state;
    bytes_put_u64(key, (uint64_t)(s->wall_ms + DAY_MS));
    memcpy(key + 8, "0123456789abcdef", 16);
    keep(s, s->wall_ms + DAY_MS);
    story_placed(s);
    story_holds(s);
    story_delete(s, DB_IDEMPOTENCY_EXPIRY, (struct str){ key, sizeof(key) });
    story_commit(s);
    story_breaks(s, SIM_ONCE);
    story_end(s);
}

static void witness__finds_a_key_that_is_never_swept(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    (void)state;
    keep(s, s->wall_ms + DAY_MS);
    story_placed(s);
    story_look(s, false);
    story_pass_ms(s, DAY_MS + 61 * 1000);
    story_holds(s);
    story_finish(s);
    story_breaks(s, SIM_ONCE);
    story_end(s);
}

/* ---- ANSWER -------------------------------------------------------------------------------------------- */

static void reads(const struct sim_answer *first, const struct sim_answer *second,
                  enum sim_invariant breaks)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);

    story_paid(s);
    if (first)
        read_answer(s, *first);
    story_holds(s);
    story_pass_ms(s, 1);
    read_answer(s, *second);
    if (breaks == SIM_INVARIANT_COUNT)
        story_holds(s);
    else
        story_breaks(s, breaks);
    story_end(s);
}

static void witness__lets_an_order_be_shown_as_it_is(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);
    struct sim_answer paid = shown(s, SIM_READ, "PAID", 2),
                      before = shown(s, SIM_READ, "AWAITING_PAYMENT", 1);

    (void)state;
    paid.body = STR("{\"status\":\"PAID\",\"paymentId\":\"p\",\"sequence\":2}");
    reads(&paid, &before, SIM_INVARIANT_COUNT); /* that one was asked for before */
    before.asked_us = 1;
    reads(&paid, &before, SIM_ANSWER);
    before.is_replayed = true;
    reads(&paid, &before, SIM_INVARIANT_COUNT);
    story_end(s);
}

static void witness__finds_an_order_that_is_shown_as_it_is_not(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);
    struct sim_answer fine = shown(s, SIM_READ, "AWAITING_PAYMENT", 1), a;

    (void)state;
    a = shown(s, SIM_READ, "PAID", 1);
    reads(NULL, &a, SIM_ANSWER);
    a = shown(s, SIM_READ, "PAID", 2); /* by whom */
    reads(NULL, &a, SIM_ANSWER);
    a = fine;
    a.sequence = 2;
    reads(NULL, &a, SIM_ANSWER);
    a = fine;
    a.body = STR("{ \"status\":\"AWAITING_PAYMENT\",\"sequence\":1}"); /* one ETag, two answers */
    reads(&fine, &a, SIM_ANSWER);
    story_end(s);
}

static void witness__knows_what_may_be_refused(void **state)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);
    struct sim_answer a;

    (void)state;
    a = refused(s, SIM_COMPLETE, 409, "illegal_state", "PAID");
    reads(NULL, &a, SIM_INVARIANT_COUNT);
    a = refused(s, SIM_CANCEL, 409, "illegal_state", "PAID");
    reads(NULL, &a, SIM_ANSWER);
    a = refused(s, SIM_COMPLETE, 409, "illegal_state", "READY");
    reads(NULL, &a, SIM_ANSWER);
    a = refused(s, SIM_CANCEL, 409, "payment_taken", "");
    reads(NULL, &a, SIM_ANSWER);
    a = refused(s, SIM_READ, 404, "not_found", "");
    reads(NULL, &a, SIM_ACKNOWLEDGED);
    a = refused(s, SIM_CANCEL, 422, "idempotency_mismatch", "");
    reads(NULL, &a, SIM_ANSWER);
    a = refused(s, SIM_READ, 500, "damaged", "");
    reads(NULL, &a, SIM_ANSWER);
    a = refused(s, SIM_CANCEL, 503, "disk_full", "");
    reads(NULL, &a, SIM_INVARIANT_COUNT);
    story_end(s);
}

static void matches(uint64_t if_match, const char *status, uint64_t sequence,
                    enum sim_invariant breaks)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);
    struct sim_answer a = sequence ? shown(s, SIM_READ, status, sequence)
                                   : refused(s, SIM_READY, 412, "precondition_failed", "");

    a.if_match = if_match;
    reads(NULL, &a, breaks);
    story_end(s);
}

static void witness__knows_what_if_match_asks_for(void **state)
{
    (void)state;
    matches(1, "AWAITING_PAYMENT", 1, SIM_INVARIANT_COUNT);
    matches(2, "AWAITING_PAYMENT", 1, SIM_ANSWER);
    matches(1, NULL, 0, SIM_INVARIANT_COUNT); /* it has gone on */
    matches(2, NULL, 0, SIM_ANSWER);          /* it has not */
    matches(0, NULL, 0, SIM_ANSWER);
}

static void product_reads(int status, const char *body, enum sim_invariant breaks)
{
    struct story *s = story_begin(FLOW_PAY_FIRST);
    struct sim_answer a = answer(s, SIM_OTHER_COMMAND, status);

    a.has_order = false;
    a.sequence = 1;
    a.body = str_of(body);
    reads(NULL, &a, breaks);
    story_end(s);
}

static void witness__adds_up_a_products_answer(void **state)
{
    (void)state;
    product_reads(201,
                  "{\"sku\":\"WIDGET-001\",\"onHand\":10,\"reserved\":0,\"available\":10,"
                  "\"sequence\":1}",
                  SIM_INVARIANT_COUNT);
    product_reads(201,
                  "{\"sku\":\"WIDGET-001\",\"onHand\":0,\"reserved\":0,\"available\":0,"
                  "\"sequence\":1}",
                  SIM_ANSWER);
    product_reads(200,
                  "{\"sku\":\"WIDGET-001\",\"onHand\":10,\"reserved\":1,\"available\":10,"
                  "\"sequence\":1}",
                  SIM_STOCK);
    product_reads(200,
                  "{\"sku\":\"WIDGET-001\",\"onHand\":10,\"reserved\":0,\"available\":10,"
                  "\"sequence\":2}",
                  SIM_ACKNOWLEDGED);
    product_reads(200, "{\"cartId\":\"c\"}", SIM_ACKNOWLEDGED);
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
        cmocka_unit_test(witness__finds_a_key_without_its_end_and_an_end_without_its_key),
        cmocka_unit_test(witness__finds_a_key_that_is_kept_when_its_end_is_forgotten),
        cmocka_unit_test(witness__finds_a_key_that_is_never_swept),
        cmocka_unit_test(witness__lets_an_order_be_shown_as_it_is),
        cmocka_unit_test(witness__finds_an_order_that_is_shown_as_it_is_not),
        cmocka_unit_test(witness__knows_what_may_be_refused),
        cmocka_unit_test(witness__knows_what_if_match_asks_for),
        cmocka_unit_test(witness__adds_up_a_products_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
