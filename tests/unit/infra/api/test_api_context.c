/* What outside contexts and operators do: messages, products, simulators. */
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

/* ---- messages -------------------------------------------------------------------------------- */

static void messages__from_outside_move_the_order(void **state)
{
    struct api_fixture *f = *state;
    const char *id;
    char body[1024], position[32];

    ask(f, "PUT", "/simulators/payments", "{\"enabled\":false}");
    id = new_order(f);
    pass_ms(f, 200);
    snprintf(
        body, sizeof(body),
        "{\"messageId\":\"prov-77\",\"correlationId\":\"%s\",\"timestamp\":"
        "\"2026-11-20T12:00:05Z\",\"payload\":{\"orderId\":\"%s\",\"paymentId\":\"payment-77\","
        "\"approvedAmount\":39.980,\"currency\":\"USD\",\"timestamp\":\"2026-11-20T12:00:05Z\","
        "\"risk\":{\"score\":0.10}}}",
        id, id);
    assert_int_equal(post(f, "/messages/payment.approved", body), 202);
    assert_value(f, "/messageId", "prov-77");
    snprintf(position, sizeof(position), "%.31s", value(f, "/position"));
    assert_true(strtoul(position, NULL, 10) > 1);
    /* The same again: 202, and nothing changes. */
    assert_int_equal(post(f, "/messages/payment.approved", body), 202);
    assert_value(f, "/position", position);
    assert_int_equal(f->app.counts[EVENT_PAYMENT_APPROVED].n, 1);
    post(f, "/messages/payment.processed", body);
    assert_problem(f, 422, "idempotency_mismatch");

    pass_ms(f, 200);
    get(f, path_of("/orders/", id, ""));
    assert_value(f, "/paymentId", "payment-77");
    assert_value(f, "/status", "SHIPPED");
    /* The event has an id of ours, what the payload said as it came, and the outside id in its metadata. */
    get(f, "/events?eventType=PaymentApproved");
    assert_int_equal(count(f, "/data"), 1);
    assert_value(f, "/data/0/metadata/messageId", "prov-77");
    assert_value(f, "/data/0/aggregateId", "payment-77");
    assert_value(f, "/data/0/aggregateType", "Payment");
    assert_non_null(strstr(f->body.p, "\"approvedAmount\":39.980,"));
    assert_non_null(strstr(f->body.p, "\"risk\":{\"score\":0.10},"));
    get(f, "/messages?topic=payment.approved");
    assert_value(f, "/data/0/topic", "payment.approved");
    assert_value(f, "/data/0/correlationId", id);
    assert_int_equal(strlen(value(f, "/data/0/messageId")), UUID_TEXT_LEN);
}

/* One payload per type of event, whoever said it. */
static void messages__have_all_that_their_type_has_whoever_sent_them(void **state)
{
    struct api_fixture *f = *state;
    char body[512];
    const char *id;

    ask(f, "PUT", "/simulators/payments", "{\"mode\":\"wait\"}");
    post(f, "/orders", ORDER_JSON);
    id = new_id(f, "/orderId");
    pass_ms(f, 200);
    snprintf(body, sizeof(body),
             "{\"messageId\":\"m-1\",\"payload\":{\"orderId\":\"%s\",\"paymentId\":\"p-1\","
             "\"a\\\"{[,\":[{\"flow\":1,\"timestamp\":2}],\"amount\":39.98,\"currency\":\"USD\"}}",
             id);
    assert_int_equal(post(f, "/messages/payment.processed", body), 202);
    pass_ms(f, 200);
    get(f, "/messages?topic=payment.processed");
    assert_int_equal(count(f, "/data"), 1);
    assert_int_equal(count(f, "/data/0/payload"), 8);
    assert_value(f, "/data/0/payload/amount", "39.98");
    assert_value(f, "/data/0/payload/approvedAmount", "39.98");
    assert_value(f, "/data/0/payload/flow", "stock_first");
    assert_int_equal(strlen(value(f, "/data/0/payload/timestamp")), 24);
    /* An outcome needs no more than a reason. */
    assert_int_equal(post(f, "/messages/stock.rejected",
                          "{\"messageId\":\"m-2\",\"payload\":{\"orderId\":\"nobodys\","
                          "\"reason\":\"no\",\"timestamp\":\"2026-11-20T12:00:05Z\"}}"),
                     202);
    get(f, "/events?eventType=StockRejected");
    assert_int_equal(count(f, "/data/0/payload"), 3);
    assert_value(f, "/data/0/payload/timestamp", "2026-11-20T12:00:05Z");
}

static void messages__need_the_fields_of_their_topic(void **state)
{
    static const struct {
        const char *topic, *payload; /* whole but for one field each */
        const char *missing;         /* pointers, in order */
    } rows[] = {
        { "payment.approved", "{}",
          "/payload/orderId /payload/paymentId /payload/approvedAmount /payload/currency " },
        { "payment.processed", "{\"orderId\":\"o\"}",
          "/payload/paymentId /payload/approvedAmount /payload/currency " },
        { "payment.declined", "{}", "/payload/orderId /payload/reason " },
        { "payment.failed", "{}", "/payload/orderId /payload/reason " },
        { "payment.refunded", "{}",
          "/payload/orderId /payload/paymentId /payload/amount /payload/currency " },
        { "stock.reserved", "{}", "/payload/orderId /payload/reservationId " },
        { "inventory.reserved", "{}", "/payload/orderId /payload/reservationId " },
        { "stock.rejected", "{}", "/payload/orderId /payload/reason " },
        { "inventory.reservation_failed", "{}", "/payload/orderId /payload/reason " },
        { "stock.released", "{}", "/payload/orderId /payload/reservationId " },
        { "inventory.released", "{}", "/payload/orderId /payload/reservationId " },
        { "shipment.created", "{}",
          "/payload/orderId /payload/shipmentId /payload/trackingNumber " },
        { "shipment.dispatched", "{}", "/payload/orderId /payload/shipmentId " },
        { "shipment.delivered", "{}", "/payload/orderId /payload/shipmentId " },
        { "shipment.cancelled", "{}", "/payload/orderId /payload/shipmentId " },
    };
    struct api_fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char body[512], pointers[512] = "", at[64];
        size_t n = 0;

        snprintf(body, sizeof(body), "{\"messageId\":\"m\",\"payload\":%s}", rows[i].payload);
        post(f, path_of("/messages/", rows[i].topic, ""), body);
        assert_problem(f, 400, "validation");
        for (size_t k = 0; k < count(f, "/errors"); k++) {
            snprintf(at, sizeof(at), "/errors/%zu/detail", k);
            assert_value(f, at, "is required");
            snprintf(at, sizeof(at), "/errors/%zu/pointer", k);
            n += (size_t)snprintf(pointers + n, sizeof(pointers) - n, "%s ", value(f, at));
        }
        assert_string_equal(pointers, rows[i].missing);
    }
}

static void messages__have_known_fields_of_the_right_type(void **state)
{
    struct api_fixture *f = *state;

    post(f, "/messages/payment.approved",
         "{\"topic\":\"payment.failed\",\"correlationId\":\"other\",\"timestamp\":\"now\","
         "\"payload\":{\"orderId\":\"0199a1f3-0000-7000-8000-000000000000\",\"paymentId\":7,"
         "\"approvedAmount\":1.234,\"currency\":\"USD\",\"timestamp\":5,\"flow\":\"none\"}}");
    assert_problem(f, 400, "validation");
    assert_value(f, "/detail", "8 fields need your attention");
    assert_value(f, "/errors/0/pointer", "/timestamp");
    assert_value(f, "/errors/1/pointer", "/messageId");
    assert_value(f, "/errors/2/pointer", "/payload/flow");
    assert_value(f, "/errors/3/pointer", "/payload/paymentId");
    assert_value(f, "/errors/4/pointer", "/payload/approvedAmount");
    assert_value(f, "/errors/4/detail", "has more digits than its currency");
    assert_value(f, "/errors/5/pointer", "/payload/timestamp");
    assert_value(f, "/errors/6/pointer", "/topic");
    assert_value(f, "/errors/7/pointer", "/correlationId");
    assert_value(f, "/errors/7/detail", "differs from payload.orderId");

    post(f, "/messages/payment.processed",
         "{\"messageId\":\"m\",\"payload\":{\"orderId\":\"o\",\"paymentId\":\"p\",\"amount\":1,"
         "\"approvedAmount\":2,\"currency\":\"USD\"}}");
    assert_problem(f, 400, "validation");
    assert_value(f, "/errors/0/pointer", "/payload/amount");
    assert_value(f, "/errors/0/detail", "differs from approvedAmount");
    post(f, "/messages/stock.reserved",
         "{\"messageId\":\"m\",\"payload\":{\"orderId\":\"o\",\"reservationId\":\"r\",\"items\":"
         "[{\"sku\":\"A\",\"productId\":\"B\",\"quantity\":1},{\"quantity\":0}]}}");
    assert_problem(f, 400, "validation");
    assert_value(f, "/errors/0/pointer", "/payload/items/1/quantity");
}

/* A page ends early when there is much of it; whoever asks on gets all the same. */
static void dead_letters__of_large_messages_come_in_small_pages(void **state)
{
    struct api_fixture *f = *state;
    struct buf body = { NULL, 0, 0 };
    size_t n = 0, pages = 0;
    char next[1024];

    for (unsigned i = 0; i < 24; i++) {
        body.n = 0;
        buf_printf(&body,
                   "{\"messageId\":\"m-%u\",\"payload\":{\"orderId\":\"nobodys\","
                   "\"reason\":\"no\",\"more\":[0",
                   i);
        for (unsigned k = 0; k < 60; k++)
            buf_printf(&body, ",\"%04000u\"", k);
        buf_printf(&body, "]}}");
        buf_add(&body, "", 1);
        assert_int_equal(post(f, "/messages/stock.rejected", body.p), 202);
    }
    pass_ms(f, 100);
    get(f, "/dead-letters?limit=500");
    assert_true(count(f, "/data") > 0);
    assert_true(count(f, "/data") < 24);
    /* Messages of letters that do not fit are not read at all. */
    get(f, "/dead-letters?subscription=payments");
    assert_int_equal(count(f, "/data"), 0);
    assert_value(f, "/nextCursor", "null");

    get(f, "/dead-letters?limit=500");
    for (;; pages++) {
        n += count(f, "/data");
        snprintf(next, sizeof(next), "%s", value(f, "/nextCursor"));
        if (strcmp(next, "null") == 0)
            break;
        get(f, path_of("/dead-letters?limit=500&after=", next, ""));
    }
    assert_int_equal(n, 24);
    assert_true(pages > 0);
    buf_deinit(&body);
}

static void messages__of_unknown_orders_become_dead_letters(void **state)
{
    struct api_fixture *f = *state;
    const char *id;

    assert_int_equal(post(f, "/messages/payment.declined",
                          "{\"messageId\":\"m-1\",\"payload\":{\"orderId\":\"shop-17\","
                          "\"reason\":\"no\"}}"),
                     202);
    settle(f);
    assert_int_equal(get(f, "/dead-letters"), 200);
    assert_int_equal(count(f, "/data"), 1);
    assert_value(f, "/nextCursor", "null");
    assert_value(f, "/data/0/subscription", "orders");
    assert_value(f, "/data/0/orderId", "shop-17");
    assert_value(f, "/data/0/topic", "payment.declined");
    assert_value(f, "/data/0/attempts", "1");
    assert_value(f, "/data/0/error/code", "unknown_order");
    assert_value(f, "/data/0/state", "open");
    assert_value(f, "/data/0/queuedBehind", "0");
    assert_value(f, "/data/0/message/correlationId", "shop-17");
    id = new_id(f, "/data/0/deadLetterId");
    assert_int_equal(get(f, path_of("/dead-letters/", id, "")), 200);
    assert_value(f, "/deadLetterId", id);
    assert_int_equal(count(f, ""), 13);
    assert_value(f, "/messageId", "m-1");
    assert_int_equal(capture_log_count(&f->app.log, " messageId=m-1 "), 1);
    assert_string_not_equal(value(f, "/message/messageId"), "null");
    get(f, "/dead-letters?subscription=payments");
    assert_int_equal(count(f, "/data"), 0);
    get(f, "/dead-letters?subscription=orders&orderId=shop-17&limit=1");
    assert_int_equal(count(f, "/data"), 1);
    get(f, "/dead-letters?subscription=nobody");
    assert_problem(f, 400, "validation");
    get(f, "/dead-letters/nothing");
    assert_problem(f, 404, "not_found");
    get(f, "/events?eventType=DeadLettered");
    assert_int_equal(count(f, "/data"), 1);
    assert_value(f, "/data/0/aggregateType", "Subscription");
    get(f, "/messages");
    assert_null(strstr(f->body.p, "DeadLettered"));
}

/* A message of ours has one name. */
static void dead__letters_of_our_own_messages_are_named_in_the_log_as_in_the_list(void **state)
{
    struct api_fixture *f = *state;
    char said[64];

    assert_int_equal(ask(f, "PUT", "/simulators/payments", "{\"failFirst\":9}"), 200);
    assert_int_equal(post(f, "/orders", ORDER_JSON), 201);
    pass_ms(f, 60000);
    assert_int_equal(get(f, "/dead-letters"), 200);
    assert_value(f, "/data/0/subscription", "payments");
    snprintf(said, sizeof(said), " messageId=%.36s ", value(f, "/data/0/messageId"));
    assert_int_equal(strlen(said), strlen(" messageId= ") + UUID_TEXT_LEN);
    assert_int_equal(capture_log_count(&f->app.log, said), 1);
}

static void refused__messages_show_their_bytes(void **state)
{
    struct api_fixture *f = *state;
    const char *id;

    a_refusal(&f->app, SUBSCRIPTION_KAFKA, "payment.declined", STR("\xff{"));
    assert_int_equal(get(f, "/dead-letters?subscription=kafka"), 200);
    assert_int_equal(count(f, "/data"), 1);
    assert_value(f, "/data/0/subscription", "kafka");
    assert_value(f, "/data/0/state", "open");
    assert_value(f, "/data/0/topic", "payment.declined");
    assert_value(f, "/data/0/messageId", "their-1");
    assert_int_equal(capture_log_count(&f->app.log, " messageId=their-1 "), 1);
    assert_value(f, "/data/0/orderId", "null");
    assert_value(f, "/data/0/attempts", "1");
    assert_value(f, "/data/0/error/code", "malformed_json");
    assert_value(f, "/data/0/message/topic", "payment.declined");
    assert_value(f, "/data/0/message/payload/bodyBase64", "/3s=");
    assert_value(f, "/data/0/message/payload/contentType", "application/json");
    assert_value(f, "/data/0/message/payload/attributes/0/name", "n");
    assert_value(f, "/data/0/message/payload/attributes/0/value", "v");
    assert_value(f, "/data/0/message/payload/errorDetail", "The body is no JSON.");
    id = new_id(f, "/data/0/deadLetterId");
    assert_int_equal(get(f, "/dead-letters?code=malformed_json"), 200);
    assert_int_equal(count(f, "/data"), 1);
    get(f, path_of("/events?correlationId=", id, ""));
    assert_int_equal(count(f, "/data"), 2);
    assert_value(f, "/data/0/eventType", "MessageRefused");
    assert_value(f, "/data/0/aggregateId", "kafka");
    assert_value(f, "/data/1/eventType", "DeadLettered");
    get(f, "/events?aggregateId=kafka");
    assert_int_equal(count(f, "/data"), 2);
    get(f, "/messages");
    assert_null(strstr(f->body.p, "MessageRefused"));
    assert_int_equal(get(f, "/metrics"), 200);
    assert_non_null(strstr(f->body.p, "orderly_dead_letters{subscription=\"kafka\"} 1\n"));
}

static void refused__messages_are_received_with_a_payload(void **state)
{
    struct api_fixture *f = *state;
    const char *id;

    a_refusal(&f->app, SUBSCRIPTION_KAFKA, "payment.declined", STR("\xff{"));
    get(f, "/dead-letters");
    id = new_id(f, "/data/0/deadLetterId");
    post(f, path_of("/dead-letters/", id, "/retry"), NULL);
    assert_problem(f, 400, "validation");
    post(f, path_of("/dead-letters/", id, "/retry"), "{\"payload\":{\"reason\":7}}");
    assert_problem(f, 400, "validation");
    assert_value(f, "/errors/0/pointer", "/payload/orderId");
    assert_int_equal(post(f, path_of("/dead-letters/", id, "/retry"),
                          "{\"payload\":{\"orderId\":\"shop-17\",\"reason\":\"no\"}}"),
                     200);
    assert_value(f, "/state", "retried");
    settle(f);
    get(f, "/events?eventType=PaymentDeclined");
    assert_int_equal(count(f, "/data"), 1);
    assert_value(f, "/data/0/metadata/messageId", "their-1");
    /* The id is taken now, as if the message had come in like that. */
    post(f, "/messages/payment.declined",
         "{\"messageId\":\"their-1\",\"payload\":{\"orderId\":\"shop-18\",\"reason\":\"no\"}}");
    assert_problem(f, 422, "idempotency_mismatch");
}

static void refused__messages_of_unknown_topics_say_what_to_do(void **state)
{
    struct api_fixture *f = *state;
    const char *id;

    a_refusal(&f->app, SUBSCRIPTION_NATS, "payment.nonsense", STR("{}"));
    get(f, "/dead-letters");
    id = new_id(f, "/data/0/deadLetterId");
    post(f, path_of("/dead-letters/", id, "/retry"), "{\"payload\":{}}");
    assert_problem(f, 400, "validation");
    assert_value(f, "/errors/0/pointer", "/payload");
    assert_int_equal(
        post(f, path_of("/dead-letters/", id, "/discard"), "{\"reason\":\"nobody's\"}"), 200);
    assert_value(f, "/state", "discarded");
    assert_int_equal(get(f, "/metrics"), 200);
    assert_null(strstr(f->body.p, "orderly_dead_letters{subscription=\"nats\"} 1\n"));
}

/* ---- products -------------------------------------------------------------------------------- */

static void products__keep_their_price_when_only_the_currency_changes(void **state)
{
    struct api_fixture *f = *state;

    post(f, "/products", "{\"sku\":\"A\",\"name\":\"A\",\"price\":500,\"currency\":\"JPY\"}");
    assert_int_equal(f->status, 201);
    assert_int_equal(ask(f, "PATCH", "/products/A", "{\"currency\":\"USD\"}"), 200);
    assert_value(f, "/price", "500.00");
    assert_int_equal(ask(f, "PATCH", "/products/A", "{\"price\":19.99}"), 200);
    /* There is no 19.99 in a currency without a minor unit. */
    ask(f, "PATCH", "/products/A", "{\"currency\":\"JPY\"}");
    assert_problem(f, 400, "validation");
    assert_value(f, "/errors/0/pointer", "/currency");
    get(f, "/products/A");
    assert_value(f, "/price", "19.99");
    assert_value(f, "/currency", "USD");
    /* Without a price there is none to keep. */
    assert_int_equal(ask(f, "PATCH", "/products/A", "{\"price\":null}"), 200);
    assert_int_equal(ask(f, "PATCH", "/products/A", "{\"currency\":\"JPY\"}"), 200);
    assert_value(f, "/price", "null");
    assert_value(f, "/currency", "JPY");
}

static void products__are_added_read_and_changed(void **state)
{
    struct api_fixture *f = *state;
    const char *added =
        "{\"sku\":\"GADGET-9\",\"name\":\"Gadget\",\"description\":\"\",\"price\":"
        "49.99,\"currency\":\"USD\",\"onHand\":100,\"reserved\":0,\"available\":100,"
        "\"sequence\":1}";
    char etag[64], headers[1100];

    assert_int_equal(post(f, "/products",
                          "{\"sku\":\" gadget-9 \",\"name\":\"Gadget\",\"price\":49.990,"
                          "\"currency\":\"USD\",\"stockQuantity\":100}"),
                     201);
    assert_header(f, "Location", "/products/GADGET-9");
    assert_body(f, added);
    snprintf(etag, sizeof(etag), "%.60s", header(f, "ETag"));
    assert_int_equal(get(f, "/products/gadget-9"), 200);
    assert_body(f, added);
    assert_header(f, "ETag", etag);
    snprintf(headers, sizeof(headers), "If-None-Match: %s\r\n", etag);
    assert_int_equal(ask_with(f, "GET", "/products/GADGET-9", headers, NULL), 304);

    post(f, "/products", "{\"sku\":\"GADGET-9\",\"name\":\"Again\"}");
    assert_problem(f, 409, "duplicate_sku");
    assert_int_equal(ask(f, "PATCH", "/products/GADGET-9", "{\"stockDelta\":-3}"), 200);
    assert_value(f, "/onHand", "97");
    ask(f, "PATCH", "/products/GADGET-9", "{\"stockQuantity\":80}");
    assert_problem(f, 400, "validation");
    assert_value(f, "/errors/0/pointer", "/stockQuantity");
    snprintf(headers, sizeof(headers), "If-Match: %s\r\n", etag);
    ask_with(f, "PATCH", "/products/GADGET-9", headers, "{\"stockQuantity\":80}");
    assert_problem(f, 412, "precondition_failed");
    get(f, "/products/GADGET-9");
    snprintf(headers, sizeof(headers), "If-Match: %s\r\n", header(f, "ETag"));
    assert_int_equal(ask_with(f, "PATCH", "/products/GADGET-9", headers, "{\"stockQuantity\":80}"),
                     200);
    assert_value(f, "/onHand", "80");
    assert_int_equal(ask(f, "PATCH", "/products/GADGET-9", "{\"price\":21.5,\"name\":\"G\"}"), 200);
    assert_value(f, "/price", "21.50");
    assert_int_equal(ask(f, "PATCH", "/products/GADGET-9", "{\"price\":null}"), 200);
    assert_value(f, "/price", "null");
    ask(f, "PATCH", "/products/GADGET-9", "{}");
    assert_problem(f, 400, "validation");
    ask(f, "PATCH", "/products/GADGET-9", "{\"stockDelta\":1,\"stockQuantity\":1,\"sku\":\"X\"}");
    assert_problem(f, 400, "validation");
    assert_int_equal(count(f, "/errors"), 2);
    ask(f, "PATCH", "/products/NOT-THERE", "{\"stockDelta\":1}");
    assert_problem(f, 404, "not_found");
    get(f, "/products/no%20sku");
    assert_problem(f, 404, "not_found");
}

static void products__are_refused_with_every_fault(void **state)
{
    struct api_fixture *f = *state;

    post(f, "/products",
         "{\"sku\":\"a b\",\"name\":\"\",\"price\":-1,\"currency\":\"XXX\",\"stockQuantity\":-1}");
    assert_problem(f, 400, "validation");
    assert_int_equal(count(f, "/errors"), 5);
    post(f, "/products",
         "{\"sku\":\"A\",\"name\":\"A\",\"price\":1,\"currency\":\"USD\",\"stockQuantity\":"
         "1000000000001}");
    assert_problem(f, 400, "validation");
    assert_value(f, "/errors/0/detail", "must be an integer from 0 to 1000000000000");
    post(f, "/products", "{\"sku\":\"A\",\"name\":\"A\",\"price\":500.5,\"currency\":\"JPY\"}");
    assert_problem(f, 400, "validation");
    assert_value(f, "/errors/0/pointer", "/price");
    assert_int_equal(
        post(f, "/products", "{\"sku\":\"A\",\"name\":\"A\",\"price\":500.0,\"currency\":\"JPY\"}"),
        201);
    assert_value(f, "/price", "500");
}

/* ---- simulators ------------------------------------------------------------------------------ */

static void simulators__can_be_put_as_they_are_got(void **state)
{
    static const struct {
        const char *name, *as_got;
    } rows[] = {
        { "payments",
          "{\"enabled\":true,\"mode\":\"approve\",\"delayMs\":{\"pay_first\":10,\"stock_first\":100},"
          "\"failureRate\":0.0,\"seed\":1,\"failFirst\":0,\"declineAbove\":null,\"reason\":"
          "\"Card declined\"}" },
        { "inventory",
          "{\"enabled\":true,\"mode\":\"auto\",\"delayMs\":{\"pay_first\":10,\"stock_first\":50},"
          "\"failFirst\":0}" },
        { "shipments",
          "{\"enabled\":true,\"mode\":\"auto\",\"delayMs\":{\"pay_first\":10,\"stock_first\":100},"
          "\"failFirst\":0}" },
    };
    struct api_fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *path = path_of("/simulators/", rows[i].name, "");

        assert_int_equal(get(f, path), 200);
        assert_body(f, rows[i].as_got);
        assert_int_equal(ask(f, "PUT", path, rows[i].as_got), 200);
        assert_body(f, rows[i].as_got);
    }
    get(f, "/simulators/orders");
    assert_problem(f, 404, "not_found");
}

static void simulators__are_replaced_whole(void **state)
{
    struct api_fixture *f = *state;
    const char *all = "{\"enabled\":false,\"mode\":\"wait\",\"delayMs\":{\"pay_first\":0,"
                      "\"stock_first\":60000},\"failureRate\":0.25,\"seed\":7,\"failFirst\":3,"
                      "\"declineAbove\":99.50,\"reason\":\"No \\\"credit\\\"\",\"poisonRate\":0.5}";

    assert_int_equal(ask(f, "PUT", "/simulators/payments", all), 200);
    assert_body(f, all);
    assert_int_equal(get(f, "/simulators/payments"), 200);
    assert_body(f, all);
    assert_int_equal(ask(f, "PUT", "/simulators/payments", "{\"mode\":\"decline\"}"), 200);
    assert_value(f, "/mode", "decline");
    assert_value(f, "/enabled", "true");
    assert_value(f, "/delayMs/stock_first", "100");
    assert_value(f, "/declineAbove", "null");
    assert_null(strstr(f->body.p, "poisonRate"));
    (void)new_order(f);
    {
        const char *id = new_id(f, "/orderId");

        pass_ms(f, 1000);
        get(f, path_of("/orders/", id, ""));
        assert_value(f, "/status", "PAYMENT_FAILED");
        assert_value(f, "/paymentFailureReason", "Card declined");
        assert_value(f, "/release/status", "done");
    }
    ask(f, "PUT", "/simulators/inventory",
        "{\"mode\":\"wait\",\"delayMs\":{\"pay_first\":60001},\"seed\":1}");
    assert_problem(f, 400, "validation");
    assert_int_equal(count(f, "/errors"), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(messages__from_outside_move_the_order),
        T(messages__have_all_that_their_type_has_whoever_sent_them),
        T(messages__need_the_fields_of_their_topic),
        T(messages__have_known_fields_of_the_right_type),
        T(messages__of_unknown_orders_become_dead_letters),
        T(dead__letters_of_our_own_messages_are_named_in_the_log_as_in_the_list),
        T(refused__messages_show_their_bytes),
        T(refused__messages_are_received_with_a_payload),
        T(refused__messages_of_unknown_topics_say_what_to_do),
        T(dead_letters__of_large_messages_come_in_small_pages),
        T(products__keep_their_price_when_only_the_currency_changes),
        T(products__are_added_read_and_changed),
        T(products__are_refused_with_every_fault),
        T(simulators__can_be_put_as_they_are_got),
        T(simulators__are_replaced_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
