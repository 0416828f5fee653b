#include "receiver.h"
#include "attributes.h"
#include "declare.h"
#include "orderly/base/check.h"
#include "properties.h"
#include "reason.h"

#define TEXTS_BLOCK 4096u
#define BODY_KEPT (64u << 10) /* bytes of memory that stay for the next body */

static const char consumer_tag[] = "orderly";

void receiver_init(struct receiver *r, const struct broker_config *config, struct broker_host *host,
                   char *why)
{
    *r = (struct receiver){ .config = config, .host = host, .why = why };
    link_init(&r->link, why);
    handles_init(&r->unacked, config->unacked_max);
    arena_init(&r->texts, NULL, TEXTS_BLOCK);
}

void receiver_deinit(struct receiver *r)
{
    link_deinit(&r->link);
    handles_deinit(&r->unacked);
    arena_deinit(&r->texts);
    buf_deinit(&r->body);
}

bool receiver_begin(struct receiver *r, int64_t deadline_ms)
{
    amqp_basic_qos_t qos = { .prefetch_count = (uint16_t)r->config->unacked_max };
    amqp_basic_consume_t consume = { .queue = codec_bytes(r->config->group),
                                     .consumer_tag = codec_bytes(str_of(consumer_tag)),
                                     /* While the broker takes an earlier connection of ours for
                                      * alive it keeps what that one has not acked, and would
                                      * hand it over behind later messages: better none at all. */
                                     .exclusive = 1 };

    handles_clear(&r->unacked);
    r->handle_base += r->number_last;
    r->number_last = 0;
    r->is_stopped = r->is_full = false;
    r->state = RECEIVER_WANTS_METHOD;
    return declare_exchange(&r->link, r->config, deadline_ms) &&
           declare_queue(&r->link, r->config, deadline_ms) &&
           link_call(&r->link, AMQP_BASIC_QOS_METHOD, &qos, AMQP_BASIC_QOS_OK_METHOD,
                     deadline_ms) == LINK_DONE &&
           link_call(&r->link, AMQP_BASIC_CONSUME_METHOD, &consume, AMQP_BASIC_CONSUME_OK_METHOD,
                     deadline_ms) == LINK_DONE;
}

void receiver_ack(struct receiver *r, uint64_t handle)
{
    amqp_basic_ack_t m = { .delivery_tag = handle - r->handle_base };

    /* An ack of what the broker does not wait for would cost the channel. */
    if (handles_remove(&r->unacked, handle))
        link_put(&r->link, AMQP_BASIC_ACK_METHOD, &m);
}

void receiver_stop(struct receiver *r)
{
    amqp_basic_cancel_t m = { .consumer_tag = codec_bytes(str_of(consumer_tag)) };

    if (r->is_stopped)
        return;
    r->is_stopped = true; /* what comes all the same goes back to the queue with the channel */
    link_put(&r->link, AMQP_BASIC_CANCEL_METHOD, &m);
}

static bool lost(struct receiver *r)
{
    r->link.is_lost = true;
    return false;
}

static bool finish(struct receiver *r)
{
    struct broker_delivery *d = &r->coming;

    r->state = RECEIVER_WANTS_METHOD;
    if (!r->is_stopped) {
        if (!handles_add(&r->unacked, d->handle)) {
            reason_write(r->why, "it sends more than the %u messages that may wait for their ack",
                         r->config->unacked_max);
            return lost(r);
        }
        d->attributes = r->attributes;
        d->body = (struct str){ r->body.n ? r->body.p : "", r->body.n };
        r->host->received(r->host, d);
    }
    arena_reset(&r->texts);
    r->body.n = 0;
    if (r->body.cap > BODY_KEPT) {
        buf_deinit(&r->body);
        r->body = (struct buf){ 0 };
    }
    return true;
}

static bool begin_message(struct receiver *r, const amqp_basic_deliver_t *m)
{
    if (m->delivery_tag <= r->number_last) {
        reason_write(r->why, "it numbers its messages out of order");
        return lost(r);
    }
    r->number_last = m->delivery_tag;
    r->coming = (struct broker_delivery){ .handle = r->handle_base + m->delivery_tag,
                                          .topic = arena_str(&r->texts, codec_str(m->routing_key)),
                                          .id = STR(""),
                                          .content_type = STR("") };
    r->state = RECEIVER_WANTS_HEADER;
    return true;
}

static bool take_header(struct receiver *r, const struct link_frame *frame)
{
    struct broker_delivery *d = &r->coming;
    struct properties p;

    if (!properties_read(&p, frame->properties) && !frame->is_cut) {
        reason_write(r->why, "the properties of a message end before they should");
        return lost(r);
    }
    d->id = arena_str(&r->texts, p.message_id);
    d->content_type = arena_str(&r->texts, p.content_type);
    d->n_attributes = attributes_of_headers(&r->texts, r->config->attribute_prefix, p.headers,
                                            r->attributes, &d->is_too_large, &d->origin);
    d->is_too_large |= frame->is_cut || frame->body_size > r->config->body_max;
    r->body_left = frame->body_size;
    r->state = RECEIVER_WANTS_BODY;
    return frame->body_size > 0 || finish(r);
}

static bool take_body(struct receiver *r, struct str part)
{
    uint64_t room = r->config->body_max - r->body.n;

    r->body_left -= part.n;
    buf_add(&r->body, part.p, part.n < room ? part.n : room);
    return r->body_left > 0 || finish(r);
}

static bool on_method(struct receiver *r, const amqp_method_t *m)
{
    switch (m->id) {
    case AMQP_BASIC_DELIVER_METHOD:
        return begin_message(r, m->decoded);
    case AMQP_BASIC_CANCEL_OK_METHOD:
        return true;
    case AMQP_BASIC_CANCEL_METHOD:
        if (r->is_stopped)
            return true;
        reason_write(r->why, "the queue '%s' was deleted, or is not there for now",
                     r->config->group.p);
        return lost(r);
    default:
        reason_write(r->why, "it says what has no meaning here (method %u.%u)", m->id >> 16,
                     m->id & 0xffff);
        return lost(r);
    }
}

static bool on_frame(struct receiver *r, const struct link_frame *frame)
{
    if (frame->type == AMQP_FRAME_METHOD && r->state == RECEIVER_WANTS_METHOD)
        return on_method(r, &frame->method);
    if (frame->type == AMQP_FRAME_HEADER && r->state == RECEIVER_WANTS_HEADER)
        return take_header(r, frame);
    if (frame->type == AMQP_FRAME_BODY && r->state == RECEIVER_WANTS_BODY &&
        frame->body.n <= r->body_left)
        return take_body(r, frame->body);
    reason_write(r->why, "its frames are out of order");
    return lost(r);
}

/* Between two messages, as a message that is begun is taken to its end. RabbitMQ knows neither a
 * prefetch by bytes nor a pause, but TCP does. What is not read can't say that the broker lives. */
static bool can_take(struct receiver *r)
{
    r->is_full = !r->is_stopped && r->state == RECEIVER_WANTS_METHOD && r->host->room(r->host) == 0;
    if (r->is_full)
        r->link.heard_ms = stream_now_ms();
    return !r->is_full;
}

bool receiver_serve(struct receiver *r, unsigned frames_max, unsigned *n)
{
    struct link_frame frame;
    int rc = 0;

    *n = 0;
    while (*n < frames_max && can_take(r) && (rc = link_next(&r->link, &frame)) > 0) {
        ++*n;
        if (!on_frame(r, &frame))
            return false;
    }
    return rc >= 0;
}
