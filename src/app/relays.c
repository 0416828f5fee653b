#include "app_private.h"
#include "orderly/app/relay.h"

static bool relay_wants(const struct subscription *s, const struct event *e)
{
    return app_of(s)->relays[s->config.id]->topics[e->type] && e->message_id.n == 0;
}

static void relay_handle(struct subscription *s, struct delivery *d)
{
    struct relay *r = app_of(s)->relays[s->config.id];

    r->handle(r, d);
}

void app_add_relay(struct app *a, struct relay *r)
{
    struct subscription *s = &a->subscriptions[r->id];

    REQUIRE(!a->is_started);
    REQUIRE(!a->relays[r->id]);
    a->relays[r->id] = r;
    r->subscription = s;
    s->config = subscription_config_default;
    s->config.id = r->id;
    s->config.name = subscription_name(r->id).p;
    s->config.window = r->window;
    s->config.retries = a->config.retries;
    s->config.retry_base_ms = a->config.retry_base_ms;
    s->config.retry_max_ms = a->config.retry_max_ms;
    s->wants = relay_wants;
    s->handle = relay_handle;
    bus_subscribe(&a->bus, s);
}

enum relay_progress relay_progress(const struct relay *r)
{
    const int64_t late_us = RELAY_LATE_MS * INT64_C(1000);

    if (r->why[0] || subscription_stands_us(r->subscription) >= late_us)
        return RELAY_STUCK;
    return subscription_oldest_us(r->subscription) >= late_us ? RELAY_BEHIND : RELAY_CURRENT;
}

struct str relays_warning(const struct app *a)
{
    enum relay_progress worst = RELAY_CURRENT;

    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++) {
        enum relay_progress p = a->relays[i] ? relay_progress(a->relays[i]) : RELAY_CURRENT;

        if (p > worst)
            worst = p;
    }
    if (worst == RELAY_STUCK)
        return STR("relay_stuck");
    return worst == RELAY_BEHIND ? STR("relay_behind") : STR_NONE;
}

struct relay *app_relay(const struct app *a, enum subscription_id id)
{
    return a->relays[id];
}
