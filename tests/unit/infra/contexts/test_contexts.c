/* Contexts in processes of their own: two or four apps on virtual time, each with a store of its own,
 * that speak only by the messages a wire carries from one log to another app. Like a broker, the wire
 * keeps the order of an order, and is late, says things twice, forgets that it was heard, and says all
 * of it again a day later. The apps crash. However they are split, the orders end as in one process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../../../src/infra/operate/rebuild.h"
#include "../operate/verify_rig.h"
#include "orderly/app/event_codec.h"
#include "orderly/base/bytes.h"
#include "orderly/base/mem.h"
#include "orderly/infra/inbound/message_in.h"
#include "orderly/infra/inbound/payload_in.h"
#include "orderly/infra/inbound/reader.h"
#include "orderly/infra/render/cloud_event.h"
#include "orderly/infra/render/render_event.h"
#include "support/chance.h"
#include <stdio.h>
#include <string.h>

/* What a dead process held is leaked on purpose. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

#define NODES_MAX 4
#define ORDERS 24
#define TICK_MS 20
#define TICKS_MAX 4000
#define AT_ONCE 8
#define STOCK 30
#define STORES_LOOKED_AT 4 /* splits whose stores are verified and made anew: that takes a disk */
#define DAY_MS (25 * 3600 * 1000LL)

struct node {
    struct app_fixture f;
    unsigned contexts;
};

struct world {
    struct node nodes[NODES_MAX];
    unsigned n;
    uint64_t cursors[NODES_MAX][NODES_MAX]; /* the broker's: from, to */
    struct chance chance;
    bool is_held[NODES_MAX][NODES_MAX]; /* carries nothing for now */
    bool is_rough;
    bool is_asked_to_pay; /* Payments waits for somebody to say so */
    unsigned n_crashes, n_repeats, n_delivered;
    struct order_id orders[ORDERS];
    enum flow_id flows[ORDERS];
    int64_t quantities[ORDERS];
    bool dispatched[ORDERS];
    unsigned n_orders;
};

static struct world world; /* apps point into it */

static struct app_fixture *node_with(struct world *w, enum context c)
{
    for (unsigned i = 0; i < w->n; i++)
        if (w->nodes[i].contexts & (1u << c))
            return &w->nodes[i].f;
    fail_msg("nobody has this context");
    return NULL;
}

static void world_init(struct world *w, const unsigned *contexts, unsigned n, uint64_t seed,
                       bool is_asked_to_pay)
{
    memset(w, 0, sizeof(*w));
    w->is_asked_to_pay = is_asked_to_pay;
    w->n = n;
    w->chance.state = seed;
    for (unsigned i = 0; i < n; i++) {
        struct app_config config = app_fixture_config();

        config.contexts = contexts[i];
        config.simulators.payments.failure_rate = 0.2;
        if (is_asked_to_pay)
            config.simulators.payments.mode = PAYMENTS_WAIT;
        w->nodes[i].contexts = contexts[i];
        app_fixture_init(&w->nodes[i].f, &config);
        seeded_random_init(&w->nodes[i].f.random, seed + i + 1); /* ids of its own */
        if (contexts[i] & (CONTEXT_BIT(ORDERS) | CONTEXT_BIT(INVENTORY)))
            assert_int_equal(a_product(&w->nodes[i].f, "SCARCE", "5.00", STOCK), REPLY_CREATED);
    }
}

static void world_deinit(struct world *w)
{
    for (unsigned i = 0; i < w->n; i++)
        app_fixture_deinit(&w->nodes[i].f);
}

/* ---- reading a log --------------------------------------------------------------------------- */

struct look {
    struct store_read read;
    uint64_t after;
    struct arena arena;
    struct event e;
    enum err err;
};

static void look_run(struct store_read *r, const struct store_view *v)
{
    struct look *l = container_of(r, struct look, read);
    char key[8];
    struct str row;

    bytes_put_u64(key, l->after + 1);
    l->err = store_get(v, DB_EVENTS, (struct str){ key, sizeof(key) }, &l->arena, &row);
    if (l->err == ERR_OK)
        l->err = event_decode(row, l->after + 1, &l->e, &l->arena);
}

static void look_done(struct store_read *r)
{
    (void)r;
}

/* The next durable event; false: there is none. */
static bool look_next(struct app_fixture *f, struct look *l, uint64_t after)
{
    arena_reset(&l->arena);
    l->read = (struct store_read){ .run = look_run, .done = look_done };
    l->after = after;
    assert_int_equal(store_read_start(&f->store.port, &l->read), ERR_OK);
    app_fixture_settle(f);
    assert_true(l->err == ERR_OK || l->err == ERR_NOT_FOUND);
    return l->err == ERR_OK;
}

/* ---- the wire -------------------------------------------------------------------------------- */

static bool pattern_fits(struct str pattern, struct str topic)
{
    return str_starts_with(topic, (struct str){ pattern.p, pattern.n - 1 });
}

/* As a relay would: only what the sender decided itself, and what the other listens to and hears. */
static bool is_carried(const struct app *to, const struct event *e)
{
    struct str patterns[APP_LISTENS_MAX];
    unsigned n = app_listens(to, patterns);

    if (e->message_id.n || event_infos[e->type].topic.n == 0 || !app_hears(to, e->type))
        return false;
    for (unsigned i = 0; i < n; i++)
        if (pattern_fits(patterns[i], event_infos[e->type].topic))
            return true;
    return false;
}

struct parcel {
    struct receive_message m;
    struct arena arena;
    struct json_in in;
    char id[UUID_TEXT_LEN];
    bool is_done;
    int status;
};

static void parcel_render(struct command *c, const struct reply *r)
{
    c->answer.body = arena_str(c->arena, r->detail);
}

static void parcel_done(struct command *c)
{
    struct receive_message *m = container_of(c, struct receive_message, command);
    struct parcel *p = container_of(m, struct parcel, m);

    p->status = c->answer.status;
    p->is_done = true;
}

/* Printed as JSON by one, read from it by the other. */
static void parcel_fill(struct parcel *p, struct app *to, const struct event *e)
{
    struct json_out out = { 0 };
    struct yyjson_val *root;
    struct str text, why;
    char *body;

    arena_init(&p->arena, NULL, 0);
    p->in.arena = &p->arena;
    render_payload(&out, e);
    text = buf_str(&out.buf);
    body = arena_zalloc(&p->arena, text.n + 4);
    memcpy(body, text.p, text.n);
    digest16_of(&p->m.content, &text, 1);
    root = json_in_parse(&p->in, (struct str){ body, text.n }, &why);
    assert_non_null(root);
    payload_in_read(&p->in, root, NULL, e->type, &p->m.payload);
    assert_int_equal(p->in.n_faults, 0);
    p->m.raw_payload = json_in_text(&p->in, root);
    p->m.type = e->type;
    uuid_format(e->id.u, p->id);
    p->m.message_id = (struct str){ p->id, sizeof(p->id) };
    p->m.command = (struct command){
        .app = to, .arena = &p->arena, .render = parcel_render, .done = parcel_done
    };
    json_out_deinit(&out);
}

/* True: it is durable there. Memory of one that is not done belongs to who may yet end it. */
static bool deliver(struct world *w, struct app_fixture *to, const struct event *e)
{
    struct parcel *p = mem_zalloc(sizeof(*p));
    bool ok;

    parcel_fill(p, to->app, e);
    receive_message_start(&p->m);
    app_fixture_settle(to);
    if (!p->is_done)
        return false;
    ok = p->status == 202;
    if (!ok)
        fail_msg("%s: answered with %d", event_infos[e->type].type.p, p->status);
    w->n_delivered++;
    arena_deinit(&p->arena);
    mem_free(p);
    return ok;
}

static bool by_chance(struct world *w, unsigned one_in)
{
    return w->is_rough && chance_below(&w->chance, one_in) == 0;
}

/* Returns whether something was carried. */
static bool wire_carry(struct world *w, unsigned from, unsigned to)
{
    struct app_fixture *a = &w->nodes[from].f, *b = &w->nodes[to].f;
    uint64_t *cursor = &w->cursors[from][to];
    uint64_t at = *cursor;
    unsigned n = 0;
    struct look l = { 0 };

    if (w->is_held[from][to] || by_chance(w, 6))
        return false; /* late */
    arena_init(&l.arena, NULL, 0);
    while (n < AT_ONCE && look_next(a, &l, at)) {
        at++;
        if (!is_carried(b->app, &l.e)) {
            *cursor = at;
            continue;
        }
        assert_true(deliver(w, b, &l.e));
        n++;
        if (by_chance(w, 8)) {
            assert_true(deliver(w, b, &l.e));
            w->n_repeats++;
        }
        if (by_chance(w, 8)) {
            w->n_repeats++;
            break; /* the acknowledgement was lost: it comes again */
        }
        *cursor = at;
    }
    arena_deinit(&l.arena);
    return n > 0;
}

/* ---- crashes --------------------------------------------------------------------------------- */

/* With commits that never came about, a message from outside among them. */
static void crash_in_the_middle(struct world *w, unsigned which)
{
    struct app_fixture *f = &w->nodes[which].f;
    struct look l = { 0 };

    arena_init(&l.arena, NULL, 0);
    f->is_store_held = true;
    for (unsigned from = 0; from < w->n; from++)
        if (from != which && look_next(&w->nodes[from].f, &l, w->cursors[from][which]) &&
            is_carried(f->app, &l.e))
            (void)deliver(w, f, &l.e);
    app_fixture_pass_ms(f, TICK_MS);
    f->is_store_held = false;
    app_fixture_crash(f);
    arena_deinit(&l.arena);
}

static void maybe_crash(struct world *w)
{
    unsigned which = (unsigned)chance_below(&w->chance, w->n);

    if (!by_chance(w, 12))
        return;
    w->n_crashes++;
    if (by_chance(w, 2))
        app_fixture_crash(&w->nodes[which].f);
    else
        crash_in_the_middle(w, which);
}

/* ---- people ---------------------------------------------------------------------------------- */

static const struct order *order_at(struct world *w, unsigned i)
{
    struct app_fixture *f = node_with(w, CONTEXT_ORDERS);

    f->order_id = w->orders[i];
    return the_order(f);
}

static void somebody_orders(struct world *w)
{
    struct app_fixture *f = node_with(w, CONTEXT_ORDERS);
    enum flow_id flow = chance_below(&w->chance, 2) ? FLOW_PAY_FIRST : FLOW_STOCK_FIRST;
    const char *sku = chance_below(&w->chance, 2) ? "SCARCE" : "WIDGET-001";
    int64_t quantity = 1 + (int64_t)chance_below(&w->chance, 6);

    assert_int_equal(an_order_of(f, flow, sku, quantity, NULL), REPLY_CREATED);
    w->orders[w->n_orders] = f->order_id;
    w->flows[w->n_orders] = flow;
    w->quantities[w->n_orders++] = str_eq(str_of(sku), STR("SCARCE")) ? -quantity : quantity;
}

static void somebody_cancels(struct world *w)
{
    unsigned i = (unsigned)chance_below(&w->chance, w->n_orders ? w->n_orders : 1);
    enum reply_code code;

    if (w->n_orders == 0)
        return;
    (void)order_at(w, i);
    code = do_order(node_with(w, CONTEXT_ORDERS), ORDER_INPUT_CANCEL, "no more");
    assert_true(code == REPLY_OK || code == REPLY_ILLEGAL_STATE);
}

/* The next step that the order waits for; false: it waits for none. */
static bool somebody_goes_on(struct world *w, unsigned i)
{
    const struct order *o = order_at(w, i);
    struct app_fixture *f = node_with(w, CONTEXT_ORDERS);
    struct shipment_id shipment = o->shipment_id;

    switch (o->status) {
    case ORDER_AWAITING_PAYMENT:
    case ORDER_CONFIRMED:
        if (!w->is_asked_to_pay)
            return false;
        assert_int_equal(do_order(f, ORDER_INPUT_PAY, NULL), REPLY_ACCEPTED);
        return true;
    case ORDER_STOCK_RESERVED:
        assert_int_equal(do_order(f, ORDER_INPUT_READY, NULL), REPLY_OK);
        return true;
    case ORDER_READY:
        assert_int_equal(do_order(f, ORDER_INPUT_COMPLETE, NULL), REPLY_OK);
        return true;
    case ORDER_SHIPPED:
        f = node_with(w, CONTEXT_SHIPMENTS);
        /* Shipments may not have heard yet that the order is shipped. */
        if (do_shipment(f, shipment, w->dispatched[i]) == REPLY_OK)
            w->dispatched[i] = true;
        return true;
    default:
        return false;
    }
}

/* ---- time ------------------------------------------------------------------------------------ */

static bool world_tick(struct world *w)
{
    bool carried = false;

    for (unsigned i = 0; i < w->n; i++)
        app_fixture_pass_ms(&w->nodes[i].f, TICK_MS);
    maybe_crash(w);
    for (unsigned from = 0; from < w->n; from++)
        for (unsigned to = 0; to < w->n; to++)
            carried |= from != to && wire_carry(w, from, to);
    return carried;
}

static bool all_settled(struct world *w)
{
    for (unsigned i = 0; i < w->n_orders; i++)
        if (!order_is_settled(order_at(w, i)))
            return false;
    return true;
}

static bool nothing_waits(const struct world *w)
{
    for (unsigned i = 0; i < w->n; i++)
        if (bus_backlog(app_bus(w->nodes[i].f.app)) > 0)
            return false;
    return true;
}

/* Until nothing is on its way. */
static void world_calm(struct world *w)
{
    unsigned quiet = 0;

    for (unsigned t = 0; t < TICKS_MAX && quiet < 50; t++)
        quiet = !world_tick(w) && nothing_waits(w) ? quiet + 1 : 0;
    if (quiet < 50)
        fail_msg("after %d ticks something is still on its way", TICKS_MAX);
}

static void world_settle(struct world *w)
{
    world_calm(w);
    for (unsigned i = 0; i < w->n_orders; i++) {
        const struct order *o = order_at(w, i);

        if (!order_is_settled(o))
            fail_msg("order %u of %s is not settled in " STR_FMT, i, flow_of(w->flows[i])->name,
                     STR_ARG(order_status_name(o->status)));
    }
}

/* ---- the sums -------------------------------------------------------------------------------- */

static bool is_kept(const struct order *o)
{
    return o->status != ORDER_CANCELLED && o->status != ORDER_REJECTED &&
           o->status != ORDER_PAYMENT_FAILED;
}

/* What Payments itself charged and gave back of an order. */
static void money_of(struct world *w, struct order_id id, unsigned *charges, unsigned *refunds)
{
    struct app_fixture *f = node_with(w, CONTEXT_PAYMENTS);
    struct look l = { 0 };

    arena_init(&l.arena, NULL, 0);
    *charges = *refunds = 0;
    for (uint64_t at = 0; look_next(f, &l, at); at++) {
        if (l.e.message_id.n || l.e.stream.type != AGGREGATE_PAYMENT ||
            !uuid_eq(l.e.p.order_id.u, id.u))
            continue;
        *charges += l.e.type == EVENT_PAYMENT_APPROVED || l.e.type == EVENT_PAYMENT_PROCESSED;
        *refunds += l.e.type == EVENT_PAYMENT_REFUNDED;
    }
    arena_deinit(&l.arena);
}

static void assert_money(struct world *w)
{
    for (unsigned i = 0; i < w->n_orders; i++) {
        unsigned charges, refunds;
        const struct order *o;

        money_of(w, w->orders[i], &charges, &refunds);
        o = order_at(w, i);
        if (charges > 1)
            fail_msg("order %u was charged %u times", i, charges);
        if (charges - refunds != is_kept(o))
            fail_msg("order %u is " STR_FMT ": charged %u times, given back %u times", i,
                     STR_ARG(order_status_name(o->status)), charges, refunds);
    }
}

static void assert_stock(struct world *w)
{
    struct app_fixture *f = node_with(w, CONTEXT_INVENTORY);
    static const struct {
        const char *sku;
        int64_t sign, before;
    } skus[] = { { "WIDGET-001", 1, 100 }, { "SCARCE", -1, STOCK } };

    for (size_t k = 0; k < ARRAY_LEN(skus); k++) {
        struct stock expected = { .on_hand = skus[k].before }, is;

        for (unsigned i = 0; i < w->n_orders; i++) {
            int64_t quantity = w->quantities[i] * skus[k].sign;
            const struct order *o = order_at(w, i);

            if (quantity < 0 || !is_kept(o))
                continue;
            if (o->status == ORDER_COMPLETED || o->status == ORDER_DELIVERED || w->dispatched[i])
                expected.on_hand -= quantity;
            else
                expected.reserved += quantity;
        }
        is = the_stock(f, skus[k].sku);
        if (is.on_hand != expected.on_hand || is.reserved != expected.reserved)
            fail_msg("%s: %lld on hand and %lld reserved, not %lld and %lld", skus[k].sku,
                     (long long)is.on_hand, (long long)is.reserved, (long long)expected.on_hand,
                     (long long)expected.reserved);
    }
}

/* Made anew from its events, it is what it was. The store is closed. */
static void assert_rebuilds(struct lmdb_store *s)
{
    struct rebuild r = { .on_fault = NULL };
    struct lmdb_report report;
    struct lmdb_build *b;

    assert_int_equal(lmdb_build_begin(s->dir.path, &b, &report), ERR_OK);
    assert_int_equal(rebuild_store(b, &r), ERR_OK);
    lmdb_build_end(b);
    assert_true(r.is_compared);
    for (unsigned db = 0; db < STORE_DB_COUNT; db++)
        if (r.differences[db].missing + r.differences[db].wrong + r.differences[db].too_many)
            fail_msg("%s differs", store_db_name((enum store_db)db));
}

/* Every row of every store follows from its events; and nothing of an order is where no Orders is. */
static void assert_stores(struct world *w)
{
    for (unsigned i = 0; i < w->n; i++) {
        struct verify_run d = { .err = ERR_OK };
        struct lmdb_store s;

        assert_int_equal(app_fixture_count_events(&w->nodes[i].f, EVENT_DEAD_LETTERED), 0);
        lmdb_store_init(&s);
        history_to_disk(w->nodes[i].f.engine, &s);
        lmdb_store_must_open(&s);
        verify_run_on(&d, s.engine);
        assert_string_equal(d.lines.p, "");
        assert_int_equal(d.err, ERR_OK);
        assert_int_equal(d.v.orders, w->nodes[i].contexts & CONTEXT_BIT(ORDERS) ? w->n_orders : 0);
        if (!(w->nodes[i].contexts & CONTEXT_BIT(ORDERS))) {
            assert_int_equal(d.v.rows_of[DB_ORDERS_BY_STATUS], 0);
            assert_int_equal(d.v.rows_of[DB_DEADLINES], 0);
            assert_int_equal(d.v.rows_of[DB_UNSETTLED], 0);
        }
        verify_run_deinit(&d);
        lmdb_store_close(&s);
        assert_rebuilds(&s);
        lmdb_store_deinit(&s);
    }
}

/* Events that an app decided itself. */
static unsigned n_decided(struct world *w)
{
    unsigned n = 0;

    for (unsigned i = 0; i < w->n; i++) {
        struct look l = { 0 };

        arena_init(&l.arena, NULL, 0);
        for (uint64_t at = 0; look_next(&w->nodes[i].f, &l, at); at++)
            n += l.e.message_id.n == 0;
        arena_deinit(&l.arena);
    }
    return n;
}

/* ---- the story ------------------------------------------------------------------------------- */

static void the_orders_come(struct world *w)
{
    while (w->n_orders < ORDERS) {
        if (chance_below(&w->chance, 3) == 0)
            somebody_orders(w);
        if (chance_below(&w->chance, 12) == 0)
            somebody_cancels(w);
        if (w->n_orders && chance_below(&w->chance, 4) == 0)
            (void)somebody_goes_on(w, (unsigned)chance_below(&w->chance, w->n_orders));
        (void)world_tick(w);
    }
    for (unsigned i = 0; w->is_asked_to_pay && i < w->n_orders; i++) {
        world_calm(w);
        if (!order_status_is_at_rest(order_at(w, i)->status))
            (void)somebody_goes_on(w, i);
    }
    world_settle(w);
}

/* All but every third. */
static void the_people_come(struct world *w)
{
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < w->n_orders; i++)
            if (i % 3)
                (void)somebody_goes_on(w, i);
        world_settle(w);
    }
}

/* When no message id is remembered any more. */
static void all_is_said_again_a_day_later(struct world *w)
{
    unsigned before = n_decided(w), carried = w->n_delivered;

    for (unsigned i = 0; i < w->n; i++) {
        manual_scheduler_advance_us(&w->nodes[i].f.ms, DAY_MS * 1000);
        app_fixture_settle(&w->nodes[i].f);
    }
    world_settle(w);
    memset(w->cursors, 0, sizeof(w->cursors));
    world_settle(w);
    assert_true(w->n == 1 || w->n_delivered > carried + w->n_orders);
    assert_int_equal(n_decided(w), before);
}

static void run_story(const unsigned *contexts, unsigned n, uint64_t seed, bool is_asked_to_pay,
                      bool looks_at_stores)
{
    struct world *w = &world;

    world_init(w, contexts, n, seed, is_asked_to_pay);
    w->is_rough = true;
    the_orders_come(w);
    the_people_come(w);
    w->is_rough = false;
    world_settle(w);
    assert_true(all_settled(w));
    assert_money(w);
    assert_stock(w);
    all_is_said_again_a_day_later(w);
    assert_true(all_settled(w));
    assert_money(w);
    assert_stock(w);
    if (looks_at_stores)
        assert_stores(w);
    assert_true(n == 1 || w->n_crashes > 0);
    assert_true(n == 1 || w->n_repeats > 0);
    world_deinit(w);
}

#define O CONTEXT_BIT(ORDERS)
#define P CONTEXT_BIT(PAYMENTS)
#define I CONTEXT_BIT(INVENTORY)
#define S CONTEXT_BIT(SHIPMENTS)
static const unsigned splits[][NODES_MAX] = {
    { O, P, I, S },   { O, P | I | S }, { O | I, P | S }, { O | P, I | S },
    { O | S, P | I }, { O | P | I, S }, { O | P | S, I }, { O | I | S, P },
    { O, P | S, I },  { O, I | S, P },  { O, P | I, S },  { O | P | I | S },
};

static void orders_end_well_however_the_contexts_are_split(void **state)
{
    struct chance seeds = chance_init("contexts");

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(splits); i++) {
        unsigned n = 0;

        while (n < NODES_MAX && splits[i][n])
            n++;
        run_story(splits[i], n, seeds.state + 100 * i, i % 2, i < STORES_LOOKED_AT);
    }
}

/* ---- one thing at a time --------------------------------------------------------------------- */

enum { AT_ORDERS, AT_PAYMENTS, AT_INVENTORY, AT_SHIPMENTS };

static struct world *a_quiet_world(void)
{
    world_init(&world, splits[0], 4, 1, false);
    return &world;
}

static void pass(struct world *w, unsigned ticks)
{
    while (ticks-- > 0)
        (void)world_tick(w);
}

/* Shipments and Orders are heard by roads of their own. */
static void pieces_that_left_before_their_order_was_heard_of_are_taken_then(void **state)
{
    struct world *w = a_quiet_world();
    struct app_fixture *inventory = &w->nodes[AT_INVENTORY].f;
    struct stock s;

    (void)state;
    assert_int_equal(an_order(&w->nodes[AT_ORDERS].f, "WIDGET-001", 4), REPLY_CREATED);
    w->orders[w->n_orders++] = w->nodes[AT_ORDERS].f.order_id;
    pass(w, 2);
    assert_int_equal(app_fixture_count_events(inventory, EVENT_ORDER_PLACED), 1);
    w->is_held[AT_ORDERS][AT_INVENTORY] = true;
    pass(w, 100);
    assert_int_equal(order_at(w, 0)->status, ORDER_SHIPPED);
    assert_true(somebody_goes_on(w, 0));
    assert_true(w->dispatched[0]);
    pass(w, 100);
    assert_int_equal(app_fixture_count_events(inventory, EVENT_SHIPMENT_DISPATCHED), 1);
    s = the_stock(inventory, "WIDGET-001");
    assert_int_equal(s.on_hand, 100);
    assert_int_equal(s.reserved, 4);
    w->is_held[AT_ORDERS][AT_INVENTORY] = false;
    pass(w, 100);
    s = the_stock(inventory, "WIDGET-001");
    assert_int_equal(s.on_hand, 96);
    assert_int_equal(s.reserved, 0);
    assert_int_equal(app_fixture_count_events(inventory, EVENT_STOCK_TAKEN), 1);
    assert_stores(w);
    world_deinit(w);
}

/* A message as somebody who is no Orderly would put it. Returns the status of the answer. */
static int say(struct app_fixture *f, enum event_type type, const char *id, const char *json)
{
    struct parcel *p = mem_zalloc(sizeof(*p));
    struct str text = str_of(json), why;
    struct yyjson_val *root;
    char *body;
    int status;

    arena_init(&p->arena, NULL, 0);
    p->in.arena = &p->arena;
    body = arena_zalloc(&p->arena, text.n + 4);
    memcpy(body, text.p, text.n);
    digest16_of(&p->m.content, &text, 1);
    root = json_in_parse(&p->in, (struct str){ body, text.n }, &why);
    assert_non_null(root);
    payload_in_read(&p->in, root, NULL, type, &p->m.payload);
    assert_int_equal(p->in.n_faults, 0);
    p->m.raw_payload = json_in_text(&p->in, root);
    p->m.type = type;
    p->m.message_id = str_of(id);
    p->m.command = (struct command){
        .app = f->app, .arena = &p->arena, .render = parcel_render, .done = parcel_done
    };
    receive_message_start(&p->m);
    app_fixture_settle(f);
    assert_true(p->is_done);
    status = p->status;
    arena_deinit(&p->arena);
    mem_free(p);
    return status;
}

static unsigned charges_of(struct world *w, unsigned i)
{
    unsigned charges, refunds;

    money_of(w, w->orders[i], &charges, &refunds);
    return charges;
}

static unsigned an_order_that_waits_for_money(struct world *w)
{
    assert_int_equal(an_order(&w->nodes[AT_ORDERS].f, "WIDGET-001", 1), REPLY_CREATED);
    w->orders[w->n_orders] = w->nodes[AT_ORDERS].f.order_id;
    pass(w, 100);
    assert_int_equal(order_at(w, w->n_orders)->status, ORDER_CONFIRMED);
    return w->n_orders++;
}

/* Its wire has everything from the beginning; the orders before it were another one's to charge. */
static void a_new_payments_charges_past_orders_unless_it_begins_switched_off(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        bool begins_off = k == 1;
        struct world *w = a_quiet_world();
        struct app_fixture *orders = &w->nodes[AT_ORDERS].f;
        struct app_fixture *payments = node_with(w, CONTEXT_PAYMENTS);
        struct simulators s = *app_simulators(payments->app);
        unsigned paid, unpaid, later;

        for (unsigned to = 0; to < w->n; to++)
            w->is_held[AT_ORDERS][to] = &w->nodes[to].f == payments;
        s.payments.enabled = !begins_off;
        s.payments.failure_rate = 0;
        assert_int_equal(set_simulators(payments, SIMULATOR_PAYMENTS, &s), REPLY_OK);
        paid = an_order_that_waits_for_money(w);
        assert_int_equal(do_order(orders, ORDER_INPUT_MARK_PAID, "by-the-other"), REPLY_OK);
        unpaid = an_order_that_waits_for_money(w);

        for (unsigned to = 0; to < w->n; to++)
            w->is_held[AT_ORDERS][to] = false;
        world_calm(w);
        assert_int_equal(charges_of(w, paid), !begins_off);
        assert_int_equal(charges_of(w, unpaid), !begins_off);
        s.payments.enabled = true;
        assert_int_equal(set_simulators(payments, SIMULATOR_PAYMENTS, &s), REPLY_OK);
        if (begins_off) {
            assert_int_equal(order_at(w, unpaid)->status, ORDER_CONFIRMED);
            assert_int_equal(do_order(orders, ORDER_INPUT_PAY, NULL), REPLY_ACCEPTED);
        }
        assert_int_equal(an_order(orders, "WIDGET-001", 1), REPLY_CREATED);
        w->orders[later = w->n_orders++] = orders->order_id;
        world_calm(w);
        assert_int_equal(charges_of(w, paid), !begins_off);
        assert_int_equal(charges_of(w, unpaid), 1);
        assert_int_equal(charges_of(w, later), 1);
        for (unsigned i = 0; i < w->n_orders; i++)
            assert_int_equal(order_at(w, i)->status, ORDER_SHIPPED);
        world_deinit(w);
    }
}

/* Nobody asked for this shipment; Orders refuses it, and here it takes no stock. */
static void pieces_leave_only_with_the_shipment_of_the_order(void **state)
{
    struct world *w = a_quiet_world();
    struct app_fixture *inventory = &w->nodes[AT_INVENTORY].f;
    struct order_id id;
    char order[UUID_TEXT_LEN], json[256];

    (void)state;
    assert_int_equal(an_order(&w->nodes[AT_ORDERS].f, "WIDGET-001", 4), REPLY_CREATED);
    id = w->orders[w->n_orders++] = w->nodes[AT_ORDERS].f.order_id;
    pass(w, 100);
    assert_int_equal(order_at(w, 0)->status, ORDER_SHIPPED);
    uuid_format(id.u, order);
    /* A carrier knows nothing of flows. */
    snprintf(json, sizeof(json), "{\"orderId\":\"%.36s\",\"shipmentId\":\"another\"}", order);
    assert_int_equal(say(inventory, EVENT_SHIPMENT_DISPATCHED, "c-1", json), 202);
    pass(w, 10);
    assert_int_equal(the_stock(inventory, "WIDGET-001").on_hand, 100);
    snprintf(json, sizeof(json), "{\"orderId\":\"%.36s\",\"shipmentId\":\"%.*s\"}", order,
             STR_ARG(text_id_str(&order_at(w, 0)->shipment_id.t)));
    assert_int_equal(say(inventory, EVENT_SHIPMENT_DISPATCHED, "c-2", json), 202);
    pass(w, 10);
    assert_int_equal(the_stock(inventory, "WIDGET-001").on_hand, 96);
    world_deinit(w);
}

static void what_is_heard_is_kept_once_and_whole(void **state)
{
    static const char first[] = "{\"orderId\":\"0199a1f3-0000-7000-8000-000000000001\","
                                "\"flow\":\"stock_first\",\"reservationId\":\"r-1\","
                                "\"amount\":19.99,\"currency\":\"USD\",\"mood\":\"good\"}";
    static const char other[] = "{\"orderId\":\"0199a1f3-0000-7000-8000-000000000001\","
                                "\"flow\":\"stock_first\",\"reservationId\":\"r-2\","
                                "\"amount\":19.99,\"currency\":\"USD\"}";
    struct world *w = a_quiet_world();
    struct app_fixture *payments = &w->nodes[AT_PAYMENTS].f;
    struct look l = { 0 };

    (void)state;
    assert_int_equal(say(payments, EVENT_ORDER_CONFIRMED, "m-1", first), 202);
    assert_int_equal(say(payments, EVENT_ORDER_CONFIRMED, "m-1", first), 202);
    assert_int_equal(say(payments, EVENT_ORDER_CONFIRMED, "m-1", other), 422);
    assert_int_equal(app_fixture_count_events(payments, EVENT_ORDER_CONFIRMED), 1);
    arena_init(&l.arena, NULL, 0);
    assert_true(look_next(payments, &l, 1)); /* behind the product */
    assert_int_equal(l.e.type, EVENT_ORDER_CONFIRMED);
    assert_int_equal(l.e.stream.type, AGGREGATE_INBOX);
    assert_true(str_eq(l.e.message_id, STR("m-1")));
    assert_true(str_eq(l.e.raw_payload, str_of(first)));
    arena_deinit(&l.arena);
    app_fixture_pass_ms(payments, 1000);
    assert_int_equal(app_fixture_count_events(payments, EVENT_PAYMENT_PROCESSED) +
                         app_fixture_count_events(payments, EVENT_PAYMENT_FAILED),
                     1);
    world_deinit(w);
}

/* The message that a process said under this id; what it heard under it is not looked at. */
static bool find_said(struct world *w, struct str id, struct look *l)
{
    for (unsigned i = 0; i < w->n; i++)
        for (uint64_t at = 0; look_next(&w->nodes[i].f, l, at); at++) {
            char text[UUID_TEXT_LEN];

            uuid_format(l->e.id.u, text);
            if (l->e.message_id.n == 0 && event_infos[l->e.type].topic.n &&
                str_eq(id, (struct str){ text, sizeof(text) }))
                return true;
        }
    return false;
}

/* By what their messages say, from process to process: in its own log each has the others' under ids
 * that nobody else knows. */
static void a_chain_of_causes_is_followed_across_processes(void **state)
{
    static const enum event_type chain[] = { EVENT_ORDER_SHIPPED,   EVENT_SHIPMENT_CREATED,
                                             EVENT_ORDER_PAID,      EVENT_PAYMENT_PROCESSED,
                                             EVENT_ORDER_CONFIRMED, EVENT_INVENTORY_RESERVED,
                                             EVENT_ORDER_PLACED };
    const struct cloud_config config = { STR("/orderly"), STR_NONE };
    struct world *w = a_quiet_world();
    struct app_fixture *orders = &w->nodes[AT_ORDERS].f;
    struct cloud_attributes attributes;
    struct look l = { 0 };
    uint64_t at = 0;

    (void)state;
    assert_int_equal(an_order(orders, "WIDGET-001", 4), REPLY_CREATED);
    w->orders[w->n_orders++] = orders->order_id;
    pass(w, 100);
    assert_int_equal(order_at(w, 0)->status, ORDER_SHIPPED);
    arena_init(&l.arena, NULL, 0);
    while (look_next(orders, &l, at) && l.e.type != EVENT_ORDER_SHIPPED)
        at++;
    for (unsigned i = 0; i < ARRAY_LEN(chain); i++) {
        struct str cause = STR_NONE;
        char id[TEXT_ID_MAX];

        assert_int_equal(l.e.type, chain[i]);
        cloud_attributes_of(&attributes, &config, &l.e);
        for (unsigned k = 0; k < attributes.n; k++)
            if (str_eq(attributes.list[k].name, STR("causationid")))
                cause = attributes.list[k].value;
        if (i + 1 == ARRAY_LEN(chain)) {
            assert_int_equal(cause.n, 0); /* a person's command */
            break;
        }
        assert_true(cause.n > 0);
        memcpy(id, cause.p, cause.n);
        assert_true(find_said(w, (struct str){ id, cause.n }, &l));
    }
    arena_deinit(&l.arena);
    world_deinit(w);
}

/* As an operator mends what a process could not handle, whoever said it. */
static void a_heard_message_that_failed_is_corrected_and_handled(void **state)
{
    static const char text[] = "{\"orderId\":\"0199a1f3-0000-7000-8000-000000000001\","
                               "\"flow\":\"stock_first\",\"reservationId\":\"r-1\","
                               "\"amount\":19.99,\"currency\":\"USD\"}";
    struct world *w = a_quiet_world();
    struct app_fixture *payments = &w->nodes[AT_PAYMENTS].f;
    struct simulators s = *app_simulators(payments->app);
    struct dead_letter_item letter;
    struct payload given = { .flow = FLOW_STOCK_FIRST, .amount = 2100 };

    (void)state;
    s.payments.failure_rate = 0;
    s.payments.fail_first = 100;
    assert_int_equal(set_simulators(payments, SIMULATOR_PAYMENTS, &s), REPLY_OK);
    assert_int_equal(say(payments, EVENT_ORDER_CONFIRMED, "m-1", text), 202);
    app_fixture_pass_ms(payments, 600000);
    letter = the_open_letter(payments);
    assert_int_equal(letter.letter.subscription, SUBSCRIPTION_PAYMENTS);
    s.payments.fail_first = 0;
    assert_int_equal(set_simulators(payments, SIMULATOR_PAYMENTS, &s), REPLY_OK);
    assert_true(uuid_parse(STR("0199a1f3-0000-7000-8000-000000000001"), &given.order_id.u));
    assert_true(currency_parse(STR("USD"), &given.currency));
    assert_true(text_id_parse(STR("r-1"), &given.reservation_id.t));
    assert_int_equal(retry_letter(payments, letter.letter.id, &given), REPLY_OK);
    app_fixture_pass_ms(payments, 1000);
    assert_int_equal(app_fixture_count_events(payments, EVENT_PAYMENT_PROCESSED), 1);
    assert_int_equal(payments->counts[EVENT_DEAD_LETTERED].n, 1);
    world_deinit(w);
}

/* What a relay brought and nobody could read goes the same road when a person gives its payload. */
static void what_could_not_be_read_is_heard_when_it_is_mended(void **state)
{
    struct world *w = a_quiet_world();
    struct app_fixture *payments = &w->nodes[AT_PAYMENTS].f;
    struct payload given = { .flow = FLOW_STOCK_FIRST, .amount = 2100 };
    struct refuse_message m = { .subscription = SUBSCRIPTION_NATS,
                                .topic = STR("order.confirmed"),
                                .message_id = STR("m-1"),
                                .body = STR("{\"messageId\":\"m-1\""),
                                .code = FAILURE_CODE_MALFORMED,
                                .detail = STR("It ends too early.") };
    struct inbound_reader reader;
    struct dead_letter_item letter;

    (void)state;
    inbound_reader_init(&reader);
    reader.types = app_heard_types(payments->app);
    app_set_message_reader(payments->app, &reader.base);
    m.command = app_fixture_command(payments);
    refuse_message_start(&m);
    app_fixture_settle(payments);
    assert_true(payments->is_done);
    letter = the_open_letter(payments);
    assert_true(uuid_parse(STR("0199a1f3-0000-7000-8000-000000000001"), &given.order_id.u));
    assert_true(currency_parse(STR("USD"), &given.currency));
    assert_true(text_id_parse(STR("r-1"), &given.reservation_id.t));
    assert_int_equal(retry_letter(payments, letter.letter.id, &given), REPLY_OK);
    assert_int_equal(app_fixture_count_events(payments, EVENT_ORDER_CONFIRMED), 1);
    app_fixture_pass_ms(payments, 1000);
    assert_int_equal(app_fixture_count_events(payments, EVENT_PAYMENT_PROCESSED) +
                         app_fixture_count_events(payments, EVENT_PAYMENT_FAILED),
                     1);
    /* Its id is taken, as that of any message. */
    assert_int_equal(say(payments, EVENT_ORDER_CONFIRMED, "m-1",
                         "{\"orderId\":\"0199a1f3-0000-7000-8000-000000000001\","
                         "\"flow\":\"stock_first\",\"reservationId\":\"r-1\","
                         "\"amount\":21.00,\"currency\":\"USD\"}"),
                     422);
    assert_int_equal(app_fixture_count_events(payments, EVENT_ORDER_CONFIRMED), 1);
    world_deinit(w);
}

/* What is answered names it, and nobody could ever find it again. */
static void an_order_that_can_not_be_orderlys_is_refused(void **state)
{
    struct world *w = a_quiet_world();
    struct app_fixture *payments = &w->nodes[AT_PAYMENTS].f;

    (void)state;
    assert_int_equal(say(payments, EVENT_ORDER_CONFIRMED, "m-1",
                         "{\"orderId\":\"A-17\",\"flow\":\"stock_first\","
                         "\"reservationId\":\"r-1\",\"amount\":1,\"currency\":\"USD\"}"),
                     400);
    assert_int_equal(app_fixture_count_events(payments, EVENT_ORDER_CONFIRMED), 0);
    world_deinit(w);
}

static void assert_listens(const struct app *a, const char *expected)
{
    struct str patterns[APP_LISTENS_MAX];
    unsigned n = app_listens(a, patterns);
    char text[128] = "";
    size_t at = 0;

    for (unsigned i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s" STR_FMT, i ? " " : "",
                               STR_ARG(patterns[i]));
    assert_string_equal(text, expected);
}

static void a_process_listens_to_what_is_not_said_in_it(void **state)
{
    static const struct {
        unsigned contexts;
        const char *listens;
    } rows[] = {
        { O | P | I | S, "" },
        { O, "payment.* stock.* inventory.* shipment.*" },
        { P, "order.*" },
        { S, "order.*" },
        { I, "order.* shipment.*" },
        { I | S, "order.*" },
        { P | I | S, "order.*" },
        { O | I, "payment.* shipment.*" },
        { O | P | S, "stock.* inventory.*" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct app_config config = app_fixture_config();
        struct app_fixture f;

        config.contexts = rows[i].contexts;
        app_fixture_init(&f, &config);
        assert_listens(f.app, rows[i].listens);
        app_fixture_deinit(&f);
    }
}

static void a_context_that_leaves_the_answer_to_others_is_listened_for(void **state)
{
    struct app_config config = app_fixture_config();
    struct simulators s = config.simulators;
    struct app_fixture f;

    (void)state;
    app_fixture_init(&f, &config);
    s.payments.mode = PAYMENTS_WAIT;
    s.inventory.enabled = false;
    s.shipments.mode = SHIPMENTS_WAIT;
    assert_int_equal(set_simulators(&f, SIMULATOR_PAYMENTS, &s), REPLY_OK);
    assert_listens(f.app, "payment.*");
    assert_int_equal(set_simulators(&f, SIMULATOR_INVENTORY, &s), REPLY_OK);
    assert_int_equal(set_simulators(&f, SIMULATOR_SHIPMENTS, &s), REPLY_OK);
    assert_listens(f.app, "payment.* stock.* inventory.* shipment.*");
    app_fixture_deinit(&f);
}

/* What somebody here makes something of, of all that may be said by others. */
static void messages_are_heard_by_whoever_is_here(void **state)
{
    static const struct {
        unsigned contexts;
        enum event_type type;
        bool is_heard;
    } rows[] = {
        { O, EVENT_PAYMENT_PROCESSED, true },
        { O, EVENT_PAYMENT_PENDING, false },
        { O, EVENT_STOCK_TAKEN, false },
        { O, EVENT_SHIPMENT_DISPATCHED, true },
        { O, EVENT_ORDER_PLACED, false },
        { P, EVENT_ORDER_PLACED, true },
        { P, EVENT_ORDER_SHIPPED, false },
        { P, EVENT_ORDER_REFUND_REQUESTED, true },
        { P, EVENT_SHIPMENT_DISPATCHED, false },
        { I, EVENT_ORDER_CONFIRMED, true },
        { I, EVENT_SHIPMENT_DELIVERED, true },
        { I, EVENT_PAYMENT_PROCESSED, false },
        { I | S, EVENT_SHIPMENT_DELIVERED, false },
        { S, EVENT_ORDER_SHIPMENT_REFUSED, true },
        { S, EVENT_ORDER_CONFIRMED, false },
        { S, EVENT_CART_CREATED, false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct app_config config = app_fixture_config();
        struct app_fixture f;

        config.contexts = rows[i].contexts;
        app_fixture_init(&f, &config);
        if (app_hears(f.app, rows[i].type) != rows[i].is_heard)
            fail_msg("row %zu", i);
        app_fixture_deinit(&f);
    }
}

/* Whoever has Orders takes by HTTP what it takes from a relay. */
static void what_orders_hears_is_what_may_be_posted(void **state)
{
    struct app_config config = app_fixture_config();
    struct app_fixture f;

    (void)state;
    config.contexts = O;
    app_fixture_init(&f, &config);
    assert_true(app_heard_types(f.app) == message_types_outside());
    app_fixture_deinit(&f);
}

/* ---- a store and its contexts ---------------------------------------------------------------- */

struct starting {
    struct manual_scheduler ms;
    struct store_virtual store;
    struct app *app;
    enum err status;
    bool is_ready;
};

static void starting_ready(void *ctx, enum err status)
{
    struct starting *s = ctx;

    s->status = status;
    s->is_ready = true;
}

static void start_on(struct starting *s, struct app_fixture *f, struct engine *engine,
                     unsigned contexts)
{
    struct app_config config = app_fixture_config();

    memset(s, 0, sizeof(*s));
    config.contexts = contexts;
    manual_scheduler_init(&s->ms);
    store_virtual_init(&s->store, engine);
    s->app = app_create(&config, &s->ms.scheduler, &s->store.port, &f->random.random, &f->log.log);
    app_start(s->app, starting_ready, s);
    for (unsigned i = 0; i < 1000 && !s->is_ready; i++) {
        (void)manual_scheduler_run_turn(&s->ms);
        (void)store_virtual_run(&s->store, 1000000);
        (void)store_virtual_run_reads(&s->store, 1000000);
        (void)manual_scheduler_run_alarm(&s->ms);
    }
    assert_true(s->is_ready);
}

static void a_store_is_started_only_with_its_own_contexts(void **state)
{
    static const unsigned sets[] = { O | P | I | S, P, O | I };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
        struct app_config config = app_fixture_config();
        struct app_fixture f;

        config.contexts = sets[i];
        app_fixture_init(&f, &config);
        for (unsigned other = 1; other <= CONTEXTS_ALL; other++) {
            struct starting s;

            start_on(&s, &f, f.engine, other);
            assert_int_equal(s.status, other == sets[i] ? ERR_OK : ERR_INVALID);
            assert_int_equal(app_contexts_of_store(s.app), sets[i]);
            app_destroy(s.app);
        }
        app_fixture_deinit(&f);
    }
}

/* A store of before there was a choice says nothing, and has all. */
static void an_empty_store_may_become_that_of_any_contexts(void **state)
{
    struct app_config config = app_fixture_config();
    struct app_fixture f;

    (void)state;
    app_fixture_init(&f, &config);
    for (unsigned contexts = 1; contexts <= CONTEXTS_ALL; contexts++) {
        struct engine *engine = memory_engine_create(1000);
        struct starting s;

        start_on(&s, &f, engine, contexts);
        assert_int_equal(s.status, ERR_OK);
        app_destroy(s.app);
        start_on(&s, &f, engine, contexts == P ? S : P);
        assert_int_equal(s.status, contexts == CONTEXTS_ALL ? ERR_OK : ERR_INVALID);
        app_destroy(s.app);
        memory_engine_destroy(engine);
    }
    app_fixture_deinit(&f);
}

static void contexts_are_named_in_their_order(void **state)
{
    char text[CONTEXTS_TEXT_MAX];

    (void)state;
    assert_true(
        str_eq(contexts_text(CONTEXTS_ALL, text), STR("orders,payments,inventory,shipments")));
    assert_true(str_eq(contexts_text(I, text), STR("inventory")));
    assert_true(str_eq(contexts_text(P | S, text), STR("payments,shipments")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_end_well_however_the_contexts_are_split),
        cmocka_unit_test(pieces_that_left_before_their_order_was_heard_of_are_taken_then),
        cmocka_unit_test(a_new_payments_charges_past_orders_unless_it_begins_switched_off),
        cmocka_unit_test(pieces_leave_only_with_the_shipment_of_the_order),
        cmocka_unit_test(what_is_heard_is_kept_once_and_whole),
        cmocka_unit_test(a_chain_of_causes_is_followed_across_processes),
        cmocka_unit_test(a_heard_message_that_failed_is_corrected_and_handled),
        cmocka_unit_test(what_could_not_be_read_is_heard_when_it_is_mended),
        cmocka_unit_test(an_order_that_can_not_be_orderlys_is_refused),
        cmocka_unit_test(a_process_listens_to_what_is_not_said_in_it),
        cmocka_unit_test(a_context_that_leaves_the_answer_to_others_is_listened_for),
        cmocka_unit_test(messages_are_heard_by_whoever_is_here),
        cmocka_unit_test(what_orders_hears_is_what_may_be_posted),
        cmocka_unit_test(a_store_is_started_only_with_its_own_contexts),
        cmocka_unit_test(an_empty_store_may_become_that_of_any_contexts),
        cmocka_unit_test(contexts_are_named_in_their_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
