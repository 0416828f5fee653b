/* A process that ends at any moment, and the next one over the same rows. On virtual time. */
#include "support/app_fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct app_fixture world;

/* A process that is killed frees nothing. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static int setup(void **state)
{
    struct app_config config = app_fixture_config();

    app_fixture_init(&world, &config);
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    app_fixture_deinit(*state);
    return 0;
}

/* Whatever instant it ends at, the order ends shipped: charged once, reserved once, sent once. */
static void an_order_goes_on_after_a_crash_at_any_commit(void **state)
{
    (void)state;
    for (unsigned commits = 0; commits < 14; commits++) {
        struct app_config config = app_fixture_config();
        struct app_fixture *f = &world;

        app_fixture_init(f, &config);
        assert_int_equal(an_order(f, "WIDGET-001", 2), REPLY_CREATED);
        app_fixture_pass_commits(f, commits);
        app_fixture_crash(f);
        app_fixture_pass_ms(f, 2000);
        assert_int_equal(the_order(f)->status, ORDER_SHIPPED);
        assert_int_equal(app_fixture_count_events(f, EVENT_INVENTORY_RESERVED), 1);
        assert_int_equal(app_fixture_count_events(f, EVENT_PAYMENT_PROCESSED), 1);
        assert_int_equal(app_fixture_count_events(f, EVENT_SHIPMENT_CREATED), 1);
        assert_int_equal(app_fixture_count_events(f, EVENT_ORDER_SHIPPED), 1);
        assert_int_equal(the_stock(f, "WIDGET-001").reserved, 2);
        assert_int_equal(app_metrics(f->app)->orders[FLOW_STOCK_FIRST][ORDER_SHIPPED], 1);
        assert_int_equal(do_shipment(f, the_order(f)->shipment_id, false), REPLY_OK);
        app_fixture_pass_ms(f, 2000);
        assert_int_equal(the_stock(f, "WIDGET-001").on_hand, 98);
        app_fixture_deinit(f);
    }
}

static void a_crash_and_another_crash_lose_nothing(void **state)
{
    (void)state;
    for (unsigned commits = 0; commits < 10; commits++) {
        struct app_config config = app_fixture_config();
        struct app_fixture *f = &world;

        app_fixture_init(f, &config);
        an_order(f, "WIDGET-001", 1);
        app_fixture_pass_commits(f, commits);
        app_fixture_crash(f);
        app_fixture_pass_commits(f, 10 - commits);
        app_fixture_crash(f);
        app_fixture_pass_ms(f, 2000);
        assert_int_equal(the_order(f)->status, ORDER_SHIPPED);
        assert_int_equal(app_fixture_count_events(f, EVENT_PAYMENT_PROCESSED), 1);
        assert_int_equal(app_fixture_count_events(f, EVENT_INVENTORY_RESERVED), 1);
        app_fixture_deinit(f);
    }
}

static void a_payment_deadline_survives(void **state)
{
    struct app_fixture *f = *state;
    struct simulators s = simulators_default;

    s.payments.mode = PAYMENTS_WAIT;
    set_simulators(f, SIMULATOR_PAYMENTS, &s);
    an_order(f, "WIDGET-001", 2);
    app_fixture_pass_ms(f, 1000);
    app_fixture_crash(f);
    assert_int_equal(app_simulators(f->app)->payments.mode, PAYMENTS_WAIT);
    app_fixture_pass_ms(f, 31 * 60 * 1000);
    assert_int_equal(the_order(f)->status, ORDER_CANCELLED);
    assert_int_equal(the_stock(f, "WIDGET-001").reserved, 0);
}

static void a_parked_order_stays_parked_and_a_retry_goes_on(void **state)
{
    struct app_fixture *f = *state;
    struct simulators s = simulators_default;

    s.payments.poison_rate = 1.0;
    set_simulators(f, SIMULATOR_PAYMENTS, &s);
    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 60000);
    assert_int_equal(app_fixture_count_events(f, EVENT_DEAD_LETTERED), 1);
    app_fixture_crash(f);
    assert_int_equal(app_metrics(f->app)->dead_letters_open[SUBSCRIPTION_PAYMENTS], 1);
    app_fixture_pass_ms(f, 60000);
    assert_int_equal(app_fixture_count_events(f, EVENT_DEAD_LETTERED), 1);
    assert_int_equal(the_order(f)->status, ORDER_CONFIRMED);

    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 300); /* between two attempts */
    app_fixture_crash(f);
    s.payments.poison_rate = 0;
    set_simulators(f, SIMULATOR_PAYMENTS, &s);
    app_fixture_pass_ms(f, 60000);
    assert_int_equal(the_order(f)->status, ORDER_SHIPPED);
}

/* What is parked is still to be done, whoever reads the log again. */
static void a_parked_message_does_not_count_as_handled_after_a_crash(void **state)
{
    struct app_config config = app_fixture_config();
    struct app_fixture *f = &world;
    struct simulators s = simulators_default;
    struct lane_state lanes[SUBSCRIPTION_COUNT];
    struct subscription *payments;
    struct message m = { .refs = 1 };

    (void)state;
    config.retries = 0;
    app_fixture_init(f, &config);
    s.payments.fail_first = 10;
    set_simulators(f, SIMULATOR_PAYMENTS, &s);
    an_order(f, "WIDGET-001", 1);
    while (f->counts[EVENT_DEAD_LETTERED].n == 0) /* and no cursor was written meanwhile */
        app_fixture_pass_ms(f, 1);
    app_fixture_crash(f);
    payments = app_bus(f->app)->subscriptions[SUBSCRIPTION_PAYMENTS];
    assert_int_equal(bus_lane_states(app_bus(f->app), lane_of_order(f->order_id), lanes), 1);
    assert_int_equal(lanes[0].state, LANE_PARKED);
    m.event.lane = lane_of_order(f->order_id);
    m.event.position = lanes[0].position;
    assert_false(payments->was_handled(payments, &m));
    app_fixture_deinit(f);
}

static void stored_answers_and_message_ids_survive(void **state)
{
    struct app_fixture *f = *state;
    struct simulators s = simulators_default;

    s.payments.enabled = false;
    set_simulators(f, SIMULATOR_PAYMENTS, &s);
    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(a_message(f, EVENT_PAYMENT_APPROVED, "m1", "pp-1", "19.99"), REPLY_ACCEPTED);
    app_fixture_crash(f);
    assert_int_equal(app_idempotency_entries(f->app), 1);
    f->code = REPLY_COUNT;
    (void)a_message(f, EVENT_PAYMENT_APPROVED, "m1", "pp-1", "19.99");
    assert_int_equal(f->code, REPLY_COUNT); /* nothing was rendered: the stored answer */
    assert_int_equal(f->answer.status, 202);
    assert_int_equal(a_message(f, EVENT_PAYMENT_APPROVED, "m1", "pp-2", "19.99"),
                     REPLY_IDEMPOTENCY_MISMATCH);
    app_fixture_pass_ms(f, 1000);
    assert_int_equal(the_order(f)->status, ORDER_SHIPPED);
}

static void event_ids_go_on_where_they_were_when_the_clock_was_set_back(void **state)
{
    struct app_fixture *f = *state;
    struct uuid before = event_log_new_uuid(app_event_log(f->app)), after;

    an_order(f, "WIDGET-001", 1);
    app_fixture_crash(f);
    f->ms.wall_offset_ms -= 3600 * 1000;
    after = event_log_new_uuid(app_event_log(f->app));
    assert_true(memcmp(after.b, before.b, sizeof(after.b)) > 0);
}

static uint64_t the_position(struct app_fixture *f)
{
    struct sku sku;

    REQUIRE(sku_parse(STR("WIDGET-001"), &sku));
    return catalogue_find(app_catalogue(f->app), &sku)->position;
}

/* Else an If-Match with a version from before the change would be taken after a restart. */
static void a_product_keeps_its_version_over_a_crash(void **state)
{
    struct app_fixture *f = *state;
    struct change_product c = { .command = app_fixture_command(f),
                                .has_price = true,
                                .price = STR("21.50") };
    uint64_t before = the_position(f), after;

    REQUIRE(sku_parse(STR("WIDGET-001"), &c.sku));
    change_product_start(&c);
    app_fixture_settle(f);
    assert_int_equal(f->code, REPLY_OK);
    after = the_position(f);
    assert_true(after > before);
    app_fixture_crash(f);
    assert_int_equal(the_position(f), after);
    assert_int_equal(the_stock(f, "WIDGET-001").on_hand, 100);
}

static void money_that_is_due_back_is_known_after_a_crash(void **state)
{
    struct app_fixture *f = *state;
    struct simulators s = *app_simulators(f->app);
    const struct refund_totals *due;
    char payment[16];

    s.payments.mode = PAYMENTS_WAIT;
    assert_int_equal(set_simulators(f, SIMULATOR_PAYMENTS, &s), REPLY_OK);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(an_order(f, "WIDGET-001", 1), REPLY_CREATED);
        app_fixture_pass_ms(f, 1000);
        snprintf(payment, sizeof(payment), "cash-%u", i);
        assert_int_equal(do_order(f, ORDER_INPUT_MARK_PAID, payment), REPLY_OK);
        assert_int_equal(do_order(f, ORDER_INPUT_CANCEL, "no"), REPLY_OK);
        app_fixture_pass_ms(f, 1000);
    }
    due = &app_metrics(f->app)->refunds_due;
    assert_int_equal(due->n, 1);
    assert_int_equal(due->list[0].amount, 3 * 1999);
    assert_int_equal(due->list[0].payments, 3);
    app_fixture_crash(f);
    due = &app_metrics(f->app)->refunds_due;
    assert_int_equal(due->n, 1);
    assert_int_equal(due->list[0].amount, 3 * 1999);
    assert_int_equal(due->list[0].payments, 3);
    assert_int_equal(a_message(f, EVENT_PAYMENT_REFUNDED, "m-1", payment, "19.99"), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 1000);
    assert_int_equal(due->list[0].amount, 2 * 1999);
    assert_int_equal(due->list[0].payments, 2);
}

static bool has_deferred_rows(struct app_fixture *f)
{
    struct arena arena;
    struct str key, value;
    enum err err;

    arena_init(&arena, NULL, 0);
    err = f->engine->ops->seek(f->engine, NULL, DB_LANES, STORE_GE, STR(""), &arena, &key, &value);
    arena_deinit(&arena);
    return err == ERR_OK;
}

/* A lane that has caught up gives up its row a little later, unless it does something durable before:
 * then with that, or a start whose cursor is past it would hand it over again. */
static void a_row_goes_with_the_next_effect_of_its_lane(void **state)
{
    struct app_fixture *f = *state;
    struct simulators s = *app_simulators(f->app);

    s.inventory.fail_first = 1;
    s.inventory.delay_ms[FLOW_STOCK_FIRST] = 0;
    assert_int_equal(set_simulators(f, SIMULATOR_INVENTORY, &s), REPLY_OK);
    app_fixture_pass_ms(f, 1000);
    assert_int_equal(an_order(f, "WIDGET-001", 2), REPLY_CREATED);
    assert_true(has_deferred_rows(f));
    s.inventory.fail_first = 0;
    assert_int_equal(set_simulators(f, SIMULATOR_INVENTORY, &s), REPLY_OK);
    while (app_fixture_count_events(f, EVENT_INVENTORY_RESERVED) == 0)
        app_fixture_pass_ms(f, 1);
    app_fixture_settle(f);
    assert_true(has_deferred_rows(f)); /* for a while, as nobody needs it any more */
    assert_int_equal(do_order(f, ORDER_INPUT_CANCEL, "no"), REPLY_OK);
    app_fixture_settle(f);
    assert_int_equal(app_fixture_count_events(f, EVENT_INVENTORY_RELEASED), 1);
    assert_false(has_deferred_rows(f));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_goes_on_after_a_crash_at_any_commit),
        cmocka_unit_test(a_crash_and_another_crash_lose_nothing),
        T(a_payment_deadline_survives),
        T(a_parked_order_stays_parked_and_a_retry_goes_on),
        cmocka_unit_test(a_parked_message_does_not_count_as_handled_after_a_crash),
        T(a_row_goes_with_the_next_effect_of_its_lane),
        T(stored_answers_and_message_ids_survive),
        T(event_ids_go_on_where_they_were_when_the_clock_was_set_back),
        T(a_product_keeps_its_version_over_a_crash),
        T(money_that_is_due_back_is_known_after_a_crash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
