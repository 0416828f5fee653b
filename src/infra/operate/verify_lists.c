/* Backwards: each row of a list leads to what it is of, and that says that the row should be there.
 * That no row is missing is seen from the orders (verify_lanes.c), and here for what no event
 * makes: stored answers, deferred lanes, dead letters. */
#include "orderly/app/dead_letters.h"
#include "orderly/app/deferred_lane.h"
#include "orderly/app/failure.h"
#include "orderly/app/idempotency.h"
#include "orderly/app/snapshot_codec.h"
#include "orderly/base/bytes.h"
#include "verify_private.h"

#define ID_KEY 16

struct list_pass {
    struct verifier *vr;
    struct str key, value; /* of the row */
};

static enum err list_get(struct list_pass *p, enum store_db db, struct str key,
                         struct lmdb_row *row)
{
    return lmdb_look_get(p->vr->look, db, key, row);
}

static void list_fault(struct list_pass *p, enum store_db db, const char *what)
{
    verifier_fault(p->vr, db, p->key, "%s", what);
}

/* ---- lists of orders ------------------------------------------------------------------------- */

/* False: said what is wrong, or the order's own row is damaged, which was said. */
static bool order_of(struct list_pass *p, enum store_db db, struct str id, struct lmdb_row *row,
                     struct order_summary *out)
{
    enum err err = list_get(p, DB_ORDERS, id, row);

    if (err == ERR_NOT_FOUND)
        list_fault(p, db, "there is no such order");
    return verifier_has(p->vr, err) && order_snapshot_summary(row->value, out) == ERR_OK;
}

static void list_is(struct list_pass *p, enum store_db db, bool is_expected, struct str should)
{
    if (!is_expected || !str_eq(p->key, should))
        list_fault(p, db, "its order does not belong there");
    else if (p->value.n > 0)
        list_fault(p, db, "holds something");
}

static bool key_has(struct list_pass *p, enum store_db db, size_t len)
{
    if (p->key.n == len)
        return true;
    list_fault(p, db, "is no key of this list");
    return false;
}

static void check_status(struct list_pass *p)
{
    struct order_summary s;
    char key[ROW_KEY_STATUS];
    struct lmdb_row row;

    if (key_has(p, DB_ORDERS_BY_STATUS, ROW_KEY_STATUS) &&
        order_of(p, DB_ORDERS_BY_STATUS, (struct str){ p->key.p + 1, ID_KEY }, &row, &s))
        list_is(p, DB_ORDERS_BY_STATUS, true, row_key_status(key, s.status, s.id));
}

static void check_customer(struct list_pass *p)
{
    struct order_summary s;
    char key[ROW_KEY_CUSTOMER_MAX];
    struct lmdb_row row;

    if (p->key.n <= ID_KEY + 1)
        list_fault(p, DB_ORDERS_BY_CUSTOMER, "is no key of this list");
    else if (order_of(p, DB_ORDERS_BY_CUSTOMER,
                      (struct str){ p->key.p + p->key.n - ID_KEY, ID_KEY }, &row, &s))
        list_is(p, DB_ORDERS_BY_CUSTOMER, true, row_key_customer(key, &s.customer_id, s.id));
}

static void check_unsettled(struct list_pass *p)
{
    struct order_summary s;
    char key[ROW_KEY_TIME];
    struct lmdb_row row;

    if (key_has(p, DB_UNSETTLED, ROW_KEY_TIME) &&
        order_of(p, DB_UNSETTLED, (struct str){ p->key.p + 8, ID_KEY }, &row, &s))
        list_is(p, DB_UNSETTLED, s.unsettled_since_ms != 0,
                row_key_time(key, s.unsettled_since_ms, s.id));
}

static void check_deadline(struct list_pass *p)
{
    struct order_summary s;
    char key[ROW_KEY_TIME];
    struct lmdb_row row;

    if (key_has(p, DB_DEADLINES, ROW_KEY_TIME) &&
        order_of(p, DB_DEADLINES, (struct str){ p->key.p + 8, ID_KEY }, &row, &s))
        list_is(p, DB_DEADLINES,
                s.payment_deadline_ms != 0 &&
                    flow_find(flow_of(s.flow), s.status, ORDER_INPUT_PAYMENT_TIMEOUT),
                row_key_time(key, s.payment_deadline_ms, s.id));
}

/* The whole order; NULL: it can't be made, which was said. Owner: the caller. */
static struct order *whole_order(struct list_pass *p, struct str row, const struct order_summary *s)
{
    char position[ROW_KEY_POSITION];
    struct str key = row_key_position(position, s->placed_position);
    struct order *o = NULL;
    struct lmdb_row placed;
    struct event e;

    if (!verifier_has(p->vr, list_get(p, DB_EVENTS, key, &placed)) ||
        verifier_event(p->vr, placed.value, s->placed_position, &e) != ERR_OK ||
        order_snapshot_decode(row, &e, &o) != ERR_OK)
        return NULL;
    return o;
}

static void check_refund_due(struct list_pass *p)
{
    struct order_summary s;
    struct order *o = NULL;
    struct lmdb_row row;

    if (key_has(p, DB_REFUNDS_DUE, ID_KEY) && order_of(p, DB_REFUNDS_DUE, p->key, &row, &s))
        o = whole_order(p, row.value, &s);
    if (o)
        list_is(p, DB_REFUNDS_DUE, order_has_refund_due(o), p->key);
    order_destroy(o);
}

/* A payment that a person named (mark-paid) is known to its order only. */
static bool is_marked(struct list_pass *p, struct lane_id lane)
{
    struct order_summary s;
    struct order *o = NULL;
    struct lmdb_row row;
    bool is = false;

    if (p->key.p[0] == AGGREGATE_PAYMENT &&
        verifier_has(p->vr, list_get(p, DB_ORDERS, uuid_bytes(&lane.u), &row)) &&
        order_snapshot_summary(row.value, &s) == ERR_OK)
        o = whole_order(p, row.value, &s);
    if (o)
        is = str_eq(text_id_str(&o->payment_id.t), (struct str){ p->key.p + 1, p->key.n - 1 });
    order_destroy(o);
    return is;
}

/* That it is the right part, and bound, is seen from the lane. */
static void check_owner(struct list_pass *p)
{
    char key[ROW_KEY_PART_MAX];
    struct lane_id lane;
    struct lmdb_row row;
    enum err err;

    if (p->value.n != sizeof(lane) || p->key.n < 2 || p->key.n > ROW_KEY_OWNER_MAX) {
        list_fault(p, DB_OWNERS, "is no row of this list");
        return;
    }
    memcpy(&lane, p->value.p, sizeof(lane));
    err = list_get(p, DB_PARTS,
                   row_key_part(key, lane, (enum aggregate)(uint8_t)p->key.p[0],
                                (struct str){ p->key.p + 1, p->key.n - 1 }),
                   &row);
    if (err == ERR_NOT_FOUND && !is_marked(p, lane))
        list_fault(p, DB_OWNERS, "leads to an order that does not have it");
    (void)verifier_has(p->vr, err);
}

/* ---- stored answers -------------------------------------------------------------------------- */

static void check_key(struct list_pass *p)
{
    struct stored_answer answer;
    char key[ROW_KEY_TIME];
    struct lmdb_row row;
    enum err err;

    p->vr->v->keys++;
    if (p->key.n != ID_KEY || stored_answer_decode(p->value, &answer) != ERR_OK) {
        list_fault(p, DB_IDEMPOTENCY, "is no stored answer");
        return;
    }
    bytes_put_u64(key, (uint64_t)answer.expires_ms);
    memcpy(key + 8, p->key.p, ID_KEY);
    err = list_get(p, DB_IDEMPOTENCY_EXPIRY, (struct str){ key, sizeof(key) }, &row);
    if (err == ERR_NOT_FOUND)
        verifier_fault(p->vr, DB_IDEMPOTENCY_EXPIRY, (struct str){ key, sizeof(key) },
                       "is missing");
    (void)verifier_has(p->vr, err);
}

/* A key that was used again after its time has a younger answer; the old expiry goes by itself. */
static void check_expiry(struct list_pass *p)
{
    struct stored_answer answer;
    struct lmdb_row row;
    enum err err;

    if (!key_has(p, DB_IDEMPOTENCY_EXPIRY, ROW_KEY_TIME))
        return;
    err = list_get(p, DB_IDEMPOTENCY, (struct str){ p->key.p + 8, ID_KEY }, &row);
    if (err == ERR_NOT_FOUND)
        list_fault(p, DB_IDEMPOTENCY_EXPIRY, "there is no such stored answer");
    if (!verifier_has(p->vr, err) || stored_answer_decode(row.value, &answer) != ERR_OK)
        return;
    if (answer.expires_ms < (int64_t)bytes_get_u64(p->key.p))
        list_fault(p, DB_IDEMPOTENCY_EXPIRY, "the stored answer goes before");
    else if (p->value.n > 0)
        list_fault(p, DB_IDEMPOTENCY_EXPIRY, "holds something");
}

/* ---- deferred lanes and dead letters --------------------------------------------------------- */

static bool has_message(struct list_pass *p, struct lane_id lane, uint64_t position)
{
    char key[ROW_KEY_BY_LANE];
    struct lmdb_row row;

    return verifier_has(p->vr, list_get(p, DB_BY_LANE, row_key_by_lane(key, lane, position), &row));
}

static bool has_event(struct list_pass *p, enum event_type type, uint64_t position)
{
    char key[ROW_KEY_BY_TYPE];
    struct lmdb_row row;

    return verifier_has(p->vr, list_get(p, DB_BY_TYPE, row_key_by_type(key, type, position), &row));
}

/* The dead letter that the lane waits behind, or that an alone one was retried from. */
static void check_lane_letter(struct list_pass *p, const struct deferred_lane *lane,
                              struct dead_letter_id id)
{
    struct dead_letter d;
    struct lmdb_row row;
    enum err err = list_get(p, DB_DEAD_LETTERS, uuid_bytes(&id.u), &row);

    if (err == ERR_NOT_FOUND)
        list_fault(p, DB_LANES, "is of a dead letter that is not there");
    if (!verifier_has(p->vr, err) || dead_letter_decode(row.value, &d) != ERR_OK)
        return;
    if (d.subscription != lane->subscription || d.position != lane->head_position ||
        !(lane->is_alone || uuid_eq(d.lane.u, lane->lane.u)))
        list_fault(p, DB_LANES, "is of the dead letter of another message");
    if (d.state != (lane->is_alone ? DEAD_LETTER_RETRIED : DEAD_LETTER_PARKED))
        list_fault(p, DB_LANES, "is of a dead letter that is not parked, or was not retried");
}

/* The head is a message of the lane; or the lane has come past one and has not looked further. */
static void check_head(struct list_pass *p, const struct deferred_lane *lane)
{
    bool has_passed = lane->attempts == 0 && !lane->is_parked && lane->payload_position == 0;

    if (!has_message(p, lane->lane, lane->head_position) &&
        !(has_passed && has_message(p, lane->lane, lane->head_position - 1)))
        list_fault(p, DB_LANES, "its head is no message of this order");
}

static void check_deferred(struct list_pass *p)
{
    struct deferred_lane lane;

    p->vr->v->lanes++;
    if (deferred_lane_decode(p->key, p->value, &lane) != ERR_OK) {
        list_fault(p, DB_LANES, "is no deferred lane");
        return;
    }
    if (lane.payload_position && !has_event(p, EVENT_DEAD_LETTER_RETRIED, lane.payload_position))
        list_fault(p, DB_LANES, "its payload was given by no event");
    if (lane.is_alone) {
        check_lane_letter(p, &lane, (struct dead_letter_id){ lane.lane.u });
        return;
    }
    check_head(p, &lane);
    if (lane.is_parked)
        check_lane_letter(p, &lane, lane.dead_letter_id);
}

static void check_letter_is_parked(struct list_pass *p, const struct dead_letter *d)
{
    char key[DEFERRED_LANE_KEY_LEN];
    struct str k = { key, sizeof(key) };
    struct deferred_lane lane;
    struct lmdb_row row;
    enum err err;

    deferred_lane_key(d->subscription, d->lane, key);
    err = list_get(p, DB_LANES, k, &row);
    if (err == ERR_NOT_FOUND)
        list_fault(p, DB_DEAD_LETTERS, "is parked, and its lane is not deferred");
    if (verifier_has(p->vr, err) && deferred_lane_decode(k, row.value, &lane) == ERR_OK &&
        !(lane.is_parked && memcmp(lane.dead_letter_id.u.b, p->key.p, ID_KEY) == 0))
        list_fault(p, DB_DEAD_LETTERS, "is parked, and its lane waits for something else");
}

/* What its own fields say of each other. */
static const char *letter_contradiction(struct list_pass *p, const struct dead_letter *d)
{
    enum failure_code code;

    if (dead_letter_is_open(d) != (d->closed_position == 0))
        return "is closed by no event";
    if (dead_letter_is_open(d) && d->is_parking != (d->state == DEAD_LETTER_PARKED))
        return "is parked, or not, against its own word";
    if (d->is_parking && failure_code_parse(d->error_code, &code) && failure_is_permanent(code))
        return "is parked after a failure that parks nothing";
    if (d->closed_position &&
        !has_event(p,
                   d->state == DEAD_LETTER_RETRIED ? EVENT_DEAD_LETTER_RETRIED
                                                   : EVENT_DEAD_LETTER_DISCARDED,
                   d->closed_position))
        return "is closed by no event";
    if (d->payload_position && !has_event(p, EVENT_DEAD_LETTER_RETRIED, d->payload_position))
        return "its payload was given by no event";
    return NULL;
}

static const char *letter_message_fault(struct list_pass *p, const struct dead_letter *d)
{
    char key[ROW_KEY_POSITION];
    struct lmdb_row row;
    struct event e;
    enum err err = list_get(p, DB_EVENTS, row_key_position(key, d->position), &row);

    if (err == ERR_NOT_FOUND)
        return "is of no message";
    if (!verifier_has(p->vr, err) || verifier_event(p->vr, row.value, d->position, &e) != ERR_OK)
        return NULL; /* said already */
    return uuid_eq(e.id.u, d->message_id.u) && uuid_eq(e.lane.u, d->lane.u) && e.type == d->type
               ? NULL
               : "is of another message than it says";
}

static void check_letter(struct list_pass *p)
{
    struct dead_letter_id id;
    struct dead_letter d;
    char key[ROW_KEY_LETTER];
    struct lmdb_row row;
    const char *why;
    enum err err;

    if (p->key.n != sizeof(id) || dead_letter_decode(p->value, &d) != ERR_OK) {
        list_fault(p, DB_DEAD_LETTERS, "is no dead letter");
        return;
    }
    memcpy(&id, p->key.p, sizeof(id));
    err = list_get(p, DB_DEAD_LETTERS_BY_LANE, row_key_letter(key, d.lane, id), &row);
    if (err == ERR_NOT_FOUND)
        list_fault(p, DB_DEAD_LETTERS, "no event stands behind it");
    (void)verifier_has(p->vr, err);
    why = letter_message_fault(p, &d);
    if (!why)
        why = letter_contradiction(p, &d);
    if (why)
        list_fault(p, DB_DEAD_LETTERS, why);
    if (d.state == DEAD_LETTER_PARKED)
        check_letter_is_parked(p, &d);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static const struct {
    enum store_db db;
    bool is_list;
    void (*check)(struct list_pass *p);
} lists[] = {
    { DB_ORDERS_BY_STATUS, true, check_status }, { DB_ORDERS_BY_CUSTOMER, true, check_customer },
    { DB_UNSETTLED, true, check_unsettled },     { DB_DEADLINES, true, check_deadline },
    { DB_REFUNDS_DUE, true, check_refund_due },  { DB_OWNERS, true, check_owner },
    { DB_IDEMPOTENCY, false, check_key },        { DB_IDEMPOTENCY_EXPIRY, true, check_expiry },
    { DB_LANES, false, check_deferred },         { DB_DEAD_LETTERS, false, check_letter },
};

#define PROGRESS_EVERY 4096

static void verify_list(struct verifier *vr, unsigned i, uint64_t *done, uint64_t about)
{
    struct list_pass p = { .vr = vr };
    struct lmdb_scan s;

    if (!verifier_renew(vr))
        return;
    lmdb_scan_begin(&s, vr->look, lists[i].db, STR_NONE);
    while (!vr->is_over && lmdb_scan_has_key(&s)) {
        if (s.status == ERR_OK) { /* else it was said */
            p.key = s.row.key;
            p.value = s.row.value;
            lists[i].check(&p);
        }
        vr->v->list_rows += lists[i].is_list;
        if ((*done)++ % PROGRESS_EVERY == 0) {
            verifier_progress(vr, "lists", *done, about);
            (void)verifier_goes_on(vr);
        }
        lmdb_scan_next(&s);
        if (lmdb_look_is_old(vr->look) && verifier_renew(vr))
            lmdb_scan_refresh(&s);
    }
    (void)verifier_has(vr, s.status);
    lmdb_scan_end(&s);
}

void verify_lists(struct verifier *vr)
{
    uint64_t done = 0;
    uint64_t about = 0;

    for (unsigned i = 0; i < ARRAY_LEN(lists); i++)
        about += vr->v->rows_of[lists[i].db];
    for (unsigned i = 0; i < ARRAY_LEN(lists) && !vr->is_over; i++)
        verify_list(vr, i, &done, about);
}
