/* What an outside context may say, and what it can't do by saying it: wrong claims about what the
 * built-in contexts did, ids of others, orders that are not there, too much of everything. */
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

/* ---- messages that run side by side ----------------------------------------------------------- */

struct sender {
    struct receive_message receive;
    struct arena arena;
    char message_id[32];
    unsigned n_done;
    enum reply_code code;
};

static void sender_render(struct command *c, const struct reply *r)
{
    struct receive_message *m = container_of(c, struct receive_message, command);

    container_of(m, struct sender, receive)->code = r->code;
    c->answer.body = STR("{}");
}

static void sender_done(struct command *c)
{
    struct receive_message *m = container_of(c, struct receive_message, command);

    container_of(m, struct sender, receive)->n_done++;
}

static void sender_start(struct sender *s, struct app_fixture *f, enum event_type type,
                         unsigned number, const char *id)
{
    struct receive_message *m = &s->receive;
    struct text_id text;
    struct str parts[2];

    memset(s, 0, sizeof(*s));
    arena_init(&s->arena, NULL, 0);
    snprintf(s->message_id, sizeof(s->message_id), "side-%u", number);
    m->command = (struct command){
        .app = f->app, .arena = &s->arena, .render = sender_render, .done = sender_done
    };
    m->type = type;
    m->message_id = str_of(s->message_id);
    m->raw_payload = STR("{}");
    m->payload.order_id = f->order_id;
    m->payload.reason = STR("said so");
    m->payload.amount = 1999;
    REQUIRE(currency_parse(STR("USD"), &m->payload.currency));
    REQUIRE(text_id_parse(str_of(id), &text));
    if (event_infos[type].aggregate == AGGREGATE_PAYMENT)
        m->payload.payment_id.t = text;
    else
        m->payload.reservation_id.t = text;
    parts[0] = m->message_id;
    parts[1] = str_of(id);
    digest16_of(&m->content, parts, ARRAY_LEN(parts));
    receive_message_start(m);
}

static void sender_deinit(struct sender *s)
{
    arena_deinit(&s->arena);
}

/* ---- claims about what the built-in contexts did ---------------------------------------------- */

static void only_the_inventory_itself_releases_what_it_reserved(void **state)
{
    struct app_fixture *f = *state;
    char own[TEXT_ID_MAX + 1] = { 0 };

    an_order(f, "WIDGET-001", 2);
    app_fixture_pass_ms(f, 400);
    memcpy(own, the_order(f)->reservation_id.t.s, the_order(f)->reservation_id.t.n);
    assert_int_equal(a_message(f, EVENT_STOCK_RELEASED, "m1", own, ""), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(f->counts[EVENT_DEAD_LETTERED].n, 1);
    assert_int_equal(f->counts[EVENT_ORDER_STOCK_RELEASED].n, 0);
    assert_int_equal(the_stock(f, "WIDGET-001").reserved, 2);
    assert_int_equal(order_release_state(the_order(f)), DUE_NONE);
}

static void stock_that_an_outsider_said_was_released_goes_back_when_the_order_ends(void **state)
{
    struct app_fixture *f = *state;
    char own[TEXT_ID_MAX + 1] = { 0 };

    an_order(f, "WIDGET-001", 2);
    app_fixture_pass_ms(f, 60);
    assert_int_equal(the_order(f)->status, ORDER_CONFIRMED);
    memcpy(own, the_order(f)->reservation_id.t.s, the_order(f)->reservation_id.t.n);
    a_message(f, EVENT_INVENTORY_RELEASED, "m1", own, "");
    app_fixture_settle(f);
    assert_int_equal(do_order(f, ORDER_INPUT_CANCEL, "no"), REPLY_OK);
    app_fixture_pass_ms(f, 1000);
    assert_int_equal(the_stock(f, "WIDGET-001").reserved, 0);
    assert_true(order_is_settled(the_order(f)));
}

/* Inventory reserves late, but before it hears that the order is done: what it holds does not leave
 * with the outside context's pieces. */
static void the_inventory_takes_no_pieces_that_the_order_did_not_go_on_with(void **state)
{
    struct app_fixture *f = *state;
    struct simulators s = *app_simulators(f->app);

    s.inventory.delay_ms[FLOW_PAY_FIRST] = 5000;
    assert_int_equal(set_simulators(f, SIMULATOR_INVENTORY, &s), REPLY_OK);
    assert_int_equal(an_order_of(f, FLOW_PAY_FIRST, "WIDGET-001", 3, NULL), REPLY_CREATED);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(the_order(f)->status, ORDER_PAID);
    assert_int_equal(a_message(f, EVENT_STOCK_RESERVED, "m-1", "outside-1", ""), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(do_order(f, ORDER_INPUT_READY, NULL), REPLY_OK);
    assert_int_equal(do_order(f, ORDER_INPUT_COMPLETE, NULL), REPLY_OK);
    app_fixture_pass_ms(f, 20000);
    assert_int_equal(the_stock(f, "WIDGET-001").on_hand, 100);
    assert_int_equal(the_stock(f, "WIDGET-001").reserved, 0);
    assert_int_equal(the_order(f)->status, ORDER_COMPLETED);
    assert_true(order_is_settled(the_order(f)));
}

static void a_release_that_was_done_may_be_said_again(void **state)
{
    struct app_fixture *f = *state;
    char own[TEXT_ID_MAX + 1] = { 0 };

    an_order(f, "WIDGET-001", 2);
    app_fixture_pass_ms(f, 60);
    memcpy(own, the_order(f)->reservation_id.t.s, the_order(f)->reservation_id.t.n);
    do_order(f, ORDER_INPUT_CANCEL, "no");
    app_fixture_pass_ms(f, 1000);
    a_message(f, EVENT_INVENTORY_RELEASED, "m1", own, "");
    app_fixture_pass_ms(f, 100);
    assert_int_equal(f->counts[EVENT_DEAD_LETTERED].n, 0);
    assert_int_equal(f->counts[EVENT_ORDER_STOCK_RELEASED].n, 1);
}

/* A payment that waits has taken nothing; if it counted as given back, it could never be charged. */
static void a_payment_that_waits_can_not_be_refunded_from_outside(void **state)
{
    struct app_fixture *f = *state;
    struct simulators s = simulators_default;
    char own[TEXT_ID_MAX + 1] = { 0 };

    s.payments.mode = PAYMENTS_WAIT;
    set_simulators(f, SIMULATOR_PAYMENTS, &s);
    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 400);
    assert_int_equal(f->counts[EVENT_PAYMENT_PENDING].n, 1);
    memcpy(own, f->payment_id.t.s, f->payment_id.t.n);
    assert_int_equal(a_message(f, EVENT_PAYMENT_REFUNDED, "m1", own, "19.99"), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(f->counts[EVENT_DEAD_LETTERED].n, 1);
    assert_int_equal(do_order(f, ORDER_INPUT_PAY, NULL), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 1000);
    assert_int_equal(the_order(f)->status, ORDER_SHIPPED);
    assert_int_equal(f->counts[EVENT_ORDER_REFUNDED].n, 0);
}

/* Else anybody could keep a customer's money back by saying that a cent of it was returned. */
static void a_refund_of_another_amount_does_not_stop_the_right_one(void **state)
{
    struct app_fixture *f = *state;
    char own[TEXT_ID_MAX + 1] = { 0 };

    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 160);
    assert_int_equal(the_order(f)->status, ORDER_PAID);
    memcpy(own, f->payment_id.t.s, f->payment_id.t.n);
    assert_int_equal(a_message(f, EVENT_PAYMENT_REFUNDED, "m1", own, "0.01"), REPLY_ACCEPTED);
    app_fixture_settle(f);
    assert_int_equal(do_order(f, ORDER_INPUT_CANCEL, "no"), REPLY_OK);
    app_fixture_pass_ms(f, 1000);
    assert_int_equal(f->counts[EVENT_PAYMENT_REFUNDED].n, 2);
    assert_false(order_has_refund_due(the_order(f)));
    assert_true(order_is_settled(the_order(f)));
}

/* ---- ids of others ----------------------------------------------------------------------------- */

/* The refusal of a reservation has no id of its own, so nobody can take it away. */
static void a_reservation_named_like_an_order_stops_nothing(void **state)
{
    struct app_fixture *f = *state;
    struct sender s;
    struct order_id hostile;
    char text[UUID_TEXT_LEN + 1] = { 0 };

    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 400);
    hostile = f->order_id;
    an_order(f, "WIDGET-001", 5000); /* will be rejected 50 ms from now */
    uuid_format(f->order_id.u, text);
    app_fixture_pass_ms(f, 49);
    f->is_store_held = true;

    struct order_id victim = f->order_id;

    f->order_id = hostile;
    sender_start(&s, f, EVENT_STOCK_RESERVED, 1, text);
    app_fixture_settle(f);
    app_fixture_pass_ms(f, 10); /* both are on their way */
    f->is_store_held = false;
    app_fixture_settle(f);
    assert_int_equal(s.code, REPLY_ACCEPTED);
    f->order_id = victim;
    app_fixture_pass_ms(f, 500);
    assert_int_equal(the_order(f)->status, ORDER_REJECTED);
    sender_deinit(&s);
}

static void an_id_named_like_an_order_is_taken_like_any_other(void **state)
{
    struct app_fixture *f = *state;
    struct order_id other;
    char text[UUID_TEXT_LEN + 1] = { 0 };

    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 400);
    other = f->order_id;
    an_order(f, "WIDGET-001", 5000);
    app_fixture_pass_ms(f, 400);
    assert_int_equal(the_order(f)->status, ORDER_REJECTED); /* which lies under the order's id */
    uuid_format(f->order_id.u, text);

    struct order_id named = f->order_id;

    f->order_id = other;
    assert_int_equal(a_message(f, EVENT_STOCK_RESERVED, "m1", text, ""), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(f->counts[EVENT_DEAD_LETTERED].n, 0);
    f->order_id = named;
    assert_int_equal(a_message(f, EVENT_STOCK_RESERVED, "m2", text, ""), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(f->counts[EVENT_DEAD_LETTERED].n, 1);
}

static void a_message_for_an_unknown_order_binds_no_id(void **state)
{
    struct app_fixture *f = *state;
    struct simulators s = simulators_default;
    struct order_id id;

    s.payments.enabled = false;
    set_simulators(f, SIMULATOR_PAYMENTS, &s);
    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 100);
    id = f->order_id;
    memset(&f->order_id, 7, sizeof(f->order_id));
    assert_int_equal(a_message(f, EVENT_PAYMENT_APPROVED, "m1", "pp-1", "19.99"), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(f->counts[EVENT_DEAD_LETTERED].n, 1);
    f->order_id = id; /* the sender saw its mistake */
    assert_int_equal(a_message(f, EVENT_PAYMENT_APPROVED, "m2", "pp-1", "19.99"), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 10);
    assert_int_equal(the_order(f)->status, ORDER_PAID);
}

/* A place in the dossier that nothing durable stands behind says nothing about whose the id is. */
static void a_message_that_was_refused_leaves_no_claim_behind(void **state)
{
    struct app_fixture *f = *state;
    struct simulators sims = simulators_default;
    struct order_watch w = { .wait_ms = 60000, .after_sequence = 100 };
    struct order_id first;
    struct sender s[2];

    sims.payments.enabled = false;
    set_simulators(f, SIMULATOR_PAYMENTS, &sims);
    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 100);
    first = f->order_id;
    w.id = first; /* somebody looks at it, so it stays in memory */
    order_watch_start(&w, f->app);
    app_fixture_settle(f);
    store_virtual_fail_write(&f->store, 1, ERR_FULL);
    sender_start(&s[0], f, EVENT_PAYMENT_APPROVED, 1, "pp-1");
    app_fixture_settle(f);
    assert_int_equal(s[0].code, REPLY_DISK_FULL);
    app_fixture_pass_ms(f, 3000);

    an_order(f, "WIDGET-001", 1); /* another order comes first with it */
    app_fixture_pass_ms(f, 100);
    assert_int_equal(a_message(f, EVENT_PAYMENT_APPROVED, "m1", "pp-1", "19.99"), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 10);
    assert_int_equal(the_order(f)->status, ORDER_PAID);

    f->order_id = first;
    sender_start(&s[1], f, EVENT_PAYMENT_APPROVED, 2, "pp-1");
    app_fixture_pass_ms(f, 100);
    assert_int_equal(s[1].code, REPLY_ACCEPTED);
    assert_int_equal(the_order(f)->status, ORDER_CONFIRMED);
    assert_int_equal(f->counts[EVENT_DEAD_LETTERED].n, 1);
    assert_true(order_watch_cancel(&w, NULL));
    sender_deinit(&s[0]);
    sender_deinit(&s[1]);
}

static struct store_read *held_read;
static void (*held_done)(struct store_read *r);
static const struct store_ops *store_ops;
static bool holds_next;

static void hold_read(struct store_read *r)
{
    held_read = r;
}

static enum err read_and_hold(struct store *s, struct store_read *r)
{
    if (holds_next) {
        holds_next = false;
        held_done = r->done;
        r->done = hold_read;
    }
    return store_ops->read(s, r);
}

/* One asks the store whose the payment is; before it hears that nobody has it, another takes it. */
static void an_id_that_is_taken_while_it_is_looked_up_is_taken(void **state)
{
    struct app_fixture *f = *state;
    struct simulators sims = simulators_default;
    struct store_ops holding = *f->store.port.ops;
    struct order_id slow, quick;
    struct sender s;

    sims.payments.enabled = false;
    set_simulators(f, SIMULATOR_PAYMENTS, &sims);
    an_order(f, "WIDGET-001", 1);
    slow = f->order_id;
    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 100);
    quick = f->order_id;
    held_read = NULL;
    store_ops = f->store.port.ops;
    holding.read = read_and_hold;
    f->store.port.ops = &holding;
    f->order_id = slow;
    holds_next = true;
    sender_start(&s, f, EVENT_PAYMENT_APPROVED, 1, "pp-1");
    app_fixture_settle(f);
    assert_non_null(held_read);
    f->order_id = quick;
    assert_int_equal(a_message(f, EVENT_PAYMENT_APPROVED, "m1", "pp-1", "19.99"), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 10);
    assert_int_equal(the_order(f)->status, ORDER_PAID);
    held_done(held_read);
    app_fixture_pass_ms(f, 10);
    f->store.port.ops = store_ops;
    assert_int_equal(s.code, REPLY_ACCEPTED);
    f->order_id = slow;
    assert_int_equal(the_order(f)->status, ORDER_CONFIRMED);
    assert_int_equal(f->counts[EVENT_DEAD_LETTERED].n, 1);
    assert_true(list_is_empty(&f->app->bindings_left));
    assert_int_equal(f->app->bindings.len, 0);
    sender_deinit(&s);
}

/* ---- what is left out ---------------------------------------------------------------------------- */

static void a_delivery_without_a_time_is_delivered_now(void **state)
{
    struct app_fixture *f = *state;
    char own[TEXT_ID_MAX + 1] = { 0 };

    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 400);
    memcpy(own, the_order(f)->shipment_id.t.s, the_order(f)->shipment_id.t.n);
    assert_int_equal(a_message(f, EVENT_SHIPMENT_DELIVERED, "m1", own, ""), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(the_order(f)->status, ORDER_DELIVERED);
    assert_true(the_order(f)->delivered_at_ms > 0);
}

/* ---- too much ---------------------------------------------------------------------------------- */

static unsigned n_parts_of(struct app_fixture *f)
{
    struct dossier *d = dossier_peek(&f->app->dossiers, lane_of_order(f->order_id));

    return d ? d->n_parts : 0;
}

static void messages_that_come_together_do_not_pass_the_bound_together(void **state)
{
    struct app_fixture *f = *state;
    enum { N = DOSSIER_PARTS_MAX + 100 };
    struct sender *s = mem_zalloc(N * sizeof(*s));

    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 400);
    for (unsigned i = 0; i < N; i++) {
        char id[16];

        snprintf(id, sizeof(id), "pay-%u", i);
        sender_start(&s[i], f, EVENT_PAYMENT_APPROVED, i, id);
    }
    app_fixture_pass_ms(f, 1000);
    for (unsigned i = 0; i < N; i++) {
        assert_int_equal(s[i].n_done, 1);
        sender_deinit(&s[i]);
    }
    assert_in_range(n_parts_of(f), 256, DOSSIER_PARTS_MAX + 3);
    assert_int_equal(the_order(f)->status, ORDER_SHIPPED);
    mem_free(s);
}

/* ---- what is said about it --------------------------------------------------------------------- */

static void an_unasked_refund_is_told_once_although_the_store_was_full(void **state)
{
    struct app_fixture *f = *state;

    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 400);
    store_virtual_fail_write(&f->store, 2, ERR_FULL); /* the message itself is the first */
    assert_int_equal(a_message(f, EVENT_PAYMENT_REFUNDED, "m1", "pp-1", "5.00"), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 5000);
    assert_int_equal(f->counts[EVENT_ORDER_REFUNDED].n, 1);
    assert_int_equal(app_metrics(f->app)->unasked_refunds, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(only_the_inventory_itself_releases_what_it_reserved),
        T(stock_that_an_outsider_said_was_released_goes_back_when_the_order_ends),
        T(the_inventory_takes_no_pieces_that_the_order_did_not_go_on_with),
        T(a_release_that_was_done_may_be_said_again),
        T(a_payment_that_waits_can_not_be_refunded_from_outside),
        T(a_refund_of_another_amount_does_not_stop_the_right_one),
        T(a_reservation_named_like_an_order_stops_nothing),
        T(an_id_named_like_an_order_is_taken_like_any_other),
        T(a_message_for_an_unknown_order_binds_no_id),
        T(a_message_that_was_refused_leaves_no_claim_behind),
        T(an_id_that_is_taken_while_it_is_looked_up_is_taken),
        T(a_delivery_without_a_time_is_delivered_now),
        T(messages_that_come_together_do_not_pass_the_bound_together),
        T(an_unasked_refund_is_told_once_although_the_store_was_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
