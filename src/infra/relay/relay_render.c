#include "relay_render.h"
#include "orderly/app/lanes.h"
#include "orderly/infra/render/proto_event.h"
#include "orderly/infra/render/render_event.h"

void relay_render_init(struct relay_render *r, const struct broker_relay_config *config)
{
    *r = (struct relay_render){ .encoding = config->encoding,
                                .mode = config->mode,
                                .cloud = config->cloud,
                                .log_origin = config->origin };
    REQUIRE(config->origin.n <= RELAY_LOG_ORIGIN_MAX);
    arena_init(&r->arena, NULL, 0);
}

void relay_render_deinit(struct relay_render *r)
{
    json_out_deinit(&r->out);
    arena_deinit(&r->arena);
}

static void render_binary(struct relay_render *r, const struct event *e, struct broker_message *out)
{
    cloud_attributes_of(&r->attributes, &r->cloud, e);
    for (unsigned i = 0; i < r->attributes.n; i++)
        r->list[i] =
            (struct broker_attribute){ r->attributes.list[i].name, r->attributes.list[i].value };
    out->attributes = r->list;
    out->n_attributes = r->attributes.n;
    out->content_type = CLOUD_DATA_TYPE;
    render_payload(&r->out, e);
}

/* With the message's own id: who answers it and hands its headers on, answers all the same. */
static struct str origin_of(struct relay_render *r)
{
    size_t n = r->log_origin.n;

    if (n == 0)
        return STR_NONE;
    memcpy(r->origin, r->log_origin.p, n);
    r->origin[n] = ' ';
    memcpy(r->origin + n + 1, r->id, sizeof(r->id));
    return (struct str){ r->origin, n + 1 + sizeof(r->id) };
}

void relay_render_message(struct relay_render *r, const struct message *m,
                          struct broker_message *out)
{
    const struct event *e = &m->event;

    json_out_reset(&r->out);
    uuid_format(e->id.u, r->id);
    r->key = correlation_of_event(e);
    *out = (struct broker_message){
        .topic = m->topic,
        .key = text_id_str(&r->key),
        .id = { r->id, sizeof(r->id) },
        .correlation_id = text_id_str(&r->key),
        .origin = origin_of(r),
    };
    if (r->encoding == RELAY_ENCODING_JSON) {
        out->content_type = CLOUD_DATA_TYPE;
        render_message(&r->out, e);
    } else if (r->encoding == RELAY_ENCODING_PROTOBUF) {
        arena_reset(&r->arena);
        out->content_type = PROTO_TYPE_EVENT;
        proto_event_write(&r->out.buf, &r->arena, &r->cloud, e);
    } else if (r->mode == RELAY_MODE_BINARY) {
        render_binary(r, e, out);
    } else {
        out->content_type = CLOUD_TYPE_EVENT;
        cloud_event_write(&r->out, &r->cloud, e);
    }
    out->body = buf_str(&r->out.buf);
}
