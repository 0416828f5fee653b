#include "orderly/app/bus.h"
#include "bus_private.h"
#include "orderly/base/mem.h"

const struct subscription_config subscription_config_default = {
    .window = BUS_WINDOW_DEFAULT,
    .retries = 3,
    .retry_base_ms = 100,
    .retry_max_ms = 30000,
};

/* ---- life ------------------------------------------------------------------------------------ */

void bus_init(struct bus *b, struct event_log *log, struct timers *timers, struct random *random,
              struct log *logger, struct metrics *metrics, const struct map_key *key)
{
    *b = (struct bus){
        .scheduler = log->scheduler,
        .timers = timers,
        .log = log,
        .random = random,
        .logger = logger,
        .metrics = metrics,
        .map_key = *key,
        .published_position = log->durable_position,
        .dead_letters_max = BUS_DEAD_LETTERS_MAX,
        .deferred_max = BUS_DEFERRED_MAX,
    };
    list_init(&b->spare_deliveries);
    list_init(&b->spare_lanes);
    bus_chores_init(b);
}

static void subscription_deinit(struct subscription *s)
{
    timer_stop(s->bus->timers, &s->resume);
    lanes_free_all(s);
    map_deinit(&s->lanes);
    ENSURE(s->n_in_work == 0);
    ENSURE(s->n_recalled == 0);
    s->bus = NULL;
}

void bus_deinit(struct bus *b)
{
    REQUIRE(b->n_in_progress == 0);
    REQUIRE(b->n_writes == 0);
    REQUIRE(b->n_reads == 0);
    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++) {
        if (b->subscriptions[i])
            subscription_deinit(b->subscriptions[i]);
        b->subscriptions[i] = NULL;
    }
    bus_chores_deinit(b);
    while (!list_is_empty(&b->spare_deliveries))
        mem_free(container_of(list_pop_front(&b->spare_deliveries), struct delivery, lane_link));
    while (!list_is_empty(&b->spare_lanes))
        mem_free(container_of(list_pop_front(&b->spare_lanes), struct lane, link));
}

static void subscription_on_resume(struct timer *t)
{
    struct subscription *s = container_of(t, struct subscription, resume);

    s->is_paused = false;
    bus_wake(s->bus);
}

static void ready_lanes_init(struct ready_lanes *r)
{
    *r = (struct ready_lanes){ 0 };
    list_init(&r->lanes);
}

void bus_subscribe(struct bus *b, struct subscription *s)
{
    REQUIRE(s->config.id > SUBSCRIPTION_NONE);
    REQUIRE(s->config.id < SUBSCRIPTION_COUNT);
    REQUIRE(b->subscriptions[s->config.id] == NULL);
    REQUIRE(s->config.name != NULL);
    REQUIRE(s->config.window > 0);
    REQUIRE(s->wants != NULL);
    REQUIRE(s->handle != NULL);
    s->bus = b;
    s->n_deferred = s->n_parked = 0;
    s->is_paused = s->is_at_limit = s->is_stuck = false;
    list_init(&s->in_work);
    s->n_in_work = s->n_recalled = 0;
    map_init(&s->lanes, &b->map_key);
    ready_lanes_init(&s->ready);
    ready_lanes_init(&s->ready_deferred);
    list_init(&s->failed);
    list_init(&s->failed_deferred);
    list_init(&s->due);
    s->n_lane_reads = 0;
    s->taken_position = s->stored_cursor = b->published_position;
    s->recovered_position = 0;
    s->is_live = true;
    s->is_reading = false;
    s->pause_ms = 0;
    timer_init(&s->resume, subscription_on_resume);
    b->subscriptions[s->config.id] = s;
}

void bus_wake(struct bus *b)
{
    if (b->is_awake || b->is_in_turn) /* a turn sees at its end what is left to do */
        return;
    b->is_awake = true;
    scheduler_wake(b->scheduler);
}

/* ---- publish --------------------------------------------------------------------------------- */

void subscription_take(struct subscription *s, struct message *m)
{
    struct lane *l = lane_find(s, m->event.lane);
    uint64_t position = m->event.position;

    REQUIRE(position > s->taken_position);
    s->taken_position = position;
    if (l && lane_is_deferred(l)) {
        if (position > l->deferral->seen_position) { /* else it is known from before a restart */
            l->deferral->seen_position = position;
            l->n_known++;
        }
        return;
    }
    if (!l) {
        l = lane_create(s, m->event.lane);
        lane_add(l, m, 1, true);
        lane_make_ready(l);
    } else {
        lane_add(l, m, 1, true);
    }
    l->n_known++;
}

static void subscription_hear(struct subscription *s, struct message *m)
{
    if (!s->is_live)
        return;
    if (!subscription_wants(s, m))
        s->taken_position = m->event.position;
    else if (s->n_in_work < s->config.window)
        subscription_take(s, m);
    else
        s->is_live = false; /* the log has it */
}

void bus_publish(struct bus *b, struct message *m)
{
    REQUIRE(m->event.position > b->published_position);
    b->published_position = m->event.position;
    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++) {
        if (b->subscriptions[i])
            subscription_hear(b->subscriptions[i], m);
    }
    bus_touch_cursors(b);
}

/* ---- the turn -------------------------------------------------------------------------------- */

/* Each subscription has two sources: its lanes, and its deferred lanes. At a limit only the second
 * flows, because only that makes room. */
#define SOURCES (2 * SUBSCRIPTION_COUNT)

static struct ready_lanes *bus_source(struct bus *b, unsigned i)
{
    struct subscription *s = b->subscriptions[i / 2];

    if (!s || s->is_paused)
        return NULL;
    if (i % 2 == 1)
        return &s->ready_deferred;
    return s->is_at_limit ? NULL : &s->ready;
}

static bool bus_has_ready(struct bus *b)
{
    for (unsigned i = 0; i < SOURCES; i++) {
        struct ready_lanes *r = bus_source(b, i);

        if (r && r->n > 0)
            return true;
    }
    return false;
}

/* The next source that still has a part of this turn. */
static struct ready_lanes *bus_next_source(struct bus *b)
{
    for (unsigned k = 0; k < SOURCES; k++) {
        unsigned i = b->next_source;
        struct ready_lanes *r = bus_source(b, i);

        b->next_source = i + 1 == SOURCES ? 0 : i + 1;
        if (r && r->turn_left > 0)
            return r;
    }
    return NULL;
}

static void lane_hand_over(struct lane *l, int64_t now_us)
{
    struct subscription *s = l->subscription;
    struct delivery *d = lane_head(l);

    INVARIANT(d != NULL);
    INVARIANT(l->phase == LANE_PHASE_READY);
    l->phase = LANE_PHASE_BUSY;
    d->started_us = now_us;
    s->bus->n_in_progress++;
    if (d->message->appended_us) /* a later attempt is of what was read back, which has none */
        histogram_add(&s->bus->metrics->publish_handled, now_us - d->message->appended_us);
    if (s->bus->tap)
        s->bus->tap->handed_over(s->bus->tap, d);
    s->handle(s, d); /* d and l may be gone from here on */
}

static int64_t bus_clock(struct bus *b)
{
    if (!b->clock_is_fresh)
        b->clock_us = scheduler_mono_us(b->scheduler);
    b->clock_is_fresh = false;
    return b->clock_us;
}

static void bus_hand_over(struct bus *b)
{
    int64_t end_us;

    b->clock_is_fresh = false;
    end_us = bus_clock(b) + BUS_TURN_US_MAX;
    for (unsigned i = 0; i < SOURCES; i++) {
        struct ready_lanes *r = bus_source(b, i);

        if (r)
            r->turn_left = r->n;
    }
    b->clock_is_fresh = true;
    for (unsigned n = 0; n < BUS_TURN_MESSAGES_MAX; n++) {
        struct ready_lanes *r = bus_next_source(b);
        int64_t now_us = r ? bus_clock(b) : 0;

        if (!r || now_us >= end_us)
            break;
        lane_hand_over(lane_take_ready(r), now_us);
    }
}

bool bus_run_turn(struct bus *b)
{
    bool is_needed = false;

    REQUIRE(!b->is_in_turn);
    if (b->is_stopped)
        return false;
    b->is_in_turn = true;
    b->is_awake = false;
    if (!b->is_draining)
        bus_hand_over(b);
    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++) {
        struct subscription *s = b->subscriptions[i];

        if (!s)
            continue;
        subscription_write_failures(s);
        subscription_catch_up(s);
        subscription_read_due_lanes(s);
    }
    if (b->is_draining)
        bus_flush_chores(b);
    else
        is_needed = bus_has_ready(b);
    b->is_in_turn = false;
    b->is_awake = is_needed;
    return is_needed;
}

/* ---- the end of a delivery ------------------------------------------------------------------- */

static void delivery_end(struct delivery *d, enum delivery_end how)
{
    struct lane *l = d->lane;
    struct bus *b = d->subscription->bus;

    REQUIRE(l->phase == LANE_PHASE_BUSY);
    REQUIRE(lane_head(l) == d);
    b->clock_us = scheduler_mono_us(b->scheduler);
    b->clock_is_fresh = true;
    b->n_in_progress--;
    if (how != DELIVERY_UNAVAILABLE)
        d->subscription->moved_us = b->clock_us;
    if (b->tap)
        b->tap->ended(b->tap, d, how);
    if (b->is_draining)
        bus_wake(b);
}

void delivery_done(struct delivery *d)
{
    struct lane *l = d->lane;
    struct subscription *s = d->subscription;
    struct bus *b = s->bus;

    delivery_end(d, DELIVERY_DONE);
    histogram_add(&b->metrics->handler_duration[s->config.id], b->clock_us - d->started_us);
    s->pause_ms = 0;
    delivery_forget(d);
    if (l->n_known > 0)
        l->n_known--;
    if (l->deferral)
        l->deferral->attempts = 0; /* they were the old head's */
    lane_go_on(l);
    if (!s->is_live)
        bus_wake(b);
    bus_touch_cursors(b);
}

void delivery_failed(struct delivery *d, const struct failure *f)
{
    struct subscription *s = d->subscription;
    struct bus *b = s->bus;

    REQUIRE(f->code < FAILURE_CODE_COUNT);
    delivery_end(d, DELIVERY_FAILED);
    histogram_add(&b->metrics->handler_duration[s->config.id], b->clock_us - d->started_us);
    s->pause_ms = 0;
    deferral_note_failure(d->lane, f);
    bus_wake(b);
}

void delivery_unavailable(struct delivery *d)
{
    delivery_end(d, DELIVERY_UNAVAILABLE);
    lane_make_ready_again(d->lane);
    subscription_pause(d->subscription);
}

/* ---- pauses ---------------------------------------------------------------------------------- */

void subscription_pause(struct subscription *s)
{
    if (s->is_paused)
        return;
    s->is_paused = true;
    s->pause_ms = s->pause_ms == 0 ? BUS_PAUSE_MS : 2 * s->pause_ms;
    if (s->pause_ms > BUS_PAUSE_MS_MAX)
        s->pause_ms = BUS_PAUSE_MS_MAX;
    timer_start(s->bus->timers, &s->resume, s->pause_ms);
}

void subscription_look_again(struct subscription *s)
{
    if (!timer_is_running(&s->resume))
        timer_start(s->bus->timers, &s->resume, BUS_PAUSE_MS_MAX);
}

void bus_resume(struct bus *b)
{
    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++) {
        struct subscription *s = b->subscriptions[i];

        if (!s || !s->is_paused)
            continue;
        timer_stop(b->timers, &s->resume);
        s->is_paused = false;
        bus_wake(b);
    }
}

/* ---- questions ------------------------------------------------------------------------------- */

uint64_t subscription_cursor(const struct subscription *s)
{
    if (list_is_empty(&s->in_work))
        return s->taken_position;
    return container_of(s->in_work.next, struct delivery, work_link)->message->event.position - 1;
}

uint64_t subscription_lag(const struct subscription *s)
{
    return s->n_in_work + (s->bus->published_position - s->taken_position);
}

int64_t subscription_oldest_us(const struct subscription *s)
{
    struct scheduler *clock = s->bus->scheduler;
    const struct message *first;
    int64_t age_us;

    if (list_is_empty(&s->in_work))
        return 0;
    first = container_of(s->in_work.next, struct delivery, work_link)->message;
    if (first->appended_us)
        age_us = scheduler_mono_us(clock) - first->appended_us;
    else /* read from the log, so only its wall time is known */
        age_us = (scheduler_wall_ms(clock) - first->event.occurred_at_ms) * 1000;
    return age_us > 0 ? age_us : 0;
}

int64_t subscription_stands_us(const struct subscription *s)
{
    return s->n_in_work > 0 ? scheduler_mono_us(s->bus->scheduler) - s->moved_us : 0;
}

unsigned bus_ready(const struct bus *b)
{
    unsigned n = 0;

    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++) {
        const struct subscription *s = b->subscriptions[i];

        if (!s || !s->config.counts_for_backlog || s->is_paused)
            continue;
        n += s->ready_deferred.n;
        if (!s->is_at_limit) /* what stands there is backlog, not work */
            n += s->ready.n;
    }
    return n;
}

uint64_t bus_backlog(const struct bus *b)
{
    uint64_t most = 0;

    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++) {
        const struct subscription *s = b->subscriptions[i];

        if (s && s->config.counts_for_backlog && subscription_lag(s) > most)
            most = subscription_lag(s);
    }
    return most;
}

unsigned bus_in_progress(const struct bus *b)
{
    return b->n_in_progress;
}

bool bus_is_quiet(const struct bus *b)
{
    return b->n_in_progress == 0 && b->n_writes == 0 && b->n_reads == 0 &&
           (!b->is_draining || bus_chores_are_done(b));
}

void bus_stop(struct bus *b)
{
    REQUIRE(b->is_draining);
    REQUIRE(bus_is_quiet(b));
    b->is_stopped = true;
}

static void lane_describe(const struct lane *l, struct lane_state *out)
{
    const struct deferral *f = l->deferral;
    const struct delivery *d = lane_head(l);

    *out = (struct lane_state){
        .subscription = l->subscription->config.id,
        .state = LANE_WAITING,
        .position = d ? d->message->event.position : f->read_position + 1,
        .queued_behind = l->n_known > 0 ? l->n_known - 1 : 0,
    };
    switch (l->phase) {
    case LANE_PHASE_BUSY:
    case LANE_PHASE_FAILED: /* it counts as failed when the row is durable */
    case LANE_PHASE_WRITING:
        out->state = LANE_IN_PROGRESS;
        break;
    case LANE_PHASE_PARKED:
        out->state = LANE_PARKED;
        break;
    case LANE_PHASE_WAITING:
    case LANE_PHASE_DUE:
    case LANE_PHASE_READING:
    case LANE_PHASE_READY:
        if (f && f->is_stored && f->attempts > 0)
            out->state = LANE_RETRYING;
        break;
    }
    if (!f || !f->is_stored || f->attempts == 0)
        return;
    out->position = f->head_position;
    out->attempts = f->attempts;
    out->due_wall_ms = out->state == LANE_RETRYING ? f->due_wall_ms : 0;
    out->first_failed_at_ms = f->first_failed_at_ms;
    out->last_failed_at_ms = f->last_failed_at_ms;
    if (out->state == LANE_PARKED)
        out->dead_letter_id = f->dead_letter_id;
    out->error_code = f->error_code.p;
    out->error_detail = f->error_detail;
}

unsigned bus_lane_states(const struct bus *b, struct lane_id lane, struct lane_state *out)
{
    unsigned n = 0;

    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++) {
        const struct subscription *s = b->subscriptions[i];
        const struct lane *l = s ? lane_find(s, lane) : NULL;

        if (l)
            lane_describe(l, &out[n++]);
    }
    return n;
}
