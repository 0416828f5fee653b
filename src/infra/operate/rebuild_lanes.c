/* Lane by lane, in the order of the fresh store's own list: the events are played again, and every
 * row that follows from them is written. */
#include "orderly/app/deferred_lane.h"
#include "orderly/app/event_codec.h"
#include "orderly/app/replay.h"
#include "orderly/app/snapshot_codec.h"
#include "orderly/base/bytes.h"
#include "rebuild_private.h"

#define LANE_KEY 16
#define PROGRESS_EVERY 1024

struct lane_writer {
    struct rebuilder *rb;
    struct lmdb_look *to;
    struct replay replay;
    struct lmdb_scan by_lane;
    uint64_t shipped_position; /* of the order's OrderShipped; 0: none */
    uint64_t n_rows;
    uint64_t heard_position; /* the cursor of Shipments */
};

static void on_row(void *ctx, enum store_db db, struct str key, struct str value)
{
    struct lane_writer *w = ctx;

    rebuilder_put(w->rb, db, key, value);
}

/* ---- was OrderShipped heard? ----------------------------------------------------------------- */

/* Shipments has done what it would with all messages of the lane up to there. */
static uint64_t heard_of_lane(struct lane_writer *w)
{
    char key[DEFERRED_LANE_KEY_LEN];
    struct str k = { key, sizeof(key) };
    struct deferred_lane d;
    struct lmdb_row row;

    deferred_lane_key(SUBSCRIPTION_SHIPMENTS, w->replay.lane, key);
    if (!rebuilder_old(w->rb, DB_LANES, k, &row) ||
        deferred_lane_decode(k, row.value, &d) != ERR_OK)
        return w->heard_position;
    return d.head_position <= w->heard_position ? d.head_position - 1 : w->heard_position;
}

/* No event says it. Where the row that does can't be read: it was heard if something came of it, or
 * if the subscription has passed it. If that is not so yet it will be heard again, which does no
 * harm. */
static bool was_confirmed(struct lane_writer *w, const struct replay_part *p)
{
    char bytes[ROW_KEY_PART_MAX];
    struct str key = row_key_part(bytes, w->replay.lane, AGGREGATE_SHIPMENT, text_id_str(&p->id));
    struct shipment old = { 0 };
    struct lmdb_row row;
    bool was;

    if (!replay_ships_with(&w->replay, &p->id))
        return false;
    if (rebuilder_old(w->rb, DB_PARTS, key, &row) && shipment_decode(row.value, &old) == ERR_OK) {
        was = old.is_confirmed;
        shipment_deinit(&old);
        return was;
    }
    if (p->state.shipment.status == SHIPMENT_STATUS_DISPATCHED ||
        p->state.shipment.status == SHIPMENT_STATUS_DELIVERED)
        return true;
    return w->shipped_position > 0 && w->shipped_position <= heard_of_lane(w);
}

static void read_cursor(struct lane_writer *w)
{
    char key = SUBSCRIPTION_SHIPMENTS;
    struct lmdb_row row;

    w->heard_position = 0;
    if (rebuilder_old(w->rb, DB_CURSORS, (struct str){ &key, 1 }, &row) && row.value.n == 8)
        w->heard_position = bytes_get_u64(row.value.p);
}

/* ---- a lane ---------------------------------------------------------------------------------- */

static void play_row(struct lane_writer *w)
{
    struct rebuilder *rb = w->rb;
    char bytes[ROW_KEY_POSITION];
    uint64_t position = bytes_get_u64(w->by_lane.row.key.p + LANE_KEY);
    struct str key = row_key_position(bytes, position);
    struct lmdb_row row;
    struct event e;
    const char *why;

    arena_reset(&rb->arena);
    if (lmdb_look_get(w->to, DB_EVENTS, key, &row) != ERR_OK ||
        event_decode(row.value, position, &e, &rb->arena) != ERR_OK) {
        rb->err = ERR_IO; /* what was written just now */
        return;
    }
    why = replay_event(&w->replay, &e);
    if (why) /* then no row of it can be right */
        rebuilder_fault(rb, DB_EVENTS, key, why);
    if (e.type == EVENT_ORDER_SHIPPED)
        w->shipped_position = position;
    if (e.stream.type == AGGREGATE_SUBSCRIPTION && e.type != EVENT_MESSAGE_REFUSED)
        rebuild_letter(rb, &e);
    w->n_rows++;
}

static void write_lane(struct lane_writer *w)
{
    for (unsigned i = 0; i < w->replay.n_parts; i++) {
        struct replay_part *p = &w->replay.parts[i];

        if (p->state.type == AGGREGATE_SHIPMENT)
            p->state.shipment.is_confirmed = was_confirmed(w, p);
    }
    replay_rows(&w->replay, on_row, w);
}

static void rebuild_lane(struct lane_writer *w)
{
    struct lane_id lane;

    memcpy(lane.u.b, w->by_lane.row.key.p, LANE_KEY);
    replay_begin(&w->replay, lane);
    w->shipped_position = 0;
    while (w->rb->err == ERR_OK && w->by_lane.status == ERR_OK &&
           memcmp(w->by_lane.row.key.p, lane.u.b, LANE_KEY) == 0) {
        play_row(w);
        lmdb_scan_next(&w->by_lane);
    }
    if (w->rb->err == ERR_OK)
        write_lane(w);
}

void rebuild_lanes(struct rebuilder *rb)
{
    struct lane_writer w = { .rb = rb };
    uint64_t n = 0;

    rb->err = lmdb_build_commit(rb->b); /* so that the list can be seen */
    if (rb->err != ERR_OK)
        return;
    w.to = lmdb_build_to(rb->b);
    read_cursor(&w);
    replay_init(&w.replay);
    lmdb_scan_begin(&w.by_lane, w.to, DB_BY_LANE, STR_NONE);
    while (w.by_lane.status == ERR_OK && rb->err == ERR_OK) {
        rebuild_lane(&w);
        if (n++ % PROGRESS_EVERY == 0)
            rebuilder_progress(rb, "play the orders", w.n_rows, rb->r->events);
        if (rb->err == ERR_OK && lmdb_build_is_large(rb->b) && rebuilder_goes_on(rb))
            lmdb_scan_refresh(&w.by_lane);
    }
    if (rb->err == ERR_OK && w.by_lane.status != ERR_NOT_FOUND)
        rb->err = ERR_IO;
    if (rb->err == ERR_OK && rb->r->n_faults > 0)
        rb->err = ERR_DAMAGED;
    lmdb_scan_end(&w.by_lane);
    replay_deinit(&w.replay);
}
