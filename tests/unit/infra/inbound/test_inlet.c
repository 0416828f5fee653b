/* What a broker delivers, on virtual time: received once, in the order of each order, or kept as a dead
 * letter; and told to be durable only when it is. */
#include "inlet_fixture.h"

/* ---- what is fine ---------------------------------------------------------------------------- */

static void inlet__says_that_a_message_is_durable_when_it_is(void **state)
{
    struct post *p = *state;
    uint64_t handle;

    p->app.is_store_held = true;
    handle = decline(p, "m-1", "o-1");
    app_fixture_pass_ms(&p->app, 10000);
    assert_int_equal(p->n_told, 0);
    assert_int_equal(inlet_counts(p->inlet)->items, 1);
    p->app.is_store_held = false;
    app_fixture_settle(&p->app);
    assert_durable(p, handle);
    assert_int_equal(declined(p), 1);
    assert_int_equal(inlet_counts(p->inlet)->received, 1);
    assert_int_equal(inlet_counts(p->inlet)->items, 0);
}

static void inlet__takes_a_message_once_however_often_it_comes(void **state)
{
    struct post *p = *state;

    assert_durable(p, (decline(p, "m-1", "o-1"), app_fixture_settle(&p->app), 1));
    for (unsigned i = 0; i < 3; i++)
        (void)decline(p, "m-1", "o-1");
    app_fixture_pass_ms(&p->app, 60000);
    assert_int_equal(p->n_told, 4);
    for (uint64_t i = 1; i <= 4; i++)
        assert_durable(p, i);
    assert_int_equal(declined(p), 1);
    assert_int_equal(refused(p), 0);
}

static void inlet__keeps_the_order_of_an_order_and_no_other(void **state)
{
    struct post *p = *state;
    uint64_t first, second, other;

    p->app.is_store_held = true;
    first = decline(p, "m-1", "o-1");
    second = decline(p, "m-2", "o-1");
    other = decline(p, "m-3", "o-2");
    p->app.is_store_held = false;
    app_fixture_pass_commits(&p->app, 2); /* what was started: the first of each order */
    app_fixture_pass_ms(&p->app, 0);
    assert_durable(p, first);
    assert_durable(p, other);
    app_fixture_settle(&p->app);
    assert_durable(p, second);
    assert_int_equal(p->told[2].handle, second);
    assert_int_equal(declined(p), 3);
}

/* ---- refused for now ------------------------------------------------------------------------- */

static void inlet__tries_again_with_longer_and_longer_waits(void **state)
{
    static const int64_t at_ms[] = { 100, 300, 700, 1500, 3100, 6300, 11300, 16300 };
    struct post *p = *state;
    int64_t now_ms = 0;
    uint64_t handle;

    app_bus(p->app.app)->dead_letters_max = 0;
    handle = decline(p, "m-1", "o-1");
    app_fixture_settle(&p->app);
    for (unsigned i = 0; i < ARRAY_LEN(at_ms); i++) {
        app_fixture_pass_ms(&p->app, at_ms[i] - now_ms - 1);
        assert_int_equal(inlet_counts(p->inlet)->retries, i);
        app_fixture_pass_ms(&p->app, 1);
        assert_int_equal(inlet_counts(p->inlet)->retries, i + 1);
        assert_int_equal(inlet_counts(p->inlet)->held, 1);
        now_ms = at_ms[i];
    }
    assert_int_equal(p->n_told, 0);
    app_bus(p->app.app)->dead_letters_max = 10;
    app_fixture_pass_ms(&p->app, INLET_RETRY_MS_MAX);
    assert_durable(p, handle);
    assert_int_equal(inlet_counts(p->inlet)->held, 0);
}

static void inlet__lets_nothing_overtake_what_is_held(void **state)
{
    struct post *p = *state;

    app_bus(p->app.app)->dead_letters_max = 0;
    for (unsigned i = 1; i <= 6; i++) {
        char id[8];

        snprintf(id, sizeof(id), "m-%u", i);
        (void)decline(p, id, i % 2 ? "o-1" : "o-2");
    }
    app_fixture_pass_ms(&p->app, 250);
    assert_int_equal(inlet_counts(p->inlet)->held, 2); /* one of each order */
    assert_int_equal(declined(p), 0);
    app_bus(p->app.app)->dead_letters_max = 10;
    app_fixture_pass_ms(&p->app, 60000);
    assert_int_equal(p->n_told, 6);
    assert_int_equal(declined(p), 6);
    for (unsigned i = 0; i < 6; i++) {
        for (unsigned j = i + 1; j < 6; j++) {
            if (p->told[i].handle % 2 == p->told[j].handle % 2)
                assert_true(p->told[i].handle < p->told[j].handle);
        }
    }
}

/* What was refused together comes due together, and the loop is not kept for all of it. */
static void inlet__tries_no_more_again_in_a_turn_than_it_may(void **state)
{
    struct post *p = *state;
    const struct inlet_counts *counts;

    inlet_destroy(p->inlet);
    open_inlet(p, INLET_TURN_RETRIES_MAX + 1);
    counts = inlet_counts(p->inlet);
    app_bus(p->app.app)->dead_letters_max = 0;
    for (unsigned i = 0; i < INLET_TURN_RETRIES_MAX + 1; i++) {
        char id[8];

        snprintf(id, sizeof(id), "m-%u", i);
        (void)decline(p, id, id);
    }
    app_fixture_settle(&p->app);
    assert_int_equal(counts->held, INLET_TURN_RETRIES_MAX + 1);
    manual_scheduler_advance_us(&p->app.ms, INLET_RETRY_MS * 1000);
    assert_true(manual_scheduler_run_alarm(&p->app.ms)); /* their time has come */
    assert_int_equal(counts->retries, 0);
    assert_true(manual_scheduler_run_alarm(&p->app.ms));
    assert_int_equal(counts->retries, INLET_TURN_RETRIES_MAX);
    assert_true(manual_scheduler_run_alarm(&p->app.ms));
    assert_int_equal(counts->retries, INLET_TURN_RETRIES_MAX + 1);
    app_bus(p->app.app)->dead_letters_max = 1000;
    app_fixture_pass_ms(&p->app, INLET_RETRY_MS_MAX);
    assert_int_equal(p->n_told, INLET_TURN_RETRIES_MAX + 1);
    assert_int_equal(declined(p), INLET_TURN_RETRIES_MAX + 1);
}

/* ---- poison ---------------------------------------------------------------------------------- */

static void poison__is_kept_with_its_bytes_before_it_is_told(void **state)
{
    static const char bytes[] = "\xff\x00{ no JSON";
    struct post *p = *state;
    const struct broker_attribute attribute = { STR("X-Odd"), STR("\xfe") };
    struct dead_letter_item item;
    struct event message;
    struct arena a;
    uint64_t handle;

    arena_init(&a, NULL, 0);
    p->app.is_store_held = true;
    handle = deliver_as(p, (struct broker_delivery){ .topic = STR("payment.declined"),
                                                     .id = STR("their-1"),
                                                     .content_type = STR("application/json"),
                                                     .attributes = &attribute,
                                                     .n_attributes = 1,
                                                     .body = { bytes, sizeof(bytes) - 1 } });
    app_fixture_pass_ms(&p->app, 10000);
    assert_int_equal(p->n_told, 0);
    p->app.is_store_held = false;
    app_fixture_settle(&p->app);
    assert_durable(p, handle);
    item = the_refused(p, 0, &message, &a);
    assert_int_equal(item.letter.state, DEAD_LETTER_OPEN);
    assert_int_equal(item.letter.attempts, 1);
    assert_true(str_eq(item.letter.error_code, STR("malformed_json")));
    assert_true(str_starts_with(item.letter.error_detail, STR("The body is no JSON: ")));
    assert_true(str_eq(message.p.said_body, (struct str){ bytes, sizeof(bytes) - 1 }));
    assert_true(str_eq(message.p.said_topic, STR("payment.declined")));
    assert_true(str_eq(message.p.said_id, STR("their-1")));
    assert_true(str_eq(message.p.said_type, STR("application/json")));
    assert_true(str_eq(message.p.said_attributes, STR("\0\0\0\5x-odd\0\0\0\1\xfe")));
    assert_int_equal(app_bus(p->app.app)->n_dead_letters_open, 1);
    assert_int_equal(app_metrics(p->app.app)->dead_letters_open[SUBSCRIPTION_NATS], 1);
    assert_int_equal(inlet_counts(p->inlet)->refused, 1);
    arena_deinit(&a);
}

static void poison__of_each_kind_says_what_is_wrong(void **state)
{
    static const struct {
        struct broker_delivery d;
        const char *code, *detail;
    } kinds[] = {
        { { .topic = { "payment.nonsense", 16 }, .body = { "{}", 2 } },
          "unknown_topic",
          "There is no such topic." },
        { { .topic = { "payment.declined", 16 },
            .content_type = { "text/plain", 10 },
            .body = { "{}", 2 } },
          "unsupported_media_type",
          "The body must be application/json" },
        { { .topic = { "payment.declined", 16 }, .body = { "[1", 2 } },
          "malformed_json",
          "The body is no JSON" },
        { { .topic = { "payment.declined", 16 }, .body = { "{\"messageId\":\"m\"}", 17 } },
          "validation",
          "/payload is required" },
        { { .topic = { "payment.declined", 16 }, .body = { "{", 1 }, .is_too_large = true },
          "too_large",
          "The message is larger" },
    };
    struct post *p = *state;
    struct event message;
    struct arena a;

    arena_init(&a, NULL, 0);
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
        uint64_t handle = deliver_as(p, kinds[i].d);
        struct dead_letter_item item;

        app_fixture_settle(&p->app);
        assert_durable(p, handle);
        item = the_refused(p, i, &message, &a);
        assert_true(str_eq(item.letter.error_code, str_of(kinds[i].code)));
        assert_true(str_starts_with(item.letter.error_detail, str_of(kinds[i].detail)));
    }
    arena_deinit(&a);
}

static void an_id_with_another_content__is_poison(void **state)
{
    struct post *p = *state;
    struct event message;
    struct dead_letter_item item;
    struct arena a;
    uint64_t handle;

    arena_init(&a, NULL, 0);
    (void)decline(p, "m-1", "o-1");
    app_fixture_settle(&p->app);
    handle = decline(p, "m-1", "o-2");
    app_fixture_settle(&p->app);
    assert_durable(p, handle);
    item = the_refused(p, 0, &message, &a);
    assert_true(str_eq(item.letter.error_code, STR("idempotency_mismatch")));
    assert_int_equal(declined(p), 1);
    /* As it is it stays refused; given anew it gets an id of its own. */
    assert_int_equal(retry_letter(&p->app, item.letter.id, NULL), REPLY_IDEMPOTENCY_MISMATCH);
    assert_int_equal(
        retry_letter(&p->app, item.letter.id,
                     &(struct payload){ .foreign_order_id = STR("o-2"), .reason = STR("no") }),
        REPLY_OK);
    assert_int_equal(p->app.letter_state, DEAD_LETTER_RETRIED);
    assert_int_equal(declined(p), 2);
    arena_deinit(&a);
}

static void poison__waits_where_there_is_no_room_for_a_letter(void **state)
{
    struct post *p = *state;
    uint64_t handle;

    app_bus(p->app.app)->dead_letters_max = 0;
    handle = deliver(p, "payment.declined", "poison");
    app_fixture_pass_ms(&p->app, 30000);
    assert_int_equal(p->n_told, 0);
    assert_int_equal(refused(p), 0);
    app_bus(p->app.app)->dead_letters_max = 1;
    app_fixture_pass_ms(&p->app, INLET_RETRY_MS_MAX);
    assert_durable(p, handle);
    assert_int_equal(refused(p), 1);
}

static void a_topic_that_is_not_taken__is_passed_over(void **state)
{
    struct post *p = *state;
    uint64_t handle = deliver(p, "order.placed", "whatever");

    app_fixture_pass_ms(&p->app, 0);
    assert_durable(p, handle);
    assert_int_equal(inlet_counts(p->inlet)->passed_over, 1);
    assert_int_equal(refused(p), 0);
    assert_int_equal(inlet_counts(p->inlet)->items, 0);
}

/* ---- what a person does about it ------------------------------------------------------------- */

static void a_refused_message__is_received_when_it_can_be_read(void **state)
{
    struct post *p = *state;
    const char *event = "{\"specversion\":\"1.0\",\"id\":\"m-9\",\"source\":\"/p\",\"type\":"
                        "\"com.pay.payment.declined\",\"data\":{\"orderId\":\"o-9\","
                        "\"reason\":\"no\"}}";
    const struct broker_delivery d = { .content_type = STR("application/cloudevents+json"),
                                       .body = str_of(event) };
    struct dead_letter_id id;
    struct event message;
    struct arena a;

    arena_init(&a, NULL, 0);
    (void)deliver_as(p, d);
    app_fixture_settle(&p->app);
    id = the_refused(p, 0, &message, &a).letter.id;
    assert_int_equal(retry_letter(&p->app, id, NULL), REPLY_VALIDATION);
    assert_int_equal(p->app.n_faults, 1);
    p->reader.cloud.type_prefix = STR("com.pay.");
    assert_int_equal(retry_letter(&p->app, id, NULL), REPLY_OK);
    assert_int_equal(p->app.letter_state, DEAD_LETTER_RETRIED);
    assert_int_equal(declined(p), 1);
    assert_int_equal(app_metrics(p->app.app)->dead_letters_open[SUBSCRIPTION_NATS], 0);
    /* Its id is known now: the broker may give it again, and a retry is one. */
    (void)deliver_as(p, d);
    app_fixture_settle(&p->app);
    assert_durable(p, 2);
    assert_int_equal(retry_letter(&p->app, id, NULL), REPLY_OK);
    assert_int_equal(declined(p), 1);
    arena_deinit(&a);
}

static void a_refused_message__that_came_in_meanwhile_is_only_closed(void **state)
{
    struct post *p = *state;
    const char *body = "{\"messageId\":\"m-1\",\"payload\":{\"orderId\":\"o-1\",\"reason\":"
                       "\"no\"}}";
    const struct broker_delivery wrong = { .topic = STR("payment.declined"),
                                           .content_type = STR("application/cloudevents+odd"),
                                           .body = str_of(body) };
    struct dead_letter_id id;
    struct event message;
    struct arena a;

    arena_init(&a, NULL, 0);
    p->reader.types = 0; /* nothing is known here */
    (void)deliver_as(p, wrong);
    app_fixture_settle(&p->app);
    assert_int_equal(inlet_counts(p->inlet)->passed_over, 1);
    p->reader.types = message_types_outside();
    p->reader.cloud.type_prefix = STR("x.");
    (void)deliver_as(p, (struct broker_delivery){
                            .content_type = STR("application/cloudevents+json"),
                            .body = STR("{\"specversion\":\"1.0\",\"id\":\"m-1\",\"source\":\"/p\","
                                        "\"type\":\"y.payment.declined\",\"data\":{\"orderId\":"
                                        "\"o-1\",\"reason\":\"no\"}}") });
    app_fixture_settle(&p->app);
    id = the_refused(p, 0, &message, &a).letter.id;
    (void)deliver_as(p, (struct broker_delivery){
                            .content_type = STR("application/cloudevents+json"),
                            .body = STR("{\"specversion\":\"1.0\",\"id\":\"m-1\",\"source\":\"/p\","
                                        "\"type\":\"payment.declined\",\"data\":{\"orderId\":"
                                        "\"o-1\",\"reason\":\"no\"}}") });
    app_fixture_settle(&p->app);
    assert_int_equal(declined(p), 1);
    p->reader.cloud.type_prefix = STR("y.");
    assert_int_equal(retry_letter(&p->app, id, NULL), REPLY_OK);
    assert_int_equal(p->app.letter_state, DEAD_LETTER_RETRIED);
    assert_int_equal(declined(p), 1);
    arena_deinit(&a);
}

static void a_refused_message__takes_the_payload_that_is_given(void **state)
{
    const struct payload given = { .foreign_order_id = STR("o-1"), .reason = STR("no") };
    struct post *p = *state;
    struct dead_letter_id id;
    struct event message;
    struct arena a;

    arena_init(&a, NULL, 0);
    (void)deliver(p, "payment.declined", "poison");
    (void)deliver(p, "payment.nonsense", "poison");
    app_fixture_settle(&p->app);
    id = the_refused(p, 0, &message, &a).letter.id;
    assert_int_equal(retry_letter(&p->app, id, &given), REPLY_OK);
    assert_int_equal(p->app.letter_state, DEAD_LETTER_RETRIED);
    assert_int_equal(declined(p), 1);
    assert_int_equal(retry_letter(&p->app, id, &given), REPLY_OK); /* the same again */
    assert_int_equal(declined(p), 1);
    id = the_refused(p, 1, &message, &a).letter.id;
    assert_int_equal(retry_letter(&p->app, id, &given), REPLY_VALIDATION);
    assert_string_equal(p->app.first_pointer, "/payload");
    assert_int_equal(discard_letter(&p->app, id, false), REPLY_OK);
    assert_int_equal(p->app.letter_state, DEAD_LETTER_DISCARDED);
    assert_int_equal(app_bus(p->app.app)->n_dead_letters_open, 1); /* of the unknown order */
    assert_int_equal(app_metrics(p->app.app)->dead_letters_open[SUBSCRIPTION_NATS], 0);
    arena_deinit(&a);
}

/* ---- bounds, and the end --------------------------------------------------------------------- */

static void inlet__holds_as_many_as_it_may(void **state)
{
    struct post *p = *state;

    p->app.is_store_held = true;
    for (unsigned i = 0; i < 16; i++) {
        char id[8];

        snprintf(id, sizeof(id), "m-%u", i);
        (void)decline(p, id, id);
    }
    assert_int_equal(inlet_counts(p->inlet)->items, 16);
    p->app.is_store_held = false;
    app_fixture_pass_ms(&p->app, 10000);
    assert_int_equal(p->n_told, 16);
    (void)decline(p, "m-17", "o-1"); /* there is room again */
    app_fixture_pass_ms(&p->app, 10000);
    assert_int_equal(declined(p), 17);
}

static void a_drain__gives_back_what_has_not_begun(void **state)
{
    struct post *p = *state;
    uint64_t running, behind, late;

    p->app.is_store_held = true;
    running = decline(p, "m-1", "o-1");
    behind = decline(p, "m-2", "o-1");
    app_fixture_pass_ms(&p->app, 0);
    inlet_drain(p->inlet);
    assert_int_equal(p->n_told, 1);
    assert_false(told_of(p, behind)->is_durable);
    late = decline(p, "m-3", "o-3");
    p->app.is_store_held = false;
    app_fixture_pass_ms(&p->app, 1000);
    assert_durable(p, running);
    assert_false(told_of(p, late)->is_durable);
    assert_int_equal(p->n_told, 3);
    assert_int_equal(declined(p), 1);
    assert_int_equal(inlet_counts(p->inlet)->items, 0);
}

static void a_drain__gives_back_what_is_held(void **state)
{
    struct post *p = *state;
    uint64_t held, behind, passed;

    app_bus(p->app.app)->dead_letters_max = 0;
    held = decline(p, "m-1", "o-1");
    behind = decline(p, "m-2", "o-1");
    app_fixture_settle(&p->app);
    manual_scheduler_advance_us(&p->app.ms, INLET_RETRY_MS * 1000);
    assert_true(manual_scheduler_run_alarm(&p->app.ms)); /* it is due, and its turn has not come */
    assert_int_equal(inlet_counts(p->inlet)->held, 1);
    passed = deliver(p, "order.placed", "");
    inlet_drain(p->inlet);
    assert_int_equal(p->n_told, 3);
    assert_false(told_of(p, held)->is_durable);
    assert_false(told_of(p, behind)->is_durable);
    assert_false(told_of(p, passed)->is_durable);
    assert_int_equal(inlet_counts(p->inlet)->held, 0);
    app_fixture_pass_ms(&p->app, 60000);
    assert_int_equal(p->n_told, 3);
    assert_int_equal(declined(p), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(inlet__says_that_a_message_is_durable_when_it_is),
        T(inlet__takes_a_message_once_however_often_it_comes),
        T(inlet__keeps_the_order_of_an_order_and_no_other),
        T(inlet__tries_again_with_longer_and_longer_waits),
        T(inlet__lets_nothing_overtake_what_is_held),
        T(inlet__tries_no_more_again_in_a_turn_than_it_may),
        T(poison__is_kept_with_its_bytes_before_it_is_told),
        T(poison__of_each_kind_says_what_is_wrong),
        T(an_id_with_another_content__is_poison),
        T(poison__waits_where_there_is_no_room_for_a_letter),
        T(a_topic_that_is_not_taken__is_passed_over),
        T(a_refused_message__is_received_when_it_can_be_read),
        T(a_refused_message__that_came_in_meanwhile_is_only_closed),
        T(a_refused_message__takes_the_payload_that_is_given),
        T(inlet__holds_as_many_as_it_may),
        T(a_drain__gives_back_what_has_not_begun),
        T(a_drain__gives_back_what_is_held),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
