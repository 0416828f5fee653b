/* What may happen next, and how the world is then. */
#include "orderly/base/check.h"
#include "world.h"

/* The bus keeps the order of a lane; outside contexts promise none. */
static bool lane_is_in_order(const struct world *w, unsigned lane)
{
    return lane == CONTEXT_ORDERS || w->kind == FLOW_WORLD_BUILT_IN;
}

static bool said_eq(const struct said *a, const struct said *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static bool may_be_odd(const struct world *w, const struct state *s)
{
    return w->kind == FLOW_WORLD_BUILT_IN || s->n_odd < FLOW_OUTSIDE_ODD_MAX;
}

static void be_odd(const struct world *w, struct state *s)
{
    if (w->kind == FLOW_WORLD_OUTSIDE)
        s->n_odd++;
}

static void add(struct step *out, unsigned *n, struct step step)
{
    REQUIRE(*n < WORLD_STEPS_MAX);
    out[(*n)++] = step;
}

static void add_deliveries(struct world *w, const struct state *s, unsigned c, struct step *out,
                           unsigned *n)
{
    unsigned n_heads = lane_is_in_order(w, c) && s->n[c] ? 1 : s->n[c];

    for (unsigned i = 0; i < n_heads; i++) {
        const struct said *m = &s->lanes[c][i];
        struct event e;

        if (i > 0 && said_eq(m, m - 1))
            continue; /* bags are sorted: the same message as before */
        world_event(w, m, &e);
        for (unsigned choice = 0; choice < contexts_choices(w, (enum context)c, &e); choice++) {
            struct step step = {
                .kind = STEP_DELIVER, .a = (uint8_t)c, .b = (uint8_t)i, .c = (uint8_t)choice
            };

            add(out, n, step);
            step.is_kept = true;
            if (!m->is_second && may_be_odd(w, s))
                add(out, n, step);
        }
    }
}

static void add_odd(struct world *w, const struct state *s, struct step *out, unsigned *n)
{
    static const enum event_type strays[] = { EVENT_PAYMENT_APPROVED, EVENT_STOCK_RESERVED,
                                              EVENT_SHIPMENT_CREATED };
    struct said posted[WORLD_POSTED_MAX];
    unsigned n_posted = contexts_posted(w, s, posted);

    for (unsigned i = 0; i < ARRAY_LEN(strays); i++)
        if (contexts_stray_may(s, strays[i]))
            add(out, n, (struct step){ .kind = STEP_STRAY, .a = (uint8_t)strays[i] });
    for (unsigned i = 0; i < n_posted; i++)
        add(out, n,
            (struct step){ .kind = STEP_POST_AGAIN, .a = posted[i].type, .b = posted[i].item });
}

unsigned world_steps(struct world *w, const struct state *s, struct step out[WORLD_STEPS_MAX])
{
    static const enum event_type carried[] = { EVENT_SHIPMENT_DISPATCHED, EVENT_SHIPMENT_DELIVERED,
                                               EVENT_SHIPMENT_CANCELLED };
    uint32_t commands = orders_commands(w, s);
    unsigned n = 0;

    if (contexts_may_give_back(w, s))
        add(out, &n, (struct step){ .kind = STEP_GIVE_BACK });
    for (unsigned i = 0; i < ORDER_INPUT_COUNT; i++)
        if (commands & 1u << i)
            add(out, &n, (struct step){ .kind = STEP_COMMAND, .a = (uint8_t)i });
    for (unsigned c = 0; c < WORLD_CONTEXTS; c++)
        add_deliveries(w, s, c, out, &n);
    for (unsigned i = 0; i < ARRAY_LEN(carried); i++)
        for (unsigned k = 0; k < WORLD_PARTS; k++)
            if (contexts_carrier_may(w, s, carried[i], k))
                add(out, &n,
                    (struct step){
                        .kind = STEP_CARRIER, .a = (uint8_t)carried[i], .b = (uint8_t)k });
    if (w->kind == FLOW_WORLD_OUTSIDE && may_be_odd(w, s))
        add_odd(w, s, out, &n);
    return n;
}

/* Bags are sorted, and nothing stands in the free places. */
static void make_canonical(struct world *w, struct state *s)
{
    for (unsigned l = 0; l < WORLD_CONTEXTS; l++) {
        struct said *lane = s->lanes[l];

        for (unsigned i = 1; !lane_is_in_order(w, l) && i < s->n[l]; i++) {
            struct said m = lane[i];
            unsigned at = i;

            for (; at > 0 && memcmp(&lane[at - 1], &m, sizeof(m)) > 0; at--)
                lane[at] = lane[at - 1];
            lane[at] = m;
        }
        memset(&lane[s->n[l]], 0, (WORLD_LANE_MAX - s->n[l]) * sizeof(*lane));
    }
}

static struct said lane_take(struct state *s, unsigned lane, unsigned at)
{
    struct said m = s->lanes[lane][at];

    s->n[lane]--;
    memmove(&s->lanes[lane][at], &s->lanes[lane][at + 1],
            (s->n[lane] - at) * sizeof(s->lanes[lane][0]));
    return m;
}

static void deliver(struct world *w, struct state *s, const struct step *step)
{
    static const char *const choices[] = { "", ", no", ", waits" };
    enum context c = (enum context)step->a;
    struct event e;
    struct said m;

    if (step->is_kept) {
        s->lanes[c][step->b].is_second = true;
        be_odd(w, s);
        m = s->lanes[c][step->b];
    } else {
        m = lane_take(s, c, step->b);
    }
    world_event(w, &m, &e);
    TELL(w, "%s hears " STR_FMT "%s%s", context_name(c), TYPE_ARG(e.type),
         m.is_second && !step->is_kept ? " again" : "", choices[step->c]);
    contexts_hear(w, s, c, &e, (enum choice)step->c);
}

void world_step(struct world *w, const struct state *s, const struct step *step, struct state *next)
{
    struct said m;
    struct event e;

    w->faults = 0;
    *next = *s;
    switch ((enum step_kind)step->kind) {
    case STEP_DELIVER:
        deliver(w, next, step);
        break;
    case STEP_POST_AGAIN:
        m = (struct said){ .type = step->a, .item = step->b };
        world_event(w, &m, &e);
        be_odd(w, next);
        contexts_post_again(w, next, &e);
        break;
    case STEP_COMMAND:
        orders_command(w, next, (enum order_input)step->a);
        break;
    case STEP_CARRIER:
        contexts_carrier(w, next, (enum event_type)step->a, step->b);
        break;
    case STEP_GIVE_BACK:
        contexts_give_back(w, next);
        break;
    case STEP_STRAY:
        be_odd(w, next);
        contexts_stray(w, next, (enum event_type)step->a);
        break;
    }
    make_canonical(w, next);
}
