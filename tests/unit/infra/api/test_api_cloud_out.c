/* GET /messages as CloudEvents: who gets them, and what they say. */
#include "api_fixture.h"

#define BATCH "application/cloudevents-batch+json"

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

static int get_accept(struct api_fixture *f, const char *target, const char *accept)
{
    char headers[512];

    snprintf(headers, sizeof(headers), "Accept: %s\r\n", accept);
    return ask_with(f, "GET", target, headers, NULL);
}

static void messages__are_cloud_events_where_accept_wants_them(void **state)
{
    static const struct {
        const char *accept, *type; /* NULL: 406 */
    } rows[] = {
        { BATCH, BATCH },
        { "Application/CloudEvents-Batch+JSON; charset=utf-8", BATCH },
        { BATCH ", application/json", BATCH },
        { "application/json, " BATCH, BATCH },
        { "application/json;q=0.5, " BATCH ";q=0.6", BATCH },
        { "application/json;q=0.6, " BATCH ";q=0.5", "application/json" },
        { BATCH ";q=0, application/json", "application/json" },
        { "*/*", "application/json" },
        { "application/*", "application/json" },
        { "application/json", "application/json" },
        { "application/vnd.shop+json", "application/json" },
        { "application/cloudevents+json, application/json", "application/json" },
        { "application/cloudevents+json, */*;q=0.1", "application/json" },
        { "application/cloudevents+json, " BATCH, BATCH },
        { "application/cloudevents+json", NULL },
        { "application/cloudevents+json, */*;q=0", NULL },
        { "text/html", NULL },
    };
    struct api_fixture *f = *state;

    (void)new_order(f);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int status = get_accept(f, "/messages", rows[i].accept);

        if (status != (rows[i].type ? 200 : 406))
            fail_msg("%d for %s", status, rows[i].accept);
        if (status == 406)
            assert_problem(f, 406, "not_acceptable");
        else
            assert_header(f, "Content-Type", rows[i].type);
    }
}

/* For clients that can't set a header; so it has the last word. */
static void messages__are_cloud_events_where_the_query_says_so(void **state)
{
    struct api_fixture *f = *state;

    (void)new_order(f);
    assert_int_equal(get(f, "/messages?encoding=cloudevents"), 200);
    assert_header(f, "Content-Type", BATCH);
    assert_int_equal(get_accept(f, "/messages?encoding=cloudevents", "application/json"), 200);
    assert_header(f, "Content-Type", BATCH);
    assert_int_equal(get_accept(f, "/messages?encoding=json", BATCH), 200);
    assert_header(f, "Content-Type", "application/json");
    get(f, "/messages?encoding=avro");
    assert_problem(f, 400, "validation");
    assert_value(f, "/errors/0/parameter", "encoding");
    get(f, "/events?encoding=cloudevents");
    assert_problem(f, 400, "validation");
}

static void messages__say_as_cloud_events_what_they_say_as_json(void **state)
{
    static const struct {
        const char *json, *cloud;
    } same[] = {
        { "messageId", "id" },
        { "topic", "type" },
        { "timestamp", "time" },
        { "correlationId", "subject" },
        { "correlationId", "partitionkey" },
        { "correlationId", "correlationid" },
    };
    struct api_fixture *f = *state;
    char batch[16384], pointer[64], text[512];
    size_t n;
    yyjson_doc *doc;

    (void)new_order(f);
    pass_ms(f, 1000);
    assert_int_equal(get(f, "/messages?encoding=cloudevents&topic=order.*"), 200);
    n = f->body.n;
    assert_true(n < sizeof(batch));
    memcpy(batch, f->body.p, n);
    doc = yyjson_read(batch, n, YYJSON_READ_NUMBER_AS_RAW);
    assert_non_null(doc);
    assert_int_equal(get(f, "/messages?topic=order.*"), 200);
    assert_int_equal(count(f, "/data"), 4);
    assert_int_equal(yyjson_arr_size(yyjson_doc_get_root(doc)), 4);
    for (unsigned i = 0; i < 4; i++) {
        yyjson_val *event = yyjson_arr_get(yyjson_doc_get_root(doc), i);
        yyjson_val *message = yyjson_arr_get(yyjson_doc_ptr_get(f->json, "/data"), i);
        char *data, *payload;

        for (size_t j = 0; j < ARRAY_LEN(same); j++)
            assert_string_equal(yyjson_get_str(yyjson_obj_get(event, same[j].cloud)),
                                yyjson_get_str(yyjson_obj_get(message, same[j].json)));
        data = yyjson_val_write(yyjson_obj_get(event, "data"), 0, NULL);
        payload = yyjson_val_write(yyjson_obj_get(message, "payload"), 0, NULL);
        assert_string_equal(data, payload);
        free(data);
        free(payload);
        snprintf(pointer, sizeof(pointer), "/data/%u/position", i);
        snprintf(text, sizeof(text), "%020lu", strtoul(value(f, pointer), NULL, 10));
        assert_string_equal(yyjson_get_str(yyjson_obj_get(event, "sequence")), text);
        assert_string_equal(yyjson_get_str(yyjson_obj_get(event, "source")), "/orderly");
        assert_string_equal(yyjson_get_str(yyjson_obj_get(event, "specversion")), "1.0");
        assert_true((yyjson_obj_get(event, "causationid") != NULL) == (i > 0));
    }
    yyjson_doc_free(doc);
}

/* The body is the batch and nothing else; where the next one is says Link, and the sequence of the
 * last event is a place to go on from, too. */
static void messages__as_cloud_events_are_walked_by_their_links(void **state)
{
    struct api_fixture *f = *state;
    char next[1024] = "/messages?limit=2&encoding=cloudevents", after[256];
    unsigned n = 0, pages = 0;

    (void)new_order(f);
    pass_ms(f, 1000);
    while (next[0]) {
        const char *link, *end;

        assert_int_equal(get(f, next), 200);
        n += (unsigned)yyjson_arr_size(yyjson_doc_get_root(f->json));
        pages++;
        link = header(f, "Link");
        end = strchr(link, '>');
        if (end)
            snprintf(next, sizeof(next), "%.*s", (int)(end - link - 1), link + 1);
        else
            next[0] = 0;
        assert_true(pages < 20);
        if (pages == 1)
            snprintf(after, sizeof(after), "/messages?encoding=cloudevents&after=%.20s",
                     value(f, "/1/sequence"));
    }
    assert_int_equal(get(f, "/messages"), 200);
    assert_int_equal(count(f, "/data"), n);
    assert_int_equal(get(f, after), 200);
    assert_int_equal(yyjson_arr_size(yyjson_doc_get_root(f->json)), n - 2);
}

static void messages__that_are_none_are_an_empty_batch(void **state)
{
    struct api_fixture *f = *state;

    assert_int_equal(get(f, "/messages?encoding=cloudevents&topic=shipment.delivered"), 200);
    assert_body(f, "[]");
    assert_header(f, "Content-Type", BATCH);
    assert_int_equal(ask_with(f, "HEAD", "/messages", "Accept: " BATCH "\r\n", NULL), 200);
    assert_header(f, "Content-Type", BATCH);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(messages__are_cloud_events_where_accept_wants_them),
        TEST(messages__are_cloud_events_where_the_query_says_so),
        TEST(messages__say_as_cloud_events_what_they_say_as_json),
        TEST(messages__as_cloud_events_are_walked_by_their_links),
        TEST(messages__that_are_none_are_an_empty_batch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
