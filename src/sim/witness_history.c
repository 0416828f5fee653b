/* The log as it became durable, event by event, and the lanes that they lie in. */
#include "orderly/app/event_codec.h"
#include "orderly/base/bytes.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "witness_private.h"

void history_init(struct witness *w)
{
    map_init(&w->by_id, &w->key);
    map_init(&w->lanes, &w->key);
    list_init(&w->touched_lanes);
}

static void lane_deinit(void *ctx, struct map_node *n)
{
    struct seen_lane *l = container_of(n, struct seen_lane, node);

    (void)ctx;
    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++)
        mem_free(l->queues[i].positions);
    mem_free(l->money);
    mem_free(l->pieces);
    mem_free(l->goods);
    mem_free(l->statuses);
    replay_deinit(&l->replay);
}

void history_deinit(struct witness *w)
{
    map_each(&w->lanes, lane_deinit, NULL);
    map_deinit(&w->lanes);
    map_deinit(&w->by_id);
    mem_free(w->events);
}

/* ---- lanes ----------------------------------------------------------------------------------- */

struct seen_lane *history_find_lane(const struct witness *w, struct lane_id id)
{
    struct map_node *n = map_find(&w->lanes, uuid_bytes(&id.u));

    return n ? container_of(n, struct seen_lane, node) : NULL;
}

struct seen_lane *history_lane(struct witness *w, struct lane_id id)
{
    struct seen_lane *l = history_find_lane(w, id);

    if (l)
        return l;
    l = arena_zalloc(&w->memory, sizeof(*l));
    l->id = id;
    list_init(&l->touched_link);
    list_init(&l->open_link);
    replay_init(&l->replay);
    replay_begin(&l->replay, id);
    map_insert(&w->lanes, &l->node, uuid_bytes(&l->id.u));
    return l;
}

void history_touch(struct witness *w, struct seen_lane *l)
{
    if (list_is_empty(&l->touched_link))
        list_push_back(&w->touched_lanes, &l->touched_link);
}

/* ---- queues ---------------------------------------------------------------------------------- */

static void queue_add(struct queue *q, uint64_t position)
{
    if (q->n == q->cap) {
        q->cap = q->cap ? 2 * q->cap : 8;
        q->positions = mem_realloc(q->positions, q->cap * sizeof(*q->positions));
    }
    q->positions[q->n++] = position;
}

void history_settle(struct witness *w, enum subscription_id s, uint64_t position)
{
    struct seen *m = history_at(w, position);
    struct queue *q;

    if (!m)
        return;
    m->settled |= subscription_bit(s);
    q = &m->lane->queues[s];
    while (q->n_ended < q->n) {
        const struct seen *first = history_at(w, q->positions[q->n_ended]);

        if (!((first->done | first->settled) & subscription_bit(s)))
            break;
        q->n_ended++;
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

struct seen *history_at(const struct witness *w, uint64_t position)
{
    return position > 0 && position <= w->n_events ? w->events[position - 1] : NULL;
}

static struct seen *history_add(struct witness *w, const struct event *e, struct str row)
{
    struct seen *s = arena_zalloc(&w->memory, sizeof(*s));
    struct map_node *cause =
        uuid_is_nil(e->cause.u) ? NULL : map_find(&w->by_id, uuid_bytes(&e->cause.u));

    s->position = e->position;
    s->type = e->type;
    s->verdict = e->verdict;
    s->flow = e->p.flow;
    s->handled_by = e->handled_by;
    s->id = e->id;
    s->cause = cause ? container_of(cause, struct seen, node)->position : 0;
    s->occurred_at_ms = e->occurred_at_ms;
    s->row = row;
    s->lane = history_lane(w, e->lane);
    s->lane->n_events++;
    if (w->n_events == w->events_cap) {
        w->events_cap = w->events_cap ? 2 * w->events_cap : 1024;
        w->events = mem_realloc(w->events, w->events_cap * sizeof(struct seen *));
    }
    w->events[w->n_events++] = s;
    map_insert(&w->by_id, &s->node, uuid_bytes(&s->id.u));
    return s;
}

/* Who has to hear it. */
static void history_offer(struct witness *w, const struct event *e, struct seen *s)
{
    for (unsigned i = SUBSCRIPTION_NONE + 1; i < SUBSCRIPTION_COUNT; i++) {
        if (!w->has_subscription[i] || !wants_to_hear((enum subscription_id)i, e))
            continue;
        s->wanted |= subscription_bit((enum subscription_id)i);
        queue_add(&s->lane->queues[i], e->position);
    }
}

/* What has to be so for the rest to make sense. */
static bool history_follows(struct witness *w, const struct event *e)
{
    if (e->position != w->n_events + 1)
        witness_violate(w, SIM_STREAM, NULL, "position %llu is durable, and %llu follows",
                        (unsigned long long)e->position, (unsigned long long)w->n_events + 1);
    else if (w->n_events > 0 && memcmp(e->id.u.b, w->last_id.u.b, sizeof(e->id.u.b)) <= 0)
        witness_violate(w, SIM_STREAM, NULL, "the id of position %llu does not ascend",
                        (unsigned long long)e->position);
    return !w->is_violated;
}

void history_event(struct witness *w, const struct store_write *write, struct str key,
                   struct str row)
{
    uint64_t position = key.n == 8 ? bytes_get_u64(key.p) : 0;
    struct event e;
    struct seen *s;

    arena_reset(&w->scratch);
    row = arena_str(&w->memory, row);
    if (event_decode(row, position, &e, &w->scratch) != ERR_OK) {
        witness_violate(w, SIM_STREAM, NULL, "position %llu is no event that can be read",
                        (unsigned long long)position);
        return;
    }
    e.position = position;
    if (!history_follows(w, &e))
        return;
    s = history_add(w, &e, row);
    w->last_id = e.id;
    w->counts.events++;
    history_touch(w, s->lane);
    stream_event(w, &e, s);
    lanes_event(w, &e, s);
    letters_event(w, write, &e, s);
    money_event(w, &e, s);
    stock_event(w, &e, s);
    goods_event(&e, s->lane);
    contexts_event(&e, s->lane);
    timers_event(w, &e, s);
    answers_event(w, &e, s);
    received_event(w, &e, s);
    models_event(w, &e, s);
    history_offer(w, &e, s);
}
