/* RECEIVED: what a broker brings is in the log before the broker may forget it, as it was said: what
 * can't be received too, as a dead letter with its bytes.
 *
 * What the outside context says is known here from the moment that it says it. That a message is not
 * in the log twice is ONCE's. What the outside Payments takes and gives back, and the outside
 * Inventory reserves and releases, is judged as what the built-in ones do (witness_money.c,
 * witness_stock.c). */
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "witness_private.h"

/* A message of the outside context. */
struct brought {
    struct map_node node; /* by id */
    char id[TEXT_ID_MAX];
    struct sim_said said;   /* its id is the one above */
    struct seen_lane *lane; /* NULL: of no order */
    uint64_t position;      /* where it is in the log for the first time; 0: nowhere yet */
    bool is_forgotten;      /* the broker was told that it is durable */
};

static struct brought *brought_find(const struct witness *w, struct str id)
{
    struct map_node *n = id.n ? map_find(&w->brought, id) : NULL;

    return n ? container_of(n, struct brought, node) : NULL;
}

bool received_is_said_outside(const struct witness *w, const struct event *e)
{
    return brought_find(w, e->message_id) != NULL;
}

void witness_said(struct witness *w, const struct sim_said *said)
{
    struct brought *b = arena_zalloc(&w->memory, sizeof(*b));

    REQUIRE(said->id.n <= sizeof(b->id));
    memcpy(b->id, said->id.p, said->id.n);
    b->said = *said;
    b->said.id = (struct str){ b->id, said->id.n };
    b->said.body = arena_str(&w->memory, said->body);
    if (said->type != EVENT_MESSAGE_REFUSED)
        b->lane = history_lane(w, lane_of_order(said->order));
    map_insert(&w->brought, &b->node, b->said.id);
}

static bool is_same_money(const struct sim_said *said, const struct payload *p)
{
    return text_id_eq(&p->payment_id.t, &said->payment_id.t) && p->amount == said->amount &&
           currency_eq(p->currency, said->currency);
}

static bool is_as_said(const struct sim_said *said, const struct event *e)
{
    if (e->type != said->type)
        return false;
    if (e->type == EVENT_MESSAGE_REFUSED)
        return str_eq(e->p.said_body, said->body);
    if (!uuid_eq(e->p.order_id.u, said->order.u))
        return false;
    switch (e->type) {
    case EVENT_PAYMENT_APPROVED:
    case EVENT_PAYMENT_PROCESSED:
    case EVENT_PAYMENT_REFUNDED:
        return is_same_money(said, &e->p);
    case EVENT_STOCK_RESERVED:
    case EVENT_INVENTORY_RESERVED:
    case EVENT_STOCK_RELEASED:
    case EVENT_INVENTORY_RELEASED:
        return text_id_eq(&e->p.reservation_id.t, &said->reservation_id.t);
    default:
        return true;
    }
}

void received_event(struct witness *w, const struct event *e, struct seen *s)
{
    struct brought *b = brought_find(w, e->message_id);

    if (!b)
        return;
    w->counts.judged++;
    if ((b->lane && b->lane != s->lane) || !is_as_said(&b->said, e))
        witness_violate(w, SIM_RECEIVED, b->lane, "position %llu is not what " STR_FMT " said",
                        (unsigned long long)e->position, STR_ARG(b->said.id));
    if (b->position == 0)
        b->position = e->position;
}

void witness_received(struct witness *w, struct str id)
{
    struct brought *b = brought_find(w, id);

    if (w->is_violated)
        return;
    REQUIRE(b);
    w->counts.judged++;
    w->counts.received++;
    b->is_forgotten = true;
    if (b->position == 0)
        witness_violate(w, SIM_RECEIVED, b->lane,
                        "the broker was told to forget " STR_FMT ", which is not durable",
                        STR_ARG(id));
}

static void brought_judge(void *ctx, struct map_node *n)
{
    struct witness *w = ctx;
    const struct brought *b = container_of(n, struct brought, node);

    if (!b->is_forgotten)
        witness_violate(w, SIM_RECEIVED, b->lane, "the broker still has " STR_FMT ", which is %s",
                        STR_ARG(b->said.id), b->position ? "durable" : "not durable");
}

void received_finished(struct witness *w)
{
    map_each(&w->brought, brought_judge, w);
}
