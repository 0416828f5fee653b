/* Lists over HTTP: filters, pages, cursors, links. */
#include "api_fixture.h"

static int setup(void **state)
{
    static struct api_fixture f;

    api_fixture_init(&f);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    api_fixture_deinit(*state);
    return 0;
}

static const char *new_order(struct api_fixture *f)
{
    assert_int_equal(post(f, "/orders", ORDER_JSON), 201);
    return new_id(f, "/orderId");
}

/* Follows the links of a list from its first page; returns how many rows there are in all. */
static size_t walk(struct api_fixture *f, const char *target, size_t per_page)
{
    char next[1024];
    size_t n = 0;

    snprintf(next, sizeof(next), "%s", target);
    for (;;) {
        const char *link, *end;

        assert_int_equal(get(f, next), 200);
        n += count(f, "/data");
        link = header(f, "Link");
        if (!link[0]) {
            assert_value(f, "/nextCursor", "null");
            return n;
        }
        assert_int_equal(count(f, "/data"), per_page);
        end = strchr(link, '>');
        assert_non_null(end);
        assert_string_equal(end, ">; rel=\"next\"");
        snprintf(next, sizeof(next), "%.*s", (int)(end - link - 1), link + 1);
        assert_true(strlen(value(f, "/nextCursor")) > 0);
    }
}

static void lists__are_walked_by_their_links(void **state)
{
    struct api_fixture *f = *state;

    for (int i = 0; i < 5; i++)
        (void)new_order(f);
    pass_ms(f, 1000);
    assert_int_equal(walk(f, "/orders?limit=2", 2), 5);
    assert_int_equal(walk(f, "/orders?status=SHIPPED&customerId=customer-789&limit=3", 3), 5);
    assert_int_equal(walk(f, "/api/orders?flow=stock_first&limit=1", 1), 5);
    assert_int_equal(walk(f, "/orders?unsettledFor=0&limit=2", 2), 0);
    assert_int_equal(walk(f, "/events?limit=4", 4), 36);
    assert_int_equal(walk(f, "/messages?topic=order.*&limit=3", 3), 20);
    assert_int_equal(walk(f, "/messages?topic=order.placed&limit=3", 3), 5);
    assert_int_equal(walk(f, "/products?limit=1", 1), 1);
    assert_int_equal(walk(f, "/dead-letters?limit=1", 1), 0);
}

static void orders__are_listed_whole_and_newest_first(void **state)
{
    struct api_fixture *f = *state;
    const char *first, *second;
    char whole[4096];

    first = new_order(f);
    second = new_order(f);
    snprintf(whole, sizeof(whole), "{\"data\":[%s,", f->body.p);
    get(f, "/orders");
    assert_value(f, "/data/0/orderId", second);
    assert_value(f, "/data/1/orderId", first);
    assert_int_equal(strncmp(f->body.p, whole, strlen(whole)), 0);
    get(f, "/orders?refund=due");
    assert_body(f, "{\"data\":[],\"nextCursor\":null}");
    get(f, "/orders?status=PENDING&flow=pay_first");
    assert_int_equal(count(f, "/data"), 0);
}

static void orders__unsettled_for_long_are_listed(void **state)
{
    struct api_fixture *f = *state;
    const char *id;

    ask(f, "PUT", "/simulators/inventory", "{\"enabled\":false}");
    id = new_order(f);
    pass_ms(f, 10000);
    (void)new_order(f);
    get(f, "/orders?unsettledFor=10s&limit=1");
    assert_int_equal(count(f, "/data"), 1);
    assert_value(f, "/data/0/orderId", id);
    assert_int_equal(walk(f, "/orders?unsettledFor=0ms&limit=1", 1), 2);
    get(f, "/orders?unsettledFor=11s");
    assert_int_equal(count(f, "/data"), 0);
}

/* ---- what is due, and what does not settle ---------------------------------------------------- */

static const char *order_of(struct api_fixture *f, const char *customer, const char *flow)
{
    char body[512];

    snprintf(body, sizeof(body),
             "{\"customerId\":\"%s\",\"flow\":\"%s\",\"items\":[{\"sku\":\"WIDGET-001\","
             "\"quantity\":1}],\"shippingAddress\":" ADDRESS_JSON "}",
             customer, flow);
    assert_int_equal(post(f, "/orders", body), 201);
    return new_id(f, "/orderId");
}

/* A payment that nobody waited for. */
static void pays_again(struct api_fixture *f, const char *id, const char *payment)
{
    char body[512];

    snprintf(body, sizeof(body),
             "{\"messageId\":\"m-%s\",\"payload\":{\"orderId\":\"%s\",\"paymentId\":\"%s\","
             "\"amount\":5.00,\"currency\":\"USD\"}}",
             payment, id, payment);
    assert_int_equal(post(f, "/messages/payment.approved", body), 202);
}

static void is_refunded(struct api_fixture *f, const char *id, const char *payment)
{
    char body[512];

    snprintf(body, sizeof(body),
             "{\"messageId\":\"r-%s\",\"payload\":{\"orderId\":\"%s\",\"paymentId\":\"%s\","
             "\"amount\":5.00,\"currency\":\"USD\"}}",
             payment, id, payment);
    assert_int_equal(post(f, "/messages/payment.refunded", body), 202);
    settle(f);
}

/* The list is these, in this order; NULL ends. */
static void assert_listed(struct api_fixture *f, const char *target, const char *const *ids)
{
    char at[40];
    size_t n = 0;

    assert_int_equal(get(f, target), 200);
    for (; ids[n]; n++) {
        snprintf(at, sizeof(at), "/data/%zu/orderId", n);
        assert_value(f, at, ids[n]);
    }
    assert_int_equal(count(f, "/data"), n);
    assert_value(f, "/nextCursor", "null");
}
#define IDS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define NONE ((const char *const[]){ NULL })

static void orders__whose_money_is_due_are_listed_with_any_other_filter(void **state)
{
    struct api_fixture *f = *state;
    char ids[4][UUID_TEXT_LEN + 1];
    const char *anna = ids[0], *ben = ids[1], *cart = ids[2], *paid = ids[3];

    snprintf(ids[0], sizeof(ids[0]), "%s", order_of(f, "anna", "stock_first"));
    snprintf(ids[1], sizeof(ids[1]), "%s", order_of(f, "ben", "stock_first"));
    snprintf(ids[2], sizeof(ids[2]), "%s", order_of(f, "anna", "pay_first"));
    snprintf(ids[3], sizeof(ids[3]), "%s", order_of(f, "anna", "stock_first"));
    pass_ms(f, 1000);
    assert_listed(f, "/orders?refund=due", NONE);
    pays_again(f, anna, "p-1");
    pays_again(f, ben, "p-2");
    pays_again(f, cart, "p-3");
    pays_again(f, cart, "p-4"); /* twice due is listed once */
    pass_ms(f, 1000);
    assert_listed(f, "/orders?refund=due", IDS(cart, ben, anna));
    assert_int_equal(walk(f, "/orders?refund=due&limit=1", 1), 3);
    assert_int_equal(walk(f, "/orders?refund=due&customerId=anna&limit=1", 1), 2);
    assert_listed(f, "/orders?refund=due&customerId=anna", IDS(cart, anna));
    assert_listed(f, "/orders?refund=due&customerId=ann", NONE);
    assert_listed(f, "/orders?refund=due&flow=pay_first", IDS(cart));
    assert_listed(f, "/orders?refund=due&flow=stock_first&customerId=ben", IDS(ben));
    assert_listed(f, "/orders?refund=due&status=SHIPPED", IDS(ben, anna));
    assert_listed(f, "/orders?refund=due&status=CANCELLED", NONE);
    assert_listed(f, "/orders?refund=due&unsettledFor=1s", IDS(cart, ben, anna));
    assert_listed(f, "/orders?refund=due&unsettledFor=1001ms", NONE);
    assert_listed(f,
                  "/orders?refund=due&unsettledFor=0&status=STOCK_RESERVED&customerId=anna&flow="
                  "pay_first",
                  IDS(cart));

    is_refunded(f, cart, "p-3");
    assert_listed(f, "/orders?refund=due&flow=pay_first", IDS(cart)); /* the other is due still */
    is_refunded(f, cart, "p-4");
    is_refunded(f, ben, "p-2");
    assert_listed(f, "/orders?refund=due", IDS(anna));
    assert_listed(f, "/orders?unsettledFor=0", IDS(anna));
    pays_again(f, ben, "p-5"); /* and again: it comes back */
    pass_ms(f, 100);
    assert_listed(f, "/orders?refund=due", IDS(ben, anna));
    assert_listed(f, "/orders?status=SHIPPED", IDS(paid, ben, anna));
}

static void orders__are_unsettled_since_they_left_their_rest(void **state)
{
    struct api_fixture *f = *state;
    char ids[3][UUID_TEXT_LEN + 1];
    const char *old = ids[0], *stuck = ids[1], *young = ids[2];

    snprintf(ids[0], sizeof(ids[0]), "%s", order_of(f, "anna", "stock_first"));
    pass_ms(f, 60000);
    ask(f, "PUT", "/simulators/inventory", "{\"enabled\":false}");
    snprintf(ids[1], sizeof(ids[1]), "%s", order_of(f, "ben", "stock_first"));
    pass_ms(f, 5000);
    pays_again(f, old, "p-1"); /* at rest for long, and now something is due */
    pass_ms(f, 5000);
    snprintf(ids[2], sizeof(ids[2]), "%s", order_of(f, "anna", "pay_first"));
    pass_ms(f, 5000);
    /* Unsettled for 15, 10 and 5 s: the youngest first. */
    assert_listed(f, "/orders?unsettledFor=0s", IDS(young, old, stuck));
    assert_listed(f, "/orders?unsettledFor=5s", IDS(young, old, stuck));
    assert_listed(f, "/orders?unsettledFor=5001ms", IDS(old, stuck));
    assert_listed(f, "/orders?unsettledFor=10", IDS(old, stuck));
    assert_listed(f, "/orders?unsettledFor=10001ms", IDS(stuck));
    assert_listed(f, "/orders?unsettledFor=15s", IDS(stuck));
    assert_listed(f, "/orders?unsettledFor=15001ms", NONE);
    assert_listed(f, "/orders?unsettledFor=3660d", NONE);
    assert_listed(f, "/orders?unsettledFor=0&customerId=anna", IDS(young, old));
    assert_listed(f, "/orders?unsettledFor=0&flow=stock_first", IDS(old, stuck));
    assert_listed(f, "/orders?unsettledFor=0&status=PENDING", IDS(stuck));
    assert_listed(f, "/orders?unsettledFor=0&status=PAID&customerId=anna", IDS(young));
    is_refunded(f, old, "p-1");
    assert_listed(f, "/orders?unsettledFor=0s", IDS(young, stuck));
    assert_int_equal(post(f, path_of("/orders/", stuck, "/cancel"), "{\"reason\":\"no\"}"), 200);
    assert_listed(f, "/orders?unsettledFor=0s", IDS(young));
}

/* Between two pages time goes on, orders settle and others come: none is shown twice, and none that
 * stays is left out. */
static void orders__that_do_not_settle_are_paged_while_they_change(void **state)
{
    struct api_fixture *f = *state;
    char ids[6][UUID_TEXT_LEN + 1], target[1200], cursor[1024];

    ask(f, "PUT", "/simulators/inventory", "{\"enabled\":false}");
    for (unsigned i = 0; i < 5; i++) {
        snprintf(ids[i], sizeof(ids[i]), "%s", order_of(f, "anna", "stock_first"));
        pass_ms(f, i == 2 ? 0 : 1000); /* two of them in one millisecond */
    }
    assert_int_equal(get(f, "/orders?unsettledFor=1s&limit=2"), 200);
    assert_value(f, "/data/0/orderId", ids[4]);
    assert_value(f, "/data/1/orderId", ids[3]);
    snprintf(cursor, sizeof(cursor), "%s", value(f, "/nextCursor"));
    snprintf(ids[5], sizeof(ids[5]), "%s", order_of(f, "anna", "stock_first"));
    assert_int_equal(post(f, path_of("/orders/", ids[3], "/cancel"), "{\"reason\":\"no\"}"), 200);
    assert_int_equal(post(f, path_of("/orders/", ids[1], "/cancel"), "{\"reason\":\"no\"}"), 200);
    pass_ms(f, 5000);
    snprintf(target, sizeof(target), "/orders?unsettledFor=1s&limit=2&after=%s", cursor);
    assert_listed(f, target, IDS(ids[2], ids[0]));
    assert_listed(f, "/orders?unsettledFor=1s", IDS(ids[5], ids[4], ids[2], ids[0]));
}

static void events__are_found_by_order_aggregate_and_correlation(void **state)
{
    struct api_fixture *f = *state;
    const char *id = new_order(f), *event;
    char path[256], whole[2048], expected[4096];

    pass_ms(f, 1000);
    get(f, path_of("/events?orderId=", id, ""));
    assert_int_equal(count(f, "/data"), 7);
    get(f, path_of("/events?correlationId=", id, ""));
    assert_int_equal(count(f, "/data"), 7);
    get(f, path_of("/events?aggregateId=", id, ""));
    assert_int_equal(count(f, "/data"), 4);
    get(f, path_of("/events?orderId=", id, "&eventType=OrderPaid"));
    assert_int_equal(count(f, "/data"), 1);
    assert_value(f, "/data/0/sequence", "3");
    assert_value(f, "/data/0/aggregateType", "Order");
    get(f, path_of("/events?orderId=", id, "&correlationId=WIDGET-001"));
    assert_body(f, "{\"data\":[],\"nextCursor\":null}");
    get(f, "/events?correlationId=WIDGET-001");
    assert_int_equal(count(f, "/data"), 1);
    assert_value(f, "/data/0/eventType", "ProductAdded");
    assert_value(f, "/data/0/metadata/correlationId", "WIDGET-001");

    get(f, path_of("/orders/", id, ""));
    snprintf(path, sizeof(path), "/events?aggregateId=%.80s", value(f, "/paymentId"));
    get(f, path);
    assert_int_equal(count(f, "/data"), 1);
    assert_value(f, "/data/0/eventType", "PaymentProcessed");
    assert_value(f, "/data/0/payload/amount", "39.98");
    assert_value(f, "/data/0/payload/approvedAmount", "39.98");
    event = new_id(f, "/data/0/eventId");
    snprintf(whole, sizeof(whole), "%s", f->body.p);
    assert_int_equal(get(f, path_of("/events/", event, "")), 200);
    assert_value(f, "/eventId", event);
    snprintf(expected, sizeof(expected), "{\"data\":[%s],\"nextCursor\":null}", f->body.p);
    assert_string_equal(whole, expected);
    get(f, "/events/0199a1f3-0000-7000-8000-000000000000");
    assert_problem(f, 404, "not_found");
    get(f, "/events/first");
    assert_problem(f, 404, "not_found");
}

static void events__look_like_the_example(void **state)
{
    struct api_fixture *f = *state;
    const char *id;
    char expected[4096];

    assert_int_equal(post(f, "/products",
                          "{\"sku\":\"W-1\",\"name\":\"Widget\",\"description\":\"d\",\"price\":"
                          "19.99,\"currency\":\"USD\",\"stockQuantity\":9}"),
                     201);
    assert_int_equal(post(f, "/orders",
                          "{\"customerId\":\"customer-789\",\"items\":[{\"sku\":\"W-1\","
                          "\"quantity\":2}],\"shippingAddress\":" ADDRESS_JSON "}"),
                     201);
    id = new_id(f, "/orderId");
    get(f, path_of("/events?orderId=", id, ""));
    snprintf(
        expected, sizeof(expected),
        "{\"data\":[{\"eventId\":\"%s\",\"eventType\":\"OrderPlaced\",\"aggregateId\":\"%s\","
        "\"aggregateType\":\"Order\",\"version\":1,\"sequence\":1,\"position\":3,"
        "\"occurredAt\":\"2026-11-20T12:00:00.000Z\",\"payload\":{\"orderId\":\"%s\","
        "\"flow\":\"stock_first\",\"customerId\":\"customer-789\",\"items\":[{\"productId\":\"W-1\","
        "\"sku\":\"W-1\",\"name\":\"Widget\",\"description\":\"d\",\"quantity\":2,\"price\":19.99,"
        "\"discount\":0.00}],\"subtotal\":39.98,\"discounts\":[],\"totalAmount\":39.98,"
        "\"currency\":\"USD\",\"shippingAddress\":" ADDRESS_JSON ","
        "\"paymentDeadline\":\"2026-11-20T12:30:00.000Z\","
        "\"timestamp\":\"2026-11-20T12:00:00.000Z\"},"
        "\"metadata\":{\"correlationId\":\"%s\",\"causationId\":null,\"userId\":null}}],"
        "\"nextCursor\":null}",
        new_id(f, "/data/0/eventId"), id, id, id);
    assert_body(f, expected);
    get(f, "/messages?topic=order.placed");
    snprintf(expected, sizeof(expected),
             "{\"data\":[{\"messageId\":\"%s\",\"topic\":\"order.placed\","
             "\"timestamp\":\"2026-11-20T12:00:00.000Z\",\"correlationId\":\"%s\",\"position\":3,"
             "\"payload\":{\"orderId\":\"%s\",\"flow\":\"stock_first\",",
             new_id(f, "/data/0/messageId"), id, id);
    assert_int_equal(strncmp(f->body.p, expected, strlen(expected)), 0);
}

static void causes__lead_from_each_event_to_the_first(void **state)
{
    struct api_fixture *f = *state;
    const char *id = new_order(f);
    char ids[7][64], causes[7][64], at[64];

    pass_ms(f, 1000);
    get(f, path_of("/events?orderId=", id, ""));
    for (unsigned i = 0; i < 7; i++) {
        snprintf(at, sizeof(at), "/data/%u/eventId", i);
        snprintf(ids[i], sizeof(ids[i]), "%.40s", value(f, at));
        snprintf(at, sizeof(at), "/data/%u/metadata/causationId", i);
        snprintf(causes[i], sizeof(causes[i]), "%.40s", value(f, at));
    }
    assert_string_equal(causes[0], "null");
    for (unsigned i = 1; i < 7; i++)
        assert_string_equal(causes[i], ids[i - 1]);
}

static void lists__refuse_what_is_no_filter(void **state)
{
    static const struct {
        const char *target;
        size_t faults;
    } rows[] = {
        { "/orders?status=GONE&customerId=a%20b&flow=x&refund=no&unsettledFor=soon&limit=501&"
          "after=x",
          7 },
        { "/orders?limit=0", 1 },
        { "/orders?refund=", 1 },
        { "/orders?refund=DUE", 1 },
        { "/orders?refund=none&unsettledFor=", 2 },
        { "/orders?unsettledFor=-1s", 1 },
        { "/orders?unsettledFor=15x", 1 },
        { "/orders?unsettledFor=3661d", 1 },
        { "/orders?unsettledFor=1.5m", 1 },
        { "/orders?unsettledFor=99999999999999999999s", 1 },
        { "/orders?refund=due&after=1795176000000.0199a1f3-0000-7000-8000-000000000000", 1 },
        { "/orders?unsettledFor=1s&after=-1.0199a1f3-0000-7000-8000-000000000000", 1 },
        { "/orders?unsettledFor=1s&after=.0199a1f3-0000-7000-8000-000000000000", 1 },
        { "/orders?limit=1x", 1 },
        { "/orders?after=0199a1f3-0000-7000-8000-000000000000&cursor=x", 1 },
        { "/orders?unsettledFor=1s&after=0199a1f3-0000-7000-8000-000000000000", 1 },
        { "/events?eventType=Nothing&after=-1&orderId=%2F", 3 },
        { "/messages?topic=order", 1 },
        { "/products?after=a%20b", 1 },
        { "/dead-letters?after=1", 1 },
    };
    struct api_fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        get(f, rows[i].target);
        assert_problem(f, 400, "validation");
        assert_int_equal(count(f, "/errors"), rows[i].faults);
    }
}

static void lists__know_when_the_log_was_restored(void **state)
{
    struct api_fixture *f = *state;

    assert_int_equal(get(f, "/messages?after=1"), 200);
    get(f, "/messages?after=2");
    assert_problem(f, 410, "log_restored");
    get(f, "/events?after=2");
    assert_problem(f, 410, "log_restored");
}

/* The store commits an order while the list waits to be read; the loop hears of it later. */
static void list_ahead_of_the_loop(struct api_fixture *f, const char *target)
{
    struct app_fixture *app = &f->app;
    char request[120];

    app->is_store_held = true;
    ask_start(f, "POST", "/orders", "", ORDER_JSON);
    assert_int_equal(f->status, 0);
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
    loopback_send(&f->client, str_of(request));
    loopback_turn(&f->client);
    assert_true(store_virtual_run(&app->store, 1000) > 0);
    assert_true(store_virtual_run_reads(&app->store, 1000) > 0);
    app->is_store_held = false;
    settle(f);
    take_answer(f, true);
    assert_int_equal(f->status, 201);
    f->status = 0;
    take_answer(f, true);
    assert_int_equal(f->status, 200);
    pass_ms(f, 1000);
}

static void lists__end_where_a_reader_may_go_on(void **state)
{
    static const char *const names[] = { "/events", "/messages" };
    struct api_fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char target[80];

        snprintf(target, sizeof(target), "%s?after=%llu", names[i],
                 (unsigned long long)app_event_log(f->app.app)->durable_position);
        list_ahead_of_the_loop(f, target);
        assert_int_equal(count(f, "/data"), 0);
        assert_value(f, "/nextCursor", "null");
    }
}

static void lists__show_no_order_that_can_not_be_asked_for_yet(void **state)
{
    struct api_fixture *f = *state;

    list_ahead_of_the_loop(f, "/orders");
    assert_int_equal(count(f, "/data"), 0);
    assert_int_equal(get(f, "/orders"), 200);
    assert_int_equal(count(f, "/data"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(lists__are_walked_by_their_links),
        T(orders__are_listed_whole_and_newest_first),
        T(orders__unsettled_for_long_are_listed),
        T(orders__whose_money_is_due_are_listed_with_any_other_filter),
        T(orders__are_unsettled_since_they_left_their_rest),
        T(orders__that_do_not_settle_are_paged_while_they_change),
        T(events__are_found_by_order_aggregate_and_correlation),
        T(events__look_like_the_example),
        T(causes__lead_from_each_event_to_the_first),
        T(lists__refuse_what_is_no_filter),
        T(lists__know_when_the_log_was_restored),
        T(lists__end_where_a_reader_may_go_on),
        T(lists__show_no_order_that_can_not_be_asked_for_yet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
