/* Every kind of waiting, told to a person; on virtual time, which begins at noon. */
#include "../../../src/app/app_private.h"
#include "orderly/app/explain.h"
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

/* ---- asking ---------------------------------------------------------------------------------- */

/* What is compared has to outlive the answer. */
static struct told {
    unsigned n_done;
    enum err status;
    bool is_there, is_settled, is_parked, timer_is_retry;
    bool events_cut, ignored_cut, letters_cut;
    char summary[1024];
    unsigned n_waits, n_deliveries, n_letters, n_ignored, n_events;
    struct {
        enum explain_what what;
        enum explain_why why;
        char from[16], subject[TEXT_ID_MAX + 1];
        int64_t since_ms;
        enum event_type asked, answers[2];
    } waits[8];
    struct lane_state lane; /* of the first delivery */
    unsigned attempts_max;
    enum event_type head;
    uint32_t legal, holds; /* by enum order_input */
    char why[ORDER_INPUT_COUNT][128], dispatch[128], deliver[128];
    int64_t deadline_ms, timer_ms, took_ms, at_ms;
    uint64_t first_ignored, first_event;
    char ignored_why[32];
    enum order_status ignored_state;
    char tree[4096];
} told;

static void copy(char *out, size_t room, struct str s)
{
    snprintf(out, room, STR_FMT, STR_ARG(s));
}

static void tell_waits(const struct explanation *e)
{
    told.n_waits = e->n_waits;
    for (unsigned i = 0; i < e->n_waits && i < ARRAY_LEN(told.waits); i++) {
        const struct explained_wait *w = &e->waits[i];

        told.waits[i].what = w->what;
        told.waits[i].why = w->why;
        told.waits[i].since_ms = w->since_ms;
        told.waits[i].asked = w->asked ? w->asked->type : EVENT_NONE;
        told.waits[i].answers[0] = (enum event_type)w->answers[0];
        told.waits[i].answers[1] = (enum event_type)w->answers[1];
        copy(told.waits[i].from, sizeof(told.waits[i].from), w->from);
        copy(told.waits[i].subject, sizeof(told.waits[i].subject), text_id_str(&w->subject));
    }
}

static void tell_commands(const struct explanation *e)
{
    for (unsigned i = 0; i < e->n_commands; i++) {
        const struct explained_command *c = &e->commands[i];
        unsigned input = ORDER_INPUT_PAY + i;

        if (c->shipment) {
            copy(strcmp(c->name, "dispatch") == 0 ? told.dispatch : told.deliver,
                 sizeof(told.dispatch), c->is_legal && !c->holds ? STR("legal") : c->why);
            continue;
        }
        assert_string_equal(c->name, order_input_name((enum order_input)input));
        told.legal |= (uint32_t)c->is_legal << input;
        told.holds |= (uint32_t)c->holds << input;
        copy(told.why[input], sizeof(told.why[input]), c->why);
    }
}

static void tell_events(const struct explanation *e)
{
    size_t n = 0;

    told.n_events = e->n_events;
    told.first_event = e->n_events ? e->events[0].event->position : 0;
    for (unsigned i = 0; i < e->n_events && n < sizeof(told.tree) - 200; i++) {
        const struct explained_event *x = &e->events[i];

        n += (size_t)snprintf(told.tree + n, sizeof(told.tree) - n, "%*s" STR_FMT " by " STR_FMT,
                              (int)(2 * x->depth), "", STR_ARG(event_infos[x->event->type].type),
                              STR_ARG(x->by));
        if (x->depth)
            n += (size_t)snprintf(told.tree + n, sizeof(told.tree) - n, " +%lld",
                                  (long long)x->after_ms);
        n += (size_t)snprintf(told.tree + n, sizeof(told.tree) - n, "\n");
    }
}

static void on_explained(struct explain *x, const struct explanation *e, enum err status)
{
    (void)x;
    told.n_done++;
    told.status = status;
    told.is_there = e != NULL;
    if (!e)
        return;
    copy(told.summary, sizeof(told.summary), e->summary);
    told.is_settled = e->is_settled;
    told.is_parked = e->is_parked;
    told.deadline_ms = e->deadline_ms;
    told.timer_ms = e->timer_ms;
    told.timer_is_retry = e->timer_of != NULL;
    told.took_ms = e->took_ms;
    told.at_ms = e->at_ms;
    told.events_cut = e->events_cut;
    told.ignored_cut = e->ignored_cut;
    told.letters_cut = e->letters_cut;
    told.n_letters = e->n_letters;
    told.n_ignored = e->n_ignored;
    if (e->n_ignored) {
        told.first_ignored = e->ignored[0].position;
        told.ignored_state = e->ignored[0].state;
        copy(told.ignored_why, sizeof(told.ignored_why), e->ignored[0].why);
    }
    told.n_deliveries = e->n_deliveries;
    if (e->n_deliveries) {
        told.lane = e->deliveries[0].lane;
        told.attempts_max = e->deliveries[0].attempts_max;
        told.head = e->deliveries[0].message ? e->deliveries[0].message->type : EVENT_NONE;
    }
    tell_waits(e);
    tell_commands(e);
    tell_events(e);
}

static void ask_about(struct app_fixture *f, struct order_id id)
{
    struct explain x = { .id = id, .done = on_explained };

    memset(&told, 0, sizeof(told));
    explain_start(&x, f->app);
    /* Only the read: time stands still, and nothing else goes on. */
    (void)store_virtual_run_reads(&f->store, 1000000);
    assert_int_equal(told.n_done, 1);
}

static const char *why(struct app_fixture *f)
{
    ask_about(f, f->order_id);
    assert_int_equal(told.status, ERR_OK);
    assert_true(told.is_there);
    return told.summary;
}

/* Ids of ours differ from run to run where a test is changed. */
static void assert_why(struct app_fixture *f, const char *expected)
{
    char *at;
    char plain[1024];
    size_t n = 0;

    (void)why(f);
    for (at = told.summary; *at;) {
        struct uuid u;

        if (strlen(at) >= UUID_TEXT_LEN && uuid_parse((struct str){ at, UUID_TEXT_LEN }, &u)) {
            n += (size_t)snprintf(plain + n, sizeof(plain) - n, "ID");
            at += UUID_TEXT_LEN;
        } else {
            plain[n++] = *at++;
        }
    }
    plain[n] = 0;
    assert_string_equal(plain, expected);
}

static void assert_wait(unsigned i, enum explain_what what, enum explain_why reason,
                        const char *from)
{
    assert_true(i < told.n_waits);
    assert_int_equal(told.waits[i].what, what);
    assert_int_equal(told.waits[i].why, reason);
    assert_string_equal(told.waits[i].from, from);
}

static struct simulators the_simulators(struct app_fixture *f)
{
    return *app_simulators(f->app);
}

static void set_payments(struct app_fixture *f, bool enabled, enum payments_mode mode,
                         unsigned fail_first)
{
    struct simulators s = the_simulators(f);

    s.payments.enabled = enabled;
    s.payments.mode = mode;
    s.payments.fail_first = fail_first;
    assert_int_equal(set_simulators(f, SIMULATOR_PAYMENTS, &s), REPLY_OK);
}

static void a_cart_order(struct app_fixture *f)
{
    assert_int_equal(a_cart(f), REPLY_CREATED);
    assert_int_equal(an_item(f, "WIDGET-001", 2), REPLY_OK);
    assert_int_equal(a_checkout(f), REPLY_CREATED);
}

/* ---- what it waits for ----------------------------------------------------------------------- */

static void explain__names_the_context_that_is_working(void **state)
{
    struct app_fixture *f = *state;

    assert_int_equal(an_order(f, "WIDGET-001", 2), REPLY_CREATED);
    app_fixture_pass_ms(f, 20);
    assert_why(f, "Waits for Inventory since 12:00:00 UTC, which is working on order.placed. "
                  "Unpaid, it is cancelled at 12:30:00 UTC.");
    assert_int_equal(told.n_waits, 1);
    assert_wait(0, EXPLAIN_STOCK, EXPLAIN_WORKING, "inventory");
    assert_int_equal(told.waits[0].asked, EVENT_ORDER_PLACED);
    assert_int_equal(told.waits[0].answers[0], EVENT_INVENTORY_RESERVED);
    assert_int_equal(told.waits[0].answers[1], EVENT_INVENTORY_RESERVATION_FAILED);
    assert_int_equal(told.waits[0].since_ms, told.at_ms - 20);
    assert_int_equal(told.n_deliveries, 1);
    assert_int_equal(told.lane.state, LANE_IN_PROGRESS);
    assert_int_equal(told.head, EVENT_ORDER_PLACED);
    assert_false(told.is_settled);
    assert_int_equal(told.deadline_ms, told.at_ms - 20 + PAYMENT_TIMEOUT_MS_DEFAULT);
    assert_int_equal(told.timer_ms, told.deadline_ms);
    assert_false(told.timer_is_retry);
}

static void explain__names_orders_when_the_answer_is_there_and_not_taken(void **state)
{
    struct app_fixture *f = *state;

    assert_int_equal(an_order(f, "WIDGET-001", 2), REPLY_CREATED);
    f->is_store_held = true;
    app_fixture_pass_ms(f, 60); /* the reservation is on its way to the store */
    assert_why(f, "Waits for Inventory since 12:00:00 UTC, which is working on order.placed. "
                  "Unpaid, it is cancelled at 12:30:00 UTC.");
    (void)store_virtual_run(&f->store, 1);
    app_fixture_settle(f); /* and now the confirmation */
    assert_why(f, "Waits for Orders to handle inventory.reserved since 12:00:00 UTC, which is "
                  "working on it. Unpaid, it is cancelled at 12:30:00 UTC.");
    assert_int_equal(told.n_waits, 1);
    assert_wait(0, EXPLAIN_STOCK, EXPLAIN_WORKING, "orders");
    f->is_store_held = false;
}

static void explain__says_that_a_payment_has_to_be_asked_for(void **state)
{
    struct app_fixture *f = *state;

    set_payments(f, true, PAYMENTS_WAIT, 0);
    a_cart_order(f);
    app_fixture_pass_ms(f, 5000);
    assert_why(f, "Waits for Payments since 12:00:00 UTC, which is set to wait: pay or mark-paid "
                  "goes on. Unpaid, it is cancelled at 12:30:00 UTC.");
    assert_wait(0, EXPLAIN_PAYMENT, EXPLAIN_TO_BE_ASKED, "payments");
    assert_int_equal(told.n_deliveries, 0);
    assert_true(told.legal & 1u << ORDER_INPUT_PAY);
    assert_int_equal(do_order(f, ORDER_INPUT_PAY, NULL), REPLY_ACCEPTED);
    (void)why(f);
    assert_wait(0, EXPLAIN_PAYMENT, EXPLAIN_WORKING, "payments");
    assert_int_equal(told.waits[0].asked, EVENT_ORDER_PAYMENT_REQUESTED);
    assert_int_equal(told.waits[0].since_ms, told.at_ms);
    assert_true(told.holds & 1u << ORDER_INPUT_PAY);
    app_fixture_pass_ms(f, 1000);
    assert_why(f, "Waits for the store since 12:00:05 UTC: the next step is ready.");
}

static void explain__says_which_attempt_failed_and_when_the_next_is(void **state)
{
    struct app_fixture *f = *state;

    set_payments(f, true, PAYMENTS_APPROVE, 3);
    a_cart_order(f);
    for (int i = 0; i < 2000 && told.lane.attempts < 3; i++) {
        app_fixture_pass_ms(f, 1);
        (void)why(f);
    }
    assert_int_equal(told.lane.attempts, 3);
    assert_int_equal(told.lane.state, LANE_RETRYING);
    assert_int_equal(told.attempts_max, 4);
    assert_string_equal(told.lane.error_code ? "there" : "", "there");
    assert_wait(0, EXPLAIN_PAYMENT, EXPLAIN_RETRYING, "payments");
    assert_true(told.timer_is_retry);
    assert_true(told.timer_ms > told.at_ms);
    assert_true(told.timer_ms < told.deadline_ms);
    assert_int_equal(told.timer_ms, told.lane.due_wall_ms);
    assert_non_null(strstr(told.summary, ": attempt 3 of 4 failed (handler_failed: The payment "
                                         "simulator is set to fail.), next at 12:00:0"));
    assert_false(told.is_parked);
    app_fixture_pass_ms(f, 10000); /* the fourth succeeds */
    assert_int_equal(the_order(f)->status, ORDER_STOCK_RESERVED);
    assert_why(f, "Waits for the store since 12:00:01 UTC: the next step is ready.");
    assert_true(told.is_settled);
    assert_int_equal(told.deadline_ms, 0);
    assert_int_equal(told.timer_ms, 0);
}

static void explain__says_behind_which_dead_letter_it_is_parked(void **state)
{
    struct app_fixture *f = *state;

    set_payments(f, true, PAYMENTS_APPROVE, 100);
    a_cart_order(f);
    app_fixture_pass_ms(f, 10000);
    assert_why(f, "Waits for Payments since 12:00:00 UTC: parked, as attempt 4 of 4 failed at "
                  "12:00:01 UTC (handler_failed: The payment simulator is set to fail.); retry or "
                  "discard dead letter ID. Unpaid, it is cancelled at 12:30:00 UTC.");
    assert_wait(0, EXPLAIN_PAYMENT, EXPLAIN_PARKED, "payments");
    assert_true(told.is_parked);
    assert_int_equal(told.n_letters, 1);
    assert_false(uuid_is_nil(told.lane.dead_letter_id.u));
    assert_int_equal(told.lane.attempts, 4);
    assert_int_equal(told.lane.queued_behind, 0);
    assert_ptr_equal(strstr(told.tree, "OrderPlaced by command\n  DeadLettered by payments +1"),
                     told.tree);

    /* A command works, its message queues behind, and that still waits for a person. */
    assert_int_equal(do_order(f, ORDER_INPUT_CANCEL, "no"), REPLY_OK);
    app_fixture_pass_ms(f, 1000);
    assert_why(f, "Waits for Payments to handle order.placed since 12:00:00 UTC: parked, as "
                  "attempt 4 of 4 failed at 12:00:01 UTC (handler_failed: The payment simulator is "
                  "set to fail.); retry or discard dead letter ID.");
    assert_wait(0, EXPLAIN_HANDLING, EXPLAIN_PARKED, "payments");
    assert_int_equal(told.lane.queued_behind, 1);
    assert_false(told.is_settled);
}

static void explain__tells_of_the_deadline_and_that_it_has_passed(void **state)
{
    struct app_fixture *f = *state;

    set_payments(f, false, PAYMENTS_APPROVE, 0);
    a_cart_order(f);
    app_fixture_pass_ms(f, PAYMENT_TIMEOUT_MS_DEFAULT - 1);
    (void)why(f);
    assert_int_equal(told.timer_ms, told.at_ms + 1);
    app_fixture_pass_ms(f, 1);
    assert_why(f, "Settled: CANCELLED since 12:30:00 UTC (payment_timeout); nothing is due and "
                  "nothing waits.");
    assert_true(told.is_settled);
    assert_int_equal(told.n_waits, 0);
    assert_int_equal(told.timer_ms, 0);
    assert_string_equal(told.tree, "OrderPlaced by command\n"
                                   "OrderCancelled by timer\n");
    assert_int_equal(told.took_ms, PAYMENT_TIMEOUT_MS_DEFAULT);
    app_fixture_pass_ms(f, INT64_C(24) * 3600 * 1000);
    assert_why(f, "Settled: CANCELLED since 2026-11-20 12:30:00 UTC (payment_timeout); nothing is "
                  "due and nothing waits.");
}

static void explain__waits_for_outside_contexts_where_ours_are_off(void **state)
{
    struct app_fixture *f = *state;
    struct simulators s = the_simulators(f);

    s.payments.enabled = s.inventory.enabled = false;
    s.shipments.mode = SHIPMENTS_WAIT;
    for (unsigned i = 0; i < SIMULATOR_COUNT; i++)
        assert_int_equal(set_simulators(f, (enum simulator)i, &s), REPLY_OK);
    assert_int_equal(an_order(f, "WIDGET-001", 2), REPLY_CREATED);
    app_fixture_pass_ms(f, 1000);
    assert_why(f, "Waits for an outside Inventory since 12:00:00 UTC: it has to send "
                  "inventory.reserved or inventory.reservation_failed. Unpaid, it is cancelled at "
                  "12:30:00 UTC.");
    assert_wait(0, EXPLAIN_STOCK, EXPLAIN_OUTSIDE, "inventory");
    assert_int_equal(a_message(f, EVENT_STOCK_RESERVED, "m-1", "r-1", ""), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 1000);
    assert_why(f, "Waits for an outside Payments since 12:00:01 UTC: it has to send "
                  "payment.processed or payment.failed. Unpaid, it is cancelled at 12:30:00 UTC.");
    assert_int_equal(a_message(f, EVENT_PAYMENT_APPROVED, "m-2", "p-1", "39.98"), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 1000);
    assert_why(f, "Waits for an outside Shipments since 12:00:02 UTC: it has to send "
                  "shipment.created.");
    assert_int_equal(a_message(f, EVENT_SHIPMENT_CREATED, "m-3", "s-1", ""), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 1000);
    assert_why(f, "Waits for the carrier since 12:00:03 UTC: the next step is dispatch of s-1.");
    assert_string_equal(told.dispatch, "legal");
    assert_string_equal(told.tree, "OrderPlaced by command\n"
                                   "StockReserved by outside\n"
                                   "  OrderConfirmed by orders +0\n"
                                   "PaymentApproved by outside\n"
                                   "  OrderPaid by orders +0\n"
                                   "ShipmentCreated by outside\n"
                                   "  OrderShipped by orders +0\n");
    assert_int_equal(told.took_ms, 3000);
}

static void explain__says_when_a_message_was_heard_and_nothing_followed(void **state)
{
    struct app_fixture *f = *state;

    set_payments(f, false, PAYMENTS_APPROVE, 0);
    a_cart_order(f);
    app_fixture_pass_ms(f, 100);
    set_payments(f, true, PAYMENTS_APPROVE, 0);
    assert_why(f, "Waits for Payments since 12:00:00 UTC, which has heard order.placed and given "
                  "no answer: nothing comes by itself, but pay asks again. Unpaid, it is cancelled "
                  "at 12:30:00 UTC.");
    assert_wait(0, EXPLAIN_PAYMENT, EXPLAIN_UNANSWERED, "payments");
    assert_int_equal(do_order(f, ORDER_INPUT_PAY, NULL), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 1000);
    assert_int_equal(the_order(f)->status, ORDER_STOCK_RESERVED);
}

static void explain__counts_how_far_a_context_is_behind(void **state)
{
    static struct app_fixture f;
    struct app_config config = app_fixture_config();

    (void)state;
    config.bus_window = 1;
    config.simulators.inventory.delay_ms[FLOW_STOCK_FIRST] = 60000;
    app_fixture_init(&f, &config);
    for (int i = 0; i < 3; i++)
        assert_int_equal(an_order(&f, "WIDGET-001", 1), REPLY_CREATED);
    assert_why(&f, "Waits for Inventory since 12:00:00 UTC, which has not come to order.placed "
                   "yet: it is 3 messages behind. Unpaid, it is cancelled at 12:30:00 UTC.");
    assert_wait(0, EXPLAIN_STOCK, EXPLAIN_BEHIND, "inventory");
    assert_int_equal(told.n_deliveries, 0); /* not in its memory yet */
    assert_int_equal(do_order(&f, ORDER_INPUT_CANCEL, "no"), REPLY_OK);
    app_fixture_pass_ms(&f, 10);
    (void)why(&f);
    assert_wait(0, EXPLAIN_HANDLING, EXPLAIN_BEHIND, "inventory");
    assert_false(told.is_settled);
    app_fixture_deinit(&f);
}

static void explain__is_settled_at_rest_and_waits_for_a_person(void **state)
{
    struct app_fixture *f = *state;

    a_cart_order(f);
    app_fixture_pass_ms(f, 1000);
    assert_why(f, "Waits for the store since 12:00:00 UTC: the next step is ready.");
    assert_wait(0, EXPLAIN_STEP, EXPLAIN_PERSON, "store");
    assert_true(told.is_settled);
    assert_int_equal(do_order(f, ORDER_INPUT_READY, NULL), REPLY_OK);
    assert_why(f, "Waits for the store since 12:00:01 UTC: the next step is complete.");
    assert_int_equal(do_order(f, ORDER_INPUT_COMPLETE, NULL), REPLY_OK);
    (void)why(f);
    assert_wait(0, EXPLAIN_HANDLING, EXPLAIN_WORKING, "inventory"); /* the stock is taken */
    assert_false(told.is_settled);
    app_fixture_pass_ms(f, 1000);
    assert_why(f, "Settled: COMPLETED since 12:00:01 UTC; nothing is due and nothing waits.");
    assert_true(told.is_settled);
    assert_string_equal(told.tree, "OrderPlaced by command\n"
                                   "  PaymentApproved by payments +10\n"
                                   "    OrderPaid by orders +0\n"
                                   "      StockReserved by inventory +10\n"
                                   "        OrderStockReserved by orders +0\n"
                                   "OrderReadied by command\n"
                                   "OrderCompleted by command\n"
                                   "  StockTaken by inventory +10\n");
    assert_int_equal(told.took_ms, 1010);
}

static void explain__follows_a_shipment_to_the_door(void **state)
{
    struct app_fixture *f = *state;
    struct shipment_id shipment;

    assert_int_equal(an_order(f, "WIDGET-001", 2), REPLY_CREATED);
    app_fixture_pass_ms(f, 1000);
    shipment = the_order(f)->shipment_id;
    assert_why(f, "Waits for the carrier since 12:00:00 UTC: the next step is dispatch of "
                  "shipment-ID.");
    assert_int_equal(do_shipment(f, shipment, false), REPLY_OK);
    app_fixture_pass_ms(f, 1000);
    assert_why(f, "Waits for the carrier since 12:00:00 UTC: the next step is deliver of "
                  "shipment-ID.");
    assert_string_equal(told.dispatch, "The shipment is DISPATCHED.");
    assert_int_equal(do_shipment(f, shipment, true), REPLY_OK);
    app_fixture_pass_ms(f, 1000);
    assert_why(f, "Settled: DELIVERED since 12:00:02 UTC; nothing is due and nothing waits.");
}

static void explain__waits_for_money_that_an_outside_payment_has_to_give_back(void **state)
{
    struct app_fixture *f = *state;

    set_payments(f, true, PAYMENTS_WAIT, 0);
    a_cart_order(f);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(do_order(f, ORDER_INPUT_MARK_PAID, "cash-1"), REPLY_OK);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(do_order(f, ORDER_INPUT_CANCEL, "no"), REPLY_OK);
    (void)why(f);
    assert_int_equal(told.n_waits, 2); /* the stock goes back within a moment */
    app_fixture_pass_ms(f, 100);
    assert_why(f, "Waits for an outside Payments to give back 39.98 USD of cash-1 since 12:00:00 "
                  "UTC: it has to send payment.refunded.");
    assert_wait(0, EXPLAIN_REFUND, EXPLAIN_OUTSIDE, "payments");
    assert_string_equal(told.waits[0].subject, "cash-1");
    assert_int_equal(told.waits[0].asked, EVENT_ORDER_CANCELLED);
    assert_int_equal(told.n_waits, 1);
    assert_false(told.is_settled);
    assert_int_equal(a_message(f, EVENT_PAYMENT_REFUNDED, "m-1", "cash-1", "39.98"),
                     REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 100);
    assert_why(f, "Settled: CANCELLED since 12:00:00 UTC (no); nothing is due and nothing waits.");
}

static void explain__puts_the_worst_first(void **state)
{
    struct app_fixture *f = *state;

    assert_int_equal(an_order(f, "WIDGET-001", 2), REPLY_CREATED);
    app_fixture_pass_ms(f, 1000);
    assert_int_equal(a_message(f, EVENT_PAYMENT_APPROVED, "m-1", "p-1", "39.98"), REPLY_ACCEPTED);
    assert_int_equal(a_message(f, EVENT_STOCK_RESERVED, "m-2", "r-1", ""), REPLY_ACCEPTED);
    assert_int_equal(a_message(f, EVENT_SHIPMENT_CREATED, "m-3", "s-1", ""), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 1000);
    assert_why(f, "Waits for an outside Payments to give back 39.98 USD of p-1 since 12:00:01 UTC: "
                  "it has to send payment.refunded. It waits for 3 more: see waitsFor.");
    assert_wait(0, EXPLAIN_REFUND, EXPLAIN_OUTSIDE, "payments");
    assert_wait(1, EXPLAIN_RELEASE, EXPLAIN_OUTSIDE, "inventory");
    assert_wait(2, EXPLAIN_RECALL, EXPLAIN_OUTSIDE, "shipments");
    assert_wait(3, EXPLAIN_STEP, EXPLAIN_PERSON, "carrier");
    assert_int_equal(told.waits[0].asked, EVENT_ORDER_REFUND_REQUESTED);
    assert_int_equal(told.waits[1].asked, EVENT_ORDER_RELEASE_REQUESTED);
    assert_int_equal(told.waits[2].asked, EVENT_ORDER_SHIPMENT_REFUSED);
    assert_int_equal(told.waits[2].answers[0], EVENT_SHIPMENT_CANCELLED);

    /* Three refunds stand behind one lane that is parked. */
    set_payments(f, true, PAYMENTS_APPROVE, 100);
    assert_int_equal(a_message(f, EVENT_PAYMENT_APPROVED, "m-4", "p-2", "1.00"), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 10000);
    (void)why(f);
    assert_wait(0, EXPLAIN_REFUND, EXPLAIN_PARKED, "payments");
    assert_string_equal(told.waits[0].subject, "p-2");
    assert_wait(1, EXPLAIN_REFUND, EXPLAIN_OUTSIDE, "payments");
    assert_string_equal(told.waits[1].subject, "p-1"); /* handled before it failed */
}

static void explain__counts_dead_letters_that_park_nothing(void **state)
{
    struct app_fixture *f = *state;

    a_cart_order(f);
    app_fixture_pass_ms(f, 1000);
    assert_int_equal(a_message(f, EVENT_SHIPMENT_DISPATCHED, "m-1", "s-1", ""), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 1000);
    assert_why(f, "Waits for the store since 12:00:00 UTC: the next step is ready. 1 dead letter "
                  "of it is open.");
    assert_int_equal(told.n_letters, 1);
    assert_false(told.is_parked);
    assert_true(told.is_settled);
}

static void explain__says_what_became_of_a_parked_message(void **state)
{
    struct app_fixture *f = *state;
    struct dead_letter_id letter;

    set_payments(f, true, PAYMENTS_APPROVE, 100);
    a_cart_order(f);
    app_fixture_pass_ms(f, 10000);
    letter = the_open_letter(f).letter.id;
    assert_int_equal(discard_letter(f, letter, false), REPLY_OK);
    app_fixture_pass_ms(f, 100);
    assert_why(f,
               "Waits for Payments since 12:00:00 UTC, but its order.placed was discarded (dead "
               "letter ID): nothing comes by itself, but pay asks again. Unpaid, it is cancelled "
               "at 12:30:00 UTC.");
    assert_wait(0, EXPLAIN_PAYMENT, EXPLAIN_DISCARDED, "payments");
    assert_false(told.is_parked);
    assert_int_equal(told.n_letters, 0); /* none is open */

    /* Asked again, it fails again, and is retried when it can succeed. */
    assert_int_equal(do_order(f, ORDER_INPUT_PAY, NULL), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 10000);
    (void)why(f);
    assert_wait(0, EXPLAIN_PAYMENT, EXPLAIN_PARKED, "payments");
    assert_int_equal(told.waits[0].asked, EVENT_ORDER_PAYMENT_REQUESTED);
    set_payments(f, true, PAYMENTS_APPROVE, 0);
    assert_int_equal(retry_letter(f, the_open_letter(f).letter.id, NULL), REPLY_OK);
    (void)why(f);
    assert_wait(0, EXPLAIN_PAYMENT, EXPLAIN_WORKING, "payments");
    assert_int_equal(told.n_deliveries, 1);
    app_fixture_pass_ms(f, 1000);
    assert_int_equal(the_order(f)->status, ORDER_STOCK_RESERVED);
    assert_non_null(strstr(told.tree, "DeadLetterDiscarded by command"));
}

static void on_letter_written(struct append *a)
{
    (void)a;
}

/* As if Payments had refused the order's message for good, which the built-in one never does. */
static struct dead_letter_id payments_refused(struct app_fixture *f)
{
    static struct append a;
    struct bus *b = app_bus(f->app);
    struct dead_letter letter = {
        .id = { event_log_new_uuid(app_event_log(f->app)) },
        .subscription = SUBSCRIPTION_PAYMENTS,
        .state = DEAD_LETTER_OPEN,
        .lane = lane_of_order(f->order_id),
        .type = EVENT_ORDER_PLACED,
        .position = the_order(f)->body->placed_position,
        .attempts = 1,
        .error_code = STR("handler_failed"),
        .error_detail = STR("never"),
    };
    struct buf row = { NULL, 0, 0 };
    char by_lane[32];

    assert_int_equal(append_begin(&a, app_event_log(f->app), APPEND_CONSEQUENCE), ERR_OK);
    dead_letter_encode(&letter, &row);
    append_put(&a, DB_DEAD_LETTERS, uuid_bytes(&letter.id.u), buf_str(&row));
    memcpy(by_lane, letter.lane.u.b, 16);
    memcpy(by_lane + 16, letter.id.u.b, 16);
    append_put(&a, DB_DEAD_LETTERS_BY_LANE, (struct str){ by_lane, sizeof(by_lane) }, STR_NONE);
    buf_deinit(&row);
    append_submit(&a, on_letter_written);
    app_fixture_settle(f);
    b->subscriptions[SUBSCRIPTION_PAYMENTS]->n_letters++;
    b->n_dead_letters_open++;
    app_metrics_mut(f->app)->dead_letters_open[SUBSCRIPTION_PAYMENTS]++;
    return letter.id;
}

static void explain__finds_a_message_that_is_retried_beside_its_lane(void **state)
{
    struct app_fixture *f = *state;
    struct dead_letter_id letter;

    set_payments(f, false, PAYMENTS_APPROVE, 0);
    a_cart_order(f);
    app_fixture_pass_ms(f, 100);
    letter = payments_refused(f);
    set_payments(f, true, PAYMENTS_APPROVE, 2);
    assert_why(f,
               "Waits for Payments since 12:00:00 UTC, which refused order.placed for good (dead "
               "letter ID): nothing comes by itself, but pay asks again. Unpaid, it is cancelled "
               "at 12:30:00 UTC.");
    assert_wait(0, EXPLAIN_PAYMENT, EXPLAIN_REFUSED, "payments");
    assert_int_equal(retry_letter(f, letter, NULL), REPLY_OK);
    app_fixture_pass_ms(f, 10);
    (void)why(f);
    assert_wait(0, EXPLAIN_PAYMENT, EXPLAIN_RETRYING, "payments");
    assert_int_equal(told.n_waits, 1);
    assert_int_equal(told.n_deliveries, 1);
    assert_int_equal(told.head, EVENT_ORDER_PLACED);
    assert_int_equal(told.lane.attempts, 1);
    assert_true(told.timer_is_retry);
    /* No answer waits for it any more, but it is not handled. */
    assert_int_equal(do_order(f, ORDER_INPUT_CANCEL, "no"), REPLY_OK);
    app_fixture_settle(f);
    (void)why(f);
    assert_wait(0, EXPLAIN_HANDLING, EXPLAIN_RETRYING, "payments");
    assert_int_equal(told.n_waits, 1);
    assert_false(told.is_settled);
    app_fixture_pass_ms(f, 10000);
    (void)why(f);
    assert_int_equal(told.n_waits, 0);
    assert_true(told.is_settled);
}

static void explain__knows_no_order_that_is_not_there(void **state)
{
    struct app_fixture *f = *state;
    struct order_id id = { { { 1, 2, 3 } } };

    ask_about(f, id);
    assert_int_equal(told.status, ERR_OK);
    assert_false(told.is_there);
    /* Nor one that somebody outside has spoken of. */
    f->order_id = id;
    assert_int_equal(a_message(f, EVENT_PAYMENT_DECLINED, "m-1", "p-1", ""), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 100);
    ask_about(f, id);
    assert_false(told.is_there);
}

/* ---- what may be done ------------------------------------------------------------------------ */

/* In every state on the way of both flows: legal is what a command would be answered. */
static void assert_commands_agree(struct app_fixture *f)
{
    uint32_t by_table = order_legal_commands(the_order(f));

    (void)why(f);
    assert_int_equal(told.legal & ~told.holds, by_table & ~told.holds);
    for (unsigned i = ORDER_INPUT_PAY; i <= ORDER_INPUT_COMPLETE; i++) {
        bool is_free = (told.legal & 1u << i) && !(told.holds & 1u << i);

        assert_int_equal(told.why[i][0] == 0, is_free);
    }
}

static void explain__says_for_each_command_why_it_is_not_legal(void **state)
{
    struct app_fixture *f = *state;

    set_payments(f, true, PAYMENTS_WAIT, 0);
    a_cart_order(f);
    app_fixture_pass_ms(f, 100);
    assert_commands_agree(f);
    assert_string_equal(told.why[ORDER_INPUT_READY],
                        "Legal in STOCK_RESERVED; the order is AWAITING_PAYMENT, not there yet.");
    assert_int_equal(do_order(f, ORDER_INPUT_MARK_PAID, "cash-1"), REPLY_OK);
    assert_commands_agree(f); /* PAID */
    assert_string_equal(told.why[ORDER_INPUT_MARK_PAID],
                        "Legal in AWAITING_PAYMENT; the order is PAID, past that.");
    assert_string_equal(told.why[ORDER_INPUT_PAY],
                        "Its effect holds already: it succeeds and changes nothing.");
    app_fixture_pass_ms(f, 100);
    assert_commands_agree(f); /* STOCK_RESERVED */
    assert_int_equal(do_order(f, ORDER_INPUT_READY, NULL), REPLY_OK);
    assert_commands_agree(f);
    assert_int_equal(do_order(f, ORDER_INPUT_COMPLETE, NULL), REPLY_OK);
    app_fixture_pass_ms(f, 100);
    assert_commands_agree(f);
    assert_string_equal(told.why[ORDER_INPUT_CANCEL], "The order is COMPLETED, which is final.");
    assert_int_equal(told.legal, told.holds);

    set_payments(f, true, PAYMENTS_APPROVE, 0);
    assert_int_equal(an_order(f, "WIDGET-001", 1), REPLY_CREATED);
    for (unsigned i = 0; i < 40; i++) {
        assert_commands_agree(f);
        app_fixture_pass_ms(f, 10);
    }
    assert_string_equal(told.why[ORDER_INPUT_READY],
                        "An order of the flow stock_first has no such step.");
    assert_string_equal(told.why[ORDER_INPUT_CANCEL],
                        "Legal in PENDING, CONFIRMED, PAID; the order is SHIPPED, past that.");
}

static void explain__says_when_a_shipment_can_be_dispatched(void **state)
{
    struct app_fixture *f = *state;

    assert_int_equal(an_order(f, "WIDGET-001", 1), REPLY_CREATED);
    app_fixture_pass_ms(f, 249);
    (void)why(f);
    assert_string_equal(told.dispatch, ""); /* there is none yet */
    f->is_store_held = true;
    app_fixture_pass_ms(f, 10);
    for (unsigned i = 0; i < 20 && f->counts[EVENT_ORDER_SHIPPED].n == 0; i++) {
        (void)store_virtual_run(&f->store, 1);
        app_fixture_settle(f);
    }
    (void)why(f);
    assert_string_equal(told.dispatch, "Shipments has not handled order.shipped yet.");
    assert_wait(0, EXPLAIN_HANDLING, EXPLAIN_WORKING, "shipments");
    f->is_store_held = false;
    app_fixture_settle(f);
    (void)why(f);
    assert_string_equal(told.dispatch, "legal");
    assert_string_equal(told.deliver, "legal");
}

/* ---- limits ---------------------------------------------------------------------------------- */

/* Each is one event and one row: a decline that comes too late. */
static void decline_late(struct app_fixture *f, unsigned n)
{
    static unsigned nth;
    char id[16];

    for (unsigned i = 0; i < n; i++) {
        snprintf(id, sizeof(id), "late-%u", nth++);
        assert_int_equal(a_message(f, EVENT_PAYMENT_DECLINED, id, "p-9", ""), REPLY_ACCEPTED);
        app_fixture_settle(f);
    }
}

static void explain__shows_the_newest_rows_and_says_that_it_cuts(void **state)
{
    struct app_fixture *f = *state;
    uint64_t first_event, first_ignored;

    a_cart_order(f);
    app_fixture_pass_ms(f, 1000); /* five events */
    decline_late(f, 1);
    (void)why(f);
    assert_int_equal(told.n_ignored, 1);
    assert_string_equal(told.ignored_why, "wrong_state");
    assert_int_equal(told.ignored_state, ORDER_STOCK_RESERVED);
    first_ignored = told.first_ignored;
    decline_late(f, EXPLAIN_IGNORED_MAX - 1);
    (void)why(f);
    assert_int_equal(told.n_ignored, EXPLAIN_IGNORED_MAX);
    assert_false(told.ignored_cut);
    assert_int_equal(told.first_ignored, first_ignored);
    decline_late(f, 1);
    (void)why(f);
    assert_int_equal(told.n_ignored, EXPLAIN_IGNORED_MAX);
    assert_true(told.ignored_cut);
    assert_true(told.first_ignored > first_ignored);

    first_event = told.first_event;
    decline_late(f, EXPLAIN_EVENTS_MAX - 5 - EXPLAIN_IGNORED_MAX - 1);
    (void)why(f);
    assert_int_equal(told.n_events, EXPLAIN_EVENTS_MAX);
    assert_false(told.events_cut);
    assert_int_equal(told.first_event, first_event);
    decline_late(f, 1);
    (void)why(f);
    assert_int_equal(told.n_events, EXPLAIN_EVENTS_MAX);
    assert_true(told.events_cut);
    assert_true(told.first_event > first_event);
    /* What it waits for is still known, and since when where that is still shown. */
    assert_wait(0, EXPLAIN_STEP, EXPLAIN_PERSON, "store");
    decline_late(f, 5);
    assert_why(f, "Waits for the store: the next step is ready.");
    assert_int_equal(told.waits[0].since_ms, 0);
}

static void explain__cuts_long_words_between_two_characters(void **state)
{
    struct app_fixture *f = *state;
    char reason[EXPLAIN_WORDS_MAX + 8], expected[512];

    for (unsigned n = EXPLAIN_WORDS_MAX; n <= EXPLAIN_WORDS_MAX + 1; n++) {
        assert_int_equal(an_order(f, "WIDGET-001", 1), REPLY_CREATED);
        memset(reason, 'x', n);
        reason[n] = 0;
        assert_int_equal(do_order(f, ORDER_INPUT_CANCEL, reason), REPLY_OK);
        app_fixture_pass_ms(f, 1000);
        snprintf(expected, sizeof(expected), " (%.*s%s);", EXPLAIN_WORDS_MAX, reason,
                 n > EXPLAIN_WORDS_MAX ? "…" : "");
        assert_non_null(strstr(why(f), expected));
    }
    assert_int_equal(an_order(f, "WIDGET-001", 1), REPLY_CREATED);
    memset(reason, 'x', EXPLAIN_WORDS_MAX - 1);
    memcpy(reason + EXPLAIN_WORDS_MAX - 1, "é", sizeof("é"));
    assert_int_equal(do_order(f, ORDER_INPUT_CANCEL, reason), REPLY_OK);
    app_fixture_pass_ms(f, 1000);
    assert_non_null(strstr(why(f), "xxx…);"));
}

static void explain__looks_at_so_many_dead_letters(void **state)
{
    struct app_fixture *f = *state;
    char id[16];

    a_cart_order(f);
    app_fixture_pass_ms(f, 1000);
    for (unsigned i = 0; i < EXPLAIN_DEAD_LETTERS_MAX + 1; i++) {
        if (i == EXPLAIN_DEAD_LETTERS_MAX) {
            (void)why(f);
            assert_int_equal(told.n_letters, EXPLAIN_DEAD_LETTERS_MAX);
            assert_false(told.letters_cut);
        }
        snprintf(id, sizeof(id), "m-%u", i);
        assert_int_equal(a_message(f, EVENT_SHIPMENT_DISPATCHED, id, "s-1", ""), REPLY_ACCEPTED);
        app_fixture_settle(f);
    }
    (void)why(f);
    assert_int_equal(told.n_letters, EXPLAIN_DEAD_LETTERS_MAX);
    assert_true(told.letters_cut);
}

static void explain__answers_what_it_has_when_reading_takes_too_long(void **state)
{
    struct app_fixture *f = *state;

    a_cart_order(f);
    app_fixture_pass_ms(f, 1000);
    f->store.reads_are_late = true;
    assert_why(f, "Waits for the store: the next step is ready.");
    f->store.reads_are_late = false;
    assert_int_equal(told.n_events, 0);
    assert_true(told.events_cut);
    assert_int_equal(told.took_ms, 0);
}

static void explain__has_the_moment_in_which_it_was_asked(void **state)
{
    struct app_fixture *f = *state;
    struct explain x = { .done = on_explained };

    assert_int_equal(an_order(f, "WIDGET-001", 1), REPLY_CREATED);
    app_fixture_pass_ms(f, 20);
    memset(&told, 0, sizeof(told));
    x.id = f->order_id;
    explain_start(&x, f->app);
    assert_int_equal(told.n_done, 0);
    /* The order goes on before its rows are read. */
    for (unsigned i = 0; i < 1000 && f->counts[EVENT_INVENTORY_RESERVED].n == 0; i++) {
        (void)manual_scheduler_run_turn(&f->ms);
        (void)store_virtual_run(&f->store, 1000000);
        manual_scheduler_advance_us(&f->ms, 1000);
        (void)manual_scheduler_run_alarm(&f->ms);
    }
    assert_int_equal(f->counts[EVENT_INVENTORY_RESERVED].n, 1);
    (void)store_virtual_run_reads(&f->store, 1000000);
    assert_int_equal(told.n_done, 1);
    assert_int_equal(told.n_events, 1);
    assert_wait(0, EXPLAIN_STOCK, EXPLAIN_WORKING, "inventory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(explain__names_the_context_that_is_working),
        T(explain__names_orders_when_the_answer_is_there_and_not_taken),
        T(explain__says_that_a_payment_has_to_be_asked_for),
        T(explain__says_which_attempt_failed_and_when_the_next_is),
        T(explain__says_behind_which_dead_letter_it_is_parked),
        T(explain__tells_of_the_deadline_and_that_it_has_passed),
        T(explain__waits_for_outside_contexts_where_ours_are_off),
        T(explain__says_when_a_message_was_heard_and_nothing_followed),
        cmocka_unit_test(explain__counts_how_far_a_context_is_behind),
        T(explain__is_settled_at_rest_and_waits_for_a_person),
        T(explain__follows_a_shipment_to_the_door),
        T(explain__waits_for_money_that_an_outside_payment_has_to_give_back),
        T(explain__puts_the_worst_first),
        T(explain__counts_dead_letters_that_park_nothing),
        T(explain__says_what_became_of_a_parked_message),
        T(explain__finds_a_message_that_is_retried_beside_its_lane),
        T(explain__knows_no_order_that_is_not_there),
        T(explain__says_for_each_command_why_it_is_not_legal),
        T(explain__says_when_a_shipment_can_be_dispatched),
        T(explain__shows_the_newest_rows_and_says_that_it_cuts),
        T(explain__cuts_long_words_between_two_characters),
        T(explain__looks_at_so_many_dead_letters),
        T(explain__answers_what_it_has_when_reading_takes_too_long),
        T(explain__has_the_moment_in_which_it_was_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
