#include "declare.h"
#include "reason.h"

static bool is_not_found(const struct link *l)
{
    return strstr(l->why, " 404 ") != NULL;
}

/* Asks; and opens the channel again, which was closed over it, where it is missing and may be made. */
static enum link_reply ask(struct link *l, amqp_method_number_t id, void *method,
                           amqp_method_number_t answer, bool declares, int64_t deadline_ms)
{
    enum link_reply reply = link_call(l, id, method, answer, deadline_ms);

    if (reply != LINK_CLOSED || !declares || !is_not_found(l))
        return reply == LINK_CLOSED ? LINK_LOST : reply;
    return link_open_channel(l, deadline_ms) == LINK_DONE ? LINK_CLOSED : LINK_LOST;
}

bool declare_exchange(struct link *l, const struct broker_config *config, int64_t deadline_ms)
{
    amqp_exchange_declare_t m = { .exchange = codec_bytes(config->channel),
                                  .type = codec_bytes(STR("topic")),
                                  .passive = 1,
                                  .durable = 1 };
    enum link_reply reply = ask(l, AMQP_EXCHANGE_DECLARE_METHOD, &m,
                                AMQP_EXCHANGE_DECLARE_OK_METHOD, config->declares, deadline_ms);

    if (reply != LINK_CLOSED)
        return reply == LINK_DONE;
    m.passive = 0;
    return link_call(l, AMQP_EXCHANGE_DECLARE_METHOD, &m, AMQP_EXCHANGE_DECLARE_OK_METHOD,
                     deadline_ms) == LINK_DONE;
}

static bool bind(struct link *l, const struct broker_config *config, struct str pattern,
                 int64_t deadline_ms)
{
    amqp_queue_bind_t m = { .queue = codec_bytes(config->group),
                            .exchange = codec_bytes(config->channel),
                            .routing_key =
                                codec_bytes(str_eq(pattern, STR("*")) ? STR("#") : pattern) };

    return link_call(l, AMQP_QUEUE_BIND_METHOD, &m, AMQP_QUEUE_BIND_OK_METHOD, deadline_ms) ==
           LINK_DONE;
}

bool declare_queue(struct link *l, const struct broker_config *config, int64_t deadline_ms)
{
    amqp_queue_declare_t m = { .queue = codec_bytes(config->group), .passive = 1, .durable = 1 };
    enum link_reply reply = ask(l, AMQP_QUEUE_DECLARE_METHOD, &m, AMQP_QUEUE_DECLARE_OK_METHOD,
                                config->declares, deadline_ms);

    if (reply == LINK_CLOSED) {
        m.passive = 0;
        reply =
            link_call(l, AMQP_QUEUE_DECLARE_METHOD, &m, AMQP_QUEUE_DECLARE_OK_METHOD, deadline_ms);
    }
    if (reply != LINK_DONE)
        return false;
    /* Bindings are made by whoever declares; without that, they are the operator's as the queue is. */
    for (unsigned i = 0; config->declares && i < config->n_listens; i++)
        if (!bind(l, config, config->listens[i], deadline_ms))
            return false;
    return true;
}
