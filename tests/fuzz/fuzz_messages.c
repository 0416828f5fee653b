/* What an outside context publishes: POST /messages/{topic}.
 *
 * input = topic(1) flags(1) text
 *   flags  bit 0: the text is the payload of a good envelope, else the whole body
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = { (const char *)data, size };
    const char *topic = topics[fuzz_take_u8(&in) % ARRAY_LEN(topics)];
    bool is_payload = fuzz_take_u8(&in) & 1;
    struct shop *s = shop_open(false);
    struct buf line = { 0 }, body = { 0 };
    struct asked a = { .joined = { 0 } };

    buf_printf(&line, "POST /messages/%s", topic);
    if (is_payload)
        buf_add_str(&body, STR("{\"messageId\":\"m-2\",\"payload\":"));
    shop_expand(s, in, &body);
    if (is_payload)
        buf_add_str(&body, STR("}"));
    ask(s, &a, buf_str(&line), STR_NONE, body.n ? buf_str(&body) : STR(""), false);
    if (a.answer.status == 202) {
        ask(s, &a, buf_str(&line), STR_NONE, buf_str(&body), false);
        FUZZ_EXPECT(a.answer.status == 202, "a repeat is answered %d", a.answer.status);
        shop_pass_ms(s, NULL, 3000);
        look_around(s, &a);
    }
    asked_deinit(&a);
    buf_deinit(&line);
    buf_deinit(&body);
    shop_close(s);
    return 0;
}
