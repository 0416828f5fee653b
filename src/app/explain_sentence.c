/* What explain found, in sentences for a person. Times are UTC, like all times of the API. */
#include "explain_private.h"
#include "orderly/base/timetext.h"

#define DATE_LEN 10
#define CLOCK_AT 11
#define CLOCK_LEN 8

/* "12:00:05 UTC", with its day where that is not today. */
static void say_time(const struct explain_work *w, struct buf *b, int64_t ms)
{
    char text[TIMETEXT_LEN], now[TIMETEXT_LEN];

    timetext_format(ms, text);
    timetext_format(w->e.at_ms, now);
    if (memcmp(text, now, DATE_LEN) != 0)
        buf_printf(b, "%.*s ", DATE_LEN, text);
    buf_printf(b, "%.*s UTC", CLOCK_LEN, text + CLOCK_AT);
}

static void say_since(const struct explain_work *w, struct buf *b, int64_t ms)
{
    if (!ms)
        return;
    buf_add_str(b, STR(" since "));
    say_time(w, b, ms);
}

static void say_topic(struct buf *b, const struct event *e)
{
    if (e)
        buf_add_str(b, event_infos[e->type].topic);
    else
        buf_add_str(b, STR("a message"));
}

static void say_uuid(struct buf *b, struct uuid u)
{
    char text[UUID_TEXT_LEN];

    uuid_format(u, text);
    buf_add(b, text, sizeof(text));
}

/* Somebody else's words, of which the beginning will do. */
static void say_words(struct buf *b, struct str words)
{
    bool is_cut = words.n > EXPLAIN_WORDS_MAX;

    if (is_cut)
        words.n = EXPLAIN_WORDS_MAX;
    while (is_cut && words.n > 0 && ((uint8_t)words.p[words.n] & 0xc0) == 0x80)
        words.n--; /* between two characters */
    buf_add_str(b, words);
    if (is_cut)
        buf_add_str(b, STR("…"));
}

/* " (handler_failed: The payment simulator is set to fail.)" */
static void say_lane_error(struct buf *b, const struct lane_state *lane)
{
    buf_printf(b, " (%s", lane->error_code ? lane->error_code : "failed");
    if (lane->error_detail.n) {
        buf_add_str(b, STR(": "));
        say_words(b, lane->error_detail);
    }
    buf_add_str(b, STR(")"));
}

/* payments -> Payments; store -> the store. */
static void say_name(struct buf *b, const struct explained_wait *wait)
{
    char first;

    if (wait->why == EXPLAIN_PERSON) {
        buf_printf(b, "the " STR_FMT, STR_ARG(wait->from));
        return;
    }
    if (wait->why == EXPLAIN_OUTSIDE)
        buf_add_str(b, STR("an outside "));
    first = (char)(wait->from.p[0] - 'a' + 'A');
    buf_add(b, &first, 1);
    buf_add(b, wait->from.p + 1, wait->from.n - 1);
}

static void say_amount(const struct explain_work *w, struct buf *b, const struct text_id *id)
{
    const struct order_effect *e = order_find_effect(w->order, EFFECT_PAYMENT, text_id_str(id));
    char text[MONEY_TEXT_MAX];

    if (!e)
        return;
    buf_printf(b, "%.*s %s of ", (int)money_to_text(e->amount, e->currency, text), text,
               e->currency.code);
}

/* Its purpose is a message, rather than what comes of it. */
static bool is_about_message(const struct explained_wait *wait)
{
    return wait->what == EXPLAIN_HANDLING || str_eq(wait->from, STR("orders"));
}

/* What it has to do. */
static void say_purpose(const struct explain_work *w, struct buf *b,
                        const struct explained_wait *wait)
{
    if (is_about_message(wait)) {
        buf_add_str(b, STR(" to handle "));
        say_topic(b, wait->asked);
        return;
    }
    switch (wait->what) {
    case EXPLAIN_REFUND:
        buf_add_str(b, STR(" to give back "));
        say_amount(w, b, &wait->subject);
        buf_add_str(b, text_id_str(&wait->subject));
        return;
    case EXPLAIN_RELEASE:
        buf_printf(b, " to release " STR_FMT, STR_ARG(text_id_str(&wait->subject)));
        return;
    case EXPLAIN_RECALL:
        buf_printf(b, " to take back " STR_FMT, STR_ARG(text_id_str(&wait->subject)));
        return;
    default:
        return; /* its name says it */
    }
}

static void say_answers(struct buf *b, const struct explained_wait *wait)
{
    buf_add_str(b, event_infos[wait->answers[0]].topic);
    if (wait->answers[1] != EVENT_NONE)
        buf_printf(b, " or " STR_FMT, STR_ARG(event_infos[wait->answers[1]].topic));
}

static void say_behind(const struct explain_work *w, struct buf *b,
                       const struct explained_wait *wait)
{
    const struct explained_subscription *s = NULL;

    for (unsigned i = SUBSCRIPTION_NONE + 1; i < SUBSCRIPTION_COUNT; i++) {
        if (str_eq(wait->from, subscription_name((enum subscription_id)i)))
            s = &w->subscriptions[i];
    }
    buf_add_str(b, STR(", which has not come to "));
    if (is_about_message(wait))
        buf_add_str(b, STR("it"));
    else
        say_topic(b, wait->asked);
    buf_add_str(b, STR(" yet"));
    if (s && s->is_stuck)
        buf_add_str(b, STR(": the log can't be read"));
    else if (s && s->is_at_limit)
        buf_add_str(b, STR(": it has no room for another deferred lane or dead letter"));
    else if (s && s->is_paused)
        buf_add_str(b, STR(": it pauses for a moment, as the store takes no more"));
    else if (s && s->lag > 1)
        buf_printf(b, ": it is %llu messages behind", (unsigned long long)s->lag);
}

static void say_step(const struct explain_work *w, struct buf *b)
{
    switch (w->order->status) {
    case ORDER_STOCK_RESERVED:
        buf_add_str(b, STR("ready"));
        return;
    case ORDER_READY:
        buf_add_str(b, STR("complete"));
        return;
    default:
        buf_printf(b, "%s of " STR_FMT,
                   w->has_shipment && w->shipment.status == SHIPMENT_STATUS_DISPATCHED ? "deliver"
                                                                                       : "dispatch",
                   STR_ARG(text_id_str(&w->order->shipment_id.t)));
        return;
    }
}

static void say_nothing_comes(const struct explain_work *w, struct buf *b,
                              const struct explained_wait *wait)
{
    buf_add_str(b, STR(": nothing comes by itself"));
    if (wait->what == EXPLAIN_PAYMENT && !w->order->payment_requested)
        buf_add_str(b, STR(", but pay asks again"));
}

static void say_letter(struct buf *b, const struct explained_wait *wait)
{
    buf_add_str(b, STR("dead letter "));
    say_uuid(b, wait->dead_letter_id.u);
}

static void say_attempt(struct buf *b, const struct explained_delivery *d, unsigned attempt)
{
    buf_printf(b, "attempt %u of %u", attempt, d->attempts_max);
}

static void say_why(const struct explain_work *w, struct buf *b, const struct explained_wait *wait)
{
    const struct explained_delivery *d = wait->delivery;

    switch (wait->why) {
    case EXPLAIN_PARKED:
        buf_add_str(b, STR(": parked, as "));
        say_attempt(b, d, d->lane.attempts);
        buf_add_str(b, STR(" failed at "));
        say_time(w, b, d->lane.last_failed_at_ms);
        say_lane_error(b, &d->lane);
        buf_add_str(b, STR("; retry or discard "));
        say_letter(b, wait);
        return;
    case EXPLAIN_RETRYING:
        buf_add_str(b, STR(": "));
        say_attempt(b, d, d->lane.attempts);
        buf_add_str(b, STR(" failed"));
        say_lane_error(b, &d->lane);
        if (d->lane.due_wall_ms > w->e.at_ms) {
            buf_add_str(b, STR(", next at "));
            say_time(w, b, d->lane.due_wall_ms);
        } else {
            buf_add_str(b, STR(", next now"));
        }
        return;
    case EXPLAIN_REFUSED:
        buf_add_str(b, STR(", which refused "));
        say_topic(b, wait->asked);
        buf_add_str(b, STR(" for good ("));
        say_letter(b, wait);
        buf_add_str(b, STR(")"));
        say_nothing_comes(w, b, wait);
        return;
    case EXPLAIN_DISCARDED:
        buf_add_str(b, STR(", but its "));
        say_topic(b, wait->asked);
        buf_add_str(b, STR(" was discarded ("));
        say_letter(b, wait);
        buf_add_str(b, STR(")"));
        say_nothing_comes(w, b, wait);
        return;
    case EXPLAIN_UNANSWERED:
        buf_add_str(b, STR(", which has heard "));
        say_topic(b, wait->asked);
        buf_add_str(b, STR(" and given no answer"));
        say_nothing_comes(w, b, wait);
        return;
    case EXPLAIN_OUTSIDE:
        buf_add_str(b, STR(": it has to send "));
        say_answers(b, wait);
        return;
    case EXPLAIN_TO_BE_ASKED:
        buf_add_str(b, STR(", which is set to wait: pay or mark-paid goes on"));
        return;
    case EXPLAIN_BEHIND:
        say_behind(w, b, wait);
        return;
    case EXPLAIN_WORKING:
        buf_add_str(b, STR(", which is working on "));
        if (is_about_message(wait))
            buf_add_str(b, STR("it"));
        else
            say_topic(b, d->message);
        if (d->lane.attempts > 0) {
            buf_add_str(b, STR(": "));
            say_attempt(b, d, d->lane.attempts + 1);
            buf_add_str(b, STR(", the one before failed"));
            say_lane_error(b, &d->lane);
        }
        return;
    case EXPLAIN_PERSON:
        buf_add_str(b, STR(": the next step is "));
        say_step(w, b);
        return;
    }
}

static struct str take(struct explain_work *w, struct buf *b)
{
    struct str text = arena_str(&w->arena, buf_str(b));

    buf_deinit(b);
    return text;
}

struct str explain_sentence(struct explain_work *w, const struct explained_wait *wait)
{
    struct buf b = { NULL, 0, 0 };

    buf_add_str(&b, STR("Waits for "));
    say_name(&b, wait);
    say_purpose(w, &b, wait);
    say_since(w, &b, wait->since_ms);
    say_why(w, &b, wait);
    buf_add_str(&b, STR("."));
    return take(w, &b);
}

/* ---- the summary ----------------------------------------------------------------------------- */

static void say_end(const struct explain_work *w, struct buf *b)
{
    const struct order *o = w->order;
    const struct str *reason = o->status == ORDER_CANCELLED  ? &o->cancellation_reason
                               : o->status == ORDER_REJECTED ? &o->rejection_reason
                                                             : &o->payment_failure_reason;

    buf_printf(b, "Settled: " STR_FMT, STR_ARG(order_status_name(o->status)));
    say_since(w, b, explain_status_since(w));
    if (reason->n) {
        buf_add_str(b, STR(" ("));
        say_words(b, *reason);
        buf_add_str(b, STR(")"));
    }
    buf_add_str(b, STR("; nothing is due and nothing waits."));
}

/* Open dead letters that no wait has named. */
static unsigned count_other_letters(const struct explain_work *w)
{
    unsigned n = w->e.n_letters;

    for (unsigned i = 0; i < w->e.n_letters; i++) {
        for (unsigned k = 0; k < w->e.n_waits; k++) {
            if (uuid_eq(w->e.waits[k].dead_letter_id.u, w->e.letters[i].id.u)) {
                n--;
                break;
            }
        }
    }
    return n;
}

struct str explain_summary(struct explain_work *w)
{
    const struct explanation *e = &w->e;
    struct buf b = { NULL, 0, 0 };
    unsigned letters = count_other_letters(w);

    if (e->n_waits)
        buf_add_str(&b, e->waits[0].sentence);
    else
        say_end(w, &b);
    if (e->n_waits > 1)
        buf_printf(&b, " It waits for %u more: see waitsFor.", e->n_waits - 1);
    if (e->deadline_ms) {
        buf_add_str(&b, STR(" Unpaid, it is cancelled at "));
        say_time(w, &b, e->deadline_ms);
        buf_add_str(&b, STR("."));
    }
    if (letters)
        buf_printf(&b, " %u dead letter%s of it %s open.", letters, letters == 1 ? "" : "s",
                   letters == 1 ? "is" : "are");
    return take(w, &b);
}
