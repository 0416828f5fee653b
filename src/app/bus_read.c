/* Reading the log back: what a subscription did not take while its window was full, and what a
 * deferred lane did not hold.
 *
 * A read goes from one position to another that was published when the read began. What is
 * published while it is under way is not in it, and is not lost: a subscription that reads takes
 * nothing by hand-over, and a deferred lane notes how far it has to read. Both compare positions
 * again when the read is back, on the loop thread, so there is no race to lose.
 *
 * The rows become messages on the thread that reads them. A row that can't be read stops the
 * subscription, or the lane, there: it says so, and tries again every second. */
#include "bus_private.h"
#include "orderly/app/event_codec.h"
#include "orderly/base/bytes.h"
#include "orderly/base/mem.h"

#define LANE_KEY_LEN 24

struct log_read {
    struct store_read read;
    struct subscription *subscription;
    struct lane *lane; /* NULL: everything, for the subscription */
    struct lane_id lane_id;
    bool is_alone; /* of the lane: the one message at `to`, wherever it lies */
    uint64_t head_position, payload_position; /* where another event has the head's payload */
    uint64_t after, to;                       /* after < position <= to */
    unsigned max;

    /* Set by run. */
    enum err status;        /* why it stopped, if not at `to` or at a maximum */
    uint64_t read_position; /* everything up to here is in messages */
    size_t n_bytes;
    unsigned n;
    struct message *messages[];
};

static struct log_read *log_read_create(struct subscription *s, uint64_t after, uint64_t to,
                                        unsigned max)
{
    struct log_read *r = mem_alloc(sizeof(*r) + max * sizeof(struct message *));

    REQUIRE(after < to);
    REQUIRE(max > 0);
    *r = (struct log_read){
        .subscription = s,
        .after = after,
        .to = to,
        .max = max,
        .read_position = after,
    };
    return r;
}

/* ---- on any thread --------------------------------------------------------------------------- */

static bool log_read_has_room(const struct log_read *r, const struct store_view *v)
{
    return r->n < r->max && r->n_bytes < BUS_READ_BYTES_MAX && !(r->n > 0 && v->ops->is_late(v));
}

static enum err log_read_row(const struct store_view *v, struct arena *a, uint64_t position,
                             struct str *row)
{
    char key[8];

    bytes_put_u64(key, position);
    return store_get(v, DB_EVENTS, (struct str){ key, sizeof(key) }, a, row);
}

/* The message with the payload that an operator gave it. */
static enum err log_read_given(const struct store_view *v, struct arena *a, uint64_t position,
                               struct str *row)
{
    struct event retried;
    enum err err = log_read_row(v, a, position, row);

    if (err == ERR_OK)
        err = event_decode(*row, position, &retried, a);
    if (err == ERR_OK)
        *row = retried.p.message_row;
    return err;
}

static enum err log_read_event(struct log_read *r, const struct store_view *v, struct arena *a,
                               uint64_t position)
{
    struct str row;
    enum err err;

    if (r->payload_position && position == r->head_position)
        err = log_read_given(v, a, r->payload_position, &row);
    else
        err = log_read_row(v, a, position, &row);
    if (err == ERR_OK)
        err = message_of_row(row, position, &r->messages[r->n]);
    if (err != ERR_OK)
        return err;
    r->n++;
    r->n_bytes += row.n;
    r->read_position = position;
    return ERR_OK;
}

/* Published positions have no holes. */
static void log_read_run(struct store_read *read, const struct store_view *v)
{
    struct log_read *r = container_of(read, struct log_read, read);
    struct arena arena;

    arena_init(&arena, NULL, 0);
    while (r->status == ERR_OK && r->read_position < r->to && log_read_has_room(r, v)) {
        r->status = log_read_event(r, v, &arena, r->read_position + 1);
        arena_reset(&arena);
    }
    arena_deinit(&arena);
}

/* The next position of the lane, or `to` if there is none up to there. */
static enum err lane_read_next(const struct log_read *r, const struct store_view *v,
                               struct arena *a, bool *found, uint64_t *position)
{
    char from[LANE_KEY_LEN];
    struct str key, value;
    enum err err;

    *found = false;
    if (r->is_alone) {
        *found = true;
        *position = r->to;
        return ERR_OK;
    }
    memcpy(from, r->lane_id.u.b, 16);
    bytes_put_u64(from + 16, r->read_position);
    err = store_seek(v, DB_BY_LANE, STORE_GT, (struct str){ from, sizeof(from) }, a, &key, &value);
    if (err != ERR_OK)
        return err == ERR_NOT_FOUND ? ERR_OK : err;
    if (key.n != LANE_KEY_LEN) /* or what lies behind it would be passed over */
        return ERR_DAMAGED;
    *position = bytes_get_u64(key.p + 16);
    *found = memcmp(key.p, from, 16) == 0 && *position <= r->to;
    return ERR_OK;
}

static void lane_read_run(struct store_read *read, const struct store_view *v)
{
    struct log_read *r = container_of(read, struct log_read, read);
    struct arena arena;

    arena_init(&arena, NULL, 0);
    while (r->status == ERR_OK && r->read_position < r->to && log_read_has_room(r, v)) {
        uint64_t position = 0;
        bool found;

        r->status = lane_read_next(r, v, &arena, &found, &position);
        if (r->status == ERR_OK && found) {
            r->status = log_read_event(r, v, &arena, position);
            if (r->status == ERR_NOT_FOUND)
                store_contradicts(v, DB_BY_LANE);
        } else if (r->status == ERR_OK) {
            r->read_position = r->to;
        }
        arena_reset(&arena);
    }
    arena_deinit(&arena);
}

/* ---- on the loop thread ---------------------------------------------------------------------- */

static void subscription_tell_stuck(struct subscription *s, const struct log_read *r)
{
    char number[24];
    struct arena arena;
    struct log_field fields[3];

    arena_init(&arena, number, sizeof(number));
    fields[0] = (struct log_field){ "subscription", str_of(s->config.name) };
    fields[1] =
        (struct log_field){ "position", arena_printf(&arena, "%llu",
                                                     (unsigned long long)r->read_position + 1) };
    fields[2] = (struct log_field){ "error", str_of(err_name(r->status)) };
    if (!s->is_stuck)
        log_write(s->bus->logger, LOG_ERROR, "log_not_readable", fields, ARRAY_LEN(fields));
    arena_deinit(&arena);
    s->is_stuck = true;
}

static bool subscription_passes_over(const struct subscription *s, const struct message *m)
{
    if (!subscription_wants(s, m))
        return true;
    return s->was_handled && m->event.position <= s->recovered_position && s->was_handled(s, m);
}

static void log_read_free(struct log_read *r)
{
    for (unsigned i = 0; i < r->n; i++)
        message_unref(r->messages[i]);
    mem_free(r);
}

static void log_read_on_read(struct store_read *read)
{
    struct log_read *r = container_of(read, struct log_read, read);
    struct subscription *s = r->subscription;
    struct bus *b = s->bus;

    b->n_reads--;
    s->is_reading = false;
    INVARIANT(!s->is_live);
    INVARIANT(s->taken_position == r->after);
    for (unsigned i = 0; i < r->n; i++) {
        struct message *m = r->messages[i];

        if (subscription_passes_over(s, m))
            s->taken_position = m->event.position;
        else
            subscription_take(s, m);
    }
    ENSURE(s->taken_position == r->read_position);
    if (r->status == ERR_OK) {
        s->is_stuck = false;
    } else {
        subscription_tell_stuck(s, r);
        subscription_look_again(s);
    }
    log_read_free(r);
    bus_touch_cursors(b);
    bus_wake(b);
}

void subscription_catch_up(struct subscription *s)
{
    struct bus *b = s->bus;
    unsigned window = s->config.window;
    unsigned most = window < BUS_READ_MAX ? (window + 1) / 2 : BUS_READ_MAX;
    unsigned room = s->n_in_work < window ? window - s->n_in_work : 0;
    struct log_read *r;

    if (s->is_live || s->is_reading || s->is_paused || b->is_draining)
        return;
    if (s->taken_position == b->published_position) {
        s->is_live = true;
        return;
    }
    if (room < most) /* reads of a few rows would cost more than they bring */
        return;
    if (s->is_stuck && timer_is_running(&s->resume))
        return;
    r = log_read_create(s, s->taken_position, b->published_position, most);
    r->read.run = log_read_run;
    r->read.done = log_read_on_read;
    if (store_read_start(b->log->store, &r->read) != ERR_OK) {
        log_read_free(r);
        subscription_pause(s);
        return;
    }
    s->is_reading = true;
    b->n_reads++;
}

/* What a read brought back joins the lane; the head knows its earlier attempts. */
static void lane_recall(struct lane *l, const struct log_read *r)
{
    const struct deferral *d = l->deferral;

    for (unsigned i = 0; i < r->n; i++) {
        struct message *m = r->messages[i];
        bool is_head = m->event.position == d->head_position;

        if (d->is_alone || !subscription_passes_over(l->subscription, m))
            lane_add(l, m, is_head ? d->attempts + 1 : 1, false);
    }
}

static void lane_read_on_read(struct store_read *read)
{
    struct log_read *r = container_of(read, struct log_read, read);
    struct subscription *s = r->subscription;
    struct lane *l = r->lane;
    struct deferral *d = l->deferral;

    s->bus->n_reads--;
    s->n_lane_reads--;
    INVARIANT(l->phase == LANE_PHASE_READING);
    lane_recall(l, r);
    d->read_position = r->read_position;
    if (r->status == ERR_OK || !list_is_empty(&l->queue)) {
        lane_go_on(l);
    } else {
        subscription_tell_stuck(s, r);
        deferral_wait(d, BUS_PAUSE_MS_MAX);
    }
    if (r->status == ERR_OK && s->is_live)
        s->is_stuck = false;
    log_read_free(r);
    bus_wake(s->bus);
}

static bool lane_read_start(struct lane *l)
{
    struct subscription *s = l->subscription;
    struct deferral *d = l->deferral;
    struct log_read *r = log_read_create(s, d->read_position, d->seen_position, BUS_LANE_READ_MAX);

    r->lane = l;
    r->lane_id = l->id;
    r->is_alone = d->is_alone;
    r->head_position = d->head_position;
    r->payload_position = d->payload_position;
    r->read.run = lane_read_run;
    r->read.done = lane_read_on_read;
    if (store_read_start(s->bus->log->store, &r->read) != ERR_OK) {
        log_read_free(r);
        return false;
    }
    l->phase = LANE_PHASE_READING;
    s->n_lane_reads++;
    s->bus->n_reads++;
    return true;
}

/* What deferred lanes have in memory is bounded like the window, but apart from it. */
static bool subscription_has_room_to_recall(const struct subscription *s)
{
    return s->n_lane_reads < BUS_LANE_READS_MAX &&
           s->n_recalled + s->n_lane_reads * BUS_LANE_READ_MAX <= s->config.window;
}

void subscription_read_due_lanes(struct subscription *s)
{
    if (s->is_paused || s->bus->is_draining)
        return;
    /* After a restart a lane may only end its deferral when everything that was published to it
     * before has been noted. */
    if (s->taken_position < s->recovered_position)
        return;
    while (!list_is_empty(&s->due) && subscription_has_room_to_recall(s)) {
        struct lane *l = container_of(list_pop_front(&s->due), struct lane, link);

        if (l->deferral->read_position >= l->deferral->seen_position) {
            lane_go_on(l); /* its head was done with before the restart, and nothing came since */
            continue;
        }
        if (lane_read_start(l))
            continue;
        list_push_front(&s->due, &l->link);
        subscription_pause(s);
        return;
    }
}
