#include "relay_received.h"
#include "orderly/base/mem.h"

static struct str keep(char **at, struct str text)
{
    struct str copy = { *at, text.n };

    if (text.n)
        memcpy(*at, text.p, text.n);
    *at += text.n;
    return copy;
}

struct relay_received *relay_received_copy(const struct broker_delivery *d, uint64_t connection)
{
    unsigned n = d->n_attributes < BROKER_ATTRIBUTES_MAX ? d->n_attributes : BROKER_ATTRIBUTES_MAX;
    size_t bytes = d->topic.n + d->id.n + d->content_type.n + d->body.n;
    struct relay_received *r;
    char *at;

    for (unsigned i = 0; i < n; i++)
        bytes += d->attributes[i].name.n + d->attributes[i].value.n;
    r = mem_alloc(sizeof(*r) + bytes);
    at = (char *)(r + 1);
    *r = (struct relay_received){ .connection = connection, .d = *d };
    r->d.topic = keep(&at, d->topic);
    r->d.id = keep(&at, d->id);
    r->d.content_type = keep(&at, d->content_type);
    r->d.body = keep(&at, d->body);
    for (unsigned i = 0; i < n; i++)
        r->attributes[i] = (struct broker_attribute){ keep(&at, d->attributes[i].name),
                                                      keep(&at, d->attributes[i].value) };
    r->d.attributes = r->attributes;
    r->d.n_attributes = n;
    return r;
}

void relay_received_free(struct relay_received *r)
{
    mem_free(r);
}
