/* What the app promises beside the flows: turns, idempotency, watches, a store that is full, the
 * catalogue. On virtual time. */
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

/* ---- commands that run side by side ---------------------------------------------------------- */

struct client {
    struct order_command cancel;
    struct place_order place;
    struct requested_line line;
    struct arena arena;
    unsigned n_done, n_rendered;
    enum reply_code code;
    struct order_id order_id;
};

static void client_take(struct client *cl, struct command *c, const struct reply *r)
{
    cl->n_rendered++;
    cl->code = r->code;
    if (r->order)
        cl->order_id = r->order->body->id;
    c->answer.body = arena_printf(c->arena, "%s", reply_code_text(r->code));
}

static void place_render(struct command *c, const struct reply *r)
{
    struct place_order *p = container_of(c, struct place_order, command);

    client_take(container_of(p, struct client, place), c, r);
}

static void place_done(struct command *c)
{
    struct place_order *p = container_of(c, struct place_order, command);

    container_of(p, struct client, place)->n_done++;
}

static void cancel_render(struct command *c, const struct reply *r)
{
    struct order_command *oc = container_of(c, struct order_command, command);

    client_take(container_of(oc, struct client, cancel), c, r);
}

static void cancel_done(struct command *c)
{
    struct order_command *oc = container_of(c, struct order_command, command);

    container_of(oc, struct client, cancel)->n_done++;
}

static void client_init(struct client *cl)
{
    memset(cl, 0, sizeof(*cl));
    arena_init(&cl->arena, NULL, 0);
}

static void client_deinit(struct client *cl)
{
    arena_deinit(&cl->arena);
}

static void client_cancel(struct client *cl, struct app_fixture *f)
{
    cl->cancel.command = (struct command){
        .app = f->app, .arena = &cl->arena, .render = cancel_render, .done = cancel_done
    };
    cl->cancel.order_id = f->order_id;
    cl->cancel.input = ORDER_INPUT_CANCEL;
    cl->cancel.reason = STR("no");
    order_command_start(&cl->cancel);
}

static void client_place(struct client *cl, struct app_fixture *f, const char *key,
                         const char *body)
{
    struct str key_parts[] = { str_of(key) }, body_parts[] = { str_of(body) };

    if (!sku_parse(STR("WIDGET-001"), &cl->line.sku))
        UNREACHABLE("a sku");
    cl->line.quantity = 1;
    cl->place.command = (struct command){
        .app = f->app, .arena = &cl->arena, .render = place_render, .done = place_done
    };
    cl->place.command.has_key = key[0] != 0;
    digest16_of(&cl->place.command.key, key_parts, 1);
    digest16_of(&cl->place.command.request, body_parts, 1);
    cl->place.flow = FLOW_STOCK_FIRST;
    cl->place.lines = &cl->line;
    cl->place.n_lines = 1;
    cl->place.address = (struct address){
        .street = STR("s"), .city = STR("c"), .postal_code = STR("p"), .country = STR("US")
    };
    (void)text_id_parse(STR("c-1"), &cl->place.customer_id.t);
    place_order_start(&cl->place);
}

static void nothing_is_answered_before_it_is_durable(void **state)
{
    struct app_fixture *f = *state;
    struct client cl;

    client_init(&cl);
    f->is_store_held = true;
    client_place(&cl, f, "", "");
    app_fixture_pass_ms(f, 500);
    assert_int_equal(cl.n_done, 0);
    assert_int_equal(f->counts[EVENT_ORDER_PLACED].n, 0);
    f->is_store_held = false;
    app_fixture_settle(f);
    assert_int_equal(cl.n_done, 1);
    assert_int_equal(f->counts[EVENT_ORDER_PLACED].n, 1);
    client_deinit(&cl);
}

static void sixty_four_commands_wait_for_a_turn_and_the_next_is_refused(void **state)
{
    struct app_fixture *f = *state;
    enum { MAX = TURN_COMMANDS_WAITING_MAX };
    static struct client cl[MAX + 2];
    unsigned changed = 0;

    an_order(f, "WIDGET-001", 1);
    f->is_store_held = true;
    for (unsigned i = 0; i < MAX + 2; i++) {
        client_init(&cl[i]);
        client_cancel(&cl[i], f); /* the first holds the turn until it is durable */
        app_fixture_settle(f);
    }
    assert_int_equal(cl[MAX + 1].n_done, 1);
    assert_int_equal(cl[MAX + 1].code, REPLY_OVERLOADED);
    assert_int_equal(cl[MAX].n_done, 0);
    f->is_store_held = false;
    app_fixture_settle(f);
    for (unsigned i = 0; i <= MAX; i++) {
        assert_int_equal(cl[i].n_done, 1);
        assert_int_equal(cl[i].code, REPLY_OK);
        changed++;
    }
    assert_int_equal(changed, MAX + 1);
    assert_int_equal(f->counts[EVENT_ORDER_CANCELLED].n, 1);
    for (unsigned i = 0; i < MAX + 2; i++)
        client_deinit(&cl[i]);
}

/* The door: DOOR_WRITES_MAX writes on their way shut it, DOOR_WAITING_MAX commands wait before it. */
static void new_work_waits_at_the_door_and_beyond_its_bound_is_refused(void **state)
{
    enum { WRITES = 8192, WAITING = 512, ALL = WRITES + 1 + WAITING + 1 };
    struct app_fixture *f = *state;
    struct client *cl = mem_zalloc(ALL * sizeof(*cl));

    f->is_store_held = true;
    for (unsigned i = 0; i < ALL; i++) {
        client_init(&cl[i]);
        client_place(&cl[i], f, "", "");
        app_fixture_settle(f);
        assert_int_equal(app_is_crowded(f->app), i >= WRITES + WAITING);
    }
    assert_int_equal(cl[WRITES].n_rendered, 1);     /* the last that entered */
    assert_int_equal(cl[WRITES + 1].n_rendered, 0); /* the first that waits */
    assert_int_equal(cl[ALL - 2].n_rendered, 0);    /* the last that may */
    assert_int_equal(cl[ALL - 1].n_done, 1);
    assert_int_equal(cl[ALL - 1].code, REPLY_OVERLOADED);
    f->is_store_held = false;
    app_fixture_pass_ms(f, 2000);
    for (unsigned i = 0; i < ALL - 1; i++) {
        assert_int_equal(cl[i].n_done, 1);
        assert_int_equal(cl[i].code, REPLY_CREATED);
    }
    assert_int_equal(f->counts[EVENT_ORDER_PLACED].n, ALL - 1);
    for (unsigned i = 0; i < ALL; i++)
        client_deinit(&cl[i]);
    mem_free(cl);
}

/* ---- idempotency ----------------------------------------------------------------------------- */

static void the_same_key_and_request_get_the_stored_answer(void **state)
{
    struct app_fixture *f = *state;
    struct client a, b, c;

    client_init(&a);
    client_init(&b);
    client_init(&c);
    client_place(&a, f, "key-1", "body");
    client_place(&b, f, "key-1", "body"); /* while the first is in flight */
    app_fixture_settle(f);
    assert_int_equal(a.code, REPLY_CREATED);
    assert_int_equal(b.code, REPLY_IDEMPOTENCY_IN_FLIGHT);
    client_deinit(&b);
    client_init(&b);
    client_place(&b, f, "key-1", "body");
    client_place(&c, f, "key-1", "another body");
    app_fixture_settle(f);
    assert_true(b.place.command.is_replayed);
    assert_int_equal(b.n_rendered, 0);
    assert_true(str_eq(b.place.command.answer.body, a.place.command.answer.body));
    assert_int_equal(b.place.command.answer.status, 201);
    assert_int_equal(f->counts[EVENT_ORDER_PLACED].n, 1);
    client_deinit(&c);
    client_init(&c);
    client_place(&c, f, "key-1", "another body");
    app_fixture_settle(f);
    assert_int_equal(c.code, REPLY_IDEMPOTENCY_MISMATCH);
    client_deinit(&a);
    client_deinit(&b);
    client_deinit(&c);
}

static void a_key_is_forgotten_after_24_hours_and_not_before(void **state)
{
    struct app_fixture *f = *state;
    struct client cl;

    client_init(&cl);
    client_place(&cl, f, "key-1", "body");
    app_fixture_settle(f);
    assert_int_equal(app_idempotency_entries(f->app), 1);
    f->ms.wall_offset_ms += IDEMPOTENCY_KEEP_MS - 5000;
    app_fixture_pass_ms(f, 2000);
    assert_int_equal(app_idempotency_entries(f->app), 1);
    app_fixture_pass_ms(f, 5000);
    assert_int_equal(app_idempotency_entries(f->app), 0);
    client_deinit(&cl);
    client_init(&cl);
    client_place(&cl, f, "key-1", "body");
    app_fixture_settle(f);
    assert_int_equal(cl.code, REPLY_CREATED);
    assert_false(cl.place.command.is_replayed);
    client_deinit(&cl);
}

static void keys_beyond_their_bound_are_refused_and_none_is_evicted(void **state)
{
    static struct app_fixture f;
    struct app_config config = app_fixture_config();
    struct client cl;

    (void)state;
    config.idempotency_keys_max = 2;
    app_fixture_init(&f, &config);
    for (int i = 0; i < 3; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%d", i);
        client_init(&cl);
        client_place(&cl, &f, key, "body");
        app_fixture_settle(&f);
        assert_int_equal(cl.code, i < 2 ? REPLY_CREATED : REPLY_OVERLOADED);
        client_deinit(&cl);
    }
    client_init(&cl);
    client_place(&cl, &f, "k0", "body");
    app_fixture_settle(&f);
    assert_true(cl.place.command.is_replayed);
    client_deinit(&cl);
    client_init(&cl);
    client_place(&cl, &f, "", ""); /* without a key it goes on */
    app_fixture_settle(&f);
    assert_int_equal(cl.code, REPLY_CREATED);
    client_deinit(&cl);
    app_fixture_deinit(&f);
}

static void a_precondition_that_fails_is_not_stored(void **state)
{
    struct app_fixture *f = *state;
    struct client cl;

    an_order(f, "WIDGET-001", 1);
    client_init(&cl);
    cl.cancel.command = (struct command){ .app = f->app,
                                          .arena = &cl.arena,
                                          .render = cancel_render,
                                          .done = cancel_done,
                                          .if_match = IF_MATCH_LIST,
                                          .if_match_list = { 9 },
                                          .n_if_match = 1,
                                          .has_key = true };
    cl.cancel.order_id = f->order_id;
    cl.cancel.input = ORDER_INPUT_CANCEL;
    cl.cancel.reason = STR("no");
    order_command_start(&cl.cancel);
    app_fixture_settle(f);
    assert_int_equal(cl.code, REPLY_PRECONDITION_FAILED);
    assert_int_equal(app_idempotency_entries(f->app), 0);
    client_deinit(&cl);
}

/* ---- watches --------------------------------------------------------------------------------- */

struct watcher {
    struct order_watch watch;
    unsigned n_done;
    enum order_status status;
};

static void watcher_done(struct order_watch *w, const struct order *o, enum err status)
{
    struct watcher *wr = container_of(w, struct watcher, watch);

    assert_int_equal(status, ERR_OK);
    wr->n_done++;
    wr->status = o ? o->status : ORDER_NONE;
}

static void a_watch_ends_when_the_state_was_passed_through(void **state)
{
    struct app_fixture *f = *state;
    struct watcher w = { 0 };

    an_order(f, "WIDGET-001", 1);
    w.watch = (struct order_watch){
        .id = f->order_id, .until = 1u << ORDER_PAID, .wait_ms = 10000, .done = watcher_done
    };
    order_watch_start(&w.watch, f->app);
    app_fixture_pass_ms(f, 140);
    assert_int_equal(w.n_done, 0);
    app_fixture_pass_ms(f, 20);
    assert_int_equal(w.n_done, 1);
    assert_int_equal(w.status, ORDER_PAID);
    app_fixture_pass_ms(f, 200);
    order_watch_start(&w.watch, f->app); /* has been PAID */
    app_fixture_settle(f);
    assert_int_equal(w.n_done, 2);
    assert_int_equal(w.status, ORDER_SHIPPED);
}

static void a_watch_ends_at_its_time_and_a_final_state_ends_all(void **state)
{
    struct app_fixture *f = *state;
    struct watcher w[2] = { 0 };

    an_order(f, "WIDGET-001", 1);
    for (int i = 0; i < 2; i++) {
        w[i].watch = (struct order_watch){ .id = f->order_id,
                                           .until = 1u << ORDER_DELIVERED,
                                           .wait_ms = i ? 60000 : 10,
                                           .done = watcher_done };
        order_watch_start(&w[i].watch, f->app);
    }
    app_fixture_pass_ms(f, 10);
    assert_int_equal(w[0].n_done, 1);
    assert_int_equal(w[0].status, ORDER_PENDING);
    assert_int_equal(w[1].n_done, 0);
    do_order(f, ORDER_INPUT_CANCEL, "no");
    assert_int_equal(w[1].n_done, 1);
    assert_int_equal(w[1].status, ORDER_CANCELLED);
    assert_int_equal(app_waiters(f->app), 0);
}

static void a_canceled_watch_is_never_called(void **state)
{
    struct app_fixture *f = *state;
    struct watcher w = { 0 };

    an_order(f, "WIDGET-001", 1);
    w.watch = (struct order_watch){
        .id = f->order_id, .after_sequence = 1, .wait_ms = 60000, .done = watcher_done
    };
    order_watch_start(&w.watch, f->app);
    app_fixture_settle(f);
    assert_int_equal(app_waiters(f->app), 1);
    assert_true(order_watch_cancel(&w.watch, NULL));
    app_fixture_pass_ms(f, 1000);
    assert_int_equal(w.n_done, 0);
    assert_int_equal(app_waiters(f->app), 0);
}

static void ten_thousand_wait_and_the_next_is_answered_at_once(void **state)
{
    struct app_fixture *f = *state;
    struct watcher *w = mem_zalloc((WAITERS_MAX + 1) * sizeof(*w));

    an_order(f, "WIDGET-001", 1);
    for (int i = 0; i <= WAITERS_MAX; i++) {
        w[i].watch = (struct order_watch){ .id = f->order_id,
                                           .until = 1u << ORDER_DELIVERED,
                                           .wait_ms = 60000,
                                           .done = watcher_done };
        order_watch_start(&w[i].watch, f->app);
    }
    assert_int_equal(app_waiters(f->app), WAITERS_MAX);
    assert_int_equal(w[WAITERS_MAX - 1].n_done, 0);
    assert_int_equal(w[WAITERS_MAX].n_done, 1);
    do_order(f, ORDER_INPUT_CANCEL, "no");
    assert_int_equal(w[0].n_done, 1);
    mem_free(w);
}

/* ---- a store that is full -------------------------------------------------------------------- */

static void a_full_store_refuses_and_goes_on_by_itself(void **state)
{
    struct app_fixture *f = *state;

    an_order(f, "WIDGET-001", 1);
    store_virtual_fail_write(&f->store, 1, ERR_FULL);
    assert_int_equal(an_order(f, "WIDGET-001", 1), REPLY_DISK_FULL);
    assert_int_equal(an_order(f, "WIDGET-001", 1), REPLY_DISK_FULL);
    app_fixture_pass_ms(f, 3000); /* the probe finds room; what the first order causes goes on */
    assert_int_equal(an_order(f, "WIDGET-001", 1), REPLY_CREATED);
    app_fixture_pass_ms(f, 3000);
    assert_int_equal(f->counts[EVENT_ORDER_SHIPPED].n, 2);
    assert_int_equal(f->counts[EVENT_DEAD_LETTERED].n, 0);
    assert_int_equal(the_stock(f, "WIDGET-001").reserved, 2);
}

/* Every write of a story fails once, each in a run of its own: whatever was decided is given back,
 * and the story ends as if nothing had been. */
static void a_failure_of_any_write_changes_nothing_in_the_end(void **state)
{
    (void)state;
    for (uint32_t nth = 1; nth <= 12; nth++) {
        static struct app_fixture f;
        struct app_config config = app_fixture_config();

        app_fixture_init(&f, &config);
        store_virtual_fail_write(&f.store, nth, ERR_FULL);
        for (int i = 0; i < 3; i++) {
            while (an_order(&f, "WIDGET-001", 2) != REPLY_CREATED)
                app_fixture_pass_ms(&f, 1000);
            app_fixture_pass_ms(&f, 5000);
            assert_int_equal(the_order(&f)->status, ORDER_SHIPPED);
        }
        assert_int_equal(f.counts[EVENT_INVENTORY_RESERVED].n, 3);
        assert_int_equal(f.counts[EVENT_PAYMENT_PROCESSED].n, 3);
        assert_int_equal(f.counts[EVENT_SHIPMENT_CREATED].n, 3);
        assert_int_equal(f.counts[EVENT_DEAD_LETTERED].n, 0);
        assert_int_equal(the_stock(&f, "WIDGET-001").reserved, 6);
        app_fixture_deinit(&f);
    }
}

/* Four fifths of the fixture's million events, less what is there: not to be reached by orders. */
static void new_orders_are_refused_when_the_store_is_four_fifths_full(void **state)
{
    static struct app_fixture f;
    struct app_config config = app_fixture_config();
    enum reply_code code = REPLY_CREATED;
    unsigned n = 0;

    (void)state;
    config.simulators.inventory.enabled = false; /* an order is one event */
    app_fixture_init_bounded(&f, &config, 20);
    while ((code = an_order(&f, "WIDGET-001", 1)) == REPLY_CREATED)
        n++;
    assert_int_equal(code, REPLY_DISK_FULL);
    assert_int_equal(n, 15); /* ProductAdded is the sixteenth of 20 */
    assert_int_equal(do_order(&f, ORDER_INPUT_CANCEL, "no"), REPLY_OK); /* the rest is for these */
    app_fixture_deinit(&f);
}

/* ---- products -------------------------------------------------------------------------------- */

static enum reply_code change_stock(struct app_fixture *f, int64_t delta)
{
    struct change_product c = { .command = app_fixture_command(f),
                                .has_stock_delta = true,
                                .stock_delta = delta };

    if (!sku_parse(STR("WIDGET-001"), &c.sku))
        UNREACHABLE("a sku");
    change_product_start(&c);
    app_fixture_settle(f);
    return f->code;
}

static void stock_cannot_go_below_what_is_reserved(void **state)
{
    struct app_fixture *f = *state;

    an_order(f, "WIDGET-001", 60);
    app_fixture_pass_ms(f, 60);
    assert_int_equal(change_stock(f, -41), REPLY_ILLEGAL_STATE);
    assert_int_equal(change_stock(f, -40), REPLY_OK);
    assert_int_equal(the_stock(f, "WIDGET-001").on_hand, 60);
    assert_int_equal(stock_available(&(struct stock){ 60, 60 }), 0);
    app_fixture_pass_ms(f, 400);
}

static void a_sku_can_be_added_once(void **state)
{
    struct app_fixture *f = *state;

    assert_int_equal(a_product(f, "NEW-1", "1.00", 1), REPLY_CREATED);
    assert_int_equal(a_product(f, "new-1", "2.00", 1), REPLY_DUPLICATE_SKU);
    assert_int_equal(a_product(f, "NEW-2", "1.001", 1), REPLY_VALIDATION);
    assert_string_equal(f->first_pointer, "/price");
}

static void a_price_that_differs_from_the_catalogue_is_a_conflict(void **state)
{
    struct app_fixture *f = *state;

    assert_int_equal(an_order_of(f, FLOW_STOCK_FIRST, "WIDGET-001", 1, "19.98"),
                     REPLY_PRICE_CHANGED);
    assert_int_equal(an_order_of(f, FLOW_STOCK_FIRST, "WIDGET-001", 1, "19.990"), REPLY_CREATED);
    assert_int_equal(an_order_of(f, FLOW_STOCK_FIRST, "WIDGET-001", 1, "19.985"), REPLY_VALIDATION);
    assert_string_equal(f->first_pointer, "/items/0/unitPrice");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(nothing_is_answered_before_it_is_durable),
        T(sixty_four_commands_wait_for_a_turn_and_the_next_is_refused),
        T(new_work_waits_at_the_door_and_beyond_its_bound_is_refused),
        T(the_same_key_and_request_get_the_stored_answer),
        T(a_key_is_forgotten_after_24_hours_and_not_before),
        cmocka_unit_test(keys_beyond_their_bound_are_refused_and_none_is_evicted),
        T(a_precondition_that_fails_is_not_stored),
        T(a_watch_ends_when_the_state_was_passed_through),
        T(a_watch_ends_at_its_time_and_a_final_state_ends_all),
        T(a_canceled_watch_is_never_called),
        T(ten_thousand_wait_and_the_next_is_answered_at_once),
        T(a_full_store_refuses_and_goes_on_by_itself),
        cmocka_unit_test(a_failure_of_any_write_changes_nothing_in_the_end),
        cmocka_unit_test(new_orders_are_refused_when_the_store_is_four_fifths_full),
        T(stock_cannot_go_below_what_is_reserved),
        T(a_sku_can_be_added_once),
        T(a_price_that_differs_from_the_catalogue_is_a_conflict),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
