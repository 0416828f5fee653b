/* Inventory reserves an order's items, all or nothing, releases them when Orders asks for it, and
 * takes them off hand when they leave. Knows orders only by their messages. */
#include "../app_private.h"
#include "orderly/base/mem.h"

/* What one message asks for; on the stack of a decision, at most 100 lines. */
struct wanted {
    unsigned n;
    struct stock_line lines[RESERVATION_LINES_MAX];
};

/* OrderPlaced names priced lines, OrderPaid just sku and quantity; lines of one sku are added up. */
static void inventory_wanted(const struct event *e, struct wanted *w)
{
    struct order_line lines[RESERVATION_LINES_MAX];
    unsigned n = e->p.n_stock_lines;

    if (n == 0) {
        w->n = reservation_add_up(e->p.lines, e->p.n_lines, w->lines);
        return;
    }
    if (n > RESERVATION_LINES_MAX)
        n = RESERVATION_LINES_MAX;
    for (unsigned i = 0; i < n; i++)
        lines[i] = (struct order_line){ .sku = e->p.stock_lines[i].sku,
                                        .quantity = e->p.stock_lines[i].quantity };
    w->n = reservation_add_up(lines, n, w->lines);
}

/* What the event does to each product's stock: sign of on hand and of reserved. */
static void inventory_change_stock(struct handling *h, const struct stock_line *lines, unsigned n,
                                   int on_hand, int reserved, uint64_t position)
{
    struct stock_change *changes = handling_add_stock(h, n);

    for (unsigned i = 0; i < n; i++) {
        changes[i] = (struct stock_change){
            .entry = catalogue_find(&h->app->catalogue, &lines[i].sku),
            .on_hand = on_hand * lines[i].quantity,
            .reserved = reserved * lines[i].quantity,
        };
        ENSURE(changes[i].entry != NULL); /* products are never removed */
        stock_change_sequence(&changes[i], &h->append, position);
    }
}

static void inventory_decide_reserve(struct handling *h)
{
    struct app *app = h->app;
    const struct event *e = h->event;
    const struct flow *flow = flow_of(e->p.flow);
    struct part *part;
    struct reservation_id id = { text_id_of_word("reservation", event_log_new_uuid(&app->log)) };
    struct stock_offer offers[RESERVATION_LINES_MAX];
    struct wanted wanted;
    struct arena arena;
    bool reserved = false;

    arena_init(&arena, NULL, 0);
    event_list_init(&app->decision);
    inventory_wanted(e, &wanted);
    for (unsigned i = 0; i < wanted.n; i++) {
        struct catalogue_entry *p = catalogue_find(&app->catalogue, &wanted.lines[i].sku);

        offers[i].known = p != NULL;
        offers[i].available = p ? catalogue_available(p) : 0;
    }
    if (app->simulators.inventory.mode == INVENTORY_REJECT)
        reservation_reject(flow, e->p.order_id, STR("Stock is not given out at the moment"),
                           wanted.lines, wanted.n, &app->decision);
    else
        reserved = reservation_decide(flow, e->p.order_id, &id, wanted.lines, wanted.n, offers,
                                      &arena, &app->decision);
    /* A refusal has no reservation of its own, so it lies in the order's. */
    part = reserved ? dossier_part(h->dossier, AGGREGATE_RESERVATION, text_id_str(&id.t)) : h->part;
    if (handling_begin(h) == ERR_OK) {
        handling_append_part(h, part, &app->decision.events[0]);
        if (reserved) {
            h->binding =
                binding_bind(app, &h->append, AGGREGATE_RESERVATION, text_id_str(&id.t), e->lane);
            inventory_change_stock(h, wanted.lines, wanted.n, 0, 1, h->append.last_position);
        }
        handling_submit(h);
    }
    arena_deinit(&arena);
}

static void inventory_reserve(struct handling *h)
{
    char order[UUID_TEXT_LEN];

    if (dossier_own_part(h->dossier, AGGREGATE_RESERVATION)) {
        handling_done(h); /* one reservation per order: this one was decided before */
        return;
    }
    uuid_format(h->event->p.order_id.u, order);
    h->part = dossier_part(h->dossier, AGGREGATE_RESERVATION, (struct str){ order, sizeof(order) });
    /* What was refused was decided, too, where a message may come again after a day; nobody else
     * speaks of reservations there. */
    if (h->part->sequence > 0 && !app_has(h->app, CONTEXT_ORDERS)) {
        handling_done(h);
        return;
    }
    handling_take_turn(h, &h->part->turn, inventory_decide_reserve);
}

/* Release or take: what the reservation holds, as decided by `decide`. */
typedef bool (*inventory_undo)(const struct reservation *r, const struct flow *f,
                               struct order_id order, const struct reservation_id *id,
                               struct event_list *out);

static void inventory_decide_undo(struct handling *h, inventory_undo decide, int on_hand)
{
    struct app *app = h->app;
    struct part *part = h->part;
    struct reservation_id id = { part->id };

    event_list_init(&app->decision);
    if (!decide(&part->reservation, flow_of(h->event->p.flow), h->event->p.order_id, &id,
                &app->decision)) {
        handling_done(h); /* not ours, or not reserved any more */
        return;
    }
    if (handling_begin(h) != ERR_OK)
        return;
    handling_append_part(h, part, &app->decision.events[0]);
    inventory_change_stock(h, part->reservation.lines, part->reservation.n_lines, on_hand, -1,
                           h->append.last_position);
    handling_submit(h);
}

static void inventory_decide_release(struct handling *h)
{
    inventory_decide_undo(h, reservation_release, 0);
}

static void inventory_decide_take(struct handling *h)
{
    inventory_decide_undo(h, reservation_take, -1);
}

static void inventory_release(struct handling *h)
{
    const struct reservation_id *id;

    (void)reservation_task_of(h->event, &id);
    h->part = dossier_find_part(h->dossier, AGGREGATE_RESERVATION, text_id_str(&id->t));
    if (h->part)
        handling_take_turn(h, &h->part->turn, inventory_decide_release);
    else
        handling_done(h); /* an outside context's: it stays due */
}

/* Where no Orders is here: what came from outside may have come in another order, so that all that was
 * heard is looked at. Shipments, if it is here, lets none leave that no order was shipped with. */
static bool inventory_pieces_left(const struct handling *h)
{
    const struct inbox *heard = dossier_inbox(h->dossier);

    return !heard || h->event->stream.type != AGGREGATE_INBOX || inbox_has_left(heard);
}

static void inventory_take(struct handling *h)
{
    h->part = dossier_own_part(h->dossier, AGGREGATE_RESERVATION);
    if (h->part && dossier_reservation_counts(h->dossier, &h->part->id) && inventory_pieces_left(h))
        handling_take_turn(h, &h->part->turn, inventory_decide_take);
    else
        handling_done(h); /* another context's pieces leave; ours are asked back */
}

static void (*inventory_step_of(const struct app *app, const struct event *e))(struct handling *)
{
    const struct reservation_id *which;

    if (inbox_tells_choice(e))
        return inventory_take;
    switch (reservation_task_of(e, &which)) {
    case RESERVATION_TASK_RESERVE:
        return app->simulators.inventory.enabled ? inventory_reserve : NULL;
    case RESERVATION_TASK_RELEASE:
        return inventory_release;
    case RESERVATION_TASK_TAKE:
        return inventory_take;
    case RESERVATION_TASK_NONE:
        break;
    }
    return NULL;
}

static void inventory_handle(struct subscription *s, struct delivery *d)
{
    struct app *app = app_of(s);
    struct handling *h = handling_create(app, d);
    void (*step)(struct handling *) = inventory_step_of(app, h->event);

    if (!step)
        handling_done(h);
    else if (d->attempt <= app->simulators.inventory.fail_first)
        handling_failed(h, FAILURE_CODE_HANDLER_FAILED,
                        STR("The inventory simulator is set to fail."));
    else
        handling_open(h, app->simulators.inventory.delay_ms[h->event->p.flow], step);
}

void inventory_subscribe(struct app *app)
{
    context_subscribe(app, SUBSCRIPTION_INVENTORY, CONTEXT_INVENTORY, inventory_handle);
}
