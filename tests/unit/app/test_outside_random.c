/* Shops, carriers, payment services and pranksters all at once, over a store that is full now and
 * then. Whatever comes in which order: nothing stops the process, everything that was taken is given
 * back, and the numbers of the stock are those of the reservations. */
#include "../../../src/app/app_private.h"
#include "support/app_fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "support/chance.h"

#define ORDERS 6
#define STEPS 150
#define AT_ONCE 4
#define STORIES 100

static const enum event_type types[] = {
    EVENT_PAYMENT_APPROVED,    EVENT_PAYMENT_PROCESSED,  EVENT_PAYMENT_DECLINED,
    EVENT_PAYMENT_FAILED,      EVENT_PAYMENT_REFUNDED,   EVENT_STOCK_RESERVED,
    EVENT_INVENTORY_RESERVED,  EVENT_STOCK_REJECTED,     EVENT_INVENTORY_RESERVATION_FAILED,
    EVENT_STOCK_RELEASED,      EVENT_INVENTORY_RELEASED, EVENT_SHIPMENT_CREATED,
    EVENT_SHIPMENT_DISPATCHED, EVENT_SHIPMENT_DELIVERED, EVENT_SHIPMENT_CANCELLED,
};

struct world {
    struct app_fixture f;
    struct chance chance;
    struct order_id orders[ORDERS];
    unsigned n_orders, n_messages;
};

struct sender {
    union {
        struct receive_message receive;
        struct order_command order;
        struct shipment_command shipment;
    } u;
    struct arena arena;
    char message_id[32];
    unsigned n_done;
};

static struct sender *sender_of_command; /* commands carry nothing of ours; found by address */

static void sender_render(struct command *c, const struct reply *r)
{
    (void)r;
    c->answer.body = STR("{}");
}

static void sender_done(struct command *c)
{
    for (unsigned i = 0; i < AT_ONCE; i++) {
        if (&sender_of_command[i].u.receive.command == c)
            sender_of_command[i].n_done++;
    }
}

static unsigned draw(struct world *w, unsigned n)
{
    return (unsigned)chance_below(&w->chance, n);
}

static struct order_id any_order(struct world *w)
{
    struct order_id unknown;

    memset(&unknown, 9, sizeof(unknown));
    return draw(w, 20) == 0 ? unknown : w->orders[draw(w, w->n_orders)];
}

static struct text_id id_of(struct str s)
{
    struct text_id id = { 0 };

    REQUIRE(text_id_parse(s, &id));
    return id;
}

/* Ids of the order itself, of another, or from a small heap that all draw from. */
static struct text_id any_id(struct world *w, enum aggregate type)
{
    struct order_id order = w->orders[draw(w, w->n_orders)];
    struct dossier *d = dossier_peek(&w->f.app->dossiers, lane_of_order(order));
    char text[UUID_TEXT_LEN];
    unsigned n, i = 0;

    if (d && d->n_parts > 0 && draw(w, 2) == 0) {
        n = draw(w, d->n_parts);
        list_for_each(at, &d->parts)
        {
            const struct part *p = container_of(at, struct part, link);

            if (i++ >= n && p->type == type && p->id.n)
                return p->id;
        }
    }
    if (draw(w, 6) == 0) {
        uuid_format(order.u, text);
        return id_of((struct str){ text, sizeof(text) });
    }
    n = (unsigned)snprintf(text, sizeof(text), "id-%u", draw(w, 8));
    return id_of((struct str){ text, n });
}

static void start_message(struct world *w, struct sender *s)
{
    struct receive_message *m = &s->u.receive;
    enum aggregate type;
    struct text_id id;
    struct str parts[1];

    m->type = types[draw(w, ARRAY_LEN(types))];
    type = event_infos[m->type].aggregate;
    snprintf(s->message_id, sizeof(s->message_id), "m-%u", w->n_messages++);
    m->message_id = str_of(s->message_id);
    m->raw_payload = STR("{}");
    m->payload.order_id = any_order(w);
    m->payload.reason = STR("said so");
    m->payload.tracking_number = STR("TRK-1");
    m->payload.amount = draw(w, 3) ? 1999 : 1;
    REQUIRE(currency_parse(STR("USD"), &m->payload.currency));
    id = any_id(w, type);
    if (type == AGGREGATE_PAYMENT)
        m->payload.payment_id.t = id;
    else if (type == AGGREGATE_SHIPMENT)
        m->payload.shipment_id.t = id;
    else if (m->type != EVENT_STOCK_REJECTED && m->type != EVENT_INVENTORY_RESERVATION_FAILED)
        m->payload.reservation_id.t = id;
    parts[0] = m->message_id;
    digest16_of(&m->content, parts, 1);
    receive_message_start(m);
}

static void start_order_command(struct world *w, struct sender *s)
{
    static const enum order_input inputs[] = { ORDER_INPUT_PAY, ORDER_INPUT_MARK_PAID,
                                               ORDER_INPUT_CANCEL, ORDER_INPUT_READY,
                                               ORDER_INPUT_COMPLETE };
    struct order_command *oc = &s->u.order;

    oc->order_id = any_order(w);
    oc->input = inputs[draw(w, ARRAY_LEN(inputs))];
    if (oc->input == ORDER_INPUT_CANCEL && draw(w, 3))
        oc->input = ORDER_INPUT_PAY;
    oc->reason = STR("no");
    oc->payment_id.t = any_id(w, AGGREGATE_PAYMENT);
    order_command_start(oc);
}

static void start_shipment_command(struct world *w, struct sender *s)
{
    s->u.shipment.shipment_id.t = any_id(w, AGGREGATE_SHIPMENT);
    s->u.shipment.is_deliver = draw(w, 2);
    shipment_command_start(&s->u.shipment);
}

static void some_at_once(struct world *w)
{
    static struct sender senders[AT_ONCE];
    unsigned n = 1 + draw(w, AT_ONCE);

    sender_of_command = senders;
    for (unsigned i = 0; i < n; i++) {
        struct sender *s = &senders[i];

        memset(s, 0, sizeof(*s));
        arena_init(&s->arena, NULL, 0);
        s->u.receive.command = (struct command){
            .app = w->f.app, .arena = &s->arena, .render = sender_render, .done = sender_done
        };
        switch (draw(w, 6)) {
        case 0:
            start_order_command(w, s);
            break;
        case 1:
            start_shipment_command(w, s);
            break;
        default:
            start_message(w, s);
            break;
        }
    }
    app_fixture_settle(&w->f);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(senders[i].n_done, 1);
        arena_deinit(&senders[i].arena);
    }
}

static void an_order_more(struct world *w)
{
    if (w->n_orders == ORDERS)
        return;
    while (an_order_of(&w->f, draw(w, 2) ? FLOW_PAY_FIRST : FLOW_STOCK_FIRST, "WIDGET-001", 1,
                       NULL) != REPLY_CREATED)
        app_fixture_pass_ms(&w->f, 1000);
    w->orders[w->n_orders++] = w->f.order_id;
}

struct sums {
    int64_t reserved, taken;
    unsigned n_pinned;
};

static void sum_dossier(void *ctx, struct map_node *node)
{
    const struct dossier *d = container_of(node, struct dossier, node);
    struct sums *sums = ctx;

    sums->n_pinned += d->pins > 0;
    list_for_each(at, &d->parts)
    {
        const struct part *p = container_of(at, struct part, link);

        assert_true(p->sequence > 0);
        assert_true(turn_is_idle(&p->turn));
        if (p->type != AGGREGATE_RESERVATION || !p->reservation.is_ours)
            continue;
        for (unsigned i = 0; i < p->reservation.n_lines; i++) {
            if (p->reservation.status == RESERVATION_STATUS_RESERVED)
                sums->reserved += p->reservation.lines[i].quantity;
            if (p->reservation.status == RESERVATION_STATUS_TAKEN)
                sums->taken += p->reservation.lines[i].quantity;
        }
    }
}

static void check_world(struct world *w)
{
    struct app *app = w->f.app;
    struct sums sums = { 0 };
    struct sku sku;
    struct catalogue_entry *e;
    int64_t n_orders = 0;

    map_each(&app->dossiers.map, sum_dossier, &sums);
    REQUIRE(sku_parse(STR("WIDGET-001"), &sku));
    e = catalogue_find(&app->catalogue, &sku);
    assert_int_equal(sums.n_pinned, 0);
    assert_int_equal(app->bindings.len, 0);
    assert_true(list_is_empty(&app->binding_checks));
    assert_int_equal(app->commands_in_flight, 0);
    assert_int_equal(e->lowering, 0);
    assert_int_equal(e->durable.reserved, sums.reserved);
    assert_int_equal(e->durable.on_hand, 100 - sums.taken);
    assert_memory_equal(&e->durable, &e->sequenced, sizeof(e->durable));
    for (unsigned f = 0; f < FLOW_COUNT; f++) {
        for (unsigned s = 0; s < ORDER_STATUS_COUNT; s++) {
            assert_true(app->metrics.orders[f][s] >= 0);
            n_orders += app->metrics.orders[f][s];
        }
    }
    assert_int_equal(n_orders, w->n_orders);
    for (unsigned i = 0; i < w->n_orders; i++) {
        struct dossier *d = dossier_peek(&app->dossiers, lane_of_order(w->orders[i]));
        struct part *p;

        assert_non_null(d);
        if (!order_is_final(d->order) || d->order->status == ORDER_COMPLETED ||
            d->order->status == ORDER_DELIVERED)
            continue;
        p = dossier_own_part(d, AGGREGATE_RESERVATION); /* an order that ended keeps no stock */
        assert_true(!p || p->reservation.status != RESERVATION_STATUS_RESERVED);
        p = dossier_own_part(d, AGGREGATE_PAYMENT); /* nor money that we took */
        assert_true(!p || p->payment.status != PAYMENT_STATUS_APPROVED);
    }
}

static void one_story(uint64_t seed)
{
    static struct world w;
    struct app_config config = app_fixture_config();
    struct simulators sims = simulators_default;

    memset(&w, 0, sizeof(w));
    w.chance = (struct chance){ seed };
    app_fixture_init(&w.f, &config);
    an_order_more(&w);
    for (unsigned i = 0; i < STEPS; i++) {
        switch (draw(&w, 12)) {
        case 0:
            an_order_more(&w);
            break;
        case 1:
            store_virtual_fail_write(&w.f.store, 1 + draw(&w, 6), ERR_FULL);
            break;
        case 2:
            sims.payments.mode = draw(&w, 2) ? PAYMENTS_WAIT : PAYMENTS_APPROVE;
            set_simulators(&w.f, SIMULATOR_PAYMENTS, &sims);
            break;
        case 3:
        case 4:
            app_fixture_pass_ms(&w.f, draw(&w, 150));
            break;
        default:
            some_at_once(&w);
            break;
        }
    }
    store_virtual_fail_write(&w.f.store, 1000000000, ERR_FULL);
    app_fixture_pass_ms(&w.f, 120000);
    check_world(&w);
    app_fixture_deinit(&w.f);
}

static void whatever_comes_nothing_is_kept_that_was_taken(void **state)
{
    struct chance seeds = chance_init("outside");
    uint64_t seed = seeds.state; /* so that the seed of one story alone repeats it */

    (void)state;
    for (unsigned i = 0; i < STORIES; i++, seed++) {
        print_message("story of seed %llu\n", (unsigned long long)seed);
        one_story(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_comes_nothing_is_kept_that_was_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
