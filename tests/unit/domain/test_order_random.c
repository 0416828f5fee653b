/* Random walks: whatever comes, in whatever order, some things always hold. */
#include "domain_fixture.h"

#define WALKS 2000
#define STEPS_MAX 60
#define IDS 6 /* few, so that duplicates are common */

struct walk {
    uint64_t random;
    struct order *o;
    struct event *log; /* STEPS_MAX + 1 events, their texts static */
    unsigned n_log;
};

static struct text_id some_id(struct walk *w, const char *kind)
{
    char text[16];

    snprintf(text, sizeof(text), "%s-%u", kind, below(&w->random, IDS));
    return text_id_of(text);
}

static enum order_outcome random_step(struct walk *w, struct event_list *out)
{
    const struct order *o = w->o;
    struct payment_id p = { some_id(w, "P") };
    struct reservation_id r = { some_id(w, "R") };
    struct shipment_id s = { some_id(w, "S") };
    struct invoice_id i = { some_id(w, "I") };
    int64_t amount = below(&w->random, 4) ? TOTAL : 1;
    struct currency currency = below(&w->random, 8) ? USD : EUR;
    bool unasked;

    switch (below(&w->random, 15)) {
    case 0:
    case 1:
        return order_mark_as_paid(o, &p, amount, currency, out);
    case 2:
        return below(&w->random, 8) ? ORDER_OUTCOME_HOLDS
                                    : order_apply_payment_declined(o, &p, STR("declined"), out);
    case 3:
    case 4:
        return order_apply_stock_reserved(o, &r, out);
    case 5:
        return below(&w->random, 8) ? ORDER_OUTCOME_HOLDS
                                    : order_apply_stock_rejected(o, STR("no stock"), out);
    case 6:
        return order_apply_shipment_created(o, &s, STR("TRK"), out);
    case 7:
        return order_apply_shipment_delivered(o, &s, 1, out);
    case 8:
        return order_apply_shipment_cancelled(o, &s, out);
    case 9:
        return order_apply_refunded(o, &p, amount, currency, &unasked, out);
    case 10:
        return order_apply_stock_released(o, &r, &unasked, out);
    case 11:
        return below(&w->random, 2) ? order_request_payment(o, out)
                                    : order_record_external_payment(o, &p, out);
    case 12:
        return below(&w->random, 6) ? order_make_ready(o, out)
                                    : order_cancel(o, STR("a whim"), out);
    case 13:
        return order_complete(o, &i, out);
    default:
        return order_expire_payment(o, PLACED_AT_MS + (below(&w->random, 8) ? 0 : TIMEOUT_MS), out);
    }
}

static unsigned count_effects(const struct order *o, enum effect_kind kind, bool own_only)
{
    unsigned n = 0;

    for (unsigned i = 0; i < o->n_effects; i++)
        n += o->effects[i].kind == kind && (o->effects[i].is_own || !own_only);
    return n;
}

static bool same_id(const struct text_id *a, const struct text_id *b)
{
    return str_eq(text_id_str(a), text_id_str(b));
}

/* How often the log asks this back: by an event of its own or at the order's end. */
static unsigned count_asked(const struct walk *w, enum effect_kind kind, const struct text_id *id)
{
    unsigned n = 0;

    for (unsigned i = 0; i < w->n_log; i++) {
        const struct payload *p = &w->log[i].p;

        if (kind == EFFECT_PAYMENT)
            n +=
                (w->log[i].type == EVENT_ORDER_REFUND_REQUESTED && same_id(&p->payment_id.t, id)) ||
                (p->refund.set && same_id(&p->refund.payment_id.t, id));
        else
            n += (w->log[i].type == EVENT_ORDER_RELEASE_REQUESTED &&
                  same_id(&p->reservation_id.t, id)) ||
                 (p->release.set && same_id(&p->release.reservation_id.t, id));
    }
    return n;
}

static void check_effects(const struct walk *w)
{
    const struct order *o = w->o;

    assert_true(count_effects(o, EFFECT_PAYMENT, true) <= 1);
    assert_true(count_effects(o, EFFECT_RESERVATION, true) <= 1);
    assert_true(count_effects(o, EFFECT_SHIPMENT, true) <= 1);
    for (unsigned i = 0; i < o->n_effects; i++) {
        const struct order_effect *e = &o->effects[i];

        for (unsigned k = 0; k < i; k++)
            assert_false(o->effects[k].kind == e->kind && same_id(&o->effects[k].id, &e->id));
        if (e->kind == EFFECT_SHIPMENT)
            continue;
        assert_true(count_asked(w, e->kind, &e->id) <= 1);
        /* What does not belong to the order goes back, and so does all of a cancelled one. */
        if (!e->is_own || o->status == ORDER_CANCELLED || o->status == ORDER_REJECTED)
            assert_int_not_equal(e->due, DUE_NONE);
        if (e->due == DUE_OPEN)
            assert_int_equal(count_asked(w, e->kind, &e->id), 1);
    }
}

static void check_status(const struct order *before, const struct order *o)
{
    bool is_paid = o->payment_id.t.n > 0;
    bool is_reserved = o->reservation_id.t.n > 0;

    if (order_is_final(before))
        assert_int_equal(o->status, before->status);
    assert_int_equal(o->visited & before->visited, before->visited);
    assert_true(o->visited & (1u << o->status));
    assert_int_equal(is_paid, (o->visited & (1u << ORDER_PAID)) != 0);
    assert_int_equal(is_reserved,
                     (o->visited & (1u << ORDER_CONFIRMED | 1u << ORDER_STOCK_RESERVED)) != 0);
    assert_int_equal(is_paid, count_effects(o, EFFECT_PAYMENT, true));
    assert_int_equal(is_reserved, count_effects(o, EFFECT_RESERVATION, true));
    assert_int_equal(o->unsettled_since_ms == 0, order_is_settled(o));
}

static void assert_same_order(const struct order *a, const struct order *b)
{
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->visited, b->visited);
    assert_int_equal(a->sequence, b->sequence);
    assert_true(a->updated_at_ms == b->updated_at_ms);
    assert_true(a->unsettled_since_ms == b->unsettled_since_ms);
    assert_int_equal(a->payment_requested, b->payment_requested);
    assert_true(same_id(&a->payment_id.t, &b->payment_id.t));
    assert_true(same_id(&a->reservation_id.t, &b->reservation_id.t));
    assert_true(same_id(&a->shipment_id.t, &b->shipment_id.t));
    assert_true(same_id(&a->invoice_id.t, &b->invoice_id.t));
    assert_true(str_eq(a->tracking_number, b->tracking_number));
    assert_true(str_eq(a->cancellation_reason, b->cancellation_reason));
    assert_true(str_eq(a->rejection_reason, b->rejection_reason));
    assert_true(str_eq(a->payment_failure_reason, b->payment_failure_reason));
    assert_true(a->delivered_at_ms == b->delivered_at_ms);
    assert_int_equal(a->n_effects, b->n_effects);
    for (unsigned i = 0; i < a->n_effects; i++) {
        assert_int_equal(a->effects[i].kind, b->effects[i].kind);
        assert_int_equal(a->effects[i].is_own, b->effects[i].is_own);
        assert_int_equal(a->effects[i].is_unasked, b->effects[i].is_unasked);
        assert_int_equal(a->effects[i].due, b->effects[i].due);
        assert_true(same_id(&a->effects[i].id, &b->effects[i].id));
        assert_true(a->effects[i].amount == b->effects[i].amount);
        assert_true(currency_eq(a->effects[i].currency, b->effects[i].currency));
    }
    assert_int_equal(a->body->total, b->body->total);
    assert_int_equal(a->body->n_lines, b->body->n_lines);
}

static void replay_and_compare(const struct walk *w)
{
    struct order *replayed = order_create();

    for (unsigned i = 0; i < w->n_log; i++)
        order_apply(replayed, &w->log[i]);
    assert_same_order(w->o, replayed);
    order_destroy(replayed);
}

/* As the server does it: decide on the order, apply to a clone, which becomes the order. */
static void walk_one(uint64_t *seed)
{
    struct walk w = { .random = next_random(seed) | 1 };
    struct event_list list;

    w.log = calloc(STEPS_MAX + 1, sizeof(*w.log));
    assert_non_null(w.log);
    w.o = an_order(below(&w.random, 2) ? FLOW_PAY_FIRST : FLOW_STOCK_FIRST);
    event_list_init(&list);
    {
        struct order_placing placing = a_placing(w.o->body->flow);

        order_place(&placing, PLACED_AT_MS, &list);
    }
    w.log[w.n_log] = list.events[0];
    w.log[w.n_log].sequence = 1;
    w.log[w.n_log].position = 101;
    w.log[w.n_log++].occurred_at_ms = PLACED_AT_MS;

    for (unsigned step = 0; step < STEPS_MAX; step++) {
        struct order *before = w.o;
        enum order_outcome outcome;

        event_list_init(&list);
        outcome = random_step(&w, &list);
        assert_int_equal(list.n, outcome == ORDER_OUTCOME_CHANGED);
        if (list.n == 0)
            continue;
        w.o = order_clone(before);
        apply_all(w.o, &list);
        w.log[w.n_log++] = list.events[0];
        assert_int_equal(w.o->sequence, before->sequence + 1);
        check_status(before, w.o);
        check_effects(&w);
        order_destroy(before);
        /* Views of the body stay good: all versions share it. */
    }
    replay_and_compare(&w);
    order_destroy(w.o);
    free(w.log);
}

static void order__keeps_its_promises_on_random_walks(void **state)
{
    uint64_t seed = seed_of_run();

    (void)state;
    for (unsigned i = 0; i < WALKS; i++)
        walk_one(&seed);
}

/* Any sequence of events, possible or not: applying refuses nothing and stops nothing. */
static void apply__takes_any_sequence_of_events(void **state)
{
    uint64_t random = seed_of_run();

    (void)state;
    for (unsigned run = 0; run < 200; run++) {
        struct order *o = order_create();

        for (unsigned i = 0; i < 600; i++) {
            struct event e = { 0 };
            struct order_placing placing = a_placing(FLOW_PAY_FIRST);
            char text[16];

            snprintf(text, sizeof(text), "x-%u", below(&random, 400));
            e.type = (enum event_type)below(&random, EVENT_TYPE_COUNT);
            if (i % 97 == 5)
                e.type = EVENT_ORDER_PLACED;
            e.sequence = next_random(&random);
            e.occurred_at_ms = (int64_t)below(&random, 3);
            e.p.flow = (enum flow_id)below(&random, FLOW_COUNT);
            e.p.lines = placing.lines;
            e.p.n_lines = below(&random, 3);
            e.p.amount = (int64_t)next_random(&random);
            e.p.total = (int64_t)next_random(&random);
            if (below(&random, 2))
                e.p.currency = below(&random, 2) ? USD : EUR;
            if (below(&random, 8)) {
                e.p.payment_id.t = text_id_of(text);
                e.p.reservation_id.t = text_id_of(text);
                e.p.shipment_id.t = text_id_of(text);
            }
            e.p.refund.set = below(&random, 2);
            e.p.refund.payment_id.t = text_id_of(text);
            e.p.refund.amount = (int64_t)next_random(&random);
            e.p.release.set = below(&random, 2);
            e.p.release.reservation_id.t = text_id_of(text);
            e.p.reason = STR("why not");
            order_apply(o, &e);
            assert_true(o->n_effects <= ORDER_EFFECTS_MAX + 3);
            order_refund_state(o, &(int64_t){ 0 });
            order_release_state(o);
            order_is_settled(o);
            order_has_open_deadline(o);
        }
        order_destroy(order_clone(o));
        order_destroy(o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order__keeps_its_promises_on_random_walks),
        cmocka_unit_test(apply__takes_any_sequence_of_events),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
