#include "orderly/infra/inbound/message_in.h"
#include "orderly/base/buf.h"
#include "orderly/infra/inbound/media.h"
#include "orderly/infra/inbound/payload_in.h"
#include <yyjson.h>

/* ---- topics ---------------------------------------------------------------------------------- */

uint64_t message_types_outside(void)
{
    static const enum event_type types[] = {
        EVENT_PAYMENT_APPROVED,    EVENT_PAYMENT_PROCESSED,  EVENT_PAYMENT_DECLINED,
        EVENT_PAYMENT_FAILED,      EVENT_PAYMENT_REFUNDED,   EVENT_STOCK_RESERVED,
        EVENT_INVENTORY_RESERVED,  EVENT_STOCK_REJECTED,     EVENT_INVENTORY_RESERVATION_FAILED,
        EVENT_STOCK_RELEASED,      EVENT_INVENTORY_RELEASED, EVENT_SHIPMENT_CREATED,
        EVENT_SHIPMENT_DISPATCHED, EVENT_SHIPMENT_DELIVERED, EVENT_SHIPMENT_CANCELLED,
    };
    uint64_t bits = 0;

    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        bits |= UINT64_C(1) << types[i];
    return bits;
}

enum message_topic message_topic_of(uint64_t types, struct str topic, enum event_type *type)
{
    bool is_known = event_type_of_topic(topic, type);

    if (is_known && types & UINT64_C(1) << *type)
        return TOPIC_FINE;
    if (str_starts_with(topic, STR("order.")))
        return TOPIC_ORDERS;
    return is_known ? TOPIC_ELSEWHERE : TOPIC_UNKNOWN;
}

/* Is the correlationId the payload's order? True where either is not there. */
static bool correlation_fits(struct str correlation_id, const struct payload *p)
{
    char text[UUID_TEXT_LEN];
    struct str order_id = p->foreign_order_id;

    if (order_id.n == 0 && !uuid_is_nil(p->order_id.u)) {
        uuid_format(p->order_id.u, text);
        order_id = (struct str){ text, sizeof(text) };
    }
    return correlation_id.n == 0 || order_id.n == 0 || str_eq(correlation_id, order_id);
}

/* ---- the envelope ---------------------------------------------------------------------------- */

struct envelope_in {
    struct json_text message_id, topic, correlation_id;
    struct json_int timestamp;
    struct yyjson_val *payload;
};
#define ENVELOPE_FIELDS(needs_id)                                                                  \
    {                                                                                              \
        { "messageId", .kind = JSON_ID, .is_required = (needs_id),                                 \
          .offset = offsetof(struct envelope_in, message_id) },                                    \
            { "topic", .kind = JSON_TEXT, .offset = offsetof(struct envelope_in, topic),           \
              .max = 100 },                                                                        \
            { "correlationId", .kind = JSON_ID,                                                    \
              .offset = offsetof(struct envelope_in, correlation_id) },                            \
            { "timestamp", .kind = JSON_TIME, .offset = offsetof(struct envelope_in, timestamp) }, \
            { "payload", .kind = JSON_ANY, .is_required = true,                                    \
              .offset = offsetof(struct envelope_in, payload) },                                   \
    }
static const struct json_field envelope_fields[] = ENVELOPE_FIELDS(true);
static const struct json_field envelope_fields_with_id[] = ENVELOPE_FIELDS(false);
#define ENVELOPE_SHAPE(table)                                                                      \
    {                                                                                              \
        .size = sizeof(struct envelope_in), .fields = (table), .n_fields = ARRAY_LEN(table),       \
        .is_open = true                                                                            \
    }
static const struct json_shape envelope_shape = ENVELOPE_SHAPE(envelope_fields);
static const struct json_shape envelope_shape_with_id = ENVELOPE_SHAPE(envelope_fields_with_id);

struct digest16 message_in_content(struct str topic, struct str body)
{
    struct digest16 content;

    digest16_of(&content, (struct str[]){ topic, body }, 2);
    return content;
}

/* False: the faults say why the payload can't be read. */
static bool envelope_type(struct message_in *m, const struct envelope_in *in, enum event_type *type)
{
    struct json_path at = { NULL, STR("topic"), 0 };
    struct str topic = m->topic.n ? m->topic : in->topic.text;

    if (topic.n == 0) {
        json_in_fault(m->in, &at, "is required");
        return false;
    }
    m->topic_is = message_topic_of(m->types, topic, type);
    if (m->topic_is != TOPIC_FINE)
        json_in_fault(m->in, &at, "is no topic that may be published, such as payment.approved");
    return m->topic_is == TOPIC_FINE;
}

static void envelope_check(struct message_in *m, const struct envelope_in *in,
                           const struct payload *p)
{
    struct json_path topic = { NULL, STR("topic"), 0 };
    struct json_path correlation = { NULL, STR("correlationId"), 0 };

    if (m->topic.n && in->topic.is_set && !str_eq(in->topic.text, m->topic))
        json_in_fault(m->in, &topic, "differs from the path's");
    if (in->correlation_id.is_set && !correlation_fits(in->correlation_id.text, p))
        json_in_fault(m->in, &correlation, "differs from payload.orderId");
}

/* The body's own is the sender's word; a road's may be another name for the same thing, such as what
 * a broker drops duplicates by. */
static struct str envelope_id(struct message_in *m, const struct envelope_in *in)
{
    struct json_path at = { NULL, STR("messageId"), 0 };
    struct text_id id;

    if (in->message_id.is_set || m->id.n == 0)
        return in->message_id.text;
    if (!text_id_parse(m->id, &id))
        json_in_fault(m->in, &at, "must be 1 to %d characters of A-Z a-z 0-9 . _ : -", TEXT_ID_MAX);
    return m->id;
}

void message_in_envelope(struct message_in *m, struct yyjson_val *root,
                         const struct digest16 *content, struct receive_message *out)
{
    struct json_path payload_at = { NULL, STR("payload"), 0 };
    struct envelope_in in;
    struct str id;

    (void)json_in_object(m->in, root, NULL, m->id.n ? &envelope_shape_with_id : &envelope_shape,
                         &in);
    id = envelope_id(m, &in);
    if (envelope_type(m, &in, &out->type) && in.payload) {
        payload_in_read(m->in, in.payload, &payload_at, out->type, &out->payload);
        envelope_check(m, &in, &out->payload);
    }
    if (m->in->n_faults)
        return;
    out->message_id = id;
    out->raw_payload = json_in_text(m->in, in.payload);
    out->content = *content;
}

/* ---- CloudEvents ----------------------------------------------------------------------------- */

/* The configured prefix is ours; who leaves it out is understood as well. */
static struct str event_topic(const struct message_in *m, struct str type)
{
    struct str prefix = m->cloud->type_prefix;

    if (prefix.n && str_starts_with(type, prefix))
        return (struct str){ type.p + prefix.n, type.n - prefix.n };
    return type;
}

/* False: the faults say why the payload can't be read. */
static bool event_type(struct message_in *m, const struct cloud_place *place, struct str type,
                       enum event_type *out)
{
    struct str topic = event_topic(m, type);

    if (type.n == 0)
        return false; /* that was told */
    m->topic_is = message_topic_of(m->types, topic, out);
    switch (m->topic_is) {
    case TOPIC_ORDERS:
        cloud_in_fault(place, "type", "is spoken by the server itself only");
        return false;
    case TOPIC_ELSEWHERE:
    case TOPIC_UNKNOWN:
        cloud_in_fault(place, "type",
                       "is no topic that may be published, such as payment.approved");
        return false;
    case TOPIC_FINE:
        break;
    }
    if (m->topic.n && !str_eq(topic, m->topic)) {
        cloud_in_fault(place, "type", "differs from the path's");
        return false;
    }
    return true;
}

/* data: NULL where a fault was told. Another event under the same id is told by type, source and
 * data, however they are sent: the same one may come in another mode, in another batch or by another
 * road when it comes again. */
static void event_read(struct message_in *m, const struct cloud_place *place,
                       const struct cloud_in *event, struct yyjson_val *data,
                       const struct json_path *data_at, struct receive_message *out)
{
    enum event_type type;

    if (!event_type(m, place, event->type, &type) || !data)
        return;
    out->type = type;
    out->message_id = event->id;
    payload_in_read(m->in, data, data_at, type, &out->payload);
    if (!correlation_fits(event->correlation_id, &out->payload))
        cloud_in_fault(place, "correlationid", "differs from the data's orderId");
    out->raw_payload = json_in_text(m->in, data);
    if (event->traceparent.n)
        out->command.traceparent = event->traceparent;
    digest16_of(&out->content,
                (struct str[]){ STR("cloudevent"), event_infos[type].topic, event->source,
                                out->raw_payload },
                4);
}

void message_in_event(struct message_in *m, struct yyjson_val *event, const struct json_path *at,
                      struct receive_message *out)
{
    struct cloud_place place = { .in = m->in, .at = at };
    struct json_path data_at = { at, STR("data"), 0 };
    struct cloud_in in;

    cloud_in_read_object(&place, event, &in);
    if (in.is_base64)
        data_at.key = STR("data_base64");
    event_read(m, &place, &in, in.data, &data_at, out);
}

void message_in_binary(struct message_in *m, const struct cloud_header *headers, unsigned n,
                       struct yyjson_val *root, struct receive_message *out)
{
    struct cloud_place place = { .in = m->in,
                                 .prefix = m->prefix,
                                 .has_data_type = m->has_data_type };
    struct json_path data_path = { NULL, STR("data"), 0 };
    const struct json_path *data_at = m->prefix.n ? NULL : &data_path;
    struct yyjson_val *data = yyjson_is_obj(root) ? root : NULL;
    struct cloud_in in;

    cloud_in_read_headers(&place, headers, n, &in);
    if (!data)
        json_in_fault(m->in, data_at, "must be an object");
    event_read(m, &place, &in, data, data_at, out);
}

/* ---- from bytes ------------------------------------------------------------------------------ */

void message_in_opened(struct message_in *m)
{
    m->prefix = STR_NONE;
    m->has_data_type = true;
}

static const struct message_form *form_of(const struct message_said *said,
                                          const struct message_form *forms, unsigned n_forms)
{
    struct str type = media_type_of(said->content_type);

    for (unsigned i = 0; i < n_forms; i++) {
        if (str_eq_nocase(type, forms[i].media_type))
            return &forms[i];
    }
    return NULL;
}

/* The bytes stay what they are: a message that can't be read is kept as it came. */
static struct str body_copy(struct arena *a, struct str body)
{
    char *p = arena_alloc(a, body.n + JSON_BODY_TAIL);

    if (body.n)
        memcpy(p, body.p, body.n);
    memset(p + body.n, 0, JSON_BODY_TAIL);
    return (struct str){ p, body.n };
}

static enum message_result result_of(const struct message_in *m, struct str *why)
{
    switch (m->topic_is) {
    case TOPIC_ORDERS:
    case TOPIC_ELSEWHERE:
        return MESSAGE_ELSEWHERE;
    case TOPIC_UNKNOWN:
        *why = STR("There is no such topic.");
        return MESSAGE_UNKNOWN_TOPIC;
    case TOPIC_FINE:
        break;
    }
    return m->in->n_faults ? MESSAGE_INVALID : MESSAGE_FINE;
}

/* In the structured mode, without a word of that: the binding of NATS has it so for servers without
 * headers, and its libraries still do. As an envelope it would be none. */
static bool is_event(struct yyjson_val *root)
{
    return yyjson_is_obj(root) && json_in_member(root, STR("specversion")) &&
           !json_in_member(root, STR("payload"));
}

static void read_root(struct message_in *m, enum cloud_mode mode, const struct message_said *said,
                      struct yyjson_val *root, struct receive_message *out)
{
    struct digest16 content;
    struct str topic = STR_NONE;

    if (mode == CLOUD_NONE && is_event(root))
        mode = CLOUD_STRUCTURED;
    switch (mode) {
    case CLOUD_STRUCTURED:
        message_in_event(m, root, NULL, out);
        return;
    case CLOUD_BINARY:
        message_in_binary(m, said->headers, said->n_headers, root, out);
        return;
    default:
        break;
    }
    /* The path's topic is a part of what is sent over HTTP. A road that has none leaves it to the
     * body to say the same. */
    if (m->topic.n == 0 && yyjson_is_obj(root)) {
        struct yyjson_val *v = json_in_member(root, STR("topic"));

        topic = (struct str){ yyjson_get_str(v), yyjson_get_len(v) };
    }
    content = message_in_content(m->topic.n ? m->topic : topic, said->body);
    message_in_envelope(m, root, &content, out);
}

static enum message_result read_mode(struct message_in *m, enum cloud_mode mode,
                                     const struct message_said *said, struct receive_message *out,
                                     struct str *why)
{
    struct yyjson_val *root;

    if (mode == CLOUD_UNKNOWN || mode == CLOUD_BATCH) {
        *why = STR("CloudEvents are read as application/cloudevents+json, or by attributes beside "
                   "the body.");
        return MESSAGE_UNKNOWN_FORM;
    }
    if (said->content_type.n && said->body.n && !media_says_json(said->content_type)) {
        *why = STR(JSON_MEDIA_DETAIL);
        return MESSAGE_UNKNOWN_FORM;
    }
    root = json_in_parse_object(m->in, body_copy(m->in->arena, said->body), why);
    if (!root)
        return MESSAGE_MALFORMED;
    read_root(m, mode, said, root, out);
    return result_of(m, why);
}

enum message_result message_in_read(struct message_in *m, const struct message_said *said,
                                    const struct message_form *forms, unsigned n_forms,
                                    struct receive_message *out, struct str *why)
{
    const struct message_form *form = form_of(said, forms, n_forms);
    struct message_said opened = *said;
    struct cloud_header *headers;
    enum event_type type;

    m->topic = said->topic;
    m->id = said->id;
    m->topic_is = TOPIC_FINE;
    *why = STR_NONE;
    out->payload = (struct payload){ .flow = FLOW_NONE };
    if (m->topic.n)
        m->topic_is = message_topic_of(m->types, m->topic, &type);
    if (m->topic_is != TOPIC_FINE)
        return result_of(m, why);
    if (said->is_too_large) {
        *why = STR("The message is larger than what is taken.");
        return MESSAGE_TOO_LARGE;
    }
    if (!form)
        return read_mode(m, cloud_mode_of(said->content_type, said->headers, said->n_headers), said,
                         out, why);
    if (form->open(m->in->arena, said->body, &headers, &opened.n_headers, &opened.body, why) !=
        ERR_OK)
        return MESSAGE_MALFORMED;
    message_in_opened(m);
    opened.headers = headers;
    opened.content_type = STR_NONE;
    return read_mode(m, CLOUD_BINARY, &opened, out, why);
}

struct str message_in_detail(struct message_in *m, struct str why, size_t max)
{
    struct buf line = { 0 };
    struct str out;

    buf_add_str(&line, why);
    for (unsigned i = 0; i < m->in->n_faults && line.n < max; i++) {
        const struct fault *f = &m->in->faults[i];

        if (line.n)
            buf_add_str(&line, i ? STR("; ") : STR(" "));
        if (f->pointer.n)
            buf_printf(&line, STR_FMT " ", STR_ARG(f->pointer));
        buf_add_str(&line, f->detail);
    }
    for (size_t i = 0; i < line.n; i++) { /* keys of the body are in it, whatever they hold */
        if ((uint8_t)line.p[i] < ' ' || line.p[i] == 0x7f)
            line.p[i] = ' ';
    }
    out = buf_str(&line);
    if (out.n > max)
        out.n = max;
    while (out.n && out.n < line.n && ((uint8_t)line.p[out.n] & 0xc0) == 0x80)
        out.n--; /* not in the middle of a character */
    out = arena_str(m->in->arena, out);
    buf_deinit(&line);
    return out;
}
