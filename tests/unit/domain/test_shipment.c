#include "domain_fixture.h"
#include "orderly/domain/shipment.h"

static void apply_to(struct shipment *s, struct event_list *l, enum subscription_id by)
{
    for (unsigned i = 0; i < l->n; i++) {
        l->events[i].sequence = s->sequence + 1;
        l->events[i].occurred_at_ms = PLACED_AT_MS;
        l->events[i].handled_by = by;
        shipment_apply(s, &l->events[i]);
    }
}

static struct shipment a_shipment(bool is_confirmed)
{
    struct shipment s = { 0 };
    struct shipment_id id = shipment_of("S-1");
    struct event_list l;

    event_list_init(&l);
    assert_int_equal(shipment_create(&s, FLOW_STOCK_FIRST, (struct order_id){ uuid_of(1) }, &id,
                                     STR("TRK-1"), &l),
                     SHIPMENT_CHANGED);
    apply_to(&s, &l, SUBSCRIPTION_SHIPMENTS);
    s.is_confirmed = is_confirmed;
    return s;
}

enum deed { CREATE, DISPATCH, DELIVER, CANCEL };

static enum shipment_outcome try(const struct shipment *s, enum deed deed, struct event_list *l)
{
    struct shipment_id id = shipment_of("S-1");

    event_list_init(l);
    switch (deed) {
    case CREATE:
        return shipment_create(s, FLOW_STOCK_FIRST, (struct order_id){ uuid_of(1) }, &id,
                               STR("TRK-2"), l);
    case DISPATCH:
        return shipment_dispatch(s, &id, PLACED_AT_MS + 1, l);
    case DELIVER:
        return shipment_deliver(s, &id, PLACED_AT_MS + 2, l);
    case CANCEL:
        break;
    }
    return shipment_cancel(s, &id, l);
}

/* What may be done to a shipment in each of its states. */
static void shipment__answers_every_deed_in_every_state(void **state)
{
    enum {
        CHG = SHIPMENT_CHANGED,
        HLD = SHIPMENT_HOLDS,
        NOT = SHIPMENT_NOT_CONFIRMED,
        ILL = SHIPMENT_ILLEGAL
    };
    static const struct {
        enum shipment_status status;
        bool is_confirmed;
        int outcome[4]; /* create, dispatch, deliver, cancel */
    } rows[] = {
        { SHIPMENT_STATUS_NONE, false, { CHG, NOT, NOT, ILL } },
        { SHIPMENT_STATUS_CREATED, false, { HLD, NOT, NOT, CHG } },
        { SHIPMENT_STATUS_CREATED, true, { HLD, CHG, CHG, CHG } },
        { SHIPMENT_STATUS_DISPATCHED, true, { HLD, HLD, CHG, ILL } },
        { SHIPMENT_STATUS_DELIVERED, true, { HLD, HLD, HLD, ILL } },
        { SHIPMENT_STATUS_CANCELLED, false, { HLD, ILL, ILL, HLD } },
        { SHIPMENT_STATUS_CANCELLED, true, { HLD, ILL, ILL, HLD } },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (unsigned deed = CREATE; deed <= CANCEL; deed++) {
            struct shipment s = { .status = rows[i].status, .is_confirmed = rows[i].is_confirmed };
            struct event_list l;
            enum shipment_outcome outcome = try(&s, (enum deed)deed, &l);

            if ((int)outcome != rows[i].outcome[deed])
                fail_msg("row %zu, deed %u: %d", i, deed, (int)outcome);
            assert_int_equal(l.n, outcome == SHIPMENT_CHANGED);
        }
    }
}

static void shipment__goes_its_way(void **state)
{
    struct shipment s = a_shipment(true);
    struct event_list l;

    (void)state;
    assert_int_equal(s.status, SHIPMENT_STATUS_CREATED);
    assert_true(s.is_ours);
    assert_true(str_eq(s.tracking_number, STR("TRK-1")));
    assert_true(uuid_eq(s.order_id.u, uuid_of(1)));
    assert_int_equal(try(&s, DISPATCH, &l), SHIPMENT_CHANGED);
    assert_int_equal(l.events[0].p.flow, FLOW_STOCK_FIRST);
    apply_to(&s, &l, SUBSCRIPTION_NONE); /* a command of the carrier */
    assert_true(s.dispatched_at_ms == PLACED_AT_MS + 1);
    assert_int_equal(try(&s, DELIVER, &l), SHIPMENT_CHANGED);
    apply_to(&s, &l, SUBSCRIPTION_NONE);
    assert_true(s.delivered_at_ms == PLACED_AT_MS + 2);
    assert_true(s.is_ours);
    assert_true(str_eq(shipment_status_name(s.status), STR("DELIVERED")));
    assert_int_equal(s.sequence, 3);
    shipment_deinit(&s);
}

static void shipment__keeps_the_first_creation_and_refused_news_out(void **state)
{
    struct shipment s = a_shipment(false);
    struct event e = { .type = EVENT_SHIPMENT_CREATED, .p.tracking_number = STR("TRK-9") };

    (void)state;
    shipment_apply(&s, &e);
    assert_true(str_eq(s.tracking_number, STR("TRK-1")));
    e = (struct event){ .type = EVENT_SHIPMENT_DISPATCHED, .verdict = VERDICT_NOT_CONFIRMED };
    shipment_apply(&s, &e);
    assert_int_equal(s.status, SHIPMENT_STATUS_CREATED);
    e = (struct event){ .type = EVENT_SHIPMENT_DISPATCHED, .occurred_at_ms = 77 };
    shipment_apply(&s, &e); /* from outside, without a time of its own */
    assert_int_equal(s.dispatched_at_ms, 77);
    e = (struct event){ .type = EVENT_SHIPMENT_CANCELLED };
    shipment_apply(&s, &e);
    assert_int_equal(s.status, SHIPMENT_STATUS_CANCELLED);
    e.type = EVENT_ORDER_PAID;
    shipment_apply(&s, &e);
    assert_int_equal(s.status, SHIPMENT_STATUS_CANCELLED);
    shipment_deinit(&s);
}

/* A carrier posts it again, late: nothing of what came since is taken back. */
static void shipment__stays_delivered_when_its_dispatch_is_said_again(void **state)
{
    struct shipment s = a_shipment(true);
    struct event dispatched = { .type = EVENT_SHIPMENT_DISPATCHED, .occurred_at_ms = 10 };
    struct event delivered = { .type = EVENT_SHIPMENT_DELIVERED, .occurred_at_ms = 20 };
    struct event_list l;

    (void)state;
    shipment_apply(&s, &dispatched);
    shipment_apply(&s, &delivered);
    dispatched.occurred_at_ms = delivered.occurred_at_ms = 30;
    shipment_apply(&s, &dispatched);
    assert_int_equal(s.status, SHIPMENT_STATUS_DELIVERED);
    shipment_apply(&s, &delivered);
    assert_int_equal(s.dispatched_at_ms, 10);
    assert_int_equal(s.delivered_at_ms, 20);
    assert_int_equal(try(&s, DELIVER, &l), SHIPMENT_HOLDS);
    shipment_deinit(&s);
}

static void shipment__of_another_is_not_ours(void **state)
{
    struct shipment s = { 0 };
    struct event e = { .type = EVENT_SHIPMENT_CREATED };

    (void)state;
    shipment_apply(&s, &e);
    assert_false(s.is_ours);
    assert_int_equal(s.tracking_number.n, 0);
    shipment_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shipment__answers_every_deed_in_every_state),
        cmocka_unit_test(shipment__goes_its_way),
        cmocka_unit_test(shipment__keeps_the_first_creation_and_refused_news_out),
        cmocka_unit_test(shipment__stays_delivered_when_its_dispatch_is_said_again),
        cmocka_unit_test(shipment__of_another_is_not_ours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
