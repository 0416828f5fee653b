/* Lane by lane, in the order of BY_LANE: the events of an order, cart or product are played again,
 * and every row that follows from them is compared, and there are no others.
 *
 * The databases that are keyed by lane are gone through alongside. The events of a lane may be read
 * in several moments, because events never change; its rows are compared in the moment that showed
 * the lane's end, and rows of lanes that have no events are looked for in the moment that showed
 * that there is none. */
#include "orderly/app/dead_letters.h"
#include "orderly/app/deferred_lane.h"
#include "orderly/app/snapshot_codec.h"
#include "orderly/base/bytes.h"
#include "verify_private.h"
#include <stdio.h>

#define LANE_KEY 16
#define PROGRESS_EVERY 1024 /* lanes */

static const enum store_db sides[] = { DB_ORDERS, DB_PARTS, DB_CARTS, DB_IGNORED,
                                       DB_DEAD_LETTERS_BY_LANE };
#define SIDES ARRAY_LEN(sides)

struct lane_pass {
    struct verifier *vr;
    struct replay replay;
    struct lmdb_scan by_lane;
    struct lmdb_scan sides[SIDES];
    char lane[LANE_KEY];
    char last[STORE_KEY_MAX]; /* of BY_LANE, the row that was played last */
    size_t last_len;
    bool is_readable;            /* all of the lane's events */
    uint64_t n_rows, n_rows_old; /* of BY_LANE; of them those that the walk along the log knows */
    uint64_t heard_position;     /* the cursor of Orders, in this moment */
};

static struct str lane_key(const struct lane_pass *p)
{
    return (struct str){ p->lane, LANE_KEY };
}

static bool key_is_of(struct str key, const char lane[LANE_KEY])
{
    return key.n >= LANE_KEY && memcmp(key.p, lane, LANE_KEY) == 0;
}

/* Keys that are shorter than a lane come before the lane that they begin. */
static bool key_is_before(struct str key, const char lane[LANE_KEY])
{
    size_t n = key.n < LANE_KEY ? key.n : LANE_KEY;
    int order = memcmp(key.p, lane, n);

    return order < 0 || (order == 0 && key.n < LANE_KEY);
}

/* ---- moments --------------------------------------------------------------------------------- */

static void pass_read_cursor(struct lane_pass *p)
{
    char key = SUBSCRIPTION_ORDERS;
    struct lmdb_row row;

    p->heard_position = 0;
    if (verifier_has(p->vr,
                     lmdb_look_get(p->vr->look, DB_CURSORS, (struct str){ &key, 1 }, &row)) &&
        row.value.n == 8)
        p->heard_position = bytes_get_u64(row.value.p);
}

/* Within a lane, which may have got events since: what lies before it was looked at. */
static void pass_renew(struct lane_pass *p)
{
    struct str last = { p->last, p->last_len };

    if (!verifier_renew(p->vr))
        return;
    lmdb_scan_refresh(&p->by_lane);
    lmdb_scan_seek(&p->by_lane, last);
    if (lmdb_scan_has_key(&p->by_lane) && str_eq(p->by_lane.row.key, last))
        lmdb_scan_next(&p->by_lane);
    for (unsigned i = 0; i < SIDES; i++) {
        lmdb_scan_refresh(&p->sides[i]);
        if (p->sides[i].status != ERR_IO)
            lmdb_scan_seek(&p->sides[i], lane_key(p));
    }
    pass_read_cursor(p);
}

/* ---- rows that nothing stands behind --------------------------------------------------------- */

static void side_drop(struct lane_pass *p, struct lmdb_scan *s)
{
    if (s->status == ERR_OK) /* else it is named already */
        verifier_fault(p->vr, s->db, s->row.key, "no event stands behind it");
    lmdb_scan_next(s);
}

static void sides_drop_before(struct lane_pass *p)
{
    for (unsigned i = 0; i < SIDES; i++)
        while (lmdb_scan_has_key(&p->sides[i]) && key_is_before(p->sides[i].row.key, p->lane))
            side_drop(p, &p->sides[i]);
}

static void sides_drop_rest(struct lane_pass *p)
{
    for (unsigned i = 0; i < SIDES; i++) {
        while (lmdb_scan_has_key(&p->sides[i]))
            side_drop(p, &p->sides[i]);
        (void)verifier_has(p->vr, p->sides[i].status);
    }
}

/* ---- dead letters ---------------------------------------------------------------------------- */

static const char *letter_disagrees(const struct dead_letter *d, const struct event *e)
{
    if (d->subscription != e->handled_by)
        return "is of another subscription than its event says";
    if (!uuid_eq(d->lane.u, e->lane.u))
        return "is of another order than its event says";
    if (!uuid_eq(d->message_id.u, e->cause.u) || d->position != e->p.message_position)
        return "is of another message than its event says";
    if (d->attempts != (uint64_t)e->p.attempts)
        return "counts other attempts than its event";
    if (!str_eq(d->error_code, e->p.error_code) || !str_eq(d->error_detail, e->p.error_detail))
        return "has another error than its event";
    return NULL;
}

static const char *closing_disagrees(const struct dead_letter *d, const struct event *e)
{
    enum dead_letter_state state =
        e->type == EVENT_DEAD_LETTER_RETRIED ? DEAD_LETTER_RETRIED : DEAD_LETTER_DISCARDED;

    return d->state == state && d->closed_position == e->position
               ? NULL
               : "is not closed as its event says";
}

/* Its rows are written with the event, and are never taken away. */
static void check_letter(struct lane_pass *p, const struct event *e)
{
    struct verifier *vr = p->vr;
    char bytes[ROW_KEY_LETTER];
    struct str key = row_key_letter(bytes, e->lane, e->p.dead_letter_id);
    struct str id = uuid_bytes(&e->p.dead_letter_id.u);
    struct dead_letter d;
    struct lmdb_row row;
    const char *why;
    enum err err = lmdb_look_get(vr->look, DB_DEAD_LETTERS_BY_LANE, key, &row);

    if (err == ERR_NOT_FOUND)
        verifier_fault(vr, DB_DEAD_LETTERS_BY_LANE, key, "is missing");
    (void)verifier_has(vr, err);
    err = lmdb_look_get(vr->look, DB_DEAD_LETTERS, id, &row);
    if (err == ERR_NOT_FOUND)
        verifier_fault(vr, DB_DEAD_LETTERS, id, "is missing");
    if (!verifier_has(vr, err) || dead_letter_decode(row.value, &d) != ERR_OK)
        return; /* a row that is no dead letter is met among the lists */
    why = e->type == EVENT_DEAD_LETTERED ? letter_disagrees(&d, e) : closing_disagrees(&d, e);
    if (why)
        verifier_fault(vr, DB_DEAD_LETTERS, id, "%s", why);
}

/* ---- events ---------------------------------------------------------------------------------- */

/* A row of BY_LANE whose sum is wrong was named already; it is followed if it leads to an event of
 * the lane all the same, so that the rest can be compared. */
static void play_event(struct lane_pass *p, uint64_t position)
{
    struct verifier *vr = p->vr;
    bool is_sound = p->by_lane.status == ERR_OK;
    char bytes[ROW_KEY_POSITION];
    struct str key = row_key_position(bytes, position);
    struct lmdb_row row;
    struct event e;
    const char *why;
    enum err err = lmdb_look_get(vr->look, DB_EVENTS, key, &row);

    if (err == ERR_NOT_FOUND && is_sound)
        verifier_fault(vr, DB_BY_LANE, p->by_lane.row.key, "there is no such event");
    if (!verifier_has(vr, err) || verifier_event(vr, row.value, position, &e) != ERR_OK) {
        p->is_readable &= !is_sound; /* a bad event was named, by the walk along the log */
        return;
    }
    if (!uuid_eq(e.lane.u, p->replay.lane.u)) {
        if (is_sound)
            verifier_fault(vr, DB_BY_LANE, p->by_lane.row.key, "the event is of another order");
        return;
    }
    why = replay_event(&p->replay, &e);
    if (why)
        verifier_fault(vr, DB_EVENTS, key, "%s", why);
    if (e.stream.type == AGGREGATE_SUBSCRIPTION && e.type != EVENT_MESSAGE_REFUSED)
        check_letter(p, &e);
}

static void play_row(struct lane_pass *p)
{
    struct verifier *vr = p->vr;
    struct str key = p->by_lane.row.key;
    uint64_t position;

    p->last_len = key.n < sizeof(p->last) ? key.n : sizeof(p->last);
    memcpy(p->last, key.p, p->last_len);
    if (key.n != ROW_KEY_BY_LANE) {
        verifier_fault(vr, DB_BY_LANE, key, "is no key of this list");
        return;
    }
    if (p->by_lane.status == ERR_OK && p->by_lane.row.value.n > 0)
        verifier_fault(vr, DB_BY_LANE, key, "holds something");
    position = bytes_get_u64(key.p + LANE_KEY);
    p->n_rows++;
    p->n_rows_old += position <= vr->log_position;
    play_event(p, position);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void say_order_differs(struct verifier *vr, struct str key, struct str is, struct str should)
{
    struct order_summary a;
    struct order_summary b;

    if (order_snapshot_summary(is, &a) != ERR_OK || order_snapshot_summary(should, &b) != ERR_OK ||
        (a.status == b.status && a.sequence == b.sequence))
        verifier_fault(vr, DB_ORDERS, key, "is not what its events make of it");
    else
        verifier_fault(vr, DB_ORDERS, key,
                       "is " STR_FMT " after %llu events, and its events make it " STR_FMT
                       " after %llu",
                       STR_ARG(order_status_name(a.status)), (unsigned long long)a.sequence,
                       STR_ARG(order_status_name(b.status)), (unsigned long long)b.sequence);
}

static void on_row(void *ctx, enum store_db db, struct str key, struct str value)
{
    struct lane_pass *p = ctx;
    struct verifier *vr = p->vr;
    struct lmdb_row row;
    enum err err = lmdb_look_get(vr->look, db, key, &row);

    if (err == ERR_NOT_FOUND)
        verifier_fault(vr, db, key, "is missing");
    if (!verifier_has(vr, err) || str_eq(row.value, value))
        return;
    if (db == DB_ORDERS)
        say_order_differs(vr, key, row.value, value);
    else
        verifier_fault(vr, db, key, "is not what its events make of it");
}

/* No event says it, so it is taken from the row; but only a shipment that left can be it. */
static void take_confirmed(struct lane_pass *p, struct replay_part *part)
{
    char bytes[ROW_KEY_PART_MAX];
    struct str id = text_id_str(&part->id);
    struct str key = row_key_part(bytes, p->replay.lane, AGGREGATE_SHIPMENT, id);
    struct shipment stored = { 0 };
    struct lmdb_row row;

    if (!verifier_has(p->vr, lmdb_look_get(p->vr->look, DB_PARTS, key, &row)) ||
        shipment_decode(row.value, &stored) != ERR_OK)
        return;
    part->state.shipment.is_confirmed = stored.is_confirmed;
    shipment_deinit(&stored);
    if (part->state.shipment.is_confirmed && !replay_ships_with(&p->replay, &part->id))
        verifier_fault(p->vr, DB_PARTS, key, "is confirmed, though it never shipped its order");
}

/* An id of its own leads to the lane, and nothing else does. */
static void check_unbound(struct lane_pass *p, const struct replay_part *part)
{
    char bytes[ROW_KEY_OWNER_MAX];
    struct str key = row_key_owner(bytes, part->state.type, text_id_str(&part->id));
    struct lmdb_row row;

    if (!replay_binds(&p->replay, part->state.type, text_id_str(&part->id)) &&
        verifier_has(p->vr, lmdb_look_get(p->vr->look, DB_OWNERS, key, &row)) &&
        key_is_of(row.value, p->lane))
        verifier_fault(p->vr, DB_OWNERS, key, "no event stands behind it");
}

static void check_parts(struct lane_pass *p)
{
    struct verify *v = p->vr->v;

    for (unsigned i = 0; i < p->replay.n_parts; i++) {
        struct replay_part *part = &p->replay.parts[i];

        check_unbound(p, part);
        v->payments += part->state.type == AGGREGATE_PAYMENT;
        v->reservations += part->state.type == AGGREGATE_RESERVATION;
        v->shipments += part->state.type == AGGREGATE_SHIPMENT;
        if (part->state.type == AGGREGATE_SHIPMENT)
            take_confirmed(p, part);
    }
}

/* ---- the rows that are there ----------------------------------------------------------------- */

static bool part_is_expected(const struct lane_pass *p, struct str key)
{
    return key.n > LANE_KEY + 1 &&
           replay_find_part(&p->replay, (enum aggregate)(uint8_t)key.p[LANE_KEY],
                            (struct str){ key.p + LANE_KEY + 1, key.n - LANE_KEY - 1 });
}

/* A message of this lane, of which a subscription made nothing. */
static bool ignored_is_expected(struct lane_pass *p, struct str key, struct str value)
{
    unsigned subscription = key.n == ROW_KEY_IGNORED ? (uint8_t)key.p[key.n - 1] : 0;
    struct lmdb_row row;

    return subscription > SUBSCRIPTION_NONE && subscription < SUBSCRIPTION_COUNT && value.n > 0 &&
           (uint8_t)value.p[0] < ORDER_STATUS_COUNT &&
           verifier_has(p->vr, lmdb_look_get(p->vr->look, DB_BY_LANE,
                                             (struct str){ key.p, ROW_KEY_BY_LANE }, &row));
}

/* A letter's own row names its lane. */
static bool letter_is_expected(struct lane_pass *p, struct str key)
{
    struct dead_letter d;
    struct lmdb_row row;

    if (key.n != ROW_KEY_LETTER)
        return false;
    return verifier_has(p->vr, lmdb_look_get(p->vr->look, DB_DEAD_LETTERS,
                                             (struct str){ key.p + LANE_KEY, 16 }, &row)) &&
           dead_letter_decode(row.value, &d) == ERR_OK && key_is_of(key, (const char *)d.lane.u.b);
}

static bool side_is_expected(struct lane_pass *p, const struct lmdb_scan *s)
{
    switch (s->db) {
    case DB_ORDERS:
        return s->row.key.n == LANE_KEY && p->replay.order;
    case DB_CARTS:
        return s->row.key.n == LANE_KEY && p->replay.cart.sequence > 0;
    case DB_PARTS:
        return part_is_expected(p, s->row.key);
    case DB_IGNORED:
        /* One whose sum is wrong was named already. */
        return s->status == ERR_DAMAGED || ignored_is_expected(p, s->row.key, s->row.value);
    default:
        return letter_is_expected(p, s->row.key);
    }
}

static void check_sides(struct lane_pass *p)
{
    uint64_t n_letters = 0;

    for (unsigned i = 0; i < SIDES; i++) {
        struct lmdb_scan *s = &p->sides[i];

        while (lmdb_scan_has_key(s) && key_is_of(s->row.key, p->lane)) {
            n_letters += s->db == DB_DEAD_LETTERS_BY_LANE;
            if (side_is_expected(p, s))
                lmdb_scan_next(s);
            else
                side_drop(p, s);
        }
        (void)verifier_has(p->vr, s->status);
    }
    if (n_letters > p->replay.n_letters)
        verifier_fault(p->vr, DB_DEAD_LETTERS_BY_LANE, lane_key(p),
                       "has %llu dead letters, and its events say %llu",
                       (unsigned long long)n_letters, (unsigned long long)p->replay.n_letters);
    p->vr->v->letters += n_letters;
}

/* ---- balance --------------------------------------------------------------------------------- */

static void on_unbalanced(void *ctx, const char *what)
{
    struct lane_pass *p = ctx;

    verifier_fault(p->vr, DB_ORDERS, lane_key(p), "%s", what);
}

/* Up to its cursor, or to the head of this lane where that is deferred. */
static uint64_t heard_of_lane(struct lane_pass *p)
{
    char key[DEFERRED_LANE_KEY_LEN];
    struct deferred_lane d;
    struct lmdb_row row;
    struct str k = { key, sizeof(key) };

    deferred_lane_key(SUBSCRIPTION_ORDERS, p->replay.lane, key);
    if (!verifier_has(p->vr, lmdb_look_get(p->vr->look, DB_LANES, k, &row)))
        return p->heard_position;
    if (deferred_lane_decode(k, row.value, &d) != ERR_OK)
        return 0;
    return d.head_position <= p->heard_position ? d.head_position - 1 : p->heard_position;
}

/* ---- a lane ---------------------------------------------------------------------------------- */

static void check_lane(struct lane_pass *p)
{
    struct verify *v = p->vr->v;

    if (!p->is_readable) { /* what it should be can't be told */
        for (unsigned i = 0; i < SIDES; i++)
            while (lmdb_scan_has_key(&p->sides[i]) && key_is_of(p->sides[i].row.key, p->lane))
                lmdb_scan_next(&p->sides[i]);
        return;
    }
    check_parts(p);
    replay_rows(&p->replay, on_row, p);
    check_sides(p);
    if (p->replay.order)
        replay_balance(&p->replay, heard_of_lane(p), on_unbalanced, p);
    v->orders += p->replay.order != NULL;
    v->carts += p->replay.cart.sequence > 0;
    v->products += p->replay.product.sequence > 0;
}

/* Keys that are too short to name a lane stand alone. */
static bool lane_begin(struct lane_pass *p)
{
    struct str key = p->by_lane.row.key;
    struct lane_id lane;

    if (key.n < LANE_KEY) {
        play_row(p);
        lmdb_scan_next(&p->by_lane);
        return false;
    }
    memcpy(p->lane, key.p, LANE_KEY);
    memcpy(lane.u.b, key.p, LANE_KEY);
    replay_begin(&p->replay, lane);
    p->is_readable = true;
    sides_drop_before(p);
    return true;
}

static void pass_lane(struct lane_pass *p)
{
    if (!lane_begin(p))
        return;
    while (!p->vr->is_over && lmdb_scan_has_key(&p->by_lane) &&
           key_is_of(p->by_lane.row.key, p->lane)) {
        play_row(p);
        lmdb_scan_next(&p->by_lane);
        if (lmdb_look_is_old(p->vr->look))
            pass_renew(p);
    }
    if (!p->vr->is_over)
        check_lane(p);
}

/* The rows of BY_LANE are all different and each leads to its event, so they are all there if there
 * are as many as events. */
static void check_all_met(struct lane_pass *p)
{
    const struct verifier *vr = p->vr;

    if (p->n_rows_old != vr->v->rows_of[DB_EVENTS] && !vr->has_bad_events)
        verifier_fault(p->vr, DB_BY_LANE, STR_NONE,
                       "has %llu rows up to position %llu, and there are %llu events",
                       (unsigned long long)p->n_rows_old, (unsigned long long)vr->log_position,
                       (unsigned long long)vr->v->rows_of[DB_EVENTS]);
}

void verify_lanes(struct verifier *vr)
{
    struct lane_pass p = { .vr = vr };
    uint64_t n = 0;

    if (!verifier_renew(vr))
        return;
    pass_read_cursor(&p);
    replay_init(&p.replay);
    lmdb_scan_begin(&p.by_lane, vr->look, DB_BY_LANE, STR_NONE);
    for (unsigned i = 0; i < SIDES; i++)
        lmdb_scan_begin(&p.sides[i], vr->look, sides[i], STR_NONE);
    while (!vr->is_over && lmdb_scan_has_key(&p.by_lane)) {
        pass_lane(&p);
        if (n++ % PROGRESS_EVERY == 0) {
            verifier_progress(vr, "orders", p.n_rows, vr->v->rows_of[DB_EVENTS]);
            (void)verifier_goes_on(vr);
        }
    }
    if (verifier_has(vr, p.by_lane.status == ERR_NOT_FOUND ? ERR_OK : p.by_lane.status) &&
        !vr->is_over) {
        sides_drop_rest(&p);
        check_all_met(&p);
    }
    lmdb_scan_end(&p.by_lane);
    for (unsigned i = 0; i < SIDES; i++)
        lmdb_scan_end(&p.sides[i]);
    replay_deinit(&p.replay);
}
