/* One look at an order: on the loop at what is in memory, then on any thread at its rows up to the
 * same position, then back. Nothing is changed and no turn is taken. */
#include "orderly/app/explain.h"
#include "explain_private.h"
#include "orderly/app/event_codec.h"
#include "orderly/app/queries.h"
#include "orderly/base/bytes.h"
#include "orderly/base/mem.h"

#define LANE_KEY 16

struct str explain_why_name(enum explain_why w)
{
    static const struct str names[] = {
#define X(name, text) [EXPLAIN_##name] = { text, sizeof(text) - 1 },
        EXPLAIN_WHY_MAP(X)
#undef X
    };

    REQUIRE((size_t)w < ARRAY_LEN(names));
    return names[w];
}

struct str explain_what_name(enum explain_what w)
{
    static const struct str names[] = {
#define X(name, text) [EXPLAIN_##name] = { text, sizeof(text) - 1 },
        EXPLAIN_WHAT_MAP(X)
#undef X
    };

    REQUIRE((size_t)w < ARRAY_LEN(names));
    return names[w];
}

const struct event *explain_event_at(const struct explain_work *w, uint64_t position)
{
    for (unsigned i = w->n_events; i-- > 0;) {
        if (w->events[i]->position == position)
            return w->events[i];
    }
    return NULL;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static enum err explain_read_event(struct explain_work *w, const struct store_view *v,
                                   uint64_t position, const struct event **out)
{
    struct event *e = arena_alloc(&w->arena, sizeof(*e));
    char key[8];
    struct str row;
    enum err err;

    bytes_put_u64(key, position);
    err = store_get(v, DB_EVENTS, (struct str){ key, sizeof(key) }, &w->arena, &row);
    if (err == ERR_OK)
        err = event_decode(row, position, e, &w->arena);
    *out = err == ERR_OK ? e : NULL;
    return err == ERR_NOT_FOUND ? ERR_DAMAGED : err;
}

/* Of one that may lie behind those that are shown. */
static enum err explain_find_event(struct explain_work *w, const struct store_view *v,
                                   uint64_t position, const struct event **out)
{
    *out = explain_event_at(w, position);
    return *out ? ERR_OK : explain_read_event(w, v, position, out);
}

/* The next row of a lane, going back from `key` (which is moved). ERR_NOT_FOUND at its beginning. */
static enum err explain_step_back(struct explain_work *w, const struct store_view *v,
                                  enum store_db db, bool is_first, char *key, size_t n,
                                  struct str *value)
{
    struct str found;
    enum err err = store_seek(v, db, is_first ? STORE_LE : STORE_LT, (struct str){ key, n },
                              &w->arena, &found, value);

    if (err != ERR_OK)
        return err;
    if (found.n != n || memcmp(found.p, key, LANE_KEY) != 0)
        return ERR_NOT_FOUND;
    memcpy(key, found.p, n);
    return ERR_OK;
}

static bool explain_is_enough(const struct explain_work *w, const struct store_view *v)
{
    return v->ops->is_late(v) || w->arena.total > QUERY_BYTES_MAX;
}

static enum err explain_read_events(struct explain_work *w, const struct store_view *v)
{
    const struct event **newest =
        arena_alloc(&w->arena, EXPLAIN_EVENTS_MAX * sizeof(struct event *));
    char key[LANE_KEY + 8];
    struct str value;
    enum err err;

    memcpy(key, w->op->id.u.b, LANE_KEY);
    bytes_put_u64(key + LANE_KEY, w->e.position);
    for (bool is_first = true;; is_first = false) {
        err = explain_step_back(w, v, DB_BY_LANE, is_first, key, sizeof(key), &value);
        if (err == ERR_OK && (w->n_events == EXPLAIN_EVENTS_MAX || explain_is_enough(w, v))) {
            w->e.events_cut = true;
            break;
        }
        if (err == ERR_OK)
            err = explain_read_event(w, v, bytes_get_u64(key + LANE_KEY), &newest[w->n_events]);
        if (err != ERR_OK)
            break;
        w->n_events++;
    }
    w->events = newest;
    for (unsigned i = 0; i < w->n_events / 2; i++) {
        const struct event *other = newest[i];

        newest[i] = newest[w->n_events - 1 - i];
        newest[w->n_events - 1 - i] = other;
    }
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err explain_read_ignored(struct explain_work *w, const struct store_view *v)
{
    struct explained_ignored *list = arena_zalloc(&w->arena, EXPLAIN_IGNORED_MAX * sizeof(*list));
    struct explained_ignored *end = list + EXPLAIN_IGNORED_MAX, *at = end;
    char key[LANE_KEY + 8 + 1];
    struct str value;
    enum err err;

    memcpy(key, w->op->id.u.b, LANE_KEY);
    bytes_put_u64(key + LANE_KEY, w->e.position);
    key[LANE_KEY + 8] = (char)0xff;
    for (bool is_first = true;; is_first = false) {
        err = explain_step_back(w, v, DB_IGNORED, is_first, key, sizeof(key), &value);
        if (err == ERR_OK && (at == list || explain_is_enough(w, v))) {
            w->e.ignored_cut = true;
            break;
        }
        if (err == ERR_OK && (value.n < 1 || (uint8_t)value.p[0] >= ORDER_STATUS_COUNT ||
                              (uint8_t)key[LANE_KEY + 8] >= SUBSCRIPTION_COUNT))
            err = ERR_DAMAGED;
        if (err != ERR_OK)
            break;
        *--at = (struct explained_ignored){
            .position = bytes_get_u64(key + LANE_KEY),
            .subscription = (enum subscription_id)(uint8_t)key[LANE_KEY + 8],
            .state = (enum order_status)(uint8_t)value.p[0],
            .why = { value.p + 1, value.n - 1 },
        };
        err = explain_find_event(w, v, at->position, &at->message);
        if (err != ERR_OK)
            break;
    }
    w->e.ignored = at;
    w->e.n_ignored = (unsigned)(end - at);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err explain_read_letters(struct explain_work *w, const struct store_view *v)
{
    struct dead_letter *open;
    char key[LANE_KEY + 16];
    struct str value, row;
    enum err err;

    w->letters = arena_alloc(&w->arena, EXPLAIN_DEAD_LETTERS_MAX * sizeof(*w->letters));
    memset(key, 0xff, sizeof(key));
    memcpy(key, w->op->id.u.b, LANE_KEY);
    for (bool is_first = true;; is_first = false) {
        struct dead_letter *d = &w->letters[w->n_letters];

        err = explain_step_back(w, v, DB_DEAD_LETTERS_BY_LANE, is_first, key, sizeof(key), &value);
        if (err == ERR_OK &&
            (w->n_letters == EXPLAIN_DEAD_LETTERS_MAX || explain_is_enough(w, v))) {
            w->e.letters_cut = true;
            break;
        }
        if (err != ERR_OK)
            break;
        err = store_get(v, DB_DEAD_LETTERS, (struct str){ key + LANE_KEY, 16 }, &w->arena, &row);
        if (err == ERR_NOT_FOUND)
            store_contradicts(v, DB_DEAD_LETTERS_BY_LANE);
        if (err == ERR_OK)
            err = dead_letter_decode(row, d);
        if (err != ERR_OK)
            break;
        memcpy(d->id.u.b, key + LANE_KEY, sizeof(d->id.u.b));
        w->n_letters++;
    }
    open = arena_alloc(&w->arena, (w->n_letters + 1) * sizeof(*open));
    w->e.letters = open;
    for (unsigned i = 0; i < w->n_letters; i++) {
        if (dead_letter_is_open(&w->letters[i]))
            open[w->e.n_letters++] = w->letters[i];
    }
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* What lies at the heads of the lanes. A lane that is being read back is not sure of it: the first
 * message from there on that it hears. */
static enum err explain_read_heads(struct explain_work *w, const struct store_view *v)
{
    for (unsigned i = 0; i < w->e.n_deliveries; i++) {
        struct explained_delivery *d = &w->deliveries[i];
        enum err err = ERR_OK;

        if (d->lane.position <= w->e.position)
            err = explain_find_event(w, v, d->lane.position, &d->message);
        if (err != ERR_OK)
            return err;
        /* Positions between are other orders'. */
        if (d->message && !uuid_eq(d->message->lane.u, w->op->id.u))
            d->message = NULL;
        for (unsigned k = 0; !d->message && k < w->n_events; k++) {
            if (w->events[k]->position >= d->lane.position &&
                explain_hears(w, d->lane.subscription, w->events[k]))
                d->message = w->events[k];
        }
    }
    return ERR_OK;
}

/* ---- the tree -------------------------------------------------------------------------------- */

struct tree_node {
    int parent, first, last, next; /* indexes; -1: none */
};

static int tree_find_cause(const struct explain_work *w, unsigned i)
{
    struct uuid cause = w->events[i]->cause.u;

    for (unsigned k = i; !uuid_is_nil(cause) && k-- > 0;) {
        if (uuid_eq(w->events[k]->id.u, cause))
            return (int)k;
    }
    return -1;
}

static struct str explain_by(const struct event *e)
{
    if (e->handled_by != SUBSCRIPTION_NONE)
        return subscription_name(e->handled_by);
    if (e->message_id.n)
        return STR("outside");
    if (e->type == EVENT_ORDER_CANCELLED && str_eq(e->p.reason, STR("payment_timeout")))
        return STR("timer");
    return STR("command");
}

static void explain_tree(struct explain_work *w)
{
    unsigned n = w->n_events, depth = 0;
    struct explained_event *out = arena_zalloc(&w->arena, (n + 1) * sizeof(*out));
    struct tree_node *nodes = arena_alloc(&w->arena, (n + 1) * sizeof(*nodes));
    int at;

    /* The last node is above the roots. */
    for (unsigned i = 0; i <= n; i++)
        nodes[i] = (struct tree_node){ -1, -1, -1, -1 };
    for (unsigned i = 0; i < n; i++) {
        int cause = tree_find_cause(w, i);
        struct tree_node *parent = &nodes[cause < 0 ? (int)n : cause];

        nodes[i].parent = cause < 0 ? (int)n : cause;
        if (parent->last < 0)
            parent->first = (int)i;
        else
            nodes[parent->last].next = (int)i;
        parent->last = (int)i;
    }
    for (at = nodes[n].first; at >= 0;) {
        const struct event *e = w->events[at];
        struct explained_event *shown = &out[w->e.n_events++];

        *shown = (struct explained_event){ .event = e, .depth = depth, .by = explain_by(e) };
        if (depth > 0)
            shown->after_ms = e->occurred_at_ms - w->events[nodes[at].parent]->occurred_at_ms;
        if (nodes[at].first >= 0) {
            at = nodes[at].first;
            depth++;
            continue;
        }
        while (at != (int)n && nodes[at].next < 0) {
            at = nodes[at].parent;
            depth -= at != (int)n;
        }
        if (at == (int)n)
            break;
        at = nodes[at].next;
    }
    ENSURE(w->e.n_events == n);
    w->e.events = out;
    if (n)
        w->e.took_ms = w->events[n - 1]->occurred_at_ms - w->order->body->created_at_ms;
}

/* ---- commands -------------------------------------------------------------------------------- */

static struct str list_states(struct explain_work *w, const struct flow *f, enum order_input input)
{
    struct str list = STR_NONE;

    for (unsigned i = 0; i < f->n_rows; i++) {
        struct str name = order_status_name(f->rows[i].from);

        if (f->rows[i].input != input)
            continue;
        list = list.n ? arena_printf(&w->arena, STR_FMT ", " STR_FMT, STR_ARG(list), STR_ARG(name))
                      : name;
    }
    return list;
}

static struct str why_illegal(struct explain_work *w, enum order_input input)
{
    const struct flow *f = flow_of(w->order->body->flow);
    struct str now = order_status_name(w->order->status), states = list_states(w, f, input);

    if (states.n == 0)
        return arena_printf(&w->arena, "An order of the flow %s has no such step.", f->name);
    if (order_status_is_final(w->order->status))
        return arena_printf(&w->arena, "The order is " STR_FMT ", which is final.", STR_ARG(now));
    return arena_printf(&w->arena, "Legal in " STR_FMT "; the order is " STR_FMT ", %s.",
                        STR_ARG(states), STR_ARG(now),
                        flow_reaches(f, w->order->status, input) ? "not there yet" : "past that");
}

/* The same function that decides the command says whether it would be taken. */
static enum order_outcome try_command(const struct order *o, enum order_input input,
                                      struct event_list *out)
{
    static const struct payment_id any_payment = { { 3, "any" } };
    static const struct invoice_id no_invoice;

    event_list_init(out);
    switch (input) {
    case ORDER_INPUT_PAY:
        return order_request_payment(o, out);
    case ORDER_INPUT_MARK_PAID:
        return order_record_external_payment(o, &any_payment, out);
    case ORDER_INPUT_CANCEL:
        return order_cancel(o, STR("any"), out);
    case ORDER_INPUT_READY:
        return order_make_ready(o, out);
    case ORDER_INPUT_COMPLETE:
        return order_complete(o, &no_invoice, out);
    default:
        UNREACHABLE("a command");
    }
}

static struct explained_command *add_command(struct explain_work *w, const char *name)
{
    struct explained_command *c = &w->e.commands[w->e.n_commands++];

    REQUIRE(w->e.n_commands <= ARRAY_LEN(w->e.commands));
    c->name = name;
    return c;
}

static void explain_shipment_command(struct explain_work *w, const char *name,
                                     enum shipment_outcome outcome)
{
    struct explained_command *c = add_command(w, name);

    c->shipment = &w->order->shipment_id;
    c->is_legal = outcome == SHIPMENT_CHANGED || outcome == SHIPMENT_HOLDS;
    c->holds = outcome == SHIPMENT_HOLDS;
    if (outcome == SHIPMENT_NOT_CONFIRMED)
        c->why = STR("Shipments has not handled order.shipped yet.");
    else if (outcome != SHIPMENT_CHANGED)
        c->why = arena_printf(&w->arena, "The shipment is " STR_FMT ".",
                              STR_ARG(shipment_status_name(w->shipment.status)));
}

static void explain_commands(struct explain_work *w)
{
    struct event_list *list = arena_alloc(&w->arena, sizeof(*list));

    for (unsigned i = ORDER_INPUT_PAY; i <= ORDER_INPUT_COMPLETE; i++) {
        enum order_outcome outcome = try_command(w->order, (enum order_input)i, list);
        struct explained_command *c = add_command(w, order_input_name((enum order_input)i));

        c->is_legal = outcome != ORDER_OUTCOME_ILLEGAL;
        c->holds = outcome == ORDER_OUTCOME_HOLDS;
        if (c->holds)
            c->why = STR("Its effect holds already: it succeeds and changes nothing.");
        else if (!c->is_legal)
            c->why = why_illegal(w, (enum order_input)i);
    }
    if (!w->has_shipment)
        return;
    event_list_init(list);
    explain_shipment_command(
        w, "dispatch", shipment_dispatch(&w->shipment, &w->order->shipment_id, w->e.at_ms, list));
    event_list_init(list);
    explain_shipment_command(
        w, "deliver", shipment_deliver(&w->shipment, &w->order->shipment_id, w->e.at_ms, list));
}

/* ---- the operation --------------------------------------------------------------------------- */

static void explain_run(struct store_read *r, const struct store_view *v)
{
    struct explain_work *w = container_of(r, struct explain_work, read);

    w->status = explain_read_events(w, v);
    if (w->status == ERR_OK)
        w->status = explain_read_letters(w, v);
    if (w->status == ERR_OK)
        w->status = explain_read_heads(w, v);
    if (w->status == ERR_OK)
        w->status = explain_read_ignored(w, v);
    if (w->status != ERR_OK)
        return;
    explain_commands(w);
    explain_tree(w);
}

static void explain_work_free(struct explain_work *w)
{
    order_destroy(w->order);
    dossier_close(w->dossier);
    arena_deinit(&w->arena);
    mem_free(w);
}

/* The bus's texts may be gone when they are read. */
static void explain_add_lane(struct explain_work *w, const struct lane_state *lane)
{
    struct explained_delivery *d = &w->deliveries[w->e.n_deliveries++];

    d->lane = *lane;
    d->attempts_max = w->op->app->bus.subscriptions[lane->subscription]->config.retries + 1;
    d->lane.error_detail = arena_str(&w->arena, lane->error_detail);
    if (lane->error_code)
        d->lane.error_code = arena_str(&w->arena, str_of(lane->error_code)).p;
}

/* An open letter's message is retried in a lane of the letter's own. */
static void explain_look_for_retried(struct explain_work *w)
{
    for (unsigned i = 0; i < w->n_letters; i++) {
        const struct dead_letter *letter = &w->letters[i];
        struct lane_state lanes[SUBSCRIPTION_COUNT];
        struct explained_delivery *d = &w->deliveries[w->e.n_deliveries];

        if (letter->state != DEAD_LETTER_RETRIED || letter->is_parking ||
            bus_lane_states(&w->op->app->bus, (struct lane_id){ letter->id.u }, lanes) != 1)
            continue;
        explain_add_lane(w, &lanes[0]);
        d->is_alone = true;
        d->message = explain_event_at(w, letter->position);
        d->lane.dead_letter_id = letter->id;
    }
}

static void explain_on_read(struct store_read *r)
{
    struct explain_work *w = container_of(r, struct explain_work, read);
    struct explain *x = w->op;

    if (w->status == ERR_OK) {
        explain_look_for_retried(w);
        explain_waits(w);
        w->e.summary = explain_summary(w);
    }
    x->done(x, w->status == ERR_OK ? &w->e : NULL, w->status); /* x may be gone from here on */
    explain_work_free(w);
}

static void explain_look_at_lanes(struct explain_work *w)
{
    struct bus *b = &w->op->app->bus;
    struct lane_state lanes[SUBSCRIPTION_COUNT];

    unsigned n = bus_lane_states(b, lane_of_order(w->op->id), lanes);

    w->deliveries = arena_zalloc(&w->arena, (SUBSCRIPTION_COUNT + EXPLAIN_DEAD_LETTERS_MAX) *
                                                sizeof(*w->deliveries));
    w->e.deliveries = w->deliveries;
    for (unsigned i = 0; i < n; i++)
        explain_add_lane(w, &lanes[i]);
    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++) {
        const struct subscription *s = b->subscriptions[i];

        if (s)
            w->subscriptions[i] = (struct explained_subscription){
                .taken_position = s->taken_position,
                .lag = subscription_lag(s),
                .is_paused = s->is_paused,
                .is_at_limit = s->is_at_limit,
                .is_stuck = s->is_stuck,
            };
        else /* it is not here: nothing waits for it */
            w->subscriptions[i].taken_position = UINT64_MAX;
    }
}

static bool effect_is_ours(struct dossier *d, const struct order_effect *e)
{
    static const enum aggregate parts[] = {
        [EFFECT_PAYMENT] = AGGREGATE_PAYMENT,
        [EFFECT_RESERVATION] = AGGREGATE_RESERVATION,
        [EFFECT_SHIPMENT] = AGGREGATE_SHIPMENT,
    };
    const struct part *p = dossier_find_part(d, parts[e->kind], text_id_str(&e->id));

    return p && p == dossier_own_part(d, parts[e->kind]);
}

static void explain_look_at_parts(struct explain_work *w)
{
    struct dossier *d = w->dossier;
    const struct order *o = w->order;
    const struct part *payment = dossier_own_part(d, AGGREGATE_PAYMENT);
    const struct part *shipment;

    w->payment_is_pending = payment && payment->payment.status == PAYMENT_STATUS_PENDING;
    w->effect_is_ours = arena_zalloc(&w->arena, o->n_effects + 1);
    for (unsigned i = 0; i < o->n_effects; i++)
        w->effect_is_ours[i] = effect_is_ours(d, &o->effects[i]);
    shipment = dossier_find_part(d, AGGREGATE_SHIPMENT, text_id_str(&o->shipment_id.t));
    if (!shipment)
        return;
    w->has_shipment = true;
    w->shipment = shipment->shipment;
    w->shipment.tracking_number = STR_NONE; /* the dossier's */
}

static void explain_on_open(struct dossier_wait *wait, enum err status)
{
    struct explain *x = container_of(wait, struct explain, wait);
    struct app *app = x->app;
    struct explain_work *w;

    if (status != ERR_OK) {
        x->done(x, NULL, status);
        return;
    }
    if (!wait->dossier->order) {
        dossier_close(wait->dossier);
        x->done(x, NULL, ERR_OK);
        return;
    }
    w = mem_zalloc(sizeof(*w));
    arena_init(&w->arena, NULL, 0);
    w->op = x;
    w->dossier = wait->dossier;
    w->order = order_clone(w->dossier->order);
    w->simulators = app->simulators;
    w->contexts = app_contexts(app);
    w->e.order = w->order;
    w->e.at_ms = scheduler_wall_ms(app->scheduler);
    w->e.position = app->log.durable_position;
    explain_look_at_lanes(w);
    explain_look_at_parts(w);
    w->read = (struct store_read){ .run = explain_run, .done = explain_on_read };
    status = store_read_start(app->store, &w->read);
    if (status == ERR_OK)
        return;
    app_count_refused(app, REFUSED_READS);
    explain_work_free(w);
    x->done(x, NULL, status);
}

void explain_start(struct explain *x, struct app *a)
{
    x->app = a;
    x->wait.ready = explain_on_open;
    dossier_open(&a->dossiers, lane_of_order(x->id), &x->wait);
}
