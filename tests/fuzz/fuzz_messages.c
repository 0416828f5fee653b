/* What an outside context publishes: POST /messages/{topic}, and CloudEvents to POST /messages; what
 * a broker hands over; and the payloads of all messages, as a context in a process of its own reads
 * them.
 *
 * input = topic(1) flags(1) text
 *   flags  bit 0: the text is the payload of a good envelope, else the whole body; bits 1-2: no
 *          CloudEvent, one in structured mode, a batch, one in binary mode, where the text's first
 *          line is one more header field and the rest is the body; bit 3: CloudEvents, too, go to
 *          POST /messages/{topic}; bit 4: in binary mode all header fields are the text's, up to an
 *          empty line; bit 5: no request: the text is the payload of one of all messages;
 *          bit 6: no request: lines say topic, id and media type, lines up to an empty one the
 *          attributes, the rest is the body; bit 0: all topics are taken; bit 3: the body was cut;
 *          bit 1: no such lines, the body is a CloudEvent in protobuf; bit 2, then: lines say the
 *          message's name and the topic, and only the message's own fields are the text's;
 *          the first byte is the length that a word about it may have
 *
 * A message that is taken is shown by the lists and in the order's explanation, and a repeat of it
 * is answered as the first. A payload that is read is printed as one that reads the same. What
 * a broker hands over is read, or refused with a word that is one line; its bytes stay. */
#include "orderly/base/mem.h"
#include "orderly/infra/inbound/message_in.h"
#include "orderly/infra/inbound/payload_in.h"
#include "orderly/infra/inbound/proto_form.h"
#include "orderly/infra/render/proto_event.h"
#include "orderly/infra/render/render_event.h"
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

enum { FLAG_PAYLOAD = 1, FLAG_TOPIC = 8, FLAG_ATTRIBUTES = 16, FLAG_READ = 32, FLAG_BROKER = 64 };
enum { FLAG_PROTO = 2, FLAG_PROTO_DATA = 4 }; /* of FLAG_BROKER */
enum mode { MODE_PLAIN, MODE_STRUCTURED, MODE_BATCH, MODE_BINARY };

/* The attributes of binary mode, a line each: the name without its prefix, a colon, the value. */
static void put_attributes(struct str *in, struct buf *headers)
{
    struct str line;

    while ((line = fuzz_take_line(in)).n) {
        struct str name = fuzz_take_until(&line, ':');
        struct buf full = { 0 };

        buf_add_str(&full, STR("ce-"));
        for (size_t i = 0; i < name.n; i++) {
            if (name.p[i] > ' ' && name.p[i] < 0x7f)
                buf_add(&full, name.p + i, 1);
        }
        buf_add(&full, "", 1);
        ask_add_header(headers, full.p, line);
        buf_deinit(&full);
    }
}

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

/* ---- the payload alone ----------------------------------------------------------------------- */

static enum event_type message_type(unsigned which)
{
    unsigned n = 0, t = EVENT_NONE;

    for (unsigned i = EVENT_NONE + 1; i < EVENT_TYPE_COUNT; i++)
        n += event_infos[i].topic.n > 0;
    for (unsigned left = which % n + 1; left > 0; left -= event_infos[t].topic.n > 0)
        t++;
    return (enum event_type)t;
}

/* Reads the payload and prints what was read; false: it is refused, with a word why. */
static bool read_and_print(struct str text, enum event_type type, struct buf *out)
{
    char *body = mem_zalloc(text.n + 4); /* it is parsed in place, with four NUL bytes behind it */
    struct event e = { .type = type, .version = 1 };
    struct json_out o = { *out };
    struct yyjson_val *root;
    struct str why = STR_NONE;
    struct arena arena;
    struct json_in in = { .arena = &arena };
    bool is_good;

    arena_init(&arena, NULL, 0);
    if (text.n)
        memcpy(body, text.p, text.n);
    root = json_in_parse(&in, (struct str){ body, text.n }, &why);
    FUZZ_EXPECT(root || why.n, "refused without a word");
    if (root)
        payload_in_read(&in, root, NULL, type, &e.p);
    is_good = root && in.n_faults == 0;
    if (is_good)
        render_payload(&o, &e);
    *out = o.buf;
    arena_deinit(&arena);
    mem_free(body);
    return is_good;
}

static void try_payload(struct str text, enum event_type type)
{
    struct buf first = { 0 }, second = { 0 };

    if (read_and_print(text, type, &first)) {
        FUZZ_EXPECT(read_and_print(buf_str(&first), type, &second),
                    STR_FMT ": refused when it is read again: " STR_FMT,
                    STR_ARG(event_infos[type].topic), STR_ARG(buf_str(&first)));
        FUZZ_EXPECT(str_eq(buf_str(&first), buf_str(&second)), STR_FMT ": " STR_FMT " is " STR_FMT,
                    STR_ARG(event_infos[type].topic), STR_ARG(buf_str(&first)),
                    STR_ARG(buf_str(&second)));
    }
    buf_deinit(&first);
    buf_deinit(&second);
}

/* ---- what a broker hands over ---------------------------------------------------------------- */

#define HEADERS_MAX 16

static unsigned take_headers(struct str *in, struct cloud_header headers[HEADERS_MAX])
{
    unsigned n = 0;
    struct str line;

    while (n < HEADERS_MAX && (line = fuzz_take_line(in)).n) {
        struct str name = fuzz_take_until(&line, ':');

        headers[n++] = (struct cloud_header){ .name = name, .value = line };
    }
    return n;
}

/* A form of our own that is no JSON: attributes in lines, an empty line, the payload. */
static enum err open_lines(struct arena *a, struct str body, struct cloud_header **headers,
                           unsigned *n, struct str *json, struct str *why)
{
    *headers = arena_zalloc(a, HEADERS_MAX * sizeof(**headers));
    *n = take_headers(&body, *headers);
    *json = body;
    *why = *n ? STR_NONE : STR("It has no attributes.");
    return *n ? ERR_OK : ERR_INVALID;
}

static void check_word(struct message_in *m, struct str why, size_t max)
{
    struct str word = message_in_detail(m, why, max);

    FUZZ_EXPECT(word.n <= max && str_is_utf8(word), "a word of %zu bytes", word.n);
    for (size_t i = 0; i < word.n; i++)
        FUZZ_EXPECT((uint8_t)word.p[i] >= ' ', "more than a line: " STR_FMT, STR_ARG(word));
}

static enum message_result read_said(const struct message_said *said, uint64_t types, size_t max,
                                     struct digest16 *content)
{
    const struct message_form forms[] = { { STR("text/x-lines"), open_lines },
                                          message_form_protobuf };
    static const struct cloud_config cloud = { .type_prefix = STR("shop.") };
    struct receive_message out = { .type = EVENT_NONE };
    struct arena arena;
    struct json_in in = { .arena = &arena };
    struct message_in m = { .in = &in, .cloud = &cloud, .types = types };
    struct text_id id;
    struct str why;
    enum message_result result;

    arena_init(&arena, NULL, 0);
    result = message_in_read(&m, said, forms, ARRAY_LEN(forms), &out, &why);
    *content = out.content;
    check_word(&m, why, max);
    switch (result) {
    case MESSAGE_FINE:
        FUZZ_EXPECT(in.n_faults == 0 && (types >> out.type & 1) &&
                        text_id_parse(out.message_id, &id) && out.raw_payload.n,
                    "fine, but not whole");
        break;
    case MESSAGE_INVALID:
        FUZZ_EXPECT(in.n_faults > 0, "something is wrong, but what?");
        break;
    case MESSAGE_ELSEWHERE:
        break;
    default:
        FUZZ_EXPECT(why.n > 0, "refused without a word");
    }
    arena_deinit(&arena);
    return result;
}

static void try_said(const struct message_said *said, unsigned flags, size_t max)
{
    uint64_t types = flags & FLAG_PAYLOAD ? UINT64_MAX : message_types_outside();
    struct digest16 first, second;
    enum message_result result = read_said(said, types, max, &first);

    FUZZ_EXPECT(read_said(said, types, max, &second) == result &&
                    memcmp(&first, &second, sizeof(first)) == 0,
                "the same message is read otherwise");
}

static void try_broker(size_t max, unsigned flags, struct str in)
{
    struct cloud_header headers[HEADERS_MAX];
    struct message_said said = { .topic = fuzz_take_line(&in),
                                 .id = fuzz_take_line(&in),
                                 .content_type = fuzz_take_line(&in),
                                 .headers = headers,
                                 .is_too_large = flags & FLAG_TOPIC };

    said.n_headers = take_headers(&in, headers);
    said.body = in;
    try_said(&said, flags, max);
}

/* A protobuf field of bytes, a text or a message. */
static void add_field(struct buf *out, unsigned number, struct str value)
{
    char length[4] = { (char)(value.n | 0x80), (char)(value.n >> 7 | 0x80),
                       (char)(value.n >> 14 | 0x80), (char)(value.n >> 21 & 0x7f) };
    char tag = (char)(number << 3 | 2);

    buf_add(out, &tag, 1);
    buf_add(out, length, sizeof(length));
    buf_add_str(out, value);
}

/* Lengths within lengths are what a mutation breaks first, so the envelope is made here. */
static void wrap_data(struct str in, struct buf *out)
{
    struct str name = fuzz_take_line(&in), topic = fuzz_take_line(&in);
    struct buf url = { 0 }, any = { 0 };

    buf_printf(&url, PROTO_TYPE_URL_PREFIX STR_FMT, STR_ARG(name));
    add_field(&any, 1, buf_str(&url));
    add_field(&any, 2, in);
    add_field(out, 1, STR("m-2"));
    add_field(out, 2, STR("/s"));
    add_field(out, 3, STR("1.0"));
    add_field(out, 4, topic);
    add_field(out, 8, buf_str(&any));
    buf_deinit(&url);
    buf_deinit(&any);
}

static void try_proto(size_t max, unsigned flags, struct str in)
{
    struct message_said said = { .content_type = PROTO_TYPE_EVENT,
                                 .body = in,
                                 .is_too_large = flags & FLAG_TOPIC };
    struct buf body = { 0 };

    if (flags & FLAG_PROTO_DATA) {
        wrap_data(in, &body);
        said.body = buf_str(&body);
    }
    try_said(&said, flags, max);
    buf_deinit(&body);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void try_request(unsigned which, unsigned flags, struct str in)
{
    const char *topic = topics[which % ARRAY_LEN(topics)];
    enum mode mode = (enum mode)(flags >> 1 & 3);
    struct shop *s = shop_open(false);
    struct buf line = { 0 }, headers = { 0 }, body = { 0 };
    struct asked a = { .joined = { 0 } };

    buf_add_str(&line, STR("POST /messages"));
    if (mode == MODE_PLAIN || flags & FLAG_TOPIC)
        buf_printf(&line, "/%s", topic);
    if (mode == MODE_BINARY && flags & FLAG_ATTRIBUTES)
        put_attributes(&in, &headers);
    else
        put_headers(mode, topic, &in, &headers);
    put_body(s, mode, topic, flags & FLAG_PAYLOAD, in, &body);
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
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = { (const char *)data, size };
    unsigned which = fuzz_take_u8(&in), flags = fuzz_take_u8(&in);

    if (flags & FLAG_READ)
        try_payload(in, message_type(which));
    else if (flags & FLAG_BROKER && flags & FLAG_PROTO)
        try_proto(which, flags, in);
    else if (flags & FLAG_BROKER)
        try_broker(which, flags, in);
    else
        try_request(which, flags, in);
    return 0;
}
