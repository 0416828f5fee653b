#include "orderly/infra/inbound/reader.h"
#include "orderly/domain/pairs.h"

/* Of header fields in faults, as nobody but the adapter knows how the broker names them. */
#define PREFIX STR("ce-")
#define HEADERS_MAX 64

static const struct inbound_reader *reader_of(const struct message_reader *r)
{
    return (const void *)((const char *)r - offsetof(struct inbound_reader, base));
}

enum message_result inbound_reader_read(const struct inbound_reader *r, struct message_in *m,
                                        struct json_in *in, const struct message_said *said,
                                        struct receive_message *out, struct str *why)
{
    *m = (struct message_in){
        .in = in, .cloud = &r->cloud, .types = r->types, .prefix = PREFIX, .has_data_type = true
    };
    return message_in_read(m, said, r->forms, r->n_forms, out, why);
}

/* ---- anew ------------------------------------------------------------------------------------ */

static void take_headers(const struct event *refused, struct arena *a, struct message_said *said)
{
    struct str packed = refused->p.said_attributes;
    struct cloud_header *headers = arena_zalloc(a, HEADERS_MAX * sizeof(*headers));

    said->headers = headers;
    while (said->n_headers < HEADERS_MAX &&
           pairs_take(&packed, &headers[said->n_headers].name, &headers[said->n_headers].value))
        said->n_headers++;
}

static bool read_anew(const struct message_reader *base, const struct event *refused,
                      struct arena *a, struct receive_message *out, struct reply *reply)
{
    struct json_in in = { .arena = a };
    struct message_said said = {
        .topic = refused->p.said_topic,
        .id = refused->p.said_id,
        .content_type = refused->p.said_type,
        .body = refused->p.said_body,
        .is_too_large = str_eq(refused->p.error_code, failure_code_text(FAILURE_CODE_TOO_LARGE)),
    };
    struct message_in m;
    struct str why;
    enum message_result result;

    take_headers(refused, a, &said);
    result = inbound_reader_read(reader_of(base), &m, &in, &said, out, &why);
    if (result == MESSAGE_FINE)
        return true;
    if (result == MESSAGE_ELSEWHERE)
        why = STR("This server does not take messages on this topic.");
    reply->detail = arena_printf(
        a,
        "The message can't be received as it is" STR_FMT STR_FMT
        "; retry it with a payload, or discard it.",
        STR_ARG(why.n ? STR(": ") : STR_NONE),
        STR_ARG(why.n && why.p[why.n - 1] == '.' ? ((struct str){ why.p, why.n - 1 }) : why));
    reply->faults = in.faults;
    reply->n_faults = in.n_faults;
    return false;
}

/* As the road said it; else as the attribute of a CloudEvent does. What the body says of it is not
 * looked for: it could not be read. */
static bool topic_of(const struct message_reader *base, const struct event *refused,
                     enum event_type *type)
{
    const struct inbound_reader *r = reader_of(base);
    struct str packed = refused->p.said_attributes, prefix = r->cloud.type_prefix, name, value;

    if (refused->p.said_topic.n)
        return message_topic_of(r->types, refused->p.said_topic, type) == TOPIC_FINE;
    while (pairs_take(&packed, &name, &value)) {
        if (!str_eq(name, STR("type")))
            continue;
        if (prefix.n && str_starts_with(value, prefix))
            value = (struct str){ value.p + prefix.n, value.n - prefix.n };
        return message_topic_of(r->types, value, type) == TOPIC_FINE;
    }
    return false;
}

static void receipt(const struct message_reader *base, struct arena *a, struct str message_id,
                    uint64_t position, struct answer *out)
{
    (void)base;
    *out = inbound_receipt(a, message_id, position);
}

struct answer inbound_receipt(struct arena *a, struct str message_id, uint64_t position)
{
    return (struct answer){ .status = reply_status(REPLY_ACCEPTED),
                            .content_type = STR("application/json"),
                            .body =
                                arena_printf(a, "{\"messageId\":\"" STR_FMT "\",\"position\":%llu}",
                                             STR_ARG(message_id), (unsigned long long)position) };
}

void inbound_reader_init(struct inbound_reader *r)
{
    *r = (struct inbound_reader){
        .base = { .read = read_anew, .topic = topic_of, .receipt = receipt },
        .types = message_types_outside()
    };
}
