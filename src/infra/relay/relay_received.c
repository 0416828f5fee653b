#include "relay_received.h"
#include "orderly/base/mem.h"
#include "orderly/infra/relay/broker_relay.h"

static struct str keep(char **at, struct str text)
{
    struct str copy = { *at, text.n };

    if (text.n)
        memcpy(*at, text.p, text.n);
    *at += text.n;
    return copy;
}

/* Cut, with a mark, where it is longer than any that can be meant. */
static struct str bounded(struct str text, bool *is_too_large)
{
    if (text.n > RELAY_RECEIVED_TEXT_BYTES_MAX) {
        text.n = RELAY_RECEIVED_TEXT_BYTES_MAX;
        *is_too_large = true;
    }
    return text;
}

static size_t attribute_bytes(const struct broker_attribute *a)
{
    return a->name.n + a->value.n;
}

/* Those that there is room for; returns their bytes. */
static size_t choose_attributes(const struct broker_delivery *from, struct broker_attribute *list,
                                struct broker_delivery *to)
{
    size_t bytes = 0;

    to->n_attributes = 0;
    for (unsigned i = 0; i < from->n_attributes; i++) {
        const struct broker_attribute *a = &from->attributes[i];

        if (to->n_attributes == BROKER_ATTRIBUTES_MAX ||
            attribute_bytes(a) > RELAY_RECEIVED_ATTRIBUTES_BYTES_MAX - bytes) {
            to->is_too_large = true;
            continue;
        }
        bytes += attribute_bytes(a);
        list[to->n_attributes++] = *a;
    }
    return bytes;
}

static struct relay_received *own(const struct broker_delivery *d, uint64_t connection)
{
    struct relay_received *r = mem_zalloc(sizeof(*r));

    r->connection = connection;
    r->is_own = true;
    r->d.handle = d->handle;
    return r;
}

/* Who answers a message with all of its headers, but an id of his own, is not us. */
static bool is_own(const struct broker_delivery *d, struct str origin)
{
    return origin.n && d->id.n && d->origin.n == origin.n + 1 + d->id.n &&
           memcmp(d->origin.p, origin.p, origin.n) == 0 && d->origin.p[origin.n] == ' ' &&
           memcmp(d->origin.p + origin.n + 1, d->id.p, d->id.n) == 0;
}

struct relay_received *relay_received_copy(const struct broker_delivery *d, uint64_t connection,
                                           struct str origin, atomic_size_t *held)
{
    struct broker_attribute chosen[BROKER_ATTRIBUTES_MAX];
    struct broker_delivery c = *d;
    struct relay_received *r;
    size_t bytes;
    char *at;

    if (is_own(d, origin))
        return own(d, connection);
    c.origin = STR_NONE; /* whose it is else is nobody's to ask */
    c.topic = bounded(d->topic, &c.is_too_large);
    c.id = bounded(d->id, &c.is_too_large);
    c.content_type = bounded(d->content_type, &c.is_too_large);
    bytes = choose_attributes(d, chosen, &c);
    bytes += c.topic.n + c.id.n + c.content_type.n + c.body.n;
    r = mem_alloc(sizeof(*r) + bytes);
    at = (char *)(r + 1);
    *r = (struct relay_received){ .connection = connection, .d = c, .bytes = bytes, .held = held };
    atomic_fetch_add(held, bytes);
    r->d.topic = keep(&at, c.topic);
    r->d.id = keep(&at, c.id);
    r->d.content_type = keep(&at, c.content_type);
    r->d.body = keep(&at, c.body);
    for (unsigned i = 0; i < c.n_attributes; i++)
        r->attributes[i] =
            (struct broker_attribute){ keep(&at, chosen[i].name), keep(&at, chosen[i].value) };
    r->d.attributes = r->attributes;
    return r;
}

void relay_received_free(struct relay_received *r)
{
    if (r && r->held)
        atomic_fetch_sub(r->held, r->bytes);
    mem_free(r);
}

size_t relay_received_room(size_t held)
{
    return held < RELAY_HELD_BYTES_MAX ? RELAY_HELD_BYTES_MAX - held : 0;
}
