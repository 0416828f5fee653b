/* Out: from the event catalogue to the fields of the same name. */
#include "io/cloudevents/v1/cloudevents.pb-c.h"
#include "orderly/infra/render/proto_event.h"
#include "orderly/v1/messages.pb-c.h"
#include "proto_types.h"

struct filling {
    struct arena *arena;
    const struct event *event;
};

/* Protobuf's texts end with a NUL; none of ours has one inside. */
static char *text(const struct filling *f, struct str s)
{
    char *copy = arena_alloc(f->arena, s.n + 1);

    if (s.n)
        memcpy(copy, s.p, s.n);
    copy[s.n] = 0;
    return copy;
}

static char *money(const struct filling *f, int64_t minor, struct currency currency)
{
    struct json_out o = { 0 };
    char *copy;

    json_money(&o, minor, currency);
    copy = text(f, buf_str(&o.buf));
    json_out_deinit(&o);
    return copy;
}

static char *uuid(const struct filling *f, struct uuid u)
{
    char *copy;

    if (uuid_is_nil(u))
        return text(f, STR_NONE);
    copy = arena_alloc(f->arena, UUID_TEXT_LEN + 1);
    uuid_format(u, copy);
    copy[UUID_TEXT_LEN] = 0;
    return copy;
}

static Google__Protobuf__Timestamp *timestamp(const struct filling *f, int64_t ms)
{
    Google__Protobuf__Timestamp *t;
    int64_t rest = ms % 1000;

    if (ms == 0)
        return NULL;
    t = arena_alloc(f->arena, sizeof(*t));
    google__protobuf__timestamp__init(t);
    t->seconds = ms / 1000 - (rest < 0);
    t->nanos = (int32_t)((rest < 0 ? rest + 1000 : rest) * 1000000);
    return t;
}

/* A list of n new messages in the message, at this field; each of `size` bytes. */
static void **list(const struct filling *f, ProtobufCMessage *m,
                   const ProtobufCFieldDescriptor *field, size_t n, size_t size)
{
    void **items = arena_alloc(f->arena, (n + 1) * sizeof(*items));

    for (size_t i = 0; i < n; i++)
        items[i] = arena_zalloc(f->arena, size);
    memcpy((char *)m + field->quantifier_offset, &n, sizeof(n));
    memcpy((char *)m + field->offset, &items, sizeof(void *));
    return items;
}

static void fill_lines(const struct filling *f, ProtobufCMessage *m,
                       const ProtobufCFieldDescriptor *field)
{
    const struct payload *p = &f->event->p;
    void **items = list(f, m, field, p->n_lines, sizeof(Orderly__V1__OrderLine));

    for (unsigned i = 0; i < p->n_lines; i++) {
        Orderly__V1__OrderLine *line = items[i];

        orderly__v1__order_line__init(line);
        line->sku = line->product_id = text(f, sku_str(&p->lines[i].sku));
        line->name = text(f, p->lines[i].name);
        line->description = text(f, p->lines[i].description);
        line->quantity = p->lines[i].quantity;
        line->price = money(f, p->lines[i].price, p->currency);
        line->discount = money(f, p->lines[i].discount, p->currency);
    }
}

static void fill_stock_lines(const struct filling *f, ProtobufCMessage *m,
                             const ProtobufCFieldDescriptor *field)
{
    const struct payload *p = &f->event->p;
    void **items = list(f, m, field, p->n_stock_lines, sizeof(Orderly__V1__StockLine));

    for (unsigned i = 0; i < p->n_stock_lines; i++) {
        Orderly__V1__StockLine *line = items[i];

        orderly__v1__stock_line__init(line);
        line->sku = line->product_id = text(f, sku_str(&p->stock_lines[i].sku));
        line->quantity = p->stock_lines[i].quantity;
    }
}

static void fill_discounts(const struct filling *f, ProtobufCMessage *m,
                           const ProtobufCFieldDescriptor *field)
{
    const struct payload *p = &f->event->p;
    void **items = list(f, m, field, p->n_discounts, sizeof(Orderly__V1__Discount));

    for (unsigned i = 0; i < p->n_discounts; i++) {
        Orderly__V1__Discount *d = items[i];

        orderly__v1__discount__init(d);
        d->code = text(f, p->discounts[i].code);
        d->description = text(f, p->discounts[i].description);
        d->amount = money(f, p->discounts[i].amount, p->currency);
    }
}

static void *address(const struct filling *f)
{
    const struct address *a = f->event->p.address;
    Orderly__V1__Address *out;

    if (!a)
        return NULL;
    out = arena_alloc(f->arena, sizeof(*out));
    orderly__v1__address__init(out);
    out->street = text(f, a->street);
    out->address_line2 = text(f, a->address_line2);
    out->city = text(f, a->city);
    out->state_or_province = text(f, a->state);
    out->postal_code = text(f, a->postal_code);
    out->country = text(f, a->country);
    out->delivery_instructions = text(f, a->delivery_instructions);
    return out;
}

static void *refund(const struct filling *f)
{
    const struct payload *p = &f->event->p;
    Orderly__V1__Refund *out;

    if (!p->refund.set)
        return NULL;
    out = arena_alloc(f->arena, sizeof(*out));
    orderly__v1__refund__init(out);
    out->payment_id = text(f, text_id_str(&p->refund.payment_id.t));
    out->amount = money(f, p->refund.amount, p->refund.currency);
    out->currency = text(f, currency_str(&p->refund.currency));
    return out;
}

static void *release(const struct filling *f)
{
    const struct payload *p = &f->event->p;
    Orderly__V1__Release *out;

    if (!p->release.set)
        return NULL;
    out = arena_alloc(f->arena, sizeof(*out));
    orderly__v1__release__init(out);
    out->reservation_id = text(f, text_id_str(&p->release.reservation_id.t));
    return out;
}

static void set_pointer(ProtobufCMessage *m, const ProtobufCFieldDescriptor *field, void *value)
{
    memcpy((char *)m + field->offset, &value, sizeof(void *));
}

static void fill(const struct filling *f, ProtobufCMessage *m,
                 const ProtobufCFieldDescriptor *field, const struct field_info *info)
{
    const struct payload *p = &f->event->p;
    const void *member = (const char *)p + info->offset;

    switch (info->kind) {
    case FIELD_KIND_ORDER_ID:
        set_pointer(m, field,
                    p->foreign_order_id.n ? text(f, p->foreign_order_id) : uuid(f, p->order_id.u));
        return;
    case FIELD_KIND_FLOW:
        set_pointer(m, field,
                    text(f, p->flow == FLOW_NONE ? STR_NONE : str_of(flow_of(p->flow)->name)));
        return;
    case FIELD_KIND_TEXT_ID:
        set_pointer(m, field, text(f, text_id_str(member)));
        return;
    case FIELD_KIND_UUID:
        set_pointer(m, field, uuid(f, *(const struct uuid *)member));
        return;
    case FIELD_KIND_SKU:
        set_pointer(m, field, text(f, sku_str(member)));
        return;
    case FIELD_KIND_STR:
        set_pointer(m, field, text(f, *(const struct str *)member));
        return;
    case FIELD_KIND_INT:
        memcpy((char *)m + field->offset, member, sizeof(int64_t));
        return;
    case FIELD_KIND_MONEY:
        set_pointer(m, field, money(f, *(const int64_t *)member, p->currency));
        return;
    case FIELD_KIND_OPTIONAL_MONEY:
        set_pointer(m, field, p->has_price ? money(f, p->price, p->currency) : text(f, STR_NONE));
        return;
    case FIELD_KIND_CURRENCY:
        set_pointer(m, field, text(f, currency_str(member)));
        return;
    case FIELD_KIND_TIME:
        set_pointer(m, field, timestamp(f, *(const int64_t *)member));
        return;
    case FIELD_KIND_STATUS:
        set_pointer(m, field,
                    text(f, p->previous_status == ORDER_NONE
                                ? STR_NONE
                                : order_status_name(p->previous_status)));
        return;
    case FIELD_KIND_LINES:
        fill_lines(f, m, field);
        return;
    case FIELD_KIND_STOCK_LINES:
        fill_stock_lines(f, m, field);
        return;
    case FIELD_KIND_DISCOUNTS:
        fill_discounts(f, m, field);
        return;
    case FIELD_KIND_ADDRESS:
        set_pointer(m, field, address(f));
        return;
    case FIELD_KIND_REFUND:
        set_pointer(m, field, refund(f));
        return;
    case FIELD_KIND_RELEASE:
        set_pointer(m, field, release(f));
        return;
    default:
        break; /* of events that are never messages */
    }
    UNREACHABLE("a message has no field of this kind");
}

static ProtobufCMessage *message_of(const struct filling *f)
{
    const struct event_info *info = &event_infos[f->event->type];
    const ProtobufCMessageDescriptor *d = proto_descriptor_of(info->type);
    const ProtobufCFieldDescriptor *time;
    ProtobufCMessage *m;

    ENSURE(d != NULL);
    m = arena_alloc(f->arena, d->sizeof_message);
    protobuf_c_message_init(d, m);
    for (const struct event_field *use = info->fields; use->field != FIELD_NONE; use++) {
        const struct field_info *fi = &field_infos[use->field];
        char name[PROTO_NAME_MAX];
        const ProtobufCFieldDescriptor *field;

        proto_snake_case(use->json ? use->json : fi->json, name);
        field = protobuf_c_message_descriptor_get_field_by_name(d, name);
        ENSURE(field != NULL);
        fill(f, m, field, fi);
    }
    time = protobuf_c_message_descriptor_get_field_by_name(d, "timestamp");
    ENSURE(time != NULL);
    set_pointer(m, time, timestamp(f, f->event->occurred_at_ms));
    return m;
}

static void pack(struct buf *out, const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);

    (void)buf_reserve(out, n);
    ENSURE(protobuf_c_message_pack(m, (uint8_t *)out->p + out->n) == n);
    out->n += n;
}

void proto_payload_write(struct buf *out, struct arena *a, const struct event *e)
{
    const struct filling f = { a, e };

    pack(out, message_of(&f));
}

/* ---- the envelope ---------------------------------------------------------------------------- */

typedef Io__Cloudevents__V1__CloudEvent envelope;
typedef Io__Cloudevents__V1__CloudEvent__AttributesEntry entry;
typedef Io__Cloudevents__V1__CloudEvent__CloudEventAttributeValue value;

static bool is_member(struct str name)
{
    return str_eq(name, STR("id")) || str_eq(name, STR("source")) ||
           str_eq(name, STR("specversion")) || str_eq(name, STR("type"));
}

static entry *attribute(const struct filling *f, const struct cloud_attribute *attribute)
{
    entry *out = arena_alloc(f->arena, sizeof(*out));
    value *v = arena_alloc(f->arena, sizeof(*v));

    io__cloudevents__v1__cloud_event__attributes_entry__init(out);
    io__cloudevents__v1__cloud_event__cloud_event_attribute_value__init(v);
    out->key = text(f, attribute->name);
    out->value = v;
    if (str_eq(attribute->name, STR("time"))) {
        v->attr_case =
            IO__CLOUDEVENTS__V1__CLOUD_EVENT__CLOUD_EVENT_ATTRIBUTE_VALUE__ATTR_CE_TIMESTAMP;
        v->ce_timestamp = timestamp(f, f->event->occurred_at_ms);
    } else if (str_eq(attribute->name, STR("dataschema"))) {
        v->attr_case = IO__CLOUDEVENTS__V1__CLOUD_EVENT__CLOUD_EVENT_ATTRIBUTE_VALUE__ATTR_CE_URI;
        v->ce_uri = text(f, attribute->value);
    } else {
        v->attr_case =
            IO__CLOUDEVENTS__V1__CLOUD_EVENT__CLOUD_EVENT_ATTRIBUTE_VALUE__ATTR_CE_STRING;
        v->ce_string = text(f, attribute->value);
    }
    return out;
}

#define DATA_ATTRIBUTES 2 /* datacontenttype, dataschema */

static void set_attributes(const struct filling *f, envelope *out,
                           const struct cloud_attributes *attributes, struct str type_url)
{
    const struct cloud_attribute data[DATA_ATTRIBUTES] = {
        { STR("datacontenttype"), STR("application/protobuf") }, { STR("dataschema"), type_url }
    };

    out->attributes =
        arena_alloc(f->arena, (CLOUD_ATTRIBUTES_MAX + DATA_ATTRIBUTES) * sizeof(void *));
    for (unsigned i = 0; i < attributes->n; i++) {
        const struct cloud_attribute *a = &attributes->list[i];

        if (str_eq(a->name, STR("id")))
            out->id = text(f, a->value);
        else if (str_eq(a->name, STR("source")))
            out->source = text(f, a->value);
        else if (str_eq(a->name, STR("type")))
            out->type = text(f, a->value);
        else if (!is_member(a->name))
            out->attributes[out->n_attributes++] = attribute(f, a);
    }
    for (unsigned i = 0; i < DATA_ATTRIBUTES; i++)
        out->attributes[out->n_attributes++] = attribute(f, &data[i]);
}

void proto_event_write(struct buf *out, struct arena *a, const struct cloud_config *c,
                       const struct event *e)
{
    const struct filling f = { a, e };
    struct str type = event_infos[e->type].type;
    struct cloud_attributes attributes;
    struct str type_url = arena_printf(a, PROTO_TYPE_URL_PREFIX STR_FMT, STR_ARG(type));
    struct buf data = { 0 };
    Google__Protobuf__Any any;
    envelope event;

    cloud_attributes_of(&attributes, c, e);
    proto_payload_write(&data, a, e);
    google__protobuf__any__init(&any);
    any.type_url = text(&f, type_url);
    any.value.data = (uint8_t *)data.p;
    any.value.len = data.n;
    io__cloudevents__v1__cloud_event__init(&event);
    event.spec_version = text(&f, CLOUD_SPEC_VERSION);
    set_attributes(&f, &event, &attributes, type_url);
    event.data_case = IO__CLOUDEVENTS__V1__CLOUD_EVENT__DATA_PROTO_DATA;
    event.proto_data = &any;
    pack(out, &event.base);
    buf_deinit(&data);
}
