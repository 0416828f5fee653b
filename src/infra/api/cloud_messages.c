/* CloudEvents by POST /messages/{topic} and POST /messages. They take the road of every message from
 * outside: id is the messageId, type the topic, data the payload. */
#include "messages.h"
#include "payload_in.h"
#include <yyjson.h>

struct reading {
    struct call *call;
    struct json_in *in;
    struct str path_topic; /* empty: none */
    bool is_for_orders;    /* an event that only the server may send: 403 */
};

/* The configured prefix is ours; who leaves it out is understood as well. */
static struct str topic_of(const struct reading *r, struct str type)
{
    struct str prefix = call_cloud_config(r->call)->type_prefix;

    if (prefix.n && str_starts_with(type, prefix))
        return (struct str){ type.p + prefix.n, type.n - prefix.n };
    return type;
}

/* False: the faults say why the payload can't be read. */
static bool read_type(struct reading *r, const struct cloud_place *place, struct str type,
                      enum event_type *out)
{
    struct str topic = topic_of(r, type);

    if (type.n == 0)
        return false; /* that was told */
    switch (outside_topic_of(topic, out)) {
    case OUTSIDE_ORDERS:
        r->is_for_orders = true;
        cloud_in_fault(place, "type", "is spoken by the server itself only");
        return false;
    case OUTSIDE_UNKNOWN:
        cloud_in_fault(place, "type",
                       "is no topic that may be published, such as payment.approved");
        return false;
    case OUTSIDE_FINE:
        break;
    }
    if (r->path_topic.n && !str_eq(topic, r->path_topic)) {
        cloud_in_fault(place, "type", "differs from the path's");
        return false;
    }
    return true;
}

/* data: NULL where a fault was told. Another event under the same id is told by type, source and
 * data, however they are sent: the same one may come in another mode, or in another batch, when it
 * comes again. */
static void read_event(struct reading *r, const struct cloud_place *place,
                       const struct cloud_in *event, struct yyjson_val *data,
                       const struct json_path *data_at, struct receive_message *out)
{
    enum event_type type;

    if (!read_type(r, place, event->type, &type) || !data)
        return;
    out->type = type;
    out->message_id = event->id;
    out->timestamp_ms = event->time_ms;
    payload_in_read(r->in, data, data_at, type, &out->payload);
    if (!outside_correlation_fits(event->correlation_id, &out->payload))
        cloud_in_fault(place, "correlationid", "differs from the data's orderId");
    out->raw_payload = json_in_text(r->in, data);
    if (event->traceparent.n)
        out->command.traceparent = event->traceparent;
    digest16_of(&out->content,
                (struct str[]){ STR("cloudevent"), event_infos[type].topic, event->source,
                                out->raw_payload },
                4);
}

static bool is_refused(const struct reading *r)
{
    struct problem p = { .status = 403,
                         .code = STR("forbidden_topic"),
                         .detail = STR(OUTSIDE_ORDERS_DETAIL),
                         .faults = r->in->faults,
                         .n_faults = r->in->n_faults };

    if (r->in->n_faults == 0)
        return false;
    if (r->is_for_orders)
        call_problem_with(r->call, &p, NULL);
    else
        call_refuse(r->call, r->in);
    return true;
}

/* ---- one event ------------------------------------------------------------------------------- */

static void receive_one(struct reading *r, struct command_call *cc, struct yyjson_val *root,
                        bool is_binary)
{
    struct receive_message *receive = &cc->u.receive_message;
    struct cloud_place place = { .in = r->in, .is_header = is_binary };
    struct json_path data_at = { NULL, STR("data"), 0 };
    struct cloud_in event;

    receive->command.has_key = false; /* the id is the key */
    if (is_binary) {
        struct yyjson_val *data = yyjson_is_obj(root) ? root : NULL;

        cloud_in_read_headers(&place, r->call, &event);
        if (!data)
            json_in_fault(r->in, NULL, "must be an object");
        read_event(r, &place, &event, data, NULL, receive);
    } else {
        cloud_in_read_object(&place, root, &event);
        read_event(r, &place, &event, event.data, &data_at, receive);
    }
    if (!is_refused(r))
        receive_message_start(receive);
}

/* ---- a batch --------------------------------------------------------------------------------- */

/* All of it is looked at before any of it is taken: a sender who has to mend one event sends the
 * batch again, and by then the others must not have been others. */
static void receive_batch(struct reading *r, struct command_call *cc, struct yyjson_val *root)
{
    size_t n = yyjson_is_arr(root) ? yyjson_arr_size(root) : SIZE_MAX;
    struct json_path at = { NULL, STR_NONE, 0 };
    struct json_path data_at = { &at, STR("data"), 0 };
    struct cloud_place place = { .in = r->in, .at = &at };
    struct message_batch *batch;
    yyjson_arr_iter iter;
    yyjson_val *v;

    cc->u.command.has_key = false;
    if (n > CLOUD_BATCH_MAX) {
        json_in_fault(r->in, NULL, "must be a list of at most %d events", CLOUD_BATCH_MAX);
        (void)is_refused(r);
        return;
    }
    batch = message_batch_create(cc, (unsigned)n);
    iter = yyjson_arr_iter_with(root);
    for (; (v = yyjson_arr_iter_next(&iter)); at.index++) {
        struct cloud_in event;

        cloud_in_read_object(&place, v, &event);
        read_event(r, &place, &event, event.data, &data_at, message_batch_item(batch, at.index));
    }
    if (!is_refused(r))
        message_batch_start(batch);
}

/* ---- the request ----------------------------------------------------------------------------- */

static void refuse_empty_batch(struct call *c)
{
    struct json_in in = { .arena = &c->req->arena };

    json_in_fault(&in, NULL, "the body is missing; it must be a JSON list");
    call_refuse(c, &in);
}

void cloud_messages_receive(struct call *c, enum cloud_mode mode, struct str path_topic)
{
    struct reading r = { .call = c, .path_topic = path_topic };
    struct yyjson_val *root;
    struct command_call *cc;

    if (mode == CLOUD_UNKNOWN) {
        call_problem(c, 415, "unsupported_media_type",
                     "CloudEvents are read as application/cloudevents+json, "
                     "application/cloudevents-batch+json, or by header fields ce-….");
        return;
    }
    if (mode == CLOUD_BATCH && c->req->body.n == 0) {
        refuse_empty_batch(c);
        return;
    }
    cc = command_open_raw(c, COMMAND_BODY_NEEDED, &root);
    if (!cc)
        return;
    r.in = &cc->in;
    if (mode == CLOUD_BATCH)
        receive_batch(&r, cc, root);
    else
        receive_one(&r, cc, root, mode == CLOUD_BINARY);
}
