/* What a process answers that has some of the contexts only. */
#include "../../../../src/infra/api/routes.h"
#include "api_fixture.h"

static void start_with(struct api_fixture *f, unsigned contexts)
{
    struct app_config config = app_fixture_config();

    config.contexts = contexts;
    api_fixture_init_bounded(f, &config, 0);
}

/* Every route of the table, asked of a process with each set of contexts. */
static void routes__of_contexts_that_are_not_here_are_answered_with_421(void **state)
{
    static struct api_fixture f;

    (void)state;
    for (unsigned contexts = 1; contexts <= CONTEXTS_ALL; contexts++) {
        start_with(&f, contexts);
        for (unsigned i = 0; i < routes_len; i++) {
            const struct route *r = &routes[i];
            bool is_here = r->contexts == 0 || (r->contexts & contexts);

            if (r->answer == ROUTE_STREAM || strchr(r->pattern, '{'))
                continue; /* a name that is there, below */
            ask_with(&f, http_method_name(r->method), r->pattern, "", "");
            if ((f.status == 421) == is_here && strcmp(r->pattern, "/messages") != 0)
                fail_msg("%s %s with contexts %x: %d", http_method_name(r->method), r->pattern,
                         contexts, f.status);
        }
        api_fixture_deinit(&f);
    }
}

static void routes__say_which_context_is_missing(void **state)
{
    static struct api_fixture f;

    (void)state;
    start_with(&f, CONTEXT_BIT(PAYMENTS) | CONTEXT_BIT(SHIPMENTS));
    assert_int_equal(get(&f, "/orders/0199a1f3-0000-7000-8000-000000000001/explain"), 421);
    assert_string_equal(value(&f, "/code"), "context_elsewhere");
    assert_string_equal(value(&f, "/detail"), "This process has no Orders, only "
                                              "payments,shipments; ask the one that has.");
    assert_int_equal(get(&f, "/api/products/WIDGET-001"), 421);
    assert_string_equal(value(&f, "/detail"), "This process has neither Orders nor Inventory, only "
                                              "payments,shipments; ask the one that has.");
    assert_int_equal(get(&f, "/shipments/s-1"), 404);
    assert_int_equal(get(&f, "/simulators/payments"), 200);
    assert_int_equal(get(&f, "/simulators/inventory"), 421);
    assert_int_equal(ask(&f, "PUT", "/simulators/inventory", "{}"), 421);
    assert_int_equal(get(&f, "/"), 200);
    assert_int_equal(count(&f, "/contexts"), 2);
    assert_string_equal(value(&f, "/contexts/1"), "shipments");
    assert_string_equal(value(&f, "/entryPoints/events"), "/events");
    assert_null(strstr(f.answer.p, "/products"));
    assert_int_equal(get(&f, "/readyz"), 200);
    assert_int_equal(get(&f, "/metrics"), 200);
    assert_non_null(strstr(f.answer.p, "orderly_dead_letters{subscription=\"shipments\"} 0"));
    assert_null(strstr(f.answer.p, "{subscription=\"orders\""));
    assert_null(strstr(f.answer.p, "{subscription=\"inventory\""));
    api_fixture_deinit(&f);
}

/* Who speaks for orders is decided before who hears it. */
static void messages__are_taken_by_http_where_orders_is(void **state)
{
    static struct api_fixture f;

    (void)state;
    start_with(&f, CONTEXT_BIT(INVENTORY));
    assert_int_equal(post(&f, "/messages/order.placed", "{}"), 403);
    assert_int_equal(post(&f, "/messages/shipment.dispatched", "{}"), 421);
    assert_int_equal(post(&f, "/messages/no.such", "{}"), 404);
    assert_int_equal(post(&f, "/messages", "{}"), 421);
    assert_int_equal(get(&f, "/messages"), 200);
    assert_int_equal(get(&f, "/products/WIDGET-001"), 200);
    api_fixture_deinit(&f);
    start_with(&f, CONTEXT_BIT(ORDERS));
    assert_int_equal(post(&f, "/messages/order.placed", "{}"), 403);
    assert_int_equal(post(&f, "/messages/shipment.dispatched", "{}"), 400);
    assert_int_equal(post(&f, "/messages", "{}"), 400);
    api_fixture_deinit(&f);
}

static void say(struct api_fixture *f, const char *topic, const char *id, const char *order,
                const char *more)
{
    char body[512], target[64];

    snprintf(target, sizeof(target), "/messages/%s", topic);
    snprintf(body, sizeof(body), "{\"messageId\":\"%s\",\"payload\":{\"orderId\":\"%s\",%s}}", id,
             order, more);
    assert_int_equal(post(f, target, body), 202);
    pass_ms(f, 10);
}

/* The others are outside contexts like any, and explain says so. */
static void orders__alone_goes_by_what_it_is_told(void **state)
{
    static struct api_fixture f;
    char order[64], target[128];

    (void)state;
    start_with(&f, CONTEXT_BIT(ORDERS));
    assert_int_equal(post(&f, "/orders", ORDER_JSON), 201);
    snprintf(order, sizeof(order), "%.36s", value(&f, "/orderId"));
    pass_ms(&f, 1000);
    snprintf(target, sizeof(target), "/orders/%s/explain", order);
    assert_int_equal(get(&f, target), 200);
    assert_string_equal(value(&f, "/status"), "PENDING");
    assert_string_equal(value(&f, "/waitsFor/0/why"), "outside");
    say(&f, "inventory.reserved", "m-1", order, "\"reservationId\":\"r-1\"");
    say(&f, "payment.processed", "m-2", order,
        "\"paymentId\":\"p-1\",\"amount\":39.98,\"currency\":\"USD\"");
    say(&f, "shipment.created", "m-3", order, "\"shipmentId\":\"s-1\",\"trackingNumber\":\"T\"");
    snprintf(target, sizeof(target), "/orders/%s", order);
    assert_int_equal(get(&f, target), 200);
    assert_string_equal(value(&f, "/status"), "SHIPPED");
    assert_int_equal(post(&f, "/shipments/s-1/dispatch", ""), 421);
    say(&f, "shipment.dispatched", "m-4", order, "\"shipmentId\":\"s-1\"");
    say(&f, "shipment.delivered", "m-5", order, "\"shipmentId\":\"s-1\"");
    assert_int_equal(get(&f, target), 200);
    assert_string_equal(value(&f, "/status"), "DELIVERED");
    assert_int_equal(get(&f, "/dead-letters"), 200);
    assert_int_equal(count(&f, "/data"), 0);
    api_fixture_deinit(&f);
}

/* Nobody has shipped the order with this one. */
static void orders__alone_lets_no_other_shipment_leave(void **state)
{
    static struct api_fixture f;
    char order[64];

    (void)state;
    start_with(&f, CONTEXT_BIT(ORDERS));
    assert_int_equal(post(&f, "/orders", ORDER_JSON), 201);
    snprintf(order, sizeof(order), "%.36s", value(&f, "/orderId"));
    say(&f, "shipment.created", "m-3", order, "\"shipmentId\":\"s-1\",\"trackingNumber\":\"T\"");
    say(&f, "shipment.dispatched", "m-4", order, "\"shipmentId\":\"s-1\"");
    assert_int_equal(get(&f, "/dead-letters"), 200);
    assert_int_equal(count(&f, "/data"), 1);
    assert_string_equal(value(&f, "/data/0/error/code"), "not_confirmed");
    api_fixture_deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes__of_contexts_that_are_not_here_are_answered_with_421),
        cmocka_unit_test(routes__say_which_context_is_missing),
        cmocka_unit_test(messages__are_taken_by_http_where_orders_is),
        cmocka_unit_test(orders__alone_goes_by_what_it_is_told),
        cmocka_unit_test(orders__alone_lets_no_other_shipment_leave),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
