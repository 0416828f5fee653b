#include "orderly/infra/render/cloud_event.h"
#include "orderly/app/lanes.h"
#include "orderly/base/check.h"
#include "orderly/base/uri.h"
#include "orderly/infra/render/render_event.h"

bool cloud_source_is_valid(struct str source)
{
    return source.n >= 1 && source.n <= CLOUD_SOURCE_MAX && uri_is_reference(source);
}

bool cloud_type_prefix_is_valid(struct str prefix)
{
    for (size_t i = 0; i < prefix.n; i++) {
        char c = prefix.p[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            (c == 0 || !strchr("._:/-", c)))
            return false;
    }
    return prefix.n <= CLOUD_TYPE_PREFIX_MAX;
}

bool cloud_encoding_parse(struct str text, enum cloud_encoding *out)
{
    static const struct str names[] = {
        [CLOUD_ENCODING_JSON] = { "json", 4 },
        [CLOUD_ENCODING_CLOUDEVENTS] = { "cloudevents", 11 },
    };

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        if (!str_eq(text, names[i]))
            continue;
        *out = (enum cloud_encoding)i;
        return true;
    }
    return false;
}

static void add(struct cloud_attributes *a, struct str name, struct str value)
{
    REQUIRE(a->n < CLOUD_ATTRIBUTES_MAX);
    if (value.n) /* an attribute is there with a value, or not at all */
        a->list[a->n++] = (struct cloud_attribute){ name, value };
}

static struct str type_of(struct cloud_attributes *a, const struct cloud_config *c,
                          struct str topic)
{
    REQUIRE(c->type_prefix.n <= CLOUD_TYPE_PREFIX_MAX);
    REQUIRE(topic.n >= 1 && topic.n <= CLOUD_TOPIC_MAX);
    if (c->type_prefix.n)
        memcpy(a->type, c->type_prefix.p, c->type_prefix.n);
    memcpy(a->type + c->type_prefix.n, topic.p, topic.n);
    return (struct str){ a->type, c->type_prefix.n + topic.n };
}

static struct str sequence_of(struct cloud_attributes *a, uint64_t position)
{
    for (unsigned i = CLOUD_SEQUENCE_LEN; i-- > 0; position /= 10)
        a->sequence[i] = (char)('0' + position % 10);
    return (struct str){ a->sequence, CLOUD_SEQUENCE_LEN };
}

/* A message is known by the name that its sender gave it: who follows a chain from process to process
 * finds nothing under the id that the event of it has in another process's log. */
static struct str cause_of(struct cloud_attributes *a, const struct event *e)
{
    if (e->cause_message_id.n)
        return e->cause_message_id;
    if (uuid_is_nil(e->cause.u))
        return STR_NONE;
    uuid_format(e->cause.u, a->cause);
    return (struct str){ a->cause, sizeof(a->cause) };
}

void cloud_attributes_of(struct cloud_attributes *out, const struct cloud_config *c,
                         const struct event *e)
{
    struct str subject;

    out->n = 0;
    out->subject = correlation_of_event(e);
    subject = text_id_str(&out->subject);
    uuid_format(e->id.u, out->id);
    timetext_format(e->occurred_at_ms, out->time);
    add(out, STR("specversion"), CLOUD_SPEC_VERSION);
    add(out, STR("id"), (struct str){ out->id, sizeof(out->id) });
    add(out, STR("source"), c->source);
    add(out, STR("type"), type_of(out, c, event_infos[e->type].topic));
    add(out, STR("subject"), subject);
    add(out, STR("time"), (struct str){ out->time, sizeof(out->time) });
    add(out, STR("partitionkey"), subject);
    add(out, STR("correlationid"), subject);
    add(out, STR("causationid"), cause_of(out, e));
    add(out, STR("sequence"), sequence_of(out, e->position));
    add(out, STR("traceparent"), e->traceparent);
}

void cloud_event_write(struct json_out *o, const struct cloud_config *c, const struct event *e)
{
    struct cloud_attributes a;

    cloud_attributes_of(&a, c, e);
    json_open(o, '{');
    for (unsigned i = 0; i < a.n; i++) {
        json_key(o, a.list[i].name);
        json_str(o, a.list[i].value);
    }
    JSON_KEY(o, "datacontenttype");
    json_plain(o, CLOUD_DATA_TYPE);
    JSON_KEY(o, "data");
    render_payload(o, e);
    json_close(o, '}');
}
