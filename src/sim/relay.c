/* A relay, and a broker that outlives the process: in half of the seeds. The broker takes a message some
 * time after it was handed over, and says so some time later. It may be away, and what it says may be
 * lost, and then the message is said to it again. */
#include "world.h"

#define AWAY_BITS 23 /* of us: up to 8 s */
#define TAKES_BITS 16
#define SAYS_BITS 18

static struct world *world_of_port(struct relay *port)
{
    return container_of(port, struct world, relay.port);
}

void relay_init(struct world *w)
{
    w->relay.chance = chance_of_seed(w->config.seed, 'b', 0);
    w->relay.is_there = chance_hits(&w->relay.chance, 500000);
}

static void relay_step(struct world *w, struct task *t);

static void look_again(struct world *w)
{
    struct sim_relay *r = &w->relay;
    int64_t next = INT64_MAX;

    for (unsigned i = 0; i < r->n_air; i++)
        if (r->air[i].due_us < next)
            next = r->air[i].due_us;
    if (next == INT64_MAX)
        task_stop(w, &r->task);
    else
        task_start(w, &r->task, relay_step, next > w->ms.now_us ? next - w->ms.now_us : 0);
}

static int64_t soon(struct world *w, unsigned bits)
{
    return w->ms.now_us + chance_span(&w->relay.chance, bits);
}

/* Behind the faults that are in the way of every handler. */
static void on_handed(struct relay *port, struct delivery *d)
{
    struct world *w = world_of_port(port);
    struct sim_relay *r = &w->relay;
    struct mem_source *before;

    if (r->n_air == SIM_RELAY_WINDOW) { /* lanes that are read back come beside the window */
        delivery_unavailable(d);
        return;
    }
    before = mem_use(NULL);
    r->air[r->n_air++] = (struct flight){ .delivery = d, .due_us = soon(w, TAKES_BITS) };
    look_again(w);
    (void)mem_use(before);
}

static void on_contexts_changed(struct relay *port)
{
    (void)port;
}

static struct delivery *land(struct sim_relay *r, unsigned i)
{
    struct delivery *d = r->air[i].delivery;

    r->air[i] = r->air[--r->n_air];
    return d;
}

bool relay_broker_is_away(struct world *w)
{
    if (w->ms.now_us >= w->relay.away_until_us && fault_hits(w, SIM_FAULT_BROKER_AWAY))
        w->relay.away_until_us = soon(w, AWAY_BITS);
    return w->ms.now_us < w->relay.away_until_us;
}

static void take(struct world *w, struct flight *f)
{
    const struct event *e = &f->delivery->message->event;

    if (relay_broker_is_away(w)) {
        f->due_us = w->relay.away_until_us + 1;
        return;
    }
    trace_step(&w->trace, 'r', e->position, 0, 0);
    world_tell(w, &e->lane.u, TRACE_NONE, "broker    takes %s #%llu", event_infos[e->type].type.p,
               (unsigned long long)e->position);
    witness_relayed(w->witness, f->delivery->subscription->config.id, e->position);
    outside_hears(w, e);
    f->is_taken = true;
    f->due_us = soon(w, SAYS_BITS);
}

static void relay_step(struct world *w, struct task *t)
{
    struct sim_relay *r = &w->relay;
    unsigned i = 0;

    (void)t;
    while (i < r->n_air && r->air[i].due_us > w->ms.now_us)
        i++;
    if (i < r->n_air && !r->air[i].is_taken) {
        take(w, &r->air[i]);
    } else if (i < r->n_air && fault_hits(w, SIM_FAULT_LOST_ACK)) {
        r->air[i].is_taken = false;
        r->air[i].due_us = soon(w, TAKES_BITS);
    } else if (i < r->n_air) {
        struct delivery *d = land(r, i);
        struct mem_source *before = process_enter(w);

        delivery_done(d);
        process_leave(before);
    }
    look_again(w);
}

void relay_add(struct world *w)
{
    struct sim_relay *r = &w->relay;

    if (!r->is_there)
        return;
    r->port = (struct relay){ .id = SUBSCRIPTION_KAFKA,
                              .window = SIM_RELAY_WINDOW,
                              .handle = on_handed,
                              .contexts_changed = on_contexts_changed };
    for (unsigned type = 0; type < EVENT_TYPE_COUNT; type++)
        r->port.topics[type] = event_infos[type].topic.n > 0;
    app_add_relay(w->process.app, &r->port);
}

void relay_drain(struct world *w)
{
    while (w->relay.n_air > 0)
        delivery_unavailable(land(&w->relay, 0));
}

void relay_lose_all(struct world *w)
{
    w->relay.n_air = 0;
    task_stop(w, &w->relay.task);
}
