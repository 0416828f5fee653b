/* Paths that are walked once a year: a store that is full at the wrong moment, a limit that holds
 * everything up, rows that are damaged, clocks that jump, a shutdown in the middle. */
#include "../../../src/app/app_private.h"
#include "orderly/base/mem.h"
#include "support/app_fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static int setup(void **state)
{
    static struct app_fixture f;
    struct app_config config = app_fixture_config();

    app_fixture_init(&f, &config);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    app_fixture_deinit(*state);
    return 0;
}

/* ---- a product that several add at once --------------------------------------------------------- */

struct adder {
    struct add_product add;
    struct arena arena;
    unsigned n_done;
    enum reply_code code;
};

static void adder_render(struct command *c, const struct reply *r)
{
    struct add_product *a = container_of(c, struct add_product, command);

    container_of(a, struct adder, add)->code = r->code;
}

static void adder_done(struct command *c)
{
    struct add_product *a = container_of(c, struct add_product, command);

    container_of(a, struct adder, add)->n_done++;
}

static void adder_start(struct adder *a, struct app_fixture *f)
{
    memset(a, 0, sizeof(*a));
    arena_init(&a->arena, NULL, 0);
    a->add.command = (struct command){
        .app = f->app, .arena = &a->arena, .render = adder_render, .done = adder_done
    };
    REQUIRE(sku_parse(STR("NEW-1"), &a->add.sku));
    a->add.name = STR("New");
    a->add.stock = 5;
    add_product_start(&a->add);
}

static void a_product_that_three_add_while_the_store_is_full_is_added_by_none(void **state)
{
    struct app_fixture *f = *state;
    struct adder a[3];

    f->is_store_held = true;
    for (unsigned i = 0; i < ARRAY_LEN(a); i++)
        adder_start(&a[i], f);
    app_fixture_settle(f);
    store_virtual_fail_write(&f->store, 1, ERR_FULL);
    f->is_store_held = false;
    app_fixture_settle(f);
    for (unsigned i = 0; i < ARRAY_LEN(a); i++) {
        assert_int_equal(a[i].n_done, 1);
        assert_int_equal(a[i].code, REPLY_DISK_FULL);
        arena_deinit(&a[i].arena);
    }
    app_fixture_pass_ms(f, 3000);
    assert_int_equal(a_product(f, "NEW-1", "1.00", 1), REPLY_CREATED);
    assert_int_equal(the_stock(f, "NEW-1").on_hand, 1);
}

/* ---- keys ---------------------------------------------------------------------------------------- */

static void a_key_that_is_used_again_before_the_sweep_is_counted_once(void **state)
{
    struct app_fixture *f = *state;

    an_order(f, "WIDGET-001", 1);
    a_message(f, EVENT_STOCK_REJECTED, "m1", "", "");
    assert_int_equal(app_idempotency_entries(f->app), 1);
    f->ms.wall_offset_ms += IDEMPOTENCY_KEEP_MS + 1000;
    assert_int_equal(a_message(f, EVENT_STOCK_REJECTED, "m1", "", ""), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 3000);
    assert_int_equal(app_idempotency_entries(f->app), 1);
    f->ms.wall_offset_ms += IDEMPOTENCY_KEEP_MS + 1000;
    app_fixture_pass_ms(f, 3000);
    assert_int_equal(app_idempotency_entries(f->app), 0);
}

/* The sweep reads the old row while the new one waits for its commit. */
static void a_key_that_is_used_again_while_it_is_swept_is_kept(void **state)
{
    struct app_fixture *f = *state;
    struct str parts[] = { event_infos[EVENT_STOCK_REJECTED].type, STR(""), STR("") };
    struct receive_message c;

    an_order(f, "WIDGET-001", 1);
    a_message(f, EVENT_STOCK_REJECTED, "m1", "", "");
    f->ms.wall_offset_ms += IDEMPOTENCY_KEEP_MS + 1000;
    f->is_store_held = true;
    c = (struct receive_message){ .command = app_fixture_command(f),
                                  .type = EVENT_STOCK_REJECTED,
                                  .message_id = STR("m1"),
                                  .raw_payload = STR("{}") };
    c.payload.order_id = f->order_id;
    c.payload.reason = STR("said so");
    digest16_of(&c.content, parts, ARRAY_LEN(parts));
    receive_message_start(&c);
    app_fixture_pass_ms(f, 3000);
    assert_false(f->is_done);
    f->is_store_held = false;
    app_fixture_pass_ms(f, 3000);
    assert_true(f->is_done);
    assert_int_equal(app_fixture_count_events(f, EVENT_STOCK_REJECTED), 2);
    assert_int_equal(a_message(f, EVENT_STOCK_REJECTED, "m1", "", ""), REPLY_ACCEPTED);
    assert_int_equal(app_fixture_count_events(f, EVENT_STOCK_REJECTED), 2);
    assert_int_equal(app_idempotency_entries(f->app), 1);
    f->ms.wall_offset_ms += IDEMPOTENCY_KEEP_MS + 1000;
    app_fixture_pass_ms(f, 3000);
    assert_int_equal(app_idempotency_entries(f->app), 0);
}

static unsigned rows_in(struct app_fixture *f, enum store_db db)
{
    enum store_seek how = STORE_GE;
    struct str key = STR(""), value;
    void *txn;
    struct arena arena;
    unsigned n = 0;

    arena_init(&arena, NULL, 0);
    assert_int_equal(f->engine->ops->view_begin(f->engine, &txn), ERR_OK);
    while (f->engine->ops->seek(f->engine, txn, db, how, key, &arena, &key, &value) == ERR_OK) {
        how = STORE_GT;
        n++;
    }
    f->engine->ops->view_end(f->engine, txn);
    arena_deinit(&arena);
    return n;
}

/* As when the server was down over the end of both times: one sweep finds the two of them. */
static void a_key_of_which_two_times_end_at_once_leaves_no_row(void **state)
{
    struct app_fixture *f = *state;

    an_order(f, "WIDGET-001", 1);
    a_message(f, EVENT_STOCK_REJECTED, "m1", "", "");
    f->ms.wall_offset_ms += IDEMPOTENCY_KEEP_MS + 1000;
    assert_int_equal(a_message(f, EVENT_STOCK_REJECTED, "m1", "", ""), REPLY_ACCEPTED);
    assert_int_equal(app_idempotency_entries(f->app), 2);
    f->ms.wall_offset_ms += IDEMPOTENCY_KEEP_MS + 1000;
    app_fixture_pass_ms(f, 3000);
    assert_int_equal(app_idempotency_entries(f->app), 0);
    assert_int_equal(rows_in(f, DB_IDEMPOTENCY_EXPIRY), 0);
    assert_int_equal(rows_in(f, DB_IDEMPOTENCY), 0);
}

/* ---- limits -------------------------------------------------------------------------------------- */

static void a_subscription_at_its_limit_keeps_nobody_waiting_at_the_door(void **state)
{
    struct app_fixture *f = *state;
    struct simulators s = simulators_default;

    app_bus(f->app)->deferred_max = 1;
    s.payments.fail_first = 10;
    set_simulators(f, SIMULATOR_PAYMENTS, &s);
    an_order(f, "WIDGET-001", 1);
    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 60); /* one fails, and there is no room for the other */
    assert_true(app_bus(f->app)->subscriptions[SUBSCRIPTION_PAYMENTS]->is_at_limit);
    a_product(f, "MANY-1", "1.00", 1000);
    for (unsigned i = 0; i < DOOR_READY_MAX + 10; i++)
        assert_int_equal(an_order(f, "MANY-1", 1), REPLY_CREATED);
    app_fixture_pass_ms(f, 60); /* they all want to be paid now */
    assert_int_equal(an_order(f, "MANY-1", 1), REPLY_CREATED);
    s.payments.fail_first = 0;
    set_simulators(f, SIMULATOR_PAYMENTS, &s);
    app_bus(f->app)->deferred_max = BUS_DEFERRED_MAX;
    app_fixture_pass_ms(f, 60000);
}

/* ---- damage -------------------------------------------------------------------------------------- */

static void junk_written(struct append *a)
{
    (void)a;
}

static void damage_order(struct app_fixture *f, struct order_id id)
{
    struct append a;

    REQUIRE(append_begin(&a, app_event_log(f->app), APPEND_CONSEQUENCE) == ERR_OK);
    append_put(&a, DB_ORDERS, uuid_bytes(&id.u), STR("junk"));
    append_submit(&a, junk_written);
    app_fixture_settle(f);
}

static void an_order_whose_row_is_damaged_is_parked_and_stops_no_other(void **state)
{
    static struct app_fixture f;
    struct app_config config = app_fixture_config();

    (void)state;
    config.cache_bytes_max = 1; /* nothing stays in memory */
    app_fixture_init(&f, &config);
    an_order(&f, "WIDGET-001", 1);
    app_fixture_pass_ms(&f, 20);
    damage_order(&f, f.order_id);
    assert_int_equal(do_order(&f, ORDER_INPUT_CANCEL, "no"), REPLY_DAMAGED);
    app_fixture_pass_ms(&f, 60000);
    assert_int_equal(f.counts[EVENT_DEAD_LETTERED].n, 1);
    an_order(&f, "WIDGET-001", 1);
    app_fixture_pass_ms(&f, 400);
    assert_int_equal(f.counts[EVENT_ORDER_SHIPPED].n, 1);
    app_fixture_deinit(&f);
}

/* ---- what is kept of the settled ----------------------------------------------------------------- */

/* Carts with one item each, one after the other, where so many bytes are kept of orders and carts. */
static void change_carts(struct app_fixture *f, size_t cache_bytes, unsigned n, struct cart_id *ids)
{
    struct app_config config = app_fixture_config();

    config.cache_bytes_max = cache_bytes;
    app_fixture_init(f, &config);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(a_cart(f), REPLY_CREATED);
        ids[i] = f->cart_id;
        assert_int_equal(an_item(f, "WIDGET-001", 1), REPLY_OK);
        assert_true(app_cache_use(f->app, CACHED_CARTS).bytes <= cache_bytes / 4);
    }
}

static void carts_take_a_fourth_of_the_cache_and_not_one_more(void **state)
{
    static struct app_fixture f;
    const size_t three = 3 * 4 * sizeof(struct cart_entry);
    struct cart_id ids[4];

    (void)state;
    change_carts(&f, three, 3, ids);
    assert_int_equal(app_cache_use(f.app, CACHED_CARTS).n_evicted, 0);
    assert_int_equal(f.app->carts.map.len, 3);
    app_fixture_deinit(&f);

    change_carts(&f, three, 4, ids);
    assert_int_equal(app_cache_use(f.app, CACHED_CARTS).n_evicted, 1);
    assert_int_equal(f.app->carts.map.len, 3);
    app_fixture_deinit(&f);

    change_carts(&f, three - 1, 3, ids);
    assert_int_equal(app_cache_use(f.app, CACHED_CARTS).n_evicted, 1);
    assert_int_equal(f.app->carts.map.len, 2);
    app_fixture_deinit(&f);
}

static void a_cart_that_had_to_leave_the_cache_goes_on_as_it_was(void **state)
{
    static struct app_fixture f;
    struct cart_id ids[2];

    (void)state;
    change_carts(&f, 1, ARRAY_LEN(ids), ids);
    assert_int_equal(f.app->carts.map.len, 0);
    f.cart_id = ids[0];
    assert_int_equal(an_item(&f, "WIDGET-001", 1), REPLY_OK);
    assert_int_equal(a_checkout(&f), REPLY_CREATED);
    app_fixture_pass_ms(&f, 400);
    assert_int_equal(the_stock(&f, "WIDGET-001").reserved, 2);
    assert_int_equal(app_cache_use(f.app, CACHED_ORDERS).bytes, 0);
    assert_int_equal(a_checkout(&f), REPLY_OK); /* the same order again */
    app_fixture_deinit(&f);
}

/* ---- time ---------------------------------------------------------------------------------------- */

static void a_clock_set_back_while_deadlines_are_read_loses_none(void **state)
{
    struct app_fixture *f = *state;
    struct simulators s = simulators_default;

    s.payments.mode = PAYMENTS_WAIT;
    set_simulators(f, SIMULATOR_PAYMENTS, &s);
    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 30 * 60 * 1000 - 10);
    while (!f->app->deadlines.is_reading) {
        manual_scheduler_advance_us(&f->ms, 1000);
        (void)manual_scheduler_run_alarm(&f->ms);
    }
    f->ms.wall_offset_ms -= 60 * 1000;
    app_fixture_settle(f);
    assert_int_equal(the_order(f)->status, ORDER_CONFIRMED);
    app_fixture_pass_ms(f, 62 * 1000);
    assert_int_equal(the_order(f)->status, ORDER_CANCELLED);
}

/* ---- shutdown ------------------------------------------------------------------------------------ */

static void note_drained(void *ctx)
{
    *(bool *)ctx = true;
}

static bool is_paused(const struct app *a, enum subscription_id s)
{
    return a->subscriptions[s].is_paused;
}

/* A failure could not be written down, as the disk was full; there is room again before everybody has
 * hung up, and the app may go. */
static void a_drained_app_writes_nothing_more(void **state)
{
    static struct app_fixture f;
    struct app_config config = app_fixture_config();
    struct simulators s = simulators_default;
    bool drained = false;
    uint64_t commits;

    (void)state;
    app_fixture_init(&f, &config);
    s.inventory.fail_first = 4;
    set_simulators(&f, SIMULATOR_INVENTORY, &s);
    an_order(&f, "WIDGET-001", 1);
    app_fixture_pass_ms(&f, 320); /* it has failed, and the cursors are stored */
    for (unsigned i = 0; i < 5000 && !is_paused(f.app, SUBSCRIPTION_INVENTORY); i++) {
        f.app->log.is_full = true;
        app_fixture_pass_ms(&f, 1);
    }
    assert_true(is_paused(f.app, SUBSCRIPTION_INVENTORY));
    app_drain(f.app, note_drained, &drained);
    for (unsigned i = 0; i < 50 && !drained; i++) {
        f.app->log.is_full = true;
        app_fixture_pass_ms(&f, 1);
    }
    assert_true(drained);
    f.app->log.is_full = false;
    commits = f.store.commits;
    app_fixture_pass_ms(&f, 10000);
    assert_int_equal(f.store.commits, commits);
    app_destroy(f.app);
    memory_engine_destroy(f.engine);
    capture_log_deinit(&f.log);
    arena_deinit(&f.arena);
    buf_deinit(&f.trace);
}

static void a_drain_waits_for_the_sweep_that_reads(void **state)
{
    static struct app_fixture f;
    struct app_config config = app_fixture_config();
    bool drained = false;

    (void)state;
    app_fixture_init(&f, &config);
    an_order(&f, "WIDGET-001", 1);
    a_message(&f, EVENT_STOCK_REJECTED, "m1", "", "");
    app_fixture_pass_ms(&f, 500);
    while (!f.app->key_sweep.is_busy) {
        manual_scheduler_advance_us(&f.ms, 1000);
        (void)manual_scheduler_run_alarm(&f.ms);
    }
    app_drain(f.app, note_drained, &drained);
    for (unsigned i = 0; i < 50; i++) { /* commits, but no reads */
        manual_scheduler_advance_us(&f.ms, 1000);
        (void)manual_scheduler_run_turn(&f.ms);
        (void)store_virtual_run(&f.store, 1000);
        (void)manual_scheduler_run_alarm(&f.ms);
    }
    assert_false(drained);
    app_fixture_pass_ms(&f, 1000);
    assert_true(drained);
    app_destroy(f.app);
    memory_engine_destroy(f.engine);
    capture_log_deinit(&f.log);
    arena_deinit(&f.arena);
    buf_deinit(&f.trace);
}

/* ---- lines --------------------------------------------------------------------------------------- */

static void lines_name_their_fields_as_the_wire_does(void **state)
{
    static struct app_fixture f;
    struct app_config config = app_fixture_config();
    char text[UUID_TEXT_LEN + 1] = { 0 }, expected[128];

    (void)state;
    config.audit = true;
    app_fixture_init(&f, &config);
    an_order(&f, "WIDGET-001", 1);
    app_fixture_pass_ms(&f, 400);
    uuid_format(f.order_id.u, text);
    snprintf(expected, sizeof(expected), "topic=order.shipped correlationId=%s", text);
    assert_int_equal(capture_log_count(&f.log, expected), 1);
    snprintf(expected, sizeof(expected), " orderId=%s", text);
    assert_int_equal(capture_log_count(&f.log, expected), 7);
    assert_int_equal(capture_log_count(&f.log, " orderId="), 7); /* products have none */
    assert_int_equal(capture_log_count(&f.log, " message_id="), 0);
    a_message(&f, EVENT_PAYMENT_REFUNDED, "m1", "pp-1", "5.00");
    app_fixture_pass_ms(&f, 100);
    snprintf(expected, sizeof(expected),
             "error refund_unasked orderId=%s paymentId=pp-1 messageId=m1", text);
    assert_int_equal(capture_log_count(&f.log, expected), 1);
    a_message(&f, EVENT_STOCK_RELEASED, "m2", "rr-1", "");
    app_fixture_pass_ms(&f, 100);
    snprintf(expected, sizeof(expected),
             "error release_unasked orderId=%s reservationId=rr-1 messageId=m2", text);
    assert_int_equal(capture_log_count(&f.log, expected), 1);
    app_fixture_deinit(&f);
}

static void a_dead_letter_of_an_order_that_is_not_ours_names_it_as_it_was_sent(void **state)
{
    struct app_fixture *f = *state;
    struct receive_message c = { .command = app_fixture_command(f),
                                 .type = EVENT_STOCK_REJECTED,
                                 .message_id = STR("m1"),
                                 .raw_payload = STR("{}") };

    c.payload.foreign_order_id = STR("shop-4711");
    c.payload.reason = STR("none left");
    receive_message_start(&c);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(f->code, REPLY_ACCEPTED);
    assert_int_equal(capture_log_count(&f->log, "orderId=shop-4711"), 1);
    assert_int_equal(capture_log_count(&f->log, "errorCode=unknown_order"), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_product_that_three_add_while_the_store_is_full_is_added_by_none),
        T(a_key_that_is_used_again_before_the_sweep_is_counted_once),
        T(a_key_that_is_used_again_while_it_is_swept_is_kept),
        T(a_key_of_which_two_times_end_at_once_leaves_no_row),
        T(a_subscription_at_its_limit_keeps_nobody_waiting_at_the_door),
        cmocka_unit_test(an_order_whose_row_is_damaged_is_parked_and_stops_no_other),
        cmocka_unit_test(carts_take_a_fourth_of_the_cache_and_not_one_more),
        cmocka_unit_test(a_cart_that_had_to_leave_the_cache_goes_on_as_it_was),
        T(a_clock_set_back_while_deadlines_are_read_loses_none),
        cmocka_unit_test(a_drain_waits_for_the_sweep_that_reads),
        cmocka_unit_test(a_drained_app_writes_nothing_more),
        cmocka_unit_test(lines_name_their_fields_as_the_wire_does),
        T(a_dead_letter_of_an_order_that_is_not_ours_names_it_as_it_was_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
