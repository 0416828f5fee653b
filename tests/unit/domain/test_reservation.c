#include "domain_fixture.h"
#include "orderly/base/arena.h"
#include "orderly/domain/reservation.h"

static const struct order_id ORDER = { { { 1 } } };

static struct arena arena;

static struct stock_line line_of(const char *sku, int64_t quantity)
{
    return (struct stock_line){ .sku = sku_of(sku), .quantity = quantity };
}

static bool decide(enum flow_id flow, const struct stock_line *lines, unsigned n,
                   const struct stock_offer *offers, struct event_list *l)
{
    struct reservation_id id = reservation_of("R-1");

    event_list_init(l);
    return reservation_decide(flow_of(flow), ORDER, &id, lines, n, offers, &arena, l);
}

static struct reservation a_reservation(enum event_type type, enum subscription_id by)
{
    struct reservation r = { 0 };
    struct stock_line line = line_of("WIDGET-001", 3);
    struct event e = { .type = type,
                       .handled_by = by,
                       .sequence = 1,
                       .p = { .stock_lines = &line, .n_stock_lines = 1 } };

    reservation_apply(&r, &e);
    return r;
}

static void lines_of_one_sku__are_added_up_in_order(void **state)
{
    struct order_line lines[4] = { { .sku = sku_of("B"), .quantity = 2 },
                                   { .sku = sku_of("A"), .quantity = 1 },
                                   { .sku = sku_of("B"), .quantity = 5 },
                                   { .sku = sku_of("A"), .quantity = INT64_MAX } };
    struct stock_line out[4];

    (void)state;
    assert_int_equal(reservation_add_up(lines, 0, out), 0);
    assert_int_equal(reservation_add_up(lines, 4, out), 2);
    assert_true(str_eq(sku_str(&out[0].sku), STR("B")));
    assert_int_equal(out[0].quantity, 7);
    assert_true(out[1].quantity == INT64_MAX);
}

static void reservation__is_all_or_nothing(void **state)
{
    struct stock_line lines[2] = { line_of("WIDGET-001", 2), line_of("GADGET-002", 1) };
    struct stock_offer enough[2] = { { true, 2 }, { true, 1 } },
                       one_short[2] = { { true, 9 }, { true, 0 } };
    struct event_list l;

    (void)state;
    assert_true(decide(FLOW_PAY_FIRST, lines, 2, enough, &l));
    assert_int_equal(l.n, 1);
    assert_int_equal(l.events[0].type, EVENT_STOCK_RESERVED);
    assert_int_equal(l.events[0].p.n_stock_lines, 2);
    assert_true(str_eq(text_id_str(&l.events[0].p.reservation_id.t), STR("R-1")));
    assert_false(decide(FLOW_PAY_FIRST, lines, 2, one_short, &l));
    assert_int_equal(l.n, 1);
    assert_int_equal(l.events[0].type, EVENT_STOCK_REJECTED);
    assert_int_equal(l.events[0].p.reservation_id.t.n, 0);
    assert_int_equal(l.events[0].p.n_stock_lines, 2);
    assert_true(decide(FLOW_STOCK_FIRST, lines, 2, enough, &l));
    assert_int_equal(l.events[0].type, EVENT_INVENTORY_RESERVED);
    assert_false(decide(FLOW_STOCK_FIRST, lines, 2, one_short, &l));
    assert_int_equal(l.events[0].type, EVENT_INVENTORY_RESERVATION_FAILED);
}

static void rejection__says_what_is_missing(void **state)
{
    struct stock_line line = line_of("WIDGET-001", 200), unknown = line_of("X-1", 1);
    struct stock_offer short_of = { true, 100 }, none = { 0 }, below_zero = { true, -5 };
    struct event_list l;

    (void)state;
    assert_false(decide(FLOW_PAY_FIRST, &line, 1, &short_of, &l));
    assert_true(str_eq(l.events[0].p.reason,
                       STR("Insufficient stock for WIDGET-001: requested 200, available 100")));
    assert_false(decide(FLOW_PAY_FIRST, &unknown, 1, &none, &l));
    assert_true(str_eq(l.events[0].p.reason, STR("Product X-1 not found")));
    assert_false(decide(FLOW_PAY_FIRST, &line, 1, &below_zero, &l));
    assert_true(str_eq(l.events[0].p.reason,
                       STR("Insufficient stock for WIDGET-001: requested 200, available 0")));
}

static void reservation__ends_once_by_release_or_by_taking(void **state)
{
    struct reservation r = a_reservation(EVENT_STOCK_RESERVED, SUBSCRIPTION_INVENTORY);
    struct reservation_id id = reservation_of("R-1");
    struct event_list l;

    (void)state;
    event_list_init(&l);
    assert_true(reservation_take(&r, flow_of(FLOW_STOCK_FIRST), ORDER, &id, &l));
    assert_int_equal(l.events[0].type, EVENT_STOCK_TAKEN);
    assert_int_equal(l.events[0].p.stock_lines[0].quantity, 3);
    l.events[0].handled_by = SUBSCRIPTION_INVENTORY;
    reservation_apply(&r, &l.events[0]);
    assert_int_equal(r.status, RESERVATION_STATUS_TAKEN);
    event_list_init(&l);
    assert_false(reservation_take(&r, flow_of(FLOW_STOCK_FIRST), ORDER, &id, &l));
    assert_false(reservation_release(&r, flow_of(FLOW_STOCK_FIRST), ORDER, &id, &l));
    reservation_deinit(&r);

    r = a_reservation(EVENT_INVENTORY_RESERVED, SUBSCRIPTION_INVENTORY);
    assert_true(reservation_release(&r, flow_of(FLOW_STOCK_FIRST), ORDER, &id, &l));
    assert_int_equal(l.events[0].type, EVENT_INVENTORY_RELEASED);
    l.events[0].handled_by = SUBSCRIPTION_INVENTORY;
    reservation_apply(&r, &l.events[0]);
    event_list_init(&l);
    assert_false(reservation_release(&r, flow_of(FLOW_STOCK_FIRST), ORDER, &id, &l));
    reservation_deinit(&r);
}

static void reservation__of_another_is_never_undone_by_us(void **state)
{
    struct reservation r = a_reservation(EVENT_STOCK_RESERVED, SUBSCRIPTION_NONE);
    struct reservation_id id = reservation_of("R-1");
    struct event_list l;

    (void)state;
    event_list_init(&l);
    assert_false(reservation_release(&r, flow_of(FLOW_PAY_FIRST), ORDER, &id, &l));
    assert_false(reservation_take(&r, flow_of(FLOW_PAY_FIRST), ORDER, &id, &l));
    reservation_deinit(&r);
}

static void reservation__of_ours_is_not_moved_by_others(void **state)
{
    struct reservation r = a_reservation(EVENT_STOCK_RESERVED, SUBSCRIPTION_INVENTORY);
    struct event e = { .type = EVENT_STOCK_RELEASED, .sequence = 2 };

    (void)state;
    reservation_apply(&r, &e);
    assert_int_equal(r.status, RESERVATION_STATUS_RESERVED);
    assert_int_equal(r.sequence, 2);
    reservation_deinit(&r);
}

static void reservation__applies_what_it_hears_of_others(void **state)
{
    struct reservation r = a_reservation(EVENT_STOCK_REJECTED, SUBSCRIPTION_NONE);
    struct event e = { .type = EVENT_STOCK_RESERVED, .verdict = VERDICT_RESERVATION_TAKEN };

    (void)state;
    assert_int_equal(r.status, RESERVATION_STATUS_REJECTED);
    reservation_apply(&r, &e);
    assert_int_equal(r.status, RESERVATION_STATUS_REJECTED);
    e.verdict = VERDICT_FINE;
    reservation_apply(&r, &e);
    assert_int_equal(r.status, RESERVATION_STATUS_RESERVED);
    assert_int_equal(r.n_lines, 0);
    e.type = EVENT_INVENTORY_RESERVATION_FAILED;
    reservation_apply(&r, &e);
    e.type = EVENT_INVENTORY_RESERVED;
    reservation_apply(&r, &e);
    assert_int_equal(r.status, RESERVATION_STATUS_RESERVED);
    e.type = EVENT_STOCK_RELEASED;
    reservation_apply(&r, &e);
    assert_int_equal(r.status, RESERVATION_STATUS_RELEASED);
    e.type = EVENT_ORDER_PAID;
    reservation_apply(&r, &e);
    assert_int_equal(r.status, RESERVATION_STATUS_RELEASED);
    reservation_deinit(&r);
}

static int make_arena(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0);
    return 0;
}

static int drop_arena(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_one_sku__are_added_up_in_order),
        cmocka_unit_test(reservation__is_all_or_nothing),
        cmocka_unit_test(rejection__says_what_is_missing),
        cmocka_unit_test(reservation__ends_once_by_release_or_by_taking),
        cmocka_unit_test(reservation__of_another_is_never_undone_by_us),
        cmocka_unit_test(reservation__of_ours_is_not_moved_by_others),
        cmocka_unit_test(reservation__applies_what_it_hears_of_others),
    };

    return cmocka_run_group_tests(tests, make_arena, drop_arena);
}
