#include "sender.h"
#include "attributes.h"
#include "declare.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "properties.h"
#include "reason.h"

/* Numbers may be this many times as far apart as there may be messages in the air, where the broker
 * confirms the later ones first. */
#define SLOTS_PER_MESSAGE 2u
#define FLUSH_AT 65536u
#define SCRATCH_BLOCK 4096u

struct sender_slot {
    uint64_t tag;
    uint32_t id_sum; /* of the message's id */
    bool is_in_air;
};

void sender_init(struct sender *s, const struct broker_config *config, struct broker_host *host,
                 char *why)
{
    uint64_t n = 1;

    while (n < (uint64_t)config->window * SLOTS_PER_MESSAGE)
        n *= 2;
    *s = (struct sender){ .config = config, .host = host, .why = why, .mask = n - 1 };
    link_init(&s->link, why);
    arena_init(&s->scratch, NULL, SCRATCH_BLOCK);
    s->slots = mem_zalloc(n * sizeof(*s->slots));
}

void sender_deinit(struct sender *s)
{
    link_deinit(&s->link);
    arena_deinit(&s->scratch);
    mem_free(s->slots);
}

bool sender_begin(struct sender *s, int64_t deadline_ms)
{
    amqp_confirm_select_t confirms = { 0 };

    s->first = s->next = s->returned = 1;
    s->n_air = 0;
    s->skip = 0;
    s->in_return = s->is_blocked = false;
    return declare_exchange(&s->link, s->config, deadline_ms) &&
           link_call(&s->link, AMQP_CONFIRM_SELECT_METHOD, &confirms, AMQP_CONFIRM_SELECT_OK_METHOD,
                     deadline_ms) == LINK_DONE;
}

/* ---- what the broker will not take */

static uint32_t sum_of(struct str s)
{
    uint32_t sum = 2166136261u; /* FNV-1a: two ids in the air that share it do little harm */

    for (size_t i = 0; i < s.n; i++)
        sum = (sum ^ (unsigned char)s.p[i]) * 16777619u;
    return sum;
}

static bool is_forbidden(const struct sender *s, struct str topic)
{
    int64_t now_ms = stream_now_ms();

    for (size_t i = 0; i < SENDER_FORBIDDEN_MAX; i++)
        if (s->forbidden[i].until_ms > now_ms && str_eq(topic, str_of(s->forbidden[i].topic)))
            return true;
    return false;
}

static void forbid(struct sender *s, struct str topic)
{
    struct sender_forbidden *oldest = &s->forbidden[0];

    if (topic.n > SHORT_STRING_MAX)
        return;
    for (size_t i = 1; i < SENDER_FORBIDDEN_MAX; i++)
        if (s->forbidden[i].until_ms < oldest->until_ms)
            oldest = &s->forbidden[i];
    memcpy(oldest->topic, topic.p, topic.n);
    oldest->topic[topic.n] = '\0';
    oldest->until_ms = stream_now_ms() + SENDER_LEARNT_MS;
}

static struct str after(struct str s, const char *what)
{
    const char *p = s.n ? memmem(s.p, s.n, what, strlen(what)) : NULL;

    if (!p)
        return STR_NONE;
    p += strlen(what);
    return (struct str){ p, s.n - (size_t)(p - s.p) };
}

static struct str until(struct str s, const char *any)
{
    size_t n = 0;

    while (n < s.n && !strchr(any, s.p[n]))
        n++;
    return (struct str){ s.p, n };
}

/* Two of the reasons for which a channel is closed are about one message alone, and named in a text
 * for people; RabbitMQ has no other. Where the text is another one day the connection is lost again
 * and again, which is what a broker with a fault looks like. */
static void learn(struct sender *s, const char *why)
{
    struct str text = str_of(why), topic, max;
    uint64_t bytes;

    topic = until(after(text, " 403 ACCESS_REFUSED - "), "\n");
    topic = until(after(topic, "access to topic '"), "'");
    if (topic.n)
        forbid(s, topic);
    max = after(after(text, " 406 PRECONDITION_FAILED - message size "), "max size ");
    if (str_to_u64(until(max, " ,."), &bytes)) {
        s->body_max = bytes;
        s->body_max_until_ms = stream_now_ms() + SENDER_LEARNT_MS;
    }
}

static bool will_be_refused(struct sender *s, const struct broker_message *m)
{
    if (s->body_max && stream_now_ms() >= s->body_max_until_ms)
        s->body_max = 0;
    if (s->body_max && m->body.n > s->body_max)
        reason_write(s->why, "%zu bytes are more than the broker takes (max_message_size = %llu)",
                     m->body.n, (unsigned long long)s->body_max);
    else if (m->topic.n > SHORT_STRING_MAX || m->id.n > SHORT_STRING_MAX ||
             m->correlation_id.n > SHORT_STRING_MAX || m->content_type.n > SHORT_STRING_MAX)
        reason_write(s->why, "one of its properties has more than %u bytes", SHORT_STRING_MAX);
    else if (is_forbidden(s, m->topic))
        reason_write(s->why,
                     "the broker refuses the topic '" STR_FMT "' in exchange '%s' to this user",
                     STR_ARG(m->topic), s->config->channel.p);
    else
        return false;
    return true;
}

/* ---- out */

static enum broker_result put_message(struct sender *s, const struct broker_message *m)
{
    amqp_basic_publish_t publish = { .exchange = codec_bytes(s->config->channel),
                                     .routing_key = codec_bytes(m->topic),
                                     .mandatory = 1 };
    amqp_basic_properties_t p = { ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG |
                                            AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_TYPE_FLAG,
                                  .delivery_mode = 2, /* persistent */
                                  .timestamp = (uint64_t)time(NULL),
                                  .type = codec_bytes(m->topic),
                                  .message_id = codec_bytes(m->id),
                                  .correlation_id = codec_bytes(m->correlation_id),
                                  .content_type = codec_bytes(m->content_type) };
    size_t before = s->link.out.n;

    if (m->id.n)
        p._flags |= AMQP_BASIC_MESSAGE_ID_FLAG;
    if (m->correlation_id.n)
        p._flags |= AMQP_BASIC_CORRELATION_ID_FLAG;
    if (m->content_type.n)
        p._flags |= AMQP_BASIC_CONTENT_TYPE_FLAG;
    if (m->n_attributes || m->origin.n) {
        if (!attributes_to_headers(&s->scratch, s->config->attribute_prefix, m->origin,
                                   m->attributes, m->n_attributes, &p.headers, s->why))
            return BROKER_REFUSED;
        p._flags |= AMQP_BASIC_HEADERS_FLAG;
    }
    link_put(&s->link, AMQP_BASIC_PUBLISH_METHOD, &publish);
    if (link_put_content(&s->link, &p, m->body))
        return BROKER_OK;
    s->link.out.n = before;
    reason_write(s->why, "its attributes are longer than a frame of %u bytes", s->link.frame_max);
    return BROKER_REFUSED;
}

enum broker_result sender_publish(struct sender *s, const struct broker_message *m)
{
    enum broker_result r;

    if (will_be_refused(s, m))
        return BROKER_REFUSED;
    if (s->link.is_blocked || link_waiting(&s->link) > LINK_OUT_MAX ||
        s->n_air == s->config->window || s->next - s->first > s->mask)
        return BROKER_BUSY;
    r = put_message(s, m);
    arena_reset(&s->scratch);
    if (r != BROKER_OK)
        return r;
    s->slots[s->next & s->mask] = (struct sender_slot){ m->tag, sum_of(m->id), true };
    s->next++;
    s->n_air++;
    return link_waiting(&s->link) < FLUSH_AT || link_flush(&s->link) ? BROKER_OK : BROKER_LOST;
}

/* ---- the broker's word */

static void end_one(struct sender *s, uint64_t number, bool is_acked)
{
    struct sender_slot *slot = &s->slots[number & s->mask];

    if (!slot->is_in_air)
        return;
    slot->is_in_air = false;
    s->n_air--;
    if (is_acked)
        s->host->acked(s->host, slot->tag);
    else
        s->host->again(s->host, slot->tag, STR("the broker could not store it (basic.nack)"));
}

static bool end_some(struct sender *s, uint64_t number, bool is_multiple, bool is_acked)
{
    uint64_t last = number ? number : s->next - 1; /* 0 and multiple: all */

    if (last >= s->next || (number == 0 && !is_multiple)) {
        reason_write(s->why, "it confirms a message that it was not sent");
        s->link.is_lost = true;
        return false;
    }
    if (is_multiple) {
        for (uint64_t i = s->first; i <= last; i++)
            end_one(s, i, is_acked);
    } else if (number >= s->first) {
        end_one(s, number, is_acked);
    }
    while (s->first < s->next && !s->slots[s->first & s->mask].is_in_air)
        s->first++;
    return true;
}

/* The message that came back is found by its id. They come back in the order they were sent, so that
 * its owner is mostly the next one after the owner of the last. */
static void tell_unrouted(struct sender *s, struct str id)
{
    uint32_t sum = sum_of(id);
    uint64_t n = s->next - s->first, at;

    if (n == 0)
        return;
    at = s->returned < s->first ? 0 : (s->returned - s->first) % n;
    for (uint64_t i = 0; i < n; i++, at = at + 1 == n ? 0 : at + 1) {
        const struct sender_slot *slot = &s->slots[(s->first + at) & s->mask];

        if (slot->is_in_air && slot->id_sum == sum) {
            s->returned = s->first + at + 1;
            s->host->unrouted(s->host, slot->tag);
            return;
        }
    }
}

static bool on_method(struct sender *s, const amqp_method_t *m)
{
    const amqp_basic_ack_t *ack = m->decoded;
    const amqp_basic_nack_t *nack = m->decoded;

    switch (m->id) {
    case AMQP_BASIC_ACK_METHOD:
        return end_some(s, ack->delivery_tag, ack->multiple != 0, true);
    case AMQP_BASIC_NACK_METHOD:
        return end_some(s, nack->delivery_tag, nack->multiple != 0, false);
    case AMQP_BASIC_RETURN_METHOD:
        s->in_return = true;
        return true;
    default:
        reason_write(s->why, "it says what has no meaning here (method %u.%u)", m->id >> 16,
                     m->id & 0xffff);
        s->link.is_lost = true;
        return false;
    }
}

static bool on_frame(struct sender *s, const struct link_frame *frame)
{
    struct properties p;

    if (frame->type == AMQP_FRAME_METHOD && !s->in_return && s->skip == 0)
        return on_method(s, &frame->method);
    if (frame->type == AMQP_FRAME_HEADER && s->in_return &&
        properties_read(&p, frame->properties)) {
        s->in_return = false;
        s->skip = frame->body_size;
        tell_unrouted(s, p.message_id);
        return true;
    }
    if (frame->type == AMQP_FRAME_BODY && frame->body.n <= s->skip) {
        s->skip -= frame->body.n;
        return true;
    }
    reason_write(s->why, "its frames are out of order");
    s->link.is_lost = true;
    return false;
}

bool sender_serve(struct sender *s, unsigned frames_max, unsigned *n)
{
    struct link_frame frame;
    int rc = 0;

    *n = 0;
    while (*n < frames_max && (rc = link_next(&s->link, &frame)) > 0) {
        ++*n;
        if (!on_frame(s, &frame))
            return false;
    }
    if (rc < 0) {
        learn(s, s->why);
        return false;
    }
    if (s->is_blocked != s->link.is_blocked) {
        s->is_blocked = s->link.is_blocked;
        s->host->blocked(s->host, s->is_blocked ? str_of(s->link.blocked_why) : STR_NONE);
    }
    return true;
}
