/* READ_MODEL: snapshots and lists are what the events say, no more and no less.
 *
 * The events of each lane are replayed as they become durable. After each write the rows that follow
 * are compared with those that are there, for the lanes that it touched; and counted, so that a row
 * that should have gone is met too. */
#include "orderly/app/row_keys.h"
#include "orderly/app/snapshot_codec.h"
#include "orderly/base/bytes.h"
#include "orderly/base/check.h"
#include "witness_private.h"

void models_event(struct witness *w, const struct event *e, struct seen *s)
{
    const char *why = replay_event(&s->lane->replay, e);

    if (why)
        witness_violate(w, SIM_STREAM, s->lane, "position %llu %s", (unsigned long long)e->position,
                        why);
}

struct compared {
    struct witness *w;
    const struct seen_lane *lane;
    unsigned n;
};

static void compare_row(void *ctx, enum store_db db, struct str key, struct str value)
{
    struct compared *c = ctx;
    const struct durable_row *r = rows_find(c->w, db, key);

    c->n++;
    if (!r)
        witness_violate(c->w, SIM_READ_MODEL, c->lane, "%s lacks a row", store_db_name(db));
    else if (!str_eq(r->value, value))
        witness_violate(c->w, SIM_READ_MODEL, c->lane, "a row of %s is not what the events say",
                        store_db_name(db));
}

/* No event says it: the row does, and Shipments has OrderShipped of it in hand as it becomes durable,
 * or had. */
static void take_confirmed(struct witness *w, struct seen_lane *l, struct replay_part *part)
{
    char key[ROW_KEY_PART_MAX];
    const struct order *o = l->replay.order;
    const struct durable_row *r = rows_find(
        w, DB_PARTS, row_key_part(key, l->id, AGGREGATE_SHIPMENT, text_id_str(&part->id)));
    const struct queue *q = &l->queues[SUBSCRIPTION_SHIPMENTS];
    struct shipment stored = { 0 };
    bool is_confirmed;

    if (part->state.shipment.is_confirmed || !r || shipment_decode(r->value, &stored) != ERR_OK)
        return;
    is_confirmed = stored.is_confirmed;
    shipment_deinit(&stored);
    if (is_confirmed && !l->is_confirmed) {
        l->is_confirmed = true;
        l->confirmed_us = w->awake_us;
    }
    if (!is_confirmed || !o || !text_id_eq(&o->shipment_id.t, &part->id))
        return;
    for (unsigned i = q->n; i-- > 0;)
        if (history_at(w, q->positions[i])->type == EVENT_ORDER_SHIPPED) {
            part->state.shipment.is_confirmed = true;
            history_settle(w, SUBSCRIPTION_SHIPMENTS, q->positions[i]);
            return;
        }
}

/* A payment that a person named and that came by itself, too: the replay names its owner twice. */
static bool owner_is_named_twice(const struct replay *r)
{
    const struct replay_part *p =
        r->marked.n > 0 ? replay_find_part(r, AGGREGATE_PAYMENT, text_id_str(&r->marked)) : NULL;

    return p && p->is_bound;
}

static void lane_judge(struct witness *w, struct seen_lane *l)
{
    struct compared c = { w, l, 0 };

    w->counts.judged++;
    for (unsigned i = 0; i < l->replay.n_parts; i++)
        if (l->replay.parts[i].state.type == AGGREGATE_SHIPMENT)
            take_confirmed(w, l, &l->replay.parts[i]);
    replay_rows(&l->replay, compare_row, &c);
    c.n -= owner_is_named_twice(&l->replay);
    if (c.n != l->n_rows)
        witness_violate(w, SIM_READ_MODEL, l, "%u rows belong to it, and its events say %u",
                        l->n_rows, c.n);
}

/* ---- lists with a row for each event ---------------------------------------------------------- */

static void note_listed(struct witness *w, const struct store_row *row)
{
    struct seen *s;

    if (row->db == DB_BY_LANE && row->key.n == ROW_KEY_BY_LANE) {
        s = history_at(w, bytes_get_u64(row->key.p + 16));
        if (s)
            s->is_by_lane = memcmp(row->key.p, s->lane->id.u.b, 16) == 0 && !row->is_delete;
    } else if (row->db == DB_BY_TYPE && row->key.n == ROW_KEY_BY_TYPE) {
        s = history_at(w, bytes_get_u64(row->key.p + 2));
        if (s)
            s->is_by_type = bytes_get_u16(row->key.p) == s->type && !row->is_delete;
    }
}

static void listed_judge(struct witness *w, const struct store_write *write)
{
    unsigned n = 0;

    for (unsigned i = 0; i < write->n_rows; i++) {
        note_listed(w, &write->rows[i]);
        n += write->rows[i].db == DB_EVENTS;
    }
    for (uint64_t at = w->n_events - n + 1; at <= w->n_events; at++) {
        const struct seen *s = history_at(w, at);

        if (!s->is_by_lane || !s->is_by_type)
            witness_violate(w, SIM_READ_MODEL, s->lane, "position %llu is not in %s",
                            (unsigned long long)at,
                            store_db_name(s->is_by_lane ? DB_BY_TYPE : DB_BY_LANE));
    }
}

/* ---- how many orders there are ---------------------------------------------------------------- */

static bool counts_add_up(struct witness *w, const struct order_counts *c)
{
    if (c->position < w->counted.position || c->position > w->n_events)
        return false;
    while (w->counted.position < c->position) {
        const struct seen *s = history_at(w, ++w->counted.position);
        struct event e;

        if (event_infos[s->type].aggregate != AGGREGATE_ORDER)
            continue;
        arena_reset(&w->scratch);
        if (event_decode(s->row, s->position, &e, &w->scratch) == ERR_OK)
            order_counts_add(&w->counted, &e);
    }
    return memcmp(c->orders, w->counted.orders, sizeof(c->orders)) == 0;
}

static void counts_judge(struct witness *w, struct str value)
{
    struct order_counts c = { 0 };

    if (order_counts_decode(value, &c) != ERR_OK || !counts_add_up(w, &c))
        witness_violate(w, SIM_READ_MODEL, NULL, "the counts of orders at %llu are wrong",
                        (unsigned long long)c.position);
}

void models_write(struct witness *w, const struct store_write *write)
{
    listed_judge(w, write);
    for (unsigned i = 0; i < write->n_rows; i++)
        if (write->rows[i].db == DB_META && str_eq(write->rows[i].key, STR(ORDER_COUNTS_META)))
            counts_judge(w, write->rows[i].value);
    while (!list_is_empty(&w->touched_lanes))
        lane_judge(w,
                   container_of(list_pop_front(&w->touched_lanes), struct seen_lane, touched_link));
}
