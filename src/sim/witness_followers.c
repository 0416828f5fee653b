/* STREAMED: who follows the log is given each durable event once, in the order
 * of the log, and none is left out; and so with messages. A wait for a state
 * ends when the order is or has been there, soon after that, and not before but
 * for its time. */
#include "orderly/base/check.h"
#include "witness_private.h"

static bool is_streamed(const struct seen *s, bool is_of_events)
{
    return is_of_events || event_infos[s->type].topic.n > 0;
}

/* The first of what lies behind `after` and up to `to` that a follower has to
 * hear. */
static const struct seen *first_behind(const struct witness *w, bool is_of_events, uint64_t after,
                                       uint64_t to)
{
    for (uint64_t at = after + 1; at <= to; at++)
        if (is_streamed(history_at(w, at), is_of_events))
            return history_at(w, at);
    return NULL;
}

void witness_streamed_from(struct witness *w, uint64_t asked, uint64_t from)
{
    witness_violate(w, SIM_STREAMED, NULL, "a stream was to go on behind %llu, and does from %llu",
                    (unsigned long long)asked, (unsigned long long)from);
}

void witness_streamed(struct witness *w, const struct sim_entry *e)
{
    const struct seen *s = history_at(w, e->position), *first;
    struct str name, text;

    w->counts.judged++;
    w->counts.streamed++;
    if (w->is_violated)
        return;
    if (!s) {
        witness_violate(w, SIM_ACKNOWLEDGED, NULL,
                        "a stream says position %llu, which is not durable",
                        (unsigned long long)e->position);
        return;
    }
    if (e->position <= e->after) {
        witness_violate(w, SIM_STREAMED, s->lane, "a stream says position %llu behind %llu",
                        (unsigned long long)e->position, (unsigned long long)e->after);
        return;
    }
    first = first_behind(w, e->is_of_events, e->after, e->position);
    if (first != s) {
        witness_violate(w, SIM_STREAMED, s->lane, "a stream leaves out position %llu",
                        (unsigned long long)(first ? first->position : e->position));
        return;
    }
    name = e->is_of_events ? event_infos[s->type].type : event_infos[s->type].topic;
    if (!str_eq(e->name, name) ||
        !text_of(e->data, e->is_of_events ? "eventType" : "topic", &text) || !str_eq(text, name))
        witness_violate(w, SIM_STREAMED, s->lane, "a stream calls position %llu " STR_FMT,
                        (unsigned long long)e->position, STR_ARG(e->name));
}

void witness_followed(struct witness *w, bool is_of_events, uint64_t position)
{
    const struct seen *first = first_behind(w, is_of_events, position, w->n_events);

    if (first)
        witness_violate(w, SIM_STREAMED, first->lane, "a stream never says position %llu",
                        (unsigned long long)first->position);
}

/* ---- waits
 * -------------------------------------------------------------------------------------
 */

/* The order may be read from a slow disk first, and again. */
#define LATE_US (INT64_C(15) * 1000 * 1000)

#define FINAL                                                                                      \
    (1u << ORDER_COMPLETED | 1u << ORDER_DELIVERED | 1u << ORDER_CANCELLED |                       \
     1u << ORDER_REJECTED | 1u << ORDER_PAYMENT_FAILED)

/* When it was there, in time awake; -1: it was not. */
static int64_t met_us(const struct seen_lane *l, uint32_t states)
{
    int64_t us = -1;

    for (unsigned s = 0; s < ORDER_STATUS_COUNT; s++)
        if (l->visited & states & 1u << s && (us < 0 || l->visited_us[s] < us))
            us = l->visited_us[s];
    return us;
}

/* l->sequence >= a->sequence >= 1. */
void waits_answered(struct witness *w, const struct sim_answer *a, const struct seen_lane *l)
{
    uint32_t states = a->until | FINAL, been = 0;
    int64_t since_us = met_us(l, states), waited_us = w->awake_us - a->asked_awake_us;

    w->counts.waited++;
    for (uint64_t n = 0; n < a->sequence; n++)
        been |= 1u << l->statuses[n];
    if (!(been & states) && !a->is_ending && w->mono_us - a->asked_us < a->wait_ms * 1000)
        witness_violate(
            w, SIM_STREAMED, l, "is waited for, and told after %lld ms as " STR_FMT,
            (long long)(w->mono_us - a->asked_us) / 1000,
            STR_ARG(order_status_name((enum order_status)l->statuses[a->sequence - 1])));
    else if (waited_us > a->wait_ms * 1000 + LATE_US)
        witness_violate(w, SIM_STREAMED, l, "is waited for %lld ms, and not told for %lld ms",
                        (long long)a->wait_ms, (long long)waited_us / 1000);
    else if (since_us >= 0 &&
             w->awake_us - (since_us > a->asked_awake_us ? since_us : a->asked_awake_us) > LATE_US)
        witness_violate(w, SIM_STREAMED, l, "has been there for %lld ms when it is told",
                        (long long)(w->awake_us - since_us) / 1000);
}
