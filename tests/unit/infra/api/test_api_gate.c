/* What every request passes: routing, methods, access, content, and the answers of the core. */
#include "../../../../src/app/app_private.h"
#include "../../../../src/infra/api/refusals.h"
#include "api_fixture.h"
#include <sys/stat.h>
#include <unistd.h>

static int setup(void **state)
{
    static struct api_fixture f;

    api_fixture_init(&f);
    *state = &f;
    return 0;
}

/* With room for a few orders. */
static int setup_small(void **state)
{
    static struct api_fixture f;
    struct app_config config = app_fixture_config();

    api_fixture_init_bounded(&f, &config, 200);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    api_fixture_deinit(*state);
    return 0;
}

#define SHOP "shop-token-0000000000000000000000001"
#define BOSS "boss-token-0000000000000000000000002"
#define CARRIER "carr-token-0000000000000000000000003"
#define AS(token) "Authorization: Bearer " token "\r\n"

static void load_tokens(struct api_fixture *f, const char *text)
{
    char path[] = "/tmp/orderly-tokens-XXXXXX";
    int fd = mkstemp(path);
    struct str why;

    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, 0600), 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
    assert_int_equal(api_load_tokens(f->api, path, &why), ERR_OK);
    assert_int_equal(unlink(path), 0);
    /* The file has gone: what was loaded stays. */
    assert_int_equal(api_reload_tokens(f->api, &why), ERR_IO);
    assert_true(why.n > 0);
}
#define TOKENS "customer " SHOP "\noperator " BOSS "\ncontext " CARRIER "\n"

/* ---- routing --------------------------------------------------------------------------------- */

static void gate__answers_404_and_405(void **state)
{
    struct api_fixture *f = *state;

    get(f, "/nothing");
    assert_problem(f, 404, "not_found");
    assert_value(f, "/title", "Not Found");
    get(f, "/orders/");
    assert_problem(f, 404, "not_found");
    ask(f, "DELETE", "/orders", NULL);
    assert_problem(f, 405, "method_not_allowed");
    assert_header(f, "Allow", "GET, HEAD, POST, OPTIONS");
    ask(f, "TRACE", "/orders", NULL);
    assert_problem(f, 405, "method_not_allowed");
    get(f, "/orders/%zz");
    assert_problem(f, 400, "bad_request");
    get(f, "/orders/0199a1f3-0000-7000-8000-000000000000/explain");
    assert_problem(f, 404, "not_found");
}

static void gate__answers_options_and_head(void **state)
{
    struct api_fixture *f = *state;
    size_t n;

    assert_int_equal(ask(f, "OPTIONS", "/products/A", NULL), 204);
    assert_header(f, "Allow", "GET, HEAD, PATCH, OPTIONS");
    assert_int_equal(ask(f, "OPTIONS", "*", NULL), 204);
    assert_true(strlen(header(f, "Allow")) > 0);
    assert_int_equal(get(f, "/products/WIDGET-001"), 200);
    n = f->body.n;
    assert_int_equal(ask(f, "HEAD", "/products/WIDGET-001", NULL), 200);
    assert_int_equal(f->body.n, 0);
    assert_int_equal(strtoul(header(f, "Content-Length"), NULL, 10), n);
}

static void gate__keeps_the_api_prefix_in_location(void **state)
{
    struct api_fixture *f = *state;
    const char *id;

    assert_int_equal(post(f, "/api/carts", "{\"customerId\":\"c\"}"), 201);
    id = new_id(f, "/cartId");
    assert_header(f, "Location", path_of("/api/carts/", id, ""));
    assert_int_equal(get(f, path_of("/api/carts/", id, "")), 200);
    assert_int_equal(get(f, "/api/livez"), 200);
}

/* ---- content --------------------------------------------------------------------------------- */

static void gate__wants_json_and_gives_json(void **state)
{
    struct api_fixture *f = *state;

    ask_with(f, "POST", "/carts", "Content-Type: text/plain\r\n", "{\"customerId\":\"c\"}");
    assert_problem(f, 415, "unsupported_media_type");
    ask_with(f, "POST", "/carts", "Content-Type: application/x-www-form-urlencoded\r\n", "a=1");
    assert_problem(f, 415, "unsupported_media_type");
    ask_with(f, "POST", "/carts", "Content-Encoding: gzip\r\n", "{\"customerId\":\"c\"}");
    assert_problem(f, 415, "unsupported_media_type");
    ask_with(f, "POST", "/carts", "Content-Encoding: identity\r\n", "{\"customerId\":\"c\"}");
    assert_int_equal(f->status, 201);
    ask_with(f, "POST", "/carts", "Content-Type: application/x+json;charset=UTF-8\r\n",
             "{\"customerId\":\"c\"}");
    assert_int_equal(f->status, 201);
    ask_with(f, "GET", "/products", "Accept: text/html\r\n", NULL);
    assert_problem(f, 406, "not_acceptable");
    assert_int_equal(ask_with(f, "GET", "/products", "Accept: text/html, */*;q=0.1\r\n", NULL),
                     200);
    post(f, "/carts", "{\"customerId\":");
    assert_problem(f, 400, "malformed_json");
    post(f, "/carts", "{\"customerId\":\"c\",\"customerId\":\"d\"}");
    assert_problem(f, 400, "validation");
    assert_value(f, "/errors/0/pointer", "/customerId");
}

static void gate__refuses_parameters_that_it_does_not_know(void **state)
{
    struct api_fixture *f = *state;

    get(f, "/orders/0199a1f3-0000-7000-8000-000000000000?Until=PAID&wait=1s&x=1&x=2");
    assert_problem(f, 400, "validation");
    assert_value(f, "/detail", "2 fields need your attention");
    assert_value(f, "/errors/0/parameter", "Until");
    assert_value(f, "/errors/0/detail", "is not known here; these are: until, wait");
    assert_value(f, "/errors/1/parameter", "x");
    assert_value(f, "/errors/0/pointer", ""); /* a fault has one place */
    get(f, "/orders?limit=1&limit=2");
    assert_problem(f, 400, "validation");
    assert_int_equal(count(f, "/errors"), 1);
    assert_value(f, "/errors/0/parameter", "limit");
    assert_value(f, "/errors/0/detail", "is there more than once");
    get(f, "/orders?limit=0&customerId=%ff");
    assert_problem(f, 400, "validation");
    assert_value(f, "/errors/0/parameter", "customerId");
    assert_value(f, "/errors/0/detail", "is not UTF-8");
    get(f, "/orders?%ff=1");
    assert_problem(f, 400, "validation");
    assert_value(f, "/errors/0/detail", "a parameter's name is not UTF-8");
    get(f, "/orders?limit=%zz");
    assert_problem(f, 400, "validation");
    assert_int_equal(count(f, "/errors/0"), 2);
    get(f, "/livez?x=1");
    assert_problem(f, 400, "validation");
    assert_value(f, "/errors/0/parameter", "x");
    assert_value(f, "/errors/0/detail", "is not known here; this takes no parameters");
}

static void gate__names_the_parameter_or_header_that_is_wrong(void **state)
{
    struct api_fixture *f = *state;

    get(f, "/orders?limit=501&refund=no");
    assert_problem(f, 400, "validation");
    assert_value(f, "/errors/0/parameter", "refund");
    assert_value(f, "/errors/0/detail", "must be due");
    assert_value(f, "/errors/1/parameter", "limit");
    ask_with(f, "POST", "/carts", "Idempotency-Key: \xc3\xa9\r\nX-User-Id: \xc3\xa9\r\n", "{}");
    assert_problem(f, 400, "validation");
    assert_value(f, "/errors/0/header", "X-User-Id");
    assert_value(f, "/errors/1/header", "Idempotency-Key");
    assert_value(f, "/errors/1/detail", "must be 1 to 255 visible ASCII characters");
    assert_value(f, "/errors/2/pointer", "/customerId");
}

static void gate__says_what_a_missing_body_should_hold(void **state)
{
    static const struct {
        const char *method, *target, *needs;
    } rows[] = {
        { "POST", "/carts", "/customerId" },
        { "POST", "/orders", "/customerId" },
        { "POST", "/orders/checkout", "/cartId" },
        { "POST", "/orders/0199a1f3-0000-7000-8000-000000000000/cancel", "/reason" },
        { "POST", "/orders/0199a1f3-0000-7000-8000-000000000000/mark-paid", "/paymentId" },
        { "POST", "/products", "/sku" },
        { "PATCH", "/products/WIDGET-001", "" },
        { "POST", "/messages/payment.declined", "/messageId" },
        { "PUT", "/simulators/payments", "" }, /* nothing is not the default of everything */
    };
    struct api_fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ask(f, rows[i].method, rows[i].target, "");
        assert_problem(f, 400, "validation");
        assert_value(f, "/errors/0/pointer", "");
        assert_value(f, "/errors/0/detail", "the body is missing; it must be a JSON object");
        assert_value(f, "/errors/1/pointer", rows[i].needs);
    }
}

static void root__names_the_entry_points(void **state)
{
    struct api_fixture *f = *state;

    assert_int_equal(get(f, "/"), 200);
    assert_value(f, "/name", "orderly");
    assert_value(f, "/entryPoints/orders", "/orders");
    assert_value(f, "/entryPoints/ready", "/readyz");
    assert_int_equal(get(f, "/api"), 200);
    assert_value(f, "/entryPoints/orders", "/api/orders");
    assert_int_equal(get(f, "/api/"), 200);
    get(f, "//");
    assert_problem(f, 404, "not_found");
}

static void gate__puts_problems_into_the_cores_own_answers(void **state)
{
    struct api_fixture *f = *state;

    ask(f, "FETCH", "/orders", NULL);
    assert_problem(f, 501, "method_not_implemented");
    loopback_deinit(&f->client);
    f->seen = 0;
    loopback_connect(&f->client, &f->server);
    loopback_send(&f->client,
                  STR("POST /orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json"
                      "\r\nContent-Length: 2000000\r\n\r\n"));
    settle(f);
    take_answer(f, true);
    assert_problem(f, 413, "too_large");
}

/* RFC 9110 §5.3: several lines of one field are one list. */
static void gate__reads_lists_that_come_in_several_lines(void **state)
{
    struct api_fixture *f = *state;
    const char *id;

    assert_int_equal(
        ask_with(f, "GET", "/products", "Accept: text/html\r\nAccept: application/json\r\n", NULL),
        200);
    assert_int_equal(post(f, "/carts", "{\"customerId\":\"c\"}"), 201);
    id = new_id(f, "/cartId");
    assert_int_equal(ask_with(f, "GET", path_of("/carts/", id, ""),
                              "If-None-Match: \"77\"\r\nIf-None-Match: \"1\"\r\n", NULL),
                     304);
    ask_with(f, "POST", path_of("/carts/", id, "/items"), "If-Match: \"77\"\r\nIf-Match: \"1\"\r\n",
             "{\"productId\":\"A\",\"quantity\":1}");
    assert_int_equal(f->status, 200);
    ask_with(f, "POST", "/carts", "Content-Encoding: identity\r\nContent-Encoding: gzip\r\n",
             "{\"customerId\":\"c\"}");
    assert_problem(f, 415, "unsupported_media_type");
}

static void gate__takes_less_of_a_message_than_of_an_order(void **state)
{
    struct api_fixture *f = *state;
    struct buf body = { NULL, 0, 0 };

    buf_add_str(&body,
                STR("{\"messageId\":\"m\",\"payload\":{\"orderId\":\"x\",\"paymentId\":\"p\","
                    "\"approvedAmount\":1,\"currency\":\"USD\",\"more\":[\"\""));
    while (body.n < 256 * 1024 - 3)
        buf_add_str(&body, STR(",1"));
    while (body.n < 256 * 1024 - 3)
        buf_add_str(&body, STR(" "));
    body.n = 256 * 1024 - 3;
    if (body.p[body.n - 1] == ',')
        body.p[body.n - 1] = ' ';
    buf_add_str(&body, STR("]}}"));
    buf_add(&body, "", 1);
    assert_int_equal(strlen(body.p), 256 * 1024);
    assert_int_equal(post(f, "/messages/payment.approved", body.p), 202);
    body.n--;
    buf_add_str(&body, STR(" "));
    buf_add(&body, "", 1);
    post(f, "/messages/payment.approved", body.p);
    assert_problem(f, 413, "too_large");
    buf_deinit(&body);
}

/* ---- access ---------------------------------------------------------------------------------- */

static void access__wants_a_token_that_may(void **state)
{
    struct api_fixture *f = *state;

    load_tokens(f, TOKENS);
    get(f, "/products");
    assert_problem(f, 401, "unauthorized");
    assert_header(f, "WWW-Authenticate", "Bearer");
    ask_with(f, "GET", "/products", AS("wrong"), NULL);
    assert_problem(f, 401, "unauthorized");
    assert_int_equal(ask_with(f, "GET", "/products", AS(SHOP), NULL), 200);
    ask_with(f, "GET", "/products", AS(CARRIER), NULL);
    assert_problem(f, 403, "forbidden");
    ask_with(f, "GET", "/metrics", AS(SHOP), NULL);
    assert_problem(f, 403, "forbidden");
    assert_int_equal(ask_with(f, "GET", "/products", AS(BOSS), NULL), 200);
    assert_int_equal(ask_with(f, "GET", "/messages", AS(CARRIER), NULL), 200);
    assert_int_equal(get(f, "/livez"), 200);
    assert_int_equal(get(f, "/readyz"), 200);
    get(f, "/nothing");
    assert_problem(f, 404, "not_found");
}

static void access__checks_the_role_before_the_topic(void **state)
{
    struct api_fixture *f = *state;

    load_tokens(f, TOKENS);
    ask_with(f, "POST", "/messages/order.placed", AS(SHOP), "{}");
    assert_problem(f, 403, "forbidden");
    ask_with(f, "POST", "/messages/order.placed", AS(CARRIER), "not json");
    assert_problem(f, 403, "forbidden_topic");
    ask_with(f, "POST", "/messages/stock.taken", AS(CARRIER), "not json");
    assert_problem(f, 404, "not_found");
    ask_with(f, "POST", "/messages/payment.approved", AS(CARRIER), "not json");
    assert_problem(f, 400, "malformed_json");
}

static void access__slows_guesses_and_counts_them(void **state)
{
    struct api_fixture *f = *state;

    load_tokens(f, TOKENS);
    for (int i = 0; i < 10; i++)
        assert_int_equal(ask_with(f, "GET", "/products", AS("guess"), NULL), 401);
    ask_start(f, "POST", "/orders", AS("guess"), ORDER_JSON);
    assert_int_equal(f->status, 0);
    pass_ms(f, 999);
    assert_int_equal(f->status, 0);
    pass_ms(f, 1);
    assert_problem(f, 401, "unauthorized");
    assert_int_equal(ask_with(f, "GET", "/products", AS(SHOP), NULL), 200);
    ask_with(f, "GET", "/metrics", AS(BOSS), NULL);
    assert_non_null(strstr(f->body.p, "orderly_access_failures_total{reason=\"bad_token\"} 11\n"));
    assert_int_equal(capture_log_count(&f->app.log, "guess"), 0);
    assert_int_equal(capture_log_count(&f->app.log, "access_refused"), 1);
}

/* A guess that is answered late is a thousand at most; those that hang up must not use them up. */
static void access__goes_on_slowing_guesses_after_many_have_hung_up(void **state)
{
    struct api_fixture *f = *state;

    load_tokens(f, TOKENS);
    for (int i = 0; i < 10; i++)
        assert_int_equal(ask_with(f, "GET", "/products", AS("guess"), NULL), 401);
    for (int i = 0; i < 1100; i++) {
        struct loopback other;

        loopback_connect(&other, &f->server);
        loopback_send(&other, STR("POST /orders HTTP/1.1\r\nHost: shop.example\r\n" AS(
                                  "guess") "Content-Length: 10\r\n\r\n{"));
        loopback_reset(&other);
        loopback_deinit(&other);
    }
    ask_start(f, "GET", "/products", AS("guess"), NULL);
    assert_int_equal(f->status, 0);
    pass_ms(f, 1000);
    assert_problem(f, 401, "unauthorized");
}

static void access__makes_the_caller_part_of_a_key(void **state)
{
    struct api_fixture *f = *state;

    load_tokens(f, TOKENS);
    ask_with(f, "POST", "/carts", AS(SHOP) "Idempotency-Key: k\r\n", "{\"customerId\":\"c\"}");
    assert_int_equal(f->status, 201);
    ask_with(f, "POST", "/carts", AS(BOSS) "Idempotency-Key: k\r\n", "{\"customerId\":\"d\"}");
    assert_int_equal(f->status, 201);
    assert_header(f, "Idempotent-Replayed", "");
    assert_value(f, "/customerId", "d");
}

static void access__refuses_other_peoples_pages(void **state)
{
    struct api_fixture *f = *state;

    ask_with(f, "POST", "/carts", "Origin: http://evil.example\r\n", "{\"customerId\":\"c\"}");
    assert_problem(f, 403, "forbidden");
    ask_with(f, "POST", "/carts", "Origin: null\r\n", "{\"customerId\":\"c\"}");
    assert_problem(f, 403, "forbidden");
    ask_with(f, "POST", "/carts", "Origin: http://shop.example\r\n", "{\"customerId\":\"c\"}");
    assert_int_equal(f->status, 201);
    assert_int_equal(ask_with(f, "GET", "/products", "Origin: http://evil.example\r\n", NULL), 200);
}

/* ---- metadata -------------------------------------------------------------------------------- */

static void metadata__comes_from_the_header(void **state)
{
    struct api_fixture *f = *state;
    const char *trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    char headers[256];
    const char *id;

    snprintf(headers, sizeof(headers), "X-User-Id: bob@example.com\r\ntraceparent: %s\r\n", trace);
    assert_int_equal(ask_with(f, "POST", "/orders", headers, ORDER_JSON), 201);
    id = new_id(f, "/orderId");
    get(f, path_of("/events?orderId=", id, ""));
    assert_value(f, "/data/0/metadata/userId", "bob@example.com");
    assert_value(f, "/data/0/metadata/traceparent", trace);
    assert_value(f, "/data/0/metadata/correlationId", id);
    assert_value(f, "/data/0/metadata/causationId", "null");

    assert_int_equal(ask_with(f, "POST", "/orders", "traceparent: nonsense\r\n", ORDER_JSON), 201);
    get(f, path_of("/events?orderId=", new_id(f, "/orderId"), ""));
    assert_value(f, "/data/0/metadata/traceparent", "");
    assert_value(f, "/data/0/metadata/userId", "null");
    snprintf(headers, sizeof(headers), "X-User-Id: %065d\r\n", 1);
    ask_with(f, "POST", "/orders", headers, ORDER_JSON);
    assert_problem(f, 400, "validation");
}

/* ---- health ---------------------------------------------------------------------------------- */

static void health__says_alive_ready_and_why_not(void **state)
{
    struct api_fixture *f = *state;

    assert_int_equal(get(f, "/livez"), 200);
    assert_body(f, "{\"status\":\"alive\"}");
    assert_int_equal(get(f, "/readyz"), 200);
    assert_body(f, "{\"status\":\"ready\",\"reasons\":[]}");
    for (int i = 0; i < 40 && post(f, "/orders", ORDER_JSON) == 201; i++)
        pass_ms(f, 1000);
    assert_problem(f, 503, "disk_full");
    assert_true(strlen(header(f, "Retry-After")) > 0);
    assert_int_equal(get(f, "/readyz"), 503);
    assert_value(f, "/status", "not_ready");
    assert_int_equal(count(f, "/reasons"), 1);
}

static void metrics__say_nothing_of_a_relay_that_is_not_there(void **state)
{
    struct api_fixture *f = *state;

    assert_int_equal(get(f, "/metrics"), 200);
    assert_null(strstr(f->body.p, "subscription=\"nats\""));
    app_metrics_mut(f->app.app)->dead_letters_open[SUBSCRIPTION_NATS] = 3; /* left behind */
    assert_int_equal(get(f, "/metrics"), 200);
    assert_non_null(strstr(f->body.p, "orderly_dead_letters{subscription=\"nats\"} 3\n"));
    assert_null(strstr(f->body.p, "handler_failures_total{subscription=\"nats\""));
}

static void metrics__are_in_the_text_format(void **state)
{
    static const char *const names[] = {
        "build_info",
        "http_requests_total",
        "http_request_duration_seconds",
        "http_connections",
        "events_appended_total",
        "commit_duration_seconds",
        "commit_batch_events",
        "handler_duration_seconds",
        "handler_failures_total",
        "subscription_lag_events",
        "subscription_oldest_seconds",
        "lanes_deferred",
        "dead_letters",
        "orders_total",
        "refused_total",
        "store_bytes",
        "idempotency_entries",
        "refunds_due",
        "publish_accepted_seconds",
        "publish_accepted_seconds_max",
        "publish_handled_seconds",
        "publish_handled_seconds_max",
    };
    struct api_fixture *f = *state;
    char line[128];

    assert_int_equal(post(f, "/orders", ORDER_JSON), 201);
    pass_ms(f, 1000);
    assert_int_equal(get(f, "/metrics"), 200);
    assert_header(f, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(line, sizeof(line), "# TYPE orderly_%s ", names[i]);
        assert_non_null(strstr(f->body.p, line));
    }
    assert_non_null(strstr(f->body.p, "orderly_build_info{version=\"1.2.3\"} 1\n"));
    assert_non_null(strstr(f->body.p,
                           "orderly_http_requests_total{method=\"POST\",route=\"/orders\","
                           "code=\"201\"} 1\n"));
    assert_non_null(strstr(f->body.p, "orderly_events_appended_total{type=\"OrderPlaced\"} 1\n"));
    assert_non_null(
        strstr(f->body.p, "orderly_orders_total{flow=\"stock_first\",status=\"SHIPPED\"} 1\n"));
    assert_non_null(strstr(f->body.p, "\nprocess_resident_memory_bytes "));
    for (const char *at = f->body.p; *at; at = strchr(at, '\n') + 1) {
        bool is_comment = strncmp(at, "# ", 2) == 0;
        const char *end = strchr(at, '\n'), *blank = memrchr(at, ' ', (size_t)(end - at));
        char *rest;

        assert_non_null(blank);
        if (!is_comment) { /* name or name{…}, blank, number */
            (void)strtod(blank + 1, &rest);
            assert_ptr_equal(rest, end);
        }
    }
    /* Maxima start again. */
    assert_int_equal(get(f, "/metrics"), 200);
    assert_non_null(strstr(f->body.p, "orderly_publish_handled_seconds_max 0\n"));
    assert_int_equal(ask_with(f, "GET", "/metrics",
                              "Accept: application/openmetrics-text;version=1.0.0,"
                              "text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n",
                              NULL),
                     200);
}

static void metrics__say_how_much_money_is_due_back(void **state)
{
    struct api_fixture *f = *state;
    const char *id;

    ask(f, "PUT", "/simulators/payments", "{\"enabled\":false}");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(post(f, "/orders", ORDER_JSON), 201);
        id = new_id(f, "/orderId");
        pass_ms(f, 100);
        assert_int_equal(post(f, path_of("/orders/", id, "/mark-paid"),
                              i ? "{\"paymentId\":\"p-1\"}" : "{\"paymentId\":\"p-0\"}"),
                         200);
        assert_int_equal(post(f, path_of("/orders/", id, "/cancel"), "{\"reason\":\"no\"}"), 200);
        assert_value(f, "/refund/status", "due");
        assert_value(f, "/refunds/0/amount", "39.98");
        assert_value(f, "/refunds/0/currency", "USD");
    }
    get(f, "/metrics");
    assert_non_null(strstr(f->body.p, "\norderly_refunds_due{currency=\"USD\"} 79.96\n"));
}

/* New work while the door is full: refused unread, at its pace; what is no new work is answered. */
static void gate__paces_refusals_when_clients_crowd_at_the_door(void **state)
{
    struct api_fixture *f = *state;

    f->app.app->n_door = DOOR_WAITING_MAX;
    ask_start(f, "POST", "/orders", "", "{ this is not read");
    assert_int_equal(f->status, 0);
    pass_ms(f, REFUSALS_TICK_MS);
    assert_int_equal(f->status, 503);
    assert_string_equal(value(f, "/code"), "overloaded");
    assert_string_equal(header(f, "Retry-After"), "1");
    assert_int_equal(app_metrics(f->app.app)->refused[REFUSED_QUEUE_FULL], 1);
    assert_int_equal(get(f, "/livez"), 200);
    f->app.app->n_door = DOOR_WAITING_MAX - 1;
    assert_int_equal(post(f, "/orders", "{ this is read"), 400);
    f->app.app->n_door = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(gate__answers_404_and_405),
        T(gate__answers_options_and_head),
        T(gate__keeps_the_api_prefix_in_location),
        T(gate__wants_json_and_gives_json),
        T(gate__refuses_parameters_that_it_does_not_know),
        T(gate__names_the_parameter_or_header_that_is_wrong),
        T(gate__says_what_a_missing_body_should_hold),
        T(root__names_the_entry_points),
        T(gate__puts_problems_into_the_cores_own_answers),
        T(gate__reads_lists_that_come_in_several_lines),
        T(gate__takes_less_of_a_message_than_of_an_order),
        T(gate__paces_refusals_when_clients_crowd_at_the_door),
        T(access__wants_a_token_that_may),
        T(access__checks_the_role_before_the_topic),
        T(access__slows_guesses_and_counts_them),
        T(access__goes_on_slowing_guesses_after_many_have_hung_up),
        T(access__makes_the_caller_part_of_a_key),
        T(access__refuses_other_peoples_pages),
        T(metadata__comes_from_the_header),
        cmocka_unit_test_setup_teardown(health__says_alive_ready_and_why_not, setup_small,
                                        teardown),
        T(metrics__say_nothing_of_a_relay_that_is_not_there),
        T(metrics__are_in_the_text_format),
        T(metrics__say_how_much_money_is_due_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
