/* POST /messages and POST /messages/{topic} with CloudEvents, in all three modes. */
#include "api_fixture.h"
#include "orderly/base/mem.h"
#include "orderly/infra/inbound/cloud_in.h"

#define STRUCTURED "Content-Type: application/cloudevents+json\r\n"
#define BATCH "Content-Type: application/cloudevents-batch+json\r\n"
#define BINARY                                                                                     \
    "ce-specversion: 1.0\r\nce-id: e-1\r\nce-source: /pay\r\nce-type: payment.declined\r\n"        \
    "Content-Type: application/json\r\n"
#define DATA "{\"orderId\":\"elsewhere\",\"reason\":\"no\"}"
/* An event without its end, for more. */
#define HEAD_OF(id, type)                                                                          \
    "{\"specversion\":\"1.0\",\"id\":\"" id "\",\"source\":\"/pay\",\"type\":\"" type "\""
#define HEAD HEAD_OF("e-1", "payment.declined")
#define HEAD_JSON HEAD ",\"datacontenttype\":\"application/json\""
#define BASE64 "\"eyJvcmRlcklkIjoiZWxzZXdoZXJlIiwicmVhc29uIjoibm8ifQ==\"" /* DATA */
#define EVENT(id) HEAD_OF(id, "payment.declined") ",\"data\":" DATA "}"

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

static int send_event(struct api_fixture *f, const char *body)
{
    return ask_with(f, "POST", "/messages", STRUCTURED, body);
}

static const char *pointer_of_fault(struct api_fixture *f)
{
    assert_problem(f, 400, "validation");
    if (count(f, "/errors") != 1)
        fail_msg("not one fault: %s", f->body.p);
    return value(f, "/errors/0/pointer");
}

static const char *header_of_fault(struct api_fixture *f)
{
    assert_problem(f, 400, "validation");
    if (count(f, "/errors") != 1)
        fail_msg("not one fault: %s", f->body.p);
    return value(f, "/errors/0/header");
}

/* The last one; the store's rows are asked for so that nothing else is believed. */
static void assert_declined(struct api_fixture *f, unsigned n)
{
    assert_int_equal(f->app.counts[EVENT_PAYMENT_DECLINED].n, n);
}

/* ---- one event ------------------------------------------------------------------------------- */

static void cloud_event__takes_the_road_of_every_message(void **state)
{
    static const struct {
        const char *target, *headers, *body;
    } same[] = {
        { "/messages", STRUCTURED, EVENT("e-1") },
        { "/messages/payment.declined", STRUCTURED, EVENT("e-1") },
        { "/api/messages", "Content-Type: Application/CloudEvents+JSON; charset=UTF-8\r\n",
          EVENT("e-1") },
        { "/messages", BINARY, DATA },
        { "/messages/payment.declined", BINARY,
          " { \"orderId\" : \"elsewhere\", \"reason\":\"no\" }" },
        { "/messages", BATCH, "[" EVENT("e-1") "]" },
        { "/messages/payment.declined", BATCH, "[" EVENT("e-1") "]" },
    };
    struct api_fixture *f = *state;
    char position[32];

    assert_int_equal(send_event(f, EVENT("e-1")), 202);
    assert_value(f, "/messageId", "e-1");
    snprintf(position, sizeof(position), "%.31s", value(f, "/position"));
    /* However it comes again, it is the same one. */
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        if (ask_with(f, "POST", same[i].target, same[i].headers, same[i].body) != 202)
            fail_msg("row %zu: %s", i, f->body.p);
        if (count(f, "/results"))
            assert_value(f, "/results/0/position", position);
        else
            assert_value(f, "/position", position);
    }
    assert_declined(f, 1);
    get(f, "/events?eventType=PaymentDeclined");
    assert_int_equal(count(f, "/data"), 1);
    assert_value(f, "/data/0/position", position);
    assert_value(f, "/data/0/metadata/messageId", "e-1");
    assert_value(f, "/data/0/payload/orderId", "elsewhere");
    assert_value(f, "/data/0/payload/reason", "no");
}

/* A message of ours as the data; nothing of it happens to be a NUL. */
static void cloud_event__in_protobuf_is_the_same_as_in_json(void **state)
{
    static const char type[] = "Content-Type: Application/CloudEvents+Protobuf\r\n";
    static const char head[] = "\x0a\x03"
                               "e-1\x12\x04/pay\x1a\x03"
                               "1.0\x22\x10payment.declined";
    static const char data[] = "\x42\x41\x0a\x2e"
                               "type.googleapis.com/orderly.v1.PaymentDeclined"
                               "\x12\x0f\x0a\x09"
                               "elsewhere\x22\x02no";
    struct api_fixture *f = *state;
    char whole[sizeof(head) + sizeof(data)];

    (void)snprintf(whole, sizeof(whole), "%s%s", head, data);
    assert_int_equal(send_event(f, EVENT("e-1")), 202);
    if (ask_with(f, "POST", "/messages", type, whole) != 202 ||
        ask_with(f, "POST", "/messages/payment.declined", type, whole) != 202)
        fail_msg("%s", f->body.p);
    assert_value(f, "/messageId", "e-1");
    assert_declined(f, 1);
    ask_with(f, "POST", "/messages/payment.failed", type, whole);
    assert_string_equal(pointer_of_fault(f), "/type");
    ask_with(f, "POST", "/messages", type, head);
    assert_string_equal(pointer_of_fault(f), ""); /* no data */
    ask_with(f, "POST", "/messages", type, "");
    assert_string_equal(pointer_of_fault(f), "");
    ask_with(f, "POST", "/messages",
             "Content-Encoding: gzip\r\nContent-Type: application/cloudevents+protobuf\r\n", whole);
    assert_problem(f, 415, "unsupported_media_type");
    ask_with(f, "POST", "/messages", "Content-Type: application/cloudevents-batch+protobuf\r\n",
             whole);
    assert_problem(f, 415, "unsupported_media_type");
    assert_declined(f, 1);
}

static void cloud_event__under_a_known_id_is_another_by_type_source_or_data(void **state)
{
    static const char *const others[] = {
        HEAD_OF("e-1", "payment.failed") ",\"data\":" DATA "}",
        HEAD ",\"data\":{\"orderId\":\"elsewhere\",\"reason\":\"never\"}}",
        "{\"specversion\":\"1.0\",\"id\":\"e-1\",\"source\":\"/bank\",\"type\":\"payment.declined\","
        "\"data\":" DATA "}",
    };
    static const char *const same[] = {
        HEAD ",\"time\":\"2026-11-20T12:00:00Z\",\"data\":" DATA "}",
        HEAD ",\"subject\":\"x\",\"data\":{ \"orderId\":\"elsewhere\",\"reason\":\"n\\u006f\"}}",
    };
    struct api_fixture *f = *state;

    assert_int_equal(send_event(f, EVENT("e-1")), 202);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        send_event(f, others[i]);
        assert_problem(f, 422, "idempotency_mismatch");
    }
    for (size_t i = 0; i < ARRAY_LEN(same); i++)
        assert_int_equal(send_event(f, same[i]), 202);
    assert_declined(f, 1);
}

static void cloud_event__moves_the_order_and_keeps_its_trace(void **state)
{
    static const char trace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    struct api_fixture *f = *state;
    const char *id;
    char headers[1024], body[512];

    ask(f, "PUT", "/simulators/payments", "{\"enabled\":false}");
    assert_int_equal(post(f, "/orders", ORDER_JSON), 201);
    id = new_id(f, "/orderId");
    pass_ms(f, 200);
    snprintf(headers, sizeof(headers),
             "CE-SpecVersion: 1.0\r\nCE-Id: e-%%37\r\nCE-Source: \"https://pay.example/\"\r\n"
             "CE-Type: payment%%2Eprocessed\r\nCE-Time: 2026-11-20T13:00:05.5+01:00\r\n"
             "CE-CorrelationId: %s\r\nCE-Traceparent: %s\r\nCE-Sender: Euro%%20%%E2%%82%%AC\r\n"
             "Content-Type: application/json; charset=utf-8\r\n",
             id, trace);
    snprintf(body, sizeof(body),
             "{\"orderId\":\"%s\",\"paymentId\":\"payment-77\",\"amount\":39.98,"
             "\"currency\":\"USD\",\"risk\":{\"score\":0.10}}",
             id);
    assert_int_equal(ask_with(f, "POST", "/messages", headers, body), 202);
    assert_value(f, "/messageId", "e-7");
    pass_ms(f, 200);
    get(f, path_of("/orders/", id, ""));
    assert_value(f, "/paymentId", "payment-77");
    assert_value(f, "/status", "SHIPPED");
    get(f, "/events?eventType=PaymentProcessed");
    assert_value(f, "/data/0/metadata/traceparent", trace);
    assert_value(f, "/data/0/payload/risk/score", "0.10");
    get(f, "/messages?encoding=cloudevents&topic=payment.processed");
    assert_value(f, "/0/traceparent", trace);
    assert_value(f, "/0/data/paymentId", "payment-77");
}

/* ---- faults of attributes -------------------------------------------------------------------- */

static void cloud_event__has_every_fault_of_its_attributes_pointed_at(void **state)
{
    static const struct {
        const char *body, *pointer;
    } rows[] = {
        { "{\"id\":\"e\",\"source\":\"/\",\"type\":\"payment.declined\",\"data\":" DATA "}",
          "/specversion" },
        { "{\"specversion\":\"1.0\",\"source\":\"/\",\"type\":\"payment.declined\",\"data\":" DATA
          "}",
          "/id" },
        { "{\"specversion\":\"1.0\",\"id\":\"e\",\"type\":\"payment.declined\",\"data\":" DATA "}",
          "/source" },
        { "{\"specversion\":\"1.0\",\"id\":\"e\",\"source\":\"/\",\"data\":" DATA "}", "/type" },
        { "{\"specversion\":\"1.0\",\"id\":null,\"source\":\"/\",\"type\":\"payment.declined\","
          "\"data\":" DATA "}",
          "/id" },
        { "{\"specversion\":\"0.3\",\"id\":\"e\",\"source\":\"/\",\"type\":\"payment.declined\","
          "\"data\":" DATA "}",
          "/specversion" },
        { "{\"specversion\":1.0,\"id\":\"e\",\"source\":\"/\",\"type\":\"payment.declined\","
          "\"data\":" DATA "}",
          "/specversion" },
        { HEAD_OF("", "payment.declined") ",\"data\":" DATA "}", "/id" },
        { HEAD_OF("a b", "payment.declined") ",\"data\":" DATA "}", "/id" },
        { HEAD_OF("a", "payment.unheard") ",\"data\":" DATA "}", "/type" },
        { HEAD_OF("a", "") ",\"data\":" DATA "}", "/type" },
        { HEAD_OF("a", "stock.taken") ",\"data\":" DATA "}", "/type" },
        { "{\"specversion\":\"1.0\",\"id\":\"e\",\"source\":\"our shop\",\"type\":"
          "\"payment.declined\",\"data\":" DATA "}",
          "/source" },
        { "{\"specversion\":\"1.0\",\"id\":\"e\",\"source\":\"\",\"type\":\"payment.declined\","
          "\"data\":" DATA "}",
          "/source" },
        { HEAD ",\"data_base64\":\"e30=\"}", "/data_base64" }, /* nothing says that it is JSON */
        { HEAD_JSON ",\"data_base64\":7}", "/data_base64" },
        { HEAD_JSON ",\"data_base64\":\"\"}", "/data_base64" },
        { HEAD_JSON ",\"data_base64\":\"e30\"}", "/data_base64" },   /* no padding */
        { HEAD_JSON ",\"data_base64\":\"e3 0=\"}", "/data_base64" }, /* no digit */
        { HEAD_JSON ",\"data_base64\":\"e30_\"}", "/data_base64" },  /* of the other alphabet */
        { HEAD_JSON ",\"data_base64\":\"e30=e30=\"}", "/data_base64" },
        { HEAD_JSON ",\"data_base64\":\"ezA=\"}", "/data_base64" }, /* {0 */
        { HEAD_JSON ",\"data_base64\":\"W10=\"}", "/data_base64" }, /* [] */
        { HEAD_JSON ",\"data_base64\":\"eyJvcmRlcklkIjoiYSJ9\"}", "/data_base64/reason" },
        { HEAD_JSON
          ",\"data_base64\":\"eyJhIjoxLCJhIjoxLCJvcmRlcklkIjoiYSIsInJlYXNvbiI6ImIifQ==\"}",
          "/data_base64/a" }, /* there twice */
        { HEAD ",\"datacontenttype\":\"text/xml\",\"data_base64\":\"e30=\"}", "/datacontenttype" },
        { HEAD ",\"data\":" DATA ",\"data_base64\":\"e30=\"}", "/data_base64" },
        { HEAD "}", "/data" },
        { HEAD ",\"data\":null}", "/data" },
        { HEAD ",\"data\":\"{}\"}", "/data" },
        { HEAD ",\"data\":[]}", "/data" },
        { HEAD ",\"datacontenttype\":\"text/xml\",\"data\":" DATA "}", "/datacontenttype" },
        { HEAD ",\"datacontenttype\":\"\",\"data\":" DATA "}", "/datacontenttype" },
        { HEAD ",\"dataschema\":\"a b\",\"data\":" DATA "}", "/dataschema" },
        { HEAD ",\"subject\":\"\",\"data\":" DATA "}", "/subject" },
        { HEAD ",\"subject\":7,\"data\":" DATA "}", "/subject" },
        { HEAD ",\"subject\":\"a\\u0007b\",\"data\":" DATA "}", "/subject" },
        { HEAD ",\"subject\":\"a\\u007fb\",\"data\":" DATA "}", "/subject" },
        { HEAD ",\"subject\":\"a\\u009fb\",\"data\":" DATA "}", "/subject" },
        { HEAD ",\"time\":\"yesterday\",\"data\":" DATA "}", "/time" },
        { HEAD ",\"time\":\"2026-02-30T00:00:00Z\",\"data\":" DATA "}", "/time" },
        { HEAD ",\"correlationid\":\"other\",\"data\":" DATA "}", "/correlationid" },
        { HEAD ",\"correlationid\":\"a b\",\"data\":" DATA "}", "/correlationid" },
        { HEAD ",\"Sender\":\"x\",\"data\":" DATA "}", "/Sender" },
        { HEAD ",\"a_b\":\"x\",\"data\":" DATA "}", "/a_b" },
        { HEAD ",\"\":\"x\",\"data\":" DATA "}", "/" },
        { HEAD ",\"sender\":{},\"data\":" DATA "}", "/sender" },
        { HEAD ",\"sender\":[1],\"data\":" DATA "}", "/sender" },
        { HEAD ",\"sender\":1.5,\"data\":" DATA "}", "/sender" },
        { HEAD ",\"sender\":2147483648,\"data\":" DATA "}", "/sender" },
        { HEAD ",\"sender\":-2147483649,\"data\":" DATA "}", "/sender" },
        { HEAD ",\"id\":\"e-1\",\"data\":" DATA "}", "/id" },
        { HEAD ",\"data\":{\"orderId\":\"elsewhere\"}}", "/data/reason" },
        { HEAD ",\"data\":{\"orderId\":\"a b\",\"reason\":\"no\"}}", "/data/orderId" },
        { "[]", "" },
        { "7", "" },
    };
    struct api_fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        send_event(f, rows[i].body);
        if (strcmp(pointer_of_fault(f), rows[i].pointer) != 0)
            fail_msg("%s: %s", rows[i].body, f->body.p);
    }
    assert_declined(f, 0);
}

static void cloud_event__may_have_what_the_specification_allows(void **state)
{
    static const char *const bodies[] = {
        HEAD ",\"data\":" DATA "}",
        HEAD ",\"datacontenttype\":\"application/json\",\"data\":" DATA "}",
        HEAD ",\"datacontenttype\":\"application/vnd.pay+json; charset=utf-8\",\"data\":" DATA "}",
        HEAD ",\"dataschema\":\"https://pay.example/schema#1\",\"data\":" DATA "}",
        HEAD ",\"subject\":\"what \xe2\x82\xac it likes\",\"time\":null,\"data\":" DATA "}",
        HEAD ",\"time\":\"2026-11-20t12:00:00.123456z\",\"data\":" DATA "}",
        HEAD ",\"correlationid\":\"elsewhere\",\"partitionkey\":\"p\",\"data\":" DATA "}",
        HEAD ",\"sequence\":\"7\",\"traceparent\":\"none\",\"tracestate\":\"\",\"data\":" DATA "}",
        HEAD ",\"a\":true,\"b\":false,\"c\":2147483647,\"d\":-2147483648,\"e\":null,\"data\":" DATA
             "}",
        HEAD ",\"data_base64\":null,\"data\":" DATA "}",
        HEAD ",\"datacontenttype\":\"text/json\",\"data\":" DATA "}",
        HEAD ",\"data_base64\":" BASE64 ",\"datacontenttype\":\"application/json\",\"data\":null}",
    };
    struct api_fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        if (send_event(f, bodies[i]) != 202)
            fail_msg("%s: %s", bodies[i], f->body.p);
    }
    assert_declined(f, 1);
}

static void cloud_event__has_every_fault_of_its_header_fields_named(void **state)
{
#define JSON "Content-Type: application/json\r\n"
#define CE(version, id, source, type)                                                              \
    "ce-specversion: " version "\r\nce-id: " id "\r\nce-source: " source "\r\nce-type: " type      \
    "\r\n" JSON
#define FINE CE("1.0", "e", "/", "payment.declined")
    static const struct {
        const char *headers, *name;
    } rows[] = {
        { "ce-id: e\r\nce-source: /\r\nce-type: payment.declined\r\n" JSON, "ce-specversion" },
        { "ce-specversion: 1.0\r\nce-source: /\r\nce-type: payment.declined\r\n" JSON, "ce-id" },
        { "ce-specversion: 1.0\r\nce-id: e\r\nce-type: payment.declined\r\n" JSON, "ce-source" },
        { "ce-specversion: 1.0\r\nce-id: e\r\nce-source: /\r\n" JSON, "ce-type" },
        { CE("1.1", "e", "/", "payment.declined"), "ce-specversion" },
        { CE("1.0", "a%20b", "/", "payment.declined"), "ce-id" },
        { CE("1.0", "", "/", "payment.declined"), "ce-id" },
        { CE("1.0", "\"\"", "/", "payment.declined"), "ce-id" },
        { CE("1.0", "e%", "/", "payment.declined"), "ce-id" },
        { CE("1.0", "\"e", "/", "payment.declined"), "ce-id" },
        { CE("1.0", "e", "a%20b", "payment.declined"), "ce-source" },
        { CE("1.0", "e", "/", "weather.changed"), "ce-type" },
        { FINE "ce-subject: \r\n", "ce-subject" },
        { FINE "ce-subject: %C0%A0\r\n", "ce-subject" },
        { FINE "ce-subject: \xe2\x82\xac\r\n", "ce-subject" },
        { FINE "ce-subject: a%07\r\n", "ce-subject" },
        { FINE "ce-subject: a%00b\r\n", "ce-subject" },
        { FINE "ce-subject: 100% sure\r\n", "ce-subject" },
        { FINE "ce-sender: %zz\r\n", "ce-sender" },
        { FINE "ce-time: noon\r\n", "ce-time" },
        { FINE "ce-datacontenttype: application/json\r\n", "ce-datacontenttype" },
        { FINE "ce-data: 7\r\n", "ce-data" },
        { FINE "ce-my-own: 7\r\n", "ce-my-own" },
        { FINE "ce-: 7\r\n", "ce-" },
        { FINE "ce-id: e\r\n", "ce-id" },
        { FINE "ce-sender: a\r\nCE-Sender: b\r\n", "ce-sender" },
        { FINE "ce-correlationid: other\r\n", "ce-correlationid" },
    };
    struct api_fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ask_with(f, "POST", "/messages", rows[i].headers, DATA);
        if (strcmp(header_of_fault(f), rows[i].name) != 0)
            fail_msg("%s: %s", rows[i].headers, f->body.p);
    }
    assert_declined(f, 0);
    /* Blanks were allowed once, and quotes still are. */
    assert_int_equal(ask_with(f, "POST", "/messages",
                              FINE "ce-subject: a b\r\nce-sender: \"x \\\"y\\\"\"\r\n", DATA),
                     202);
    assert_declined(f, 1);
}

static void cloud_event__in_binary_mode_has_its_payload_for_a_body(void **state)
{
    struct api_fixture *f = *state;

    ask_with(f, "POST", "/messages", BINARY, "{\"orderId\":\"elsewhere\"}");
    assert_string_equal(pointer_of_fault(f), "/reason");
    ask_with(f, "POST", "/messages", BINARY, "[1]");
    assert_string_equal(pointer_of_fault(f), "");
    ask_with(f, "POST", "/messages", BINARY, "{");
    assert_problem(f, 400, "malformed_json");
    ask_with(f, "POST", "/messages", BINARY, "");
    assert_problem(f, 400, "validation");
    ask_with(f, "POST", "/messages",
             "ce-specversion: 1.0\r\nce-id: e-1\r\nce-source: /pay\r\nce-type: payment.declined\r\n"
             "Content-Type: text/plain\r\n",
             DATA);
    assert_problem(f, 415, "unsupported_media_type");
    assert_declined(f, 0);
}

/* The attributes are told first to who sends none. */
static void messages__without_a_topic_must_be_cloud_events(void **state)
{
    struct api_fixture *f = *state;

    assert_int_equal(post(f, "/messages", "{\"messageId\":\"m\",\"payload\":" DATA "}"), 400);
    assert_problem(f, 400, "validation");
    assert_int_equal(count(f, "/errors"), 4);
    assert_value(f, "/errors/0/header", "ce-specversion");
    assert_value(f, "/errors/3/header", "ce-type");
    ask_with(f, "POST", "/messages", "Content-Type: application/cloudevents+avro\r\n", "x");
    assert_problem(f, 415, "unsupported_media_type");
    ask_with(f, "POST", "/messages/payment.declined",
             "Content-Type: application/cloudevents-batch+protobuf\r\n", "x");
    assert_problem(f, 415, "unsupported_media_type");
    ask_with(f, "POST", "/messages",
             "Content-Type: application/cloudevents+json; charset=latin1\r\n", EVENT("e-1"));
    assert_problem(f, 415, "unsupported_media_type");
    /* A stray field of somebody else's makes no CloudEvent of a message. */
    assert_int_equal(ask_with(f, "POST", "/messages/payment.declined", "ce-sender: x\r\n",
                              "{\"messageId\":\"m\",\"payload\":" DATA "}"),
                     202);
    /* In structured mode header fields are copies, and are not looked at. */
    assert_int_equal(
        ask_with(f, "POST", "/messages", "ce-id: other\r\nce-time: x\r\n" STRUCTURED, EVENT("e-1")),
        202);
    assert_value(f, "/messageId", "e-1");
}

static void cloud_event__of_another_topic_than_the_path_or_of_orders_is_refused(void **state)
{
    struct api_fixture *f = *state;

    ask_with(f, "POST", "/messages/payment.failed", STRUCTURED, EVENT("e-1"));
    assert_string_equal(pointer_of_fault(f), "/type");
    ask_with(f, "POST", "/messages/stock.reserved", BINARY, DATA);
    assert_string_equal(header_of_fault(f), "ce-type");
    ask_with(f, "POST", "/messages/order.paid", STRUCTURED, EVENT("e-1"));
    assert_problem(f, 403, "forbidden_topic");
    ask_with(f, "POST", "/messages/weather", STRUCTURED, "{");
    assert_problem(f, 404, "not_found");
    send_event(f, HEAD_OF("e", "order.paid") ",\"data\":" DATA "}");
    assert_problem(f, 403, "forbidden_topic");
    assert_value(f, "/errors/0/pointer", "/type");
    ask_with(f, "POST", "/messages", CE("1.0", "e", "/", "order.anything"), DATA);
    assert_problem(f, 403, "forbidden_topic");
    assert_value(f, "/errors/0/header", "ce-type");
    ask_with(f, "POST", "/messages", BATCH, "[" EVENT("e-1") "," HEAD_OF("e-2", "order.paid") "}]");
    assert_problem(f, 403, "forbidden_topic");
    assert_declined(f, 0);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void cloud_event__has_an_id_of_up_to_its_bound(void **state)
{
    struct api_fixture *f = *state;
    char id[TEXT_ID_MAX + 2], body[512], headers[512];

    for (size_t n = TEXT_ID_MAX; n <= TEXT_ID_MAX + 1; n++) {
        bool is_fine = n == TEXT_ID_MAX;

        memset(id, 'i', n);
        id[n] = 0;
        snprintf(body, sizeof(body),
                 "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":\"/pay\",\"type\":"
                 "\"payment.declined\",\"data\":" DATA "}",
                 id);
        snprintf(headers, sizeof(headers),
                 "ce-specversion: 1.0\r\nce-id: %s\r\nce-source: /pay\r\nce-type: "
                 "payment.declined\r\n" JSON,
                 id);
        assert_int_equal(send_event(f, body), is_fine ? 202 : 400);
        if (!is_fine)
            assert_string_equal(pointer_of_fault(f), "/id");
        assert_int_equal(ask_with(f, "POST", "/messages", headers, DATA), is_fine ? 202 : 400);
        if (!is_fine)
            assert_string_equal(header_of_fault(f), "ce-id");
    }
}

/* Escaped the value may be three times as long. */
static void cloud_event__has_attributes_of_up_to_their_bound(void **state)
{
    static const char *const names[] = { "subject", "sender", "source" };
    struct api_fixture *f = *state;
    char *text = mem_alloc(3 * CLOUD_ATTRIBUTE_BYTES_MAX + 8);
    struct buf b = { NULL, 0, 0 };

    for (size_t i = 0; i < 2 * ARRAY_LEN(names); i++) {
        const char *name = names[i / 2];
        size_t n = CLOUD_ATTRIBUTE_BYTES_MAX + i % 2;
        bool is_source = strcmp(name, "source") == 0, is_fine = i % 2 == 0;

        memset(text, 'x', n);
        text[n] = 0;
        b.n = 0;
        buf_printf(&b,
                   "{\"specversion\":\"1.0\",\"id\":\"s-%zu\",\"type\":\"payment.declined\","
                   "\"%s\":\"%s\",%s\"data\":" DATA "}",
                   i, name, text, is_source ? "" : "\"source\":\"/pay\",");
        buf_add(&b, "", 1);
        assert_int_equal(send_event(f, b.p), is_fine ? 202 : 400);
        if (!is_fine)
            assert_string_equal(pointer_of_fault(f) + 1, name);
        text[0] = 0;
        for (size_t j = 0; j < n; j++)
            memcpy(text + 3 * j, "%78", 4);
        b.n = 0;
        buf_printf(&b,
                   "ce-specversion: 1.0\r\nce-id: b-%zu\r\nce-type: payment.declined\r\n%s"
                   "ce-%s: %s\r\n" JSON,
                   i, is_source ? "" : "ce-source: /pay\r\n", name, text);
        buf_add(&b, "", 1);
        assert_int_equal(ask_with(f, "POST", "/messages", b.p, DATA), is_fine ? 202 : 400);
        if (!is_fine)
            assert_string_equal(header_of_fault(f) + 3, name);
    }
    buf_deinit(&b);
    mem_free(text);
}

static void batch__has_events_up_to_its_bound(void **state)
{
    struct api_fixture *f = *state;
    struct buf b = { NULL, 0, 0 };

    for (unsigned n = CLOUD_BATCH_MAX; n <= CLOUD_BATCH_MAX + 1; n++) {
        b.n = 0;
        for (unsigned i = 0; i < n; i++)
            buf_printf(&b,
                       "%s{\"specversion\":\"1.0\",\"id\":\"e-%u-%u\",\"source\":\"/\",\"type\":"
                       "\"payment.declined\",\"data\":{\"orderId\":\"o-%u\",\"reason\":\"no\"}}",
                       i ? "," : "[", n, i, i % 7);
        buf_add(&b, "]", 2);
        ask_with(f, "POST", "/messages", BATCH, b.p);
        if (n > CLOUD_BATCH_MAX) {
            assert_string_equal(pointer_of_fault(f), "");
            break;
        }
        assert_int_equal(f->status, 202);
        assert_int_equal(count(f, "/results"), n);
    }
    assert_declined(f, CLOUD_BATCH_MAX);
    buf_deinit(&b);
}

static void batch__is_bounded_in_bytes_as_every_message(void **state)
{
    struct api_fixture *f = *state;

    for (size_t n = 256 * 1024; n <= 256 * 1024 + 1; n++) {
        char *body = mem_alloc(n + 1);

        memset(body, ' ', n);
        memcpy(body, "[" EVENT("e-1"), strlen("[" EVENT("e-1")));
        body[n - 1] = ']';
        body[n] = 0;
        ask_with(f, "POST", "/messages", BATCH, body);
        assert_int_equal(f->status, n == 256 * 1024 ? 202 : 413);
        mem_free(body);
    }
}

/* ---- batches --------------------------------------------------------------------------------- */

static void batch__is_answered_in_its_order(void **state)
{
    struct api_fixture *f = *state;

    ask_with(f, "POST", "/messages", BATCH, "[]");
    assert_int_equal(f->status, 202);
    assert_body(f, "{\"results\":[]}");
    ask_with(
        f, "POST", "/messages", BATCH,
        "[" EVENT("e-1") "," EVENT("e-2") "," HEAD_OF(
            "e-3", "stock.rejected") ",\"data\":{"
                                     "\"orderId\":\"other\",\"reason\":\"no\"}}," EVENT("e-1") "]");
    assert_int_equal(f->status, 202);
    assert_int_equal(count(f, "/results"), 4);
    assert_value(f, "/results/0/messageId", "e-1");
    assert_value(f, "/results/1/messageId", "e-2");
    assert_value(f, "/results/2/messageId", "e-3");
    assert_value(f, "/results/3/messageId", "e-1");
    {
        unsigned long first = strtoul(value(f, "/results/0/position"), NULL, 10);
        unsigned long second = strtoul(value(f, "/results/1/position"), NULL, 10);

        assert_true(first < second); /* one order's, so one after the other */
        assert_int_equal(strtoul(value(f, "/results/3/position"), NULL, 10), first);
    }
    assert_declined(f, 2);
}

static void batch__with_a_fault_is_refused_as_a_whole(void **state)
{
    struct api_fixture *f = *state;

    ask_with(
        f, "POST", "/messages", BATCH,
        "[" EVENT(
            "e-1") "," HEAD ",\"data\":{\"orderId\":\"elsewhere\"}},7,"
                   "{\"specversion\":\"1.0\",\"source\":\"/\",\"type\":\"payment.declined\",\"data\":" DATA
                   "}]");
    assert_problem(f, 400, "validation");
    assert_int_equal(count(f, "/errors"), 3);
    assert_value(f, "/errors/0/pointer", "/1/data/reason");
    assert_value(f, "/errors/1/pointer", "/2");
    assert_value(f, "/errors/2/pointer", "/3/id");
    ask_with(f, "POST", "/messages", BATCH, EVENT("e-1"));
    assert_string_equal(pointer_of_fault(f), "");
    ask_with(f, "POST", "/messages", BATCH, "");
    assert_string_equal(pointer_of_fault(f), "");
    ask_with(f, "POST", "/messages", BATCH, "[");
    assert_problem(f, 400, "malformed_json");
    assert_declined(f, 0);
}

/* What can be taken is; the answer is a refusal all the same, so that nobody takes it for done. */
static void batch__that_was_taken_in_part_says_of_each_what_became_of_it(void **state)
{
    struct api_fixture *f = *state;

    assert_int_equal(send_event(f, EVENT("e-1")), 202);
    ask_with(f, "POST", "/messages", BATCH,
             "[" EVENT("e-0") "," HEAD
                              ",\"data\":{\"orderId\":\"elsewhere\",\"reason\":\"other\"}}," EVENT(
                                  "e-2") "]");
    assert_problem(f, 422, "idempotency_mismatch");
    assert_header(f, "Retry-After", "");
    assert_int_equal(count(f, "/results"), 3);
    assert_value(f, "/results/0/messageId", "e-0");
    assert_true(strtoul(value(f, "/results/0/position"), NULL, 10) > 0);
    assert_value(f, "/results/1/messageId", "e-1");
    assert_value(f, "/results/1/problem/status", "422");
    assert_value(f, "/results/1/problem/code", "idempotency_mismatch");
    assert_value(f, "/results/2/messageId", "e-2");
    assert_true(strtoul(value(f, "/results/2/position"), NULL, 10) > 0);
    assert_declined(f, 3);
}

/* Refused for now: what comes behind it in its order is not tried, so that the order of one order's
 * messages is the sender's when all of it comes again. Other orders are none of its business. */
static void batch__stops_an_order_at_what_is_refused_for_now(void **state)
{
#define OTHER(id)                                                                                  \
    HEAD_OF(id, "payment.declined") ",\"data\":{\"orderId\":\"other\",\"reason\":\"no\"}}"
    static const char body[] =
        "[" EVENT("e-1") "," OTHER("o-1") "," OTHER("o-2") "," EVENT("e-1") "," OTHER("o-1") "]";
    struct api_fixture *f = *state;
    uint64_t most = app_bus(f->app.app)->dead_letters_max;

    assert_int_equal(send_event(f, EVENT("e-1")), 202);
    app_bus(f->app.app)->dead_letters_max = 0; /* takes no new message, and knows the old ones */
    ask_with(f, "POST", "/messages", BATCH, body);
    assert_problem(f, 503, "overloaded");
    assert_header(f, "Retry-After", "60");
    assert_int_equal(count(f, "/results"), 5);
    assert_true(strtoul(value(f, "/results/0/position"), NULL, 10) > 0);
    assert_value(f, "/results/1/problem/code", "overloaded");
    assert_value(f, "/results/1/problem/detail", "Too many dead letters are open.");
    assert_value(f, "/results/2/problem/code", "overloaded");
    assert_non_null(strstr(value(f, "/results/2/problem/detail"), "Not tried"));
    assert_true(strtoul(value(f, "/results/3/position"), NULL, 10) > 0);
    assert_non_null(strstr(value(f, "/results/4/problem/detail"), "Not tried"));
    assert_declined(f, 1);

    app_bus(f->app.app)->dead_letters_max = most;
    assert_int_equal(ask_with(f, "POST", "/messages", BATCH, body), 202);
    assert_int_equal(count(f, "/results"), 5);
    assert_declined(f, 3);
}

/* The answer waits for the last commit, and for the client that has sent one of them before. */
static void batch__is_answered_when_all_of_it_is_durable(void **state)
{
    struct api_fixture *f = *state;
    struct loopback second;
    struct buf b = { NULL, 0, 0 };

    f->app.is_store_held = true;
    ask_start(f, "POST", "/messages", STRUCTURED, EVENT("e-1"));
    assert_int_equal(f->status, 0);
    loopback_connect(&second, &f->server);
    buf_printf(&b, "POST /messages HTTP/1.1\r\nHost: a\r\n" BATCH "Content-Length: %zu\r\n\r\n%s",
               strlen("[" EVENT("e-1") "," OTHER("o-1") "]"),
               "[" EVENT("e-1") "," OTHER("o-1") "]");
    loopback_send(&second, buf_str(&b));
    settle(f);
    loopback_turn(&second);
    assert_int_equal(second.received.n, 0);
    f->app.is_store_held = false;
    settle(f);
    for (int i = 0; i < 4; i++)
        loopback_turn(&second);
    take_answer(f, true);
    assert_int_equal(f->status, 202);
    buf_add(&second.received, "", 1);
    assert_non_null(strstr(second.received.p, "HTTP/1.1 409 "));
    assert_non_null(strstr(second.received.p, "Retry-After: 1\r\n"));
    assert_non_null(strstr(second.received.p, "\"code\":\"idempotency_in_flight\""));
    assert_non_null(strstr(second.received.p, "{\"messageId\":\"o-1\",\"position\":"));
    loopback_deinit(&second);
    buf_deinit(&b);
    assert_int_equal(ask_with(f, "POST", "/messages", BATCH, "[" EVENT("e-1") "," OTHER("o-1") "]"),
                     202);
    assert_declined(f, 2);
}

/* ---- the prefix ------------------------------------------------------------------------------ */

static void type__may_have_the_configured_prefix(void **state)
{
    struct api_fixture *f = *state;

    loopback_deinit(&f->client);
    app_fixture_settle(&f->app);
    http_server_deinit(&f->server);
    api_destroy(f->api);
    f->api = api_create(
        &(struct api_config){ .app = f->app.app,
                              .log = &f->app.log.log,
                              .version = STR("1.2.3"),
                              .cloud = { STR("https://shop.example"), STR("com.example.") },
                              .epoch = STR("0123456789abcdef") });
    {
        struct http_config http = { .handler = api_handler(f->api), .clock = &f->app.ms.scheduler };

        http_limits_set_defaults(&http.limits);
        http_server_init(&f->server, &http);
    }
    api_attach(f->api, &f->server);
    loopback_connect(&f->client, &f->server);
    f->seen = 0;

    assert_int_equal(
        send_event(f, HEAD_OF("e-1", "com.example.payment.declined") ",\"data\":" DATA "}"), 202);
    assert_int_equal(send_event(f, EVENT("e-1")), 202); /* the same one without it */
    assert_declined(f, 1);
    send_event(f, HEAD_OF("e-2", "com.example.order.paid") ",\"data\":" DATA "}");
    assert_problem(f, 403, "forbidden_topic");
    send_event(f, HEAD_OF("e-2", "com.other.payment.declined") ",\"data\":" DATA "}");
    assert_string_equal(pointer_of_fault(f), "/type");
    get(f, "/messages?encoding=cloudevents&topic=payment.declined");
    assert_value(f, "/0/type", "com.example.payment.declined");
    assert_value(f, "/0/source", "https://shop.example");
    assert_value(f, "/0/subject", "elsewhere");
    /* What we have said can be said to us: only the id is another one's. */
    get(f, "/messages?topic=com.example.payment.declined");
    assert_problem(f, 400, "validation");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(cloud_event__takes_the_road_of_every_message),
        TEST(cloud_event__in_protobuf_is_the_same_as_in_json),
        TEST(cloud_event__under_a_known_id_is_another_by_type_source_or_data),
        TEST(cloud_event__moves_the_order_and_keeps_its_trace),
        TEST(cloud_event__has_every_fault_of_its_attributes_pointed_at),
        TEST(cloud_event__may_have_what_the_specification_allows),
        TEST(cloud_event__has_every_fault_of_its_header_fields_named),
        TEST(cloud_event__in_binary_mode_has_its_payload_for_a_body),
        TEST(messages__without_a_topic_must_be_cloud_events),
        TEST(cloud_event__of_another_topic_than_the_path_or_of_orders_is_refused),
        TEST(cloud_event__has_an_id_of_up_to_its_bound),
        TEST(cloud_event__has_attributes_of_up_to_their_bound),
        TEST(batch__has_events_up_to_its_bound),
        TEST(batch__is_bounded_in_bytes_as_every_message),
        TEST(batch__is_answered_in_its_order),
        TEST(batch__with_a_fault_is_refused_as_a_whole),
        TEST(batch__that_was_taken_in_part_says_of_each_what_became_of_it),
        TEST(batch__stops_an_order_at_what_is_refused_for_now),
        TEST(batch__is_answered_when_all_of_it_is_durable),
        TEST(type__may_have_the_configured_prefix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
