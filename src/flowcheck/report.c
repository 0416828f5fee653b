/* The check of a flow, for people. */
#include "orderly/base/check.h"
#include "orderly/flowcheck/flow_check.h"

struct check {
    const struct flow *flow;
    struct flow_coverage used;
    struct flow_walk *walks[FLOW_WORLD_COUNT];
};

static void add_counts(const struct flow_walk *w, enum flow_world world, int64_t took_us,
                       struct buf *out)
{
    const struct flow_walk_counts *c = flow_walk_counts(w);

    buf_printf(out, "  %-41s%8zu states, %8zu transitions, %5zu ends, depth %2u",
               flow_world_text(world), c->n_states, c->n_transitions, c->n_ends, c->depth);
    if (took_us >= 0)
        buf_printf(out, ", %lld.%02lld s", (long long)(took_us / 1000000),
                   (long long)(took_us / 10000 % 100));
    buf_printf(out, "\n");
}

static void walk_all(struct check *c, int64_t (*now_us)(void), struct buf *out)
{
    for (unsigned w = 0; w < FLOW_WORLD_COUNT; w++) {
        int64_t began_us = now_us ? now_us() : 0;

        c->walks[w] = flow_walk_create(c->flow, (enum flow_world)w, &c->used);
        flow_walk_run(c->walks[w], 0, 0);
        add_counts(c->walks[w], (enum flow_world)w, now_us ? now_us() - began_us : -1, out);
    }
}

/* Beside these everything may happen in any order and as often as it likes. */
static void add_bounds(struct buf *out)
{
    buf_printf(out,
               "  bounds: one order, one payment marked; built in, each message at most twice; "
               "outside, %u duplicate or stray\n",
               (unsigned)FLOW_OUTSIDE_ODD_MAX);
}

static void add_verdict(bool holds, enum flow_property p, struct buf *out)
{
    buf_printf(out, "  %s  %s", holds ? "ok    " : "not ok", flow_property_text(p));
}

/* Of both walks, the shorter way to break it is not looked for: the first that has one tells it. */
static bool report_of_walks(struct check *c, enum flow_property p, struct buf *out)
{
    for (unsigned w = 0; w < FLOW_WORLD_COUNT; w++) {
        if (flow_walk_holds(c->walks[w], p))
            continue;
        add_verdict(false, p, out);
        buf_printf(out, "\n      %s:\n", flow_world_text((enum flow_world)w));
        flow_walk_tell(c->walks[w], p, out);
        return false;
    }
    add_verdict(true, p, out);
    buf_printf(out, "\n");
    return true;
}

static bool report_of_coverage(const struct check *c, enum flow_property p, struct buf *out)
{
    bool holds = flow_coverage_holds(&c->used, c->flow, p);
    struct buf unused = { 0 };

    add_verdict(holds, p, out);
    if (p == FLOW_ROWS)
        buf_printf(out, ": %u, and %u of %u reactions", c->flow->n_rows,
                   flow_coverage_reactions(&c->used, c->flow, &unused), c->flow->n_reactions);
    buf_printf(out, "\n");
    if (!holds)
        flow_coverage_tell(&c->used, c->flow, p, out);
    buf_add_str(out, buf_str(&unused));
    buf_deinit(&unused);
    return holds;
}

bool flow_check(const struct flow *f, int64_t (*now_us)(void), struct buf *out)
{
    struct check c = { .flow = f };
    bool holds = true;

    buf_printf(out, "%s, version %u\n", f->name, f->version);
    walk_all(&c, now_us, out);
    add_bounds(out);
    for (unsigned p = 0; p < FLOW_STATUSES; p++)
        holds &= report_of_walks(&c, (enum flow_property)p, out);
    for (unsigned p = FLOW_STATUSES; p < FLOW_PROPERTY_COUNT; p++)
        holds &= report_of_coverage(&c, (enum flow_property)p, out);
    for (unsigned w = 0; w < FLOW_WORLD_COUNT; w++)
        flow_walk_destroy(c.walks[w]);
    return holds;
}
