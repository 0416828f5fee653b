/* POST /messages/{topic}: what an outside context publishes, as JSON of our own or as CloudEvents.
 * POST /messages: CloudEvents, whose type is the topic.
 *
 * A process without Orders takes none by HTTP: what it has to be told of orders, its relay brings.
 *
 * Checked in this order: the role (by the route), the topic, the body, the message id (by
 * the app). The body is read where the messages of every road are (message_in.h). */
#include "messages.h"
#include "handlers.h"
#include "orderly/infra/inbound/media.h"
#include "orderly/infra/inbound/proto_form.h"
#include "orderly/infra/render/percent.h"

#define HEADER_PREFIX STR("ce-")

struct message_in message_in_of_call(const struct call *c)
{
    return (struct message_in){ .cloud = call_cloud_config(c),
                                .types = message_types_outside(),
                                .prefix = HEADER_PREFIX };
}

static bool topic_of(struct call *c)
{
    enum event_type type;

    switch (message_topic_of(message_types_outside(), c->params[0], &type)) {
    case TOPIC_FINE:
        if (app_has(c->app, CONTEXT_ORDERS))
            return true;
        call_elsewhere(c, CONTEXT_BIT(ORDERS));
        return false;
    case TOPIC_ORDERS:
        call_problem(c, 403, "forbidden_topic", TOPIC_ORDERS_DETAIL);
        return false;
    case TOPIC_ELSEWHERE:
    case TOPIC_UNKNOWN:
        break;
    }
    call_not_found(c, "topic");
    return false;
}

/* ---- header fields of a CloudEvent ----------------------------------------------------------- */

static bool is_cloud_header(const struct http_header *h)
{
    return h->name.n >= HEADER_PREFIX.n &&
           str_eq_nocase((struct str){ h->name.p, HEADER_PREFIX.n }, HEADER_PREFIX);
}

static struct str lower_case(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n + 1);

    for (size_t i = 0; i < s.n; i++)
        p[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] | 0x20 : s.p[i]);
    return (struct str){ p, s.n };
}

static void read_headers(const struct call *c, struct cloud_request *out)
{
    struct arena *a = &c->req->arena;
    unsigned n = 0;

    *out = (struct cloud_request){ .n_headers = 0 };
    for (unsigned i = 0; i < c->req->n_headers; i++)
        n += is_cloud_header(&c->req->headers[i]);
    if (n == 0)
        return;
    out->headers = arena_zalloc(a, n * sizeof(*out->headers));
    for (unsigned i = 0; i < c->req->n_headers; i++) {
        const struct http_header *h = &c->req->headers[i];
        struct cloud_header *to = &out->headers[out->n_headers];

        if (!is_cloud_header(h))
            continue;
        to->name =
            lower_case(a, (struct str){ h->name.p + HEADER_PREFIX.n, h->name.n - HEADER_PREFIX.n });
        to->is_undecodable = percent_decode(a, h->value, &to->value) != ERR_OK;
        out->n_headers++;
    }
}

static void read_mode(const struct call *c, struct cloud_request *out)
{
    struct str content_type = STR_NONE;

    read_headers(c, out);
    (void)call_header(c, "Content-Type", &content_type);
    out->mode = cloud_mode_of(content_type, out->headers, out->n_headers);
    if (str_eq_nocase(media_type_of(content_type), message_form_protobuf.media_type))
        out->form = &message_form_protobuf;
}

/* ---- the requests ---------------------------------------------------------------------------- */

void messages_receive(struct call *c)
{
    struct message_in m = message_in_of_call(c);
    struct cloud_request cloud;
    struct command_call *cc;
    struct yyjson_val *root;
    struct digest16 content;

    if (!topic_of(c))
        return;
    read_mode(c, &cloud);
    m.topic = c->params[0];
    if (cloud.mode != CLOUD_NONE) {
        cloud_messages_receive(c, &cloud, &m);
        return;
    }
    content = message_in_content(m.topic, c->req->body);
    cc = command_open_raw(c, COMMAND_BODY_NEEDED, &root);
    if (!cc)
        return;
    m.in = &cc->in;
    cc->u.command.has_key = false; /* the message id is the key */
    message_in_envelope(&m, root, &content, &cc->u.receive_message);
    if (!command_is_refused(cc))
        receive_message_start(&cc->u.receive_message);
}

/* What is no CloudEvent at all is told so as one of the binary mode: its header fields are missing. */
void messages_receive_events(struct call *c)
{
    struct message_in m = message_in_of_call(c);
    struct cloud_request cloud;

    if (!app_has(c->app, CONTEXT_ORDERS)) {
        call_elsewhere(c, CONTEXT_BIT(ORDERS));
        return;
    }
    read_mode(c, &cloud);
    if (cloud.mode == CLOUD_NONE)
        cloud.mode = CLOUD_BINARY;
    cloud_messages_receive(c, &cloud, &m);
}
