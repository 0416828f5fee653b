/* The payload of a message, read: what we print is what we read, of every event that is a message. */
#include "../../app/codec_fixture.h"
#include "orderly/base/mem.h"
#include "orderly/domain/reservation.h"
#include "orderly/infra/inbound/payload_in.h"
#include "orderly/infra/render/render_event.h"
#include <string.h>

struct reading {
    struct arena arena;
    struct json_in in;
    struct json_out out;
    struct payload payload;
};

static void reading_init(struct reading *r)
{
    *r = (struct reading){ .in = { .arena = &r->arena } };
    arena_init(&r->arena, NULL, 0);
}

static void reading_deinit(struct reading *r)
{
    json_out_deinit(&r->out);
    arena_deinit(&r->arena);
}

/* The body is parsed in place, with four NUL bytes behind it. */
static void read_text(struct reading *r, struct str text, enum event_type type)
{
    char *body = arena_zalloc(&r->arena, text.n + 4);
    struct yyjson_val *root;
    struct str why;

    memcpy(body, text.p, text.n);
    root = json_in_parse(&r->in, (struct str){ body, text.n }, &why);
    if (!root)
        fail_msg("%s: " STR_FMT, event_infos[type].type.p, STR_ARG(why));
    payload_in_read(&r->in, root, NULL, type, &r->payload);
}

static void assert_reads(const struct event *e)
{
    struct reading r;

    reading_init(&r);
    render_payload(&r.out, e);
    read_text(&r, buf_str(&r.out.buf), e->type);
    if (r.in.n_faults)
        fail_msg("%s: " STR_FMT " " STR_FMT " in " STR_FMT, event_infos[e->type].type.p,
                 STR_ARG(r.in.faults[0].pointer), STR_ARG(r.in.faults[0].detail),
                 STR_ARG(buf_str(&r.out.buf)));
    for (unsigned f = FIELD_NONE + 1; f < FIELD_COUNT; f++)
        if (!same_field(&r.payload, &e->p, (enum field)f))
            fail_msg("%s: field %s differs in " STR_FMT, event_infos[e->type].type.p,
                     field_infos[f].json, STR_ARG(buf_str(&r.out.buf)));
    reading_deinit(&r);
}

/* Of an event that is no message nothing is read: dead letters stay at home. */
static bool a_message_of(enum event_type type, struct event *e)
{
    an_event(type, e);
    e->p.flow_version = 0; /* is not told to others */
    return event_infos[type].topic.n > 0;
}

static void what_is_printed_is_read(void **state)
{
    unsigned n = 0;

    (void)state;
    for (unsigned t = EVENT_NONE + 1; t < EVENT_TYPE_COUNT; t++) {
        struct event e;

        if (a_message_of((enum event_type)t, &e)) {
            assert_reads(&e);
            n++;
        }
    }
    assert_int_equal(n, EVENT_TYPE_COUNT - 1 - 4);
}

static void empty_field(struct payload *p, const struct event_field *f)
{
    switch (field_infos[f->field].kind) {
    case FIELD_KIND_TEXT_ID:
        memset((char *)p + field_infos[f->field].offset, 0, sizeof(struct text_id));
        return;
    case FIELD_KIND_UUID:
        memset((char *)p + field_infos[f->field].offset, 0, sizeof(struct uuid));
        return;
    case FIELD_KIND_TIME:
        memset((char *)p + field_infos[f->field].offset, 0, sizeof(int64_t));
        return;
    case FIELD_KIND_ORDER_ID:
        p->order_id = (struct order_id){ 0 };
        return;
    case FIELD_KIND_FLOW:
        p->flow = FLOW_NONE;
        return;
    case FIELD_KIND_STOCK_LINES:
        p->stock_lines = NULL;
        p->n_stock_lines = 0;
        return;
    case FIELD_KIND_REFUND:
        memset(&p->refund, 0, sizeof(p->refund));
        return;
    case FIELD_KIND_RELEASE:
        memset(&p->release, 0, sizeof(p->release));
        return;
    case FIELD_KIND_OPTIONAL_MONEY:
        p->has_price = false;
        p->price = 0;
        return;
    default:
        return;
    }
}

/* null, or left out. */
static void what_is_not_there_is_read_as_nothing(void **state)
{
    (void)state;
    for (unsigned t = EVENT_NONE + 1; t < EVENT_TYPE_COUNT; t++) {
        struct event e;

        if (!a_message_of((enum event_type)t, &e))
            continue;
        for (const struct event_field *f = event_infos[t].fields; f->field; f++) {
            enum field_kind kind = field_infos[f->field].kind;

            if (f->optional || kind == FIELD_KIND_REFUND || kind == FIELD_KIND_RELEASE ||
                kind == FIELD_KIND_OPTIONAL_MONEY)
                empty_field(&e.p, f);
        }
        assert_reads(&e);
    }
}

static void stock_may_go_down(void **state)
{
    struct event e;

    (void)state;
    an_event(EVENT_STOCK_ADJUSTED, &e);
    e.p.stock_delta = -INT64_C(1000000000000);
    assert_reads(&e);
}

static void assert_fault(const char *text, enum event_type type, const char *pointer,
                         const char *detail)
{
    struct reading r;
    bool found = false;

    reading_init(&r);
    read_text(&r, str_of(text), type);
    for (unsigned i = 0; i < r.in.n_faults; i++)
        found |= str_eq(r.in.faults[i].pointer, str_of(pointer)) &&
                 str_eq(r.in.faults[i].detail, str_of(detail));
    if (!found)
        fail_msg("no fault '%s %s'; the first of %u: " STR_FMT " " STR_FMT, pointer, detail,
                 r.in.n_faults, STR_ARG(r.in.n_faults ? r.in.faults[0].pointer : STR("none")),
                 STR_ARG(r.in.n_faults ? r.in.faults[0].detail : STR("")));
    reading_deinit(&r);
}

static void what_is_wrong_is_pointed_at(void **state)
{
    (void)state;
    assert_fault("{}", EVENT_ORDER_PLACED, "/items", "is required");
    assert_fault("{\"currency\":\"USD\",\"items\":[{\"sku\":\"A\",\"quantity\":0,\"price\":1}]}",
                 EVENT_ORDER_PLACED, "/items/0/quantity",
                 "must be an integer from 1 to 1000000000000");
    assert_fault("{\"currency\":\"USD\",\"items\":[{\"quantity\":1,\"price\":1}]}",
                 EVENT_ORDER_PLACED, "/items/0/sku", "is required");
    assert_fault("{\"currency\":\"USD\",\"items\":[{\"sku\":\"A\",\"productId\":\"B\","
                 "\"quantity\":1,\"price\":1}]}",
                 EVENT_ORDER_PLACED, "/items/0/sku", "differs from productId");
    assert_fault("{\"currency\":\"JPY\",\"items\":[{\"sku\":\"A\",\"quantity\":1,\"price\":1.5}]}",
                 EVENT_ORDER_PLACED, "/items/0/price", money_parse_text(MONEY_TOO_PRECISE));
    assert_fault("{\"previousStatus\":\"LOST\"}", EVENT_ORDER_CANCELLED, "/previousStatus",
                 "must be a status of an order");
    assert_fault("{\"refund\":{\"paymentId\":\"p\",\"amount\":1}}", EVENT_ORDER_CANCELLED,
                 "/refund/currency", "is required");
    assert_fault("{\"release\":{}}", EVENT_ORDER_CANCELLED, "/release/reservationId",
                 "is required");
    assert_fault("{\"shippingAddress\":{\"street\":\"1\"}}", EVENT_ORDER_PLACED,
                 "/shippingAddress/city", "is required");
    assert_fault("{\"cartId\":\"c-1\"}", EVENT_ORDER_PLACED, "/cartId", "must be a UUID");
}

/* A clock that was never set is none to go by, and protobuf knows no year 0. */
static void a_time_is_later_than_1970(void **state)
{
    static const char *const early[] = { "1970-01-01T00:00:00Z", "1970-01-01T01:00:00+01:00",
                                         "1969-12-31T23:59:59.999Z", "0000-01-01T00:00:00Z" };
    struct reading r;
    char text[160];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(early); i++) {
        snprintf(text, sizeof(text), "{\"deliveredAt\":\"%s\"}", early[i]);
        assert_fault(text, EVENT_SHIPMENT_DELIVERED, "/deliveredAt",
                     "must be later than 1970-01-01T00:00:00Z");
    }
    reading_init(&r);
    read_text(&r,
              STR("{\"orderId\":\"o\",\"shipmentId\":\"s\","
                  "\"deliveredAt\":\"1970-01-01T00:00:00.001Z\"}"),
              EVENT_SHIPMENT_DELIVERED);
    assert_int_equal(r.in.n_faults, 0);
    assert_int_equal(r.payload.delivered_at_ms, 1);
    reading_deinit(&r);
}

static void lines_are_at_most_as_many_as_an_order_has(void **state)
{
    (void)state;
    for (unsigned n = RESERVATION_LINES_MAX; n <= RESERVATION_LINES_MAX + 1; n++) {
        struct order_line lines[RESERVATION_LINES_MAX + 1] = { 0 };
        struct reading r;
        struct event e;

        an_event(EVENT_ORDER_PLACED, &e);
        for (unsigned i = 0; i < n; i++)
            lines[i] = (struct order_line){ .sku = { 1, "X" }, .quantity = 1 };
        e.p.lines = lines;
        e.p.n_lines = n;
        reading_init(&r);
        render_payload(&r.out, &e);
        read_text(&r, buf_str(&r.out.buf), e.type);
        assert_int_equal(r.in.n_faults, n > RESERVATION_LINES_MAX);
        assert_int_equal(r.payload.n_lines, n > RESERVATION_LINES_MAX ? 0 : n);
        reading_deinit(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_printed_is_read),
        cmocka_unit_test(what_is_not_there_is_read_as_nothing),
        cmocka_unit_test(stock_may_go_down),
        cmocka_unit_test(what_is_wrong_is_pointed_at),
        cmocka_unit_test(a_time_is_later_than_1970),
        cmocka_unit_test(lines_are_at_most_as_many_as_an_order_has),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
