/* The flow checker: walks every interleaving of one order's life in a flow, breadth first, and says
 * what holds in all of them, or shows the shortest one that breaks it.
 *
 * What decides and applies in a step is the domain's own code, on the flow's own table; so what is
 * shown holds for what the server runs. A copy of a flow that was changed can be handed in: it is
 * data. Pure: knows no clock, no chance, no disk. Deterministic. Not thread safe; one walk is one
 * thread's. */
#ifndef ORDERLY_FLOWCHECK_FLOW_CHECK_H
#define ORDERLY_FLOWCHECK_FLOW_CHECK_H
#include "orderly/base/buf.h"
#include "orderly/domain/flow.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Who the contexts are. In both, everything happens in any order that is not ruled out here:
 *
 * BUILT_IN: they hear their messages in order, as the bus promises it for each order and
 * subscription, and each of them once or twice. Payments approves, declines or waits.
 * OUTSIDE: they hear their messages in any order and answer in the other flow's words. Once in an
 * interleaving something odd happens at any moment: a message is heard twice, an answer is posted
 * again, a payment of another amount, a reservation or a shipment comes that nobody expects.
 *
 * In both, Inventory reserves or rejects; Orders hears in order; people may pay, mark-paid, cancel,
 * ready and complete at any moment and as often as they like, one payment being marked; the payment
 * timeout may come as long as its timer is open; the carrier dispatches, delivers or cancels; the
 * shop gives an external payment back once it is asked to, or never. */
#define FLOW_OUTSIDE_ODD_MAX 1
#define FLOW_WORLD_MAP(X)                                                                          \
    X(BUILT_IN, "contexts built in, messages in order")                                            \
    X(OUTSIDE, "contexts outside, messages in any order")
enum flow_world {
#define X(name, text) FLOW_WORLD_##name,
    FLOW_WORLD_MAP(X)
#undef X
        FLOW_WORLD_COUNT
};
const char *flow_world_text(enum flow_world w);

#define FLOW_PROPERTY_MAP(X)                                                                       \
    X(WHOLE, "every interleaving was walked")                                                      \
    X(STUCK, "no order is stuck: it ended, rests, is timed, or a message is under way")            \
    X(WAY_ON, "from everywhere there is a way to an end")                                          \
    X(MONEY, "no money is left behind: kept where the order stands, back where it does not")       \
    X(STOCK, "no stock is left behind: reserved or taken where the order stands, else released")   \
    X(GOODS, "nothing is shipped for an order that is undone, and no shipment is left behind")     \
    X(ONCE, "nothing is charged, refunded, reserved or released twice")                            \
    X(TABLE, "no event happens but where the table has it, and no answer that it does not name")   \
    X(STATUSES, "every status of the table is reached")                                            \
    X(ROWS, "every row of the table is used")
enum flow_property {
#define X(name, text) FLOW_##name,
    FLOW_PROPERTY_MAP(X)
#undef X
        FLOW_PROPERTY_COUNT
};
const char *flow_property_text(enum flow_property p);

/* The whole of it: both walks, a line for each property, and under one that does not hold the
 * shortest interleaving that shows it. now_us: monotonic; NULL: no times. Adds to out. */
bool flow_check(const struct flow *f, int64_t (*now_us)(void), struct buf *out);

/* ---- in pieces -------------------------------------------------------------------------------- */

#define FLOW_ROWS_MAX 64
#define FLOW_REACTIONS_MAX 64
/* What was used of a table, by the numbers of its rows; both worlds together. */
struct flow_coverage {
    uint64_t rows, reactions, answered[FLOW_ANSWERS_MAX];
    uint32_t statuses; /* bits of enum order_status */
};

struct flow_walk_counts {
    size_t n_states, n_transitions;
    size_t n_ends; /* final, and nothing under way but what may come again */
    unsigned depth;
};

struct flow_walk;
/* f must live as long as the walk, with at most FLOW_ROWS_MAX rows and FLOW_REACTIONS_MAX reactions.
 * used is added to. */
struct flow_walk *flow_walk_create(const struct flow *f, enum flow_world world,
                                   struct flow_coverage *used);
void flow_walk_destroy(struct flow_walk *w);
/* Once. Ends when there are more than n_states_max (0: FLOW_WALK_STATES_MAX), and WHOLE does not hold
 * then; or with the first fault of a property in `until`, bits of enum flow_property. */
#define FLOW_WALK_STATES_MAX 8000000
void flow_walk_run(struct flow_walk *w, size_t n_states_max, uint32_t until);
const struct flow_walk_counts *flow_walk_counts(const struct flow_walk *w);
/* False: an interleaving was found that breaks it. STATUSES and ROWS are flow_coverage_holds' to say,
 * and WAY_ON is not looked at in a walk that ended early. */
bool flow_walk_holds(const struct flow_walk *w, enum flow_property p);
/* The shortest interleaving that breaks it, a numbered line for each step, and what is wrong then.
 * The property must not hold. */
void flow_walk_tell(struct flow_walk *w, enum flow_property p, struct buf *out);

/* STATUSES and ROWS, of both walks. */
bool flow_coverage_holds(const struct flow_coverage *used, const struct flow *f,
                         enum flow_property p);
/* A line for each status that was not reached, or row that was not used. */
void flow_coverage_tell(const struct flow_coverage *used, const struct flow *f,
                        enum flow_property p, struct buf *out);
/* Lines for reactions that no interleaving uses, and answers: no fault, as a table may say more than
 * the built-in contexts do. Returns how many reactions are used. */
unsigned flow_coverage_reactions(const struct flow_coverage *used, const struct flow *f,
                                 struct buf *unused);
#endif
