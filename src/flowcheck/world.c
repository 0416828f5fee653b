#include "world.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"

#define TOTAL 1000 /* minor units */
#define STRAY_AMOUNT 999
#define TIMEOUT_MS 60000

/* A part's byte: its status, and these. */
#define PART_STATUS 0x0f
#define PART_IS_OURS 0x10
#define PART_IS_CONFIRMED 0x20

/* An effect's byte; sorted, so that the order of arrival, which no decision looks at, makes no other
 * state. */
#define EFFECT_KIND_SHIFT 6
#define EFFECT_ITEM_SHIFT 4
#define EFFECT_DUE_SHIFT 2
#define EFFECT_IS_OWN 0x02
#define EFFECT_IS_UNASKED 0x01
#define EFFECT_TWO_BITS 0x03

_Static_assert(sizeof(struct said) == 4, "a message is bytes only");
_Static_assert(_Alignof(struct state) == 1, "two equal states have equal bytes");
_Static_assert(EVENT_TYPE_COUNT <= UINT8_MAX, "a type is a byte");
_Static_assert(WORLD_PAYMENTS <= 3, "1 + which payment has two bits");

#define NAMED(text)                                                                                \
    {                                                                                              \
        .n = sizeof(text) - 1, .s = text                                                           \
    }
static const struct text_id payment_ids[WORLD_PAYMENTS] = { NAMED("payment-1"), NAMED("external-1"),
                                                            NAMED("payment-2") };
static const struct text_id reservation_ids[WORLD_PARTS] = { NAMED("reservation-1"),
                                                             NAMED("reservation-2") };
static const struct text_id shipment_ids[WORLD_PARTS] = { NAMED("shipment-1"),
                                                          NAMED("shipment-2") };
#undef NAMED

const struct text_id *world_payment_id(unsigned which)
{
    REQUIRE(which < WORLD_PAYMENTS);
    return &payment_ids[which];
}

const struct text_id *world_reservation_id(unsigned which)
{
    REQUIRE(which < WORLD_PARTS);
    return &reservation_ids[which];
}

const struct text_id *world_shipment_id(unsigned which)
{
    REQUIRE(which < WORLD_PARTS);
    return &shipment_ids[which];
}

/* 1 + which; 0: the event names none. */
static uint8_t item_of(const struct text_id *id, const struct text_id *known, unsigned n)
{
    if (id->n == 0)
        return 0;
    for (unsigned i = 0; i < n; i++)
        if (text_id_eq(id, &known[i]))
            return (uint8_t)(i + 1);
    UNREACHABLE("an id that the world did not give");
}

static uint8_t payment_item(const struct payment_id *id)
{
    return item_of(&id->t, payment_ids, WORLD_PAYMENTS);
}

static uint8_t reservation_item(const struct reservation_id *id)
{
    return item_of(&id->t, reservation_ids, WORLD_PARTS);
}

static uint8_t shipment_item(const struct shipment_id *id)
{
    return item_of(&id->t, shipment_ids, WORLD_PARTS);
}

const char *context_name(enum context c)
{
    static const char *const names[] = {
        [CONTEXT_ORDERS] = "Orders",
        [CONTEXT_PAYMENTS] = "Payments",
        [CONTEXT_INVENTORY] = "Inventory",
        [CONTEXT_SHIPMENTS] = "Shipments",
    };

    REQUIRE((unsigned)c < ARRAY_LEN(names));
    return names[c];
}

void world_broke(struct world *w, enum flow_property p)
{
    w->faults |= 1u << p;
}

void world_book(uint8_t *count)
{
    if (*count < WORLD_BOOK_MAX)
        ++*count;
}

void world_tell_event(struct world *w, const struct event *e, bool is_first)
{
    TELL(w, "%s" STR_FMT, is_first ? ": " : ", ", TYPE_ARG(e->type));
}

/* ---- the order -------------------------------------------------------------------------------- */

static int64_t payment_amount(unsigned which)
{
    return which == PAYMENT_STRAY ? STRAY_AMOUNT : TOTAL;
}

static struct currency world_currency(void)
{
    return (struct currency){ .code = "USD" };
}

static void place_order(struct world *w)
{
    static const struct order_line line = { .sku = { .n = 6, .s = "WIDGET" },
                                            .quantity = 2,
                                            .price = TOTAL / 2 };
    static const struct address address;
    struct order_placing placing = {
        .id = { { { 1 } } },
        .flow = w->flow->id,
        .lines = &line,
        .n_lines = 1,
        .address = &address,
        .subtotal = TOTAL,
        .total = TOTAL,
        .currency = world_currency(),
        .payment_timeout_ms = TIMEOUT_MS,
    };

    event_list_init(&w->events);
    order_place(&placing, WORLD_NOW_MS, &w->events);
    w->events.events[0].occurred_at_ms = WORLD_NOW_MS;
    order_apply(w->order, &w->events.events[0]);
    /* From here on the order is of the table in hand, which may be another one than the server's. */
    w->order->body->table = w->flow;
    w->order->status = w->flow->start;
    w->order->visited = 1u << w->flow->start;
}

void world_init(struct world *w, const struct flow *f, enum flow_world kind,
                struct flow_coverage *used)
{
    *w = (struct world){ .flow = f, .words = *f, .kind = kind, .used = used };
    arena_init(&w->arena, NULL, 0);
    if (kind == FLOW_WORLD_OUTSIDE) {
        const struct flow *other =
            flow_of(f->id == FLOW_PAY_FIRST ? FLOW_STOCK_FIRST : FLOW_PAY_FIRST);

        w->words.payment_approved = other->payment_approved;
        w->words.payment_declined = other->payment_declined;
        w->words.stock_reserved = other->stock_reserved;
        w->words.stock_rejected = other->stock_rejected;
        w->words.stock_released = other->stock_released;
    }
    w->order = order_create();
    place_order(w);
}

void world_deinit(struct world *w)
{
    order_destroy(w->order);
    arena_deinit(&w->arena);
}

static uint8_t effect_pack(const struct order_effect *e)
{
    static const struct text_id *const known[] = { [EFFECT_PAYMENT] = payment_ids,
                                                   [EFFECT_RESERVATION] = reservation_ids,
                                                   [EFFECT_SHIPMENT] = shipment_ids };
    unsigned n = e->kind == EFFECT_PAYMENT ? (unsigned)WORLD_PAYMENTS : (unsigned)WORLD_PARTS;
    unsigned byte = (unsigned)e->kind << EFFECT_KIND_SHIFT;

    byte |= (unsigned)item_of(&e->id, known[e->kind], n) << EFFECT_ITEM_SHIFT;
    byte |= (unsigned)e->due << EFFECT_DUE_SHIFT;
    byte |= e->is_own ? EFFECT_IS_OWN : 0;
    byte |= e->is_unasked ? EFFECT_IS_UNASKED : 0;
    return (uint8_t)byte;
}

static void effect_unpack(uint8_t byte, struct order_effect *e)
{
    unsigned which = (byte >> EFFECT_ITEM_SHIFT & EFFECT_TWO_BITS) - 1u;

    *e = (struct order_effect){
        .kind = (enum effect_kind)(byte >> EFFECT_KIND_SHIFT),
        .due = (enum due)(byte >> EFFECT_DUE_SHIFT & EFFECT_TWO_BITS),
        .is_own = byte & EFFECT_IS_OWN,
        .is_unasked = byte & EFFECT_IS_UNASKED,
    };
    switch (e->kind) {
    case EFFECT_PAYMENT:
        e->id = *world_payment_id(which);
        e->amount = payment_amount(which);
        e->currency = world_currency();
        break;
    case EFFECT_RESERVATION:
        e->id = *world_reservation_id(which);
        break;
    case EFFECT_SHIPMENT:
        e->id = *world_shipment_id(which);
        break;
    }
}

void world_take_order(struct world *w, const struct state *s)
{
    struct order *o = w->order;

    o->status = (enum order_status)s->status;
    o->visited = 1u << s->status; /* only answers of commands look at more */
    o->payment_requested = s->payment_requested;
    o->payment_id.t.n = o->reservation_id.t.n = o->shipment_id.t.n = 0;
    if (s->own_payment)
        o->payment_id.t = *world_payment_id(s->own_payment - 1u);
    if (s->own_reservation)
        o->reservation_id.t = *world_reservation_id(s->own_reservation - 1u);
    if (s->own_shipment)
        o->shipment_id.t = *world_shipment_id(s->own_shipment - 1u);
    o->invoice_id.t.n = 0;
    if (o->effects_cap < WORLD_EFFECTS_MAX) { /* once: it stays the order's */
        o->effects = mem_zalloc(WORLD_EFFECTS_MAX * sizeof(*o->effects));
        o->effects_cap = WORLD_EFFECTS_MAX;
    }
    o->n_effects = s->n_effects;
    for (unsigned i = 0; i < s->n_effects; i++)
        effect_unpack(s->effects[i], &o->effects[i]);
}

void world_put_order(struct world *w, struct state *s)
{
    const struct order *o = w->order;

    s->status = (uint8_t)o->status;
    s->payment_requested = o->payment_requested;
    s->own_payment = payment_item(&o->payment_id);
    s->own_reservation = reservation_item(&o->reservation_id);
    s->own_shipment = shipment_item(&o->shipment_id);
    REQUIRE(o->n_effects <= WORLD_EFFECTS_MAX);
    s->n_effects = (uint8_t)o->n_effects;
    for (unsigned i = 0; i < o->n_effects; i++) {
        uint8_t byte = effect_pack(&o->effects[i]);
        unsigned at = i;

        for (; at > 0 && s->effects[at - 1] > byte; at--)
            s->effects[at] = s->effects[at - 1];
        s->effects[at] = byte;
    }
    for (unsigned i = o->n_effects; i < WORLD_EFFECTS_MAX; i++)
        s->effects[i] = 0;
}

/* ---- parts ------------------------------------------------------------------------------------ */

struct payment world_payment(const struct state *s, unsigned which)
{
    uint8_t byte = s->payments[which];
    struct payment p = { .status = (enum payment_status)(byte & PART_STATUS),
                         .is_ours = byte & PART_IS_OURS };

    p.sequence = p.status != PAYMENT_STATUS_NONE;
    if (p.sequence && p.status != PAYMENT_STATUS_DECLINED) { /* a refusal has no amount */
        p.amount = payment_amount(which);
        p.currency = world_currency();
    }
    return p;
}

void state_set_payment(struct state *s, unsigned which, const struct payment *p)
{
    s->payments[which] = (uint8_t)((unsigned)p->status | (p->is_ours ? PART_IS_OURS : 0u));
}

/* Its lines are not kept: no decision looks at them. */
struct reservation world_reservation(const struct state *s, unsigned which)
{
    uint8_t byte = s->reservations[which];
    struct reservation r = { .status = (enum reservation_status)(byte & PART_STATUS),
                             .is_ours = byte & PART_IS_OURS };

    r.sequence = r.status != RESERVATION_STATUS_NONE;
    return r;
}

void state_set_reservation(struct state *s, unsigned which, const struct reservation *r)
{
    s->reservations[which] = (uint8_t)((unsigned)r->status | (r->is_ours ? PART_IS_OURS : 0u));
}

struct shipment world_shipment(const struct state *s, unsigned which)
{
    uint8_t byte = s->shipments[which];
    struct shipment p = { .status = (enum shipment_status)(byte & PART_STATUS),
                          .is_ours = byte & PART_IS_OURS,
                          .is_confirmed = byte & PART_IS_CONFIRMED };

    p.sequence = p.status != SHIPMENT_STATUS_NONE;
    return p;
}

void state_set_shipment(struct state *s, unsigned which, const struct shipment *p)
{
    s->shipments[which] = (uint8_t)((unsigned)p->status | (p->is_ours ? PART_IS_OURS : 0u) |
                                    (p->is_confirmed ? PART_IS_CONFIRMED : 0u));
}

/* ---- messages --------------------------------------------------------------------------------- */

struct said world_said(const struct event *e)
{
    struct said m = { .type = (uint8_t)e->type };

    switch (event_infos[e->type].aggregate) {
    case AGGREGATE_RESERVATION:
        m.item = reservation_item(&e->p.reservation_id);
        break;
    case AGGREGATE_SHIPMENT:
        m.item = shipment_item(&e->p.shipment_id);
        break;
    default:
        m.item = payment_item(&e->p.payment_id);
        if (!m.item)
            m.item = reservation_item(&e->p.reservation_id);
        if (!m.item)
            m.item = shipment_item(&e->p.shipment_id);
        break;
    }
    if (e->p.refund.set)
        m.back = payment_item(&e->p.refund.payment_id);
    if (e->p.release.set)
        m.back |= (uint8_t)(reservation_item(&e->p.release.reservation_id) << 4);
    return m;
}

static void event_name_item(struct event *e, unsigned which)
{
    struct payload *p = &e->p;

    switch (e->type) {
    case EVENT_ORDER_CONFIRMED:
    case EVENT_ORDER_STOCK_RESERVED:
    case EVENT_ORDER_RELEASE_REQUESTED:
    case EVENT_ORDER_STOCK_RELEASED:
        p->reservation_id.t = *world_reservation_id(which);
        return;
    case EVENT_ORDER_SHIPPED:
    case EVENT_ORDER_DELIVERED:
    case EVENT_ORDER_SHIPMENT_REFUSED:
        p->shipment_id.t = *world_shipment_id(which);
        return;
    default:
        break;
    }
    switch (event_infos[e->type].aggregate) {
    case AGGREGATE_RESERVATION:
        p->reservation_id.t = *world_reservation_id(which);
        return;
    case AGGREGATE_SHIPMENT:
        p->shipment_id.t = *world_shipment_id(which);
        return;
    default:
        p->payment_id.t = *world_payment_id(which);
        p->amount = payment_amount(which);
        p->currency = world_currency();
        return;
    }
}

void world_event(const struct world *w, const struct said *m, struct event *e)
{
    struct payload *p = &e->p;
    unsigned refund = m->back & 0x0f, release = m->back >> 4;

    memset(e, 0, sizeof(*e));
    e->type = (enum event_type)m->type;
    e->occurred_at_ms = WORLD_NOW_MS;
    p->order_id = w->order->body->id;
    p->flow = w->flow->id;
    if (event_infos[e->type].aggregate == AGGREGATE_ORDER) { /* what orders say of themselves */
        p->lines = w->order->body->lines;
        p->n_lines = w->order->body->n_lines;
        p->stock_lines = w->order->body->stock_lines;
        p->n_stock_lines = w->order->body->n_stock_lines;
        p->total = p->amount = TOTAL;
        p->currency = world_currency();
    }
    if (m->item)
        event_name_item(e, m->item - 1u);
    if (refund) {
        p->refund.set = true;
        p->refund.payment_id.t = *world_payment_id(refund - 1u);
        p->refund.amount = payment_amount(refund - 1u);
        p->refund.currency = world_currency();
    }
    if (release) {
        p->release.set = true;
        p->release.reservation_id.t = *world_reservation_id(release - 1u);
    }
}

static void lane_put(struct world *w, struct state *s, unsigned lane, struct said m)
{
    if (s->n[lane] < WORLD_LANE_MAX) {
        s->lanes[lane][s->n[lane]++] = m;
        return;
    }
    world_broke(w, FLOW_WHOLE);
    TELL(w, "\n      more messages are under way than the walk has room for");
}

/* A message that asks for nothing, whatever the state, is not put into its lane: nothing can come of
 * it but that what stands behind it waits, and all waits anyway as long as it likes. */
void world_publish(struct world *w, struct state *s, const struct event *e)
{
    for (unsigned c = 0; c < WORLD_CONTEXTS; c++) {
        const struct flow_reaction *r =
            flow_reaction_of(w->flow, (uint16_t)e->type, (enum context)c);

        if (!r)
            continue;
        w->used->reactions |= UINT64_C(1) << (r - w->flow->reactions);
        if (contexts_are_asked((enum context)c, e))
            lane_put(w, s, c, world_said(e));
    }
}

/* ---- states ----------------------------------------------------------------------------------- */

#define STATE_HEAD offsetof(struct state, lanes)

size_t world_pack(const struct state *s, uint8_t out[WORLD_PACKED_MAX])
{
    size_t n = STATE_HEAD;

    memcpy(out, s, n);
    for (unsigned l = 0; l < WORLD_CONTEXTS; l++) {
        size_t size = s->n[l] * sizeof(struct said);

        memcpy(out + n, s->lanes[l], size);
        n += size;
    }
    return n;
}

void world_unpack(const uint8_t *packed, struct state *s)
{
    size_t n = STATE_HEAD;

    memset(s, 0, sizeof(*s));
    memcpy(s, packed, n);
    for (unsigned l = 0; l < WORLD_CONTEXTS; l++) {
        size_t size = s->n[l] * sizeof(struct said);

        memcpy(s->lanes[l], packed + n, size);
        n += size;
    }
}

bool state_is_quiet(const struct state *s)
{
    for (unsigned c = 0; c < WORLD_CONTEXTS; c++)
        for (unsigned i = 0; i < s->n[c]; i++)
            if (!s->lanes[c][i].is_second)
                return false;
    return true;
}

void world_begin(struct world *w, struct state *s)
{
    static const struct said placed = { .type = EVENT_ORDER_PLACED };
    struct event e;

    memset(s, 0, sizeof(*s));
    w->faults = 0;
    s->status = (uint8_t)w->flow->start;
    w->used->statuses |= 1u << s->status;
    world_event(w, &placed, &e);
    world_publish(w, s, &e);
}
