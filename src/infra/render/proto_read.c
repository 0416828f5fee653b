/* In: a message of ours as the JSON that the other roads bring, by the descriptors alone. */
#include "io/cloudevents/v1/cloudevents.pb-c.h"
#include "orderly/base/timetext.h"
#include "orderly/infra/render/proto_event.h"
#include "proto_types.h"
#include "proto_wire.h"

/* ---- memory ---------------------------------------------------------------------------------- */

struct bounded_memory {
    struct arena *arena;
    size_t left;
    bool is_exceeded;
};

static void *bounded_alloc(void *ctx, size_t n)
{
    struct bounded_memory *m = ctx;

    if (n > m->left) {
        m->is_exceeded = true;
        return NULL;
    }
    m->left -= n;
    return arena_alloc(m->arena, n);
}

static void bounded_free(void *ctx, void *p)
{
    (void)ctx;
    (void)p; /* with the arena */
}

/* ---- a message as JSON ----------------------------------------------------------------------- */

/* Texts that are numbers in JSON. */
static bool is_money(const char *name)
{
    static const char *const names[] = { "approved_amount", "amount", "subtotal",
                                         "total_amount",    "price",  "discount" };

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* As JSON has them: no plus, no leading zeros. Anything else is written as a text, which whoever reads
 * the payload refuses with its place. */
static bool is_number(struct str s)
{
    size_t digits = 0, i = s.n && s.p[0] == '-';
    bool has_point = false;

    if (s.n > i + 1 && s.p[i] == '0' && s.p[i + 1] != '.')
        return false;
    for (; i < s.n; i++) {
        if (s.p[i] == '.' && !has_point && digits)
            has_point = true;
        else if (s.p[i] >= '0' && s.p[i] <= '9')
            digits++;
        else
            return false;
    }
    return digits > 0 && s.p[s.n - 1] != '.';
}

static bool json_timestamp(struct json_out *o, const ProtobufCMessage *m)
{
    const Google__Protobuf__Timestamp *t = (const Google__Protobuf__Timestamp *)(const void *)m;

    /* RFC 3339 has the years 0001 to 9999. */
    if (t->seconds < -62135596800 || t->seconds > 253402300799 || t->nanos < 0 ||
        t->nanos > 999999999)
        return false;
    json_time(o, t->seconds * 1000 + t->nanos / 1000000);
    return true;
}

static bool json_message(struct json_out *o, const ProtobufCMessage *m);

/* False: a text that is no UTF-8, a time that is none. */
static bool json_value(struct json_out *o, const ProtobufCFieldDescriptor *field, const void *at)
{
    const ProtobufCMessage *message;
    const char *text;
    int64_t number;

    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
        memcpy(&number, at, sizeof(number));
        json_i64(o, number);
        return true;
    case PROTOBUF_C_TYPE_STRING:
        memcpy(&text, at, sizeof(void *));
        if (!str_is_utf8(str_of(text)))
            return false;
        if (is_money(field->name) && is_number(str_of(text)))
            json_raw_str(o, str_of(text));
        else
            json_str(o, str_of(text));
        return true;
    case PROTOBUF_C_TYPE_MESSAGE:
        memcpy(&message, at, sizeof(void *));
        if (field->descriptor == &google__protobuf__timestamp__descriptor)
            return json_timestamp(o, message);
        return json_message(o, message);
    default:
        break;
    }
    UNREACHABLE("the messages have no field of this type");
}

static bool json_list(struct json_out *o, const ProtobufCMessage *m,
                      const ProtobufCFieldDescriptor *field)
{
    const char *items;
    size_t n;

    memcpy(&n, (const char *)m + field->quantifier_offset, sizeof(n));
    memcpy(&items, (const char *)m + field->offset, sizeof(void *));
    json_open(o, '[');
    for (size_t i = 0; i < n; i++) {
        json_item(o);
        if (!json_value(o, field, items + i * sizeof(void *)))
            return false;
    }
    json_close(o, ']');
    return true;
}

/* What proto3 does not send, because it is empty, is not there. Numbers always are, and what says
 * something by being empty: a list (an order without discounts) and a description. */
static bool is_absent(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *field)
{
    const char *p;

    if (field->label == PROTOBUF_C_LABEL_REPEATED || field->type == PROTOBUF_C_TYPE_INT64 ||
        strcmp(field->name, "description") == 0)
        return false;
    memcpy(&p, (const char *)m + field->offset, sizeof(void *));
    return !p || (field->type == PROTOBUF_C_TYPE_STRING && !p[0]);
}

static bool json_message(struct json_out *o, const ProtobufCMessage *m)
{
    json_open(o, '{');
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &m->descriptor->fields[i];
        char name[PROTO_NAME_MAX];

        if (is_absent(m, field))
            continue;
        proto_camel_case(field->name, name);
        json_key(o, str_of(name));
        if (field->label == PROTOBUF_C_LABEL_REPEATED
                ? !json_list(o, m, field)
                : !json_value(o, field, (const char *)m + field->offset))
            return false;
    }
    json_close(o, '}');
    return true;
}

/* ---- the envelope ---------------------------------------------------------------------------- */

typedef Io__Cloudevents__V1__CloudEvent envelope;
typedef Io__Cloudevents__V1__CloudEvent__AttributesEntry entry;
typedef Io__Cloudevents__V1__CloudEvent__CloudEventAttributeValue value;

#define ATTR(name) IO__CLOUDEVENTS__V1__CLOUD_EVENT__CLOUD_EVENT_ATTRIBUTE_VALUE__ATTR_CE_##name
#define DATA(name) IO__CLOUDEVENTS__V1__CLOUD_EVENT__DATA_##name

static bool read_attribute(struct arena *a, const entry *e, struct cloud_attribute *out)
{
    const value *v = e->value;
    struct json_out o = { 0 };
    bool is_fine = true;

    out->name = str_of(e->key);
    out->value = STR_NONE;
    if (!v)
        return str_is_utf8(out->name);
    switch (v->attr_case) {
    case ATTR(BOOLEAN):
        out->value = v->ce_boolean ? STR("true") : STR("false");
        break;
    case ATTR(INTEGER):
        out->value = arena_printf(a, "%d", (int)v->ce_integer);
        break;
    case ATTR(STRING):
    case ATTR(URI):
    case ATTR(URI_REF):
        out->value = str_of(v->ce_string); /* one place of a union, all three of them texts */
        break;
    case ATTR(TIMESTAMP):
        is_fine = json_timestamp(&o, &v->ce_timestamp->base);
        if (is_fine && o.buf.n > 2 && o.buf.p[0] == '"')
            out->value = arena_printf(a, "%.*s", (int)o.buf.n - 2, o.buf.p + 1);
        json_out_deinit(&o);
        break;
    default:
        break; /* bytes, or a kind of a later version: there, but without a text */
    }
    return is_fine && str_is_utf8(out->name) && str_is_utf8(out->value);
}

static const char *read_attributes(struct proto_event *out, struct arena *a, const envelope *e)
{
    if (e->n_attributes > PROTO_ATTRIBUTES_MAX)
        return "has more than 24 attributes beside the required ones";
    for (size_t i = 0; i < e->n_attributes; i++) {
        if (!read_attribute(a, e->attributes[i], &out->attributes[out->n_attributes]))
            return "an attribute is no UTF-8, or no time";
        out->n_attributes++;
    }
    return NULL;
}

_Static_assert(PROTO_ATTRIBUTES_MAX == 24, "the reason names it");

static const char *read_any(struct proto_event *out, struct arena *a, const envelope *e,
                            ProtobufCAllocator *memory)
{
    const Google__Protobuf__Any *any = e->proto_data;
    struct str url = str_of(any->type_url);
    const ProtobufCMessageDescriptor *d = NULL;
    struct json_out o = { 0 };
    ProtobufCMessage *m;
    bool is_fine;

    if (str_starts_with(url, STR(PROTO_TYPE_URL_PREFIX)))
        d = proto_descriptor_of((struct str){ url.p + sizeof(PROTO_TYPE_URL_PREFIX) - 1,
                                              url.n - (sizeof(PROTO_TYPE_URL_PREFIX) - 1) });
    if (!d)
        return "the type of proto_data is none of " PROTO_TYPE_URL_PREFIX "*";
    m = protobuf_c_message_unpack(d, memory, any->value.len, any->value.data);
    if (!m)
        return "proto_data are not what their type says";
    if (proto_has_text_with_nul(d, (struct str){ (const char *)any->value.data, any->value.len }))
        return "a text of proto_data holds a NUL";
    is_fine = json_message(&o, m);
    if (is_fine) {
        out->data = json_out_take(&o, a);
        out->is_message = true;
    }
    json_out_deinit(&o);
    return is_fine ? NULL : "a text of proto_data is no UTF-8, or a time is none";
}

static const char *read_envelope(struct proto_event *out, struct arena *a, const envelope *e,
                                 ProtobufCAllocator *memory)
{
    out->id = str_of(e->id);
    out->source = str_of(e->source);
    out->spec_version = str_of(e->spec_version);
    out->type = str_of(e->type);
    if (!str_is_utf8(out->id) || !str_is_utf8(out->source) || !str_is_utf8(out->spec_version) ||
        !str_is_utf8(out->type))
        return "a text is no UTF-8";
    switch (e->data_case) {
    case DATA(PROTO_DATA):
        return read_any(out, a, e, memory);
    case DATA(TEXT_DATA):
        out->data = str_of(e->text_data);
        return NULL;
    case DATA(BINARY_DATA):
        out->data = (struct str){ (const char *)e->binary_data.data, e->binary_data.len };
        return NULL;
    default:
        return "there is no data";
    }
}

enum err proto_event_read(struct proto_event *out, struct arena *a, struct str bytes,
                          const char **why)
{
    struct bounded_memory bound = { .arena = a, .left = PROTO_READ_BYTES_MAX };
    ProtobufCAllocator memory = { bounded_alloc, bounded_free, &bound };
    envelope *e;

    *out = (struct proto_event){ 0 };
    e = io__cloudevents__v1__cloud_event__unpack(&memory, bytes.n, (const uint8_t *)bytes.p);
    if (!e)
        *why = "is no CloudEvent of the protobuf format";
    else if (proto_has_text_with_nul(e->base.descriptor, bytes))
        *why = "a text holds a NUL";
    else
        *why = read_envelope(out, a, e, &memory);
    if (e && !*why)
        *why = read_attributes(out, a, e);
    if (bound.is_exceeded) {
        *why = "asks for too much memory";
        return ERR_LIMIT;
    }
    return *why ? ERR_INVALID : ERR_OK;
}
