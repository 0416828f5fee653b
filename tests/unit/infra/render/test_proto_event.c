/* Messages in protobuf: what is written is read as what the JSON says, and the numbers of fields stay
 * what they were. */
#include "../../../../src/infra/render/proto_types.h"
#include "../../app/codec_fixture.h"
#include "io/cloudevents/v1/cloudevents.pb-c.h"
#include "orderly/base/mem.h"
#include "orderly/infra/render/proto_event.h"
#include "orderly/infra/render/render_event.h"
#include "orderly/v1/messages.pb-c.h"
#include <stdio.h>
#include <string.h>
#include <yyjson.h>

static const struct cloud_config config = { STR("/orderly"), STR("com.example.") };

struct reading {
    struct arena arena;
    struct buf bytes;
    struct json_out json;
    struct proto_event event;
};

static void reading_init(struct reading *r)
{
    *r = (struct reading){ 0 };
    arena_init(&r->arena, NULL, 0);
}

static void reading_deinit(struct reading *r)
{
    buf_deinit(&r->bytes);
    json_out_deinit(&r->json);
    arena_deinit(&r->arena);
}

static bool is_empty(yyjson_val *v)
{
    return yyjson_is_null(v) || (yyjson_is_str(v) && yyjson_get_len(v) == 0) ||
           (yyjson_is_arr(v) && yyjson_arr_size(v) == 0);
}

/* Same members, but for those that are empty and those that are an alias. */
static void assert_same(yyjson_val *from_proto, yyjson_val *from_json, struct str type)
{
    size_t i, n;
    yyjson_val *key, *value;

    yyjson_obj_foreach(from_proto, i, n, key, value)
    {
        yyjson_val *other = yyjson_obj_get(from_json, yyjson_get_str(key));

        if (yyjson_is_obj(value) && yyjson_is_obj(other))
            assert_same(value, other, type);
        else if (yyjson_is_arr(value) && yyjson_is_arr(other))
            assert_int_equal(yyjson_arr_size(value), yyjson_arr_size(other));
        else if ((other || !is_empty(value)) && !yyjson_equals(value, other))
            fail_msg(STR_FMT ": %s differs", STR_ARG(type), yyjson_get_str(key));
    }
    yyjson_obj_foreach(from_json, i, n, key, value)
    {
        const char *name = yyjson_get_str(key);

        if (!is_empty(value) && !yyjson_obj_get(from_proto, name) &&
            strcmp(name, "reservations") != 0 && strcmp(name, "sku") != 0 &&
            strcmp(name, "amount") != 0)
            fail_msg(STR_FMT ": %s is missing", STR_ARG(type), name);
    }
}

static void an_outside_event(enum event_type type, struct event *e)
{
    an_event(type, e);
    e->id.u = uuid_of(9);
    e->position = 42;
    e->occurred_at_ms = INT64_C(1763640000123);
}

static void proto_event__says_what_the_json_says_of_every_message(void **state)
{
    unsigned n = 0;

    (void)state;
    for (unsigned t = EVENT_NONE + 1; t < EVENT_TYPE_COUNT; t++) {
        struct reading r;
        struct event e;
        const char *why;
        yyjson_doc *proto, *json;

        if (event_infos[t].topic.n == 0)
            continue;
        reading_init(&r);
        an_outside_event((enum event_type)t, &e);
        proto_event_write(&r.bytes, &r.arena, &config, &e);
        assert_int_equal(proto_event_read(&r.event, &r.arena, buf_str(&r.bytes), &why), ERR_OK);
        render_payload(&r.json, &e);
        proto = yyjson_read(r.event.data.p, r.event.data.n, YYJSON_READ_NUMBER_AS_RAW);
        json = yyjson_read(r.json.buf.p, r.json.buf.n, YYJSON_READ_NUMBER_AS_RAW);
        assert_non_null(proto);
        assert_non_null(json);
        assert_same(yyjson_doc_get_root(proto), yyjson_doc_get_root(json), event_infos[t].type);
        yyjson_doc_free(proto);
        yyjson_doc_free(json);
        reading_deinit(&r);
        n++;
    }
    assert_true(n >= 42);
}

static void check_member(struct event *e, const char *name)
{
    struct reading r;
    const char *why;
    yyjson_doc *doc;
    yyjson_val *v;

    reading_init(&r);
    proto_event_write(&r.bytes, &r.arena, &config, e);
    assert_int_equal(proto_event_read(&r.event, &r.arena, buf_str(&r.bytes), &why), ERR_OK);
    doc = yyjson_read(r.event.data.p, r.event.data.n, 0);
    v = yyjson_obj_get(yyjson_doc_get_root(doc), name);
    if (!v || !is_empty(v))
        fail_msg("%s: " STR_FMT, name, STR_ARG(r.event.data));
    yyjson_doc_free(doc);
    reading_deinit(&r);
}

/* Whoever reads the payload wants them: most orders have no discount. */
static void proto_event__has_the_lists_and_descriptions_that_are_empty(void **state)
{
    struct event e;

    (void)state;
    an_outside_event(EVENT_ORDER_PLACED, &e);
    e.p.n_discounts = 0;
    check_member(&e, "discounts");
    an_outside_event(EVENT_ORDER_PAID, &e);
    e.p.n_stock_lines = 0;
    check_member(&e, "items");
    an_outside_event(EVENT_PRODUCT_ADDED, &e);
    e.p.description = STR_NONE;
    check_member(&e, "description");
}

static struct str attribute(const struct proto_event *e, const char *name)
{
    for (unsigned i = 0; i < e->n_attributes; i++)
        if (str_eq(e->attributes[i].name, str_of(name)))
            return e->attributes[i].value;
    return STR_NONE;
}

static void proto_event__has_the_attributes_of_a_cloud_event(void **state)
{
    struct reading r;
    struct event e;
    const char *why;

    (void)state;
    reading_init(&r);
    an_outside_event(EVENT_ORDER_PAID, &e);
    proto_event_write(&r.bytes, &r.arena, &config, &e);
    assert_int_equal(proto_event_read(&r.event, &r.arena, buf_str(&r.bytes), &why), ERR_OK);
    assert_true(str_eq(r.event.spec_version, STR("1.0")));
    assert_true(str_eq(r.event.source, STR("/orderly")));
    assert_true(str_eq(r.event.type, STR("com.example.order.paid")));
    assert_int_equal(r.event.id.n, UUID_TEXT_LEN);
    assert_true(str_eq(attribute(&r.event, "time"), STR("2025-11-20T12:00:00.123Z")));
    assert_true(str_eq(attribute(&r.event, "sequence"), STR("00000000000000000042")));
    assert_true(attribute(&r.event, "partitionkey").n > 0);
    reading_deinit(&r);
}

/* ---- what others may send -------------------------------------------------------------------- */

static void pack_into(struct buf *out, const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);

    (void)buf_reserve(out, n + 1);
    out->n = protobuf_c_message_pack(m, (uint8_t *)out->p);
}

static enum err read_envelope(struct reading *r, Io__Cloudevents__V1__CloudEvent *e,
                              const char **why)
{
    r->bytes.n = 0;
    pack_into(&r->bytes, &e->base);
    return proto_event_read(&r->event, &r->arena, buf_str(&r->bytes), why);
}

static void proto_event__takes_json_as_text_or_as_bytes_too(void **state)
{
    static char json[] = "{\"orderId\":\"o\"}";
    Io__Cloudevents__V1__CloudEvent e = IO__CLOUDEVENTS__V1__CLOUD_EVENT__INIT;
    struct reading r;
    const char *why;

    (void)state;
    reading_init(&r);
    e.data_case = IO__CLOUDEVENTS__V1__CLOUD_EVENT__DATA_TEXT_DATA;
    e.text_data = json;
    assert_int_equal(read_envelope(&r, &e, &why), ERR_OK);
    assert_true(str_eq(r.event.data, str_of(json)));
    e.data_case = IO__CLOUDEVENTS__V1__CLOUD_EVENT__DATA_BINARY_DATA;
    e.binary_data.data = (uint8_t *)json;
    e.binary_data.len = sizeof(json) - 1;
    assert_int_equal(read_envelope(&r, &e, &why), ERR_OK);
    assert_true(str_eq(r.event.data, str_of(json)));
    reading_deinit(&r);
}

static void proto_event__that_is_none_is_refused_with_the_reason(void **state)
{
    static char type_url[] = "type.googleapis.com/orderly.v1.OrderEaten", invalid[] = "\xff";
    static char paid[] = "type.googleapis.com/orderly.v1.OrderPaid";
    static uint8_t garbage[] = { 0x0a, 0x7f };
    Io__Cloudevents__V1__CloudEvent e = IO__CLOUDEVENTS__V1__CLOUD_EVENT__INIT;
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    struct reading r;
    const char *why;

    (void)state;
    reading_init(&r);
    assert_int_equal(proto_event_read(&r.event, &r.arena, STR("\xff\xff"), &why), ERR_INVALID);
    assert_non_null(strstr(why, "no CloudEvent"));
    assert_int_equal(read_envelope(&r, &e, &why), ERR_INVALID);
    assert_non_null(strstr(why, "no data"));
    e.data_case = IO__CLOUDEVENTS__V1__CLOUD_EVENT__DATA_PROTO_DATA;
    e.proto_data = &any;
    any.type_url = type_url;
    assert_int_equal(read_envelope(&r, &e, &why), ERR_INVALID);
    assert_non_null(strstr(why, "orderly.v1"));
    any.type_url = paid;
    any.value.data = garbage;
    any.value.len = sizeof(garbage);
    assert_int_equal(read_envelope(&r, &e, &why), ERR_INVALID);
    assert_non_null(strstr(why, "what their type says"));
    any.value.len = 0;
    e.id = invalid;
    assert_int_equal(read_envelope(&r, &e, &why), ERR_INVALID);
    assert_non_null(strstr(why, "UTF-8"));
    reading_deinit(&r);
}

/* Puts a NUL where the text has an X; the length on the wire stays the text's. */
static enum err read_with_nul(struct reading *r, Io__Cloudevents__V1__CloudEvent *e,
                              const char **why)
{
    char *x;

    r->bytes.n = 0;
    pack_into(&r->bytes, &e->base);
    x = memchr(r->bytes.p, 'X', r->bytes.n);
    assert_non_null(x);
    *x = 0;
    return proto_event_read(&r->event, &r->arena, buf_str(&r->bytes), why);
}

/* protobuf-c would give the beginning of it, which is another text than was sent. */
static void proto_event__with_a_nul_in_a_text_is_refused(void **state)
{
    static char url[] = "type.googleapis.com/orderly.v1.PaymentDeclined", nul[] = "pay-Xy";
    static char json[] = "{\"orderId\":\"X\"}", fine[] = "fine", order[] = "o";
    Io__Cloudevents__V1__CloudEvent e = IO__CLOUDEVENTS__V1__CLOUD_EVENT__INIT;
    Io__Cloudevents__V1__CloudEvent__AttributesEntry entry =
        IO__CLOUDEVENTS__V1__CLOUD_EVENT__ATTRIBUTES_ENTRY__INIT;
    Io__Cloudevents__V1__CloudEvent__CloudEventAttributeValue value =
        IO__CLOUDEVENTS__V1__CLOUD_EVENT__CLOUD_EVENT_ATTRIBUTE_VALUE__INIT;
    Io__Cloudevents__V1__CloudEvent__AttributesEntry *entries[] = { &entry };
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    Orderly__V1__PaymentDeclined payload = ORDERLY__V1__PAYMENT_DECLINED__INIT;
    uint8_t bytes[128];
    struct reading r;
    const char *why;

    (void)state;
    reading_init(&r);
    payload.order_id = order;
    payload.reason = fine;
    e.data_case = IO__CLOUDEVENTS__V1__CLOUD_EVENT__DATA_PROTO_DATA;
    e.proto_data = &any;
    any.type_url = url;
    any.value.data = bytes;
    any.value.len = orderly__v1__payment_declined__pack(&payload, bytes);
    assert_int_equal(read_envelope(&r, &e, &why), ERR_OK);
    e.id = nul; /* of the envelope */
    assert_int_equal(read_with_nul(&r, &e, &why), ERR_INVALID);
    assert_string_equal(why, "a text holds a NUL");
    e.id = fine;
    payload.reason = nul; /* of the message in it */
    any.value.len = orderly__v1__payment_declined__pack(&payload, bytes);
    assert_int_equal(read_with_nul(&r, &e, &why), ERR_INVALID);
    assert_string_equal(why, "a text of proto_data holds a NUL");
    payload.reason = fine;
    any.value.len = orderly__v1__payment_declined__pack(&payload, bytes);
    e.attributes = entries; /* of a message in the envelope */
    e.n_attributes = 1;
    entry.key = fine;
    entry.value = &value;
    value.attr_case = IO__CLOUDEVENTS__V1__CLOUD_EVENT__CLOUD_EVENT_ATTRIBUTE_VALUE__ATTR_CE_STRING;
    value.ce_string = nul;
    assert_int_equal(read_with_nul(&r, &e, &why), ERR_INVALID);
    assert_string_equal(why, "a text holds a NUL");
    e.n_attributes = 0;
    e.data_case = IO__CLOUDEVENTS__V1__CLOUD_EVENT__DATA_TEXT_DATA;
    e.text_data = json;
    assert_int_equal(read_with_nul(&r, &e, &why), ERR_INVALID);
    assert_string_equal(why, "a text holds a NUL");
    reading_deinit(&r);
}

static void proto_event__may_have_so_many_attributes_and_no_more(void **state)
{
    static char keys[PROTO_ATTRIBUTES_MAX + 1][4], text[] = "x";
    Io__Cloudevents__V1__CloudEvent e = IO__CLOUDEVENTS__V1__CLOUD_EVENT__INIT;
    Io__Cloudevents__V1__CloudEvent__AttributesEntry entries[PROTO_ATTRIBUTES_MAX + 1];
    Io__Cloudevents__V1__CloudEvent__AttributesEntry *list[PROTO_ATTRIBUTES_MAX + 1];
    Io__Cloudevents__V1__CloudEvent__CloudEventAttributeValue value =
        IO__CLOUDEVENTS__V1__CLOUD_EVENT__CLOUD_EVENT_ATTRIBUTE_VALUE__INIT;
    struct reading r;
    const char *why;

    (void)state;
    reading_init(&r);
    value.attr_case = IO__CLOUDEVENTS__V1__CLOUD_EVENT__CLOUD_EVENT_ATTRIBUTE_VALUE__ATTR_CE_STRING;
    value.ce_string = text;
    e.data_case = IO__CLOUDEVENTS__V1__CLOUD_EVENT__DATA_TEXT_DATA;
    e.text_data = text;
    e.attributes = list;
    for (unsigned i = 0; i < ARRAY_LEN(list); i++) {
        snprintf(keys[i], sizeof(keys[i]), "a%u", i);
        io__cloudevents__v1__cloud_event__attributes_entry__init(&entries[i]);
        entries[i].key = keys[i];
        entries[i].value = &value;
        list[i] = &entries[i];
    }
    e.n_attributes = PROTO_ATTRIBUTES_MAX;
    assert_int_equal(read_envelope(&r, &e, &why), ERR_OK);
    assert_int_equal(r.event.n_attributes, PROTO_ATTRIBUTES_MAX);
    e.n_attributes = PROTO_ATTRIBUTES_MAX + 1;
    assert_int_equal(read_envelope(&r, &e, &why), ERR_INVALID);
    assert_string_equal(why, "has more than 24 attributes beside the required ones");
    reading_deinit(&r);
}

/* Two bytes ask for an entry of many. */
static void proto_event__asks_for_no_more_memory_than_it_may(void **state)
{
    enum { N = 400000 };
    uint8_t *bytes = mem_alloc(2 * N);
    struct reading r;
    const char *why;

    (void)state;
    for (unsigned i = 0; i < N; i++) {
        bytes[2 * i] = 5 << 3 | 2; /* attributes: an entry ... */
        bytes[2 * i + 1] = 0;      /* ... of no bytes */
    }
    reading_init(&r);
    assert_int_equal(
        proto_event_read(&r.event, &r.arena, (struct str){ (char *)bytes, (size_t)2 * N }, &why),
        ERR_LIMIT);
    assert_non_null(strstr(why, "memory"));
    reading_deinit(&r);
    mem_free(bytes);
}

/* A later version's field goes through whoever unpacks and packs again. */
static void proto_event__keeps_a_field_that_is_not_known_on_its_way_through(void **state)
{
    static const uint8_t bytes[] = { 0x0a, 1, 'o', 0xfa, 0x3f, 2, 'x', 'y' }; /* order_id, 1023 */
    Orderly__V1__OrderPaid *m = orderly__v1__order_paid__unpack(NULL, sizeof(bytes), bytes);
    uint8_t again[sizeof(bytes) + 16];

    (void)state;
    assert_non_null(m);
    assert_string_equal(m->order_id, "o");
    assert_int_equal(orderly__v1__order_paid__pack(m, again), sizeof(bytes));
    assert_memory_equal(again, bytes, sizeof(bytes));
    orderly__v1__order_paid__free_unpacked(m, NULL);
}

/* ---- numbers --------------------------------------------------------------------------------- */

static const char *type_of(const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT64:
        return "int64";
    case PROTOBUF_C_TYPE_STRING:
        return "string";
    case PROTOBUF_C_TYPE_MESSAGE:
        return ((const ProtobufCMessageDescriptor *)f->descriptor)->short_name;
    default:
        return "other";
    }
}

static void list_fields(struct buf *out, const ProtobufCMessageDescriptor *d)
{
    for (unsigned i = 0; i < d->n_fields; i++)
        buf_printf(out, "%s.%s %u %s%s\n", d->short_name, d->fields[i].name, d->fields[i].id,
                   d->fields[i].label == PROTOBUF_C_LABEL_REPEATED ? "repeated " : "",
                   type_of(&d->fields[i]));
}

static void golden_path(char *path, size_t size, const char *name)
{
    struct str here = STR(__FILE__);
    size_t n = here.n - (sizeof("unit/infra/render/test_proto_event.c") - 1);

    snprintf(path, size, "%.*s/golden/%s", (int)n, here.p, name);
}

/* Each line of the list was given away once; a line that is new is added to it, and none is changed.
 * With ORDERLY_GOLDEN=write it is printed. */
static void proto_messages__keep_the_numbers_and_types_of_their_fields(void **state)
{
    static const ProtobufCMessageDescriptor *const parts[] = {
        &orderly__v1__order_line__descriptor, &orderly__v1__stock_line__descriptor,
        &orderly__v1__discount__descriptor,   &orderly__v1__address__descriptor,
        &orderly__v1__refund__descriptor,     &orderly__v1__release__descriptor,
    };
    struct buf now = { 0 }, before = { 0 };
    char path[512], line[256];
    FILE *f;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        list_fields(&now, parts[i]);
    for (unsigned t = EVENT_NONE + 1; t < EVENT_TYPE_COUNT; t++)
        if (event_infos[t].topic.n)
            list_fields(&now, proto_descriptor_of(event_infos[t].type));
    if (getenv("ORDERLY_GOLDEN"))
        (void)fwrite(now.p, 1, now.n, stdout);
    golden_path(path, sizeof(path), "proto_fields.txt");
    f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        if (!memmem(now.p, now.n, line, strlen(line)))
            fail_msg("was given away, and is no more: %s", line);
        buf_add_str(&before, str_of(line));
    }
    (void)fclose(f);
    assert_int_equal(before.n, now.n); /* else: add what is new to the list */
    buf_deinit(&now);
    buf_deinit(&before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(proto_event__says_what_the_json_says_of_every_message),
        cmocka_unit_test(proto_event__has_the_lists_and_descriptions_that_are_empty),
        cmocka_unit_test(proto_event__has_the_attributes_of_a_cloud_event),
        cmocka_unit_test(proto_event__takes_json_as_text_or_as_bytes_too),
        cmocka_unit_test(proto_event__that_is_none_is_refused_with_the_reason),
        cmocka_unit_test(proto_event__with_a_nul_in_a_text_is_refused),
        cmocka_unit_test(proto_event__may_have_so_many_attributes_and_no_more),
        cmocka_unit_test(proto_event__asks_for_no_more_memory_than_it_may),
        cmocka_unit_test(proto_event__keeps_a_field_that_is_not_known_on_its_way_through),
        cmocka_unit_test(proto_messages__keep_the_numbers_and_types_of_their_fields),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
