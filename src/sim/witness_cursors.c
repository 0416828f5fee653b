/* CURSOR: no cursor is past a message that is not handled.
 *
 * What a start would not deliver again is: what lies up to the cursor, but for lanes that have a row,
 * where it is what lies before the row's head. Every message that a subscription has to hear and that
 * is past must have ended: its handler said so, or an effect of it, or its dead letter, is durable. */
#include "orderly/app/deferred_lane.h"
#include "orderly/app/snapshot_codec.h"
#include "orderly/base/bytes.h"
#include "witness_private.h"

static const char *name_of(enum subscription_id s)
{
    return subscription_name(s).p;
}

/* The first of the lane's messages that has not ended is not past. */
static void queue_judge(struct witness *w, enum subscription_id s, const struct seen_lane *l)
{
    const struct queue *q = &l->queues[s];
    struct deferred_lane row;
    uint64_t past;

    if (q->n_ended == q->n || (s == SUBSCRIPTION_AUDIT && w->has_skipped_audit))
        return;
    past = lanes_row(w, s, l->id, &row) ? row.head_position - 1 : w->cursors[s];
    if (q->positions[q->n_ended] <= past)
        witness_violate(w, SIM_CURSOR, l,
                        "%s is past position %llu (at %llu), and never handled it", name_of(s),
                        (unsigned long long)q->positions[q->n_ended], (unsigned long long)past);
}

static void cursor_moved(struct witness *w, struct str key, struct str value)
{
    unsigned s = key.n == 1 ? (uint8_t)key.p[0] : 0;
    uint64_t to = value.n == 8 ? bytes_get_u64(value.p) : 0, from;

    if (s == SUBSCRIPTION_NONE || s >= SUBSCRIPTION_COUNT || to < w->cursors[s] ||
        to > w->n_events) {
        witness_violate(w, SIM_CURSOR, NULL, "a cursor goes to %llu of %llu",
                        (unsigned long long)to, (unsigned long long)w->n_events);
        return;
    }
    from = w->cursors[s];
    w->cursors[s] = to;
    for (uint64_t at = from + 1; at <= to; at++) {
        const struct seen *m = history_at(w, at);

        w->counts.judged++;
        if (m->wanted & subscription_bit((enum subscription_id)s))
            queue_judge(w, (enum subscription_id)s, m->lane);
    }
}

static void lane_moved(struct witness *w, struct str key)
{
    struct lane_id id;
    const struct seen_lane *l;
    unsigned s = (uint8_t)key.p[0];

    if (key.n != DEFERRED_LANE_KEY_LEN || s == SUBSCRIPTION_NONE || s >= SUBSCRIPTION_COUNT)
        return;
    memcpy(id.u.b, key.p + 1, sizeof(id.u.b));
    l = history_find_lane(w, id);
    if (l)
        queue_judge(w, (enum subscription_id)s, l);
}

/* A row that says that the message changed nothing. */
static void was_ignored(struct witness *w, struct str key)
{
    unsigned s = key.n == 25 ? (uint8_t)key.p[24] : 0;

    if (s > SUBSCRIPTION_NONE && s < SUBSCRIPTION_COUNT)
        history_settle(w, (enum subscription_id)s, bytes_get_u64(key.p + 16));
}

void cursors_write(struct witness *w, const struct store_write *write)
{
    for (unsigned i = 0; i < write->n_rows; i++)
        if (write->rows[i].db == DB_IGNORED && !write->rows[i].is_delete)
            was_ignored(w, write->rows[i].key);
    for (unsigned i = 0; i < write->n_rows && !w->is_violated; i++) {
        const struct store_row *row = &write->rows[i];

        if (row->db == DB_CURSORS && !row->is_delete)
            cursor_moved(w, row->key, row->value);
        else if (row->db == DB_LANES)
            lane_moved(w, row->key);
    }
}

static void lane_judge(void *ctx, struct map_node *n)
{
    struct witness *w = ctx;

    for (unsigned s = SUBSCRIPTION_NONE + 1; s < SUBSCRIPTION_COUNT; s++)
        queue_judge(w, (enum subscription_id)s, container_of(n, struct seen_lane, node));
}

void cursors_whole(struct witness *w)
{
    map_each(&w->lanes, lane_judge, w);
}
