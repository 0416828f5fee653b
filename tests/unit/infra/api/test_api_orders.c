/* Carts and orders over HTTP, from the request's bytes to the answer's. */
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

/* ---- direct orders --------------------------------------------------------------------------- */

static void place_order__answers_with_the_order_its_place_and_its_tag(void **state)
{
    struct api_fixture *f = *state;
    char expected[2048];
    const char *id;

    assert_int_equal(
        post(f, "/products",
             "{\"sku\":\"mug-1\",\"name\":\"Mug \\\"XL\\\"\",\"description\":\"\\u00e9\","
             "\"price\":19.99,\"currency\":\"USD\",\"stockQuantity\":5}"),
        201);
    assert_int_equal(post(f, "/orders",
                          "{\"customerId\":\"customer-789\",\"items\":[{\"productId\":\" mug-1\","
                          "\"quantity\":2,\"unitPrice\":19.990}],\"shippingAddress\":" ADDRESS_JSON
                          "}"),
                     201);
    assert_header(f, "Content-Type", "application/json");
    assert_header(f, "ETag", "\"1\"");
    id = new_id(f, "/orderId");
    assert_header(f, "Location", path_of("/orders/", id, ""));
    snprintf(expected, sizeof(expected),
             "{\"orderId\":\"%s\",\"flow\":\"stock_first\",\"status\":\"PENDING\","
             "\"customerId\":\"customer-789\",\"cartId\":null,"
             "\"items\":[{\"productId\":\"MUG-1\",\"sku\":\"MUG-1\",\"name\":\"Mug \\\"XL\\\"\","
             "\"description\":\"\xc3\xa9\",\"quantity\":2,\"unitPrice\":19.99,\"discount\":0.00,"
             "\"lineTotal\":39.98}],"
             "\"subtotal\":39.98,\"discounts\":[],\"totalAmount\":39.98,\"currency\":\"USD\","
             "\"shippingAddress\":" ADDRESS_JSON ",\"paymentId\":null,\"reservationId\":null,"
             "\"shipmentId\":null,\"trackingNumber\":null,\"invoiceId\":null,"
             "\"cancellationReason\":null,\"rejectionReason\":null,\"paymentFailureReason\":null,"
             "\"refund\":{\"status\":\"none\",\"amount\":0.00},\"refunds\":[],"
             "\"release\":{\"status\":\"none\"},\"paymentDeadline\":\"2026-11-20T12:30:00.000Z\","
             "\"createdAt\":\"2026-11-20T12:00:00.000Z\","
             "\"updatedAt\":\"2026-11-20T12:00:00.000Z\",\"sequence\":1}",
             id);
    assert_body(f, expected);
    assert_int_equal(get(f, path_of("/orders/", id, "")), 200);
    assert_body(f, expected);
    assert_header(f, "ETag", "\"1\"");
}

static void place_order__finds_all_faults_at_once(void **state)
{
    struct api_fixture *f = *state;

    post(
        f, "/orders",
        "{\"customerId\":\"\",\"items\":[{\"sku\":\"WIDGET-001\",\"quantity\":0},{\"quantity\":1,"
        "\"unitPrice\":\"5\",\"price\":5}],\"shippingAddress\":{\"street\":\"\",\"zipCode\":\"1\"},"
        "\"flow\":\"both\"}");
    assert_problem(f, 400, "validation");
    assert_value(f, "/detail", "9 fields need your attention");
    assert_value(f, "/errors/0/pointer", "/customerId");
    assert_value(f, "/errors/1/pointer", "/items/0/quantity");
    assert_value(f, "/errors/1/detail", "must be an integer from 1 to 10000");
    assert_value(f, "/errors/2/pointer", "/items/1/unitPrice");
    assert_value(f, "/errors/2/detail", "must be a number");
    assert_value(f, "/errors/3/pointer", "/items/1/price");
    assert_value(f, "/errors/3/detail", "is not a known field");
    assert_value(f, "/errors/4/pointer", "/items/1/sku");
    assert_value(f, "/errors/4/detail", "is required");
    assert_value(f, "/errors/5/pointer", "/shippingAddress/street");
    assert_value(f, "/errors/6/pointer", "/shippingAddress/city");
    assert_value(f, "/errors/7/pointer", "/shippingAddress/country");
    assert_value(f, "/errors/8/pointer", "/flow");
    assert_value(f, "/errors/8/detail", "must be one of pay_first, stock_first");
}

static void place_order__checks_prices_against_the_catalogue(void **state)
{
    struct api_fixture *f = *state;
#define ORDER_OF(item)                                                                             \
    "{\"customerId\":\"c\",\"items\":[" item "],\"shippingAddress\":" ADDRESS_JSON "}"

    post(f, "/orders", ORDER_OF("{\"sku\":\"WIDGET-001\",\"quantity\":1,\"unitPrice\":20}"));
    assert_problem(f, 409, "price_changed");
    post(f, "/orders", ORDER_OF("{\"sku\":\"WIDGET-001\",\"quantity\":1,\"unitPrice\":19.991}"));
    assert_problem(f, 400, "validation");
    assert_value(f, "/errors/0/pointer", "/items/0/unitPrice");
    post(f, "/orders", ORDER_OF("{\"sku\":\"NOBODY-1\",\"quantity\":1}"));
    assert_problem(f, 400, "unknown_product");
    /* With a price it is taken, and Inventory says no by event. */
    post(f, "/orders", ORDER_OF("{\"sku\":\"NOBODY-1\",\"quantity\":1,\"unitPrice\":5}"));
    assert_int_equal(f->status, 201);
    pass_ms(f, 1000);
    get(f, path_of("/orders/", new_id(f, "/orderId"), ""));
    assert_value(f, "/status", "REJECTED");
    assert_value(f, "/rejectionReason", "Product NOBODY-1 not found");
}

static void orders__run_through_both_flows(void **state)
{
    struct api_fixture *f = *state;
    const char *id = new_order(f), *shipment;

    pass_ms(f, 1000);
    get(f, path_of("/orders/", id, ""));
    assert_value(f, "/status", "SHIPPED");
    shipment = value(f, "/shipmentId");
    assert_int_equal(strncmp(shipment, "shipment-", 9), 0);
    {
        char shipment_id[1024];

        snprintf(shipment_id, sizeof(shipment_id), "%s", shipment);
        assert_int_equal(get(f, path_of("/shipments/", shipment_id, "")), 200);
        assert_value(f, "/shipmentId", shipment_id);
        assert_value(f, "/orderId", id);
        assert_value(f, "/status", "CREATED");
        assert_value(f, "/confirmed", "true");
        assert_value(f, "/dispatchedAt", "null");
        assert_int_equal(post(f, path_of("/shipments/", shipment_id, "/dispatch"), NULL), 200);
        assert_value(f, "/status", "DISPATCHED");
        assert_int_equal(post(f, path_of("/shipments/", shipment_id, "/deliver"), "{}"), 200);
        assert_value(f, "/status", "DELIVERED");
        assert_int_equal(post(f, path_of("/shipments/", shipment_id, "/deliver"), "{}"), 200);
    }
    pass_ms(f, 1000);
    get(f, path_of("/orders/", id, ""));
    assert_value(f, "/status", "DELIVERED");
    post(f, path_of("/orders/", id, "/cancel"), "{\"reason\":\"too late\"}");
    assert_problem(f, 409, "illegal_state");
    assert_value(f, "/currentStatus", "DELIVERED");
    assert_int_equal(count(f, "/legal"), 0);
    assert_non_null(strstr(f->body.p, "\"legal\":[]"));
}

static void commands__show_the_order_and_what_is_legal(void **state)
{
    struct api_fixture *f = *state;
    const char *id = new_order(f);

    post(f, path_of("/orders/", id, "/pay"), NULL);
    assert_problem(f, 409, "illegal_state");
    assert_value(f, "/status", "409");
    assert_value(f, "/currentStatus", "PENDING");
    assert_value(f, "/legal/0", "cancel");
    assert_int_equal(
        post(f, path_of("/orders/", id, "/cancel"), "{\"reason\":\"changed my mind\"}"), 200);
    assert_value(f, "/status", "CANCELLED");
    assert_value(f, "/cancellationReason", "changed my mind");
    assert_int_equal(post(f, path_of("/orders/", id, "/cancel"), "{\"reason\":\"again\"}"), 200);
    assert_value(f, "/cancellationReason", "changed my mind");
    post(f, path_of("/orders/", id, "/cancel"), "{}");
    assert_problem(f, 400, "validation");
    assert_value(f, "/errors/0/pointer", "/reason");
    post(f, path_of("/orders/", id, "/mark-paid"), "{\"paymentId\":\"no blanks\"}");
    assert_problem(f, 400, "validation");
    post(f, "/orders/0199a1f3-0000-7000-8000-000000000000/ready", NULL);
    assert_problem(f, 404, "not_found");
    post(f, "/orders/none-of-ours/ready", NULL);
    assert_problem(f, 404, "not_found");
}

static void commands__take_if_match(void **state)
{
    struct api_fixture *f = *state;
    const char *id = new_order(f), *path = path_of("/orders/", id, "/cancel");

    ask_with(f, "POST", path, "If-Match: \"2\"\r\n", "{\"reason\":\"x\"}");
    assert_problem(f, 412, "precondition_failed");
    ask_with(f, "POST", path, "If-Match: nonsense\r\n", "{\"reason\":\"x\"}");
    assert_problem(f, 400, "validation");
    ask_with(f, "POST", path, "If-Match: \"7\", \"1\"\r\n", "{\"reason\":\"x\"}");
    assert_int_equal(f->status, 200);
    assert_header(f, "ETag", "\"2\"");
}

static void get__answers_304_to_who_has_it(void **state)
{
    struct api_fixture *f = *state;
    const char *id = new_order(f), *path = path_of("/orders/", id, "");

    assert_int_equal(ask_with(f, "GET", path, "If-None-Match: \"1\"\r\n", NULL), 304);
    assert_header(f, "ETag", "\"1\"");
    assert_int_equal(f->body.n, 0);
    assert_int_equal(ask_with(f, "GET", path, "If-None-Match: \"0\", W/\"1\"\r\n", NULL), 304);
    assert_int_equal(ask_with(f, "GET", path, "If-None-Match: \"2\"\r\n", NULL), 200);
}

/* ---- carts ----------------------------------------------------------------------------------- */

static void carts__grow_and_are_checked_out_once(void **state)
{
    struct api_fixture *f = *state;
    char expected[512], checkout[512];
    const char *id, *order;

    assert_int_equal(post(f, "/carts", "{\"customerId\":\"customer-123\"}"), 201);
    id = new_id(f, "/cartId");
    assert_header(f, "Location", path_of("/carts/", id, ""));
    post(f, path_of("/carts/", id, "/convert"), NULL);
    assert_problem(f, 400, "empty_cart");
    assert_int_equal(
        post(f, path_of("/carts/", id, "/items"), "{\"productId\":\"WIDGET-001\",\"quantity\":1}"),
        200);
    assert_int_equal(
        post(f, path_of("/carts/", id, "/items"), "{\"productId\":\"widget-001\",\"quantity\":1}"),
        200);
    snprintf(expected, sizeof(expected),
             "{\"cartId\":\"%s\",\"customerId\":\"customer-123\",\"items\":[{\"productId\":"
             "\"WIDGET-001\",\"quantity\":2}],\"itemCount\":1,\"isConverted\":false,"
             "\"orderId\":null}",
             id);
    assert_body(f, expected);
    assert_int_equal(get(f, path_of("/carts/", id, "")), 200);
    assert_body(f, expected);
    assert_int_equal(ask(f, "PUT", path_of("/carts/", id, "/items/WIDGET-001"), "{\"quantity\":3}"),
                     200);
    assert_value(f, "/items/0/quantity", "3");
    post(f, path_of("/carts/", id, "/items"), "{\"productId\":\"WIDGET-001\",\"quantity\":11}");
    assert_problem(f, 400, "validation");
    assert_value(f, "/errors/0/detail", "must be an integer from 1 to 10");
    ask(f, "DELETE", path_of("/carts/", id, "/items/NOT-THERE"), NULL);
    assert_problem(f, 404, "not_found");

    snprintf(checkout, sizeof(checkout), "{\"cartId\":\"%s\",\"shippingAddress\":%s}", id,
             ADDRESS_JSON);
    assert_int_equal(post(f, "/orders/checkout", checkout), 201);
    order = new_id(f, "/orderId");
    assert_value(f, "/status", "AWAITING_PAYMENT");
    assert_value(f, "/flow", "pay_first");
    assert_value(f, "/cartId", id);
    assert_header(f, "Location", path_of("/orders/", order, ""));
    pass_ms(f, 100);
    assert_int_equal(post(f, "/orders/checkout", checkout), 200);
    assert_value(f, "/orderId", order);
    assert_value(f, "/status", "STOCK_RESERVED");
    post(f, path_of("/carts/", id, "/items"), "{\"productId\":\"WIDGET-001\",\"quantity\":1}");
    assert_problem(f, 409, "cart_converted");
    assert_int_equal(post(f, path_of("/orders/", order, "/ready"), NULL), 200);
    assert_value(f, "/status", "READY");
    assert_int_equal(post(f, path_of("/orders/", order, "/complete"), "{\"invoiceId\":\"inv-1\"}"),
                     200);
    assert_value(f, "/invoiceId", "inv-1");
    assert_value(f, "/status", "COMPLETED");
}

static void carts__that_are_none_of_ours_are_not_found(void **state)
{
    struct api_fixture *f = *state;

    get(f, "/carts/mine");
    assert_problem(f, 404, "not_found");
    get(f, "/carts/0199a1f3-0000-7000-8000-000000000000");
    assert_problem(f, 404, "not_found");
    post(f, "/carts/mine/items", "{\"productId\":\"A\",\"quantity\":1}");
    assert_problem(f, 404, "not_found");
    post(f, "/orders/checkout", "{\"cartId\":\"mine\",\"shippingAddress\":" ADDRESS_JSON "}");
    assert_problem(f, 404, "not_found");
    post(f, "/carts", "{\"customerId\":\"a b\"}");
    assert_problem(f, 400, "validation");
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void wait__answers_when_the_state_is_reached(void **state)
{
    struct api_fixture *f = *state;
    const char *id = new_order(f);

    ask_start(f, "GET", path_of("/orders/", id, "?until=SHIPPED,REJECTED&wait=10s"), "", NULL);
    assert_int_equal(f->status, 0);
    assert_int_equal(app_waiters(f->app.app), 1);
    pass_ms(f, 1000);
    assert_int_equal(f->status, 200);
    assert_value(f, "/status", "SHIPPED");
    assert_int_equal(app_waiters(f->app.app), 0);
    /* It has been PAID before, so there is nothing to wait for. */
    assert_int_equal(get(f, path_of("/orders/", id, "?until=PAID&wait=60")), 200);
}

static void wait__answers_as_it_is_when_the_time_is_over(void **state)
{
    struct api_fixture *f = *state;
    const char *id = new_order(f);

    ask_start(f, "GET", path_of("/orders/", id, "?until=DELIVERED&wait=2s"),
              "If-None-Match: \"4\"\r\n", NULL);
    pass_ms(f, 1999);
    assert_int_equal(f->status, 0);
    pass_ms(f, 1);
    assert_int_equal(f->status, 304); /* SHIPPED since long, at sequence 4 */
    assert_int_equal(get(f, path_of("/orders/", id, "?until=DELIVERED&wait=0")), 200);
}

static void wait__alone_answers_when_anything_changes(void **state)
{
    struct api_fixture *f = *state;
    const char *id = new_order(f);

    ask_start(f, "GET", path_of("/orders/", id, "?wait=10s"), "", NULL);
    assert_int_equal(f->status, 0);
    pass_ms(f, 60);
    assert_int_equal(f->status, 200);
    assert_value(f, "/status", "CONFIRMED");
    /* Who has an older one hears of the newer one at once. */
    assert_int_equal(
        ask_with(f, "GET", path_of("/orders/", id, "?wait=10s"), "If-None-Match: \"1\"\r\n", NULL),
        200);
    ask_start(f, "GET", path_of("/orders/", id, "?wait=50ms"), "If-None-Match: \"2\"\r\n", NULL);
    assert_int_equal(f->status, 0);
    pass_ms(f, 50);
    assert_int_equal(f->status, 304);
}

static void wait__does_not_hold_head_back(void **state)
{
    struct api_fixture *f = *state;
    const char *id = new_order(f);

    assert_int_equal(ask(f, "HEAD", path_of("/orders/", id, "?until=DELIVERED&wait=60s"), NULL),
                     200);
    assert_int_equal(f->body.n, 0);
}

static void wait__refuses_states_and_times_that_are_none(void **state)
{
    struct api_fixture *f = *state;
    const char *id = new_order(f);

    get(f, path_of("/orders/", id, "?until=GONE&wait=61s"));
    assert_problem(f, 400, "validation");
    assert_value(f, "/detail", "2 fields need your attention");
    get(f, path_of("/orders/", id, "?until=&wait=1s"));
    assert_problem(f, 400, "validation");
    get(f, path_of("/orders/", id, "?untill=SHIPPED"));
    assert_problem(f, 400, "validation");
    get(f, "/orders/0199a1f3-0000-7000-8000-000000000000?until=SHIPPED&wait=60s");
    assert_problem(f, 404, "not_found");
}

static void wait__ends_when_the_client_goes(void **state)
{
    struct api_fixture *f = *state;
    const char *id = new_order(f);

    ask_start(f, "GET", path_of("/orders/", id, "?until=DELIVERED&wait=60s"), "", NULL);
    assert_int_equal(app_waiters(f->app.app), 1);
    loopback_shutdown(&f->client);
    settle(f);
    take_answer(f, true);
    assert_int_equal(f->status, 200); /* it may still read */
    assert_int_equal(app_waiters(f->app.app), 0);

    loopback_deinit(&f->client);
    f->seen = 0;
    loopback_connect(&f->client, &f->server);
    ask_start(f, "GET", path_of("/orders/", id, "?until=DELIVERED&wait=60s"), "", NULL);
    assert_int_equal(app_waiters(f->app.app), 1);
    loopback_reset(&f->client);
    settle(f);
    assert_int_equal(app_waiters(f->app.app), 0);
    assert_int_equal(f->server.counters.requests_in_flight, 0);
}

/* ---- Idempotency-Key ------------------------------------------------------------------------- */

static void keys__give_the_same_answer_byte_for_byte(void **state)
{
    struct api_fixture *f = *state;
    char first[4096], location[1024];
    const char *key = "Idempotency-Key: \"order-1\"\r\n";

    assert_int_equal(ask_with(f, "POST", "/orders", key, ORDER_JSON), 201);
    assert_header(f, "Idempotent-Replayed", "");
    snprintf(first, sizeof(first), "%s", f->body.p);
    snprintf(location, sizeof(location), "%s", header(f, "Location"));
    pass_ms(f, 1000);
    assert_int_equal(ask_with(f, "POST", "/api/orders", "Idempotency-Key: order-1\r\n", ORDER_JSON),
                     201);
    assert_body(f, first);
    assert_header(f, "Location", location);
    assert_header(f, "ETag", "\"1\"");
    assert_header(f, "Idempotent-Replayed", "true");
    assert_int_equal(f->app.counts[EVENT_ORDER_PLACED].n, 1);

    ask_with(f, "POST", "/orders", key,
             "{\"customerId\":\"c\",\"items\":[{\"sku\":\"WIDGET-001\",\"quantity\":1}],"
             "\"shippingAddress\":" ADDRESS_JSON "}");
    assert_problem(f, 422, "idempotency_mismatch");
    ask_with(f, "POST", "/carts", key, "{\"customerId\":\"c\"}");
    assert_problem(f, 422, "idempotency_mismatch");
}

static void keys__keep_the_404_and_the_409_of_a_use_case_and_no_400(void **state)
{
    struct api_fixture *f = *state;
    const char *id = new_order(f);

    ask_with(f, "POST", path_of("/orders/", id, "/pay"), "Idempotency-Key: p\r\n", NULL);
    assert_int_equal(f->status, 409);
    pass_ms(f, 60); /* now it would be legal */
    ask_with(f, "POST", path_of("/orders/", id, "/pay"), "Idempotency-Key: p\r\n", NULL);
    assert_problem(f, 409, "illegal_state");
    assert_header(f, "Idempotent-Replayed", "true");
    assert_int_equal(
        ask_with(f, "POST", path_of("/orders/", id, "/pay"), "Idempotency-Key: q\r\n", NULL), 202);

    ask_with(f, "POST", "/carts", "Idempotency-Key: c\r\n", "{\"customerId\":\"\"}");
    assert_int_equal(f->status, 400);
    ask_with(f, "POST", "/carts", "Idempotency-Key: c\r\n", "{\"customerId\":\"c\"}");
    assert_int_equal(f->status, 201);
}

static void keys__of_a_request_in_flight_are_told_to_wait(void **state)
{
    struct api_fixture *f = *state;
    const char *key = "Idempotency-Key: slow\r\n";

    f->app.is_store_held = true;
    ask_start(f, "POST", "/orders", key, ORDER_JSON);
    assert_int_equal(f->status, 0);
    {
        struct loopback second;
        struct buf b = { NULL, 0, 0 };

        loopback_connect(&second, &f->server);
        buf_printf(&b,
                   "POST /orders HTTP/1.1\r\nHost: a\r\n%sContent-Type: application/json\r\n"
                   "Content-Length: %zu\r\n\r\n%s",
                   key, strlen(ORDER_JSON), ORDER_JSON);
        loopback_send(&second, buf_str(&b));
        buf_deinit(&b);
        settle(f);
        loopback_turn(&second);
        buf_add(&second.received, "", 1);
        assert_non_null(strstr(second.received.p, " 409 "));
        assert_non_null(strstr(second.received.p, "idempotency_in_flight"));
        assert_non_null(strstr(second.received.p, "Retry-After: "));
        loopback_deinit(&second);
    }
    f->app.is_store_held = false;
    settle(f);
    take_answer(f, true);
    assert_int_equal(f->status, 201);
}

static void keys__that_are_not_valid_are_refused(void **state)
{
    struct api_fixture *f = *state;

    ask_with(f, "POST", "/orders", "Idempotency-Key: a b\r\nX-User-Id: \r\n", ORDER_JSON);
    assert_problem(f, 400, "validation");
    assert_value(f, "/detail", "1 field needs your attention");
    ask_with(f, "POST", "/orders", "Idempotency-Key: a\r\nIdempotency-Key: b\r\n", ORDER_JSON);
    assert_problem(f, 400, "validation");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(place_order__answers_with_the_order_its_place_and_its_tag),
        T(place_order__finds_all_faults_at_once),
        T(place_order__checks_prices_against_the_catalogue),
        T(orders__run_through_both_flows),
        T(commands__show_the_order_and_what_is_legal),
        T(commands__take_if_match),
        T(get__answers_304_to_who_has_it),
        T(carts__grow_and_are_checked_out_once),
        T(carts__that_are_none_of_ours_are_not_found),
        T(wait__answers_when_the_state_is_reached),
        T(wait__answers_as_it_is_when_the_time_is_over),
        T(wait__alone_answers_when_anything_changes),
        T(wait__does_not_hold_head_back),
        T(wait__refuses_states_and_times_that_are_none),
        T(wait__ends_when_the_client_goes),
        T(keys__give_the_same_answer_byte_for_byte),
        T(keys__keep_the_404_and_the_409_of_a_use_case_and_no_400),
        T(keys__of_a_request_in_flight_are_told_to_wait),
        T(keys__that_are_not_valid_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
