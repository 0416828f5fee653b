/* Audit hears everything and writes one log line per message. */
#include "../app_private.h"
#include "orderly/app/lanes.h"
#include <stdio.h>

static bool audit_wants(const struct subscription *s, const struct event *e)
{
    (void)s;
    return event_infos[e->type].topic.n > 0;
}

/* Empty where it is not about an order: of a cart or a product. */
static struct str audit_order_of(const struct event *e, char text[UUID_TEXT_LEN])
{
    if (e->p.foreign_order_id.n)
        return e->p.foreign_order_id;
    if (uuid_is_nil(e->p.order_id.u))
        return STR_NONE;
    uuid_format(e->p.order_id.u, text);
    return (struct str){ text, UUID_TEXT_LEN };
}

static void audit_handle(struct subscription *s, struct delivery *d)
{
    const struct message *m = d->message;
    struct text_id correlation = correlation_of_event(&m->event);
    char id[UUID_TEXT_LEN], order[UUID_TEXT_LEN], position[24];
    int n = snprintf(position, sizeof(position), "%llu", (unsigned long long)m->event.position);
    struct log_field fields[] = {
        { "topic", m->topic },
        { "correlationId", text_id_str(&correlation) },
        { "messageId", { id, sizeof(id) } },
        { "position", { position, (size_t)n } },
        { "orderId", audit_order_of(&m->event, order) }, /* last: carts and products have none */
    };
    unsigned n_fields = ARRAY_LEN(fields) - (fields[ARRAY_LEN(fields) - 1].value.n == 0);

    uuid_format(m->event.id.u, id);
    log_write(app_of(s)->logger, LOG_INFO, "message", fields, n_fields);
    delivery_done(d);
}

void audit_subscribe(struct app *app)
{
    struct subscription *s = &app->subscriptions[SUBSCRIPTION_AUDIT];

    s->config = subscription_config_default;
    s->config.id = SUBSCRIPTION_AUDIT;
    s->config.name = subscription_name(SUBSCRIPTION_AUDIT).p;
    s->config.window = app->config.bus_window;
    s->wants = audit_wants;
    s->handle = audit_handle;
    bus_subscribe(&app->bus, s);
}
