/* DEAD_LETTER: dead letters hold exactly what failed: each message that its handler refused for good,
 * or that failed once more than it is tried again, and no other; parking its lane in the second case
 * only. A letter is closed once, by an operator, and its row says at any time how it stands. */
#include "orderly/app/deferred_lane.h"
#include "orderly/app/row_keys.h"
#include "orderly/base/bytes.h"
#include "orderly/base/check.h"
#include "witness_private.h"

static const char *name_of(enum subscription_id s)
{
    return subscription_name(s).p;
}

static struct letter *letter_find(const struct witness *w, struct str id)
{
    struct map_node *n = map_find(&w->letters, id);

    return n ? container_of(n, struct letter, node) : NULL;
}

/* ---- beside the lane -------------------------------------------------------------------------- */

/* An open letter that was retried, its lane having gone on: its message comes alone. */
struct letter *letters_alone_of(const struct witness *w, enum subscription_id s, uint64_t position)
{
    list_for_each(at, &w->alone)
    {
        struct letter *l = container_of(at, struct letter, alone_link);

        if (l->subscription == s && l->position == position)
            return l;
    }
    return NULL;
}

void letters_alone_handed_over(struct witness *w, struct letter *l, const struct delivery *d)
{
    struct deferred_lane row;
    unsigned long long p = l->position;
    const char *name = name_of(l->subscription);

    if (l->is_in_hand)
        witness_violate(w, SIM_LANE_ORDER, l->lane, "%s was handed position %llu twice at a time",
                        name, p);
    else if (!lanes_row(w, l->subscription, (struct lane_id){ l->id.u }, &row) || !row.is_alone)
        witness_violate(w, SIM_LANE_ORDER, l->lane,
                        "%s was handed position %llu alone, and no row says so", name, p);
    else if (l->has_failed && row.attempts != l->attempt)
        witness_violate(w, SIM_LANE_ORDER, l->lane,
                        "%s was handed position %llu before its failure is durable", name, p);
    else if (d->attempt != row.attempts + 1)
        witness_violate(w, SIM_DEAD_LETTER, l->lane,
                        "%s was handed position %llu as attempt %u, after %u that failed", name, p,
                        d->attempt, row.attempts);
    else if (l->has_failed &&
             w->mono_us < l->failed_us + lanes_retry_us_least(w, l->subscription, l->attempt))
        witness_violate(w, SIM_TIMER, l->lane, "%s was handed position %llu too early", name, p);
    l->is_in_hand = true;
    l->has_failed = false;
    l->attempt = d->attempt;
}

static void letter_end_alone(struct letter *l)
{
    l->is_alone = l->is_in_hand = l->has_failed = false;
    list_remove(&l->alone_link);
}

/* False: its row has gone, and the message with it. */
static bool letter_has_lane(const struct witness *w, const struct letter *l)
{
    struct deferred_lane row;

    return lanes_row(w, l->subscription, (struct lane_id){ l->id.u }, &row);
}

void letters_alone_ended(struct witness *w, struct letter *l, enum delivery_end how)
{
    l->is_in_hand = false;
    if (how == DELIVERY_DONE && !letter_has_lane(w, l)) {
        letter_end_alone(l);
    } else if (how == DELIVERY_FAILED) {
        l->has_failed = true;
        l->is_permanent = lanes_fails_for_good(w, l->subscription, history_at(w, l->position));
        l->failed_us = w->mono_us;
    }
}

void letters_crashed(struct witness *w)
{
    for (struct list *at = w->alone.next, *next; at != &w->alone; at = next) {
        struct letter *l = container_of(at, struct letter, alone_link);

        next = at->next;
        l->is_in_hand = l->has_failed = false;
        if (!letter_has_lane(w, l))
            letter_end_alone(l);
    }
}

bool letters_are(const struct witness *w, struct uuid id, enum dead_letter_state state)
{
    const struct letter *l = letter_find(w, uuid_bytes(&id));

    return l && l->state == state;
}

/* ---- a letter is written ---------------------------------------------------------------------- */

static const struct store_row *write_find(const struct store_write *write, enum store_db db,
                                          struct str key)
{
    for (unsigned i = write->n_rows; i-- > 0;)
        if (write->rows[i].db == db && str_eq(write->rows[i].key, key))
            return &write->rows[i];
    return NULL;
}

/* Of a message that could not be received: it follows at once, in a lane of its own. */
static bool letter_is_of_refused(const struct event *e, const struct seen *m)
{
    return m->type == EVENT_MESSAGE_REFUSED && e->position == m->position + 1 &&
           e->p.attempts == 1 && uuid_eq(e->lane.u, e->p.dead_letter_id.u);
}

/* Whether this is what the failure had to become; parks: out. */
static bool letter_is_due(struct witness *w, const struct event *e, const struct seen *m,
                          const struct letter *alone, bool *parks)
{
    enum subscription_id s = e->handled_by;
    const struct queue *q = &m->lane->queues[s];
    bool is_permanent;
    unsigned attempt;

    if (m->type == EVENT_MESSAGE_REFUSED)
        return letter_is_of_refused(e, m);
    if (alone && alone->has_failed) {
        is_permanent = alone->is_permanent;
        attempt = alone->attempt;
        *parks = false;
    } else if (q->state == QUEUE_FAILED && q->positions[q->next] == m->position) {
        is_permanent = q->is_permanent;
        attempt = q->attempt;
        *parks = !is_permanent;
    } else {
        return false;
    }
    return (uint64_t)e->p.attempts == attempt &&
           (is_permanent || attempt == w->subscriptions[s].config.retries + 1);
}

/* The row of the letter, and of the lane that it parks. */
static void letter_rows_judge(struct witness *w, const struct store_write *write,
                              const struct event *e, const struct letter *l)
{
    const struct store_row *row =
        write_find(write, DB_DEAD_LETTERS, uuid_bytes(&e->p.dead_letter_id.u));
    char key[DEFERRED_LANE_KEY_LEN];
    struct str k = { key, sizeof(key) };
    struct deferred_lane lane;
    struct dead_letter d;

    if (!row || dead_letter_decode(row->value, &d) != ERR_OK || d.state != l->state ||
        d.position != l->position || d.subscription != l->subscription ||
        d.attempts != l->attempts || !uuid_eq(d.lane.u, l->lane->id.u)) {
        witness_violate(w, SIM_DEAD_LETTER, l->lane, "the letter of position %llu has no row so",
                        (unsigned long long)l->position);
        return;
    }
    if (l->state != DEAD_LETTER_PARKED)
        return;
    deferred_lane_key(l->subscription, l->lane->id, key);
    row = write_find(write, DB_LANES, k);
    if (!row || deferred_lane_decode(k, row->value, &lane) != ERR_OK || !lane.is_parked ||
        lane.head_position != l->position || !uuid_eq(lane.dead_letter_id.u, l->id.u))
        witness_violate(w, SIM_DEAD_LETTER, l->lane,
                        "the letter of position %llu parks its lane, and the lane's row does not",
                        (unsigned long long)l->position);
}

static void queue_end_head(struct witness *w, enum subscription_id s, struct queue *q,
                           uint64_t position)
{
    history_settle(w, s, position);
    q->state = QUEUE_IDLE;
    q->attempt = 0;
    q->next++;
}

static void letter_opened(struct witness *w, const struct store_write *write, const struct event *e,
                          struct seen *s)
{
    const struct seen *m = history_at(w, e->p.message_position);
    enum subscription_id sub = e->handled_by;
    struct letter *alone = m ? letters_alone_of(w, sub, m->position) : NULL;
    bool parks = false;
    struct letter *l;
    struct queue *q;

    if (!m || s->cause != m->position || m->lane != s->lane ||
        (w->is_running && !letter_is_due(w, e, m, alone, &parks))) {
        witness_violate(w, SIM_DEAD_LETTER, s->lane,
                        "%s has a letter of position %llu after %lld attempts, which is not what "
                        "happened",
                        name_of(sub), (unsigned long long)e->p.message_position,
                        (long long)e->p.attempts);
        return;
    }
    l = arena_zalloc(&w->memory, sizeof(*l));
    l->id = e->p.dead_letter_id;
    l->subscription = sub;
    l->is_parking = parks;
    l->state = parks ? DEAD_LETTER_PARKED : DEAD_LETTER_OPEN;
    l->lane = s->lane;
    l->position = m->position;
    l->attempts = (unsigned)e->p.attempts;
    list_init(&l->alone_link);
    map_insert(&w->letters, &l->node, uuid_bytes(&l->id.u));
    letter_rows_judge(w, write, e, l);
    w->letters_open[sub]++;
    q = &s->lane->queues[sub];
    if (m->type == EVENT_MESSAGE_REFUSED)
        return; /* it was in nobody's hands */
    if (alone && alone->has_failed) {
        letter_end_alone(alone);
    } else if (parks) {
        q->state = QUEUE_PARKED;
        q->letter = l;
    } else {
        queue_end_head(w, sub, q, m->position);
    }
}

/* ---- a letter is closed ----------------------------------------------------------------------- */

static void letter_closed(struct witness *w, const struct store_write *write, const struct event *e,
                          struct seen *s)
{
    struct letter *l = letter_find(w, uuid_bytes(&e->p.dead_letter_id.u));
    bool is_retried = e->type == EVENT_DEAD_LETTER_RETRIED;
    bool was_parked = l && l->state == DEAD_LETTER_PARKED;
    char key[DEFERRED_LANE_KEY_LEN];
    struct queue *q;

    if (!l || (l->state != DEAD_LETTER_PARKED && l->state != DEAD_LETTER_OPEN)) {
        witness_violate(w, SIM_DEAD_LETTER, s->lane, "a letter is closed that is not open");
        return;
    }
    l->state = is_retried ? DEAD_LETTER_RETRIED : DEAD_LETTER_DISCARDED;
    l->closed_position = e->position;
    w->letters_open[l->subscription]--;
    q = &l->lane->queues[l->subscription];
    deferred_lane_key(l->subscription, (struct lane_id){ l->id.u }, key);
    if (was_parked) {
        q->letter = NULL;
        q->state = QUEUE_IDLE;
        q->attempt = 0;
        if (!is_retried)
            queue_end_head(w, l->subscription, q, l->position);
    } else if (is_retried && write_find(write, DB_LANES, (struct str){ key, sizeof(key) })) {
        l->is_alone = true;
        list_push_back(&w->alone, &l->alone_link);
    }
}

void letters_event(struct witness *w, const struct store_write *write, const struct event *e,
                   struct seen *s)
{
    if (e->stream.type != AGGREGATE_SUBSCRIPTION)
        return;
    for (unsigned i = SUBSCRIPTION_NONE + 1; i < SUBSCRIPTION_COUNT; i++)
        if (str_eq(text_id_str(&e->stream.id), subscription_name((enum subscription_id)i)))
            w->letter_events[i]++;
    if (e->type == EVENT_DEAD_LETTERED)
        letter_opened(w, write, e, s);
    else if (e->type != EVENT_MESSAGE_REFUSED)
        letter_closed(w, write, e, s);
}

/* ---- rows ------------------------------------------------------------------------------------- */

static void letter_row_judge(struct witness *w, struct str key, struct str value)
{
    const struct letter *l = letter_find(w, key);
    struct dead_letter d;

    w->counts.judged++;
    if (!l || dead_letter_decode(value, &d) != ERR_OK || d.state != l->state ||
        d.position != l->position || d.closed_position != l->closed_position ||
        d.attempts != l->attempts)
        witness_violate(w, SIM_DEAD_LETTER, l ? l->lane : NULL,
                        "the row of a letter does not say what its events do");
}

/* The first attempts of a message are durable. */
static void lane_row_judge(struct witness *w, struct str key, struct str value)
{
    struct deferred_lane row;
    struct seen_lane *l;
    struct queue *q;

    if (deferred_lane_decode(key, value, &row) != ERR_OK) {
        witness_violate(w, SIM_CURSOR, NULL, "the row of a lane can't be read");
        return;
    }
    l = row.is_alone ? NULL : history_find_lane(w, row.lane);
    if (!l || row.attempts == 0 || row.is_parked)
        return;
    q = &l->queues[row.subscription];
    if (q->state == QUEUE_FAILED && !q->is_permanent && q->attempt == row.attempts &&
        q->attempt <= w->subscriptions[row.subscription].config.retries &&
        q->positions[q->next] == row.head_position)
        q->state = QUEUE_WAITING;
    else if (w->is_running)
        witness_violate(w, SIM_DEAD_LETTER, l,
                        "%s is to try position %llu again after %u attempts, which is not what "
                        "happened",
                        name_of(row.subscription), (unsigned long long)row.head_position,
                        row.attempts);
}

static void counts_judge(struct witness *w, enum subscription_id s, struct str value)
{
    if (value.n != 16 || bytes_get_u64(value.p) != w->letter_events[s] ||
        (int64_t)bytes_get_u64(value.p + 8) != w->letters_open[s])
        witness_violate(w, SIM_DEAD_LETTER, NULL,
                        "the row says %llu open letters of %s, and there are %lld",
                        value.n == 16 ? (unsigned long long)bytes_get_u64(value.p + 8) : 0,
                        name_of(s), (long long)w->letters_open[s]);
}

static void letters_row_judge(struct witness *w, const struct store_row *row)
{
    size_t prefix = sizeof(BUS_META_LETTERS) - 1;
    unsigned s;

    if (row->is_delete)
        return;
    if (row->db == DB_DEAD_LETTERS)
        letter_row_judge(w, row->key, row->value);
    else if (row->db == DB_LANES)
        lane_row_judge(w, row->key, row->value);
    else if (row->db == DB_META && row->key.n == prefix + 1 &&
             memcmp(row->key.p, BUS_META_LETTERS, prefix) == 0) {
        s = (uint8_t)row->key.p[prefix];
        if (s > SUBSCRIPTION_NONE && s < SUBSCRIPTION_COUNT)
            counts_judge(w, (enum subscription_id)s, row->value);
    }
}

/* A message that was alone is done with when its row goes. */
static void letter_row_goes(struct witness *w, const struct store_row *row)
{
    struct letter *l = row->key.n == DEFERRED_LANE_KEY_LEN
                           ? letter_find(w, (struct str){ row->key.p + 1, row->key.n - 1 })
                           : NULL;

    if (l && l->is_alone && !l->is_in_hand)
        letter_end_alone(l);
}

void letters_write(struct witness *w, const struct store_write *write)
{
    for (unsigned i = 0; i < write->n_rows; i++) {
        letters_row_judge(w, &write->rows[i]);
        if (write->rows[i].db == DB_LANES && write->rows[i].is_delete)
            letter_row_goes(w, &write->rows[i]);
    }
}

/* ---- whole ------------------------------------------------------------------------------------ */

static void letter_judge(void *ctx, struct map_node *n)
{
    struct witness *w = ctx;
    const struct letter *l = container_of(n, struct letter, node);
    char key[ROW_KEY_LETTER];
    const struct durable_row *r = rows_find(w, DB_DEAD_LETTERS, uuid_bytes(&l->id.u));

    if (r)
        letter_row_judge(w, row_key_of(r), r->value);
    if (!r || !rows_find(w, DB_DEAD_LETTERS_BY_LANE, row_key_letter(key, l->lane->id, l->id)))
        witness_violate(w, SIM_DEAD_LETTER, l->lane, "the letter of position %llu has no row",
                        (unsigned long long)l->position);
}

void letters_whole(struct witness *w)
{
    map_each(&w->letters, letter_judge, w);
    if (w->n_rows[DB_DEAD_LETTERS] != w->letters.len ||
        w->n_rows[DB_DEAD_LETTERS_BY_LANE] != w->letters.len)
        witness_violate(w, SIM_DEAD_LETTER, NULL, "there are rows of letters that nothing wrote");
}
