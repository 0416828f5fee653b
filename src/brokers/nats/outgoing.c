#include "outgoing.h"
#include "jetstream.h"
#include "orderly/base/mem.h"
#include "orderly/infra/render/percent.h"
#include <stdio.h>

#define ID_HEADER "Nats-Msg-Id"
#define PREFIX_DEFAULT STR("ce-")
#define PREFIX_MAX 32
#define NAME_MAX_ 64

void outgoing_init(struct outgoing *o, const struct broker_config *config, struct broker_host *host)
{
    *o = (struct outgoing){ .config = config, .host = host };
    o->slots = mem_zalloc(config->window * sizeof(*o->slots));
    o->free_slots = mem_alloc(config->window * sizeof(*o->free_slots));
    outgoing_reset(o);
}

void outgoing_deinit(struct outgoing *o)
{
    mem_free(o->slots);
    mem_free(o->free_slots);
    buf_deinit(&o->text);
}

void outgoing_reset(struct outgoing *o)
{
    o->n_free = 0;
    o->doubts_stream = false;
    for (unsigned i = o->config->window; i-- > 0;) {
        o->slots[i].is_used = false;
        o->free_slots[o->n_free++] = i;
    }
}

/* ---- out */

/* Words between dots, without blanks and wildcards: what may be published to. */
static bool is_subject(struct str topic)
{
    for (size_t i = 0; i < topic.n; i++) {
        char c = topic.p[i];

        if ((uint8_t)c <= 0x20 || c == 0x7f || c == '*' || c == '>')
            return false;
        if (c == '.' && (i == 0 || i + 1 == topic.n || topic.p[i - 1] == '.'))
            return false;
    }
    return topic.n > 0;
}

static bool is_header_text(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((uint8_t)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return false;
    return true;
}

static natsStatus set_encoded(struct outgoing *o, natsMsg *m, const char *name, struct str value)
{
    o->text.n = 0;
    percent_encode(&o->text, value);
    buf_add(&o->text, "", 1);
    return natsMsgHeader_Set(m, name, o->text.p);
}

static natsStatus set_attribute(struct outgoing *o, natsMsg *to, struct str name, struct str value)
{
    struct str prefix =
        o->config->attribute_prefix.n ? o->config->attribute_prefix : PREFIX_DEFAULT;
    char header[PREFIX_MAX + NAME_MAX_ + 1];

    if (prefix.n > PREFIX_MAX || name.n > NAME_MAX_)
        return NATS_INVALID_ARG;
    snprintf(header, sizeof(header), STR_FMT STR_FMT, STR_ARG(prefix), STR_ARG(name));
    return set_encoded(o, to, header, value);
}

/* The binding of NATS has no header field but an attribute for what the others say by their content
 * type. */
static natsStatus set_attributes(struct outgoing *o, natsMsg *to, const struct broker_message *m)
{
    natsStatus s = NATS_OK;

    for (unsigned i = 0; s == NATS_OK && i < m->n_attributes; i++)
        s = set_attribute(o, to, m->attributes[i].name, m->attributes[i].value);
    if (s == NATS_OK && m->n_attributes && m->content_type.n)
        s = set_attribute(o, to, STR("datacontenttype"), m->content_type);
    return s;
}

static natsStatus set_headers(struct outgoing *o, natsMsg *to, const struct broker_message *m)
{
    natsStatus s = set_encoded(o, to, ID_HEADER, m->id);

    if (s == NATS_OK && m->correlation_id.n)
        s = set_encoded(o, to, "correlation-id", m->correlation_id);
    if (s == NATS_OK && m->content_type.n) {
        o->text.n = 0;
        buf_add_str(&o->text, m->content_type);
        buf_add(&o->text, "", 1);
        s = natsMsgHeader_Set(to, "content-type", o->text.p);
    }
    if (s == NATS_OK)
        s = set_attributes(o, to, m);
    if (s == NATS_OK && m->origin.n)
        s = set_encoded(o, to, BROKER_ORIGIN_HEADER, m->origin);
    return s;
}

static natsStatus make_message(struct outgoing *o, struct connection *c, unsigned slot,
                               const struct broker_message *m, natsMsg **out)
{
    char reply[JETSTREAM_SUBJECT_MAX];
    natsStatus s;

    snprintf(reply, sizeof(reply), "%s.P.%u.%" PRIu32, connection_inbox(c), slot,
             o->slots[slot].round);
    o->text.n = 0;
    buf_add_str(&o->text, o->config->channel);
    buf_add(&o->text, ".", 1);
    buf_add_str(&o->text, m->topic);
    buf_add(&o->text, "", 1);
    s = natsMsg_Create(out, o->text.p, reply, m->body.p, (int)m->body.n);
    return s == NATS_OK ? set_headers(o, *out, m) : s;
}

enum broker_result outgoing_publish(struct outgoing *o, struct connection *c,
                                    const struct broker_message *m, char *why)
{
    natsMsg *msg = NULL;
    enum broker_result r;
    unsigned slot;
    natsStatus s;

    if (!is_subject(m->topic) || !is_header_text(m->content_type) || m->body.n > INT32_MAX / 2) {
        connection_why(why, "no message of NATS can have such a topic, content type or length");
        return BROKER_REFUSED;
    }
    if (o->n_free == 0)
        return BROKER_BUSY;
    slot = o->free_slots[o->n_free - 1];
    s = make_message(o, c, slot, m, &msg);
    if (s == NATS_OK) {
        r = connection_publish(c, msg, why);
    } else {
        connection_why(why, "its headers: %s", natsStatus_GetText(s));
        r = BROKER_REFUSED;
    }
    natsMsg_Destroy(msg);
    if (r == BROKER_OK) {
        o->n_free--;
        o->slots[slot].tag = m->tag;
        o->slots[slot].is_used = true;
    }
    return r;
}

/* ---- and back */

static struct outgoing_slot *slot_of(struct outgoing *o, const char *what, unsigned *at)
{
    uint64_t slot, round;
    const char *dot = strchr(what, '.');

    if (!dot || !str_to_u64((struct str){ what, (size_t)(dot - what) }, &slot) ||
        !str_to_u64(str_of(dot + 1), &round) || slot >= o->config->window)
        return NULL;
    *at = (unsigned)slot;
    if (!o->slots[slot].is_used || o->slots[slot].round != round)
        return NULL;
    return &o->slots[slot];
}

void outgoing_take_reply(struct outgoing *o, const char *what, natsMsg *m)
{
    unsigned at = 0;
    struct outgoing_slot *slot = slot_of(o, what, &at);
    struct jetstream_answer a;
    char why[BROKER_WHY_MAX];

    if (!slot)
        return;
    slot->is_used = false;
    slot->round++;
    o->free_slots[o->n_free++] = at;
    jetstream_answer_read(&a, m);
    if (a.code == 0 && yyjson_get_uint(yyjson_obj_get(a.root, "seq")) > 0) {
        o->host->acked(o->host, slot->tag);
    } else if (a.err_code == JETSTREAM_MESSAGE_TOO_LONG) {
        connection_why(why, "the stream: %s", a.description);
        o->host->refused(o->host, slot->tag, str_of(why));
    } else {
        if (a.code == 503 && !a.doc) {
            o->doubts_stream = true;
            connection_why(why, "no stream takes its subject");
        } else {
            connection_why(why, "the stream: %s",
                           a.code ? a.description : "its answer is no acknowledgement");
        }
        o->host->again(o->host, slot->tag, str_of(why));
    }
    jetstream_answer_free(&a);
}
