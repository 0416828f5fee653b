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

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(lists__are_walked_by_their_links),
        T(orders__are_listed_whole_and_newest_first),
        T(orders__unsettled_for_long_are_listed),
        T(events__are_found_by_order_aggregate_and_correlation),
        T(events__look_like_the_example),
        T(causes__lead_from_each_event_to_the_first),
        T(lists__refuse_what_is_no_filter),
        T(lists__know_when_the_log_was_restored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
