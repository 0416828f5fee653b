/* ACKNOWLEDGED: what a client has read is durable by then, and stays so. ONCE: one key is one effect
 * and one answer, for 24 hours.
 *
 * An answer is judged by the events that are durable when the client reads it: the order that it names
 * is there, up to the sequence that it names, and so is what the command asked for. That no message is
 * handed over before it is durable belongs here too, and is seen in witness_lanes.c.
 *
 * Tries with one key, and messages with one id, are held against each other as clients see them, and
 * against the rows that keep the answers. When exactly the server looked at its clock is not known from
 * outside, and the clock may be set back: so a try is within the 24 hours only where no clock that the
 * server may have seen says otherwise, and after them likewise. What lies between is not judged. */
#include "orderly/app/idempotency.h"
#include "orderly/base/bytes.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "witness_private.h"

/* What the client knows of one key. */
struct request {
    struct map_node node;
    uint64_t number;
    bool is_answered, is_original; /* an answer that will be kept; it was not a replay */
    int status;
    bool has_order;
    struct order_id order;
    struct digest16 body;
    int64_t asked_ms;     /* the first try since the last answer that was new */
    int64_t not_after_ms; /* the answer was made by then */
    int64_t read_ms;      /* and read then */
};

/* A message from outside, by its id. */
struct outside {
    struct map_node node;
    char id[TEXT_ID_MAX];
    int64_t at_ms; /* of the last event made of it */
    int64_t set_back_ms;
    uint64_t position;
};

/* ---- acknowledged ------------------------------------------------------------------------------ */

static bool has_been(const struct seen_lane *l, enum order_status s)
{
    return l->visited & (1u << s);
}

/* NULL: it holds what the command asked for. */
static const char *effect_lacks(const struct seen_lane *l, enum sim_command c)
{
    switch (c) {
    case SIM_CANCEL:
        return has_been(l, ORDER_CANCELLED) ? NULL : "is not cancelled";
    case SIM_APPROVE:
        return l->is_payment_requested || has_been(l, ORDER_PAID) ? NULL
                                                                  : "is not asked to be charged";
    case SIM_MARK_PAID:
        return has_been(l, ORDER_PAID) ? NULL : "is not paid";
    case SIM_READY:
        return has_been(l, ORDER_READY) ? NULL : "is not ready";
    case SIM_COMPLETE:
        return has_been(l, ORDER_COMPLETED) ? NULL : "is not completed";
    case SIM_DISPATCH:
        return l->is_dispatched || l->is_delivered ? NULL : "is not dispatched";
    case SIM_DELIVER:
        return l->is_delivered ? NULL : "is not delivered";
    default:
        return NULL;
    }
}

static void acknowledged_order(struct witness *w, const struct sim_answer *a)
{
    struct seen_lane *l = history_find_lane(w, lane_of_order(a->order));
    const char *lacks;

    if (!l || l->flow == FLOW_NONE) {
        witness_violate(w, SIM_ACKNOWLEDGED, NULL,
                        "a client read %d for an order that is not durable", a->status);
        w->violation.has_order = true;
        w->violation.order = a->order;
        return;
    }
    if (a->sequence > l->sequence) {
        witness_violate(w, SIM_ACKNOWLEDGED, l, "a client read sequence %llu, and %llu are durable",
                        (unsigned long long)a->sequence, (unsigned long long)l->sequence);
        return;
    }
    lacks = effect_lacks(l, a->command);
    if (lacks)
        witness_violate(w, SIM_ACKNOWLEDGED, l, "a client read %d, and the order %s", a->status,
                        lacks);
    if ((a->command == SIM_PLACE || a->command == SIM_CHECKOUT) && !l->is_acknowledged) {
        l->is_acknowledged = true;
        w->counts.acknowledged++;
    }
}

static void acknowledged_message(struct witness *w, const struct sim_answer *a)
{
    if (a->message_id.n > 0 && !map_find(&w->message_ids, a->message_id))
        witness_violate(w, SIM_ACKNOWLEDGED, NULL,
                        "a client read 202 for message " STR_FMT ", which is not durable",
                        STR_ARG(a->message_id));
}

/* ---- one key, as clients see it ---------------------------------------------------------------- */

static bool body_says(const struct sim_answer *a, const char *what)
{
    return a->body.n > 0 && memmem(a->body.p, a->body.n, what, strlen(what)) != NULL;
}

/* Answers that are kept with the key; the others are of the moment. */
static bool is_kept(const struct sim_answer *a)
{
    if (a->status == 409)
        return !body_says(a, "in_flight") && !body_says(a, "retry_running");
    return (a->status >= 200 && a->status < 300) || a->status == 404;
}

static struct request *request_of(struct witness *w, uint64_t number)
{
    struct str key = { (const char *)&number, sizeof(number) };
    struct map_node *n = map_find(&w->requests, key);
    struct request *r;

    if (n)
        return container_of(n, struct request, node);
    r = arena_zalloc(&w->memory, sizeof(*r));
    r->number = number;
    map_insert(&w->requests, &r->node, (struct str){ (const char *)&r->number, sizeof(r->number) });
    return r;
}

static bool is_same(const struct request *r, const struct sim_answer *a,
                    const struct digest16 *body)
{
    return r->status == a->status && memcmp(&r->body, body, sizeof(*body)) == 0 &&
           r->has_order == a->has_order && (!a->has_order || uuid_eq(r->order.u, a->order.u));
}

static void request_take(const struct witness *w, struct request *r, const struct sim_answer *a,
                         const struct digest16 *body)
{
    r->is_answered = true;
    r->is_original = !a->is_replayed;
    r->status = a->status;
    r->has_order = a->has_order;
    r->order = a->order;
    r->body = *body;
    r->asked_ms = a->asked_wall_ms - w->wall_set_back_ms;
    r->not_after_ms = w->wall_high_ms;
    r->read_ms = a->answered_wall_ms;
}

static void once_answered(struct witness *w, const struct sim_answer *a)
{
    struct request *r = request_of(w, a->request);
    const struct seen_lane *l = a->has_order ? history_find_lane(w, lane_of_order(a->order)) : NULL;
    struct digest16 body;
    bool is_within, is_after, is_later, is_near;

    digest16_of(&body, &a->body, 1);
    /* Of a replay nobody knows when it was made. And a replay after the 24 hours may be one of a try
     * whose own answer was lost; an order that is the old one was placed long ago. */
    is_within = r->is_original && w->wall_high_ms < r->asked_ms + WITNESS_DAY_MS;
    is_after = r->is_answered && a->command == SIM_PLACE && is_same(r, a, &body) &&
               a->asked_wall_ms - w->wall_set_back_ms >= r->not_after_ms + WITNESS_DAY_MS;
    /* One that was asked before may be read after, and be the answer of the day before. */
    is_later = a->asked_wall_ms > r->not_after_ms;
    is_near = w->wall_high_ms < a->asked_wall_ms - w->wall_set_back_ms + WITNESS_DAY_MS;
    if (is_within && is_later && !is_same(r, a, &body))
        witness_violate(w, SIM_ONCE, l, "request %llu was answered %d, and now %d, otherwise",
                        (unsigned long long)a->request, r->status, a->status);
    else if (is_within && is_near && !a->is_replayed)
        witness_violate(w, SIM_ONCE, l, "request %llu was carried out twice",
                        (unsigned long long)a->request);
    else if (is_after && a->is_replayed)
        witness_violate(w, SIM_ONCE, l, "request %llu got its old answer after 24 hours",
                        (unsigned long long)a->request);
    if (!r->is_answered || !a->is_replayed)
        request_take(w, r, a, &body);
}

void answers_answered(struct witness *w, const struct sim_answer *a)
{
    bool is_success = a->status >= 200 && a->status < 300;

    w->counts.judged++;
    if (is_success && a->has_order)
        acknowledged_order(w, a);
    if (is_success && a->command == SIM_MESSAGE)
        acknowledged_message(w, a);
    if (is_success && !w->is_violated)
        bodies_answered(w, a);
    else if (!is_success)
        refusals_answered(w, a);
    if (a->command != SIM_READ && (a->key.n > 0 || a->command == SIM_MESSAGE) && a->request != 0 &&
        is_kept(a))
        once_answered(w, a);
}

/* ---- one message, in the log -------------------------------------------------------------------- */

/* What an operator retries comes once more under its id, and names what made it. */
static bool is_anew(const struct seen *s)
{
    return s->cause != 0;
}

void answers_event(struct witness *w, const struct event *e, struct seen *s)
{
    struct map_node *n = e->message_id.n ? map_find(&w->message_ids, e->message_id) : NULL;
    struct outside *o;

    if (e->message_id.n == 0 || e->message_id.n > TEXT_ID_MAX || is_anew(s))
        return;
    if (!n) {
        o = arena_zalloc(&w->memory, sizeof(*o));
        memcpy(o->id, e->message_id.p, e->message_id.n);
        map_insert(&w->message_ids, &o->node, (struct str){ o->id, e->message_id.n });
    } else {
        o = container_of(n, struct outside, node);
        if (e->occurred_at_ms + w->wall_set_back_ms - o->set_back_ms < o->at_ms + WITNESS_DAY_MS)
            witness_violate(w, SIM_ONCE, s->lane,
                            "message " STR_FMT " is in the log twice, %lld ms apart",
                            STR_ARG(e->message_id), (long long)(e->occurred_at_ms - o->at_ms));
    }
    o->at_ms = e->occurred_at_ms;
    o->set_back_ms = w->wall_set_back_ms;
    o->position = e->position;
}

/* ---- one key, in the rows ------------------------------------------------------------------------ */

/* When the first event of this write happened; 0: it has none. */
static int64_t write_at_ms(const struct witness *w, const struct store_write *write)
{
    for (unsigned i = 0; i < write->n_rows; i++)
        if (write->rows[i].db == DB_EVENTS)
            return history_at(w, bytes_get_u64(write->rows[i].key.p))->occurred_at_ms;
    return 0;
}

/* Before it replaces, or takes away, the row that is there. */
void answers_row(struct witness *w, const struct store_write *write, const struct store_row *row)
{
    const struct durable_row *before = rows_find(w, DB_IDEMPOTENCY, row->key);
    struct stored_answer s;
    int64_t at_ms;

    if (before && stored_answer_decode(before->value, &s) == ERR_OK &&
        w->wall_high_ms < s.expires_ms)
        witness_violate(w, SIM_ONCE, NULL,
                        row->is_delete ? "a key is forgotten %lld ms before its 24 hours are over"
                                       : "a key is used again %lld ms before its 24 hours are over",
                        (long long)(s.expires_ms - w->wall_high_ms));
    if (row->is_delete)
        return;
    at_ms = write_at_ms(w, write);
    if (stored_answer_decode(row->value, &s) != ERR_OK)
        witness_violate(w, SIM_ONCE, NULL, "a stored answer can't be read");
    else if (at_ms && s.expires_ms != at_ms + WITNESS_DAY_MS)
        witness_violate(w, SIM_ONCE, NULL, "a key is kept for %lld ms",
                        (long long)(s.expires_ms - at_ms));
}

/* ---- the lists of keys --------------------------------------------------------------------------- */

#define EXPIRY_KEY (8 + 16)

static int64_t expiry_ms(struct str key)
{
    return (int64_t)bytes_get_u64(key.p);
}

/* NULL: the key has gone, or has been used anew. */
static const struct durable_row *answer_of_expiry(const struct witness *w, struct str key)
{
    const struct durable_row *r = rows_find(w, DB_IDEMPOTENCY, (struct str){ key.p + 8, 16 });
    struct stored_answer s;

    return r && stored_answer_decode(r->value, &s) == ERR_OK && s.expires_ms == expiry_ms(key)
               ? r
               : NULL;
}

static bool has_expiry(const struct witness *w, struct str key, const struct stored_answer *s)
{
    char expiry[EXPIRY_KEY];

    if (key.n != sizeof(expiry) - 8)
        return false;
    bytes_put_u64(expiry, (uint64_t)s->expires_ms);
    memcpy(expiry + 8, key.p, key.n);
    return rows_find(w, DB_IDEMPOTENCY_EXPIRY, (struct str){ expiry, sizeof(expiry) }) != NULL;
}

/* A key that is in one list and not in the other would be kept for ever, or not be known after a
 * start. */
void answers_write(struct witness *w, const struct store_write *write)
{
    for (unsigned i = 0; i < write->n_rows; i++) {
        const struct store_row *row = &write->rows[i];
        struct stored_answer s;

        if (row->db == DB_IDEMPOTENCY && !row->is_delete &&
            stored_answer_decode(row->value, &s) == ERR_OK && !has_expiry(w, row->key, &s))
            witness_violate(w, SIM_ONCE, NULL, "a key is stored, and nothing says until when");
        if (row->db != DB_IDEMPOTENCY_EXPIRY)
            continue;
        if (row->key.n != EXPIRY_KEY)
            witness_violate(w, SIM_ONCE, NULL, "the end of a key can't be read");
        else if (row->is_delete && answer_of_expiry(w, row->key))
            witness_violate(w, SIM_ONCE, NULL, "a key is kept, and nothing says until when");
        else if (!row->is_delete && !answer_of_expiry(w, row->key))
            witness_violate(w, SIM_ONCE, NULL, "a time is kept for a key that is not");
    }
}

/* Keys are swept every second. */
#define SWEPT_MS (INT64_C(60) * 1000)

static void expiry_judge(void *ctx, struct map_node *n)
{
    struct witness *w = ctx;
    const struct durable_row *r = container_of(n, struct durable_row, node);
    struct str key = row_key_of(r);

    if (r->db == DB_IDEMPOTENCY_EXPIRY && key.n == EXPIRY_KEY &&
        expiry_ms(key) + SWEPT_MS < w->wall_ms)
        witness_violate(w, SIM_ONCE, NULL, "a key is still kept, %lld ms after its 24 hours",
                        (long long)(w->wall_ms - expiry_ms(key)));
}

void answers_finished(struct witness *w)
{
    map_each(&w->rows, expiry_judge, w);
}
