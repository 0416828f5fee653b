#include "../app_private.h"

/* wants[flow][type], from the flows' own tables. FLOW_NONE: an outside message for an order that is
 * not known; whoever listens in any flow hears it, so that it ends as a dead letter. */
static bool context_wants_table[CONTEXT_SHIPMENTS + 1][FLOW_COUNT][EVENT_TYPE_COUNT];

static void context_fill_wants(enum context context)
{
    for (unsigned f = FLOW_NONE + 1; f < FLOW_COUNT; f++) {
        for (unsigned t = EVENT_NONE + 1; t < EVENT_TYPE_COUNT; t++) {
            bool wants = flow_reaction_of(flow_of((enum flow_id)f), (uint16_t)t, context) != NULL;

            context_wants_table[context][f][t] = wants;
            if (wants && context == CONTEXT_ORDERS)
                context_wants_table[context][FLOW_NONE][t] = true;
        }
    }
}

static enum context context_of(enum subscription_id id)
{
    switch (id) {
    case SUBSCRIPTION_PAYMENTS:
        return CONTEXT_PAYMENTS;
    case SUBSCRIPTION_INVENTORY:
        return CONTEXT_INVENTORY;
    case SUBSCRIPTION_SHIPMENTS:
        return CONTEXT_SHIPMENTS;
    default:
        return CONTEXT_ORDERS;
    }
}

static bool context_wants(const struct subscription *s, const struct event *e)
{
    /* What is wrong with an outside message is Orders' to say, once. */
    if (e->verdict != VERDICT_FINE && s->config.id != SUBSCRIPTION_ORDERS)
        return false;
    if (s->config.id == SUBSCRIPTION_INVENTORY && inbox_tells_choice(e))
        return true;
    return context_wants_table[context_of(s->config.id)][e->p.flow][e->type];
}

void context_subscribe(struct app *app, enum subscription_id id, enum context context,
                       void (*handle)(struct subscription *s, struct delivery *d))
{
    struct subscription *s = &app->subscriptions[id];

    context_fill_wants(context);
    s->config = subscription_config_default;
    s->config.id = id;
    s->config.name = subscription_name(id).p;
    s->config.window = app->config.bus_window;
    s->config.retries = app->config.retries;
    s->config.retry_base_ms = app->config.retry_base_ms;
    s->config.retry_max_ms = app->config.retry_max_ms;
    s->config.counts_for_backlog = true;
    s->wants = context_wants;
    s->was_handled = startup_was_handled;
    s->handle = handle;
    bus_subscribe(&app->bus, s);
}

double context_chance(uint64_t seed, struct order_id id, unsigned what)
{
    struct map_key key = { 0 };

    memcpy(key.bytes, &seed, sizeof(seed));
    memcpy(key.bytes + sizeof(seed), &what, sizeof(what));
    return (double)(siphash(&key, uuid_bytes(&id.u)) >> 11) * 0x1p-53;
}
