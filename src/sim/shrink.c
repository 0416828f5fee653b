#include "shrink.h"
#include <limits.h>

struct shrinking {
    struct sim_config *config;
    enum sim_invariant broken;
    unsigned n_runs;
};

/* Takes the smaller one if it breaks as well. */
static bool try_smaller(struct shrinking *s, const struct sim_config *smaller)
{
    struct sim_outcome outcome;

    if (s->n_runs >= SHRINK_RUNS_MAX)
        return false;
    s->n_runs++;
    sim_run(smaller, &outcome, NULL);
    if (!outcome.is_violated || outcome.violation.invariant != s->broken)
        return false;
    *s->config = *smaller;
    return true;
}

static bool fewer_orders(struct shrinking *s)
{
    struct sim_config c = *s->config;
    unsigned less = c.orders / 2;
    bool did = false;

    while (less > 0 && s->n_runs < SHRINK_RUNS_MAX) {
        c = *s->config;
        if (c.orders > less) {
            c.orders -= less;
            if (try_smaller(s, &c)) {
                did = true;
                continue;
            }
        }
        less /= 2;
    }
    return did;
}

static bool fewer_faults(struct shrinking *s)
{
    bool did = false;

    for (unsigned f = 0; f < SIM_FAULT_COUNT; f++) {
        struct sim_config c = *s->config;

        if (!(c.faults & 1u << f))
            continue;
        c.faults &= ~(1u << f);
        did |= try_smaller(s, &c);
    }
    return did;
}

static bool fewer_crashes(struct shrinking *s)
{
    static const unsigned tries[] = { 0, 1, 2, 4, 8 };

    for (unsigned i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
        struct sim_config c = *s->config;

        if (tries[i] >= c.crashes_max)
            return false;
        c.crashes_max = tries[i];
        if (try_smaller(s, &c))
            return true;
    }
    return false;
}

unsigned shrink(struct sim_config *config, enum sim_invariant broken)
{
    struct shrinking s = { .config = config, .broken = broken };
    bool did = true;

    while (did && s.n_runs < SHRINK_RUNS_MAX) {
        did = fewer_faults(&s);
        did |= fewer_crashes(&s);
        did |= fewer_orders(&s);
    }
    return s.n_runs;
}
