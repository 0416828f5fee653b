/* How many POST /orders a second could any server on libuv, llhttp and yyjson answer on this machine?
 *
 * It reads the request as the order server does (head and body parsed in full, every field of the order
 * looked at) and answers a fixed 201 of the real one's size. It keeps nothing, decides nothing and
 * writes no event, so what it reaches is the ceiling that the order server is compared with.
 *
 * It is meant to be fast: no allocation for a request, one write for all that one read brought, and
 * answers that are never copied. What a client may not be spared stays: a body that does not parse, or
 * lacks a field, gets 400; a request other than POST /orders gets 404.
 *
 * Usage: bench_floor [PORT]. Prints `listening on http://127.0.0.1:PORT`; SIGTERM or SIGINT ends it. */
#include "orderly/base/buf.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include <llhttp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>
#include <yyjson.h>

enum {
    BODY_MAX = 64 * 1024,
    URL_MAX = 256,
    READ_SIZE = 256 * 1024,
    ANSWERS_PER_WRITE = 128, /* below IOV_MAX */
    BACKLOG = 1024,
    JSON_POOL = 1024 * 1024,
};

static const char ORDER[] =
    "{\"orderId\":\"0199a1f3-7c1e-7b3a-9d52-3f1b6c0e8a47\",\"flow\":\"stock_first\","
    "\"status\":\"PENDING\",\"customerId\":\"customer-789\",\"cartId\":null,"
    "\"items\":[{\"productId\":\"WIDGET-001\",\"sku\":\"WIDGET-001\",\"name\":\"Widget\","
    "\"description\":\"A widget that does what widgets do\",\"quantity\":1,\"unitPrice\":19.99,"
    "\"discount\":0.00,\"lineTotal\":19.99}],"
    "\"subtotal\":19.99,\"discounts\":[],\"totalAmount\":19.99,\"currency\":\"USD\","
    "\"shippingAddress\":{\"street\":\"1 Main St\",\"city\":\"Springfield\","
    "\"stateOrProvince\":\"IL\",\"postalCode\":\"62701\",\"country\":\"US\"},"
    "\"paymentId\":null,\"reservationId\":null,\"shipmentId\":null,\"trackingNumber\":null,"
    "\"invoiceId\":null,\"cancellationReason\":null,\"rejectionReason\":null,"
    "\"paymentFailureReason\":null,\"refund\":{\"status\":\"none\",\"amount\":0.00},\"refunds\":[],"
    "\"release\":{\"status\":\"none\"},\"paymentDeadline\":\"2026-11-20T12:30:00.000Z\","
    "\"createdAt\":\"2026-11-20T12:00:00.000Z\",\"updatedAt\":\"2026-11-20T12:00:00.000Z\","
    "\"sequence\":1}";

enum answer { ANSWER_CREATED, ANSWER_BAD_REQUEST, ANSWER_NOT_FOUND, ANSWERS };

static const char *const ANSWER_HEADS[ANSWERS] = {
    [ANSWER_CREATED] = ("201 Created\r\nLocation: /orders/0199a1f3-7c1e-7b3a-9d52-3f1b6c0e8a47\r\n"
                        "ETag: \"1\"\r\nContent-Type: application/json"),
    [ANSWER_BAD_REQUEST] = "400 Bad Request\r\nContent-Type: application/problem+json",
    [ANSWER_NOT_FOUND] = "404 Not Found\r\nContent-Type: application/problem+json",
};

static const char *const ANSWER_BODIES[ANSWERS] = {
    [ANSWER_CREATED] = ORDER,
    [ANSWER_BAD_REQUEST] = "{\"status\":400,\"code\":\"validation\"}",
    [ANSWER_NOT_FOUND] = "{\"status\":404,\"code\":\"not_found\"}",
};

struct client {
    uv_tcp_t tcp;
    llhttp_t parser;
    char url[URL_MAX];
    size_t url_n;
    char body[BODY_MAX];
    size_t body_n;
    bool too_large;
    bool last; /* the request asked to close, or could not be read */
};

/* What one read brought, to be written at once. */
static uv_buf_t answers[ANSWERS_PER_WRITE];
static unsigned answers_n;

/* The answers are made anew each second for their Date. A write that the socket did not take at once
 * copies what it still needs, so nothing refers to an old one. */
static struct buf made_answers[ANSWERS];
static char read_buffer[READ_SIZE];
static char json_pool[JSON_POOL];
static llhttp_settings_t parser_settings;

static void make_answers(void)
{
    char date[64];
    time_t now = time(NULL);
    struct tm tm;

    REQUIRE(gmtime_r(&now, &tm) != NULL);
    REQUIRE(strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0);
    for (int i = 0; i < ANSWERS; i++) {
        made_answers[i].n = 0;
        buf_printf(&made_answers[i], "HTTP/1.1 %s\r\nContent-Length: %zu\r\nDate: %s\r\n\r\n%s",
                   ANSWER_HEADS[i], strlen(ANSWER_BODIES[i]), date, ANSWER_BODIES[i]);
    }
}

static void on_second(uv_timer_t *timer)
{
    (void)timer;
    make_answers();
}

/* ---- the order ---- */

static bool is_text(yyjson_val *value)
{
    return yyjson_is_str(value) && yyjson_get_len(value) > 0;
}

static bool is_item(yyjson_val *item)
{
    yyjson_val *sku = yyjson_obj_get(item, "sku");
    yyjson_val *quantity = yyjson_obj_get(item, "quantity");
    yyjson_val *price = yyjson_obj_get(item, "unitPrice");

    if (!is_text(sku) || !yyjson_is_uint(quantity))
        return false;
    if (yyjson_get_uint(quantity) < 1 || yyjson_get_uint(quantity) > 10000)
        return false;
    return !price || (yyjson_is_num(price) && yyjson_get_num(price) >= 0.0);
}

static bool is_address(yyjson_val *address)
{
    yyjson_val *state = yyjson_obj_get(address, "stateOrProvince");

    return is_text(yyjson_obj_get(address, "street")) && is_text(yyjson_obj_get(address, "city")) &&
           (!state || is_text(state)) && is_text(yyjson_obj_get(address, "postalCode")) &&
           is_text(yyjson_obj_get(address, "country"));
}

static bool is_order(yyjson_val *root)
{
    yyjson_val *items = yyjson_obj_get(root, "items");
    yyjson_val *currency = yyjson_obj_get(root, "currency");
    yyjson_val *item;
    size_t i, n;

    if (!is_text(yyjson_obj_get(root, "customerId")) || !yyjson_is_arr(items))
        return false;
    if (yyjson_arr_size(items) < 1 || yyjson_arr_size(items) > 100)
        return false;
    yyjson_arr_foreach(items, i, n, item)
    {
        if (!is_item(item))
            return false;
    }
    return (!currency || is_text(currency)) && is_address(yyjson_obj_get(root, "shippingAddress"));
}

static enum answer decide(struct client *c)
{
    static const char PATH[] = "/orders";
    yyjson_alc pool;
    yyjson_doc *doc;
    bool valid;

    if (llhttp_get_method(&c->parser) != HTTP_POST || c->url_n != sizeof(PATH) - 1 ||
        memcmp(c->url, PATH, c->url_n) != 0)
        return ANSWER_NOT_FOUND;
    if (c->too_large || !yyjson_alc_pool_init(&pool, json_pool, sizeof(json_pool)))
        return ANSWER_BAD_REQUEST;
    doc = yyjson_read_opts(c->body, c->body_n, YYJSON_READ_NOFLAG, &pool, NULL);
    if (!doc)
        return ANSWER_BAD_REQUEST;
    valid = is_order(yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    return valid ? ANSWER_CREATED : ANSWER_BAD_REQUEST;
}

/* ---- writing ---- */

static void on_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

static void close_client(struct client *c)
{
    if (!uv_is_closing((uv_handle_t *)&c->tcp))
        uv_close((uv_handle_t *)&c->tcp, on_closed);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer);
static void on_allocate(uv_handle_t *handle, size_t wanted, uv_buf_t *buffer);

struct late_write {
    uv_write_t request;
    struct client *client;
    size_t n;
    char bytes[];
};

static void on_late_write(uv_write_t *request, int status)
{
    struct late_write *w = request->data;
    struct client *c = w->client;

    mem_free(w);
    if (status < 0 || c->last)
        close_client(c);
    else if (!uv_is_closing((uv_handle_t *)&c->tcp))
        (void)uv_read_start((uv_stream_t *)&c->tcp, on_allocate, on_read);
}

/* The socket is full: keeps the rest of the answers and reads no more until they are gone. */
static void write_late(struct client *c, size_t written)
{
    size_t total = 0, at = 0;
    struct late_write *w;
    uv_buf_t rest;

    for (unsigned i = 0; i < answers_n; i++)
        total += answers[i].len;
    w = mem_alloc(sizeof(*w) + total - written);
    w->client = c;
    w->n = total - written;
    w->request.data = w;
    for (unsigned i = 0; i < answers_n; i++) {
        size_t skip = written < answers[i].len ? written : answers[i].len;
        memcpy(w->bytes + at, answers[i].base + skip, answers[i].len - skip);
        at += answers[i].len - skip;
        written -= skip;
    }
    (void)uv_read_stop((uv_stream_t *)&c->tcp);
    rest = uv_buf_init(w->bytes, (unsigned)w->n);
    if (uv_write(&w->request, (uv_stream_t *)&c->tcp, &rest, 1, on_late_write) != 0) {
        mem_free(w);
        close_client(c);
    }
}

static void write_answers(struct client *c)
{
    size_t total = 0;
    int written;

    if (answers_n == 0)
        return;
    for (unsigned i = 0; i < answers_n; i++)
        total += answers[i].len;
    written = uv_try_write((uv_stream_t *)&c->tcp, answers, answers_n);
    if (written == UV_EAGAIN)
        written = 0;
    if (written < 0) {
        c->last = true;
        close_client(c);
    } else if ((size_t)written < total) {
        write_late(c, (size_t)written);
    } else if (c->last) {
        close_client(c);
    }
    answers_n = 0;
}

/* ---- reading ---- */

static int on_message_begin(llhttp_t *parser)
{
    struct client *c = parser->data;

    c->url_n = 0;
    c->body_n = 0;
    c->too_large = false;
    return 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t n)
{
    struct client *c = parser->data;

    if (n > sizeof(c->url) - c->url_n)
        n = sizeof(c->url) - c->url_n;
    memcpy(c->url + c->url_n, at, n);
    c->url_n += n;
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t n)
{
    struct client *c = parser->data;

    if (n > sizeof(c->body) - c->body_n) {
        c->too_large = true;
        return 0;
    }
    memcpy(c->body + c->body_n, at, n);
    c->body_n += n;
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    struct client *c = parser->data;
    struct buf *answer = &made_answers[decide(c)];

    if (!llhttp_should_keep_alive(parser))
        c->last = true;
    answers[answers_n++] = uv_buf_init(answer->p, (unsigned)answer->n);
    /* A very long pipeline is taken up again by on_read once what is there has been written. */
    return answers_n == ANSWERS_PER_WRITE ? HPE_PAUSED : 0;
}

static void on_allocate(uv_handle_t *handle, size_t wanted, uv_buf_t *buffer)
{
    (void)handle;
    (void)wanted;
    *buffer = uv_buf_init(read_buffer, sizeof(read_buffer));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    struct client *c = stream->data;
    const char *at = buffer->base;
    const char *end;

    if (n <= 0) {
        if (n < 0)
            close_client(c);
        return;
    }
    end = at + n;
    for (;;) {
        llhttp_errno_t e = llhttp_execute(&c->parser, at, (size_t)(end - at));

        if (e == HPE_PAUSED) {
            at = llhttp_get_error_pos(&c->parser);
            llhttp_resume(&c->parser);
            write_answers(c);
            if (uv_is_closing((uv_handle_t *)stream) || !uv_is_active((uv_handle_t *)stream)) {
                /* The peer does not read its answers; this floor does not keep its requests. */
                close_client(c);
                return;
            }
            continue;
        }
        if (e != HPE_OK) {
            struct buf *answer = &made_answers[ANSWER_BAD_REQUEST];
            answers[answers_n++] = uv_buf_init(answer->p, (unsigned)answer->n);
            c->last = true;
        }
        break;
    }
    write_answers(c);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct client *c;

    if (status < 0)
        return;
    c = mem_zalloc(sizeof(*c));
    REQUIRE(uv_tcp_init(server->loop, &c->tcp) == 0);
    c->tcp.data = c;
    if (uv_accept(server, (uv_stream_t *)&c->tcp) != 0) {
        close_client(c);
        return;
    }
    (void)uv_tcp_nodelay(&c->tcp, 1);
    llhttp_init(&c->parser, HTTP_REQUEST, &parser_settings);
    c->parser.data = c;
    if (uv_read_start((uv_stream_t *)&c->tcp, on_allocate, on_read) != 0)
        close_client(c);
}

/* ---- life ---- */

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    uv_stop(handle->loop);
}

static int listen_on(uv_loop_t *loop, uv_tcp_t *server, int port)
{
    struct sockaddr_in address;
    struct sockaddr_storage bound;
    int bound_n = sizeof(bound);
    int e;

    REQUIRE(uv_tcp_init(loop, server) == 0);
    REQUIRE(uv_ip4_addr("127.0.0.1", port, &address) == 0);
    e = uv_tcp_bind(server, (const struct sockaddr *)&address, 0);
    if (e == 0)
        e = uv_listen((uv_stream_t *)server, BACKLOG, on_connection);
    if (e != 0) {
        (void)fprintf(stderr, "bench_floor: cannot listen on port %d: %s\n", port, uv_strerror(e));
        return -1;
    }
    REQUIRE(uv_tcp_getsockname(server, (struct sockaddr *)&bound, &bound_n) == 0);
    return ntohs(((struct sockaddr_in *)&bound)->sin_port);
}

int main(int argc, char **argv)
{
    uv_loop_t *loop = uv_default_loop();
    static uv_tcp_t server;
    static uv_signal_t signals[2];
    static uv_timer_t second;
    long wanted = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    int port;

    if (wanted < 0 || wanted > 65535) {
        (void)fputs("usage: bench_floor [PORT]\n", stderr);
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    llhttp_settings_init(&parser_settings);
    parser_settings.on_message_begin = on_message_begin;
    parser_settings.on_url = on_url;
    parser_settings.on_body = on_body;
    parser_settings.on_message_complete = on_message_complete;
    make_answers();
    REQUIRE(uv_timer_init(loop, &second) == 0);
    REQUIRE(uv_timer_start(&second, on_second, 1000, 1000) == 0);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        REQUIRE(uv_signal_init(loop, &signals[i]) == 0);
        REQUIRE(uv_signal_start(&signals[i], on_signal, i == 0 ? SIGTERM : SIGINT) == 0);
    }
    port = listen_on(loop, &server, (int)wanted);
    if (port < 0)
        return 1;
    (void)printf("listening on http://127.0.0.1:%d\n", port);
    (void)printf("libuv %s, llhttp %d.%d.%d, yyjson %s, order body of %zu bytes\n",
                 uv_version_string(), LLHTTP_VERSION_MAJOR, LLHTTP_VERSION_MINOR,
                 LLHTTP_VERSION_PATCH, YYJSON_VERSION_STRING, sizeof(ORDER) - 1);
    (void)fflush(stdout);
    (void)uv_run(loop, UV_RUN_DEFAULT);
    /* The clients' memory goes with the process: there is nothing to finish in a floor. */
    return 0;
}
