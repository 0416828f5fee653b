/* GET /events/stream and GET /messages/stream: the feed of the app as server-sent events.
 *
 *     : from <epoch>.<position>          at once, so that the header leaves
 *
 *     id: <epoch>.<position>             of each event
 *     event: OrderPlaced                 its type, or the message's topic
 *     data: {…}                          one line, as the lists render it; a CloudEvent where asked
 *
 *     :                                  every 15 s
 *
 * A stream ends with its connection: by the client; by a last event `overflow` or `failed`, which
 * have no id, so that a client goes on behind the last real one; or, when the server ends, without
 * a word. */
#include "api_private.h"
#include "filters.h"
#include "handlers.h"
#include <stdio.h>

#define BEAT_MS 15000
/* A client that has said that it sends no more is written to once more so soon: if it has gone, the
 * first write makes its system say so, and the second hears it. */
#define PROBE_MS 1000

struct stream {
    struct follower follower;
    struct api *api;
    struct http_stream *http;
    struct timer beat;
    struct list link; /* of the api's streams */
};

static struct stream *stream_of(const struct follower *f)
{
    return container_of(f, struct stream, follower);
}

/* ---- rendering ------------------------------------------------------------------------------- */

/* Pure, and on any thread: the epoch never changes. */
static void stream_render(void *ctx, enum feed_kind kind, const struct event *e, struct buf *out)
{
    const struct api *a = ctx;
    const struct event_info *info = &event_infos[e->type];
    struct json_out o = { *out };

    JSON_LITERAL(&o, "id: ");
    json_raw_str(&o, a->config.epoch);
    JSON_LITERAL(&o, ".");
    json_u64(&o, e->position);
    JSON_LITERAL(&o, "\nevent: ");
    json_raw_str(&o, kind == FEED_EVENTS ? info->type : info->topic);
    JSON_LITERAL(&o, "\ndata: ");
    switch (kind) {
    case FEED_MESSAGES:
        render_message(&o, e);
        break;
    case FEED_CLOUD_EVENTS:
        cloud_event_write(&o, &a->config.cloud, e);
        break;
    default:
        render_event(&o, e);
    }
    JSON_LITERAL(&o, "\n\n");
    *out = o.buf;
}

void streams_init(struct api *a)
{
    list_init(&a->streams);
    feed_set_renderer(app_feed(a->config.app), stream_render, a);
}

/* ---- the follower's side --------------------------------------------------------------------- */

static enum err stream_send(struct follower *f, struct str bytes)
{
    return http_stream_write(stream_of(f)->http, bytes);
}

static size_t stream_waiting(const struct follower *f)
{
    return http_stream_queued(stream_of(f)->http);
}

static void stream_want_room(struct follower *f, size_t most)
{
    http_stream_want_room(stream_of(f)->http, most);
}

/* At most one line a second. */
static void tell_cut_off(struct api *a)
{
    int64_t now_ms = scheduler_mono_us(app_scheduler(a->config.app)) / 1000;
    char text[24];
    struct log_field field = { "count", { text, 0 } };

    a->untold_cut_off++;
    if (!a->config.log || now_ms - a->told_cut_off_ms < 1000)
        return;
    field.value.n =
        (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)a->untold_cut_off);
    log_write(a->config.log, LOG_WARN, "streams_cut_off", &field, 1);
    a->told_cut_off_ms = now_ms;
    a->untold_cut_off = 0;
}

static void tell_failed(struct api *a, enum err why)
{
    const struct log_field field = { "why", str_of(err_text(why)) };

    if (a->config.log)
        log_write(a->config.log, LOG_ERROR, "stream_failed", &field, 1);
}

static void stream_forget(struct stream *s)
{
    list_remove(&s->link);
    timer_stop(app_timers(s->api->config.app), &s->beat);
}

static void stream_close(struct stream *s, struct str last)
{
    stream_forget(s);
    http_stream_close(s->http, last); /* last: the memory is the request's */
}

static void stream_ended(struct follower *f, enum follower_end why)
{
    struct stream *s = stream_of(f);
    struct str last = STR_NONE;

    switch (why) {
    case FOLLOWER_OVERFLOW:
        tell_cut_off(s->api);
        last = STR("event: overflow\n"
                   "data: {\"code\":\"overflow\",\"detail\":\"More happens than this client reads; "
                   "go on behind the last id.\"}\n\n");
        break;
    case FOLLOWER_FAILED:
        tell_failed(s->api, f->end_status);
        last = STR("event: failed\n"
                   "data: {\"code\":\"store_failed\",\"detail\":\"The next event could not be read."
                   "\"}\n\n");
        break;
    case FOLLOWER_DRAINED:
        break;
    }
    stream_close(s, last);
}

static const struct follower_ops stream_ops = {
    .send = stream_send,
    .waiting = stream_waiting,
    .want_room = stream_want_room,
    .ended = stream_ended,
};

/* ---- the connection's side ------------------------------------------------------------------- */

static void stream_on_gone(struct http_stream *http)
{
    struct stream *s = http->user;

    stream_forget(s);
    feed_leave(&s->follower);
}

static void stream_on_writable(struct http_stream *http)
{
    struct stream *s = http->user;

    follower_has_room(&s->follower);
}

/* Where something waits to be written, that says enough. */
static void stream_beat(struct stream *s, int64_t next_ms)
{
    if (http_stream_queued(s->http) == 0 && http_stream_write(s->http, STR(":\n\n")) != ERR_OK)
        UNREACHABLE("an empty queue takes everything");
    timer_start(app_timers(s->api->config.app), &s->beat, next_ms);
}

static void stream_on_beat(struct timer *t)
{
    stream_beat(container_of(t, struct stream, beat), BEAT_MS);
}

static void stream_on_half(struct http_stream *http)
{
    stream_beat(http->user, PROBE_MS);
}

/* A stream may be open for weeks, a token may be taken back meanwhile. Its client hears why when it
 * comes again. */
void streams_recheck(struct api *a)
{
    struct list *at = a->streams.next;

    while (at != &a->streams) {
        struct stream *s = container_of(at, struct stream, link);
        struct call *c = s->http->req->user;
        struct str authorization = STR_NONE;
        struct text_id caller;
        enum role role;

        at = at->next;
        (void)call_header(c, "Authorization", &authorization);
        if (access_check(&a->access, authorization, c->route->roles, &role, &caller) == ACCESS_FINE)
            continue;
        feed_leave(&s->follower);
        stream_close(s, STR_NONE);
    }
}

/* ---- starting -------------------------------------------------------------------------------- */

/* Where the client left off. False: that was in another log. */
static bool parse_start(struct call *c, struct json_in *in, uint64_t *position)
{
    unsigned n_ids = http_request_header_count(c->req, STR("Last-Event-ID"));
    enum call_place place = PLACE_FINE;
    struct str text;

    *position = app_feed(c->app)->published;
    if (n_ids > 1) {
        call_fault_header(in, "Last-Event-ID", "is there twice");
    } else if (call_header(c, "Last-Event-ID", &text) && text.n) {
        place = call_position(c, text, position);
        if (place == PLACE_INVALID)
            call_fault_header(in, "Last-Event-ID", "is no id of this stream");
    } else if (call_param(c, "after", &text)) {
        place = call_position(c, text, position);
        if (place == PLACE_INVALID)
            call_fault(in, "after", "is no id of this stream and no position");
    }
    return place != PLACE_ELSEWHERE;
}

static void stream_start(struct call *c, const struct stream *start)
{
    struct feed *feed = app_feed(c->app);
    struct str id = arena_printf(&c->req->arena, STR_FMT ".%llu", STR_ARG(c->api->config.epoch),
                                 (unsigned long long)start->follower.position);
    const struct http_header headers[] = {
        { STR("Cache-Control"), STR("no-store") },
        { STR("X-Accel-Buffering"), STR("no") }, /* proxies that would wait for more */
        { STR("Last-Event-ID"), id },            /* to resume from before the first event came */
    };
    struct http_response head = {
        .status = 200,
        .content_type = STR("text/event-stream"),
        .headers = headers,
        .n_headers = ARRAY_LEN(headers),
        .close = !c->req->is_head,
    };
    bool is_half = http_request_is_half_gone(c->req);
    struct stream *s = arena_alloc(&c->req->arena, sizeof(*s));
    struct str first = arena_printf(&c->req->arena, ": from " STR_FMT "\n\n", STR_ARG(id));

    *s = *start;
    s->api = c->api;
    list_init(&s->link);
    s->http = http_stream_start(c->req, &head, stream_on_writable, stream_on_gone);
    if (!s->http)
        return; /* HEAD, or nobody is there any more: the request is over */
    s->http->user = s;
    http_stream_on_half(s->http, stream_on_half);
    (void)!http_stream_write(s->http, first); /* refused where other answers wait to leave */
    timer_init(&s->beat, stream_on_beat);
    timer_start(app_timers(c->app), &s->beat, is_half ? PROBE_MS : BEAT_MS);
    s->follower.ops = &stream_ops;
    list_push_back(&c->api->streams, &s->link);
    feed_follow(feed, &s->follower);
}

static void stream_open(struct call *c, const struct json_in *in, bool is_known,
                        const struct stream *start)
{
    enum err e = c->req->is_head ? ERR_OK : feed_admits(app_feed(c->app));

    if (in->n_faults) {
        call_refuse(c, in);
    } else if (!is_known) {
        call_restored(c);
    } else if (e == ERR_LIMIT) {
        app_count_refused(c->app, REFUSED_STREAMS);
        call_problem(c, 503, "overloaded", "As many clients follow the log as may; try again.");
    } else if (e != ERR_OK) {
        app_count_refused(c->app, REFUSED_SHUTTING_DOWN);
        call_problem(c, 503, "shutting_down", "The server is shutting down.");
    } else {
        stream_start(c, start);
    }
}

void events_stream(struct call *c)
{
    struct json_in in = { .arena = &c->req->arena };
    struct stream start = { .follower.kind = FEED_EVENTS };
    bool is_known = parse_start(c, &in, &start.follower.position);

    /* What contradicts itself is heard of never. */
    if (!filter_events(c, &in, &start.follower.filter)) {
        memset(start.follower.filter.types, 0, sizeof(start.follower.filter.types));
        start.follower.filter.has_types = true;
    }
    stream_open(c, &in, is_known, &start);
}

void messages_stream(struct call *c)
{
    struct json_in in = { .arena = &c->req->arena };
    struct stream start = { .follower.kind = FEED_MESSAGES };
    bool is_known = parse_start(c, &in, &start.follower.position);

    if (call_encoding(c, &in, CLOUD_TYPE_EVENT) == CLOUD_ENCODING_CLOUDEVENTS)
        start.follower.kind = FEED_CLOUD_EVENTS;
    filter_messages(c, &in, &start.follower.filter);
    stream_open(c, &in, is_known, &start);
}
