/* What the events of an order say about money. */
#include "../../../../src/infra/operate/money_ledger.h"
#include "../../domain/domain_fixture.h"

#define DAY_MS INT64_C(86400000)

static struct money_ledger ledger_of_all(void)
{
    struct money_ledger l;

    money_ledger_init(&l, INT64_MIN, INT64_MAX);
    return l;
}

/* What Orders decided, as it stands in the log. */
static void feed(struct money_ledger *l, struct event_list *list, int64_t at_ms)
{
    for (unsigned i = 0; i < list->n; i++) {
        struct event *e = &list->events[i];

        e->stream.type = AGGREGATE_ORDER;
        e->sequence = l->order->sequence + 1;
        e->occurred_at_ms = at_ms;
        money_ledger_apply(l, e);
    }
    event_list_init(list);
}

static struct event of_payment(enum event_type type, const char *id, int64_t amount,
                               struct currency currency, int64_t at_ms)
{
    return (struct event){
        .type = type,
        .stream.type = AGGREGATE_PAYMENT,
        .p = { .payment_id = payment_of(id), .amount = amount, .currency = currency },
        .occurred_at_ms = at_ms
    };
}

static void said(struct money_ledger *l, enum event_type type, const char *id, int64_t amount,
                 struct currency currency)
{
    struct event e = of_payment(type, id, amount, currency, PLACED_AT_MS);

    money_ledger_apply(l, &e);
}

static void place(struct money_ledger *l)
{
    struct order_placing placing = a_placing(FLOW_PAY_FIRST);
    struct event_list list;

    event_list_init(&list);
    order_place(&placing, PLACED_AT_MS, &list);
    feed(l, &list, PLACED_AT_MS);
}

/* Orders hears of a payment. */
static void hear_payment(struct money_ledger *l, const char *id, int64_t amount)
{
    struct payment_id payment = payment_of(id);
    struct event_list list;

    event_list_init(&list);
    (void)order_mark_as_paid(l->order, &payment, amount, USD, &list);
    feed(l, &list, PLACED_AT_MS);
}

static void hear_refund(struct money_ledger *l, const char *id, int64_t amount, struct currency c)
{
    struct payment_id payment = payment_of(id);
    struct event_list list;
    bool unasked;

    event_list_init(&list);
    (void)order_apply_refunded(l->order, &payment, amount, c, &unasked, &list);
    feed(l, &list, PLACED_AT_MS);
}

static void cancel(struct money_ledger *l)
{
    struct event_list list;

    event_list_init(&list);
    assert_int_equal(order_cancel(l->order, STR("changed my mind"), &list), ORDER_OUTCOME_CHANGED);
    feed(l, &list, PLACED_AT_MS);
}

static void must_be(const struct money_ledger *l, unsigned i, const char *id, int64_t charged,
                    int64_t refunded, int64_t due)
{
    assert_true(i < l->n);
    assert_true(str_eq(text_id_str(&l->lines[i].payment_id), str_of(id)));
    assert_int_equal(l->lines[i].sums.charged, charged);
    assert_int_equal(l->lines[i].sums.refunded, refunded);
    assert_int_equal(l->lines[i].sums.due, due);
}

static void paid_order__is_charged_once(void **unused)
{
    struct money_ledger l = ledger_of_all();

    (void)unused;
    place(&l);
    said(&l, EVENT_PAYMENT_APPROVED, "P-1", TOTAL, USD);
    hear_payment(&l, "P-1", TOTAL);
    said(&l, EVENT_PAYMENT_APPROVED, "P-1", TOTAL, USD); /* said again */
    said(&l, EVENT_PAYMENT_PROCESSED, "P-1", 5, USD);    /* and otherwise */
    assert_int_equal(l.n, 1);
    must_be(&l, 0, "P-1", TOTAL, 0, 0);

    money_ledger_reset(&l);
    assert_int_equal(l.n, 0);
    place(&l);
    said(&l, EVENT_PAYMENT_DECLINED, "P-2", 0, USD);
    assert_int_equal(l.n, 0);
    money_ledger_deinit(&l);
}

static void external_payment__is_charged_by_what_orders_took_down(void **unused)
{
    struct money_ledger l = ledger_of_all();
    struct payment_id id = payment_of("till-7");
    struct event_list list;

    (void)unused;
    place(&l);
    event_list_init(&list);
    assert_int_equal(order_record_external_payment(l.order, &id, &list), ORDER_OUTCOME_CHANGED);
    feed(&l, &list, PLACED_AT_MS);
    must_be(&l, 0, "till-7", TOTAL, 0, 0);
    cancel(&l);
    must_be(&l, 0, "till-7", TOTAL, 0, TOTAL);
    money_ledger_deinit(&l);
}

static void refund__is_due_until_it_is_in_the_log(void **unused)
{
    struct money_ledger l = ledger_of_all();

    (void)unused;
    place(&l);
    said(&l, EVENT_PAYMENT_APPROVED, "P-1", TOTAL, USD);
    hear_payment(&l, "P-1", TOTAL);
    cancel(&l);
    must_be(&l, 0, "P-1", TOTAL, 0, TOTAL);
    said(&l, EVENT_PAYMENT_REFUNDED, "P-1", TOTAL, USD); /* Orders has not heard of it yet */
    must_be(&l, 0, "P-1", TOTAL, TOTAL, 0);
    hear_refund(&l, "P-1", TOTAL, USD);
    said(&l, EVENT_PAYMENT_REFUNDED, "P-1", TOTAL, USD);
    must_be(&l, 0, "P-1", TOTAL, TOTAL, 0);
    assert_int_equal(l.n, 1);
    money_ledger_deinit(&l);
}

static void second_and_late_payments__were_charged_and_are_due(void **unused)
{
    struct money_ledger l = ledger_of_all();

    (void)unused;
    place(&l);
    said(&l, EVENT_PAYMENT_APPROVED, "P-1", TOTAL, USD);
    said(&l, EVENT_PAYMENT_APPROVED, "P-2", TOTAL, USD);
    hear_payment(&l, "P-1", TOTAL);
    hear_payment(&l, "P-2", TOTAL);
    said(&l, EVENT_PAYMENT_APPROVED, "P-3", 5, USD); /* and of a wrong sum */
    hear_payment(&l, "P-3", 5);
    assert_int_equal(l.n, 3);
    must_be(&l, 0, "P-1", TOTAL, 0, 0);
    must_be(&l, 1, "P-2", TOTAL, 0, TOTAL);
    must_be(&l, 2, "P-3", 5, 0, 5);
    money_ledger_deinit(&l);
}

static void refund_of_another_sum__leaves_what_is_due(void **unused)
{
    struct money_ledger l = ledger_of_all();

    (void)unused;
    place(&l);
    said(&l, EVENT_PAYMENT_APPROVED, "P-1", TOTAL, USD);
    hear_payment(&l, "P-1", TOTAL);
    cancel(&l);
    said(&l, EVENT_PAYMENT_REFUNDED, "P-1", 100, USD);
    must_be(&l, 0, "P-1", TOTAL, 0, TOTAL);
    hear_refund(&l, "P-1", 100, USD);
    must_be(&l, 0, "P-1", TOTAL, 100, TOTAL);
    said(&l, EVENT_PAYMENT_REFUNDED, "P-1", TOTAL, USD);
    hear_refund(&l, "P-1", TOTAL, USD);
    must_be(&l, 0, "P-1", TOTAL, TOTAL + 100, 0);
    money_ledger_deinit(&l);
}

static void refund_in_another_currency__has_a_line_of_its_own(void **unused)
{
    struct money_ledger l = ledger_of_all();

    (void)unused;
    place(&l);
    said(&l, EVENT_PAYMENT_APPROVED, "P-1", TOTAL, USD);
    hear_payment(&l, "P-1", TOTAL);
    hear_refund(&l, "P-1", TOTAL, EUR);
    assert_int_equal(l.n, 2);
    must_be(&l, 0, "P-1", TOTAL, 0, 0);
    must_be(&l, 1, "P-1", 0, TOTAL, 0);
    assert_true(currency_eq(l.lines[1].currency, EUR));
    money_ledger_deinit(&l);
}

static void refund_that_nobody_asked_for__is_counted_once(void **unused)
{
    struct money_ledger l = ledger_of_all();

    (void)unused;
    place(&l);
    said(&l, EVENT_PAYMENT_REFUNDED, "P-9", 300, USD);
    hear_refund(&l, "P-9", 300, USD);
    must_be(&l, 0, "P-9", 0, 300, 0);
    said(&l, EVENT_PAYMENT_APPROVED, "P-9", 300, USD); /* the charge is told late */
    must_be(&l, 0, "P-9", 300, 300, 0);
    money_ledger_deinit(&l);
}

static void refused_message__is_only_counted(void **unused)
{
    struct money_ledger l = ledger_of_all();
    struct event e = of_payment(EVENT_PAYMENT_APPROVED, "P-1", TOTAL, USD, PLACED_AT_MS);

    (void)unused;
    e.verdict = VERDICT_UNKNOWN_ORDER;
    money_ledger_apply(&l, &e);
    e.verdict = VERDICT_PAYMENT_TAKEN;
    money_ledger_apply(&l, &e);
    assert_int_equal(l.n, 0);
    assert_int_equal(l.n_refused, 2);
    money_ledger_deinit(&l);
}

static void window__begins_with_its_first_and_ends_before_its_last_millisecond(void **unused)
{
    struct money_ledger l;

    (void)unused;
    money_ledger_init(&l, 1000, 2000);
    for (int64_t at = 998; at <= 2001; at++) {
        char id[16];
        struct event e;

        (void)snprintf(id, sizeof(id), "P-%d", (int)at);
        e = of_payment(EVENT_PAYMENT_APPROVED, id, 1, USD, at);
        money_ledger_apply(&l, &e);
    }
    for (unsigned i = 0; i < l.n; i++) {
        bool is_in = 998 + i >= 1000 && 998 + i < 2000;

        assert_int_equal(l.lines[i].is_touched, is_in);
        assert_int_equal(l.lines[i].sums.charged, is_in);
    }
    money_ledger_deinit(&l);
}

/* ---- days add up ---- */

#define DAYS 4
struct books {
    struct money_ledger days[DAYS], all;
};

static void write_down(struct books *b, struct event *e)
{
    for (unsigned i = 0; i < DAYS; i++)
        money_ledger_apply(&b->days[i], e);
    money_ledger_apply(&b->all, e);
}

static void write_decision(struct books *b, struct event_list *list, int64_t at_ms)
{
    for (unsigned i = 0; i < list->n; i++) {
        list->events[i].stream.type = AGGREGATE_ORDER;
        list->events[i].sequence = b->all.order->sequence + 1;
        list->events[i].occurred_at_ms = at_ms;
        write_down(b, &list->events[i]);
    }
    event_list_init(list);
}

static void random_step(struct books *b, uint64_t *random, int64_t at_ms)
{
    static const char *const ids[] = { "P-1", "P-2", "P-3" };
    const char *id = ids[below(random, 3)];
    struct payment_id payment = payment_of(id);
    int64_t amount = below(random, 4) ? TOTAL : 77;
    struct currency currency = below(random, 9) ? USD : EUR;
    struct event_list list;
    struct event e;
    bool unasked;

    event_list_init(&list);
    switch (below(random, 6)) {
    case 0:
        e = of_payment(EVENT_PAYMENT_APPROVED, id, amount, currency, at_ms);
        write_down(b, &e);
        break;
    case 1:
        e = of_payment(EVENT_PAYMENT_REFUNDED, id, amount, currency, at_ms);
        write_down(b, &e);
        break;
    case 2:
        (void)order_mark_as_paid(b->all.order, &payment, amount, currency, &list);
        break;
    case 3:
        (void)order_apply_refunded(b->all.order, &payment, amount, currency, &unasked, &list);
        break;
    case 4:
        (void)order_record_external_payment(b->all.order, &payment, &list);
        break;
    default:
        if (below(random, 4) == 0)
            (void)order_cancel(b->all.order, STR("no"), &list);
        break;
    }
    write_decision(b, &list, at_ms);
}

static void must_add_up(const struct books *b)
{
    for (unsigned i = 0; i < b->all.n; i++) {
        const struct money_line *whole = &b->all.lines[i];
        struct money_sums sums = { 0, 0, 0 };

        for (unsigned day = 0; day < DAYS; day++) {
            const struct money_line *part = &b->days[day].lines[i];

            assert_true(text_id_eq(&part->payment_id, &whole->payment_id));
            sums.charged += part->sums.charged;
            sums.refunded += part->sums.refunded;
            sums.due += part->sums.due;
        }
        assert_int_equal(sums.charged, whole->sums.charged);
        assert_int_equal(sums.refunded, whole->sums.refunded);
        assert_int_equal(sums.due, whole->sums.due);
        assert_int_equal(whole->due, whole->sums.due);
        assert_true(whole->sums.due >= 0);
    }
}

static void days__add_up_to_the_whole(void **unused)
{
    uint64_t random = seed_of_run();

    (void)unused;
    for (unsigned run = 0; run < 500; run++) {
        struct books b = { .all = ledger_of_all() };
        struct order_placing placing =
            a_placing(below(&random, 2) ? FLOW_PAY_FIRST : FLOW_STOCK_FIRST);
        int64_t at_ms = PLACED_AT_MS;
        struct event_list list;

        for (unsigned day = 0; day < DAYS; day++)
            money_ledger_init(&b.days[day], PLACED_AT_MS + day * DAY_MS,
                              PLACED_AT_MS + (day + 1) * DAY_MS);
        event_list_init(&list);
        order_place(&placing, at_ms, &list);
        write_decision(&b, &list, at_ms);
        for (unsigned step = 0; step < 20; step++) {
            random_step(&b, &random, at_ms);
            at_ms += below(&random, (unsigned)(DAYS * DAY_MS / 20));
        }
        must_add_up(&b);
        for (unsigned day = 0; day < DAYS; day++)
            money_ledger_deinit(&b.days[day]);
        money_ledger_deinit(&b.all);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paid_order__is_charged_once),
        cmocka_unit_test(external_payment__is_charged_by_what_orders_took_down),
        cmocka_unit_test(refund__is_due_until_it_is_in_the_log),
        cmocka_unit_test(second_and_late_payments__were_charged_and_are_due),
        cmocka_unit_test(refund_of_another_sum__leaves_what_is_due),
        cmocka_unit_test(refund_in_another_currency__has_a_line_of_its_own),
        cmocka_unit_test(refund_that_nobody_asked_for__is_counted_once),
        cmocka_unit_test(refused_message__is_only_counted),
        cmocka_unit_test(window__begins_with_its_first_and_ends_before_its_last_millisecond),
        cmocka_unit_test(days__add_up_to_the_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
