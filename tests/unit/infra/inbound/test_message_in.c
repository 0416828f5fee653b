/* Messages from outside, read without the road that they came by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "orderly/base/arena.h"
#include "orderly/infra/inbound/message_in.h"
#include "orderly/infra/inbound/proto_form.h"
#include "orderly/infra/render/proto_event.h"
#include <stdio.h>

#define PAYLOAD "{\"orderId\":\"o-1\",\"reason\":\"no\"}"
#define ENVELOPE "{\"messageId\":\"m-1\",\"payload\":" PAYLOAD "}"
#define EVENT                                                                                      \
    "{\"specversion\":\"1.0\",\"id\":\"m-1\",\"source\":\"/pay\",\"type\":\"payment.declined\","   \
    "\"data\":" PAYLOAD "}"
#define HEADERS_MAX 8

struct reading {
    struct arena arena;
    struct json_in faults;
    struct cloud_config cloud;
    struct cloud_header headers[HEADERS_MAX];
    struct message_said said;
    struct message_in in;
    const struct message_form *forms;
    unsigned n_forms;
    bool has_data_type;
    struct receive_message out;
    struct str why;
};

static struct reading a_reading(struct str topic, struct str type, struct str body)
{
    return (struct reading){ .said = { .topic = topic, .content_type = type, .body = body } };
}

static void add(struct reading *r, const char *name, const char *value)
{
    assert_true(r->said.n_headers < HEADERS_MAX);
    r->headers[r->said.n_headers++] =
        (struct cloud_header){ .name = str_of(name), .value = str_of(value) };
}

static enum message_result run(struct reading *r)
{
    arena_init(&r->arena, NULL, 0);
    r->faults = (struct json_in){ .arena = &r->arena };
    r->in = (struct message_in){
        .in = &r->faults, .cloud = &r->cloud, .types = message_types_outside(), .prefix = STR("ce-")
    };
    r->in.has_data_type = r->has_data_type;
    r->said.headers = r->headers;
    r->out = (struct receive_message){ .type = EVENT_NONE };
    return message_in_read(&r->in, &r->said, r->forms, r->n_forms, &r->out, &r->why);
}

static void end(struct reading *r)
{
    arena_deinit(&r->arena);
}

/* The one fault that there is. */
static void assert_fault(const struct reading *r, const char *pointer, const char *detail)
{
    assert_int_equal(r->faults.n_faults, 1);
    assert_true(str_eq(r->faults.faults[0].pointer, str_of(pointer)));
    assert_true(str_eq(r->faults.faults[0].detail, str_of(detail)));
}

static void assert_declined(const struct reading *r)
{
    assert_int_equal(r->faults.n_faults, 0);
    assert_int_equal(r->out.type, EVENT_PAYMENT_DECLINED);
    assert_true(str_eq(r->out.message_id, STR("m-1")));
    assert_true(str_eq(r->out.payload.foreign_order_id, STR("o-1")));
    assert_true(str_eq(r->out.payload.reason, STR("no")));
    assert_true(str_eq(r->out.raw_payload, STR(PAYLOAD)));
}

/* ---- the forms ------------------------------------------------------------------------------- */

static void an_envelope__is_read_and_its_bytes_stay(void **state)
{
    char body[] = ENVELOPE;
    struct reading r = a_reading(STR("payment.declined"), STR("application/json"), str_of(body));

    (void)state;
    assert_int_equal(run(&r), MESSAGE_FINE);
    assert_declined(&r);
    assert_string_equal(body, ENVELOPE);
    end(&r);
}

static void an_envelope__may_say_the_topic_where_the_road_does_not(void **state)
{
    struct reading r = a_reading(
        STR_NONE, STR_NONE,
        STR("{\"messageId\":\"m-1\",\"topic\":\"payment.declined\",\"payload\":" PAYLOAD "}"));

    (void)state;
    assert_int_equal(run(&r), MESSAGE_FINE);
    assert_declined(&r);
    end(&r);
    r = a_reading(STR_NONE, STR_NONE, STR(ENVELOPE));
    assert_int_equal(run(&r), MESSAGE_INVALID);
    assert_fault(&r, "/topic", "is required");
    end(&r);
}

static void an_envelope__takes_the_roads_id_where_it_has_none(void **state)
{
    struct reading r =
        a_reading(STR("payment.declined"), STR_NONE, STR("{\"payload\":" PAYLOAD "}"));

    (void)state;
    r.said.id = STR("m-1");
    assert_int_equal(run(&r), MESSAGE_FINE);
    assert_declined(&r);
    end(&r);
    r.said.id = STR("no id");
    assert_int_equal(run(&r), MESSAGE_INVALID);
    assert_fault(&r, "/messageId", "must be 1 to 64 characters of A-Z a-z 0-9 . _ : -");
    end(&r);
    r.said.id = STR_NONE;
    assert_int_equal(run(&r), MESSAGE_INVALID);
    assert_fault(&r, "/messageId", "is required");
    end(&r);
    r = a_reading(STR("payment.declined"), STR_NONE, STR(ENVELOPE));
    r.said.id = STR("another");
    assert_int_equal(run(&r), MESSAGE_FINE); /* the sender's own counts */
    assert_declined(&r);
    end(&r);
}

static void the_same_event__has_the_same_content_in_both_modes(void **state)
{
    struct reading structured =
        a_reading(STR_NONE, STR("application/cloudevents+json"), STR(EVENT));
    struct reading binary =
        a_reading(STR("payment.declined"), STR("application/json"), STR(PAYLOAD));

    (void)state;
    add(&binary, "specversion", "1.0");
    add(&binary, "id", "m-1");
    add(&binary, "source", "/pay");
    add(&binary, "type", "payment.declined");
    add(&binary, "time", "2026-11-20T12:00:00Z");
    assert_int_equal(run(&structured), MESSAGE_FINE);
    assert_int_equal(run(&binary), MESSAGE_FINE);
    assert_declined(&structured);
    assert_declined(&binary);
    assert_memory_equal(&structured.out.content, &binary.out.content, sizeof(struct digest16));
    end(&structured);
    end(&binary);
    binary.headers[2].value = STR("/other");
    assert_int_equal(run(&binary), MESSAGE_FINE);
    assert_memory_not_equal(&structured.out.content, &binary.out.content, sizeof(struct digest16));
    end(&binary);
}

/* As libraries for NATS send it; what has a payload is an envelope all the same. */
static void an_event_without_a_content_type__is_known_by_its_specversion(void **state)
{
    struct reading said = a_reading(STR_NONE, STR("application/cloudevents+json"), STR(EVENT));
    struct reading bare = a_reading(STR("payment.declined"), STR_NONE, STR(EVENT));

    (void)state;
    assert_int_equal(run(&said), MESSAGE_FINE);
    assert_int_equal(run(&bare), MESSAGE_FINE);
    assert_declined(&bare);
    assert_memory_equal(&said.out.content, &bare.out.content, sizeof(struct digest16));
    end(&said);
    end(&bare);
    bare.said.body = STR("{\"specversion\":\"0.3\"}");
    assert_int_equal(run(&bare), MESSAGE_INVALID);
    assert_true(str_eq(bare.faults.faults[0].pointer, STR("/specversion")));
    end(&bare);
    bare.said.body = STR("{\"specversion\":\"1.0\",\"messageId\":\"m-1\",\"payload\":" PAYLOAD "}");
    assert_int_equal(run(&bare), MESSAGE_FINE);
    assert_declined(&bare);
    end(&bare);
}

static void header_fields__are_named_with_their_prefix(void **state)
{
    struct reading r = a_reading(STR_NONE, STR_NONE, STR(PAYLOAD));

    (void)state;
    add(&r, "specversion", "1.0");
    add(&r, "source", "/pay");
    add(&r, "type", "payment.declined");
    assert_int_equal(run(&r), MESSAGE_INVALID);
    assert_fault(&r, "ce-id", "is required");
    assert_int_equal(r.faults.faults[0].place, FAULT_HEADER);
    end(&r);
    add(&r, "id", "m-1");
    add(&r, "id", "m-2");
    assert_int_equal(run(&r), MESSAGE_INVALID);
    assert_fault(&r, "ce-id", "is there more than once");
    end(&r);
    r.said.n_headers--;
    r.headers[1].is_undecodable = true;
    assert_int_equal(run(&r), MESSAGE_INVALID);
    assert_fault(&r, "ce-source",
                 "must be printable ASCII, with everything else as the percent-escapes of UTF-8");
    end(&r);
}

/* NATS has its only place there, libraries of Kafka say it twice, HTTP forbids it. */
static void the_type_of_the_data__is_an_attribute_where_the_road_has_it_so(void **state)
{
    struct reading r = a_reading(STR_NONE, STR_NONE, STR(PAYLOAD));

    (void)state;
    add(&r, "specversion", "1.0");
    add(&r, "id", "m-1");
    add(&r, "source", "/pay");
    add(&r, "type", "payment.declined");
    add(&r, "datacontenttype", "text/json; charset=utf-8");
    assert_int_equal(run(&r), MESSAGE_INVALID);
    assert_fault(&r, "ce-datacontenttype", "must not be there, as Content-Type says it");
    end(&r);
    r.has_data_type = true;
    assert_int_equal(run(&r), MESSAGE_FINE);
    assert_declined(&r);
    end(&r);
    r.said.content_type = STR("application/json");
    assert_int_equal(run(&r), MESSAGE_FINE);
    assert_declined(&r);
    end(&r);
    r.headers[4].value = STR("application/xml");
    assert_int_equal(run(&r), MESSAGE_INVALID);
    assert_fault(&r, "ce-datacontenttype", "must be application/json in UTF-8");
    end(&r);
}

static void a_configured_prefix__is_taken_off_the_type(void **state)
{
    struct reading r =
        a_reading(STR_NONE, STR("application/cloudevents+json"),
                  STR("{\"specversion\":\"1.0\",\"id\":\"m-1\",\"source\":\"/"
                      "pay\",\"type\":\"com.example.payment.declined\",\"data\":" PAYLOAD "}"));

    (void)state;
    assert_int_equal(run(&r), MESSAGE_UNKNOWN_TOPIC);
    assert_fault(&r, "/type", "is no topic that may be published, such as payment.approved");
    end(&r);
    r.cloud.type_prefix = STR("com.example.");
    assert_int_equal(run(&r), MESSAGE_FINE);
    assert_declined(&r);
    end(&r);
}

/* ---- another form ---------------------------------------------------------------------------- */

static enum err open_upper(struct arena *a, struct str body, struct cloud_header **headers,
                           unsigned *n, struct str *json, struct str *why)
{
    static const char *const texts[][2] = {
        { "specversion", "1.0" },
        { "id", "m-1" },
        { "source", "/s" },
        { "type", "payment.declined" },
    };

    if (!str_eq(body, STR("GOOD"))) {
        *why = STR("It is not good.");
        return ERR_INVALID;
    }
    *n = ARRAY_LEN(texts);
    *headers = arena_zalloc(a, *n * sizeof(**headers));
    for (unsigned i = 0; i < *n; i++) {
        (*headers)[i].name = str_of(texts[i][0]);
        (*headers)[i].value = str_of(texts[i][1]);
    }
    *json = STR(PAYLOAD);
    return ERR_OK;
}

static void another_form__is_opened_by_its_media_type(void **state)
{
    static const struct message_form forms[] = { { { "application/x-upper", 19 }, open_upper } };
    struct reading r = a_reading(STR_NONE, STR("Application/X-Upper; v=1"), STR("GOOD"));

    (void)state;
    assert_int_equal(run(&r), MESSAGE_UNKNOWN_FORM);
    end(&r);
    r.forms = forms;
    r.n_forms = 1;
    assert_int_equal(run(&r), MESSAGE_FINE);
    assert_declined(&r);
    end(&r);
    r.said.body = STR("bad");
    assert_int_equal(run(&r), MESSAGE_MALFORMED);
    assert_true(str_eq(r.why, STR("It is not good.")));
    end(&r);
}

/* What we say of the data of our own messages is no reason to refuse them. */
static void protobuf__is_read_as_the_json_of_the_same_event(void **state)
{
    static const char *const types[] = { NULL, "application/protobuf",
                                         "Application/X-Protobuf; a=b", "application/json" };
    static const char any[] = "\x0a\x2e"
                              "type.googleapis.com/orderly.v1.PaymentDeclined"
                              "\x12\x09\x0a\x03o-1\x22\x02no";
    static const char head[] = "\x0a\x03m-1\x12\x04/pay\x1a\x03"
                               "1.0\x22\x10payment.declined";

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct reading r = a_reading(STR_NONE, PROTO_TYPE_EVENT, STR_NONE);
        size_t n = types[i] ? strlen(types[i]) : 0;
        struct buf body = { 0 };

        buf_add(&body, head, sizeof(head) - 1);
        if (types[i]) {
            buf_printf(&body,
                       "\x2a%c\x0a\x0f"
                       "datacontenttype\x12%c\x1a%c%s",
                       (int)(n + 21), (int)(n + 2), (int)n, types[i]);
        }
        buf_printf(&body, "\x42%c", (int)sizeof(any) - 1);
        buf_add(&body, any, sizeof(any) - 1);
        r.said.body = buf_str(&body);
        r.forms = &message_form_protobuf;
        r.n_forms = 1;
        assert_int_equal(run(&r), MESSAGE_FINE);
        assert_int_equal(r.faults.n_faults, 0);
        assert_true(str_eq(r.out.payload.reason, STR("no")));
        end(&r);
        body.p[4] = '?'; /* of the id */
        r.said.body = buf_str(&body);
        assert_int_equal(run(&r), MESSAGE_INVALID);
        assert_fault(&r, "/id", "must be 1 to 64 characters of A-Z a-z 0-9 . _ : -");
        end(&r);
        buf_deinit(&body);
    }
}

/* ---- what can't be read ---------------------------------------------------------------------- */

static void a_topic__is_ours_or_elsewhere_or_unknown(void **state)
{
    static const struct {
        const char *topic;
        enum message_result result;
    } topics[] = {
        { "payment.declined", MESSAGE_FINE },     { "order.placed", MESSAGE_ELSEWHERE },
        { "order.nonsense", MESSAGE_ELSEWHERE },  { "cart.created", MESSAGE_ELSEWHERE },
        { "payment.pending", MESSAGE_ELSEWHERE }, { "payment.nonsense", MESSAGE_UNKNOWN_TOPIC },
        { "\xff\n", MESSAGE_UNKNOWN_TOPIC },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(topics); i++) {
        struct reading r = a_reading(str_of(topics[i].topic), STR_NONE, STR(ENVELOPE));

        assert_int_equal(run(&r), topics[i].result);
        end(&r);
    }
}

static void what_is_no_message__says_why(void **state)
{
    static const struct {
        const char *type, *body;
        enum message_result result;
        const char *why;
    } bodies[] = {
        { "", "\xff\xfe", MESSAGE_MALFORMED, "The body is no JSON: " },
        { "", "{\"messageId\":", MESSAGE_MALFORMED, "The body is no JSON: " },
        { "", "[]", MESSAGE_INVALID, "must be an object" },
        { "", "", MESSAGE_INVALID, "the body is missing; it must be a JSON object" },
        { "text/plain", "{}", MESSAGE_UNKNOWN_FORM, JSON_MEDIA_DETAIL },
        { "application/cloudevents+avro", "x", MESSAGE_UNKNOWN_FORM, "CloudEvents are read as" },
        { "application/cloudevents-batch+json", "[]", MESSAGE_UNKNOWN_FORM,
          "CloudEvents are read as" },
        { "", "{\"messageId\":\"m\",\"payload\":{}}", MESSAGE_INVALID,
          "/payload/orderId is required; /payload/reason is required" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct reading r =
            a_reading(STR("payment.declined"), str_of(bodies[i].type), str_of(bodies[i].body));
        struct str detail;

        assert_int_equal(run(&r), bodies[i].result);
        detail = message_in_detail(&r.in, r.why, 512);
        if (!str_starts_with(detail, str_of(bodies[i].why)))
            fail_msg("%zu: " STR_FMT, i, STR_ARG(detail));
        end(&r);
    }
}

static void a_detail__is_one_line_whatever_the_keys_hold(void **state)
{
    struct reading r =
        a_reading(STR("payment.declined"), STR_NONE,
                  STR("{\"a\\nb\\u007f\":1,\"a\\nb\\u007f\":2,\"payload\":" PAYLOAD "}"));

    (void)state;
    assert_int_equal(run(&r), MESSAGE_INVALID);
    assert_true(str_starts_with(message_in_detail(&r.in, r.why, 512),
                                STR("/a b  is there more than once")));
    end(&r);
}

static void a_detail__is_text_whatever_an_attribute_is_called(void **state)
{
    struct reading r = a_reading(STR("payment.declined"), STR_NONE, STR(PAYLOAD));
    struct str detail;

    (void)state;
    add(&r, "specversion", "1.0");
    add(&r, "\xff\nx", "y");
    assert_int_equal(run(&r), MESSAGE_INVALID);
    detail = message_in_detail(&r.in, r.why, 512);
    assert_true(str_is_utf8(detail));
    assert_non_null(memmem(detail.p, detail.n, "? x is no attribute", 19));
    end(&r);
}

static void a_detail__ends_where_there_is_no_more_room(void **state)
{
    struct reading r = a_reading(STR("payment.approved"), STR_NONE,
                                 STR("{\"messageId\":\"m\",\"payload\":{\"\xc3\xa4\":1,"
                                     "\"\xc3\xa4\":2}}"));

    (void)state;
    assert_int_equal(run(&r), MESSAGE_INVALID);
    for (size_t max = 0; max < 64; max++) {
        struct str detail = message_in_detail(&r.in, STR("\xc3\xa4\xc3\xa4"), max);

        assert_true(detail.n <= max);
        assert_true(str_is_utf8(detail));
    }
    end(&r);
}

static void a_message_that_is_too_large__is_not_looked_into(void **state)
{
    struct reading r = a_reading(STR("payment.declined"), STR_NONE, STR(ENVELOPE));

    (void)state;
    r.said.is_too_large = true;
    assert_int_equal(run(&r), MESSAGE_TOO_LARGE);
    end(&r);
    r.said.topic = STR("order.placed");
    assert_int_equal(run(&r), MESSAGE_ELSEWHERE);
    end(&r);
}

int main(void)
{
#define T(name) cmocka_unit_test(name)
    const struct CMUnitTest tests[] = {
        T(an_envelope__is_read_and_its_bytes_stay),
        T(an_envelope__may_say_the_topic_where_the_road_does_not),
        T(an_envelope__takes_the_roads_id_where_it_has_none),
        T(the_same_event__has_the_same_content_in_both_modes),
        T(an_event_without_a_content_type__is_known_by_its_specversion),
        T(header_fields__are_named_with_their_prefix),
        T(the_type_of_the_data__is_an_attribute_where_the_road_has_it_so),
        T(a_configured_prefix__is_taken_off_the_type),
        T(another_form__is_opened_by_its_media_type),
        T(protobuf__is_read_as_the_json_of_the_same_event),
        T(a_topic__is_ours_or_elsewhere_or_unknown),
        T(what_is_no_message__says_why),
        T(a_detail__is_one_line_whatever_the_keys_hold),
        T(a_detail__is_text_whatever_an_attribute_is_called),
        T(a_detail__ends_where_there_is_no_more_room),
        T(a_message_that_is_too_large__is_not_looked_into),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
