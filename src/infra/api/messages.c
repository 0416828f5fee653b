/* POST /messages/{topic}: what an outside context publishes, as JSON of our own or as CloudEvents.
 * POST /messages: CloudEvents, whose type is the topic.
 *
 * Checked in this order: the role (by the route), the topic, the body, the message id (by
 * the app). */
#include "messages.h"
#include "handlers.h"
#include "payload_in.h"

/* The topics that an outside context may publish. */
static const enum event_type outside_types[] = {
    EVENT_PAYMENT_APPROVED,    EVENT_PAYMENT_PROCESSED,  EVENT_PAYMENT_DECLINED,
    EVENT_PAYMENT_FAILED,      EVENT_PAYMENT_REFUNDED,   EVENT_STOCK_RESERVED,
    EVENT_INVENTORY_RESERVED,  EVENT_STOCK_REJECTED,     EVENT_INVENTORY_RESERVATION_FAILED,
    EVENT_STOCK_RELEASED,      EVENT_INVENTORY_RELEASED, EVENT_SHIPMENT_CREATED,
    EVENT_SHIPMENT_DISPATCHED, EVENT_SHIPMENT_DELIVERED, EVENT_SHIPMENT_CANCELLED,
};

struct envelope_in {
    struct json_text message_id, topic, correlation_id;
    struct json_int timestamp;
    struct yyjson_val *payload;
};
static const struct json_field envelope_fields[] = {
    { "messageId", .kind = JSON_ID, .is_required = true,
      .offset = offsetof(struct envelope_in, message_id) },
    { "topic", .kind = JSON_TEXT, .offset = offsetof(struct envelope_in, topic), .max = 100 },
    { "correlationId", .kind = JSON_ID, .offset = offsetof(struct envelope_in, correlation_id) },
    { "timestamp", .kind = JSON_TIME, .offset = offsetof(struct envelope_in, timestamp) },
    { "payload", .kind = JSON_ANY, .is_required = true,
      .offset = offsetof(struct envelope_in, payload) },
};
static const struct json_shape envelope_shape = { .size = sizeof(struct envelope_in),
                                                  .fields = envelope_fields,
                                                  .n_fields = ARRAY_LEN(envelope_fields),
                                                  .is_open = true };

enum outside_topic outside_topic_of(struct str topic, enum event_type *type)
{
    if (str_starts_with(topic, STR("order.")))
        return OUTSIDE_ORDERS;
    if (!event_type_of_topic(topic, type))
        return OUTSIDE_UNKNOWN;
    for (size_t i = 0; i < ARRAY_LEN(outside_types); i++) {
        if (outside_types[i] == *type)
            return OUTSIDE_FINE;
    }
    return OUTSIDE_UNKNOWN;
}

bool outside_correlation_fits(struct str correlation_id, const struct payload *p)
{
    char text[UUID_TEXT_LEN];
    struct str order_id = p->foreign_order_id;

    if (order_id.n == 0 && !uuid_is_nil(p->order_id.u)) {
        uuid_format(p->order_id.u, text);
        order_id = (struct str){ text, sizeof(text) };
    }
    return correlation_id.n == 0 || order_id.n == 0 || str_eq(correlation_id, order_id);
}

static bool topic_of(struct call *c, enum event_type *type)
{
    switch (outside_topic_of(c->params[0], type)) {
    case OUTSIDE_FINE:
        return true;
    case OUTSIDE_ORDERS:
        call_problem(c, 403, "forbidden_topic", OUTSIDE_ORDERS_DETAIL);
        return false;
    case OUTSIDE_UNKNOWN:
        break;
    }
    call_not_found(c, "topic");
    return false;
}

/* ---- the envelope ---------------------------------------------------------------------------- */

static void check_envelope(struct call *c, struct command_call *cc, const struct envelope_in *in)
{
    struct json_path topic = { NULL, STR("topic"), 0 };
    struct json_path correlation = { NULL, STR("correlationId"), 0 };
    const struct payload *p = &cc->u.receive_message.payload;

    if (in->topic.is_set && !str_eq(in->topic.text, c->params[0]))
        json_in_fault(&cc->in, &topic, "differs from the path's");
    if (in->correlation_id.is_set && !outside_correlation_fits(in->correlation_id.text, p))
        json_in_fault(&cc->in, &correlation, "differs from payload.orderId");
}

void messages_receive(struct call *c)
{
    struct envelope_in in;
    struct receive_message *receive;
    struct command_call *cc;
    struct yyjson_val *root;
    struct digest16 content;
    struct str parts[] = { c->params[0], c->req->body };
    struct json_path payload_at = { NULL, STR("payload"), 0 };
    enum cloud_mode mode = cloud_mode_of(c);
    enum event_type type;

    if (!topic_of(c, &type))
        return;
    if (mode != CLOUD_NONE) {
        cloud_messages_receive(c, mode, c->params[0]);
        return;
    }
    digest16_of(&content, parts, ARRAY_LEN(parts)); /* before the body is parsed in place */
    cc = command_open_raw(c, COMMAND_BODY_NEEDED, &root);
    if (!cc)
        return;
    receive = &cc->u.receive_message;
    receive->command.has_key = false; /* the message id is the key */
    receive->type = type;
    receive->content = content;
    (void)json_in_object(&cc->in, root, NULL, &envelope_shape, &in);
    if (in.payload) {
        payload_in_read(&cc->in, in.payload, &payload_at, type, &receive->payload);
        check_envelope(c, cc, &in);
    }
    if (command_is_refused(cc))
        return;
    receive->message_id = in.message_id.text;
    receive->timestamp_ms = in.timestamp.value;
    receive->raw_payload = json_in_text(&cc->in, in.payload);
    receive_message_start(receive);
}

/* What is no CloudEvent at all is told so as one of the binary mode: its header fields are missing. */
void messages_receive_events(struct call *c)
{
    enum cloud_mode mode = cloud_mode_of(c);

    cloud_messages_receive(c, mode == CLOUD_NONE ? CLOUD_BINARY : mode, STR_NONE);
}
