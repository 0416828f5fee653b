/* The header fields that every command reads: Idempotency-Key above all.
 *
 * input = field(1) value; beyond the fields, the pure functions that read parts of values. More lines of the value are more lines of the field. A key that is taken
 * must do what it is for: the same request has the same answer and does nothing, another one under
 * the same key is refused. */
#include "../../src/infra/api/fields.h"
#include "rig/ask.h"
#include "rig/fuzz.h"

static const char *const fields[] = { "Idempotency-Key", "If-Match",    "If-None-Match",
                                      "X-User-Id",       "traceparent", "Content-Type",
                                      "Origin",          "Accept",      "Authorization",
                                      "Content-Encoding" };

#define CART "{\"customerId\":\"customer-1\"}"
#define OTHER_CART "{\"customerId\":\"customer-2\"}"

static struct str body_copy(struct buf *to, const struct asked *a)
{
    to->n = 0;
    buf_add_str(to, a->answer.body);
    return buf_str(to);
}

static void try_key(struct shop *s, struct asked *a, struct str headers)
{
    struct buf first = { 0 };
    uint64_t events;

    ask(s, a, STR("POST /carts"), headers, STR(CART), false);
    if (a->answer.status != 201 || headers.n == 0) {
        FUZZ_EXPECT(a->answer.status == 201 || a->answer.status == 400 || a->answer.status == 431,
                    "a key of its own is answered %d", a->answer.status);
        buf_deinit(&first);
        return;
    }
    events = app_event_log(s->app.app)->durable_position;
    (void)body_copy(&first, a);
    ask(s, a, STR("POST /carts"), headers, STR(CART), false);
    FUZZ_EXPECT(a->answer.status == 201 && str_eq(buf_str(&first), a->answer.body),
                "the same request is answered otherwise");
    FUZZ_EXPECT(events == app_event_log(s->app.app)->durable_position, "it was done twice");
    ask(s, a, STR("POST /carts"), headers, STR(OTHER_CART), false);
    FUZZ_EXPECT(a->answer.status == 422, "another request under the key is answered %d",
                a->answer.status);
    buf_deinit(&first);
}

static void try_parts(struct str value)
{
    struct str epoch, item, rest = value;
    uint64_t position;
    int64_t ms;
    int quality;

    if (field_duration(value, 60000, &ms))
        FUZZ_EXPECT(ms >= 0 && ms <= 60000, "a duration of %lld ms", (long long)ms);
    if (field_position(value, &epoch, &position))
        FUZZ_EXPECT(epoch.n <= API_EPOCH_MAX, "an epoch of %zu bytes", epoch.n);
    while (field_next_item(&rest, &item))
        FUZZ_EXPECT(item.n > 0 && item.p >= value.p && item.p + item.n <= value.p + value.n,
                    "an item that is none");
    quality = field_accept_quality(value, STR("text/event-stream"));
    FUZZ_EXPECT(quality >= -1 && quality <= 1000, "a quality of %d", quality);
    (void)field_media_type(value);
    (void)field_is_json(value);
    (void)field_accepts(value, STR("text"), STR("plain"));
    (void)field_none_match_hits(value, 6);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = { (const char *)data, size };
    unsigned which = fuzz_take_u8(&in) % (ARRAY_LEN(fields) + 1);
    const char *field = fields[which % ARRAY_LEN(fields)];
    struct shop *s;
    struct buf headers = { 0 }, value = { 0 }, line = { 0 };
    struct asked a = { .joined = { 0 } };

    if (which == ARRAY_LEN(fields)) {
        try_parts(in);
        return 0;
    }
    s = shop_open(false);
    shop_expand(s, in, &value);
    ask_add_header(&headers, field, buf_str(&value));
    if (field == fields[0]) {
        try_key(s, &a, buf_str(&headers));
    } else {
        buf_printf(&line, "POST /carts/%s/items", s->names[SHOP_CART_CONVERTED]);
        ask(s, &a, buf_str(&line), buf_str(&headers),
            STR("{\"productId\":\"WIDGET-001\",\"quantity\":1}"), false);
        FUZZ_EXPECT(a.answer.status >= 400, "a converted cart was changed");
        line.n = 0;
        buf_printf(&line, "GET /orders/%s", s->names[SHOP_ORDER_DONE]);
        ask(s, &a, buf_str(&line), buf_str(&headers), STR_NONE, false);
        ask(s, &a, STR("PATCH /products/WIDGET-001"), buf_str(&headers),
            STR("{\"stockQuantity\":7}"), false);
    }
    asked_deinit(&a);
    buf_deinit(&line);
    buf_deinit(&headers);
    buf_deinit(&value);
    shop_close(s);
    return 0;
}
