/* GET /orders/{id}/explain, to the byte but for ids. */
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

/* The answer with each id as #1, #2 … in the order in which they first appear. */
static const char *plain(struct api_fixture *f)
{
    static char out[16384];
    static struct uuid seen[64];
    unsigned n_seen = 0;
    size_t n = 0;

    for (const char *at = f->body.p; *at && n < sizeof(out) - 64;) {
        struct uuid u;
        unsigned k = 0;

        if (strlen(at) < UUID_TEXT_LEN || !uuid_parse((struct str){ at, UUID_TEXT_LEN }, &u)) {
            out[n++] = *at++;
            continue;
        }
        while (k < n_seen && !uuid_eq(seen[k], u))
            k++;
        assert_true(k < ARRAY_LEN(seen));
        if (k == n_seen)
            seen[n_seen++] = u;
        n += (size_t)snprintf(out + n, sizeof(out) - n, "#%u", k + 1);
        at += UUID_TEXT_LEN;
    }
    out[n] = 0;
    return out;
}

static const char *new_order(struct api_fixture *f)
{
    assert_int_equal(post(f, "/orders", ORDER_JSON), 201);
    return new_id(f, "/orderId");
}

static void explain__of_a_shipped_order_tells_its_whole_story(void **state)
{
    struct api_fixture *f = *state;
    const char *id = new_order(f);

    pass_ms(f, 1000);
    assert_int_equal(get(f, path_of("/orders/", id, "/explain")), 200);
    assert_header(f, "Content-Type", "application/json");
    assert_string_equal(
        plain(f),
        "{\"summary\":\"Waits for the carrier since 12:00:00 UTC: the next step is dispatch of "
        "shipment-#1.\",\"orderId\":\"#2\",\"flow\":\"stock_first\",\"status\":\"SHIPPED\","
        "\"sequence\":4,\"settled\":true,\"parked\":false,\"at\":\"2026-11-20T12:00:01.000Z\","
        "\"position\":8,"
        "\"waitsFor\":[{\"sentence\":\"Waits for the carrier since 12:00:00 UTC: the next step is "
        "dispatch of shipment-#1.\",\"what\":\"step\",\"from\":\"carrier\",\"outside\":false,"
        "\"why\":\"person\",\"since\":\"2026-11-20T12:00:00.250Z\",\"subject\":\"shipment-#1\","
        "\"asked\":null,\"answers\":[\"shipment.delivered\"],\"deadLetterId\":null}],"
        "\"nextTimer\":null,\"paymentDeadline\":null,\"deliveries\":[],\"deadLetters\":[],"
        "\"refund\":{\"status\":\"none\",\"amount\":0.00},\"refunds\":[],"
        "\"release\":{\"status\":\"none\"},"
        "\"commands\":["
        "{\"command\":\"pay\",\"legal\":true,\"holds\":true,\"why\":\"Its effect holds already: it "
        "succeeds and changes nothing.\",\"path\":\"/orders/#2/pay\"},"
        "{\"command\":\"mark-paid\",\"legal\":false,\"holds\":false,\"why\":\"Legal in CONFIRMED; "
        "the order is SHIPPED, past that.\",\"path\":\"/orders/#2/mark-paid\"},"
        "{\"command\":\"cancel\",\"legal\":false,\"holds\":false,\"why\":\"Legal in PENDING, "
        "CONFIRMED, PAID; the order is SHIPPED, past that.\",\"path\":\"/orders/#2/cancel\"},"
        "{\"command\":\"ready\",\"legal\":false,\"holds\":false,\"why\":\"An order of the flow "
        "stock_first has no such step.\",\"path\":\"/orders/#2/ready\"},"
        "{\"command\":\"complete\",\"legal\":false,\"holds\":false,\"why\":\"An order of the flow "
        "stock_first has no such step.\",\"path\":\"/orders/#2/complete\"},"
        "{\"command\":\"dispatch\",\"legal\":true,\"holds\":false,\"why\":null,"
        "\"path\":\"/shipments/shipment-#1/dispatch\"},"
        "{\"command\":\"deliver\",\"legal\":true,\"holds\":false,\"why\":null,"
        "\"path\":\"/shipments/shipment-#1/deliver\"}],"
        "\"ignored\":[],\"tookMs\":250,"
        "\"events\":["
        "{\"depth\":0,\"eventType\":\"OrderPlaced\",\"afterMs\":null,\"by\":\"command\","
        "\"occurredAt\":\"2026-11-20T12:00:00.000Z\",\"position\":2,\"eventId\":\"#3\","
        "\"causationId\":null,\"aggregateId\":\"#2\"},"
        "{\"depth\":1,\"eventType\":\"InventoryReserved\",\"afterMs\":50,\"by\":\"inventory\","
        "\"occurredAt\":\"2026-11-20T12:00:00.050Z\",\"position\":3,\"eventId\":\"#4\","
        "\"causationId\":\"#3\",\"aggregateId\":\"reservation-#5\"},"
        "{\"depth\":2,\"eventType\":\"OrderConfirmed\",\"afterMs\":0,\"by\":\"orders\","
        "\"occurredAt\":\"2026-11-20T12:00:00.050Z\",\"position\":4,\"eventId\":\"#6\","
        "\"causationId\":\"#4\",\"aggregateId\":\"#2\"},"
        "{\"depth\":3,\"eventType\":\"PaymentProcessed\",\"afterMs\":100,\"by\":\"payments\","
        "\"occurredAt\":\"2026-11-20T12:00:00.150Z\",\"position\":5,\"eventId\":\"#7\","
        "\"causationId\":\"#6\",\"aggregateId\":\"payment-#8\"},"
        "{\"depth\":4,\"eventType\":\"OrderPaid\",\"afterMs\":0,\"by\":\"orders\","
        "\"occurredAt\":\"2026-11-20T12:00:00.150Z\",\"position\":6,\"eventId\":\"#9\","
        "\"causationId\":\"#7\",\"aggregateId\":\"#2\"},"
        "{\"depth\":5,\"eventType\":\"ShipmentCreated\",\"afterMs\":100,\"by\":\"shipments\","
        "\"occurredAt\":\"2026-11-20T12:00:00.250Z\",\"position\":7,\"eventId\":\"#10\","
        "\"causationId\":\"#9\",\"aggregateId\":\"shipment-#1\"},"
        "{\"depth\":6,\"eventType\":\"OrderShipped\",\"afterMs\":0,\"by\":\"orders\","
        "\"occurredAt\":\"2026-11-20T12:00:00.250Z\",\"position\":8,\"eventId\":\"#11\","
        "\"causationId\":\"#10\",\"aggregateId\":\"#2\"}],"
        "\"cut\":[]}");
}

static void explain__of_a_parked_order_names_its_dead_letter(void **state)
{
    struct api_fixture *f = *state;
    const char *id, *letter;

    ask(f, "PUT", "/simulators/payments", "{\"failFirst\":100}");
    id = new_order(f);
    pass_ms(f, 10000);
    assert_int_equal(get(f, path_of("/api/orders/", id, "/explain")), 200);
    letter = new_id(f, "/deliveries/0/deadLetterId");
    assert_value(f, "/waitsFor/0/deadLetterId", letter);
    assert_value(f, "/deadLetters/0/deadLetterId", letter);
    assert_value(f, "/commands/0/path", path_of("/api/orders/", id, "/pay"));
    assert_value(f, "/parked", "true");
    assert_value(f, "/settled", "false");
    assert_value(f, "/waitsFor/0/why", "parked");
    assert_value(f, "/waitsFor/0/from", "payments");
    assert_value(f, "/waitsFor/0/asked/topic", "order.confirmed");
    assert_value(f, "/waitsFor/0/answers/0", "payment.processed");
    assert_value(f, "/waitsFor/0/answers/1", "payment.failed");
    assert_value(f, "/deliveries/0/state", "parked");
    assert_value(f, "/deliveries/0/attempts", "4");
    assert_value(f, "/deliveries/0/attemptsMax", "4");
    assert_value(f, "/deliveries/0/nextAttemptAt", "null");
    assert_value(f, "/deliveries/0/error/code", "handler_failed");
    assert_value(f, "/deliveries/0/topic", "order.confirmed");
    assert_value(f, "/deadLetters/0/state", "parked");
    assert_value(f, "/nextTimer/what", "payment_deadline");
    assert_value(f, "/nextTimer/subscription", "null");
    assert_value(f, "/nextTimer/at", "2026-11-20T12:30:00.000Z");
    assert_value(f, "/paymentDeadline", "2026-11-20T12:30:00.000Z");
}

static void explain__of_a_retry_says_when(void **state)
{
    struct api_fixture *f = *state;
    const char *id;

    ask(f, "PUT", "/simulators/inventory", "{\"failFirst\":1}");
    assert_int_equal(f->status, 200);
    id = new_order(f);
    pass_ms(f, 10);
    assert_int_equal(get(f, path_of("/orders/", id, "/explain")), 200);
    assert_value(f, "/deliveries/0/state", "retrying");
    assert_value(f, "/deliveries/0/attempts", "1");
    assert_value(f, "/deliveries/0/deadLetterId", "null");
    assert_value(f, "/deliveries/0/firstFailedAt", "2026-11-20T12:00:00.000Z");
    assert_value(f, "/nextTimer/what", "retry");
    assert_value(f, "/nextTimer/subscription", "inventory");
    assert_int_equal(strlen(value(f, "/deliveries/0/nextAttemptAt")), 24);
    assert_value(f, "/waitsFor/0/what", "stock");
    assert_value(f, "/waitsFor/0/why", "retrying");
}

static void explain__lists_what_was_ignored_and_what_is_due(void **state)
{
    struct api_fixture *f = *state;
    const char *id;
    char body[512];

    id = new_order(f);
    pass_ms(f, 1000);
    snprintf(body, sizeof(body),
             "{\"messageId\":\"m-1\",\"payload\":{\"orderId\":\"%s\",\"paymentId\":\"p-1\","
             "\"amount\":5,\"currency\":\"EUR\"}}",
             id);
    assert_int_equal(post(f, "/messages/payment.approved", body), 202);
    snprintf(body, sizeof(body),
             "{\"messageId\":\"m-2\",\"payload\":{\"orderId\":\"%s\",\"reason\":\"no\"}}", id);
    assert_int_equal(post(f, "/messages/payment.declined", body), 202);
    pass_ms(f, 1000);
    assert_int_equal(get(f, path_of("/orders/", id, "/explain")), 200);
    assert_value(f, "/summary",
                 "Waits for an outside Payments to give back 5.00 EUR of p-1 since 12:00:01 UTC: "
                 "it has to send payment.refunded. It waits for 1 more: see waitsFor.");
    assert_value(f, "/waitsFor/0/outside", "true");
    assert_value(f, "/waitsFor/0/subject", "p-1");
    assert_value(f, "/refund/status", "due");
    assert_value(f, "/refunds/0/amount", "5.00");
    assert_int_equal(count(f, "/ignored"), 1);
    assert_value(f, "/ignored/0/eventType", "PaymentDeclined");
    assert_value(f, "/ignored/0/subscription", "orders");
    assert_value(f, "/ignored/0/currentStatus", "SHIPPED");
    assert_value(f, "/ignored/0/why", "wrong_state");
    assert_value(f, "/ignored/0/position", "11");
    assert_value(f, "/ignored/0/at", "2026-11-20T12:00:01.000Z");
}

static void explain__says_where_the_rest_is(void **state)
{
    struct api_fixture *f = *state;
    const char *id = new_order(f);

    f->app.store.reads_are_late = true;
    assert_int_equal(get(f, path_of("/orders/", id, "/explain")), 200);
    f->app.store.reads_are_late = false;
    assert_int_equal(count(f, "/events"), 0);
    assert_value(f, "/cut/0/list", "events");
    assert_value(f, "/cut/0/newest", "0");
    assert_value(f, "/cut/0/all", path_of("/events?orderId=", id, ""));
    assert_int_equal(get(f, value(f, "/cut/0/all")), 200);
    assert_int_equal(count(f, "/data"), 1);
}

static void explain__is_not_found_for_what_is_no_order(void **state)
{
    struct api_fixture *f = *state;

    get(f, "/orders/0199a1f3-0000-7000-8000-000000000000/explain");
    assert_problem(f, 404, "not_found");
    get(f, "/orders/mine/explain");
    assert_problem(f, 404, "not_found");
    post(f, "/orders/mine/explain", "{}");
    assert_problem(f, 405, "method_not_allowed");
    get(f, "/orders/mine/explain?deep=1");
    assert_problem(f, 400, "validation");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(explain__of_a_shipped_order_tells_its_whole_story),
        T(explain__of_a_parked_order_names_its_dead_letter),
        T(explain__of_a_retry_says_when),
        T(explain__lists_what_was_ignored_and_what_is_due),
        T(explain__says_where_the_rest_is),
        T(explain__is_not_found_for_what_is_no_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
