#include "orderly/app/contexts.h"
#include "app_private.h"
#include "orderly/domain/inbox.h"

_Static_assert(CONTEXT_SHIPMENTS == 3, "CONTEXTS_ALL has a bit for each context");

struct str context_text(enum context c)
{
    static const enum subscription_id ids[] = {
        [CONTEXT_ORDERS] = SUBSCRIPTION_ORDERS,
        [CONTEXT_PAYMENTS] = SUBSCRIPTION_PAYMENTS,
        [CONTEXT_INVENTORY] = SUBSCRIPTION_INVENTORY,
        [CONTEXT_SHIPMENTS] = SUBSCRIPTION_SHIPMENTS,
    };

    return subscription_name(ids[c]);
}

struct str contexts_text(unsigned contexts, char text[CONTEXTS_TEXT_MAX])
{
    size_t n = 0;

    for (unsigned c = CONTEXT_ORDERS; c <= CONTEXT_SHIPMENTS; c++) {
        struct str name = context_text((enum context)c);

        if (!(contexts & (1u << c)))
            continue;
        REQUIRE(n + 1 + name.n <= CONTEXTS_TEXT_MAX);
        if (n > 0)
            text[n++] = ',';
        memcpy(text + n, name.p, name.n);
        n += name.n;
    }
    return (struct str){ text, n };
}

unsigned app_contexts(const struct app *a)
{
    return a->config.contexts;
}

bool app_has(const struct app *a, enum context c)
{
    return a->config.contexts & (1u << c);
}

unsigned app_contexts_of_store(const struct app *a)
{
    return a->contexts_of_store;
}

/* What Orders makes something of, or has to know for what comes later. */
static bool orders_hear(enum event_type type)
{
    return order_hears(type) || type == EVENT_SHIPMENT_DISPATCHED;
}

static bool any_flow_has(enum event_type type, enum context c)
{
    for (unsigned f = FLOW_NONE + 1; f < FLOW_COUNT; f++)
        if (flow_reaction_of(flow_of((enum flow_id)f), (uint16_t)type, c))
            return true;
    return false;
}

bool app_hears(const struct app *a, enum event_type type)
{
    const struct event as_heard = { .type = type, .stream = { .type = AGGREGATE_INBOX } };

    if (app_has(a, CONTEXT_ORDERS))
        return orders_hear(type);
    if (event_infos[type].aggregate == AGGREGATE_SHIPMENT && app_has(a, CONTEXT_SHIPMENTS))
        return false; /* they are told here, not from outside */
    for (unsigned c = CONTEXT_PAYMENTS; c <= CONTEXT_SHIPMENTS; c++)
        if (app_has(a, (enum context)c) && any_flow_has(type, (enum context)c))
            return true;
    return app_has(a, CONTEXT_INVENTORY) && inbox_tells_choice(&as_heard);
}

_Static_assert(EVENT_TYPE_COUNT <= 64, "a set of types no longer fits 64 bits");

uint64_t app_heard_types(const struct app *a)
{
    uint64_t bits = 0;

    for (unsigned t = EVENT_NONE + 1; t < EVENT_TYPE_COUNT; t++)
        if (app_hears(a, (enum event_type)t))
            bits |= UINT64_C(1) << t;
    return bits;
}

/* Somebody outside answers for this context. */
static bool is_answered_outside(const struct app *a, enum context c)
{
    const struct simulators *s = &a->simulators;

    if (!app_has(a, c))
        return true;
    switch (c) {
    case CONTEXT_PAYMENTS:
        return !s->payments.enabled || s->payments.mode == PAYMENTS_WAIT;
    case CONTEXT_INVENTORY:
        return !s->inventory.enabled;
    case CONTEXT_SHIPMENTS:
        return !s->shipments.enabled || s->shipments.mode == SHIPMENTS_WAIT;
    case CONTEXT_ORDERS:
        break;
    }
    return false;
}

unsigned app_listens(const struct app *a, struct str patterns[APP_LISTENS_MAX])
{
    unsigned n = 0;

    if (!app_has(a, CONTEXT_ORDERS)) {
        patterns[n++] = STR("order.*");
        if (app_has(a, CONTEXT_INVENTORY) && !app_has(a, CONTEXT_SHIPMENTS))
            patterns[n++] = STR("shipment.*");
        return n;
    }
    if (is_answered_outside(a, CONTEXT_PAYMENTS))
        patterns[n++] = STR("payment.*");
    if (is_answered_outside(a, CONTEXT_INVENTORY)) {
        patterns[n++] = STR("stock.*");
        patterns[n++] = STR("inventory.*");
    }
    if (is_answered_outside(a, CONTEXT_SHIPMENTS))
        patterns[n++] = STR("shipment.*");
    return n;
}
