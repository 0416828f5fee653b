#include "shop.h"
#include "fuzz.h"
#include "orderly/base/bytes.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yyjson.h>

/* Beyond every wait of a request and every time limit of a connection. */
#define PATIENCE_MS 150000
#define TICK_MS 1000

static struct shop *current;
static bool current_is_small;

/* ---- life ------------------------------------------------------------------------------------ */

static void shop_on_answered(void *ctx, const struct http_request *req, int status, size_t bytes)
{
    struct shop *s = ctx;

    s->n_answers++;
    s->n_heads += req->is_head;
    s->handler.on_answered(s->handler.ctx, req, status, bytes);
}

static void shop_on_headers(void *ctx, struct http_request *req)
{
    struct shop *s = ctx;

    s->handler.on_headers(s->handler.ctx, req);
}

static void shop_on_request(void *ctx, struct http_request *req)
{
    struct shop *s = ctx;

    s->handler.on_request(s->handler.ctx, req);
}

static void shop_render_error(void *ctx, struct http_request *req, enum http_fault fault,
                              struct http_response *out)
{
    struct shop *s = ctx;

    s->handler.render_error(s->handler.ctx, req, fault, out);
}

static void set_small_limits(struct http_limits *l)
{
    l->request_line_max = 256;
    l->header_block_max = 512;
    l->header_fields_max = 12;
    l->chunk_extensions_max = 32;
    l->trailers_max = 64;
    l->body_max = 1024;
    l->pipeline_max = 4;
    l->output_max = 4096;
    l->stream_queue_max = 4096;
    l->discard_max = 128;
    l->linger_max = 1024;
}

static struct shop *shop_create(bool small_limits)
{
    static const struct str hosts[] = { { "shop.example", 12 }, { "a", 1 } };
    struct app_config config = app_fixture_config();
    struct http_config http = { .n_hosts = 0 };
    struct shop *s = calloc(1, sizeof(*s));

    FUZZ_EXPECT(s != NULL, "no memory");
    s->token_file = -1;
    config.idempotency_keys_max = 1000;
    config.followers_max = SHOP_FOLLOWERS_MAX;
    app_fixture_init(&s->app, &config);
    s->api = api_create(&(struct api_config){ .app = s->app.app,
                                              .log = &s->app.log.log,
                                              .version = STR("1.2.3"),
                                              .epoch = STR(SHOP_EPOCH),
                                              .cloud = { .type_prefix = STR("shop.") } });
    s->handler = api_handler(s->api);
    http.checks_host = true;
    http.hosts = hosts;
    http.n_hosts = ARRAY_LEN(hosts);
    http_limits_set_defaults(&http.limits);
    if (small_limits)
        set_small_limits(&http.limits);
    http.handler = s->handler;
    http.handler.ctx = s;
    http.handler.on_headers = shop_on_headers;
    http.handler.on_request = shop_on_request;
    http.handler.render_error = shop_render_error;
    http.handler.on_answered = shop_on_answered;
    http.handler.on_refused = NULL;
    http.clock = &s->app.ms.scheduler;
    http_server_init(&s->server, &http);
    api_attach(s->api, &s->server);
    return s;
}

static void shop_destroy(struct shop *s)
{
    if (s->is_connected)
        loopback_deinit(&s->client);
    http_server_deinit(&s->server);
    api_destroy(s->api);
    app_fixture_deinit(&s->app);
    if (s->token_file >= 0)
        (void)close(s->token_file);
    buf_deinit(&s->request);
    free(s);
}

/* ---- history --------------------------------------------------------------------------------- */

#define ADDRESS                                                                                    \
    "{\"street\":\"1 Main St\",\"city\":\"Springfield\",\"stateOrProvince\":\"IL\","               \
    "\"postalCode\":\"62701\",\"country\":\"US\"}"
#define ORDER(flow)                                                                                \
    "{\"customerId\":\"customer-1\",\"flow\":\"" flow                                              \
    "\",\"items\":[{\"sku\":\"WIDGET-001\",\"quantity\":2}],\"shippingAddress\":" ADDRESS "}"

/* Asks, and keeps what the answer has at the pointer under the name. */
static void tell(struct shop *s, const char *line, const char *body, const char *pointer,
                 enum shop_name name)
{
    struct buf full = { 0 }, said = { 0 };
    struct str answer;
    const char *json;
    yyjson_doc *doc;
    yyjson_val *v;

    shop_expand(s, str_of(line), &full);
    shop_expand(s, str_of(body ? body : ""), &said);
    answer = shop_ask(s, buf_str(&full), STR_NONE, buf_str(&said));
    FUZZ_EXPECT(answer.n > 12 && answer.p[9] == '2', "%s: " STR_FMT, line, STR_ARG(answer));
    buf_deinit(&full);
    buf_deinit(&said);
    if (!pointer)
        return;
    json = memmem(answer.p, answer.n, "\r\n\r\n", 4);
    FUZZ_EXPECT(json != NULL, "%s: has no body", line);
    doc = yyjson_read(json + 4, answer.n - (size_t)(json + 4 - answer.p), 0);
    v = yyjson_doc_ptr_get(doc, pointer);
    FUZZ_EXPECT(yyjson_is_str(v), "%s: no %s in " STR_FMT, line, pointer, STR_ARG(answer));
    FUZZ_EXPECT(yyjson_get_len(v) < SHOP_NAME_MAX, "%s: %s is long", line, pointer);
    memcpy(s->names[name], yyjson_get_str(v), yyjson_get_len(v) + 1);
    yyjson_doc_free(doc);
}

static void tell_only(struct shop *s, const char *line, const char *body)
{
    tell(s, line, body, NULL, SHOP_NAMES);
}

#define PAYMENTS(mode, fail_first)                                                                 \
    "{\"enabled\":true,\"mode\":\"" mode                                                           \
    "\",\"delayMs\":{\"pay_first\":10,\"stock_first\":100},\"failureRate\":0.0,\"seed\":1,"        \
    "\"failFirst\":" fail_first ",\"declineAbove\":null,\"reason\":\"Card declined\"}"

static void set_up(struct shop *s)
{
    memcpy(s->names[SHOP_SKU], "WIDGET-001", sizeof("WIDGET-001"));
    memcpy(s->names[SHOP_PAYMENT], "payment-77", sizeof("payment-77"));
    tell_only(s, "POST /products",
              "{\"sku\":\"SOLD-OUT\",\"name\":\"n\",\"price\":500,\"currency\":\"JPY\","
              "\"stockQuantity\":0}");
    tell(s, "POST /carts", "{\"customerId\":\"customer-1\"}", "/cartId", SHOP_CART);
    tell_only(s, "POST /carts/\xf3/items", "{\"productId\":\"WIDGET-001\",\"quantity\":2}");
    tell(s, "POST /carts", "{\"customerId\":\"customer-1\"}", "/cartId", SHOP_CART_CONVERTED);
    tell_only(s, "POST /carts/\xf4/items", "{\"productId\":\"WIDGET-001\",\"quantity\":1}");
    tell_only(s, "POST /orders/checkout", "{\"cartId\":\"\xf4\",\"shippingAddress\":" ADDRESS "}");
    tell(s, "POST /orders", ORDER("stock_first"), "/orderId", SHOP_ORDER_DONE);
    tell(s, "POST /orders", ORDER("pay_first"), "/orderId", SHOP_ORDER_CONFIRMED);
    shop_pass_ms(s, NULL, 3000);
    tell(s, "GET /orders/\xf0", NULL, "/shipmentId", SHOP_SHIPMENT);
    tell_only(s, "POST /shipments/\xf7/dispatch", "{}");
    tell_only(s, "POST /shipments/\xf7/deliver", "{}");
    tell(s, "POST /orders", ORDER("stock_first"), "/orderId", SHOP_SHIPMENT_CREATED);
    shop_pass_ms(s, NULL, 3000);
    tell(s, "GET /orders/\xfc", NULL, "/shipmentId", SHOP_SHIPMENT_CREATED);
    tell_only(s, "POST /messages/payment.approved",
              "{\"messageId\":\"m-1\",\"payload\":{\"orderId\":\"nobodys\",\"paymentId\":"
              "\"payment-77\",\"approvedAmount\":1,\"currency\":\"USD\"}}");
    tell(s, "GET /dead-letters?state=open", NULL, "/data/0/deadLetterId", SHOP_LETTER_OPEN);
    tell_only(s, "PUT /simulators/payments", PAYMENTS("approve", "100"));
    tell_only(s, "POST /orders", ORDER("stock_first"));
    shop_pass_ms(s, NULL, 60000);
    tell(s, "GET /dead-letters?state=parked", NULL, "/data/0/deadLetterId", SHOP_LETTER_PARKED);
    tell_only(s, "PUT /simulators/payments", PAYMENTS("wait", "0"));
    tell(s, "POST /orders", ORDER("pay_first"), "/orderId", SHOP_ORDER_PENDING);
    shop_pass_ms(s, NULL, 1000);
    tell(s, "GET /events?limit=1", NULL, "/data/0/eventId", SHOP_EVENT);
    tell(s, "GET /orders?limit=1", NULL, "/nextCursor", SHOP_CURSOR);
}

/* ---- one input ------------------------------------------------------------------------------- */

struct shop *shop_open(bool small_limits)
{
    if (current && current_is_small != small_limits) {
        shop_destroy(current);
        current = NULL;
    }
    if (!current) {
        current = shop_create(small_limits);
        current_is_small = small_limits;
        set_up(current);
    }
    current->commits = current->app.store.commits;
    current->n_answers = current->n_heads = 0;
    trace_clear(&current->app);
    capture_log_clear(&current->app.log);
    return current;
}

void shop_close(struct shop *s)
{
    FUZZ_EXPECT(list_is_empty(&s->server.conns), "a connection is left");
    FUZZ_EXPECT(app_waiters(s->app.app) == 0, "%u wait for an order and nobody for them",
                app_waiters(s->app.app));
    FUZZ_EXPECT(app_feed(s->app.app)->n == 0, "a stream is left");
    if (s->app.store.commits == s->commits && !s->is_spoilt)
        return;
    shop_destroy(s); /* and what is in progress comes to its end there */
    current = NULL;
}

void shop_spoil(struct shop *s)
{
    s->is_spoilt = true;
}

/* Behind the app's back. */
static void damage_newest_event(struct shop *s)
{
    uint8_t key[8];
    struct store_row row = { .db = DB_EVENTS,
                             .key = { (const char *)key, sizeof(key) },
                             .value = STR("no event") };
    struct store_write w = { .rows = &row, .n_rows = 1 };
    struct list writes;

    bytes_put_u64(key, app_event_log(s->app.app)->durable_position);
    list_init(&writes);
    list_push_back(&writes, &w.link);
    FUZZ_EXPECT(s->app.engine->ops->apply(s->app.engine, &writes) == ERR_OK, "not damaged");
}

void shop_trouble(struct shop *s, enum shop_trouble what)
{
    if (what == SHOP_TROUBLE_FULL)
        store_virtual_fail_write(&s->app.store, 1, ERR_FULL);
    else if (what == SHOP_TROUBLE_ENDING)
        app_fixture_drain(&s->app);
    else if (what == SHOP_TROUBLE_DAMAGED)
        damage_newest_event(s);
    if (what != SHOP_TROUBLE_NONE)
        shop_spoil(s);
}

void shop_set_tokens(struct shop *s, const char *text)
{
    char path[64];
    bool is_first = s->token_file < 0;
    size_t n = strlen(text);
    enum err e;
    int fd;

    if (is_first)
        s->token_file = memfd_create("tokens", MFD_CLOEXEC);
    fd = s->token_file;
    FUZZ_EXPECT(fd >= 0 && fchmod(fd, 0600) == 0 && ftruncate(fd, 0) == 0, "no file");
    FUZZ_EXPECT(pwrite(fd, text, n, 0) == (ssize_t)n, "no file");
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    e = is_first ? api_load_tokens(s->api, path, NULL) : api_reload_tokens(s->api, NULL);
    FUZZ_EXPECT(e == ERR_OK, "the tokens are not taken");
    shop_spoil(s);
}

void shop_settle(struct shop *s, struct loopback *client)
{
    for (unsigned i = 0; i < 4; i++) {
        app_fixture_settle(&s->app);
        if (client)
            loopback_turn(client);
    }
}

void shop_pass_ms(struct shop *s, struct loopback *client, int64_t ms)
{
    struct transport_acceptor *a = http_server_acceptor(&s->server);

    while (ms > 0) {
        int64_t step = ms < TICK_MS ? ms : TICK_MS;

        app_fixture_pass_ms(&s->app, step);
        a->ops->tick(a);
        shop_settle(s, client);
        ms -= step;
    }
}

void shop_expand(const struct shop *s, struct str bytes, struct buf *out)
{
    for (size_t i = 0; i < bytes.n; i++) {
        unsigned name = (unsigned)(uint8_t)bytes.p[i] - SHOP_NAME_FIRST;

        if (name < SHOP_NAMES)
            buf_add_str(out, str_of(s->names[name]));
        else
            buf_add(out, bytes.p + i, 1);
    }
}

void shop_send(struct shop *s, struct loopback *client, struct str request_line, struct str headers,
               struct str body)
{
    struct buf *b = &s->request;

    b->n = 0;
    buf_add_str(b, request_line);
    buf_add_str(b, STR(" HTTP/1.1\r\nHost: shop.example\r\n"));
    buf_add_str(b, headers);
    if (body.p)
        buf_printf(b, "Content-Length: %zu\r\n", body.n);
    if (body.p && !memmem(b->p, b->n, "\r\nContent-Type:", 15))
        buf_add_str(b, STR("Content-Type: application/json\r\n"));
    buf_add_str(b, STR("\r\n"));
    buf_add_str(b, body);
    loopback_connect(client, &s->server);
    loopback_send(client, buf_str(b));
}

struct str shop_ask(struct shop *s, struct str request_line, struct str headers, struct str body)
{
    struct loopback *client = &s->client;

    if (s->is_connected)
        loopback_deinit(client);
    shop_send(s, client, request_line, headers, body);
    s->is_connected = true;
    shop_settle(s, client);
    if (client->received.n == 0)
        shop_pass_ms(s, client, PATIENCE_MS);
    if (!client->is_closed) {
        loopback_reset(client);
        shop_settle(s, client);
    }
    return buf_str(&client->received);
}
