/* Retry and discard of dead letters, with the real contexts, on virtual time. */
#include "support/app_fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

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

static void poison_payments(struct app_fixture *f, double rate)
{
    struct simulators s = *app_simulators(f->app);

    s.payments.poison_rate = rate;
    assert_int_equal(set_simulators(f, SIMULATOR_PAYMENTS, &s), REPLY_OK);
}

/* An order whose charge is parked; the poison is gone again. */
static struct dead_letter_id a_parked_order(struct app_fixture *f)
{
    poison_payments(f, 1.0);
    assert_int_equal(an_order(f, "WIDGET-001", 1), REPLY_CREATED);
    app_fixture_pass_ms(f, 60000);
    poison_payments(f, 0);
    return the_open_letter(f).letter.id;
}

static void assert_counters(struct app_fixture *f, unsigned n_open, unsigned n_parked)
{
    struct bus *b = app_bus(f->app);
    unsigned parked = 0, deferred = 0;
    uint64_t letters = 0, metric = 0;
    unsigned n, open = 0;
    struct dead_letter_item *items = the_letters(f, &n);

    for (unsigned i = 0; i < n; i++)
        open += dead_letter_is_open(&items[i].letter);
    for (unsigned i = SUBSCRIPTION_NONE + 1; i < SUBSCRIPTION_COUNT; i++) {
        if (!b->subscriptions[i])
            continue;
        parked += b->subscriptions[i]->n_parked;
        deferred += b->subscriptions[i]->n_deferred;
        letters += b->subscriptions[i]->n_letters;
        metric += app_metrics(f->app)->dead_letters_open[i];
    }
    assert_int_equal(open, n_open);
    assert_int_equal(b->n_dead_letters_open, n_open);
    assert_int_equal(letters, n_open);
    assert_int_equal(metric, n_open);
    assert_int_equal(parked, n_parked);
    assert_int_equal(deferred, n_parked);
}

/* ---- retry ----------------------------------------------------------------------------------- */

static void a_retried_order_goes_on_to_its_end(void **state)
{
    struct app_fixture *f = *state;
    struct dead_letter_id id = a_parked_order(f);

    assert_counters(f, 1, 1);
    assert_int_equal(retry_letter(f, id, NULL), REPLY_OK);
    assert_int_equal(f->letter_state, DEAD_LETTER_RETRIED);
    app_fixture_pass_ms(f, 2000);
    assert_int_equal(the_order(f)->status, ORDER_SHIPPED);
    assert_int_equal(app_fixture_count_events(f, EVENT_DEAD_LETTER_RETRIED), 1);
    assert_int_equal(app_fixture_count_events(f, EVENT_PAYMENT_PROCESSED), 1);
    assert_counters(f, 0, 0);
}

static void a_retry_goes_on_after_a_crash_at_any_commit(void **state)
{
    (void)state;
    for (unsigned commits = 0; commits < 12; commits++) {
        struct app_config config = app_fixture_config();
        struct app_fixture *f = &world;
        struct dead_letter_command c;
        struct dead_letter_id id;

        app_fixture_init(f, &config);
        id = a_parked_order(f);
        c = (struct dead_letter_command){ .receive.command = app_fixture_command(f), .id = id };
        dead_letter_command_start(&c);
        app_fixture_pass_commits(f, commits);
        app_fixture_crash(f);
        app_fixture_pass_ms(f, 2000);
        if (commits == 0) { /* nothing was durable, and nobody was told so */
            assert_counters(f, 1, 1);
            assert_int_equal(retry_letter(f, id, NULL), REPLY_OK);
            app_fixture_pass_ms(f, 2000);
        }
        assert_int_equal(the_order(f)->status, ORDER_SHIPPED);
        assert_int_equal(app_fixture_count_events(f, EVENT_PAYMENT_PROCESSED), 1);
        assert_int_equal(app_fixture_count_events(f, EVENT_ORDER_SHIPPED), 1);
        assert_int_equal(app_fixture_count_events(f, EVENT_DEAD_LETTER_RETRIED), 1);
        assert_int_equal(app_fixture_count_events(f, EVENT_DEAD_LETTERED), 1);
        assert_counters(f, 0, 0);
        app_fixture_deinit(f);
    }
}

/* It was handled, and the process ended before the lane's row went: nobody hands it over again,
 * not even to fail. */
static void a_retried_message_that_was_handled_stays_so_after_a_crash(void **state)
{
    unsigned n_handled = 0;

    (void)state;
    for (unsigned commits = 1; commits < 8; commits++) {
        struct app_config config = app_fixture_config();
        struct app_fixture *f = &world;
        struct dead_letter_command c;
        struct change_settings poison = { .simulator = SIMULATOR_PAYMENTS };
        unsigned charged;

        app_fixture_init(f, &config);
        c = (struct dead_letter_command){ .id = a_parked_order(f) };
        app_fixture_pass_ms(f, 5000); /* the cursors are past it */
        c.receive.command = app_fixture_command(f);
        dead_letter_command_start(&c);
        app_fixture_pass_commits(f, commits);
        poison.command = app_fixture_command(f);
        poison.settings = *app_simulators(f->app);
        poison.settings.payments.poison_rate = 1.0;
        change_settings_start(&poison);
        (void)store_virtual_run(&f->store, STORE_VIRTUAL_ALL);
        app_fixture_crash(f);
        assert_true(app_simulators(f->app)->payments.poison_rate > 0);
        charged = app_fixture_count_events(f, EVENT_PAYMENT_PROCESSED);
        n_handled += charged;
        app_fixture_pass_ms(f, 60000);
        assert_int_equal(the_order(f)->status, charged ? ORDER_SHIPPED : ORDER_CONFIRMED);
        assert_int_equal(app_fixture_count_events(f, EVENT_DEAD_LETTERED), charged ? 1 : 2);
        assert_int_equal(app_fixture_count_events(f, EVENT_PAYMENT_PROCESSED), charged);
        assert_counters(f, !charged, !charged);
        app_fixture_deinit(f);
    }
    assert_true(n_handled > 3);
}

static void what_is_queued_behind_a_parked_message_comes_after_it(void **state)
{
    struct app_fixture *f = *state;
    struct dead_letter_id id = a_parked_order(f);

    assert_int_equal(do_order(f, ORDER_INPUT_CANCEL, "changed my mind"), REPLY_OK);
    app_fixture_pass_ms(f, 1000);
    assert_int_equal(the_open_letter(f).queued_behind, 1);
    trace_clear(f);
    assert_int_equal(retry_letter(f, id, NULL), REPLY_OK);
    app_fixture_pass_ms(f, 5000);
    /* Charged for the confirmation, and then given back, because Orders had been cancelled. */
    assert_int_equal(f->counts[EVENT_PAYMENT_PROCESSED].n, 1);
    assert_int_equal(f->counts[EVENT_PAYMENT_REFUNDED].n, 1);
    assert_int_equal(the_order(f)->status, ORDER_CANCELLED);
    assert_true(order_is_settled(the_order(f)));
    assert_counters(f, 0, 0);
}

static void two_retries_at_once_are_one(void **state)
{
    struct app_fixture *f = *state;
    struct dead_letter_id id = a_parked_order(f);
    struct dead_letter_command a = { .receive.command = app_fixture_command(f), .id = id };
    struct dead_letter_command b = { .receive.command = app_fixture_command(f), .id = id };
    struct arena second;

    arena_init(&second, NULL, 0);
    b.receive.command.arena = &second;
    dead_letter_command_start(&a);
    dead_letter_command_start(&b);
    app_fixture_settle(f);
    assert_int_equal(a.receive.command.answer.status, 200);
    assert_int_equal(b.receive.command.answer.status, 200);
    app_fixture_pass_ms(f, 2000);
    assert_int_equal(the_order(f)->status, ORDER_SHIPPED);
    assert_int_equal(app_fixture_count_events(f, EVENT_DEAD_LETTER_RETRIED), 1);
    assert_counters(f, 0, 0);
    arena_deinit(&second);
}

/* The store takes no read when the second one's turn comes: it leaves while it is let in. */
static void a_retry_that_waited_in_vain_leaves_nothing_behind(void **state)
{
    struct app_fixture *f = *state;
    struct dead_letter_id id = a_parked_order(f);
    struct dead_letter_command a = { .receive.command = app_fixture_command(f), .id = id };
    struct dead_letter_command b = { .receive.command = app_fixture_command(f), .id = id };
    struct arena second;

    arena_init(&second, NULL, 0);
    b.receive.command.arena = &second;
    dead_letter_command_start(&a);
    dead_letter_command_start(&b);
    assert_int_equal(store_virtual_run_reads(&f->store, 1), 1);
    assert_true(store_virtual_run(&f->store, 1000) > 0);
    f->store.n_reads += STORE_READS_WAITING_MAX;
    (void)manual_scheduler_run_turn(&f->ms);
    f->store.n_reads -= STORE_READS_WAITING_MAX;
    app_fixture_settle(f);
    assert_int_equal(a.receive.command.answer.status, 200);
    assert_int_equal(b.receive.command.answer.status, 503);
    assert_int_equal(retry_letter(f, id, NULL), REPLY_OK);
    arena_deinit(&second);
}

static void commands_that_hold_already_change_nothing_and_others_are_refused(void **state)
{
    struct app_fixture *f = *state;
    struct dead_letter_id id = a_parked_order(f), nobody = { { { 1 } } };

    assert_int_equal(retry_letter(f, id, NULL), REPLY_OK);
    app_fixture_pass_ms(f, 2000);
    assert_int_equal(retry_letter(f, id, NULL), REPLY_OK);
    assert_int_equal(discard_letter(f, id, true), REPLY_ILLEGAL_STATE);
    id = a_parked_order(f);
    assert_int_equal(discard_letter(f, id, false), REPLY_OK);
    assert_int_equal(f->letter_state, DEAD_LETTER_DISCARDED);
    assert_int_equal(discard_letter(f, id, false), REPLY_OK);
    assert_int_equal(retry_letter(f, id, NULL), REPLY_ILLEGAL_STATE);
    assert_int_equal(retry_letter(f, nobody, NULL), REPLY_NOT_FOUND);
    assert_int_equal(discard_letter(f, nobody, false), REPLY_NOT_FOUND);
    assert_int_equal(app_fixture_count_events(f, EVENT_DEAD_LETTER_RETRIED), 1);
    assert_int_equal(app_fixture_count_events(f, EVENT_DEAD_LETTER_DISCARDED), 1);
    assert_counters(f, 0, 0);
}

static void a_full_store_answers_so_and_the_letter_stays(void **state)
{
    struct app_fixture *f = *state;
    struct dead_letter_id id = a_parked_order(f);

    store_virtual_fail_write(&f->store, 1, ERR_FULL);
    assert_int_equal(retry_letter(f, id, NULL), REPLY_DISK_FULL);
    assert_counters(f, 1, 1);
    app_fixture_pass_ms(f, 2000);
    assert_int_equal(retry_letter(f, id, NULL), REPLY_OK);
    app_fixture_pass_ms(f, 2000);
    assert_int_equal(the_order(f)->status, ORDER_SHIPPED);
    assert_counters(f, 0, 0);
}

/* ---- discard --------------------------------------------------------------------------------- */

static void a_discarded_message_is_left_out_after_a_crash_at_any_commit(void **state)
{
    (void)state;
    for (unsigned commits = 0; commits < 8; commits++) {
        struct app_config config = app_fixture_config();
        struct app_fixture *f = &world;
        struct dead_letter_command c;
        struct dead_letter_id id;

        config.payment_timeout_ms = 0;
        app_fixture_init(f, &config);
        id = a_parked_order(f);
        assert_int_equal(do_order(f, ORDER_INPUT_PAY, NULL), REPLY_ACCEPTED); /* behind it */
        app_fixture_pass_ms(f, 1000);
        c = (struct dead_letter_command){ .receive.command = app_fixture_command(f),
                                          .id = id,
                                          .is_discard = true,
                                          .reason = STR("r") };
        dead_letter_command_start(&c);
        app_fixture_pass_commits(f, commits);
        app_fixture_crash(f);
        app_fixture_pass_ms(f, 5000);
        if (commits == 0) {
            assert_counters(f, 1, 1);
            assert_int_equal(discard_letter(f, id, false), REPLY_OK);
            app_fixture_pass_ms(f, 5000);
        }
        /* Charged for the request that was behind it. */
        assert_int_equal(the_order(f)->status, ORDER_SHIPPED);
        assert_int_equal(app_fixture_count_events(f, EVENT_PAYMENT_PROCESSED), 1);
        assert_int_equal(app_fixture_count_events(f, EVENT_DEAD_LETTER_DISCARDED), 1);
        assert_int_equal(app_fixture_count_events(f, EVENT_DEAD_LETTERED), 1);
        assert_counters(f, 0, 0);
        app_fixture_deinit(f);
    }
}

static void a_refund_is_only_discarded_by_force_and_stays_due(void **state)
{
    struct app_fixture *f = *state;
    struct dead_letter_item item;

    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 200); /* paid, and not yet shipped */
    assert_int_equal(the_order(f)->status, ORDER_PAID);
    poison_payments(f, 1.0);
    assert_int_equal(do_order(f, ORDER_INPUT_CANCEL, "changed my mind"), REPLY_OK);
    app_fixture_pass_ms(f, 60000);
    item = the_open_letter(f);
    assert_int_equal(item.letter.type, EVENT_ORDER_CANCELLED);
    assert_int_equal(item.letter.subscription, SUBSCRIPTION_PAYMENTS);
    assert_int_equal(discard_letter(f, item.letter.id, false), REPLY_FORCE_NEEDED);
    assert_counters(f, 1, 1);
    assert_int_equal(discard_letter(f, item.letter.id, true), REPLY_OK);
    poison_payments(f, 0);
    app_fixture_pass_ms(f, 60000);
    assert_true(order_has_refund_due(the_order(f)));
    assert_int_equal(app_fixture_count_events(f, EVENT_PAYMENT_REFUNDED), 0);
    assert_counters(f, 0, 0);
    /* Until somebody says that it was given back. */
    f->payment_id = the_order(f)->payment_id;
    assert_int_equal(
        a_message(f, EVENT_PAYMENT_REFUNDED, "by-hand",
                  arena_printf(&f->letters, STR_FMT, STR_ARG(text_id_str(&f->payment_id.t))).p,
                  "19.99"),
        REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 1000);
    assert_false(order_has_refund_due(the_order(f)));
}

static void a_release_is_only_discarded_by_force_and_stays_due(void **state)
{
    struct app_fixture *f = *state;
    struct simulators s = simulators_default;
    struct dead_letter_item item;

    s.payments.mode = PAYMENTS_WAIT;
    set_simulators(f, SIMULATOR_PAYMENTS, &s);
    an_order(f, "WIDGET-001", 2);
    app_fixture_pass_ms(f, 1000);
    s.inventory.fail_first = 10;
    set_simulators(f, SIMULATOR_INVENTORY, &s);
    assert_int_equal(do_order(f, ORDER_INPUT_CANCEL, "changed my mind"), REPLY_OK);
    app_fixture_pass_ms(f, 60000);
    item = the_open_letter(f);
    assert_int_equal(item.letter.subscription, SUBSCRIPTION_INVENTORY);
    assert_int_equal(discard_letter(f, item.letter.id, false), REPLY_FORCE_NEEDED);
    assert_int_equal(discard_letter(f, item.letter.id, true), REPLY_OK);
    app_fixture_pass_ms(f, 1000);
    assert_int_equal(order_release_state(the_order(f)), DUE_OPEN);
    assert_int_equal(the_stock(f, "WIDGET-001").reserved, 2);
}

/* ---- messages that were turned down when they came in ----------------------------------------- */

static void a_message_for_an_unknown_order_that_is_retried_is_a_new_letter(void **state)
{
    struct app_fixture *f = *state;
    struct dead_letter_id id;
    unsigned n;
    struct dead_letter_item *items;

    f->order_id.u.b[0] = 7;
    assert_int_equal(a_message(f, EVENT_PAYMENT_DECLINED, "m1", "pp-1", ""), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 100);
    id = the_open_letter(f).letter.id;
    assert_int_equal(retry_letter(f, id, NULL), REPLY_OK);
    app_fixture_pass_ms(f, 100);
    items = the_letters(f, &n);
    assert_int_equal(n, 2);
    assert_int_equal(items[0].letter.state, DEAD_LETTER_RETRIED);
    assert_int_equal(items[1].letter.state, DEAD_LETTER_OPEN);
    assert_true(items[1].letter.position > items[0].letter.position);
    id = items[1].letter.id;
    assert_counters(f, 1, 0);
    assert_int_equal(discard_letter(f, id, false), REPLY_OK);
    assert_counters(f, 0, 0);
}

/* So many and no more: then the door is shut until one of them is seen to. */
static void room_that_a_discard_makes_opens_the_door_for_messages(void **state)
{
    struct app_fixture *f = *state;

    app_bus(f->app)->dead_letters_max = 1;
    f->order_id.u.b[0] = 7;
    assert_int_equal(a_message(f, EVENT_PAYMENT_DECLINED, "m1", "pp-1", ""), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(a_message(f, EVENT_PAYMENT_DECLINED, "m2", "pp-1", ""), REPLY_OVERLOADED);
    /* A retry takes no room that it does not give back. */
    assert_int_equal(retry_letter(f, the_open_letter(f).letter.id, NULL), REPLY_OK);
    app_fixture_pass_ms(f, 100);
    assert_counters(f, 1, 0);
    assert_int_equal(discard_letter(f, the_open_letter(f).letter.id, false), REPLY_OK);
    assert_int_equal(a_message(f, EVENT_PAYMENT_DECLINED, "m2", "pp-1", ""), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 100);
    assert_counters(f, 1, 0);
}

/* Before any cursor was written: the letter says that its message is done with, as long as what the
 * retry made of it has an event of its own. */
static void a_retried_message_of_nobody_s_is_not_read_again_after_a_crash(void **state)
{
    (void)state;
    for (unsigned commits = 1; commits < 4; commits++) {
        struct app_config config = app_fixture_config();
        struct app_fixture *f = &world;
        struct dead_letter_command c;
        unsigned n;

        app_fixture_init(f, &config);
        app_fixture_pass_ms(f, 5000);
        f->order_id.u.b[0] = 7;
        assert_int_equal(a_message(f, EVENT_PAYMENT_DECLINED, "m1", "pp-1", ""), REPLY_ACCEPTED);
        c = (struct dead_letter_command){ .id = the_open_letter(f).letter.id };
        c.receive.command = app_fixture_command(f);
        dead_letter_command_start(&c);
        app_fixture_pass_commits(f, commits);
        app_fixture_crash(f);
        app_fixture_pass_ms(f, 5000);
        (void)the_letters(f, &n);
        assert_int_equal(n, 2);
        assert_counters(f, 1, 0);
        app_fixture_deinit(f);
    }
}

/* The carrier was too early: Shipments had not handled OrderShipped. A retry judges it anew. */
static void a_dispatch_that_came_too_early_is_taken_when_it_is_retried(void **state)
{
    (void)state;
    for (unsigned commits = 0; commits < 8; commits++) {
        struct app_config config = app_fixture_config();
        struct app_fixture *f = &world;
        struct simulators s = simulators_default;
        struct dead_letter_command c;
        struct dead_letter_item item;

        app_fixture_init(f, &config);
        s.shipments.mode = SHIPMENTS_WAIT;
        s.shipments.fail_first = 1;
        set_simulators(f, SIMULATOR_SHIPMENTS, &s);
        an_order(f, "WIDGET-001", 2);
        app_fixture_pass_ms(f, 1000);
        assert_int_equal(a_message(f, EVENT_SHIPMENT_CREATED, "m1", "s-1", ""), REPLY_ACCEPTED);
        assert_int_equal(a_message(f, EVENT_SHIPMENT_DISPATCHED, "m2", "s-1", ""), REPLY_ACCEPTED);
        app_fixture_pass_ms(f, 5000);
        item = the_open_letter(f);
        assert_true(str_eq(item.letter.error_code, STR("not_confirmed")));
        assert_int_equal(the_stock(f, "WIDGET-001").on_hand, 100);
        c = (struct dead_letter_command){ .receive.command = app_fixture_command(f),
                                          .id = item.letter.id };
        dead_letter_command_start(&c);
        app_fixture_pass_commits(f, commits);
        app_fixture_crash(f);
        app_fixture_pass_ms(f, 5000);
        if (commits == 0)
            assert_int_equal(retry_letter(f, the_open_letter(f).letter.id, NULL), REPLY_OK);
        app_fixture_pass_ms(f, 5000);
        assert_int_equal(the_stock(f, "WIDGET-001").on_hand, 98); /* it is on its way */
        assert_int_equal(app_fixture_count_events(f, EVENT_STOCK_TAKEN), 1);
        assert_int_equal(app_fixture_count_events(f, EVENT_SHIPMENT_DISPATCHED), 2);
        assert_int_equal(app_fixture_count_events(f, EVENT_DEAD_LETTER_RETRIED), 1);
        assert_counters(f, 0, 0);
        app_fixture_deinit(f);
    }
}

static struct payload a_payment(const struct app_fixture *f, const char *id, int64_t amount)
{
    struct payload p = { .order_id = f->order_id, .amount = amount };

    REQUIRE(text_id_parse(str_of(id), &p.payment_id.t));
    REQUIRE(currency_parse(STR("USD"), &p.currency));
    return p;
}

/* The payment's id was another order's; the operator knows the right one. */
static void a_message_can_be_corrected(void **state)
{
    struct app_fixture *f = *state;
    struct simulators s = simulators_default;
    struct dead_letter_id id;
    struct payload right;

    s.payments.enabled = false;
    set_simulators(f, SIMULATOR_PAYMENTS, &s);
    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 200);
    a_message(f, EVENT_PAYMENT_PROCESSED, "m1", "pp-1", "19.99");
    app_fixture_pass_ms(f, 1000);
    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 200);
    a_message(f, EVENT_PAYMENT_PROCESSED, "m2", "pp-1", "19.99");
    app_fixture_pass_ms(f, 1000);
    assert_true(str_eq(the_open_letter(f).letter.error_code, STR("payment_taken")));
    id = the_open_letter(f).letter.id;
    right = a_payment(f, "pp-2", 1999);
    assert_int_equal(retry_letter(f, id, &right), REPLY_OK);
    app_fixture_pass_ms(f, 1000);
    assert_int_equal(the_order(f)->status, ORDER_SHIPPED);
    assert_true(str_eq(text_id_str(&the_order(f)->payment_id.t), STR("pp-2")));
    /* The same again holds; another one does not. */
    assert_int_equal(retry_letter(f, id, &right), REPLY_OK);
    assert_int_equal(retry_letter(f, id, NULL), REPLY_OK);
    assert_int_equal(app_fixture_count_events(f, EVENT_DEAD_LETTER_RETRIED), 1);
    assert_counters(f, 0, 0);
}

static void a_correction_must_be_of_the_same_order(void **state)
{
    struct app_fixture *f = *state;
    struct payload wrong;
    struct dead_letter_id id;

    f->order_id.u.b[0] = 7;
    a_message(f, EVENT_PAYMENT_PROCESSED, "m1", "pp-1", "19.99");
    app_fixture_pass_ms(f, 100);
    id = the_open_letter(f).letter.id;
    wrong = a_payment(f, "pp-1", 1999);
    wrong.order_id.u.b[0] = 8;
    assert_int_equal(retry_letter(f, id, &wrong), REPLY_VALIDATION);
    assert_string_equal(f->first_pointer, "/payload/orderId");
    assert_counters(f, 1, 0);
    assert_int_equal(app_fixture_count_events(f, EVENT_DEAD_LETTER_RETRIED), 0);
}

static void a_message_of_the_server_s_own_can_t_be_corrected(void **state)
{
    struct app_fixture *f = *state;
    struct dead_letter_id id = a_parked_order(f);
    struct payload p = a_payment(f, "pp-1", 1999);

    assert_int_equal(retry_letter(f, id, &p), REPLY_VALIDATION);
    assert_string_equal(f->first_pointer, "/payload");
    assert_counters(f, 1, 1);
}

/* A message that was accepted as it is, and whose handler fails: its stream has its ids. */
static void a_correction_of_an_accepted_message_keeps_its_ids(void **state)
{
    struct app_fixture *f = *state;
    struct simulators s = simulators_default;
    struct dead_letter_item item;
    struct payload p = { .order_id = { { { 0 } } } };

    an_order(f, "WIDGET-001", 2);
    app_fixture_pass_ms(f, 1000);
    s.inventory.fail_first = 10;
    set_simulators(f, SIMULATOR_INVENTORY, &s);
    p.order_id = f->order_id;
    p.shipment_id = the_order(f)->shipment_id;
    assert_int_equal(
        a_message(f, EVENT_SHIPMENT_DISPATCHED, "m1",
                  arena_printf(&f->letters, STR_FMT, STR_ARG(text_id_str(&p.shipment_id.t))).p, ""),
        REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 60000);
    item = the_open_letter(f);
    assert_int_equal(item.letter.state, DEAD_LETTER_PARKED);
    p.shipment_id.t.s[0] = 'X';
    assert_int_equal(retry_letter(f, item.letter.id, &p), REPLY_VALIDATION);
    assert_string_equal(f->first_pointer, "/payload/shipmentId");
    p.shipment_id = the_order(f)->shipment_id;
    s.inventory.fail_first = 0;
    set_simulators(f, SIMULATOR_INVENTORY, &s);
    p.dispatched_at_ms = 1;
    assert_int_equal(retry_letter(f, item.letter.id, &p), REPLY_OK);
    app_fixture_crash(f);
    app_fixture_pass_ms(f, 2000);
    assert_int_equal(the_stock(f, "WIDGET-001").on_hand, 98);
    assert_int_equal(app_fixture_count_events(f, EVENT_SHIPMENT_DISPATCHED), 1);
    assert_counters(f, 0, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_retried_order_goes_on_to_its_end),
        cmocka_unit_test(a_retry_goes_on_after_a_crash_at_any_commit),
        cmocka_unit_test(a_retried_message_that_was_handled_stays_so_after_a_crash),
        T(what_is_queued_behind_a_parked_message_comes_after_it),
        T(two_retries_at_once_are_one),
        T(a_retry_that_waited_in_vain_leaves_nothing_behind),
        T(commands_that_hold_already_change_nothing_and_others_are_refused),
        T(a_full_store_answers_so_and_the_letter_stays),
        cmocka_unit_test(a_discarded_message_is_left_out_after_a_crash_at_any_commit),
        T(a_refund_is_only_discarded_by_force_and_stays_due),
        T(a_release_is_only_discarded_by_force_and_stays_due),
        T(a_message_for_an_unknown_order_that_is_retried_is_a_new_letter),
        T(room_that_a_discard_makes_opens_the_door_for_messages),
        cmocka_unit_test(a_retried_message_of_nobody_s_is_not_read_again_after_a_crash),
        cmocka_unit_test(a_dispatch_that_came_too_early_is_taken_when_it_is_retried),
        T(a_message_can_be_corrected),
        T(a_correction_must_be_of_the_same_order),
        T(a_message_of_the_server_s_own_can_t_be_corrected),
        T(a_correction_of_an_accepted_message_keeps_its_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
