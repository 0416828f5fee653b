/* What an outside context publishes: POST /messages/{topic}, and CloudEvents to POST /messages.
 *
 * input = topic(1) flags(1) text
 *   flags  bit 0: the text is the payload of a good envelope, else the whole body; bits 1-2: no
 *          CloudEvent, one in structured mode, a batch, one in binary mode, where the text's first
 *          line is one more header field and the rest is the body
 *
 * A message that is taken is shown by the lists and in the order's explanation, and a repeat of it
 * is answered as the first. */
#include "rig/ask.h"
#include "rig/fuzz.h"

static const char *const topics[] = {
    "payment.approved",    "payment.processed",  "payment.declined",
    "payment.failed",      "payment.refunded",   "stock.reserved",
    "inventory.reserved",  "stock.rejected",     "inventory.reservation_failed",
    "stock.released",      "inventory.released", "shipment.created",
    "shipment.dispatched", "shipment.delivered", "shipment.cancelled",
    "order.placed",        "payment.nothing",
};

static void look_around(struct shop *s, struct asked *a)
{
    static const char *const looks[] = {
        "GET /messages?limit=500&encoding=cloudevents",
        "GET /messages?limit=500",
        "GET /events?limit=500",
        "GET /dead-letters?limit=500",
        "GET /orders/\xf0/explain",
        "GET /orders/\xf1/explain",
        "GET /orders/\xf2/explain",
        "GET /orders/\xf0",
        "GET /orders/\xf1",
        "GET /orders/\xf2",
        "POST /dead-letters/\xf5/retry",
    };

    for (unsigned i = 0; i < ARRAY_LEN(looks); i++) {
        struct buf line = { 0 };

        shop_expand(s, str_of(looks[i]), &line);
        ask(s, a, buf_str(&line), STR_NONE, STR_NONE, false);
        buf_deinit(&line);
    }
}

enum mode { MODE_PLAIN, MODE_STRUCTURED, MODE_BATCH, MODE_BINARY };

static void put_headers(enum mode mode, const char *topic, struct str *in, struct buf *headers)
{
    static const char *const types[] = { [MODE_STRUCTURED] = "application/cloudevents+json",
                                         [MODE_BATCH] = "application/cloudevents-batch+json" };
    struct str line;

    if (mode == MODE_STRUCTURED || mode == MODE_BATCH)
        buf_printf(headers, "Content-Type: %s\r\n", types[mode]);
    if (mode != MODE_BINARY)
        return;
    line = fuzz_take_line(in);
    buf_printf(headers, "ce-specversion: 1.0\r\nce-id: m-2\r\nce-source: /s\r\nce-type: %s\r\n",
               topic);
    ask_add_header(headers, "ce-subject", line);
}

static void put_body(struct shop *s, enum mode mode, const char *topic, bool is_payload,
                     struct str in, struct buf *body)
{
    const char *open = mode == MODE_BATCH ? "[" : "", *close = mode == MODE_BATCH ? "]" : "";

    if (!is_payload || mode == MODE_BINARY) {
        shop_expand(s, in, body);
        return;
    }
    if (mode == MODE_PLAIN)
        buf_add_str(body, STR("{\"messageId\":\"m-2\",\"payload\":"));
    else
        buf_printf(body,
                   "%s{\"specversion\":\"1.0\",\"id\":\"m-2\",\"source\":\"/s\",\"type\":\"%s\","
                   "\"data\":",
                   open, topic);
    shop_expand(s, in, body);
    buf_printf(body, "}%s", close);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = { (const char *)data, size };
    const char *topic = topics[fuzz_take_u8(&in) % ARRAY_LEN(topics)];
    unsigned flags = fuzz_take_u8(&in);
    enum mode mode = (enum mode)(flags >> 1 & 3);
    struct shop *s = shop_open(false);
    struct buf line = { 0 }, headers = { 0 }, body = { 0 };
    struct asked a = { .joined = { 0 } };

    buf_add_str(&line, STR("POST /messages"));
    if (mode == MODE_PLAIN)
        buf_printf(&line, "/%s", topic);
    put_headers(mode, topic, &in, &headers);
    put_body(s, mode, topic, flags & 1, in, &body);
    ask(s, &a, buf_str(&line), buf_str(&headers), body.n ? buf_str(&body) : STR(""), false);
    if (a.answer.status == 202) {
        ask(s, &a, buf_str(&line), buf_str(&headers), buf_str(&body), false);
        FUZZ_EXPECT(a.answer.status == 202, "a repeat is answered %d", a.answer.status);
        shop_pass_ms(s, NULL, 3000);
        look_around(s, &a);
    }
    asked_deinit(&a);
    buf_deinit(&line);
    buf_deinit(&headers);
    buf_deinit(&body);
    shop_close(s);
    return 0;
}
