/* Stories for the witness: what a server does, told by hand, with rows that are right unless a test
 * says otherwise.
 *
 * Events are added to the next write; story_commit makes the rows that follow from them (snapshots and
 * lists by replaying), tells the witness, and keeps them in a memory engine, which is what a crash
 * shows. */
#ifndef TESTS_UNIT_SIM_STORY_H
#define TESTS_UNIT_SIM_STORY_H
#include "../../../src/sim/witness.h"
#include "orderly/app/dead_letters.h"
#include "orderly/app/event_codec.h"
#include "orderly/app/lanes.h"
#include "orderly/app/replay.h"
#include "orderly/app/row_keys.h"
#include "orderly/app/snapshot_codec.h"
#include "orderly/base/bytes.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "orderly/infra/store/memory.h"

/* cmocka.h comes after these. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define STORY_EVENTS_MAX 64
#define STORY_LANES 6
#define STORY_ROWS_MAX 256
#define STORY_STREAMS 32
#define STORY_NOW_MS INT64_C(1760000000000)
#define STORY_TIMEOUT_MS (INT64_C(30) * 60 * 1000)
#define STORY_SKU "WIDGET-001"

struct story_row {
    struct store_row row;
    bool is_seen;
};

struct story_lane {
    struct lane_id id;
    struct replay replay;
    struct story_row rows[32];
    unsigned n_rows;
};

struct story {
    struct witness *witness;
    struct engine *disk;
    struct arena arena;
    struct bus bus;
    struct subscription subscriptions[SUBSCRIPTION_COUNT];
    int64_t mono_us, wall_ms;

    struct event events[STORY_EVENTS_MAX]; /* [position - 1]; committed or in the next write */
    unsigned n_events, n_committed;
    struct {
        struct stream_id id;
        uint64_t sequence;
    } streams[STORY_STREAMS];
    unsigned n_streams;
    struct story_lane lanes[STORY_LANES];
    unsigned n_lanes;
    struct stock stock;
    uint64_t stock_position;
    uint64_t letters, letters_open;

    struct store_row rows[STORY_ROWS_MAX]; /* of the next write */
    unsigned n_rows;
    uint32_t without; /* bits 1u << enum store_db: rows that are forgotten */

    struct order_id order;
    enum flow_id flow;
    struct message messages[STORY_EVENTS_MAX];
    struct delivery deliveries[STORY_EVENTS_MAX];
    unsigned n_deliveries;
};

/* ---- the server's subscriptions ---------------------------------------------------------------- */

static inline bool story_wants(const struct subscription *s, const struct event *e)
{
    static const enum context contexts[SUBSCRIPTION_COUNT] = {
        [SUBSCRIPTION_ORDERS] = CONTEXT_ORDERS,
        [SUBSCRIPTION_PAYMENTS] = CONTEXT_PAYMENTS,
        [SUBSCRIPTION_INVENTORY] = CONTEXT_INVENTORY,
        [SUBSCRIPTION_SHIPMENTS] = CONTEXT_SHIPMENTS,
    };

    if (e->verdict != VERDICT_FINE)
        return s->config.id == SUBSCRIPTION_ORDERS;
    return e->p.flow != FLOW_NONE &&
           flow_reaction_of(flow_of(e->p.flow), (uint16_t)e->type, contexts[s->config.id]) != NULL;
}

static inline struct story *story_begin_with(enum flow_id flow, bool has_relay)
{
    struct story *s = mem_zalloc(sizeof(*s));
    struct witness_config config = {
        .bus = &s->bus, .seed = 1, .payment_timeout_ms = STORY_TIMEOUT_MS, .retries = 3
    };

    arena_init(&s->arena, NULL, 0);
    for (unsigned i = SUBSCRIPTION_NONE + 1; i < SUBSCRIPTION_AUDIT; i++) {
        s->subscriptions[i].config = subscription_config_default;
        s->subscriptions[i].config.id = (enum subscription_id)i;
        s->subscriptions[i].wants = story_wants;
        s->bus.subscriptions[i] = &s->subscriptions[i];
    }
    if (has_relay) {
        s->subscriptions[SUBSCRIPTION_NATS].config = subscription_config_default;
        s->subscriptions[SUBSCRIPTION_NATS].config.id = SUBSCRIPTION_NATS;
        s->bus.subscriptions[SUBSCRIPTION_NATS] = &s->subscriptions[SUBSCRIPTION_NATS];
    }
    s->flow = flow;
    s->order.u.b[0] = 1;
    s->order.u.b[6] = 0x70;
    s->disk = memory_engine_create(1000);
    s->witness = witness_create(&config);
    s->wall_ms = STORY_NOW_MS;
    witness_time(s->witness, 0, s->wall_ms);
    return s;
}

static inline struct story *story_begin(enum flow_id flow)
{
    return story_begin_with(flow, false);
}

static inline void story_end(struct story *s)
{
    witness_destroy(s->witness);
    memory_engine_destroy(s->disk);
    for (unsigned i = 0; i < s->n_lanes; i++)
        replay_deinit(&s->lanes[i].replay);
    arena_deinit(&s->arena);
    mem_free(s);
}

static inline void story_pass_ms(struct story *s, int64_t ms)
{
    s->mono_us += ms * 1000;
    s->wall_ms += ms;
    witness_time(s->witness, s->mono_us, s->wall_ms);
}

/* ---- rows --------------------------------------------------------------------------------------- */

static inline void story_put(struct story *s, enum store_db db, struct str key, struct str value)
{
    REQUIRE(s->n_rows < STORY_ROWS_MAX);
    s->rows[s->n_rows++] = (struct store_row){ .db = db,
                                               .key = arena_str(&s->arena, key),
                                               .value = arena_str(&s->arena, value) };
}

static inline void story_delete(struct story *s, enum store_db db, struct str key)
{
    REQUIRE(s->n_rows < STORY_ROWS_MAX);
    s->rows[s->n_rows++] =
        (struct store_row){ .db = db, .is_delete = true, .key = arena_str(&s->arena, key) };
}

static inline struct story_lane *story_lane(struct story *s, struct lane_id id)
{
    struct story_lane *l;

    for (unsigned i = 0; i < s->n_lanes; i++)
        if (uuid_eq(s->lanes[i].id.u, id.u))
            return &s->lanes[i];
    REQUIRE(s->n_lanes < STORY_LANES);
    l = &s->lanes[s->n_lanes++];
    l->id = id;
    replay_init(&l->replay);
    replay_begin(&l->replay, id);
    return l;
}

struct story_diff {
    struct story *story;
    struct story_lane *lane;
};

static inline void story_on_row(void *ctx, enum store_db db, struct str key, struct str value)
{
    struct story_diff *d = ctx;
    struct story_lane *l = d->lane;

    for (unsigned i = 0; i < l->n_rows; i++) {
        struct story_row *r = &l->rows[i];

        if (r->row.db != db || !str_eq(r->row.key, key))
            continue;
        r->is_seen = true;
        if (!str_eq(r->row.value, value)) {
            r->row.value = arena_str(&d->story->arena, value);
            story_put(d->story, db, key, value);
        }
        return;
    }
    REQUIRE(l->n_rows < ARRAY_LEN(l->rows));
    l->rows[l->n_rows++] = (struct story_row){ { .db = db,
                                                 .key = arena_str(&d->story->arena, key),
                                                 .value = arena_str(&d->story->arena, value) },
                                               true };
    story_put(d->story, db, key, value);
}

/* What changed in the rows that follow from the lane's events. */
static inline void story_rows_of(struct story *s, struct story_lane *l)
{
    struct story_diff d = { s, l };
    unsigned n = 0;

    for (unsigned i = 0; i < l->n_rows; i++)
        l->rows[i].is_seen = false;
    replay_rows(&l->replay, story_on_row, &d);
    for (unsigned i = 0; i < l->n_rows; i++) {
        if (l->rows[i].is_seen)
            l->rows[n++] = l->rows[i];
        else
            story_delete(s, l->rows[i].row.db, l->rows[i].row.key);
    }
    l->n_rows = n;
}

/* ---- events -------------------------------------------------------------------------------------- */

/* The next event of the next write, in the order's lane. cause: position, 0: none. */
static inline struct event *story_event(struct story *s, enum event_type type,
                                        enum subscription_id by, uint64_t cause)
{
    struct event *e = &s->events[s->n_events];
    char text[UUID_TEXT_LEN];

    REQUIRE(s->n_events < STORY_EVENTS_MAX);
    *e = (struct event){ .type = type, .handled_by = by, .lane = lane_of_order(s->order) };
    e->position = ++s->n_events;
    e->id.u.b[6] = 0x70;
    e->id.u.b[15] = (uint8_t)e->position;
    e->occurred_at_ms = s->wall_ms;
    if (cause)
        e->cause = s->events[cause - 1].id;
    e->p.order_id = s->order;
    e->p.flow = s->flow;
    e->stream.type = event_infos[type].aggregate;
    uuid_format(s->order.u, text);
    REQUIRE(text_id_parse((struct str){ text, sizeof(text) }, &e->stream.id));
    return e;
}

static inline struct payment_id story_payment(const char *text)
{
    struct payment_id id;

    REQUIRE(text_id_parse(str_of(text), &id.t));
    return id;
}

static inline struct str story_encode(struct story *s, const struct event *e)
{
    struct buf row = { 0 };
    struct str out;

    event_encode(e, &row);
    out = arena_str(&s->arena, buf_str(&row));
    buf_deinit(&row);
    return out;
}

static inline void story_sequence(struct story *s, struct event *e)
{
    unsigned i = 0;

    if (e->sequence)
        return;
    while (i < s->n_streams && !(s->streams[i].id.type == e->stream.type &&
                                 text_id_eq(&s->streams[i].id.id, &e->stream.id)))
        i++;
    REQUIRE(i < STORY_STREAMS);
    if (i == s->n_streams)
        s->streams[s->n_streams++].id = e->stream;
    e->sequence = ++s->streams[i].sequence;
}

static inline void story_stock_row(struct story *s, const struct event *e)
{
    struct buf row = { 0 };
    struct str sku = STR(STORY_SKU);

    if (e->type == EVENT_PRODUCT_ADDED || e->type == EVENT_STOCK_ADJUSTED)
        stock_apply(&s->stock, e->type, e->p.stock_delta);
    else if (e->handled_by == SUBSCRIPTION_INVENTORY && e->p.n_stock_lines > 0)
        stock_apply(&s->stock, e->type, e->p.stock_lines[0].quantity);
    else
        return;
    stock_encode(&s->stock, e->position, &row);
    story_put(s, DB_STOCK, sku, buf_str(&row));
    buf_deinit(&row);
}

static inline void story_rows_of_event(struct story *s, struct event *e)
{
    char key[ROW_KEY_BY_LANE];
    struct story_lane *l = story_lane(s, e->lane);
    struct event copy;
    struct str row;

    story_sequence(s, e);
    row = story_encode(s, e);
    story_put(s, DB_EVENTS, row_key_position(key, e->position), row);
    story_put(s, DB_BY_LANE, row_key_by_lane(key, e->lane, e->position), STR_NONE);
    story_put(s, DB_BY_TYPE, row_key_by_type(key, e->type, e->position), STR_NONE);
    REQUIRE(event_decode(row, e->position, &copy, &s->arena) == ERR_OK);
    copy.position = e->position;
    (void)replay_event(&l->replay, &copy);
    story_rows_of(s, l);
    story_stock_row(s, e);
}

static inline void story_tell(struct story *s)
{
    struct store_write write = { .rows = s->rows };
    struct list writes;
    unsigned n = 0;

    for (unsigned i = 0; i < s->n_rows; i++)
        if (!(s->without & (1u << s->rows[i].db)))
            s->rows[n++] = s->rows[i];
    write.n_rows = n;
    write.n_events = s->n_events - s->n_committed;
    list_init(&writes);
    list_push_back(&writes, &write.link);
    REQUIRE(s->disk->ops->apply(s->disk, &writes) == ERR_OK);
    witness_committed(s->witness, &writes);
    s->n_committed = s->n_events;
    s->n_rows = 0;
    s->without = 0;
}

/* All that was added since the last one is one write, and durable now. */
static inline void story_commit(struct story *s)
{
    for (unsigned i = s->n_committed; i < s->n_events; i++)
        story_rows_of_event(s, &s->events[i]);
    story_tell(s);
}

/* ---- deliveries ----------------------------------------------------------------------------------- */

static inline struct delivery *story_delivery(struct story *s, enum subscription_id by,
                                              uint64_t position, unsigned attempt)
{
    unsigned i = s->n_deliveries++ % STORY_EVENTS_MAX;

    s->messages[i] = (struct message){ .event = s->events[position - 1] };
    s->deliveries[i] = (struct delivery){ .message = &s->messages[i],
                                          .attempt = attempt,
                                          .subscription = &s->subscriptions[by] };
    return &s->deliveries[i];
}

static inline struct delivery *story_hand(struct story *s, enum subscription_id by,
                                          uint64_t position, unsigned attempt)
{
    struct delivery *d = story_delivery(s, by, position, attempt);

    witness_handed_over(s->witness, d);
    return d;
}

/* Handed over and handled. */
static inline void story_handle(struct story *s, enum subscription_id by, uint64_t position)
{
    witness_ended(s->witness, story_hand(s, by, position, 1), DELIVERY_DONE);
}

static inline void story_cursor(struct story *s, enum subscription_id by, uint64_t position)
{
    char key = (char)by, value[8];

    bytes_put_u64(value, position);
    story_put(s, DB_CURSORS, (struct str){ &key, 1 }, (struct str){ value, sizeof(value) });
}

/* ---- the process ----------------------------------------------------------------------------------- */

struct story_look {
    struct store_read read;
    struct story *story;
    bool is_end;
};

static inline void story_on_look(struct store_read *r, const struct store_view *v)
{
    struct story_look *look = container_of(r, struct story_look, read);

    if (look->is_end)
        witness_finished(look->story->witness, v);
    else
        witness_crashed(look->story->witness, v);
}

static inline int64_t story_clock(void)
{
    return 0;
}

static inline void story_look(struct story *s, bool is_end)
{
    struct story_look look = { .read.run = story_on_look, .story = s, .is_end = is_end };

    engine_run_read(s->disk, story_clock, INT64_MAX, &look.read);
}

static inline void story_crash(struct story *s)
{
    story_look(s, false);
    witness_started(s->witness, &s->bus);
}

static inline void story_finish(struct story *s)
{
    story_look(s, true);
}

/* ---- what is expected --------------------------------------------------------------------------------- */

static inline void story_holds(const struct story *s)
{
    const struct sim_violation *v = witness_violation(s->witness);

    if (v)
        print_message("%s: %s\n", sim_invariant_name(v->invariant), v->text);
    assert_null(v);
}

static inline void story_breaks(const struct story *s, enum sim_invariant i)
{
    const struct sim_violation *v = witness_violation(s->witness);

    assert_non_null(v);
    if (v->invariant != i)
        print_message("%s: %s\n", sim_invariant_name(v->invariant), v->text);
    assert_int_equal(v->invariant, i);
    assert_true(strlen(v->text) > 0);
}

/* ---- the beginning of most ------------------------------------------------------------------------------ */

static inline void story_product(struct story *s, int64_t on_hand)
{
    struct event *e = story_event(s, EVENT_PRODUCT_ADDED, SUBSCRIPTION_NONE, 0);

    e->p = (struct payload){ .stock_delta = on_hand, .name = STR("Widget") };
    REQUIRE(sku_parse(STR(STORY_SKU), &e->p.sku));
    e->stream.id.n = e->p.sku.n;
    memcpy(e->stream.id.s, e->p.sku.s, e->p.sku.n);
    e->lane = lane_of_text(STR(STORY_SKU));
}

static inline struct event *story_place(struct story *s)
{
    static const struct address address = { .street = { "1 Main St", 9 },
                                            .city = { "Springfield", 11 },
                                            .postal_code = { "62701", 5 },
                                            .country = { "US", 2 } };
    struct event *e = story_event(s, EVENT_ORDER_PLACED, SUBSCRIPTION_NONE, 0);
    struct order_line *line = arena_zalloc(&s->arena, sizeof(*line));

    REQUIRE(sku_parse(STR(STORY_SKU), &line->sku));
    line->name = STR("Widget");
    line->quantity = 2;
    line->price = 500;
    e->p.flow_version = 1;
    e->p.lines = line;
    e->p.n_lines = 1;
    e->p.address = &address;
    e->p.subtotal = e->p.total = 1000;
    REQUIRE(currency_parse(STR("USD"), &e->p.currency));
    REQUIRE(text_id_parse(STR("customer-1"), &e->p.customer_id.t));
    e->p.payment_deadline_ms = s->wall_ms + STORY_TIMEOUT_MS;
    return e;
}

/* PaymentApproved, OrderPaid and the like: of the order's sum. */
static inline struct event *story_money(struct story *s, enum event_type type,
                                        enum subscription_id by, uint64_t cause, const char *id)
{
    struct event *e = story_event(s, type, by, cause);

    e->p.payment_id = story_payment(id);
    e->p.amount = 1000;
    REQUIRE(currency_parse(STR("USD"), &e->p.currency));
    if (e->stream.type == AGGREGATE_PAYMENT)
        e->stream.id = e->p.payment_id.t;
    return e;
}

static inline struct event *story_pieces(struct story *s, enum event_type type,
                                         enum subscription_id by, uint64_t cause, int64_t quantity)
{
    struct event *e = story_event(s, type, by, cause);
    struct stock_line *line = arena_zalloc(&s->arena, sizeof(*line));

    REQUIRE(sku_parse(STR(STORY_SKU), &line->sku));
    line->quantity = quantity;
    REQUIRE(text_id_parse(STR("reservation-1"), &e->p.reservation_id.t));
    if (e->stream.type == AGGREGATE_RESERVATION)
        e->stream.id = e->p.reservation_id.t;
    if (type == EVENT_ORDER_CONFIRMED || type == EVENT_ORDER_RELEASE_REQUESTED ||
        type == EVENT_ORDER_STOCK_RELEASED)
        return e;
    e->p.stock_lines = line;
    e->p.n_stock_lines = 1;
    return e;
}

/* pay_first: a product, an order, and what Payments, Orders and Inventory make of it, each handled and
 * durable as it should be. Positions: 1 ProductAdded, 2 OrderPlaced, 3 PaymentApproved, 4 OrderPaid,
 * 5 StockReserved, 6 OrderStockReserved. */
static inline void story_placed(struct story *s)
{
    story_product(s, 10);
    story_commit(s);
    (void)story_place(s);
    story_commit(s);
}

static inline void story_paid(struct story *s)
{
    struct delivery *d;

    story_placed(s);
    d = story_hand(s, SUBSCRIPTION_PAYMENTS, 2, 1);
    (void)story_money(s, EVENT_PAYMENT_APPROVED, SUBSCRIPTION_PAYMENTS, 2, "payment-1");
    story_commit(s);
    witness_ended(s->witness, d, DELIVERY_DONE);
    d = story_hand(s, SUBSCRIPTION_ORDERS, 3, 1);
    (void)story_money(s, EVENT_ORDER_PAID, SUBSCRIPTION_ORDERS, 3, "payment-1");
    story_commit(s);
    witness_ended(s->witness, d, DELIVERY_DONE);
}

static inline void story_reserved(struct story *s)
{
    struct delivery *d;

    story_paid(s);
    d = story_hand(s, SUBSCRIPTION_INVENTORY, 4, 1);
    (void)story_pieces(s, EVENT_STOCK_RESERVED, SUBSCRIPTION_INVENTORY, 4, 2);
    story_commit(s);
    witness_ended(s->witness, d, DELIVERY_DONE);
    d = story_hand(s, SUBSCRIPTION_ORDERS, 5, 1);
    (void)story_pieces(s, EVENT_ORDER_STOCK_RESERVED, SUBSCRIPTION_ORDERS, 5, 2);
    story_commit(s);
    witness_ended(s->witness, d, DELIVERY_DONE);
}
#endif
