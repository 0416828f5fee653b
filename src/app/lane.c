/* A lane in memory. Lanes exist only while they hold something; lanes and deliveries are taken from
 * and given back to lists of spare ones, because thousands come and go in each turn. */
#include "bus_private.h"
#include "orderly/base/mem.h"

#define SPARE_MAX 65536

struct lane *lane_find(const struct subscription *s, struct lane_id id)
{
    struct map_node *n = map_find(&s->lanes, uuid_bytes(&id.u));

    return n ? container_of(n, struct lane, node) : NULL;
}

struct lane *lane_create(struct subscription *s, struct lane_id id)
{
    struct bus *b = s->bus;
    struct lane *l;

    if (b->n_spare_lanes > 0) {
        l = container_of(list_pop_front(&b->spare_lanes), struct lane, link);
        b->n_spare_lanes--;
    } else {
        l = mem_alloc(sizeof(*l));
    }
    l->id = id;
    l->subscription = s;
    l->phase = LANE_PHASE_READY;
    list_init(&l->link);
    list_init(&l->queue);
    l->n_known = 0;
    l->deferral = NULL;
    map_insert(&s->lanes, &l->node, uuid_bytes(&l->id.u));
    return l;
}

void lane_free(struct lane *l)
{
    struct bus *b = l->subscription->bus;

    REQUIRE(list_is_empty(&l->queue));
    REQUIRE(list_is_empty(&l->link));
    REQUIRE(l->deferral == NULL);
    map_remove(&l->subscription->lanes, &l->node);
    if (b->n_spare_lanes < SPARE_MAX) {
        list_push_front(&b->spare_lanes, &l->link);
        b->n_spare_lanes++;
    } else {
        mem_free(l);
    }
}

void lane_add(struct lane *l, struct message *m, unsigned attempt, bool is_in_work)
{
    struct subscription *s = l->subscription;
    struct bus *b = s->bus;
    struct delivery *d;

    if (b->n_spare_deliveries > 0) {
        d = container_of(list_pop_front(&b->spare_deliveries), struct delivery, lane_link);
        b->n_spare_deliveries--;
    } else {
        d = mem_alloc(sizeof(*d));
    }
    *d = (struct delivery){
        .message = message_ref(m),
        .attempt = attempt,
        .subscription = s,
        .lane = l,
    };
    list_push_back(&l->queue, &d->lane_link);
    list_init(&d->work_link);
    if (is_in_work) {
        if (s->n_in_work == 0)
            s->moved_us = scheduler_mono_us(b->scheduler);
        list_push_back(&s->in_work, &d->work_link);
        s->n_in_work++;
    } else {
        s->n_recalled++;
    }
}

void delivery_forget(struct delivery *d)
{
    struct subscription *s = d->subscription;
    struct bus *b = s->bus;

    if (list_is_empty(&d->work_link)) {
        s->n_recalled--;
    } else {
        list_remove(&d->work_link);
        s->n_in_work--;
    }
    list_remove(&d->lane_link);
    message_unref(d->message);
    if (b->n_spare_deliveries < SPARE_MAX) {
        list_push_front(&b->spare_deliveries, &d->lane_link);
        b->n_spare_deliveries++;
    } else {
        mem_free(d);
    }
}

static struct ready_lanes *lane_ready_list(struct lane *l)
{
    return lane_is_deferred(l) ? &l->subscription->ready_deferred : &l->subscription->ready;
}

void lane_make_ready(struct lane *l)
{
    struct ready_lanes *r = lane_ready_list(l);

    REQUIRE(!list_is_empty(&l->queue));
    l->phase = LANE_PHASE_READY;
    list_push_back(&r->lanes, &l->link);
    r->n++;
    bus_wake(l->subscription->bus);
}

void lane_make_ready_again(struct lane *l)
{
    struct ready_lanes *r = lane_ready_list(l);

    REQUIRE(!list_is_empty(&l->queue));
    l->phase = LANE_PHASE_READY;
    list_push_front(&r->lanes, &l->link);
    r->n++;
    bus_wake(l->subscription->bus);
}

struct lane *lane_take_ready(struct ready_lanes *r)
{
    REQUIRE(r->n > 0);
    REQUIRE(r->turn_left > 0);
    r->n--;
    r->turn_left--;
    return container_of(list_pop_front(&r->lanes), struct lane, link);
}

/* Everything that was published to the lane is handled. It is a lane like any other from now on,
 * and only then does its row go: what is published meanwhile is in work, behind the cursor. */
static void lane_end_deferral(struct lane *l)
{
    struct subscription *s = l->subscription;

    deferral_free(l->deferral);
    l->deferral = NULL;
    l->n_known = 0;
    s->n_deferred--;
    bus_clear_row(s, l->id);
    lane_free(l);
}

void lane_go_on(struct lane *l)
{
    struct deferral *d = l->deferral;

    if (d && !d->is_stored) { /* a permanent failure: nothing is left of it */
        deferral_free(d);
        l->deferral = d = NULL;
    }
    if (!list_is_empty(&l->queue))
        lane_make_ready(l);
    else if (!d)
        lane_free(l);
    else if (d->read_position < d->seen_position)
        lane_make_due(l);
    else
        lane_end_deferral(l);
}

static void lane_discard(void *ctx, struct map_node *node)
{
    struct lane *l = container_of(node, struct lane, node);

    (void)ctx;
    REQUIRE(l->phase != LANE_PHASE_BUSY);
    REQUIRE(l->phase != LANE_PHASE_WRITING);
    REQUIRE(l->phase != LANE_PHASE_READING);
    list_remove(&l->link);
    while (!list_is_empty(&l->queue))
        delivery_forget(lane_head(l));
    if (l->deferral)
        deferral_free(l->deferral);
    l->deferral = NULL;
    lane_free(l);
}

void lanes_free_all(struct subscription *s)
{
    map_each(&s->lanes, lane_discard, NULL);
}
