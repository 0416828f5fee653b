#include "domain_fixture.h"
#include "orderly/domain/payment.h"

static struct event news(enum event_type type, enum subscription_id by)
{
    return (
        struct event){ .type = type,
                       .handled_by = by,
                       .sequence = 1,
                       .p = { .amount = TOTAL, .currency = USD, .payment_id = payment_of("P-1") } };
}

static struct payment after(enum event_type type, enum subscription_id by)
{
    struct payment p = { 0 };
    struct event e = news(type, by);

    payment_apply(&p, &e);
    return p;
}

static bool charge(const struct payment *p, enum flow_id flow, struct event_list *l)
{
    struct payment_id id = payment_of("P-1");

    event_list_init(l);
    return payment_charge(p, flow_of(flow), (struct order_id){ uuid_of(1) }, &id, TOTAL, USD, l);
}

static bool refund(const struct payment *p, struct event_list *l)
{
    struct payment_id id = payment_of("P-1");

    event_list_init(l);
    return payment_refund(p, flow_of(FLOW_PAY_FIRST), (struct order_id){ uuid_of(1) }, &id, l);
}

static void payment__answers_in_the_flow_s_words(void **state)
{
    struct payment none = { 0 };
    struct payment_id id = payment_of("P-1");
    struct event_list l;

    (void)state;
    assert_true(charge(&none, FLOW_PAY_FIRST, &l));
    assert_int_equal(l.events[0].type, EVENT_PAYMENT_APPROVED);
    assert_int_equal(l.events[0].p.amount, TOTAL);
    assert_int_equal(l.events[0].p.flow, FLOW_PAY_FIRST);
    assert_true(charge(&none, FLOW_STOCK_FIRST, &l));
    assert_int_equal(l.events[0].type, EVENT_PAYMENT_PROCESSED);
    event_list_init(&l);
    assert_true(payment_decline(&none, flow_of(FLOW_STOCK_FIRST), (struct order_id){ uuid_of(1) },
                                &id, STR("Card declined"), &l));
    assert_int_equal(l.events[0].type, EVENT_PAYMENT_FAILED);
    assert_true(str_eq(l.events[0].p.reason, STR("Card declined")));
}

static void payment__is_charged_once(void **state)
{
    static const struct {
        enum event_type known;
        bool can_charge;
    } rows[] = {
        { EVENT_PAYMENT_PENDING, true },    { EVENT_PAYMENT_APPROVED, false },
        { EVENT_PAYMENT_PROCESSED, false }, { EVENT_PAYMENT_DECLINED, false },
        { EVENT_PAYMENT_FAILED, false },    { EVENT_PAYMENT_REFUNDED, false },
    };
    struct payment_id id = payment_of("P-1");
    struct event_list l;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct payment p = after(rows[i].known, SUBSCRIPTION_PAYMENTS);

        assert_int_equal(charge(&p, FLOW_PAY_FIRST, &l), rows[i].can_charge);
        event_list_init(&l);
        assert_int_equal(payment_decline(&p, flow_of(FLOW_PAY_FIRST),
                                         (struct order_id){ uuid_of(1) }, &id, STR("no"), &l),
                         rows[i].can_charge);
        event_list_init(&l);
        assert_false(payment_wait(&p, flow_of(FLOW_PAY_FIRST), (struct order_id){ uuid_of(1) }, &id,
                                  TOTAL, USD, &l));
    }
}

static void payment__that_waits_is_charged_later(void **state)
{
    struct payment p = { 0 };
    struct payment_id id = payment_of("P-1");
    struct event_list l;

    (void)state;
    event_list_init(&l);
    assert_true(payment_wait(&p, flow_of(FLOW_PAY_FIRST), (struct order_id){ uuid_of(1) }, &id,
                             TOTAL, USD, &l));
    assert_int_equal(l.events[0].type, EVENT_PAYMENT_PENDING);
    l.events[0].handled_by = SUBSCRIPTION_PAYMENTS;
    payment_apply(&p, &l.events[0]);
    assert_int_equal(p.status, PAYMENT_STATUS_PENDING);
    assert_true(charge(&p, FLOW_PAY_FIRST, &l));
    l.events[0].handled_by = SUBSCRIPTION_PAYMENTS;
    payment_apply(&p, &l.events[0]);
    assert_int_equal(p.status, PAYMENT_STATUS_APPROVED);
    assert_true(p.is_ours);
}

static void refund__is_made_once_and_only_of_what_we_took(void **state)
{
    struct payment ours = after(EVENT_PAYMENT_APPROVED, SUBSCRIPTION_PAYMENTS);
    struct payment theirs = after(EVENT_PAYMENT_APPROVED, SUBSCRIPTION_NONE);
    struct payment none = { 0 };
    struct event_list l;

    (void)state;
    assert_false(refund(&none, &l));
    assert_false(refund(&theirs, &l));
    assert_true(refund(&ours, &l));
    assert_int_equal(l.events[0].p.amount, TOTAL);
    assert_true(currency_eq(l.events[0].p.currency, USD));
    payment_apply(&ours, &l.events[0]);
    assert_int_equal(ours.status, PAYMENT_STATUS_REFUNDED);
    assert_false(refund(&ours, &l));
    assert_false(charge(&ours, FLOW_PAY_FIRST, &l));
}

/* Another approved what we were waiting to charge: it is theirs to give back. */
static void payment__approved_by_another_is_not_ours(void **state)
{
    struct payment p = after(EVENT_PAYMENT_PENDING, SUBSCRIPTION_PAYMENTS);
    struct event e = news(EVENT_PAYMENT_APPROVED, SUBSCRIPTION_NONE);
    struct event_list l;

    (void)state;
    payment_apply(&p, &e);
    assert_false(p.is_ours);
    assert_false(refund(&p, &l));
}

static void payment__does_not_change_by_a_message_that_was_refused(void **state)
{
    struct payment p = { 0 };
    struct event e = news(EVENT_PAYMENT_APPROVED, SUBSCRIPTION_NONE);

    (void)state;
    e.verdict = VERDICT_PAYMENT_TAKEN;
    e.sequence = 4;
    payment_apply(&p, &e);
    assert_int_equal(p.status, PAYMENT_STATUS_NONE);
    assert_int_equal(p.sequence, 4);
}

static void payment__that_went_back_stays_there(void **state)
{
    struct payment p = after(EVENT_PAYMENT_REFUNDED, SUBSCRIPTION_NONE);
    struct event late = news(EVENT_PAYMENT_APPROVED, SUBSCRIPTION_NONE);

    (void)state;
    payment_apply(&p, &late);
    assert_int_equal(p.status, PAYMENT_STATUS_REFUNDED);
    late.type = EVENT_PAYMENT_DECLINED;
    payment_apply(&p, &late);
    late.type = EVENT_PAYMENT_PENDING;
    payment_apply(&p, &late);
    late.type = EVENT_ORDER_PAID;
    payment_apply(&p, &late);
    assert_int_equal(p.status, PAYMENT_STATUS_REFUNDED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(payment__answers_in_the_flow_s_words),
        cmocka_unit_test(payment__is_charged_once),
        cmocka_unit_test(payment__that_waits_is_charged_later),
        cmocka_unit_test(refund__is_made_once_and_only_of_what_we_took),
        cmocka_unit_test(payment__approved_by_another_is_not_ours),
        cmocka_unit_test(payment__does_not_change_by_a_message_that_was_refused),
        cmocka_unit_test(payment__that_went_back_stays_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
