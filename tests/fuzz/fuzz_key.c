/* The header fields that every command reads: Idempotency-Key above all.
 *
 * input = field(1) value
 *   field  bits 0-3: which one; beyond the fields, the pure functions that read parts of values;
 *          bit 4: the store has no room for the first try; bit 5: the second comes while the first
 *          is in flight; bit 6: the key is tried once more when its day is over;
 *          bit 7: its request is one that is refused
 *
 * More lines of the value are more lines of the field. A key that is taken must do what it is for:
 * the same request has the same answer and does nothing, another one under the same key is refused;
 * a try that failed, and one that is long over, take nothing. */
#include "../../src/infra/api/fields.h"
#include "orderly/infra/inbound/media.h"
#include "rig/ask.h"
#include "rig/fuzz.h"

static const char *const fields[] = { "Idempotency-Key", "If-Match",    "If-None-Match",
                                      "X-User-Id",       "traceparent", "Content-Type",
                                      "Origin",          "Accept",      "Authorization",
                                      "Content-Encoding" };

#define CART "{\"customerId\":\"customer-1\"}"
#define ITEM "{\"productId\":\"WIDGET-001\",\"quantity\":1}"
#define OTHER_CART "{\"customerId\":\"customer-2\"}"

#define TOKENS "operator abc\ncustomer def me\ncontext ghi\n"
#define GUESSES 12          /* more than are answered at once */
#define ROOM_AGAIN_MS 20000 /* the app has tried again by then */
#define DAY_MS (25 * 3600 * (int64_t)1000)

enum { FIELD = 15, FIELD_FULL = 16, FIELD_IN_FLIGHT = 32, FIELD_EXPIRES = 64, FIELD_REFUSED = 128 };

static struct str body_copy(struct buf *to, const struct asked *a)
{
    to->n = 0;
    buf_add_str(to, a->answer.body);
    return buf_str(to);
}

static bool is_refusal(int status)
{
    return status == 400 || status == 431;
}

/* A try that came to nothing, or has not come to anything yet. */
static void try_before(struct shop *s, struct asked *a, struct str headers, unsigned how)
{
    struct loopback client;

    if (how & FIELD_FULL) {
        shop_trouble(s, SHOP_TROUBLE_FULL);
        ask(s, a, STR("POST /carts"), headers, STR(CART), false);
        FUZZ_EXPECT(a->answer.status == 503 || is_refusal(a->answer.status),
                    "without room the answer is %d", a->answer.status);
        store_virtual_fail_write(&s->app.store, 0, ERR_FULL); /* where nothing was to be written */
        shop_pass_ms(s, NULL, ROOM_AGAIN_MS);
    }
    if (how & FIELD_IN_FLIGHT) {
        shop_send(s, &client, STR("POST /carts"), headers, STR(CART));
        ask(s, a, STR("POST /carts"), headers, STR(CART), false);
        FUZZ_EXPECT(headers.n == 0 || a->answer.status == 409 || is_refusal(a->answer.status),
                    "a key in flight is answered %d", a->answer.status);
        shop_settle(s, &client);
        loopback_deinit(&client);
    }
}

/* It is as new when its day is over. */
static void try_after(struct shop *s, struct asked *a, struct str headers, struct str first)
{
    app_fixture_pass_ms(&s->app, DAY_MS);
    ask(s, a, STR("POST /carts"), headers, STR(CART), false);
    FUZZ_EXPECT(a->answer.status == 201 && !str_eq(first, a->answer.body),
                "a key of yesterday is answered %d", a->answer.status);
}

/* A refusal is an answer like others: the key gives it again, and is taken. */
static void try_refusal(struct shop *s, struct asked *a, struct str headers)
{
    struct buf line = { 0 };

    buf_printf(&line, "POST /carts/%s/items", s->names[SHOP_CART_CONVERTED]);
    for (unsigned i = 0; i < 2; i++) {
        ask(s, a, buf_str(&line), headers, STR(ITEM), false);
        FUZZ_EXPECT(a->answer.status == 409 || is_refusal(a->answer.status),
                    "an item for a converted cart is answered %d", a->answer.status);
        FUZZ_EXPECT((answer_field(&a->answer, "Idempotent-Replayed").n > 0) ==
                        (i == 1 && a->answer.status == 409 && headers.n > 0),
                    "given again, or not, at try %u", i);
    }
    if (a->answer.status == 409 && headers.n > 0) {
        ask(s, a, STR("POST /carts"), headers, STR(CART), false);
        FUZZ_EXPECT(a->answer.status == 422, "another request under the key is answered %d",
                    a->answer.status);
    }
    buf_deinit(&line);
}

static void try_key(struct shop *s, struct asked *a, struct str headers, unsigned how)
{
    struct buf first = { 0 };
    uint64_t events;

    try_before(s, a, headers, how);
    ask(s, a, STR("POST /carts"), headers, STR(CART), false);
    if (a->answer.status != 201 || headers.n == 0) {
        FUZZ_EXPECT(a->answer.status == 201 || is_refusal(a->answer.status),
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
    if (how & FIELD_EXPIRES)
        try_after(s, a, headers, buf_str(&first));
    buf_deinit(&first);
}

/* Where tokens are asked for, and who guesses waits. */
static void try_token(struct shop *s, struct asked *a, struct str headers)
{
    shop_set_tokens(s, TOKENS);
    for (unsigned i = 0; i < GUESSES; i++) {
        ask(s, a, STR("GET /products"), headers, STR_NONE, false);
        if (a->answer.status != 401)
            return;
    }
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
    (void)media_type_of(value);
    (void)media_is_json(value);
    (void)field_accepts(value, STR("text"), STR("plain"));
    (void)field_none_match_hits(value, 6);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = { (const char *)data, size };
    unsigned how = fuzz_take_u8(&in);
    size_t which = (how & FIELD) % (ARRAY_LEN(fields) + 1);
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
        if (how & FIELD_REFUSED)
            try_refusal(s, &a, buf_str(&headers));
        else
            try_key(s, &a, buf_str(&headers), how);
    } else {
        if (strcmp(field, "Authorization") == 0)
            try_token(s, &a, buf_str(&headers));
        buf_printf(&line, "POST /carts/%s/items", s->names[SHOP_CART_CONVERTED]);
        ask(s, &a, buf_str(&line), buf_str(&headers), STR(ITEM), false);
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
