/* GET /orders/{id}/explain: what the app found, as JSON. The sentence for a person comes first. */
#include "orderly/app/explain.h"
#include "call.h"
#include "handlers.h"

struct order_explain {
    struct call *call;
    struct explain explain;
};

static void render_topic(struct json_out *o, uint16_t type)
{
    json_str_or_null(o, event_infos[type].topic);
}

/* ---- what it waits for ----------------------------------------------------------------------- */

static void render_asked(struct json_out *o, const struct event *e)
{
    if (!e) {
        JSON_LITERAL(o, "null");
        return;
    }
    json_open(o, '{');
    JSON_KEY(o, "topic");
    render_topic(o, (uint16_t)e->type);
    JSON_KEY(o, "messageId");
    json_uuid(o, e->id.u);
    JSON_KEY(o, "position");
    json_u64(o, e->position);
    json_close(o, '}');
}

static void render_wait(struct json_out *o, const struct explained_wait *w)
{
    json_item(o);
    json_open(o, '{');
    JSON_KEY(o, "sentence");
    json_str(o, w->sentence);
    JSON_KEY(o, "what");
    json_plain(o, explain_what_name(w->what));
    JSON_KEY(o, "from");
    json_plain(o, w->from);
    JSON_KEY(o, "outside");
    json_bool(o, w->why == EXPLAIN_OUTSIDE);
    JSON_KEY(o, "why");
    json_plain(o, explain_why_name(w->why));
    JSON_KEY(o, "since");
    json_time(o, w->since_ms);
    JSON_KEY(o, "subject");
    json_text_id(o, &w->subject);
    JSON_KEY(o, "asked");
    render_asked(o, w->asked);
    JSON_KEY(o, "answers");
    json_open(o, '[');
    for (size_t i = 0; i < ARRAY_LEN(w->answers) && w->answers[i] != EVENT_NONE; i++) {
        json_item(o);
        render_topic(o, w->answers[i]);
    }
    json_close(o, ']');
    JSON_KEY(o, "deadLetterId");
    json_uuid(o, w->dead_letter_id.u);
    json_close(o, '}');
}

static void render_timer(struct json_out *o, const struct explanation *e)
{
    if (!e->timer_ms) {
        JSON_LITERAL(o, "null");
        return;
    }
    json_open(o, '{');
    JSON_KEY(o, "at");
    json_time(o, e->timer_ms);
    JSON_KEY(o, "what");
    json_plain(o, e->timer_of ? STR("retry") : STR("payment_deadline"));
    JSON_KEY(o, "subscription");
    if (e->timer_of)
        json_plain(o, subscription_name(e->timer_of->lane.subscription));
    else
        JSON_LITERAL(o, "null");
    json_close(o, '}');
}

/* ---- what is not handled --------------------------------------------------------------------- */

static struct str state_of_lane(const struct lane_state *lane)
{
    switch (lane->state) {
    case LANE_WAITING:
        return STR("queued");
    case LANE_IN_PROGRESS:
        return STR("in_progress");
    case LANE_RETRYING:
        return STR("retrying");
    case LANE_PARKED:
        return STR("parked");
    }
    UNREACHABLE("state of a lane");
}

static void render_error(struct json_out *o, struct str code, struct str detail)
{
    if (!code.n) {
        JSON_LITERAL(o, "null");
        return;
    }
    json_open(o, '{');
    JSON_KEY(o, "code");
    json_str(o, code);
    JSON_KEY(o, "detail");
    json_str(o, detail);
    json_close(o, '}');
}

static void render_delivery(struct json_out *o, const struct explained_delivery *d)
{
    const struct lane_state *lane = &d->lane;

    json_item(o);
    json_open(o, '{');
    JSON_KEY(o, "subscription");
    json_plain(o, subscription_name(lane->subscription));
    JSON_KEY(o, "state");
    json_plain(o, state_of_lane(lane));
    JSON_KEY(o, "topic");
    render_topic(o, d->message ? (uint16_t)d->message->type : EVENT_NONE);
    JSON_KEY(o, "messageId");
    json_uuid(o, d->message ? d->message->id.u : (struct uuid){ { 0 } });
    JSON_KEY(o, "position");
    json_u64(o, d->message ? d->message->position : lane->position);
    JSON_KEY(o, "attempts");
    json_u64(o, lane->attempts);
    JSON_KEY(o, "attemptsMax");
    json_u64(o, d->attempts_max);
    JSON_KEY(o, "nextAttemptAt");
    json_time(o, lane->due_wall_ms);
    JSON_KEY(o, "firstFailedAt");
    json_time(o, lane->first_failed_at_ms);
    JSON_KEY(o, "lastFailedAt");
    json_time(o, lane->last_failed_at_ms);
    JSON_KEY(o, "error");
    render_error(o, lane->error_code ? str_of(lane->error_code) : STR_NONE, lane->error_detail);
    JSON_KEY(o, "deadLetterId");
    json_uuid(o, lane->dead_letter_id.u);
    JSON_KEY(o, "queuedBehind");
    json_u64(o, lane->queued_behind);
    JSON_KEY(o, "beside");
    json_bool(o, d->is_alone);
    json_close(o, '}');
}

static void render_letter(struct json_out *o, const struct dead_letter *d)
{
    json_item(o);
    json_open(o, '{');
    JSON_KEY(o, "deadLetterId");
    json_uuid(o, d->id.u);
    JSON_KEY(o, "subscription");
    json_plain(o, subscription_name(d->subscription));
    JSON_KEY(o, "state");
    json_plain(o, dead_letter_state_name(d->state));
    JSON_KEY(o, "topic");
    render_topic(o, (uint16_t)d->type);
    JSON_KEY(o, "position");
    json_u64(o, d->position);
    JSON_KEY(o, "attempts");
    json_u64(o, d->attempts);
    JSON_KEY(o, "lastFailedAt");
    json_time(o, d->last_failed_at_ms);
    JSON_KEY(o, "error");
    render_error(o, d->error_code, d->error_detail);
    json_close(o, '}');
}

static void render_ignored(struct json_out *o, const struct explained_ignored *i)
{
    json_item(o);
    json_open(o, '{');
    JSON_KEY(o, "position");
    json_u64(o, i->position);
    JSON_KEY(o, "eventType");
    json_str_or_null(o, i->message ? event_infos[i->message->type].type : STR_NONE);
    JSON_KEY(o, "subscription");
    json_plain(o, subscription_name(i->subscription));
    JSON_KEY(o, "currentStatus");
    json_plain(o, order_status_name(i->state));
    JSON_KEY(o, "why");
    json_str(o, i->why);
    JSON_KEY(o, "at");
    json_time(o, i->message ? i->message->occurred_at_ms : 0);
    json_close(o, '}');
}

/* ---- what may be done, and what was ---------------------------------------------------------- */

static void render_command(struct call *c, struct json_out *o, const struct explained_command *x)
{
    struct str path;

    if (x->shipment)
        path = call_location(c, "/shipments/" STR_FMT "/%s", STR_ARG(text_id_str(&x->shipment->t)),
                             x->name);
    else
        path = call_location(c, "/orders/" STR_FMT "/%s", STR_ARG(c->params[0]), x->name);
    json_item(o);
    json_open(o, '{');
    JSON_KEY(o, "command");
    json_plain(o, str_of(x->name));
    JSON_KEY(o, "legal");
    json_bool(o, x->is_legal);
    JSON_KEY(o, "holds");
    json_bool(o, x->holds);
    JSON_KEY(o, "why");
    json_str_or_null(o, x->why);
    JSON_KEY(o, "path");
    json_str(o, path);
    json_close(o, '}');
}

static void render_story(struct json_out *o, const struct explained_event *x)
{
    const struct event *e = x->event;

    json_item(o);
    json_open(o, '{');
    JSON_KEY(o, "depth");
    json_u64(o, x->depth);
    JSON_KEY(o, "eventType");
    json_plain(o, event_infos[e->type].type);
    JSON_KEY(o, "afterMs");
    if (x->depth)
        json_i64(o, x->after_ms);
    else
        JSON_LITERAL(o, "null");
    JSON_KEY(o, "by");
    json_plain(o, x->by);
    JSON_KEY(o, "occurredAt");
    json_time(o, e->occurred_at_ms);
    JSON_KEY(o, "position");
    json_u64(o, e->position);
    JSON_KEY(o, "eventId");
    json_uuid(o, e->id.u);
    JSON_KEY(o, "causationId");
    json_uuid(o, e->cause.u);
    JSON_KEY(o, "aggregateId");
    json_text_id(o, &e->stream.id);
    json_close(o, '}');
}

static void render_cut(struct json_out *o, struct str list, unsigned shown, struct str all)
{
    json_item(o);
    json_open(o, '{');
    JSON_KEY(o, "list");
    json_plain(o, list);
    JSON_KEY(o, "newest");
    json_u64(o, shown);
    JSON_KEY(o, "all");
    json_str_or_null(o, all);
    json_close(o, '}');
}

static void render_cuts(struct call *c, struct json_out *o, const struct explanation *e)
{
    struct str id = c->params[0];

    json_open(o, '[');
    if (e->events_cut)
        render_cut(o, STR("events"), e->n_events,
                   call_location(c, "/events?orderId=" STR_FMT, STR_ARG(id)));
    if (e->ignored_cut)
        render_cut(o, STR("ignored"), e->n_ignored, STR_NONE);
    if (e->letters_cut)
        render_cut(o, STR("deadLetters"), e->n_letters,
                   call_location(c, "/dead-letters?orderId=" STR_FMT, STR_ARG(id)));
    json_close(o, ']');
}

/* ---- the whole ------------------------------------------------------------------------------- */

#define RENDER_LIST(o, list, n, render)                                                            \
    do {                                                                                           \
        json_open((o), '[');                                                                       \
        for (unsigned i_ = 0; i_ < (n); i_++)                                                      \
            render((o), &(list)[i_]);                                                              \
        json_close((o), ']');                                                                      \
    } while (0)

static void render_state(struct json_out *o, const struct explanation *e)
{
    const struct order *order = e->order;

    JSON_KEY(o, "summary");
    json_str(o, e->summary);
    JSON_KEY(o, "orderId");
    json_uuid(o, order->body->id.u);
    JSON_KEY(o, "flow");
    json_plain(o, str_of(flow_of(order->body->flow)->name));
    JSON_KEY(o, "status");
    json_plain(o, order_status_name(order->status));
    JSON_KEY(o, "sequence");
    json_u64(o, order->sequence);
    JSON_KEY(o, "settled");
    json_bool(o, e->is_settled);
    JSON_KEY(o, "parked");
    json_bool(o, e->is_parked);
    JSON_KEY(o, "at");
    json_time(o, e->at_ms);
    JSON_KEY(o, "position");
    json_u64(o, e->position);
}

static void render_explanation(struct call *c, struct json_out *o, const struct explanation *e)
{
    json_open(o, '{');
    render_state(o, e);
    JSON_KEY(o, "waitsFor");
    RENDER_LIST(o, e->waits, e->n_waits, render_wait);
    JSON_KEY(o, "nextTimer");
    render_timer(o, e);
    JSON_KEY(o, "paymentDeadline");
    json_time(o, e->deadline_ms);
    JSON_KEY(o, "deliveries");
    RENDER_LIST(o, e->deliveries, e->n_deliveries, render_delivery);
    JSON_KEY(o, "deadLetters");
    RENDER_LIST(o, e->letters, e->n_letters, render_letter);
    render_order_returns(o, e->order);
    JSON_KEY(o, "commands");
    json_open(o, '[');
    for (unsigned i = 0; i < e->n_commands; i++)
        render_command(c, o, &e->commands[i]);
    json_close(o, ']');
    JSON_KEY(o, "ignored");
    RENDER_LIST(o, e->ignored, e->n_ignored, render_ignored);
    JSON_KEY(o, "tookMs");
    json_i64(o, e->took_ms);
    JSON_KEY(o, "events");
    RENDER_LIST(o, e->events, e->n_events, render_story);
    JSON_KEY(o, "cut");
    render_cuts(c, o, e);
    json_close(o, '}');
}

static void order_explain_done(struct explain *x, const struct explanation *e, enum err status)
{
    struct order_explain *job = container_of(x, struct order_explain, explain);
    struct call *c = job->call;

    if (!e) {
        call_read_failed(c, status, "order");
        return;
    }
    render_explanation(c, call_out(c), e);
    call_send_out(c, 200, NULL);
}

void orders_explain(struct call *c)
{
    struct order_explain *job = arena_zalloc(&c->req->arena, sizeof(*job));

    job->call = c;
    job->explain.done = order_explain_done;
    if (uuid_parse(c->params[0], &job->explain.id.u))
        explain_start(&job->explain, c->app);
    else
        call_not_found(c, "order");
}
