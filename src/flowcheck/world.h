/* One order with everything around it, small enough that millions of them can be compared: what
 * the order, its payments, reservations and shipments are, which messages are under way, and the
 * books that say what was really charged, refunded, reserved and released.
 *
 * A step takes the world from one state to the next. Whatever is decided or applied in it, the
 * functions of the domain do that the server runs too, on the flow's own table; this here only
 * carries messages and keeps the books. */
#ifndef SRC_FLOWCHECK_WORLD_H
#define SRC_FLOWCHECK_WORLD_H
#include "orderly/base/arena.h"
#include "orderly/base/buf.h"
#include "orderly/domain/order.h"
#include "orderly/domain/payment.h"
#include "orderly/domain/reservation.h"
#include "orderly/domain/shipment.h"
#include "orderly/flowcheck/flow_check.h"

/* The context's own; one that `mark-paid` names; one of another amount that nobody expects. */
enum world_payment { PAYMENT_OWN, PAYMENT_EXTERNAL, PAYMENT_STRAY, WORLD_PAYMENTS };
/* The context's own, and one that nobody expects. */
enum world_part { PART_OWN, PART_STRAY, WORLD_PARTS };

#define WORLD_CONTEXTS 4
#define WORLD_LANE_MAX 16
#define WORLD_EFFECTS_MAX 8
#define WORLD_NOW_MS 1000000
#define WORLD_BOOK_MAX 3 /* counts stop there: two is one too many */

/* A message, without what follows from the order. */
struct said {
    uint8_t type; /* enum event_type */
    uint8_t item; /* 1 + which payment, reservation or shipment it names; 0: none */
    uint8_t back; /* OrderCancelled and the like: refund, 1 + which; release, 16 * (1 + which) */
    uint8_t is_second; /* it was delivered once, and may come once more */
};

/* Bytes only, so that two states are the same when their bytes are. */
struct state {
    uint8_t status, own_payment, own_reservation, own_shipment; /* 1 + which; 0: none */
    uint8_t payment_requested;
    uint8_t n_odd;                                 /* duplicates and strays up to now */
    uint8_t n_effects, effects[WORLD_EFFECTS_MAX]; /* packed, ascending */
    /* Parts: status, and below the bits of world.c. */
    uint8_t payments[WORLD_PAYMENTS], reservations[WORLD_PARTS], shipments[WORLD_PARTS];
    /* The books. */
    uint8_t charged[WORLD_PAYMENTS], refunded[WORLD_PAYMENTS];
    uint8_t reserved[WORLD_PARTS], released[WORLD_PARTS], taken[WORLD_PARTS];
    uint8_t was_rejected; /* the stock, once */
    uint8_t n[WORLD_CONTEXTS];
    struct said lanes[WORLD_CONTEXTS][WORLD_LANE_MAX];
};

enum step_kind {
    STEP_DELIVER,    /* a: context, b: place in its lane, c: enum choice, is_kept */
    STEP_POST_AGAIN, /* a: enum event_type, b: 1 + which; 0: none */
    STEP_COMMAND,    /* a: enum order_input; the timeout among them */
    STEP_CARRIER,    /* a: enum event_type, b: which shipment */
    STEP_GIVE_BACK,  /* of the external payment */
    STEP_STRAY       /* a: enum event_type */
};
enum choice { CHOICE_YES, CHOICE_NO, CHOICE_WAIT };
struct step {
    uint8_t kind, a, b, c;
    uint8_t is_kept; /* the message may come once more */
};
#define WORLD_STEPS_MAX 256

struct world {
    const struct flow *flow;
    struct flow words; /* the same flow, with the words in which the contexts answer */
    enum flow_world kind;
    struct order *order; /* in hand: set from a state, read back into one */
    struct event_list events;
    struct arena arena;
    struct flow_coverage *used;
    struct buf *tell; /* NULL: say nothing */

    uint32_t faults; /* bits of enum flow_property, broken by the last step or look */
};

void world_init(struct world *w, const struct flow *f, enum flow_world kind,
                struct flow_coverage *used);
void world_deinit(struct world *w);

/* The order was placed just now. */
void world_begin(struct world *w, struct state *s);
/* What may happen next. Returns how many. */
unsigned world_steps(struct world *w, const struct state *s, struct step out[WORLD_STEPS_MAX]);
/* One of those. next: canonical, so the same world has the same bytes. */
void world_step(struct world *w, const struct state *s, const struct step *step,
                struct state *next);

/* Bytes of a state that lie one behind the other, without the free places of lanes. */
#define WORLD_PACKED_MAX sizeof(struct state)
size_t world_pack(const struct state *s, uint8_t out[WORLD_PACKED_MAX]);
void world_unpack(const uint8_t *packed, struct state *s);

/* No message is under way but what may come again. */
bool state_is_quiet(const struct state *s);
/* Into w->faults: what does not hold in this state; says it of the properties in `of`. */
void world_look(struct world *w, const struct state *s, uint32_t of);

/* For the files of the world. */
void world_take_order(struct world *w, const struct state *s);
void world_put_order(struct world *w, struct state *s);
/* Into the lanes of who hears it. */
void world_publish(struct world *w, struct state *s, const struct event *e);
struct said world_said(const struct event *e);
void world_event(const struct world *w, const struct said *m, struct event *e);
void world_broke(struct world *w, enum flow_property p);
void world_book(uint8_t *count);
void world_tell_event(struct world *w, const struct event *e, bool is_first);

struct payment world_payment(const struct state *s, unsigned which);
struct shipment world_shipment(const struct state *s, unsigned which);
struct reservation world_reservation(const struct state *s, unsigned which);
void state_set_payment(struct state *s, unsigned which, const struct payment *p);
void state_set_reservation(struct state *s, unsigned which, const struct reservation *r);
void state_set_shipment(struct state *s, unsigned which, const struct shipment *p);

const struct text_id *world_payment_id(unsigned which);
const struct text_id *world_reservation_id(unsigned which);
const struct text_id *world_shipment_id(unsigned which);

/* orders.c. What people and the clock can do now, as bits of enum order_input; the order in hand is
 * the state's then. */
uint32_t orders_commands(struct world *w, const struct state *s);
void orders_command(struct world *w, struct state *s, enum order_input input);
void orders_hear(struct world *w, struct state *s, const struct event *m);

/* contexts.c. Whether the message asks the context for anything. */
bool contexts_are_asked(enum context c, const struct event *m);
/* How many ways the context may answer, from CHOICE_YES on. Who was asked to pay waits no more, and
 * from outside it is all one whether somebody waits or takes long. */
unsigned contexts_choices(const struct world *w, enum context c, const struct event *m);
void contexts_hear(struct world *w, struct state *s, enum context c, const struct event *m,
                   enum choice choice);
bool contexts_carrier_may(struct world *w, const struct state *s, enum event_type type,
                          unsigned which);
void contexts_carrier(struct world *w, struct state *s, enum event_type type, unsigned which);
bool contexts_may_give_back(const struct world *w, const struct state *s);
void contexts_give_back(struct world *w, struct state *s);
bool contexts_stray_may(const struct state *s, enum event_type type);
void contexts_stray(struct world *w, struct state *s, enum event_type type);
#define WORLD_POSTED_MAX 16
/* What contexts have said up to now, and may post once more. Returns how many. */
unsigned contexts_posted(const struct world *w, const struct state *s,
                         struct said out[WORLD_POSTED_MAX]);
void contexts_post_again(struct world *w, struct state *s, const struct event *e);

const char *context_name(enum context c);

/* Says it if somebody listens. */
#define TELL(w, ...)                                                                               \
    do {                                                                                           \
        if ((w)->tell)                                                                             \
            buf_printf((w)->tell, __VA_ARGS__);                                                    \
    } while (0)
#define TYPE_ARG(number) STR_ARG(event_infos[number].type)
#endif
