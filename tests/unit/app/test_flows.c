/* Both flows through the whole app on virtual time. Each test is a story; its trace is what a reader
 * of the log would see. */
#include "support/app_fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

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

static void pay_first__goes_from_cart_to_reserved_stock_in_five_events(void **state)
{
    struct app_fixture *f = *state;

    assert_int_equal(a_cart(f), REPLY_CREATED);
    assert_int_equal(an_item(f, "WIDGET-001", 2), REPLY_OK);
    trace_clear(f);
    assert_int_equal(a_checkout(f), REPLY_CREATED);
    assert_int_equal(f->status, ORDER_AWAITING_PAYMENT);
    app_fixture_pass_ms(f, 100);
    assert_trace(f, "[   0] OrderPlaced\n"
                    "[  10] PaymentApproved\n"
                    "[  10] OrderPaid\n"
                    "[  20] StockReserved\n"
                    "[  20] OrderStockReserved\n");
    assert_int_equal(the_order(f)->status, ORDER_STOCK_RESERVED);
    assert_int_equal(the_stock(f, "WIDGET-001").reserved, 2);
}

static void pay_first__takes_the_stock_when_the_order_is_completed(void **state)
{
    struct app_fixture *f = *state;

    a_cart(f);
    an_item(f, "WIDGET-001", 2);
    a_checkout(f);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(do_order(f, ORDER_INPUT_READY, NULL), REPLY_OK);
    assert_int_equal(do_order(f, ORDER_INPUT_COMPLETE, NULL), REPLY_OK);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(the_order(f)->status, ORDER_COMPLETED);
    assert_int_equal(the_stock(f, "WIDGET-001").on_hand, 98);
    assert_int_equal(the_stock(f, "WIDGET-001").reserved, 0);
    assert_int_equal(f->counts[EVENT_STOCK_TAKEN].n, 1);
}

static void stock_first__goes_from_order_to_shipment_in_seven_events(void **state)
{
    struct app_fixture *f = *state;

    assert_int_equal(an_order(f, "WIDGET-001", 2), REPLY_CREATED);
    assert_int_equal(f->status, ORDER_PENDING);
    app_fixture_pass_ms(f, 400);
    assert_trace(f, "[   0] OrderPlaced\n"
                    "[  50] InventoryReserved\n"
                    "[  50] OrderConfirmed\n"
                    "[ 150] PaymentProcessed\n"
                    "[ 150] OrderPaid\n"
                    "[ 250] ShipmentCreated\n"
                    "[ 250] OrderShipped\n");
    assert_int_equal(the_order(f)->status, ORDER_SHIPPED);
}

static void stock_first__ends_delivered_with_the_stock_taken_at_dispatch(void **state)
{
    struct app_fixture *f = *state;
    struct shipment_id id;

    an_order(f, "WIDGET-001", 3);
    app_fixture_pass_ms(f, 400);
    id = the_order(f)->shipment_id;
    assert_int_equal(the_stock(f, "WIDGET-001").reserved, 3);
    assert_int_equal(do_shipment(f, id, false), REPLY_OK);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(the_stock(f, "WIDGET-001").on_hand, 97);
    assert_int_equal(do_shipment(f, id, true), REPLY_OK);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(the_order(f)->status, ORDER_DELIVERED);
    assert_int_equal(f->counts[EVENT_STOCK_TAKEN].n, 1);
    assert_int_equal(do_shipment(f, id, false), REPLY_OK); /* repeats safely */
}

static void stock_first__delivered_without_dispatched_counts_as_both(void **state)
{
    struct app_fixture *f = *state;

    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 400);
    assert_int_equal(do_shipment(f, the_order(f)->shipment_id, true), REPLY_OK);
    app_fixture_pass_ms(f, 200);
    assert_int_equal(the_order(f)->status, ORDER_DELIVERED);
    assert_int_equal(f->counts[EVENT_STOCK_TAKEN].n, 1);
    assert_int_equal(the_stock(f, "WIDGET-001").on_hand, 99);
}

static void a_declined_payment_ends_the_order_and_releases_its_stock(void **state)
{
    struct app_fixture *f = *state;
    struct simulators s = simulators_default;

    s.payments.mode = PAYMENTS_DECLINE;
    set_simulators(f, SIMULATOR_PAYMENTS, &s);
    an_order(f, "WIDGET-001", 2);
    app_fixture_pass_ms(f, 400);
    assert_trace(f, "[   0] OrderPlaced\n"
                    "[  50] InventoryReserved\n"
                    "[  50] OrderConfirmed\n"
                    "[ 150] PaymentFailed\n"
                    "[ 150] OrderPaymentFailed\n"
                    "[ 200] InventoryReleased\n"
                    "[ 200] OrderStockReleased\n");
    assert_int_equal(the_order(f)->status, ORDER_PAYMENT_FAILED);
    assert_true(order_is_settled(the_order(f)));
    assert_int_equal(the_stock(f, "WIDGET-001").reserved, 0);
}

static void too_little_stock_rejects_a_direct_order_with_the_numbers(void **state)
{
    struct app_fixture *f = *state;
    struct str reason;

    an_order(f, "WIDGET-001", 200);
    app_fixture_pass_ms(f, 400);
    reason = the_order(f)->rejection_reason;
    assert_int_equal(the_order(f)->status, ORDER_REJECTED);
    assert_true(
        str_eq(reason, STR("Insufficient stock for WIDGET-001: requested 200, available 100")));
}

static void too_little_stock_gives_a_paid_cart_its_money_back(void **state)
{
    struct app_fixture *f = *state;

    assert_int_equal(a_product(f, "RARE-1", "5.00", 1), REPLY_CREATED);
    a_cart(f);
    an_item(f, "RARE-1", 2);
    trace_clear(f);
    a_checkout(f);
    app_fixture_pass_ms(f, 400);
    assert_trace(f, "[   0] OrderPlaced\n"
                    "[  10] PaymentApproved\n"
                    "[  10] OrderPaid\n"
                    "[  20] StockRejected\n"
                    "[  20] OrderCancelled\n"
                    "[  30] PaymentRefunded\n"
                    "[  30] OrderRefunded\n");
    assert_int_equal(the_order(f)->status, ORDER_CANCELLED);
    assert_true(order_is_settled(the_order(f)));
}

static void an_unknown_product_with_a_price_is_rejected_by_event(void **state)
{
    struct app_fixture *f = *state;

    assert_int_equal(an_order_of(f, FLOW_STOCK_FIRST, "X-1", 1, "1.00"), REPLY_CREATED);
    app_fixture_pass_ms(f, 400);
    assert_int_equal(the_order(f)->status, ORDER_REJECTED);
    assert_true(str_eq(the_order(f)->rejection_reason, STR("Product X-1 not found")));
    assert_int_equal(an_order(f, "X-1", 1), REPLY_UNKNOWN_PRODUCT);
}

static void an_unpaid_order_is_cancelled_at_its_deadline_and_not_before(void **state)
{
    struct app_fixture *f = *state;
    struct simulators s = simulators_default;

    s.payments.mode = PAYMENTS_WAIT;
    set_simulators(f, SIMULATOR_PAYMENTS, &s);
    an_order(f, "WIDGET-001", 2);
    app_fixture_pass_ms(f, 30 * 60 * 1000 - 1000);
    assert_int_equal(the_order(f)->status, ORDER_CONFIRMED);
    app_fixture_pass_ms(f, 2000);
    assert_int_equal(the_order(f)->status, ORDER_CANCELLED);
    assert_true(str_eq(the_order(f)->cancellation_reason, STR("payment_timeout")));
    assert_int_equal(the_stock(f, "WIDGET-001").reserved, 0);
}

static void a_clock_set_back_expires_nothing_early(void **state)
{
    struct app_fixture *f = *state;
    struct simulators s = simulators_default;

    s.payments.mode = PAYMENTS_WAIT;
    set_simulators(f, SIMULATOR_PAYMENTS, &s);
    an_order(f, "WIDGET-001", 1);
    f->ms.wall_offset_ms -= 3600 * 1000;
    app_fixture_pass_ms(f, 31 * 60 * 1000);
    assert_int_equal(the_order(f)->status, ORDER_CONFIRMED);
    app_fixture_pass_ms(f, 60 * 60 * 1000);
    assert_int_equal(the_order(f)->status, ORDER_CANCELLED);
}

static void pay_charges_an_order_whose_payments_are_set_to_wait(void **state)
{
    struct app_fixture *f = *state;
    struct simulators s = simulators_default;

    s.payments.mode = PAYMENTS_WAIT;
    set_simulators(f, SIMULATOR_PAYMENTS, &s);
    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 400);
    assert_int_equal(the_order(f)->status, ORDER_CONFIRMED);
    assert_int_equal(f->counts[EVENT_PAYMENT_PENDING].n, 1);
    assert_int_equal(do_order(f, ORDER_INPUT_PAY, NULL), REPLY_ACCEPTED);
    assert_int_equal(do_order(f, ORDER_INPUT_PAY, NULL), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 400);
    assert_int_equal(the_order(f)->status, ORDER_SHIPPED);
    assert_int_equal(f->counts[EVENT_ORDER_PAYMENT_REQUESTED].n, 1);
    assert_int_equal(f->counts[EVENT_PAYMENT_PROCESSED].n, 1);
}

static void cancel_gives_back_money_and_stock(void **state)
{
    struct app_fixture *f = *state;

    an_order(f, "WIDGET-001", 2);
    app_fixture_pass_ms(f, 160);
    assert_int_equal(the_order(f)->status, ORDER_PAID);
    assert_int_equal(do_order(f, ORDER_INPUT_CANCEL, "changed my mind"), REPLY_OK);
    assert_int_equal(f->status, ORDER_CANCELLED);
    app_fixture_pass_ms(f, 400);
    assert_true(order_is_settled(the_order(f)));
    assert_int_equal(the_stock(f, "WIDGET-001").reserved, 0);
    assert_int_equal(f->counts[EVENT_PAYMENT_REFUNDED].n, 1);
    assert_int_equal(f->counts[EVENT_INVENTORY_RELEASED].n, 1);
}

static void a_shipment_that_comes_after_cancel_is_refused_and_cancelled(void **state)
{
    struct app_fixture *f = *state;

    an_order(f, "WIDGET-001", 2);
    app_fixture_pass_ms(f, 160); /* the shipment is on its way */
    do_order(f, ORDER_INPUT_CANCEL, "changed my mind");
    app_fixture_pass_ms(f, 1000);
    assert_int_equal(f->counts[EVENT_SHIPMENT_CREATED].n, 1);
    assert_int_equal(f->counts[EVENT_ORDER_SHIPMENT_REFUSED].n, 1);
    assert_int_equal(f->counts[EVENT_SHIPMENT_CANCELLED].n, 1);
    assert_int_equal(the_order(f)->status, ORDER_CANCELLED);
}

static void cancel_is_answered_while_a_handler_waits(void **state)
{
    struct app_fixture *f = *state;

    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 20); /* inventory's delay runs */
    assert_int_equal(do_order(f, ORDER_INPUT_CANCEL, "no"), REPLY_OK);
    assert_int_equal(f->status, ORDER_CANCELLED);
    app_fixture_pass_ms(f, 400);
    /* the reservation came late and went back */
    assert_int_equal(f->counts[EVENT_ORDER_RELEASE_REQUESTED].n, 1);
    assert_int_equal(the_stock(f, "WIDGET-001").reserved, 0);
    assert_true(order_is_settled(the_order(f)));
}

static void a_late_approval_is_refunded(void **state)
{
    struct app_fixture *f = *state;

    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 100); /* the payment is on its way */
    do_order(f, ORDER_INPUT_CANCEL, "no");
    app_fixture_pass_ms(f, 1000);
    assert_int_equal(f->counts[EVENT_ORDER_REFUND_REQUESTED].n, 1);
    assert_int_equal(f->counts[EVENT_PAYMENT_REFUNDED].n, 1);
    assert_true(order_is_settled(the_order(f)));
}

static void an_outside_payment_pays_once_and_only_with_the_right_amount(void **state)
{
    struct app_fixture *f = *state;
    struct simulators s = simulators_default;

    s.payments.enabled = false;
    set_simulators(f, SIMULATOR_PAYMENTS, &s);
    an_order(f, "WIDGET-001", 2);
    app_fixture_pass_ms(f, 400);
    assert_int_equal(the_order(f)->status, ORDER_CONFIRMED);
    assert_int_equal(a_message(f, EVENT_PAYMENT_PROCESSED, "m1", "pp-1", "39.97"), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 10);
    assert_int_equal(the_order(f)->status, ORDER_CONFIRMED);
    assert_int_equal(f->counts[EVENT_ORDER_REFUND_REQUESTED].n, 1);
    assert_int_equal(a_message(f, EVENT_PAYMENT_APPROVED, "m2", "pp-2", "39.98"), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 10);
    assert_int_equal(the_order(f)->status, ORDER_PAID);
    /* the same message, the same payment under another message id, and a second payment */
    assert_int_equal(a_message(f, EVENT_PAYMENT_APPROVED, "m2", "pp-2", "39.98"), REPLY_ACCEPTED);
    assert_int_equal(a_message(f, EVENT_PAYMENT_APPROVED, "m3", "pp-2", "39.98"), REPLY_ACCEPTED);
    assert_int_equal(a_message(f, EVENT_PAYMENT_APPROVED, "m4", "pp-3", "39.98"), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 400);
    assert_int_equal(f->counts[EVENT_ORDER_PAID].n, 1);
    assert_int_equal(f->counts[EVENT_ORDER_REFUND_REQUESTED].n, 2);
    assert_int_equal(f->counts[EVENT_PAYMENT_APPROVED].n, 3);
    assert_true(order_has_refund_due(the_order(f))); /* until the outside says that it is done */
    assert_int_equal(a_message(f, EVENT_PAYMENT_REFUNDED, "m5", "pp-1", "39.97"), REPLY_ACCEPTED);
    assert_int_equal(a_message(f, EVENT_PAYMENT_REFUNDED, "m6", "pp-3", "39.98"), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 10);
    assert_false(order_has_refund_due(the_order(f)));
}

static void a_message_id_with_another_body_is_a_mismatch(void **state)
{
    struct app_fixture *f = *state;

    an_order(f, "WIDGET-001", 1);
    assert_int_equal(a_message(f, EVENT_PAYMENT_APPROVED, "m1", "pp-1", "19.99"), REPLY_ACCEPTED);
    assert_int_equal(a_message(f, EVENT_PAYMENT_APPROVED, "m1", "pp-2", "19.99"),
                     REPLY_IDEMPOTENCY_MISMATCH);
}

static void a_message_for_an_unknown_order_is_a_dead_letter_at_once(void **state)
{
    struct app_fixture *f = *state;

    memset(&f->order_id, 7, sizeof(f->order_id));
    assert_int_equal(a_message(f, EVENT_PAYMENT_APPROVED, "m1", "pp-1", "1.00"), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 10);
    assert_int_equal(f->counts[EVENT_DEAD_LETTERED].n, 1);
    assert_int_equal(app_metrics(f->app)->dead_letters_open[SUBSCRIPTION_ORDERS], 1);
    assert_true(f->log.counts[LOG_ERROR] > 0);
}

static void a_payment_of_another_order_is_a_dead_letter_and_a_conflict(void **state)
{
    struct app_fixture *f = *state;
    struct simulators s = simulators_default;

    s.payments.enabled = false;
    set_simulators(f, SIMULATOR_PAYMENTS, &s);
    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(a_message(f, EVENT_PAYMENT_APPROVED, "m1", "pp-1", "19.99"), REPLY_ACCEPTED);
    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(a_message(f, EVENT_PAYMENT_APPROVED, "m2", "pp-1", "19.99"), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(the_order(f)->status, ORDER_CONFIRMED);
    assert_int_equal(f->counts[EVENT_DEAD_LETTERED].n, 1);
    assert_int_equal(do_order(f, ORDER_INPUT_MARK_PAID, "pp-1"), REPLY_PAYMENT_TAKEN);
    assert_int_equal(do_order(f, ORDER_INPUT_MARK_PAID, "pp-9"), REPLY_OK);
    assert_int_equal(do_order(f, ORDER_INPUT_MARK_PAID, "pp-9"), REPLY_OK);
    assert_int_equal(do_order(f, ORDER_INPUT_MARK_PAID, "pp-10"), REPLY_ILLEGAL_STATE);
}

static void a_poisoned_payment_parks_its_order_and_no_other(void **state)
{
    struct app_fixture *f = *state;
    struct simulators s = simulators_default;

    s.payments.poison_rate = 1.0;
    set_simulators(f, SIMULATOR_PAYMENTS, &s);
    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 60000);
    assert_int_equal(f->counts[EVENT_DEAD_LETTERED].n, 1);
    assert_int_equal(
        app_metrics(f->app)->handler_failures[SUBSCRIPTION_PAYMENTS][FAILURE_RETRY] +
            app_metrics(f->app)->handler_failures[SUBSCRIPTION_PAYMENTS][FAILURE_PARKED],
        4);
    assert_int_equal(the_order(f)->status, ORDER_CONFIRMED);
    assert_int_equal(do_order(f, ORDER_INPUT_CANCEL, "tired of waiting"), REPLY_OK);
    s.payments.poison_rate = 0;
    set_simulators(f, SIMULATOR_PAYMENTS, &s);
    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 1000);
    assert_int_equal(the_order(f)->status, ORDER_SHIPPED);
}

static void a_handler_that_fails_twice_succeeds_the_third_time(void **state)
{
    struct app_fixture *f = *state;
    struct simulators s = simulators_default;

    s.payments.fail_first = 2;
    set_simulators(f, SIMULATOR_PAYMENTS, &s);
    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 5000);
    assert_int_equal(the_order(f)->status, ORDER_SHIPPED);
    assert_int_equal(f->counts[EVENT_DEAD_LETTERED].n, 0);
    assert_int_equal(f->counts[EVENT_PAYMENT_PROCESSED].n, 1);
}

static void checking_out_twice_answers_with_the_first_order(void **state)
{
    struct app_fixture *f = *state;
    struct order_id first;

    a_cart(f);
    assert_int_equal(a_checkout(f), REPLY_EMPTY_CART);
    an_item(f, "WIDGET-001", 1);
    assert_int_equal(a_checkout(f), REPLY_CREATED);
    first = f->order_id;
    assert_int_equal(a_checkout(f), REPLY_OK);
    assert_memory_equal(&f->order_id, &first, sizeof(first));
    assert_int_equal(an_item(f, "WIDGET-001", 1), REPLY_CART_CONVERTED);
}

static void a_hot_product_is_never_oversold(void **state)
{
    struct app_fixture *f = *state;
    unsigned rejected;

    f->is_store_held = false;
    for (int i = 0; i < 60; i++)
        an_order(f, "WIDGET-001", 2);
    app_fixture_pass_ms(f, 2000);
    rejected = f->counts[EVENT_INVENTORY_RESERVATION_FAILED].n;
    assert_int_equal(f->counts[EVENT_INVENTORY_RESERVED].n, 50);
    assert_int_equal(rejected, 10);
    assert_int_equal(the_stock(f, "WIDGET-001").reserved, 100);
}

static void an_outside_dispatch_before_confirmation_is_a_dead_letter(void **state)
{
    struct app_fixture *f = *state;
    struct simulators s = simulators_default;

    s.shipments.enabled = false;
    set_simulators(f, SIMULATOR_SHIPMENTS, &s);
    an_order(f, "WIDGET-001", 1);
    app_fixture_pass_ms(f, 400);
    assert_int_equal(the_order(f)->status, ORDER_PAID);
    assert_int_equal(a_message(f, EVENT_SHIPMENT_DISPATCHED, "s0", "ship-1", ""), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(f->counts[EVENT_DEAD_LETTERED].n, 1);
    assert_int_equal(a_message(f, EVENT_SHIPMENT_CREATED, "s1", "ship-1", ""), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(the_order(f)->status, ORDER_SHIPPED);
    assert_int_equal(a_message(f, EVENT_SHIPMENT_DISPATCHED, "s2", "ship-1", ""), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(f->counts[EVENT_STOCK_TAKEN].n, 1);
    assert_int_equal(a_message(f, EVENT_SHIPMENT_CANCELLED, "s3", "ship-1", ""), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(f->counts[EVENT_DEAD_LETTERED].n, 2);
    assert_int_equal(a_message(f, EVENT_SHIPMENT_DELIVERED, "s4", "ship-1", ""), REPLY_ACCEPTED);
    app_fixture_pass_ms(f, 100);
    assert_int_equal(the_order(f)->status, ORDER_DELIVERED);
    assert_int_equal(f->counts[EVENT_STOCK_TAKEN].n, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(pay_first__goes_from_cart_to_reserved_stock_in_five_events),
        T(pay_first__takes_the_stock_when_the_order_is_completed),
        T(stock_first__goes_from_order_to_shipment_in_seven_events),
        T(stock_first__ends_delivered_with_the_stock_taken_at_dispatch),
        T(stock_first__delivered_without_dispatched_counts_as_both),
        T(a_declined_payment_ends_the_order_and_releases_its_stock),
        T(too_little_stock_rejects_a_direct_order_with_the_numbers),
        T(too_little_stock_gives_a_paid_cart_its_money_back),
        T(an_unknown_product_with_a_price_is_rejected_by_event),
        T(an_unpaid_order_is_cancelled_at_its_deadline_and_not_before),
        T(a_clock_set_back_expires_nothing_early),
        T(pay_charges_an_order_whose_payments_are_set_to_wait),
        T(cancel_gives_back_money_and_stock),
        T(a_shipment_that_comes_after_cancel_is_refused_and_cancelled),
        T(cancel_is_answered_while_a_handler_waits),
        T(a_late_approval_is_refunded),
        T(an_outside_payment_pays_once_and_only_with_the_right_amount),
        T(a_message_id_with_another_body_is_a_mismatch),
        T(a_message_for_an_unknown_order_is_a_dead_letter_at_once),
        T(a_payment_of_another_order_is_a_dead_letter_and_a_conflict),
        T(a_poisoned_payment_parks_its_order_and_no_other),
        T(a_handler_that_fails_twice_succeeds_the_third_time),
        T(checking_out_twice_answers_with_the_first_order),
        T(a_hot_product_is_never_oversold),
        T(an_outside_dispatch_before_confirmation_is_a_dead_letter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
