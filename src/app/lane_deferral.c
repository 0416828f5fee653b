/* From a failure to the lane's next message.
 *
 * A failure is noted with its verdict (retry, park, dismiss), and the lane holds still while one
 * append says it durably: the lane's row, or a dead letter, or both. Until then everything of the
 * lane stays in memory and in work, so a full log, or a crash, loses nothing. When the row is
 * durable the lane is deferred: its messages leave the memory, and what is published to it is only
 * noted. Then it waits for the timer or behind the dead letter, is read back in small pieces, and
 * goes on until it has caught up (lane_go_on).
 *
 * Failure modes: the log refuses or fails the append -> the lane is FAILED again, the subscription
 * pauses, and the same append is tried anew. No room for a deferred lane or a dead letter -> the
 * subscription stands at its limit: only deferred lanes flow, because only they can make room. */
#include "bus_private.h"
#include "orderly/app/dead_letters.h"
#include "orderly/app/lanes.h"
#include "orderly/base/buf.h"
#include "orderly/base/mem.h"

/* One append on its way. It ends by lane_write_on_appended. */
struct lane_write {
    struct append append;
    struct lane *lane;
    uint64_t sequence; /* of the DeadLettered event; 0: none */
    bool takes_room;   /* the lane was not deferred before */
};

/* ---- the deferral ---------------------------------------------------------------------------- */

static void deferral_on_due(struct timer *t)
{
    struct deferral *d = container_of(t, struct deferral, timer);

    INVARIANT(d->lane->phase == LANE_PHASE_WAITING);
    lane_make_due(d->lane);
}

struct deferral *deferral_create(struct lane *l)
{
    struct deferral *d = mem_zalloc(sizeof(*d));

    REQUIRE(l->deferral == NULL);
    d->lane = l;
    timer_init(&d->timer, deferral_on_due);
    l->deferral = d;
    return d;
}

void deferral_free(struct deferral *d)
{
    timer_stop(d->lane->subscription->bus->timers, &d->timer);
    mem_free(d->text);
    mem_free(d);
}

/* As much as fits, without half a character at the end. */
static struct str detail_cut(struct str s)
{
    if (s.n <= BUS_ERROR_DETAIL_MAX)
        return s;
    s.n = BUS_ERROR_DETAIL_MAX;
    while (s.n > 0 && ((uint8_t)s.p[s.n] & 0xC0) == 0x80)
        s.n--;
    return s;
}

static struct str text_put(char **at, struct str s)
{
    struct str copy = { *at, s.n };

    if (s.n > 0)
        memcpy(*at, s.p, s.n);
    (*at)[s.n] = '\0';
    *at += s.n + 1;
    return copy;
}

void deferral_set_error(struct deferral *d, struct str code, struct str detail)
{
    char *text, *at;

    detail = detail_cut(detail);
    at = text = mem_alloc(code.n + detail.n + 2); /* the new may be views into the old */
    d->error_code = text_put(&at, code);
    d->error_detail = text_put(&at, detail);
    mem_free(d->text);
    d->text = text;
}

void deferral_wait(struct deferral *d, int64_t delay_ms)
{
    d->lane->phase = LANE_PHASE_WAITING;
    timer_start(d->lane->subscription->bus->timers, &d->timer, delay_ms);
}

void lane_make_due(struct lane *l)
{
    REQUIRE(lane_is_deferred(l));
    REQUIRE(list_is_empty(&l->queue));
    l->phase = LANE_PHASE_DUE;
    list_push_back(&l->subscription->due, &l->link);
    bus_wake(l->subscription->bus);
}

/* ---- a failure is noted ---------------------------------------------------------------------- */

/* base * 4^n, +-50 %, at most max. */
static int64_t retry_delay_us(const struct subscription *s, unsigned n)
{
    int64_t max_us = s->config.retry_max_ms * 1000;
    int64_t delay_us = s->config.retry_base_ms * 1000;
    uint64_t chance;

    while (n-- > 0 && delay_us < max_us)
        delay_us *= 4;
    random_fill(s->bus->random, &chance, sizeof(chance));
    delay_us = delay_us / 2 + (int64_t)(chance % ((uint64_t)delay_us + 1));
    return delay_us < max_us ? delay_us : max_us;
}

static enum verdict_on_failure failure_verdict(const struct deferral *d, unsigned attempt,
                                               const struct failure *f)
{
    if (failure_is_permanent(f->code))
        return FAILED_DISMISS;
    if (attempt <= d->lane->subscription->config.retries)
        return FAILED_RETRY;
    return d->is_alone ? FAILED_DISMISS : FAILED_PARK; /* nothing waits behind it */
}

static void lane_note_failed(struct lane *l)
{
    struct subscription *s = l->subscription;

    l->phase = LANE_PHASE_FAILED;
    list_push_back(lane_is_deferred(l) ? &s->failed_deferred : &s->failed, &l->link);
    bus_wake(s->bus);
}

void deferral_note_failure(struct lane *l, const struct failure *f)
{
    static const enum failure_kind kinds[] = {
        [FAILED_RETRY] = FAILURE_RETRY,
        [FAILED_PARK] = FAILURE_PARKED,
        [FAILED_DISMISS] = FAILURE_PERMANENT,
    };
    struct subscription *s = l->subscription;
    struct bus *b = s->bus;
    const struct delivery *head = lane_head(l);
    struct deferral *d = l->deferral ? l->deferral : deferral_create(l);
    int64_t now_ms = scheduler_wall_ms(b->scheduler);

    d->verdict = failure_verdict(d, head->attempt, f);
    if (head->attempt == 1)
        d->first_failed_at_ms = now_ms;
    d->last_failed_at_ms = now_ms;
    if (d->head_position != head->message->event.position)
        d->payload_position = 0; /* it was the old head's */
    d->head_position = head->message->event.position;
    d->attempts = head->attempt;
    deferral_set_error(d, failure_code_text(f->code), f->detail);
    if (d->verdict == FAILED_RETRY) {
        int64_t delay_us = retry_delay_us(s, head->attempt - 1);

        d->due_us = b->clock_us + delay_us;
        d->due_wall_ms = now_ms + delay_us / 1000;
        d->dead_letter_id = (struct dead_letter_id){ 0 };
    } else {
        d->due_wall_ms = 0;
        d->dead_letter_id.u = event_log_new_uuid(b->log);
    }
    b->metrics->handler_failures[s->config.id][kinds[d->verdict]]++;
    lane_note_failed(l);
}

/* ---- it is written --------------------------------------------------------------------------- */

static bool deferral_needs_letter(const struct deferral *d)
{
    return d->verdict != FAILED_RETRY;
}

static bool deferral_needs_row(const struct deferral *d)
{
    return d->verdict != FAILED_DISMISS;
}

static bool deferral_has_room(const struct deferral *d)
{
    const struct subscription *s = d->lane->subscription;
    const struct bus *b = s->bus;

    if (deferral_needs_letter(d) &&
        b->n_dead_letters_open + b->n_letters_in_writes >= b->dead_letters_max)
        return false;
    return d->is_stored || !deferral_needs_row(d) || s->n_deferred < b->deferred_max;
}

static void lane_write_on_appended(struct append *a);

static enum err lane_write_start(struct lane *l)
{
    struct subscription *s = l->subscription;
    struct bus *b = s->bus;
    struct deferral *d = l->deferral;
    struct lane_write *w = mem_alloc(sizeof(*w));
    enum err err = append_begin(&w->append, b->log, APPEND_CONSEQUENCE);

    if (err != ERR_OK) {
        mem_free(w);
        return err;
    }
    w->lane = l;
    w->sequence = 0;
    w->takes_room = deferral_needs_row(d) && !d->is_stored;
    if (deferral_needs_letter(d)) {
        w->sequence = ++s->sequence;
        s->n_letters++;
        letter_append(&w->append, d);
        b->n_letters_in_writes++;
    }
    if (deferral_needs_row(d))
        deferral_put_row(&w->append, d);
    else if (d->is_stored) /* or the next start would hand it over again */
        deferral_put_passed(&w->append, d, d->head_position);
    else
        bus_put_clear(s, l->id, &w->append);
    if (w->takes_room)
        s->n_deferred++;
    l->phase = LANE_PHASE_WRITING;
    b->n_writes++;
    append_submit(&w->append, lane_write_on_appended);
    return ERR_OK;
}

/* ---- it is durable --------------------------------------------------------------------------- */

static void dead_letter_tell(const struct deferral *d)
{
    const struct subscription *s = d->lane->subscription;
    const struct message *m = lane_head(d->lane)->message;
    struct bus *b = s->bus;
    struct text_id correlation = correlation_of_event(&m->event); /* as it was sent */
    char letter_id[UUID_TEXT_LEN], message_id[UUID_TEXT_LEN];
    char numbers[64];
    struct arena arena;
    struct log_field fields[10];
    unsigned n = 0;

    arena_init(&arena, numbers, sizeof(numbers));
    uuid_format(d->dead_letter_id.u, letter_id);
    fields[n++] = (struct log_field){ "deadLetterId", { letter_id, UUID_TEXT_LEN } };
    fields[n++] = (struct log_field){ "subscription", str_of(s->config.name) };
    fields[n++] = (struct log_field){ "orderId", text_id_str(&correlation) };
    fields[n++] = (struct log_field){ "messageId", message_id_said(m->event.message_id, m->event.id,
                                                                   message_id) };
    fields[n++] = (struct log_field){ "topic", m->topic };
    fields[n++] =
        (struct log_field){ "position",
                            arena_printf(&arena, "%llu", (unsigned long long)d->head_position) };
    fields[n++] = (struct log_field){ "attempts", arena_printf(&arena, "%u", d->attempts) };
    fields[n++] =
        (struct log_field){ "parked", d->verdict == FAILED_PARK ? STR("true") : STR("false") };
    fields[n++] = (struct log_field){ "errorCode", d->error_code };
    fields[n++] = (struct log_field){ "errorDetail", d->error_detail };
    log_write(b->logger, LOG_ERROR, "dead_letter", fields, n);
    arena_deinit(&arena);
    b->n_dead_letters_open++;
    b->metrics->dead_letters_open[s->config.id]++;
}

/* The row stands for the lane's messages from the head on: they leave the memory. */
static void lane_forget_messages(struct lane *l)
{
    struct deferral *d = l->deferral;

    if (!d->is_stored) {
        d->is_stored = true;
        d->seen_position =
            container_of(l->queue.prev, struct delivery, lane_link)->message->event.position;
    }
    d->read_position = d->head_position - 1;
    while (!list_is_empty(&l->queue))
        delivery_forget(lane_head(l));
}

static void deferral_on_stored(struct deferral *d)
{
    struct lane *l = d->lane;
    struct subscription *s = l->subscription;
    struct bus *b = s->bus;

    if (deferral_needs_letter(d))
        dead_letter_tell(d);
    switch (d->verdict) {
    case FAILED_RETRY: {
        int64_t left_us = d->due_us - scheduler_mono_us(b->scheduler);

        lane_forget_messages(l);
        deferral_wait(d, left_us > 0 ? (left_us + 999) / 1000 : 0);
        break;
    }
    case FAILED_PARK:
        lane_forget_messages(l);
        l->phase = LANE_PHASE_PARKED;
        s->n_parked++;
        break;
    case FAILED_DISMISS:
        delivery_forget(lane_head(l));
        d->attempts = 0; /* they were the old head's */
        l->n_known -= l->n_known > 0;
        lane_go_on(l);
        break;
    }
    bus_touch_cursors(b);
}

/* Not written, nor was anything behind it: the log takes positions back, and we the sequence. */
static void lane_write_undo(struct lane_write *w)
{
    struct subscription *s = w->lane->subscription;

    if (w->takes_room)
        s->n_deferred--;
    if (w->sequence && w->sequence <= s->sequence)
        s->sequence = w->sequence - 1;
    if (w->sequence)
        s->n_letters--;
    lane_note_failed(w->lane);
    subscription_pause(s);
}

static void lane_write_on_appended(struct append *a)
{
    struct lane_write *w = container_of(a, struct lane_write, append);
    struct lane *l = w->lane;
    struct bus *b = l->subscription->bus;

    INVARIANT(l->phase == LANE_PHASE_WRITING);
    b->n_writes--;
    if (w->sequence)
        b->n_letters_in_writes--;
    if (a->status == ERR_OK)
        deferral_on_stored(l->deferral);
    else
        lane_write_undo(w);
    mem_free(w);
    bus_wake(b); /* there is room for another write, and in the window */
}

/* ---- the lists of failures ------------------------------------------------------------------- */

/* False: no room, or the log takes no more for now. */
static bool subscription_write_list(struct subscription *s, struct list *failed)
{
    while (!list_is_empty(failed)) {
        struct lane *l = container_of(failed->next, struct lane, link);

        if (s->bus->n_writes >= BUS_WRITES_MAX)
            return false;
        if (!deferral_has_room(l->deferral)) {
            s->is_at_limit = true;
            return false;
        }
        list_remove(&l->link);
        if (lane_write_start(l) != ERR_OK) {
            list_push_front(failed, &l->link);
            subscription_pause(s);
            return false;
        }
    }
    return true;
}

void subscription_write_failures(struct subscription *s)
{
    bool was_at_limit = s->is_at_limit;
    struct log_field field = { "subscription", str_of(s->config.name) };

    if (s->is_paused)
        return;
    s->is_at_limit = false;
    if (subscription_write_list(s, &s->failed_deferred))
        (void)subscription_write_list(s, &s->failed);
    if (s->is_at_limit)
        subscription_look_again(s);
    if (s->is_at_limit && !was_at_limit)
        log_write(s->bus->logger, LOG_WARN, "subscription_at_limit", &field, 1);
}
