/* CloudEvents by POST /messages/{topic} and POST /messages. They take the road of every message from
 * outside: id is the messageId, type the topic, data the payload. */
#include "messages.h"
#include <yyjson.h>

/* has_orders: an event is there that only the server may send. */
static bool is_refused(struct call *c, const struct json_in *in, bool has_orders)
{
    struct problem p = { .status = 403,
                         .code = STR("forbidden_topic"),
                         .detail = STR(TOPIC_ORDERS_DETAIL),
                         .faults = in->faults,
                         .n_faults = in->n_faults };

    if (in->n_faults == 0)
        return false;
    if (has_orders)
        call_problem_with(c, &p, NULL);
    else
        call_refuse(c, in);
    return true;
}

static void receive_one(struct command_call *cc, const struct cloud_request *r,
                        struct message_in *m, struct yyjson_val *root)
{
    struct receive_message *receive = &cc->u.receive_message;

    receive->command.has_key = false; /* the id is the key */
    if (r->mode == CLOUD_BINARY)
        message_in_binary(m, r->headers, r->n_headers, root, receive);
    else
        message_in_event(m, root, NULL, receive);
    if (!is_refused(cc->call, m->in, m->topic_is == TOPIC_ORDERS))
        receive_message_start(receive);
}

/* ---- in another form ------------------------------------------------------------------------- */

static void refuse_body(struct call *c, struct str why)
{
    struct json_in in = { .arena = &c->req->arena };

    json_in_fault(&in, NULL, STR_FMT, STR_ARG(why));
    call_refuse(c, &in);
}

/* The payload becomes JSON and the attributes header fields, as in the binary mode. */
static void receive_form(struct call *c, const struct message_form *form, struct message_in *m)
{
    struct cloud_request opened = { .mode = CLOUD_BINARY };
    struct command_call *cc;
    struct yyjson_val *root;
    struct str json, why;

    if (form->open(&c->req->arena, c->req->body, &opened.headers, &opened.n_headers, &json, &why) !=
        ERR_OK) {
        refuse_body(c, why);
        return;
    }
    cc = command_open_json(c, json, &root);
    if (!cc)
        return;
    m->in = &cc->in;
    message_in_opened(m);
    receive_one(cc, &opened, m, root);
}

/* ---- a batch --------------------------------------------------------------------------------- */

/* All of it is looked at before any of it is taken: a sender who has to mend one event sends the
 * batch again, and by then the others must not have been others. */
static void receive_batch(struct command_call *cc, struct message_in *m, struct yyjson_val *root)
{
    size_t n = yyjson_is_arr(root) ? yyjson_arr_size(root) : SIZE_MAX;
    struct json_path at = { NULL, STR_NONE, 0 };
    struct message_batch *batch;
    bool has_orders = false;
    yyjson_arr_iter iter;
    yyjson_val *v;

    cc->u.command.has_key = false;
    if (n > CLOUD_BATCH_MAX) {
        json_in_fault(m->in, NULL, "must be a list of at most %d events", CLOUD_BATCH_MAX);
        (void)is_refused(cc->call, m->in, false);
        return;
    }
    batch = message_batch_create(cc, (unsigned)n);
    iter = yyjson_arr_iter_with(root);
    for (; (v = yyjson_arr_iter_next(&iter)); at.index++) {
        m->topic_is = TOPIC_FINE;
        message_in_event(m, v, &at, message_batch_item(batch, at.index));
        has_orders |= m->topic_is == TOPIC_ORDERS;
    }
    if (!is_refused(cc->call, m->in, has_orders))
        message_batch_start(batch);
}

/* ---- the request ----------------------------------------------------------------------------- */

void cloud_messages_receive(struct call *c, const struct cloud_request *r, struct message_in *m)
{
    struct yyjson_val *root;
    struct command_call *cc;

    if (r->form) {
        receive_form(c, r->form, m);
        return;
    }
    if (r->mode == CLOUD_UNKNOWN) {
        call_problem(c, 415, "unsupported_media_type",
                     "CloudEvents are read as application/cloudevents+json, "
                     "application/cloudevents-batch+json, application/cloudevents+protobuf, or by "
                     "header fields ce-….");
        return;
    }
    if (r->mode == CLOUD_BATCH && c->req->body.n == 0) {
        refuse_body(c, STR("the body is missing; it must be a JSON list"));
        return;
    }
    cc = command_open_raw(c, COMMAND_BODY_NEEDED, &root);
    if (!cc)
        return;
    m->in = &cc->in;
    if (r->mode == CLOUD_BATCH)
        receive_batch(cc, m, root);
    else
        receive_one(cc, r, m, root);
}
