/* What a start reads from the store: what has to be in memory (catalogue, settings, keys), and what
 * was in flight (cursors, deferred lanes, and from the events behind the cursors which messages had
 * their effect already). Its time goes with these, not with history.
 *
 * Within a lane, everything up to and including the last message that a subscription already
 * handled with something durable counts as handled: an event that names the subscription and the
 * message as its cause, an `ignored` row, or a shipment that is confirmed. The rest is delivered
 * again.
 *
 * First of all it is looked whether the last events' rows are where they should be (recent_check.h). */
#include "app_private.h"
#include "orderly/app/dead_letters.h"
#include "orderly/app/event_codec.h"
#include "orderly/app/queries.h"
#include "orderly/app/settings_codec.h"
#include "orderly/app/snapshot_codec.h"
#include "orderly/base/bytes.h"
#include "orderly/base/mem.h"
#include "recent_check.h"

/* How far a subscription has come in a lane. */
struct handled {
    struct map_node node;
    char key[1 + sizeof(struct lane_id)];
    uint64_t position;
};

/* An event that was read, for whoever names it as a cause. */
struct cause {
    struct map_node node; /* by event id */
    struct event_id id;
    uint64_t position;
};

struct startup {
    struct app *app;
    struct store_read read;
    struct arena arena;   /* what is handed over */
    struct arena scratch; /* of one row */
    enum err status;

    uint64_t last_position;
    struct event_id last_id;
    uint64_t cursors[SUBSCRIPTION_COUNT];
    bool has_cursor[SUBSCRIPTION_COUNT];
    uint64_t sequences[SUBSCRIPTION_COUNT], letters[SUBSCRIPTION_COUNT];
    struct deferred_lane *lanes[SUBSCRIPTION_COUNT];
    size_t n_lanes[SUBSCRIPTION_COUNT], lanes_cap[SUBSCRIPTION_COUNT];
    struct simulators simulators;
    bool has_setting[SIMULATOR_COUNT];
    unsigned contexts;
    bool has_contexts;
    struct order_counts counts;
    struct refund_totals refunds_due;
    struct map causes, *handled;
    int64_t next_deadline_ms;
};

/* ---- walking a database ---------------------------------------------------------------------- */

/* Calls row for each row whose key starts with prefix; stops at the first error. */
static enum err startup_each(struct startup *s, const struct store_view *v, enum store_db db,
                             struct str prefix,
                             enum err (*row)(struct startup *s, struct str key, struct str value))
{
    char at[STORE_KEY_MAX];
    struct str from = prefix, key, value;
    enum store_seek how = STORE_GE;

    for (;;) {
        enum err err;

        arena_reset(&s->scratch);
        err = store_seek(v, db, how, from, &s->scratch, &key, &value);
        if (err == ERR_NOT_FOUND || (err == ERR_OK && !str_starts_with(key, prefix)))
            return ERR_OK;
        if (err == ERR_OK)
            err = row(s, key, value);
        if (err != ERR_OK)
            return err;
        memcpy(at, key.p, key.n);
        from = (struct str){ at, key.n };
        how = STORE_GT;
    }
}

/* ---- small things ---------------------------------------------------------------------------- */

static enum err startup_last_event(struct startup *s, const struct store_view *v)
{
    static const char last[8] = { (char)0xff, (char)0xff, (char)0xff, (char)0xff,
                                  (char)0xff, (char)0xff, (char)0xff, (char)0xff };
    struct event e;
    struct str key, row;
    enum err err = store_seek(v, DB_EVENTS, STORE_LE, (struct str){ last, sizeof(last) },
                              &s->scratch, &key, &row);

    if (err != ERR_OK)
        return err == ERR_NOT_FOUND ? ERR_OK : err;
    if (key.n != 8)
        return ERR_DAMAGED;
    s->last_position = bytes_get_u64(key.p);
    err = event_decode(row, s->last_position, &e, &s->scratch);
    s->last_id = e.id;
    return err;
}

static enum err startup_cursor(struct startup *s, struct str key, struct str value)
{
    unsigned id = key.n == 1 ? (unsigned char)key.p[0] : 0;

    if (id == SUBSCRIPTION_NONE || id >= SUBSCRIPTION_COUNT || value.n != 8)
        return ERR_DAMAGED;
    s->cursors[id] = bytes_get_u64(value.p);
    s->has_cursor[id] = true;
    return s->cursors[id] <= s->last_position ? ERR_OK : ERR_DAMAGED;
}

static enum err startup_lane(struct startup *s, struct str key, struct str value)
{
    struct deferred_lane lane;
    struct str row = arena_str(&s->arena, value); /* the lane's texts are views */
    enum err err = deferred_lane_decode(key, row, &lane);
    unsigned id;

    if (err != ERR_OK)
        return err;
    id = lane.subscription;
    if (s->n_lanes[id] == s->lanes_cap[id]) {
        s->lanes_cap[id] = s->lanes_cap[id] ? 2 * s->lanes_cap[id] : 64;
        s->lanes[id] = mem_realloc(s->lanes[id], s->lanes_cap[id] * sizeof(lane));
    }
    s->lanes[id][s->n_lanes[id]++] = lane;
    return ERR_OK;
}

static enum err startup_setting(struct startup *s, struct str key, struct str value)
{
    for (unsigned i = 0; i < SIMULATOR_COUNT; i++)
        if (str_eq(key, simulator_name((enum simulator)i))) {
            s->has_setting[i] = true;
            return settings_decode(value, (enum simulator)i, &s->simulators);
        }
    return ERR_DAMAGED;
}

static enum err startup_letters(struct startup *s, struct str key, struct str value)
{
    unsigned id = key.n == sizeof(META_LETTERS) ? (unsigned char)key.p[key.n - 1] : 0;

    if (id == SUBSCRIPTION_NONE || id >= SUBSCRIPTION_COUNT || value.n != 16)
        return ERR_DAMAGED;
    s->sequences[id] = bytes_get_u64(value.p);
    s->letters[id] = bytes_get_u64(value.p + 8);
    return ERR_OK;
}

static enum err startup_key(struct startup *s, struct str key, struct str value)
{
    struct digest16 digest;

    (void)value;
    if (key.n != 8 + sizeof(digest))
        return ERR_DAMAGED;
    memcpy(digest.b, key.p + 8, sizeof(digest));
    idempotency_add(&s->app->idempotency, &digest); /* nobody else looks yet */
    s->app->idempotency.len++;
    return ERR_OK;
}

/* ---- the catalogue --------------------------------------------------------------------------- */

static enum err startup_product(struct startup *s, struct str key, struct str value)
{
    struct product p;
    struct catalogue_entry *e;
    enum err err = product_decode(value, &p);

    if (err != ERR_OK)
        return err;
    if (!str_eq(key, sku_str(&p.sku))) {
        product_deinit(&p);
        return ERR_DAMAGED;
    }
    /* What is there stays there, also where products_max was lowered since. */
    s->app->catalogue.len_max += s->app->catalogue.len == s->app->catalogue.len_max;
    e = catalogue_add(&s->app->catalogue, &p.sku);
    e->product = p;
    return ERR_OK;
}

static enum err startup_stock(struct startup *s, struct str key, struct str value)
{
    struct catalogue_entry *e;
    struct sku sku;

    if (!sku_parse(key, &sku))
        return ERR_DAMAGED;
    e = catalogue_find(&s->app->catalogue, &sku);
    if (!e || stock_decode(value, &e->durable, &e->position) != ERR_OK)
        return ERR_DAMAGED;
    e->sequenced = e->durable;
    return ERR_OK;
}

/* ---- what was handled ------------------------------------------------------------------------ */

static void startup_note_handled(struct startup *s, enum subscription_id id, struct lane_id lane,
                                 uint64_t position)
{
    char key[sizeof(((struct handled *)NULL)->key)];
    struct map_node *n;
    struct handled *h;

    key[0] = (char)id;
    memcpy(key + 1, &lane, sizeof(lane));
    n = map_find(s->handled, (struct str){ key, sizeof(key) });
    if (n) {
        h = container_of(n, struct handled, node);
        if (h->position < position)
            h->position = position;
        return;
    }
    h = mem_alloc(sizeof(*h));
    memcpy(h->key, key, sizeof(key));
    h->position = position;
    map_insert(s->handled, &h->node, (struct str){ h->key, sizeof(h->key) });
}

/* Once for each lane; SUBSCRIPTION_NONE stands for the lane itself. */
static bool startup_was_seen(struct startup *s, struct lane_id lane)
{
    size_t before = s->handled->len;

    startup_note_handled(s, SUBSCRIPTION_NONE, lane, 0);
    return s->handled->len == before;
}

static enum err startup_ignored(struct startup *s, struct str key, struct str value)
{
    struct lane_id lane;
    unsigned id = key.n == 25 ? (unsigned char)key.p[24] : 0;

    (void)value;
    if (id == SUBSCRIPTION_NONE || id >= SUBSCRIPTION_COUNT)
        return ERR_DAMAGED;
    memcpy(&lane, key.p, sizeof(lane));
    startup_note_handled(s, (enum subscription_id)id, lane, bytes_get_u64(key.p + 16));
    return ERR_OK;
}

/* Shipments has handled OrderShipped if the shipment's row says so. */
static enum err startup_confirmed(struct startup *s, const struct store_view *v,
                                  const struct event *e)
{
    char key[sizeof(e->lane) + 1 + TEXT_ID_MAX];
    const struct text_id *id = &e->p.shipment_id.t;
    struct shipment shipment = { 0 };
    struct str row;
    enum err err;

    memcpy(key, &e->lane, sizeof(e->lane));
    key[sizeof(e->lane)] = AGGREGATE_SHIPMENT;
    memcpy(key + sizeof(e->lane) + 1, id->s, id->n);
    err =
        store_get(v, DB_PARTS, (struct str){ key, sizeof(e->lane) + 1 + id->n }, &s->scratch, &row);
    if (err == ERR_OK)
        err = shipment_decode(row, &shipment);
    if (err == ERR_OK && shipment.is_confirmed)
        startup_note_handled(s, SUBSCRIPTION_SHIPMENTS, e->lane, e->position);
    shipment_deinit(&shipment);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static void startup_note_cause(struct startup *s, const struct event *e)
{
    struct cause *c = arena_alloc(&s->arena, sizeof(*c));

    c->id = e->id;
    c->position = e->position;
    map_insert(&s->causes, &c->node, uuid_bytes(&c->id.u));
}

/* A dead letter that parks its lane is not the end of its message, until it is discarded. One that
 * parks nothing is, also where it is retried: what that hands over has a row or an event of its own. */
static enum err startup_is_handled(struct startup *s, const struct store_view *v,
                                   const struct event *e, bool *is_handled)
{
    struct dead_letter letter;
    struct str row;
    enum err err;

    *is_handled = e->handled_by != SUBSCRIPTION_NONE;
    if (e->type != EVENT_DEAD_LETTERED)
        return ERR_OK;
    err = store_get(v, DB_DEAD_LETTERS, uuid_bytes(&e->p.dead_letter_id.u), &s->scratch, &row);
    if (err == ERR_OK)
        err = dead_letter_decode(row, &letter);
    if (err == ERR_OK)
        *is_handled = !letter.is_parking || letter.state == DEAD_LETTER_DISCARDED;
    return err == ERR_NOT_FOUND ? ERR_DAMAGED : err;
}

static enum err startup_behind_cursor(struct startup *s, const struct store_view *v,
                                      const struct event *e)
{
    bool is_handled;
    enum err handled_err = startup_is_handled(s, v, e, &is_handled);

    if (handled_err != ERR_OK)
        return handled_err;
    startup_note_cause(s, e);
    if (is_handled) {
        struct map_node *n = map_find(&s->causes, uuid_bytes(&e->cause.u));

        if (n)
            startup_note_handled(s, e->handled_by, e->lane,
                                 container_of(n, struct cause, node)->position);
    }
    if (e->type == EVENT_ORDER_SHIPPED) {
        enum err err = startup_confirmed(s, v, e);

        if (err != ERR_OK)
            return err;
    }
    if (startup_was_seen(s, e->lane))
        return ERR_OK;
    return startup_each(s, v, DB_IGNORED, uuid_bytes(&e->lane.u), startup_ignored);
}

/* Audit only writes lines: where it was off for long it does not go through all of history. */
static void startup_skip_audit(struct startup *s)
{
    if (s->last_position - s->cursors[SUBSCRIPTION_AUDIT] > s->app->config.bus_window)
        s->cursors[SUBSCRIPTION_AUDIT] = s->last_position;
}

/* A relay that is new, and not meant to pass on what was said before it. */
static void startup_begin_relays(struct startup *s)
{
    struct app *app = s->app;

    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++) {
        if (!app->relays[i] || !app->relays[i]->begins_now || s->has_cursor[i])
            continue;
        s->cursors[i] = s->last_position;
        app->begins_at_end[i] = true; /* and that is written down */
    }
}

/* Events from the slowest cursor, or from where the orders were last counted, to the end. */
static enum err startup_events(struct startup *s, const struct store_view *v)
{
    uint64_t slowest = s->last_position, at;

    startup_skip_audit(s);
    for (unsigned i = SUBSCRIPTION_NONE + 1; i < SUBSCRIPTION_COUNT; i++)
        /* A relay may be behind by history, and passes over nothing by what it left. */
        if (s->app->bus.subscriptions[i] && !subscription_is_relay((enum subscription_id)i) &&
            s->cursors[i] < slowest)
            slowest = s->cursors[i];
    at = slowest < s->counts.position ? slowest : s->counts.position;
    for (at++; at <= s->last_position; at++) {
        char key[8];
        struct event e;
        struct arena arena;
        struct str row;
        enum err err;

        arena_init(&arena, NULL, 0);
        bytes_put_u64(key, at);
        err = store_get(v, DB_EVENTS, (struct str){ key, sizeof(key) }, &arena, &row);
        if (err == ERR_OK)
            err = event_decode(row, at, &e, &arena);
        if (err == ERR_OK && at > s->counts.position)
            order_counts_add(&s->counts, &e);
        if (err == ERR_OK && at > slowest)
            err = startup_behind_cursor(s, v, &e);
        arena_deinit(&arena);
        if (err != ERR_OK)
            return err == ERR_NOT_FOUND ? ERR_DAMAGED : err; /* positions are dense */
    }
    return ERR_OK;
}

static enum err startup_deadline(struct startup *s, const struct store_view *v)
{
    struct str key, value;
    enum err err = store_seek(v, DB_DEADLINES, STORE_GE, STR_NONE, &s->scratch, &key, &value);

    if (err == ERR_OK && key.n == 8 + 16)
        s->next_deadline_ms = (int64_t)bytes_get_u64(key.p);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err startup_counts(struct startup *s, const struct store_view *v)
{
    struct str row;
    enum err err = store_get(v, DB_META, STR(META_COUNTS), &s->scratch, &row);

    if (err == ERR_NOT_FOUND)
        return ERR_OK;
    return err == ERR_OK ? order_counts_decode(row, &s->counts) : err;
}

/* A store that says nothing is of all contexts, or empty. */
static enum err startup_contexts(struct startup *s, const struct store_view *v)
{
    unsigned wanted = s->app->config.contexts;
    struct str row;
    enum err err = store_get(v, DB_META, STR(CONTEXTS_META), &s->scratch, &row);

    if (err != ERR_OK && err != ERR_NOT_FOUND)
        return err;
    s->has_contexts = err == ERR_OK || wanted == CONTEXTS_ALL;
    s->contexts = s->last_position > 0 ? CONTEXTS_ALL : wanted;
    if (err == ERR_OK) {
        if (row.n != 1)
            return ERR_DAMAGED;
        s->contexts = (unsigned char)row.p[0];
    }
    return s->contexts == wanted ? ERR_OK : ERR_INVALID;
}

/* ---- the read -------------------------------------------------------------------------------- */

static void startup_run(struct store_read *r, const struct store_view *v)
{
    struct startup *s = container_of(r, struct startup, read);
    enum err err = startup_last_event(s, v);

    if (err == ERR_OK)
        err = startup_contexts(s, v);
    if (err == ERR_OK)
        err = recent_check(v, s->last_position);
    if (err == ERR_OK)
        err = startup_each(s, v, DB_CURSORS, STR_NONE, startup_cursor);
    if (err == ERR_OK)
        err = startup_each(s, v, DB_LANES, STR_NONE, startup_lane);
    if (err == ERR_OK)
        err = startup_each(s, v, DB_META, STR(META_LETTERS), startup_letters);
    if (err == ERR_OK)
        err = startup_each(s, v, DB_SETTINGS, STR_NONE, startup_setting);
    if (err == ERR_OK)
        err = startup_each(s, v, DB_PRODUCTS, STR_NONE, startup_product);
    if (err == ERR_OK)
        err = startup_each(s, v, DB_STOCK, STR_NONE, startup_stock);
    if (err == ERR_OK)
        err = startup_each(s, v, DB_IDEMPOTENCY_EXPIRY, STR_NONE, startup_key);
    if (err == ERR_OK)
        err = startup_counts(s, v);
    if (err == ERR_OK)
        err = query_refunds_due(v, &s->refunds_due);
    if (err == ERR_OK)
        err = startup_events(s, v);
    if (err == ERR_OK)
        err = startup_deadline(s, v);
    s->status = err;
}

static void startup_recover_log(struct startup *s)
{
    struct event_log *log = &s->app->log;

    log->last_position = log->durable_position = s->last_position;
    if (s->last_position == 0)
        return;
    memcpy(log->uuids.last, s->last_id.u.b, sizeof(log->uuids.last));
    log->uuids.last_ms = uuid_time_ms(s->last_id.u);
}

/* Reads rows that the app's own objects were filled from; then the subscriptions go on. */
static void startup_hand_over(struct startup *s)
{
    struct app *app = s->app;

    startup_recover_log(s);
    startup_begin_relays(s);
    app->simulators = s->simulators;
    app->metrics.refunds_due = s->refunds_due;
    for (unsigned i = 0; i < SIMULATOR_COUNT; i++)
        app->has_setting[i] = s->has_setting[i];
    for (unsigned f = 0; f < FLOW_COUNT; f++)
        for (unsigned st = 0; st < ORDER_STATUS_COUNT; st++)
            app->metrics.orders[f][st] = s->counts.orders[f][st];
    for (unsigned i = SUBSCRIPTION_NONE + 1; i < SUBSCRIPTION_COUNT; i++) {
        struct subscription *sub = app_letters_of(app, (enum subscription_id)i);

        sub->sequence = s->sequences[i];
        sub->n_letters = s->letters[i];
        app->bus.n_dead_letters_open += s->letters[i];
        app->metrics.dead_letters_open[i] = s->letters[i];
        if (s->last_position > 0 && app->bus.subscriptions[i])
            bus_recover_subscription(sub, s->cursors[i], s->lanes[i], s->n_lanes[i]);
    }
    if (s->next_deadline_ms != INT64_MAX)
        deadlines_note(app, s->next_deadline_ms);
}

static void startup_done(struct store_read *r)
{
    struct startup *s = container_of(r, struct startup, read);
    struct app *app = s->app;
    enum err status = s->status;

    app->contexts_of_store = s->contexts;
    app->has_contexts = s->has_contexts;
    if (status == ERR_OK)
        startup_hand_over(s);
    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++)
        mem_free(s->lanes[i]);
    map_deinit(&s->causes);
    arena_deinit(&s->arena);
    arena_deinit(&s->scratch);
    mem_free(s);
    app_started(app, status);
}

enum err startup_start(struct app *app)
{
    struct startup *s = mem_zalloc(sizeof(*s));
    enum err err;

    s->app = app;
    s->simulators = app->config.simulators;
    s->next_deadline_ms = INT64_MAX;
    s->handled = &app->handled;
    arena_init(&s->arena, NULL, 0);
    arena_init(&s->scratch, NULL, 0);
    map_init(&s->causes, &app->handled.key);
    s->read = (struct store_read){ .run = startup_run, .done = startup_done };
    err = store_read_start(app->store, &s->read);
    if (err != ERR_OK) {
        map_deinit(&s->causes);
        mem_free(s);
    }
    return err;
}

/* ---- afterwards ------------------------------------------------------------------------------ */

bool startup_was_handled(const struct subscription *s, const struct message *m)
{
    const struct app *app = app_of(s);
    char key[sizeof(((struct handled *)NULL)->key)];
    struct map_node *n;

    key[0] = (char)s->config.id;
    memcpy(key + 1, &m->event.lane, sizeof(m->event.lane));
    n = map_find(&app->handled, (struct str){ key, sizeof(key) });
    return n && m->event.position <= container_of(n, struct handled, node)->position;
}

static void handled_free(void *ctx, struct map_node *n)
{
    (void)ctx;
    mem_free(container_of(n, struct handled, node));
}

void startup_forget(struct app *app)
{
    map_each(&app->handled, handled_free, NULL);
    map_deinit(&app->handled);
}
