/* The order by itself: what its events say, what it remembers, what it shows. */
#include "domain_fixture.h"
#include "orderly/domain/payment.h"
#include "orderly/domain/reservation.h"
#include "orderly/domain/shipment.h"

static const struct event *last(const struct event_list *l)
{
    assert_true(l->n > 0);
    return &l->events[l->n - 1];
}

/* Decides one step, applies it, and hands its event out. */
static const struct event *step(struct order *o, enum way way, struct event_list *list)
{
    assert_int_equal(decide_step(o, way, list), ORDER_OUTCOME_CHANGED);
    apply_all(o, list);
    return last(list);
}

static struct str id_str(const struct text_id *id)
{
    return text_id_str(id);
}

/* ---- the drawings, with the other contexts ---------------------------------------------------- */

static void trace(char *text, size_t size, const struct event_list *list)
{
    size_t n = strlen(text);

    for (unsigned i = 0; i < list->n; i++)
        n += (size_t)snprintf(text + n, size - n, "%s ", event_infos[list->events[i].type].type.p);
}

static void pay_first__reaches_stock_reserved_by_exactly_five_events(void **state)
{
    const struct flow *f = flow_of(FLOW_PAY_FIRST);
    struct order *o = order_create();
    struct order_placing placing = a_placing(FLOW_PAY_FIRST);
    struct payment_id payment_id = payment_of("payment-1");
    struct reservation_id reservation_id = reservation_of("reservation-1");
    struct stock_offer plenty = { .known = true, .available = 100 };
    struct payment payment = { 0 };
    struct event_list l;
    char story[256] = "";

    (void)state;
    event_list_init(&l);
    order_place(&placing, PLACED_AT_MS, &l);
    trace(story, sizeof(story), &l);
    apply_all(o, &l);

    event_list_init(&l);
    assert_true(payment_charge(&payment, f, o->body->id, &payment_id, o->body->total,
                               o->body->currency, &l));
    trace(story, sizeof(story), &l);
    {
        struct payload p = l.events[0].p;

        event_list_init(&l);
        assert_int_equal(order_mark_as_paid(o, &p.payment_id, p.amount, p.currency, &l),
                         ORDER_OUTCOME_CHANGED);
    }
    trace(story, sizeof(story), &l);
    apply_all(o, &l);

    event_list_init(&l);
    assert_true(reservation_decide(f, o->body->id, &reservation_id, o->body->stock_lines,
                                   o->body->n_stock_lines, &plenty, NULL, &l));
    trace(story, sizeof(story), &l);
    event_list_init(&l);
    assert_int_equal(order_apply_stock_reserved(o, &reservation_id, &l), ORDER_OUTCOME_CHANGED);
    trace(story, sizeof(story), &l);
    apply_all(o, &l);

    assert_string_equal(story,
                        "OrderPlaced PaymentApproved OrderPaid StockReserved OrderStockReserved ");
    assert_int_equal(o->status, ORDER_STOCK_RESERVED);
    assert_true(order_is_settled(o));
    order_destroy(o);
}

static void stock_first__reaches_shipped_by_exactly_seven_events(void **state)
{
    const struct flow *f = flow_of(FLOW_STOCK_FIRST);
    struct order *o = order_create();
    struct order_placing placing = a_placing(FLOW_STOCK_FIRST);
    struct payment_id payment_id = payment_of("payment-1");
    struct reservation_id reservation_id = reservation_of("reservation-1");
    struct shipment_id shipment_id = shipment_of("shipment-1");
    struct stock_offer plenty = { .known = true, .available = 3 };
    struct payment payment = { 0 };
    struct shipment shipment = { 0 };
    struct event_list l;
    char story[256] = "";

    (void)state;
    event_list_init(&l);
    order_place(&placing, PLACED_AT_MS, &l);
    trace(story, sizeof(story), &l);
    apply_all(o, &l);

    event_list_init(&l);
    assert_true(reservation_decide(f, o->body->id, &reservation_id, o->body->stock_lines,
                                   o->body->n_stock_lines, &plenty, NULL, &l));
    trace(story, sizeof(story), &l);
    event_list_init(&l);
    assert_int_equal(order_apply_stock_reserved(o, &reservation_id, &l), ORDER_OUTCOME_CHANGED);
    trace(story, sizeof(story), &l);
    apply_all(o, &l);

    event_list_init(&l);
    assert_true(payment_charge(&payment, f, o->body->id, &payment_id, o->body->total,
                               o->body->currency, &l));
    trace(story, sizeof(story), &l);
    event_list_init(&l);
    assert_int_equal(order_mark_as_paid(o, &payment_id, o->body->total, USD, &l),
                     ORDER_OUTCOME_CHANGED);
    trace(story, sizeof(story), &l);
    apply_all(o, &l);

    event_list_init(&l);
    assert_int_equal(shipment_create(&shipment, f->id, o->body->id, &shipment_id, STR("TRK-1"), &l),
                     SHIPMENT_CHANGED);
    trace(story, sizeof(story), &l);
    event_list_init(&l);
    assert_int_equal(order_apply_shipment_created(o, &shipment_id, STR("TRK-1"), &l),
                     ORDER_OUTCOME_CHANGED);
    trace(story, sizeof(story), &l);
    apply_all(o, &l);

    assert_string_equal(story, "OrderPlaced InventoryReserved OrderConfirmed PaymentProcessed "
                               "OrderPaid ShipmentCreated OrderShipped ");
    assert_int_equal(o->status, ORDER_SHIPPED);
    assert_true(order_is_settled(o));
    order_destroy(o);
}

/* ---- what the events say ---------------------------------------------------------------------- */

static void placed__says_everything_and_when_to_pay(void **state)
{
    struct order_placing placing = a_placing(FLOW_STOCK_FIRST);
    struct event_list l;
    const struct payload *p;

    (void)state;
    event_list_init(&l);
    order_place(&placing, PLACED_AT_MS, &l);
    p = &l.events[0].p;
    assert_int_equal(l.events[0].type, EVENT_ORDER_PLACED);
    assert_int_equal(p->flow, FLOW_STOCK_FIRST);
    assert_int_equal(p->n_lines, 2);
    assert_int_equal(p->total, TOTAL);
    assert_true(p->payment_deadline_ms == PLACED_AT_MS + TIMEOUT_MS);
    placing.payment_timeout_ms = 0;
    event_list_init(&l);
    order_place(&placing, PLACED_AT_MS, &l);
    assert_int_equal(l.events[0].p.payment_deadline_ms, 0);
}

static void events__carry_amounts_and_items_of_the_order(void **state)
{
    struct order *o = an_order(FLOW_STOCK_FIRST);
    struct event_list l;
    const struct event *e;

    (void)state;
    e = step(o, RESERVE_IT, &l);
    assert_true(str_eq(id_str(&e->p.reservation_id.t), STR("R-1")));
    assert_int_equal(e->p.amount, TOTAL);
    assert_true(currency_eq(e->p.currency, USD));
    event_list_init(&l);
    assert_int_equal(order_request_payment(o, &l), ORDER_OUTCOME_CHANGED);
    assert_int_equal(last(&l)->p.amount, TOTAL);
    assert_true(currency_eq(last(&l)->p.currency, USD));
    e = step(o, PAY_IT, &l);
    assert_true(str_eq(id_str(&e->p.payment_id.t), STR("P-1")));
    assert_int_equal(e->p.amount, TOTAL);
    assert_int_equal(e->p.n_stock_lines, 1); /* two lines of one sku are added up */
    assert_int_equal(e->p.stock_lines[0].quantity, 3);
    e = step(o, SHIP_IT, &l);
    assert_true(str_eq(e->p.tracking_number, STR("TRK-1")));
    e = step(o, DELIVER_IT, &l);
    assert_true(e->p.delivered_at_ms == PLACED_AT_MS + 5000);
    assert_true(o->delivered_at_ms == PLACED_AT_MS + 5000);
    order_destroy(o);
}

static void events_of_the_store_s_steps__name_customer_payment_and_invoice(void **state)
{
    struct order *o = an_order_after(FLOW_PAY_FIRST, WAY(PAY_IT));
    struct event_list l;
    const struct event *e;

    (void)state;
    e = step(o, RESERVE_IT, &l);
    assert_int_equal(e->p.stock_lines[0].quantity, 3);
    e = step(o, READY_IT, &l);
    assert_true(str_eq(id_str(&e->p.customer_id.t), STR("customer-789")));
    assert_true(str_eq(id_str(&e->p.payment_id.t), STR("P-1")));
    assert_int_equal(e->p.total, TOTAL);
    e = step(o, COMPLETE_IT, &l);
    assert_true(str_eq(id_str(&e->p.invoice_id.t), STR("I-1")));
    assert_true(str_eq(id_str(&o->invoice_id.t), STR("I-1")));
    order_destroy(o);
}

static void cancelled__says_what_it_was_and_why(void **state)
{
    struct order *o = an_order_after(FLOW_PAY_FIRST, WAY(PAY_IT, RESERVE_IT));
    struct event_list l;
    const struct event *e = step(o, CANCEL_IT, &l);

    (void)state;
    assert_int_equal(e->p.previous_status, ORDER_STOCK_RESERVED);
    assert_true(str_eq(e->p.reason, STR("changed my mind")));
    assert_true(str_eq(o->cancellation_reason, STR("changed my mind")));
    assert_true(e->p.refund.set);
    assert_true(e->p.release.set);
    order_destroy(o);
}

static void failed_payment__names_the_payment_if_there_was_one(void **state)
{
    struct order *o = an_order(FLOW_PAY_FIRST);
    struct event_list l;
    const struct event *e;

    (void)state;
    event_list_init(&l);
    assert_int_equal(order_apply_payment_declined(o, NULL, STR("No funds"), &l),
                     ORDER_OUTCOME_CHANGED);
    assert_int_equal(last(&l)->p.payment_id.t.n, 0);
    e = step(o, DECLINE_IT, &l);
    assert_true(str_eq(id_str(&e->p.payment_id.t), STR("P-1")));
    assert_true(str_eq(o->payment_failure_reason, STR("Card declined")));
    order_destroy(o);
}

/* ---- money and stock that go back ------------------------------------------------------------- */

static void refund__stays_due_until_it_is_recorded(void **state)
{
    struct order *o = an_order_after(FLOW_PAY_FIRST, WAY(PAY_IT, CANCEL_IT));
    struct payment_id p = payment_of("P-1");
    struct event_list l;
    int64_t amount = 0;
    bool unasked;

    (void)state;
    assert_true(order_is_final(o));
    assert_false(order_is_settled(o));
    assert_true(order_has_refund_due(o));
    event_list_init(&l);
    assert_int_equal(order_apply_refunded(o, &p, TOTAL, USD, &unasked, &l), ORDER_OUTCOME_CHANGED);
    assert_false(unasked);
    apply_all(o, &l);
    assert_int_equal(order_refund_state(o, &amount), DUE_DONE);
    assert_int_equal(amount, TOTAL);
    assert_true(order_is_settled(o));
    assert_int_equal(order_apply_refunded(o, &p, TOTAL, USD, &unasked, &l),
                     ORDER_OUTCOME_DUPLICATE);
    order_destroy(o);
}

static void refund_of_another_amount__is_recorded_once_and_closes_nothing(void **state)
{
    struct order *o = an_order_after(FLOW_PAY_FIRST, WAY(PAY_IT, CANCEL_IT));
    struct payment_id p = payment_of("P-1");
    struct event_list l;
    bool unasked;

    (void)state;
    event_list_init(&l);
    assert_int_equal(order_apply_refunded(o, &p, 1, USD, &unasked, &l), ORDER_OUTCOME_CHANGED);
    assert_true(unasked);
    apply_all(o, &l);
    assert_true(order_has_refund_due(o));
    event_list_init(&l);
    assert_int_equal(order_apply_refunded(o, &p, TOTAL, EUR, &unasked, &l),
                     ORDER_OUTCOME_DUPLICATE);
    assert_int_equal(order_apply_refunded(o, &p, TOTAL, USD, &unasked, &l), ORDER_OUTCOME_CHANGED);
    assert_false(unasked);
    apply_all(o, &l);
    assert_false(order_has_refund_due(o));
    order_destroy(o);
}

static void refund__that_was_done_unasked_is_not_asked_for_again(void **state)
{
    struct order *o = an_order_after(FLOW_PAY_FIRST, WAY(PAY_IT, RESERVE_IT));
    struct payment_id p = payment_of("P-1");
    struct reservation_id r = reservation_of("R-1");
    struct event_list l;
    bool unasked;

    (void)state;
    event_list_init(&l);
    assert_int_equal(order_apply_refunded(o, &p, TOTAL, USD, &unasked, &l), ORDER_OUTCOME_CHANGED);
    assert_true(unasked);
    apply_all(o, &l);
    event_list_init(&l);
    assert_int_equal(order_apply_stock_released(o, &r, &unasked, &l), ORDER_OUTCOME_CHANGED);
    assert_true(unasked);
    apply_all(o, &l);
    assert_int_equal(o->status, ORDER_STOCK_RESERVED);
    assert_int_equal(decide_step(o, CANCEL_IT, &l), ORDER_OUTCOME_CHANGED);
    assert_false(last(&l)->p.refund.set);
    assert_false(last(&l)->p.release.set);
    order_destroy(o);
}

/* Its approval comes after the news that it went back: there is nothing left that could pay. */
static void approval__of_a_payment_that_went_back_before_is_a_duplicate(void **state)
{
    struct order *o = an_order(FLOW_PAY_FIRST);
    struct payment_id p = payment_of("P-1");
    struct event_list l;
    bool unasked;

    (void)state;
    event_list_init(&l);
    assert_int_equal(order_apply_refunded(o, &p, TOTAL, USD, &unasked, &l), ORDER_OUTCOME_CHANGED);
    apply_all(o, &l);
    event_list_init(&l);
    assert_int_equal(order_mark_as_paid(o, &p, TOTAL, USD, &l), ORDER_OUTCOME_DUPLICATE);
    assert_int_equal(order_record_external_payment(o, &p, &l), ORDER_OUTCOME_ILLEGAL);
    assert_int_equal(o->status, ORDER_AWAITING_PAYMENT);
    order_destroy(o);
}

static void order__with_a_wrong_payment_can_still_be_paid(void **state)
{
    struct order *o = an_order(FLOW_PAY_FIRST);
    struct payment_id wrong = payment_of("P-0");
    struct event_list l;
    int64_t amount = 0;

    (void)state;
    event_list_init(&l);
    assert_int_equal(order_mark_as_paid(o, &wrong, 1, USD, &l), ORDER_OUTCOME_CHANGED);
    assert_true(str_eq(last(&l)->p.reason, STR("amount_mismatch")));
    assert_int_equal(last(&l)->p.amount, 1);
    apply_all(o, &l);
    go(o, PAY_IT);
    go(o, RESERVE_IT);
    assert_int_equal(order_refund_state(o, &amount), DUE_OPEN);
    assert_int_equal(amount, 1);
    assert_false(order_is_settled(o)); /* at rest, but a refund is due */
    go(o, CANCEL_IT);
    assert_int_equal(order_refund_state(o, &amount), DUE_OPEN);
    assert_int_equal(amount, TOTAL + 1);
    order_destroy(o);
}

static void refund_sum__leaves_other_currencies_out(void **state)
{
    struct order *o = an_order(FLOW_PAY_FIRST);
    struct payment_id p = payment_of("P-0");
    struct event_list l;
    int64_t amount = 7;

    (void)state;
    event_list_init(&l);
    assert_int_equal(order_mark_as_paid(o, &p, TOTAL, EUR, &l), ORDER_OUTCOME_CHANGED);
    apply_all(o, &l);
    assert_int_equal(order_refund_state(o, &amount), DUE_OPEN);
    assert_int_equal(amount, 0);
    assert_true(currency_eq(order_find_effect(o, EFFECT_PAYMENT, STR("P-0"))->currency, EUR));
    order_destroy(o);
}

static void strays__are_taken_up_to_a_limit_that_never_stops_the_order(void **state)
{
    struct order *o = an_order(FLOW_PAY_FIRST);
    struct event_list l;
    struct payment_id p = payment_of("P-9");
    struct reservation_id r = reservation_of("R-9");
    struct shipment_id s = shipment_of("S-9");
    bool unasked;

    (void)state;
    for (unsigned i = 0; i < ORDER_EFFECTS_MAX; i++) {
        char text[16];

        snprintf(text, sizeof(text), "stray-%u", i);
        event_list_init(&l);
        {
            struct reservation_id stray = reservation_of(text);

            assert_int_equal(order_apply_stock_reserved(o, &stray, &l), ORDER_OUTCOME_CHANGED);
        }
        apply_all(o, &l);
    }
    assert_int_equal(o->n_effects, ORDER_EFFECTS_MAX);
    event_list_init(&l);
    assert_int_equal(order_apply_stock_reserved(o, &r, &l), ORDER_OUTCOME_TOO_MANY);
    assert_int_equal(order_apply_stock_released(o, &r, &unasked, &l), ORDER_OUTCOME_TOO_MANY);
    assert_int_equal(order_mark_as_paid(o, &p, 1, USD, &l), ORDER_OUTCOME_TOO_MANY);
    assert_int_equal(order_apply_refunded(o, &p, 1, USD, &unasked, &l), ORDER_OUTCOME_TOO_MANY);
    assert_int_equal(order_apply_shipment_created(o, &s, STR("T"), &l), ORDER_OUTCOME_TOO_MANY);
    assert_int_equal(l.n, 0);
    r = reservation_of("stray-255");
    assert_int_equal(order_apply_stock_reserved(o, &r, &l), ORDER_OUTCOME_DUPLICATE);
    go(o, PAY_IT);
    go(o, RESERVE_IT);
    assert_int_equal(o->n_effects, ORDER_EFFECTS_MAX + 2);
    assert_true(order_memory(o) > ORDER_EFFECTS_MAX * sizeof(struct order_effect));
    go(o, CANCEL_IT);
    assert_int_equal(order_find_effect(o, EFFECT_PAYMENT, STR("P-1"))->due, DUE_OPEN);
    order_destroy(o);
}

/* ---- commands and the timer ------------------------------------------------------------------- */

static void pay__asks_once(void **state)
{
    struct order *o = an_order(FLOW_PAY_FIRST);
    struct event_list l;

    (void)state;
    event_list_init(&l);
    assert_int_equal(order_request_payment(o, &l), ORDER_OUTCOME_CHANGED);
    apply_all(o, &l);
    assert_int_equal(o->status, ORDER_AWAITING_PAYMENT);
    event_list_init(&l);
    assert_int_equal(order_request_payment(o, &l), ORDER_OUTCOME_HOLDS);
    assert_int_equal(l.n, 0);
    go(o, CANCEL_IT);
    assert_int_equal(order_request_payment(o, &l), ORDER_OUTCOME_ILLEGAL);
    order_destroy(o);
}

static void external_payment__has_the_order_s_amount_and_goes_back_like_any_other(void **state)
{
    struct order *o = an_order(FLOW_PAY_FIRST);
    struct payment_id p = payment_of("till-7");
    struct event_list l;

    (void)state;
    event_list_init(&l);
    assert_int_equal(order_record_external_payment(o, &p, &l), ORDER_OUTCOME_CHANGED);
    assert_int_equal(last(&l)->type, EVENT_ORDER_PAID);
    assert_int_equal(last(&l)->p.amount, TOTAL);
    apply_all(o, &l);
    assert_int_equal(order_mark_as_paid(o, &p, TOTAL, USD, &l), ORDER_OUTCOME_DUPLICATE);
    go(o, CANCEL_IT);
    assert_true(order_has_refund_due(o));
    order_destroy(o);
}

static void complete__without_an_invoice_repeats_safely(void **state)
{
    struct order *o =
        an_order_after(FLOW_PAY_FIRST, WAY(PAY_IT, RESERVE_IT, READY_IT, COMPLETE_IT));
    struct invoice_id none = invoice_of("");
    struct event_list l;

    (void)state;
    event_list_init(&l);
    assert_int_equal(order_complete(o, &none, &l), ORDER_OUTCOME_HOLDS);
    order_destroy(o);
}

static void deadline__counts_from_its_millisecond_on(void **state)
{
    struct order *o = an_order(FLOW_STOCK_FIRST);
    struct event_list l;

    (void)state;
    assert_true(order_has_open_deadline(o));
    event_list_init(&l);
    assert_int_equal(order_expire_payment(o, PLACED_AT_MS + TIMEOUT_MS - 1, &l),
                     ORDER_OUTCOME_NOT_YET_DUE);
    assert_int_equal(order_expire_payment(o, 0, &l), ORDER_OUTCOME_NOT_YET_DUE);
    assert_int_equal(order_expire_payment(o, PLACED_AT_MS + TIMEOUT_MS, &l), ORDER_OUTCOME_CHANGED);
    apply_all(o, &l);
    assert_true(str_eq(o->cancellation_reason, STR("payment_timeout")));
    assert_false(order_has_open_deadline(o));
    event_list_init(&l);
    assert_int_equal(order_expire_payment(o, PLACED_AT_MS + TIMEOUT_MS, &l), ORDER_OUTCOME_HOLDS);
    order_destroy(o);
}

static void order_without_a_deadline__never_expires(void **state)
{
    struct order *o = order_create();
    struct order_placing placing = a_placing(FLOW_PAY_FIRST);
    struct event_list l;

    (void)state;
    placing.payment_timeout_ms = 0;
    event_list_init(&l);
    order_place(&placing, PLACED_AT_MS, &l);
    apply_all(o, &l);
    assert_false(order_has_open_deadline(o));
    assert_int_equal(order_expire_payment(o, INT64_MAX, &l), ORDER_OUTCOME_HOLDS);
    order_destroy(o);
}

static void legal_commands__are_those_of_the_drawing(void **state)
{
    struct order *o = an_order(FLOW_PAY_FIRST);

    (void)state;
    assert_int_equal(order_legal_commands(o), 1u << ORDER_INPUT_PAY | 1u << ORDER_INPUT_MARK_PAID |
                                                  1u << ORDER_INPUT_CANCEL);
    go(o, PAY_IT);
    assert_int_equal(order_legal_commands(o), 1u << ORDER_INPUT_CANCEL);
    go(o, RESERVE_IT);
    assert_int_equal(order_legal_commands(o), 1u << ORDER_INPUT_CANCEL | 1u << ORDER_INPUT_READY);
    go(o, READY_IT);
    go(o, COMPLETE_IT);
    assert_int_equal(order_legal_commands(o), 0);
    order_destroy(o);
}

/* ---- the order in memory ---------------------------------------------------------------------- */

static void unsettled_since__is_when_it_last_began_to_wait_for_somebody(void **state)
{
    struct order *o = an_order(FLOW_PAY_FIRST);
    struct payment_id p = payment_of("P-1"), second = payment_of("P-2");
    struct event_list l;
    bool unasked;

    (void)state;
    assert_true(o->unsettled_since_ms == PLACED_AT_MS);
    go(o, PAY_IT);
    assert_true(o->unsettled_since_ms == PLACED_AT_MS);
    go(o, RESERVE_IT);
    assert_int_equal(o->unsettled_since_ms, 0);
    event_list_init(&l);
    assert_int_equal(order_mark_as_paid(o, &second, TOTAL, USD, &l), ORDER_OUTCOME_CHANGED);
    apply_all(o, &l);
    assert_true(o->unsettled_since_ms == PLACED_AT_MS + 3000);
    event_list_init(&l);
    assert_int_equal(order_apply_refunded(o, &second, TOTAL, USD, &unasked, &l),
                     ORDER_OUTCOME_CHANGED);
    apply_all(o, &l);
    assert_int_equal(o->unsettled_since_ms, 0);
    assert_int_equal(order_apply_refunded(o, &p, TOTAL, USD, &unasked, &l), ORDER_OUTCOME_CHANGED);
    assert_true(unasked);
    order_destroy(o);
}

static void visited__remembers_every_state(void **state)
{
    struct order *o = an_order_after(FLOW_STOCK_FIRST, WAY(RESERVE_IT, PAY_IT, CANCEL_IT));

    (void)state;
    assert_int_equal(o->visited, 1u << ORDER_PENDING | 1u << ORDER_CONFIRMED | 1u << ORDER_PAID |
                                     1u << ORDER_CANCELLED);
    order_destroy(o);
}

static void order__keeps_its_own_copy_of_everything(void **state)
{
    struct order *o = order_create();
    struct order_placing placing = a_placing(FLOW_PAY_FIRST);
    char name[] = "Widget", code[] = "line_percent", street[] = "1 Main St", reason[] = "a whim";
    struct order_line line = placing.lines[0];
    struct discount discount = { .code = { code, strlen(code) }, .amount = 100 };
    struct address address = *placing.address;
    struct event_list l;

    (void)state;
    line.name = str_of(name);
    address.street = str_of(street);
    placing.lines = &line;
    placing.n_lines = 1;
    placing.discounts = &discount;
    placing.n_discounts = 1;
    placing.address = &address;
    event_list_init(&l);
    order_place(&placing, PLACED_AT_MS, &l);
    apply_all(o, &l);
    event_list_init(&l);
    assert_int_equal(order_cancel(o, str_of(reason), &l), ORDER_OUTCOME_CHANGED);
    apply_all(o, &l);
    memset(name, 'x', sizeof(name) - 1);
    memset(code, 'x', sizeof(code) - 1);
    memset(street, 'x', sizeof(street) - 1);
    memset(reason, 'x', sizeof(reason) - 1);
    memset(&line, 0, sizeof(line));
    memset(&l, 0, sizeof(l));
    assert_true(str_eq(o->body->lines[0].name, STR("Widget")));
    assert_true(str_eq(o->body->discounts[0].code, STR("line_percent")));
    assert_true(str_eq(o->body->address.street, STR("1 Main St")));
    assert_true(str_eq(o->body->address.country, STR("US")));
    assert_true(str_eq(o->cancellation_reason, STR("a whim")));
    order_destroy(o);
}

static void clone__goes_its_own_way_and_outlives_the_original(void **state)
{
    struct order *o = an_order_after(FLOW_STOCK_FIRST, WAY(RESERVE_IT, PAY_IT, SHIP_IT)), *c;

    (void)state;
    c = order_clone(o);
    assert_ptr_equal(c->body, o->body);
    assert_ptr_equal(c->effects, c->effects_inline);
    go(c, CANCEL_SHIPMENT);
    assert_int_equal(o->status, ORDER_SHIPPED);
    assert_int_equal(c->status, ORDER_CANCELLED);
    assert_false(order_has_refund_due(o));
    assert_true(order_memory(c) > order_memory(o));
    order_destroy(o);
    assert_true(str_eq(c->tracking_number, STR("TRK-1")));
    assert_true(str_eq(c->body->lines[0].name, STR("Widget")));
    order_destroy(c);
    order_destroy(NULL);
}

static void reason_from_outside__is_cut_between_two_characters(void **state)
{
    struct order *o = an_order(FLOW_PAY_FIRST);
    char reason[4096];
    struct event_list l;

    (void)state;
    for (size_t i = 0; i < sizeof(reason); i += 2) /* ä */
        memcpy(reason + i, "\xc3\xa4", 2);
    memcpy(reason, "x", 1); /* so that the limit falls inside a character */
    memmove(reason + 1, reason + 2, sizeof(reason) - 2);
    event_list_init(&l);
    assert_int_equal(
        order_apply_payment_declined(o, NULL, (struct str){ reason, sizeof(reason) - 1 }, &l),
        ORDER_OUTCOME_CHANGED);
    apply_all(o, &l);
    assert_true(o->payment_failure_reason.n <= (size_t)ORDER_REASON_MAX * 4);
    assert_true(o->payment_failure_reason.n >= (size_t)ORDER_REASON_MAX * 4 - 3);
    assert_true(str_is_utf8(o->payment_failure_reason));
    order_destroy(o);
}

static void apply__before_the_order_is_placed_changes_the_sequence_only(void **state)
{
    struct order *o = order_create();
    struct event e = { .type = EVENT_ORDER_PAID, .sequence = 1, .occurred_at_ms = 5 };

    (void)state;
    order_apply(o, &e);
    assert_int_equal(o->status, ORDER_NONE);
    assert_null(o->body);
    assert_int_equal(o->sequence, 1);
    e.type = EVENT_ORDER_PLACED; /* of no flow */
    order_apply(o, &e);
    assert_null(o->body);
    assert_false(order_is_settled(o));
    assert_false(order_has_open_deadline(o));
    assert_int_equal(order_refund_state(o, NULL), DUE_NONE);
    order_destroy(o);
}

/* Decisions never come to this; a log that holds more is read all the same. */
static void apply__keeps_no_more_strays_than_its_limit(void **state)
{
    static const enum event_type types[] = { EVENT_ORDER_REFUND_REQUESTED,
                                             EVENT_ORDER_RELEASE_REQUESTED,
                                             EVENT_ORDER_SHIPMENT_REFUSED, EVENT_ORDER_REFUNDED,
                                             EVENT_ORDER_STOCK_RELEASED };
    struct order *o = an_order(FLOW_PAY_FIRST);

    (void)state;
    for (unsigned i = 0; i < ORDER_EFFECTS_MAX + 10; i++) {
        struct event e = { .type = types[i % ARRAY_LEN(types)], .sequence = i + 2 };
        char text[16];

        snprintf(text, sizeof(text), "x-%u", i);
        e.p.payment_id = payment_of(text);
        e.p.reservation_id = reservation_of(text);
        e.p.shipment_id = shipment_of(text);
        order_apply(o, &e);
    }
    assert_int_equal(o->n_effects, ORDER_EFFECTS_MAX);
    assert_int_equal(o->sequence, ORDER_EFFECTS_MAX + 11);
    order_destroy(o);
}

static void names__of_outcomes_and_dues(void **state)
{
    (void)state;
    assert_string_equal(order_outcome_name(ORDER_OUTCOME_IGNORED), "wrong_state");
    assert_true(str_eq(due_name(DUE_NONE), STR("none")));
    assert_true(str_eq(due_name(DUE_OPEN), STR("due")));
    assert_true(str_eq(due_name(DUE_DONE), STR("done")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pay_first__reaches_stock_reserved_by_exactly_five_events),
        cmocka_unit_test(stock_first__reaches_shipped_by_exactly_seven_events),
        cmocka_unit_test(placed__says_everything_and_when_to_pay),
        cmocka_unit_test(events__carry_amounts_and_items_of_the_order),
        cmocka_unit_test(events_of_the_store_s_steps__name_customer_payment_and_invoice),
        cmocka_unit_test(cancelled__says_what_it_was_and_why),
        cmocka_unit_test(failed_payment__names_the_payment_if_there_was_one),
        cmocka_unit_test(refund__stays_due_until_it_is_recorded),
        cmocka_unit_test(refund_of_another_amount__is_recorded_once_and_closes_nothing),
        cmocka_unit_test(refund__that_was_done_unasked_is_not_asked_for_again),
        cmocka_unit_test(approval__of_a_payment_that_went_back_before_is_a_duplicate),
        cmocka_unit_test(order__with_a_wrong_payment_can_still_be_paid),
        cmocka_unit_test(refund_sum__leaves_other_currencies_out),
        cmocka_unit_test(strays__are_taken_up_to_a_limit_that_never_stops_the_order),
        cmocka_unit_test(pay__asks_once),
        cmocka_unit_test(external_payment__has_the_order_s_amount_and_goes_back_like_any_other),
        cmocka_unit_test(complete__without_an_invoice_repeats_safely),
        cmocka_unit_test(deadline__counts_from_its_millisecond_on),
        cmocka_unit_test(order_without_a_deadline__never_expires),
        cmocka_unit_test(legal_commands__are_those_of_the_drawing),
        cmocka_unit_test(unsettled_since__is_when_it_last_began_to_wait_for_somebody),
        cmocka_unit_test(visited__remembers_every_state),
        cmocka_unit_test(order__keeps_its_own_copy_of_everything),
        cmocka_unit_test(clone__goes_its_own_way_and_outlives_the_original),
        cmocka_unit_test(reason_from_outside__is_cut_between_two_characters),
        cmocka_unit_test(apply__before_the_order_is_placed_changes_the_sequence_only),
        cmocka_unit_test(apply__keeps_no_more_strays_than_its_limit),
        cmocka_unit_test(names__of_outcomes_and_dues),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
