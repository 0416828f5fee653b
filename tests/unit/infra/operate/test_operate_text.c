/* What the operator's commands make of events and of orders: lines for people, and differences. */
#include "../../../../src/infra/operate/event_line.h"
#include "../../../../src/infra/operate/json_changes.h"
#include "../../domain/domain_fixture.h"
#include "orderly/infra/api/render_json.h"

/* ---- differences ---- */

static void must_differ(const char *before, const char *after, const char *expected)
{
    struct json_changes changes = { str_of(before), str_of(after) };
    struct json_change change;
    struct buf out = { 0 };

    while (json_changes_next(&changes, &change))
        buf_printf(&out, STR_FMT "=" STR_FMT ">" STR_FMT ";", STR_ARG(change.name),
                   STR_ARG(change.before), STR_ARG(change.after));
    buf_add(&out, "", 1);
    assert_string_equal(out.p, expected);
    buf_deinit(&out);
}

static void changes__are_the_members_that_differ(void **unused)
{
    (void)unused;
    must_differ("{}", "{}", "");
    must_differ("{\"a\":1,\"b\":2}", "{\"a\":1,\"b\":2}", "");
    must_differ("{\"a\":1,\"b\":null,\"c\":3}", "{\"a\":2,\"b\":\"x\",\"c\":3}",
                "a=1>2;b=null>\"x\";");
    must_differ("{\"a\":{\"x\":[1,{\"y\":\"}\"}]},\"b\":0.00}",
                "{\"a\":{\"x\":[1,{\"y\":\"]\"}]},\"b\":0.10}",
                "a={\"x\":[1,{\"y\":\"}\"}]}>{\"x\":[1,{\"y\":\"]\"}]};b=0.00>0.10;");
    must_differ("{\"a\":\"say \\\"hi, {you\\\\\"}", "{\"a\":\"\\\\\"}",
                "a=\"say \\\"hi, {you\\\\\">\"\\\\\";");
}

static void changes__of_what_was_not_there_are_all_members(void **unused)
{
    (void)unused;
    must_differ("", "{\"a\":1,\"b\":[]}", "a=>1;b=>[];");
}

static void changes__of_an_order_name_what_an_event_did(void **unused)
{
    struct order *o = an_order(FLOW_PAY_FIRST);
    struct buf before = { 0 };
    struct buf after = { 0 };
    struct json_change change;
    struct json_changes changes;

    (void)unused;
    render_json_order(&before, o);
    go(o, PAY_IT);
    render_json_order(&after, o);
    changes = (struct json_changes){ buf_str(&before), buf_str(&after) };
    assert_true(json_changes_next(&changes, &change));
    assert_true(str_eq(change.name, STR("status")));
    assert_true(str_eq(change.after, STR("\"PAID\"")));
    assert_true(json_changes_next(&changes, &change));
    assert_true(str_eq(change.name, STR("paymentId")));
    assert_true(json_changes_next(&changes, &change));
    assert_true(str_eq(change.name, STR("updatedAt")));
    assert_true(json_changes_next(&changes, &change));
    assert_true(str_eq(change.name, STR("sequence")));
    assert_false(json_changes_next(&changes, &change));
    buf_deinit(&before);
    buf_deinit(&after);
    order_destroy(o);
}

/* ---- lines ---- */

static void must_read(const struct event *e, const char *expected)
{
    struct buf out = { 0 };

    event_words_add(&out, e);
    buf_add(&out, "", 1);
    assert_string_equal(out.p, expected);
    buf_deinit(&out);
}

static void words__say_what_matters_of_an_event(void **unused)
{
    const struct stock_line stock[] = {
        { sku_of("A-1"), 2 }, { sku_of("A-2"), 1 }, { sku_of("A-3"), 7 }, { sku_of("A-4"), 7 }
    };
    struct event e = { .type = EVENT_ORDER_CANCELLED };

    (void)unused;
    e.p.reason = STR("changed my mind");
    e.p.previous_status = ORDER_PAID;
    e.p.refund.set = e.p.release.set = true;
    e.p.refund.amount = 5997;
    e.p.refund.currency = USD;
    e.p.release.reservation_id = reservation_of("R-1");
    must_read(&e, "changed my mind, was PAID, gives back 59.97 USD, releases R-1");

    e = (struct event){ .type = EVENT_STOCK_RESERVED };
    e.p.reservation_id = reservation_of("R-1");
    e.p.stock_lines = stock;
    e.p.n_stock_lines = 4;
    must_read(&e, "R-1, 2 x A-1, 1 x A-2, 7 x A-3 and 1 more");

    e = (struct event){ .type = EVENT_PAYMENT_APPROVED, .verdict = VERDICT_UNKNOWN_ORDER };
    e.p.payment_id = payment_of("P-1");
    e.p.amount = 500;
    e.p.currency = (struct currency){ "JPY" };
    must_read(&e, "P-1, 500 JPY, refused: unknown_order");

    e = (struct event){ .type = EVENT_ORDER_PAYMENT_REQUESTED };
    must_read(&e, "");
}

static void line__has_time_position_type_and_whose_and_one_end(void **unused)
{
    struct event e = { .type = EVENT_STOCK_ADJUSTED,
                       .stream = { AGGREGATE_PRODUCT, text_id_of("WIDGET-001") },
                       .position = 42,
                       .occurred_at_ms = PLACED_AT_MS };
    struct buf out = { 0 };

    (void)unused;
    e.p.sku = sku_of("WIDGET-001");
    e.p.stock_delta = -3;
    event_line_add(&out, &e);
    buf_add(&out, "", 1);
    assert_string_equal(out.p, "2026-11-20T12:00:00.000Z         42  StockAdjusted               "
                               "WIDGET-001  stock -3\n");
    out.n = 0;
    e.type = EVENT_PRODUCT_CHANGED;
    e.p.name = STR("two\nlines\033[2J");
    event_line_add(&out, &e);
    assert_non_null(memmem(out.p, out.n, "two?lines?[2J", 13));
    assert_ptr_equal(memchr(out.p, '\n', out.n), out.p + out.n - 1);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes__are_the_members_that_differ),
        cmocka_unit_test(changes__of_what_was_not_there_are_all_members),
        cmocka_unit_test(changes__of_an_order_name_what_an_event_did),
        cmocka_unit_test(words__say_what_matters_of_an_event),
        cmocka_unit_test(line__has_time_position_type_and_whose_and_one_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
