#include "relay_inbound.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"

static struct relay_received *received_of(struct list *link)
{
    return container_of(link, struct relay_received, letter.link);
}

/* The inlet has a copy; what stays is the handle, the connection and the count of its bytes. */
static void hand_over(struct relay_inbound *in, struct relay_received *received)
{
    struct broker_delivery d = received->d;
    unsigned slot = in->free[--in->n_free];

    d.handle = slot;
    inlet_take(in->inlet, &d);
    in->slots[slot] = mem_realloc(received, sizeof(*received)); /* done comes later */
}

bool relay_inbound_is_ready(const struct relay_inbound *in)
{
    return in->n_free && !list_is_empty(&in->waiting);
}

void relay_inbound_hand_over(struct relay_inbound *in)
{
    if (relay_inbound_is_ready(in))
        hand_over(in, received_of(list_pop_front(&in->waiting)));
}

static void on_done(void *ctx, uint64_t handle, bool is_durable)
{
    struct relay_inbound *in = ctx;
    struct relay_received *received = in->slots[handle];

    in->slots[handle] = NULL;
    in->free[in->n_free++] = (unsigned)handle;
    if (is_durable)
        in->settle(in->ctx, received);
    else
        relay_received_free(received); /* the broker gives it again */
    if (relay_inbound_is_ready(in))
        in->ready(in->ctx);
}

void relay_inbound_init(struct relay_inbound *in, struct app *app, enum subscription_id id,
                        const struct inbound_reader *reader, unsigned unacked_max)
{
    const struct inlet_config config = {
        .app = app,
        .id = id,
        .reader = reader,
        .items_max = unacked_max,
        .done = on_done,
        .ctx = in,
    };

    in->inlet = inlet_create(&config);
    in->slots = mem_zalloc(unacked_max * sizeof(struct relay_received *));
    in->free = mem_alloc(unacked_max * sizeof(*in->free));
    for (unsigned i = 0; i < unacked_max; i++)
        in->free[i] = unacked_max - 1 - i;
    in->n_free = unacked_max;
    list_init(&in->waiting);
}

static void drop_waiting(struct relay_inbound *in)
{
    while (!list_is_empty(&in->waiting))
        relay_received_free(received_of(list_pop_front(&in->waiting)));
}

void relay_inbound_deinit(struct relay_inbound *in, unsigned unacked_max)
{
    drop_waiting(in);
    inlet_destroy(in->inlet);
    for (unsigned i = 0; i < unacked_max; i++)
        relay_received_free(in->slots[i]); /* of what the inlet was not done with */
    mem_free(in->slots);
    mem_free(in->free);
}

void relay_inbound_take(struct relay_inbound *in, struct relay_received *received)
{
    if (in->is_draining) { /* the broker gives it again, to the next process */
        relay_received_free(received);
        return;
    }
    if (received->connection != in->connection) {
        drop_waiting(in); /* the broker gives it again, to this connection */
        in->connection = received->connection;
    }
    if (received->is_own) { /* the log has it already: the broker may forget it */
        in->settle(in->ctx, received);
        return;
    }
    list_push_back(&in->waiting, &received->letter.link);
    relay_inbound_hand_over(in);
}

void relay_inbound_drain(struct relay_inbound *in)
{
    if (in->is_draining)
        return;
    in->is_draining = true;
    drop_waiting(in);
    inlet_drain(in->inlet);
}
