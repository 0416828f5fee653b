#include "orderly/infra/inbound/proto_form.h"
#include "orderly/infra/inbound/media.h"
#include "orderly/infra/render/proto_event.h"

static void add(struct cloud_header *headers, unsigned *n, struct str name, struct str value)
{
    if (value.n)
        headers[(*n)++] = (struct cloud_header){ .name = name, .value = value };
}

/* What the data were is said of them as they came; what is handed on is JSON. */
static bool says_protobuf(const struct cloud_attribute *a)
{
    struct str type = media_type_of(a->value);

    return str_eq(a->name, STR("datacontenttype")) &&
           (str_eq_nocase(type, STR("application/protobuf")) ||
            str_eq_nocase(type, STR("application/x-protobuf")));
}

/* The four that are members of the envelope, then the others: what is read of them, and what they lack,
 * is the same on every road. */
static enum err open_protobuf(struct arena *a, struct str body, struct cloud_header **headers,
                              unsigned *n, struct str *json, struct str *why)
{
    struct proto_event e;
    const char *reason;

    *n = 0;
    if (proto_event_read(&e, a, body, &reason) != ERR_OK) {
        *why = str_of(reason);
        return ERR_INVALID;
    }
    *headers = arena_alloc(a, (PROTO_ATTRIBUTES_MAX + 4) * sizeof(**headers));
    add(*headers, n, STR("id"), e.id);
    add(*headers, n, STR("source"), e.source);
    add(*headers, n, STR("specversion"), e.spec_version);
    add(*headers, n, STR("type"), e.type);
    for (unsigned i = 0; i < e.n_attributes; i++)
        if (!e.is_message || !says_protobuf(&e.attributes[i]))
            add(*headers, n, e.attributes[i].name, e.attributes[i].value);
    *json = e.data;
    return ERR_OK;
}

const struct message_form message_form_protobuf = {
    .media_type = { "application/cloudevents+protobuf",
                    sizeof("application/cloudevents+protobuf") - 1 },
    .open = open_protobuf,
};
