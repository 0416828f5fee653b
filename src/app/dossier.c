#include "orderly/app/dossier.h"
#include "orderly/app/event_codec.h"
#include "orderly/app/snapshot_codec.h"
#include "orderly/base/bytes.h"
#include "orderly/base/mem.h"

#define LANE_KEY 16

/* One load: runs on any thread, then hands its finds to the dossier. */
struct dossier_load {
    struct store_read read;
    struct dossier *dossier;
    struct lane_id lane;
    enum err status;
    struct order *order;
    struct list parts;
    unsigned n_parts;
};

void dossiers_init(struct dossiers *ds, struct store *store, const struct map_key *key,
                   size_t bytes_max)
{
    *ds = (struct dossiers){ .store = store, .bytes_max = bytes_max };
    map_init(&ds->map, key);
    list_init(&ds->lru);
}

static void part_destroy(struct part *p)
{
    if (p->type == AGGREGATE_RESERVATION)
        reservation_deinit(&p->reservation);
    if (p->type == AGGREGATE_SHIPMENT)
        shipment_deinit(&p->shipment);
    mem_free(p);
}

static void parts_destroy(struct list *parts)
{
    while (!list_is_empty(parts))
        part_destroy(container_of(list_pop_front(parts), struct part, link));
}

static void dossier_destroy(struct dossier *d)
{
    parts_destroy(&d->parts);
    order_destroy(d->order);
    mem_free(d);
}

static void dossier_destroy_node(void *ctx, struct map_node *n)
{
    (void)ctx;
    dossier_destroy(container_of(n, struct dossier, node));
}

void dossiers_deinit(struct dossiers *ds)
{
    map_each(&ds->map, dossier_destroy_node, NULL);
    map_deinit(&ds->map);
}

/* ---- bound ----------------------------------------------------------------------------------- */

static size_t dossier_memory(const struct dossier *d)
{
    size_t n = sizeof(*d) + d->n_parts * sizeof(struct part);

    list_for_each(at, &d->parts)
    {
        const struct part *p = container_of(at, struct part, link);

        if (p->type == AGGREGATE_RESERVATION)
            n += p->reservation.n_lines * sizeof(*p->reservation.lines);
        else if (p->type == AGGREGATE_SHIPMENT)
            n += p->shipment.tracking_number.n;
    }
    return n + (d->order ? order_memory(d->order) : 0);
}

static void dossiers_evict(struct dossiers *ds)
{
    while (ds->bytes > ds->bytes_max && !list_is_empty(&ds->lru)) {
        struct dossier *d = container_of(list_pop_front(&ds->lru), struct dossier, lru);

        INVARIANT(d->pins == 0);
        ds->bytes -= d->bytes;
        ds->n_evicted++;
        map_remove(&ds->map, &d->node);
        dossier_destroy(d);
    }
}

static void dossier_pin(struct dossier *d)
{
    d->pins++;
    list_remove(&d->lru);
}

static void dossier_forget(struct dossier *d)
{
    d->dossiers->bytes -= d->bytes;
    map_remove(&d->dossiers->map, &d->node);
    dossier_destroy(d);
}

/* Parts that nothing durable stands behind are not worth keeping. */
static void dossier_drop_empty_parts(struct dossier *d)
{
    struct list *at = d->parts.next;

    while (at != &d->parts) {
        struct part *p = container_of(at, struct part, link);

        at = at->next;
        if (p->sequence == 0 && turn_is_idle(&p->turn)) {
            list_remove(&p->link);
            d->n_parts--;
            part_destroy(p);
        }
    }
}

void dossier_close(struct dossier *d)
{
    struct dossiers *ds = d->dossiers;

    REQUIRE(d->pins > 0);
    if (--d->pins > 0)
        return;
    dossier_drop_empty_parts(d);
    if (!d->order && d->n_parts == 0) {
        dossier_forget(d); /* an unknown order leaves nothing behind */
        return;
    }
    ds->bytes -= d->bytes;
    d->bytes = dossier_memory(d);
    ds->bytes += d->bytes;
    list_push_back(&ds->lru, &d->lru);
    if (ds->bytes > ds->bytes_max)
        dossiers_evict(ds);
}

/* ---- parts ----------------------------------------------------------------------------------- */

static struct part *part_find(const struct list *parts, enum aggregate type, struct str id)
{
    list_for_each(at, parts)
    {
        struct part *p = container_of(at, struct part, link);

        if (p->type == type && str_eq(text_id_str(&p->id), id))
            return p;
    }
    return NULL;
}

struct part *dossier_find_part(struct dossier *d, enum aggregate type, struct str id)
{
    return part_find(&d->parts, type, id);
}

static bool part_is_ours(const struct part *p)
{
    switch (p->type) {
    case AGGREGATE_PAYMENT:
        return p->payment.is_ours;
    case AGGREGATE_RESERVATION:
        return p->reservation.is_ours;
    case AGGREGATE_SHIPMENT:
        return p->shipment.is_ours;
    default:
        return false;
    }
}

struct part *dossier_own_part(struct dossier *d, enum aggregate type)
{
    list_for_each(at, &d->parts)
    {
        struct part *p = container_of(at, struct part, link);

        if (p->type == type && p->sequence > 0 && part_is_ours(p))
            return p;
    }
    return NULL;
}

const struct inbox *dossier_inbox(const struct dossier *d)
{
    list_for_each(at, &d->parts)
    {
        const struct part *p = container_of(at, struct part, link);

        if (p->type == AGGREGATE_INBOX && p->sequence > 0)
            return &p->inbox;
    }
    return NULL;
}

bool dossier_reservation_counts(const struct dossier *d, const struct text_id *id)
{
    const struct inbox *heard = dossier_inbox(d);

    if (d->order)
        return text_id_eq(&d->order->reservation_id.t, id);
    return heard && text_id_eq(&heard->reservation_id.t, id);
}

static struct part *part_create(struct list *parts, enum aggregate type, struct str id)
{
    struct part *p = mem_zalloc(sizeof(*p));

    REQUIRE(id.n <= TEXT_ID_MAX);
    p->type = type;
    p->id.n = (uint8_t)id.n;
    memcpy(p->id.s, id.p, id.n);
    turn_init(&p->turn);
    list_push_back(parts, &p->link);
    return p;
}

struct part *dossier_part(struct dossier *d, enum aggregate type, struct str id)
{
    struct part *p = part_find(&d->parts, type, id);

    if (p)
        return p;
    d->n_parts++;
    return part_create(&d->parts, type, id);
}

void dossier_set_order(struct dossier *d, struct order *next)
{
    order_destroy(d->order);
    d->order = next;
}

/* ---- loading --------------------------------------------------------------------------------- */

static enum err load_order(struct dossier_load *l, const struct store_view *v, struct arena *a)
{
    struct str key = uuid_bytes(&l->lane.u), row, placed_row;
    struct event placed;
    char position[8];
    uint64_t placed_position;
    enum err err = store_get(v, DB_ORDERS, key, a, &row);

    if (err != ERR_OK)
        return err == ERR_NOT_FOUND ? ERR_OK : err;
    err = order_snapshot_placed_position(row, &placed_position);
    if (err != ERR_OK)
        return err;
    bytes_put_u64(position, placed_position);
    err = store_get(v, DB_EVENTS, (struct str){ position, 8 }, a, &placed_row);
    if (err == ERR_OK)
        err = event_decode(placed_row, placed_position, &placed, a);
    if (err == ERR_OK)
        err = order_snapshot_decode(row, &placed, &l->order);
    return err == ERR_NOT_FOUND ? ERR_DAMAGED : err;
}

static enum err part_decode(struct part *p, struct str row)
{
    enum err err = ERR_DAMAGED;

    if (p->type == AGGREGATE_PAYMENT) {
        err = payment_decode(row, &p->payment);
        p->sequence = p->payment.sequence;
    } else if (p->type == AGGREGATE_RESERVATION) {
        err = reservation_decode(row, &p->reservation);
        p->sequence = p->reservation.sequence;
    } else if (p->type == AGGREGATE_SHIPMENT) {
        err = shipment_decode(row, &p->shipment);
        p->sequence = p->shipment.sequence;
    } else if (p->type == AGGREGATE_INBOX) {
        err = inbox_decode(row, &p->inbox);
        p->sequence = p->inbox.sequence;
    }
    return err;
}

/* Part keys are lane, type, id. */
static enum err load_parts(struct dossier_load *l, const struct store_view *v, struct arena *a)
{
    struct str from = uuid_bytes(&l->lane.u), key, row;
    enum store_seek how = STORE_GE;

    for (;;) {
        enum err err = store_seek(v, DB_PARTS, how, from, a, &key, &row);
        struct part *p;

        if (err == ERR_NOT_FOUND ||
            (err == ERR_OK && (key.n < LANE_KEY || memcmp(key.p, l->lane.u.b, LANE_KEY) != 0)))
            return ERR_OK;
        if (err != ERR_OK)
            return err;
        if (key.n < LANE_KEY + 2 || key.n > LANE_KEY + 1 + TEXT_ID_MAX)
            return ERR_DAMAGED;
        p = part_create(&l->parts, (enum aggregate)(uint8_t)key.p[LANE_KEY],
                        (struct str){ key.p + LANE_KEY + 1, key.n - LANE_KEY - 1 });
        l->n_parts++;
        err = part_decode(p, row);
        if (err != ERR_OK)
            return err;
        from = key;
        how = STORE_GT;
    }
}

static void dossier_load_run(struct store_read *r, const struct store_view *v)
{
    struct dossier_load *l = container_of(r, struct dossier_load, read);
    struct arena a;

    arena_init(&a, NULL, 0);
    l->status = load_order(l, v, &a);
    if (l->status == ERR_OK)
        l->status = load_parts(l, v, &a);
    arena_deinit(&a);
}

/* Wakes all who wait, with the dossier pinned for each if it was read. The loader's own pin keeps
 * the dossier while they run. */
static void dossier_loaded(struct dossier *d, enum err status)
{
    struct list waiting;

    list_take_all(&waiting, &d->waiting);
    while (!list_is_empty(&waiting)) {
        struct dossier_wait *w = container_of(list_pop_front(&waiting), struct dossier_wait, link);

        if (status == ERR_OK) {
            dossier_pin(d);
            w->dossier = d;
        }
        w->ready(w, status);
    }
    if (status == ERR_OK)
        dossier_close(d);
    else
        dossier_forget(d);
}

static void dossier_load_done(struct store_read *r)
{
    struct dossier_load *l = container_of(r, struct dossier_load, read);
    struct dossier *d = l->dossier;
    enum err status = l->status;

    if (status == ERR_OK) {
        d->order = l->order;
        d->n_parts = l->n_parts;
        list_take_all(&d->parts, &l->parts);
        d->is_loaded = true;
    } else {
        order_destroy(l->order);
        parts_destroy(&l->parts);
    }
    mem_free(l);
    dossier_loaded(d, status);
}

static struct dossier *dossier_create(struct dossiers *ds, struct lane_id lane)
{
    struct dossier *d = mem_zalloc(sizeof(*d));

    d->dossiers = ds;
    d->lane = lane;
    list_init(&d->lru);
    list_init(&d->parts);
    list_init(&d->waiting);
    list_init(&d->watchers);
    turn_init(&d->turn);
    map_insert(&ds->map, &d->node, uuid_bytes(&d->lane.u));
    d->pins = 1;
    return d;
}

static struct dossier *dossier_find(struct dossiers *ds, struct lane_id lane)
{
    struct map_node *n = map_find(&ds->map, uuid_bytes(&lane.u));

    return n ? container_of(n, struct dossier, node) : NULL;
}

struct dossier *dossier_open_new(struct dossiers *ds, struct lane_id lane)
{
    struct dossier *d;

    REQUIRE(dossier_find(ds, lane) == NULL);
    d = dossier_create(ds, lane);
    d->is_loaded = true;
    return d;
}

struct dossier *dossier_peek(struct dossiers *ds, struct lane_id lane)
{
    struct dossier *d = dossier_find(ds, lane);

    return d && d->is_loaded ? d : NULL;
}

static enum err dossier_load_start(struct dossiers *ds, struct dossier *d)
{
    struct dossier_load *l = mem_zalloc(sizeof(*l));
    enum err err;

    l->dossier = d;
    l->lane = d->lane;
    l->read.run = dossier_load_run;
    l->read.done = dossier_load_done;
    list_init(&l->parts);
    err = store_read_start(ds->store, &l->read);
    if (err != ERR_OK)
        mem_free(l);
    return err;
}

void dossier_open(struct dossiers *ds, struct lane_id lane, struct dossier_wait *w)
{
    struct dossier *d = dossier_find(ds, lane);

    if (d && d->is_loaded) {
        dossier_pin(d);
        w->dossier = d;
        w->ready(w, ERR_OK);
        return;
    }
    if (!d) {
        enum err err;

        d = dossier_create(ds, lane);
        err = dossier_load_start(ds, d);
        if (err != ERR_OK) {
            dossier_forget(d);
            w->ready(w, err);
            return;
        }
    }
    list_push_back(&d->waiting, &w->link);
}
