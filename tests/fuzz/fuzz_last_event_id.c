/* Where a stream begins and what it filters: Last-Event-ID and the query of both streams.
 *
 * input = flags(1) more(1) the field's value, a line end, the query
 *   flags  bit 0: messages, else events; bit 1: an order is placed meanwhile; bit 2: the field is
 *          there; bit 3: HEAD; bit 4: time passes; bit 5: the client reads slowly, and
 *          little may wait for it; bit 6: the server ends; bit 7: the client's token is taken back
 *   more   bits 0-1: an enum shop_trouble; bit 2: as many clients follow already as may; bit
 *          3: the field is there twice; bit 4: the client says that it will send no more */
#include "rig/ask.h"
#include "rig/fuzz.h"
#include <yyjson.h>

enum {
    FLAG_MESSAGES = 1,
    FLAG_ORDER = 2,
    FLAG_FIELD = 4,
    FLAG_HEAD = 8,
    FLAG_TIME = 16,
    FLAG_SLOW = 32,
    FLAG_END = 64,
    FLAG_TOKENS = 128
};

enum { MORE_TROUBLE = 3, MORE_FULL_HOUSE = 4, MORE_TWICE = 8, MORE_HALF = 16 };

#define WINDOW 400       /* what a slow client takes at first, */
#define WINDOW_MORE 4000 /* and at a time later */

#define ORDER                                                                                      \
    "{\"customerId\":\"customer-1\",\"items\":[{\"sku\":\"WIDGET-001\",\"quantity\":1}],"          \
    "\"shippingAddress\":{\"street\":\"1 Main St\",\"city\":\"Springfield\","                      \
    "\"postalCode\":\"62701\",\"country\":\"US\"}}"

static void request(struct loopback *client, const char *method, struct str target,
                    struct str headers, struct str body)
{
    struct buf b = { 0 };

    buf_printf(&b, "%s " STR_FMT " HTTP/1.1\r\nHost: shop.example\r\n" STR_FMT, method,
               STR_ARG(target), STR_ARG(headers));
    if (body.n)
        buf_printf(&b, "Content-Type: application/json\r\nContent-Length: %zu\r\n", body.n);
    buf_printf(&b, "\r\n" STR_FMT, STR_ARG(body));
    loopback_send(client, buf_str(&b));
    buf_deinit(&b);
}

static void place_order(struct shop *s, struct loopback *listener)
{
    struct loopback client;

    loopback_connect(&client, &s->server);
    request(&client, "POST", STR("/orders"), STR_NONE, STR(ORDER));
    shop_settle(s, listener);
    shop_settle(s, &client);
    loopback_reset(&client);
    loopback_deinit(&client);
    shop_pass_ms(s, listener, 2000);
}

static bool take_field(struct str *line, struct str name)
{
    if (!str_starts_with(*line, name))
        return false;
    line->p += name.n;
    line->n -= name.n;
    return true;
}

/* One event: comments, or id, event and data, each once; the data is JSON. */
static void check_block(struct str block, uint64_t *position)
{
    bool has_id = false, has_data = false, is_last = false;

    while (block.n) {
        struct str line = fuzz_take_line(&block), epoch = STR(SHOP_EPOCH ".");
        yyjson_doc *doc;
        uint64_t at;

        if (line.n && line.p[0] == ':')
            continue;
        if (take_field(&line, STR("id: "))) {
            FUZZ_EXPECT(take_field(&line, epoch) && str_to_u64(line, &at), "an odd id");
            FUZZ_EXPECT(!has_id && at > *position, "the ids do not ascend");
            *position = at;
            has_id = true;
        } else if (take_field(&line, STR("data: "))) {
            doc = yyjson_read(line.p, line.n, YYJSON_READ_BIGNUM_AS_RAW);
            FUZZ_EXPECT(doc && !has_data, "odd data: " STR_FMT, STR_ARG(line));
            yyjson_doc_free(doc);
            has_data = true;
        } else {
            FUZZ_EXPECT(take_field(&line, STR("event: ")) && line.n, "an odd line");
            is_last = str_eq(line, STR("overflow")) || str_eq(line, STR("failed"));
        }
    }
    FUZZ_EXPECT(has_id == has_data || is_last, "half an event");
}

/* may_be_cut: the last event, since we hung up. */
static void check_stream(struct str body, bool may_be_cut)
{
    uint64_t position = 0;

    while (body.n) {
        const char *end = memmem(body.p, body.n, "\n\n", 2);
        struct str block = { body.p, end ? (size_t)(end - body.p) + 1 : body.n };

        if (!end && may_be_cut)
            return;
        FUZZ_EXPECT(end != NULL || str_eq(body, STR(":\n")), "the stream ends within an event");
        check_block(block, &position);
        body.p += block.n + (end != NULL);
        body.n -= block.n + (end != NULL);
    }
}

/* The others hear everything, and go at the end. */
static void let_others_in(struct shop *s, struct loopback others[SHOP_FOLLOWERS_MAX])
{
    for (unsigned i = 0; i < SHOP_FOLLOWERS_MAX; i++) {
        shop_send(s, &others[i], STR("GET /events/stream?after=0"), STR_NONE, STR_NONE);
        shop_settle(s, &others[i]);
    }
}

static void let_others_go(struct shop *s, struct loopback others[SHOP_FOLLOWERS_MAX])
{
    for (unsigned i = 0; i < SHOP_FOLLOWERS_MAX; i++) {
        loopback_reset(&others[i]);
        shop_settle(s, &others[i]);
        loopback_deinit(&others[i]);
    }
}

static void listen_to(struct shop *s, unsigned flags, unsigned more, struct str target,
                      struct buf *headers)
{
    struct asked a = { .joined = { 0 } };
    struct loopback client;
    struct str got;

    if (flags & FLAG_TOKENS) {
        shop_set_tokens(s, "operator abc");
        buf_add_str(headers, STR("Authorization: Bearer abc\r\n"));
    }
    loopback_connect(&client, &s->server);
    if (flags & FLAG_SLOW)
        client.window = WINDOW;
    request(&client, flags & FLAG_HEAD ? "HEAD" : "GET", target, buf_str(headers), STR_NONE);
    if (more & MORE_HALF)
        loopback_shutdown(&client);
    shop_settle(s, &client);
    if (flags & FLAG_ORDER)
        place_order(s, &client);
    for (unsigned i = 0; i < 20 && (flags & FLAG_SLOW) && !client.is_closed; i++) {
        client.window += WINDOW_MORE;
        shop_settle(s, &client);
    }
    if (flags & FLAG_TOKENS)
        shop_set_tokens(s, "operator other");
    if (flags & FLAG_END) {
        feed_close(app_feed(s->app.app)); /* as the app does when it begins to end */
        shop_spoil(s);
    }
    shop_settle(s, &client);
    if (flags & FLAG_TIME)
        shop_pass_ms(s, &client, 31000);
    if (!client.is_closed)
        loopback_reset(&client);
    shop_settle(s, &client);
    got = buf_str(&client.received);
    answer_take(&got, true, &a.joined, &a.answer);
    FUZZ_EXPECT(a.answer.status != 0 && got.n == 0, "no answer, or two");
    answer_check(&a.answer);
    if (a.answer.status == 200 && !(flags & FLAG_HEAD))
        check_stream(a.answer.body, flags & FLAG_SLOW);
    asked_deinit(&a);
    loopback_deinit(&client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = { (const char *)data, size };
    unsigned flags = fuzz_take_u8(&in), more = fuzz_take_u8(&in);
    struct str field = fuzz_take_line(&in);
    struct shop *s = shop_open(flags & FLAG_SLOW);
    struct buf target = { 0 }, headers = { 0 }, value = { 0 };
    struct loopback others[SHOP_FOLLOWERS_MAX];

    buf_printf(&target, "/%s/stream?", flags & FLAG_MESSAGES ? "messages" : "events");
    shop_expand(s, in, &value);
    ask_add_escaped(&target, buf_str(&value));
    value.n = 0;
    if (flags & FLAG_FIELD) {
        shop_expand(s, field, &value);
        ask_add_header(&headers, "Last-Event-ID", buf_str(&value));
        if (more & MORE_TWICE)
            ask_add_header(&headers, "Last-Event-ID", STR("1"));
    }
    if (more & MORE_FULL_HOUSE)
        let_others_in(s, others);
    shop_trouble(s, (enum shop_trouble)(more & MORE_TROUBLE));
    listen_to(s, flags, more, buf_str(&target), &headers);
    if (more & MORE_FULL_HOUSE)
        let_others_go(s, others);
    buf_deinit(&target);
    buf_deinit(&headers);
    buf_deinit(&value);
    shop_close(s);
    return 0;
}
