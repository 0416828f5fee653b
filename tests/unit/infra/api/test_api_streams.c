/* /events/stream and /messages/stream over a loop-back, on virtual time. */
#include "api_fixture.h"
#include "orderly/base/mem.h"

#define EPOCH "0123456789abcdef"

static int setup_with(void **state, unsigned followers_max)
{
    struct api_fixture *f = mem_alloc(sizeof(*f));
    struct app_config config = app_fixture_config();

    for (unsigned flow = 0; flow < FLOW_COUNT; flow++) {
        config.simulators.payments.delay_ms[flow] = 0;
        config.simulators.inventory.delay_ms[flow] = 0;
        config.simulators.shipments.delay_ms[flow] = 0;
    }
    config.followers_max = followers_max;
    api_fixture_init_bounded(f, &config, 0);
    *state = f;
    return 0;
}
static int setup(void **state)
{
    return setup_with(state, 1000);
}
static int setup_for_two(void **state)
{
    return setup_with(state, 2);
}
static int teardown(void **state)
{
    api_fixture_deinit(*state);
    mem_free(*state);
    return 0;
}

/* ---- a client that follows -------------------------------------------------------------------- */

struct listener {
    struct loopback link;
    struct api_fixture *f;
    struct buf text; /* what came, without the framing */
};

static void listener_settle(struct listener *l)
{
    for (int i = 0; i < 4; i++) {
        settle(l->f);
        loopback_turn(&l->link);
    }
}

/* headers: whole lines, or "". */
static void listen_to(struct listener *l, struct api_fixture *f, const char *method,
                      const char *target, const char *headers)
{
    struct buf b = { 0 };

    *l = (struct listener){ .f = f };
    loopback_connect(&l->link, &f->server);
    buf_printf(&b, "%s %s HTTP/1.1\r\nHost: shop.example\r\n%s\r\n", method, target, headers);
    loopback_send(&l->link, buf_str(&b));
    buf_deinit(&b);
    listener_settle(l);
}

static void listener_deinit(struct listener *l)
{
    loopback_deinit(&l->link);
    buf_deinit(&l->text);
}

static int status_of(const struct listener *l)
{
    uint64_t status;

    assert_true(l->link.received.n > 12);
    assert_true(str_to_u64((struct str){ l->link.received.p + 9, 3 }, &status));
    return (int)status;
}

/* All chunks so far, put together. *is_whole: the last one has come. */
static const char *text_of(struct listener *l, bool *is_whole)
{
    struct str got = buf_str(&l->link.received);
    const char *at = memmem(got.p, got.n, "\r\n\r\n", 4), *end = got.p + got.n;
    bool is_over = false;

    assert_non_null(at);
    at += 4;
    l->text.n = 0;
    while (at < end && !is_over) {
        const char *line = memmem(at, (size_t)(end - at), "\r\n", 2);
        size_t n = 0;

        for (const char *p = at; line && p < line; p++)
            n = 16 * n + (size_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
        if (!line || line + 2 + n + 2 > end)
            break;
        is_over = n == 0;
        buf_add(&l->text, line + 2, n);
        at = line + 2 + n + 2;
    }
    buf_add(&l->text, "", 1);
    if (is_whole)
        *is_whole = is_over;
    return l->text.p;
}

static unsigned times_in(struct listener *l, const char *what)
{
    unsigned n = 0;

    for (const char *at = text_of(l, NULL); (at = strstr(at, what)); at += strlen(what))
        n++;
    return n;
}

/* The ids that came are exactly first, first + 1, … last. Line by line: the sanitizer looks at a
 * string as a whole each time that one is searched. */
static void assert_ids(struct listener *l, uint64_t first, uint64_t last)
{
    const char *at = text_of(l, NULL), *end = at + l->text.n - 1, *line_end;
    char expected[64];

    for (; at < end && (line_end = memchr(at, '\n', (size_t)(end - at))); at = line_end + 1) {
        struct str line = { at, (size_t)(line_end - at) };

        if (!str_starts_with(line, STR("id: ")))
            continue;
        snprintf(expected, sizeof(expected), "id: " EPOCH ".%llu", (unsigned long long)first);
        if (first > last || !str_eq(line, str_of(expected)))
            fail_msg(STR_FMT " instead of %s", STR_ARG(line), expected);
        first++;
    }
    assert_int_equal(first, last + 1);
}

static uint64_t durable(struct api_fixture *f)
{
    return app_event_log(f->app.app)->durable_position;
}

static const char *an_order_s_id(struct api_fixture *f)
{
    assert_int_equal(post(f, "/orders", ORDER_JSON), 201);
    return new_id(f, "/orderId");
}

/* ---- form ------------------------------------------------------------------------------------- */

static void streams__look_like_the_lists(void **state)
{
    struct api_fixture *f = *state;
    struct listener l;
    char expected[8192], *data;

    listen_to(&l, f, "GET", "/events/stream", "Accept: text/event-stream\r\n");
    assert_int_equal(status_of(&l), 200);
    buf_add(&l.link.received, "", 1);
    l.link.received.n--;
    assert_non_null(strstr(l.link.received.p, "\r\nContent-Type: text/event-stream\r\n"));
    assert_non_null(strstr(l.link.received.p, "\r\nCache-Control: no-store\r\n"));
    assert_non_null(strstr(l.link.received.p, "\r\nX-Accel-Buffering: no\r\n"));
    assert_non_null(strstr(l.link.received.p, "\r\nLast-Event-ID: " EPOCH ".1\r\n"));
    assert_string_equal(text_of(&l, NULL), ": from " EPOCH ".1\n\n");
    an_order_s_id(f);
    listener_settle(&l);
    get(f, "/events?after=1&limit=1");
    data = strstr(f->answer.p + f->head.n, "[") + 1;
    *strstr(data, "],\"nextCursor\"") = 0;
    snprintf(expected, sizeof(expected),
             ": from " EPOCH ".1\n\nid: " EPOCH ".2\nevent: OrderPlaced\ndata: %s\n\nid: ", data);
    assert_memory_equal(text_of(&l, NULL), expected, strlen(expected));
    assert_ids(&l, 2, 8);
    listener_deinit(&l);

    listen_to(&l, f, "GET", "/api/messages/stream?after=1", "");
    get(f, "/messages?after=1&limit=1");
    data = strstr(f->answer.p + f->head.n, "[") + 1;
    *strstr(data, "],\"nextCursor\"") = 0;
    snprintf(expected, sizeof(expected),
             ": from " EPOCH ".1\n\nid: " EPOCH ".2\nevent: order.placed\ndata: %s\n\nid: ", data);
    assert_memory_equal(text_of(&l, NULL), expected, strlen(expected));
    listener_deinit(&l);
}

/* By the query, since a browser can't set the field; or by Accept, beside the stream's own type. */
static void streams__say_messages_as_cloud_events_to_who_asks(void **state)
{
    static const struct {
        const char *target, *headers;
        bool is_cloud;
    } rows[] = {
        { "/messages/stream?after=1&encoding=cloudevents", "", true },
        { "/messages/stream?after=1", "Accept: text/event-stream, application/cloudevents+json\r\n",
          true },
        { "/messages/stream?after=1&encoding=json",
          "Accept: text/event-stream, application/cloudevents+json\r\n", false },
        { "/messages/stream?after=1",
          "Accept: text/event-stream, application/cloudevents+json;q=0\r\n", false },
        { "/messages/stream?after=1",
          "Accept: text/event-stream, application/cloudevents-batch+json\r\n", false },
    };
    struct api_fixture *f = *state;
    struct listener l;
    char expected[8192], *data;

    an_order_s_id(f);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        get(f, rows[i].is_cloud ? "/messages?after=1&limit=1&encoding=cloudevents"
                                : "/messages?after=1&limit=1");
        data = strstr(f->answer.p + f->head.n, "[") + 1;
        if (rows[i].is_cloud)
            f->answer.p[f->answer.n - 2] = 0; /* the bracket before the NUL */
        else
            *strstr(data, "],\"nextCursor\"") = 0;
        snprintf(
            expected, sizeof(expected),
            ": from " EPOCH ".1\n\nid: " EPOCH ".2\nevent: order.placed\ndata: %s\n\nid: ", data);
        listen_to(&l, f, "GET", rows[i].target, rows[i].headers);
        assert_int_equal(status_of(&l), 200);
        assert_memory_equal(text_of(&l, NULL), expected, strlen(expected));
        listener_deinit(&l);
    }
    /* Both forms at once, each rendered for its own. */
    listen_to(&l, f, "GET", "/messages/stream?encoding=cloudevents", "");
    an_order_s_id(f);
    listener_settle(&l);
    assert_int_equal(times_in(&l, "\"specversion\":\"1.0\""), times_in(&l, "event: "));
    assert_true(times_in(&l, "event: ") >= 7);
    listener_deinit(&l);
    ask_with(f, "GET", "/messages/stream", "Accept: application/cloudevents+json\r\n", NULL);
    assert_problem(f, 406, "not_acceptable");
    ask_with(f, "GET", "/messages/stream?encoding=protobuf", "", NULL);
    assert_problem(f, 400, "validation");
    ask_with(f, "GET", "/events/stream?encoding=cloudevents", "", NULL);
    assert_problem(f, 400, "validation");
}

static void streams__refuse_who_does_not_take_them(void **state)
{
    struct api_fixture *f = *state;

    ask_with(f, "GET", "/events/stream", "Accept: application/json\r\n", NULL);
    assert_problem(f, 406, "not_acceptable");
    ask_with(f, "GET", "/events/stream?limit=3", "", NULL);
    assert_problem(f, 400, "validation");
    ask_with(f, "GET", "/messages/stream?eventType=OrderPaid", "", NULL);
    assert_problem(f, 400, "validation");
    ask_with(f, "GET", "/messages/stream?topic=orders", "", NULL);
    assert_problem(f, 400, "validation");
    ask_with(f, "GET", "/events/stream?eventType=Nothing&aggregateId=%20", "", NULL);
    assert_problem(f, 400, "validation");
    assert_int_equal(count(f, "/errors"), 2);
    ask_with(f, "POST", "/messages/stream", "", "{}");
    assert_problem(f, 405, "method_not_allowed");
}

static void streams__answer_head_at_once(void **state)
{
    struct api_fixture *f = *state;

    assert_int_equal(ask_with(f, "HEAD", "/events/stream", "", NULL), 200);
    assert_header(f, "Content-Type", "text/event-stream");
    assert_header(f, "Last-Event-ID", EPOCH ".1");
    assert_int_equal(app_feed(f->app.app)->n, 0);
    assert_int_equal(ask_with(f, "HEAD", "/events/stream?after=7", "", NULL), 410);
    assert_int_equal(ask_with(f, "HEAD", "/livez", "", NULL), 200); /* the connection lives */
}

/* ---- resuming --------------------------------------------------------------------------------- */

static void streams__resume_behind_every_position(void **state)
{
    struct api_fixture *f = *state;
    uint64_t last;

    an_order_s_id(f);
    an_order_s_id(f);
    last = durable(f);
    for (uint64_t p = 0; p <= last; p++) {
        char target[64], headers[80];
        struct listener l;

        for (unsigned way = 0; way < 4; way++) {
            unsigned long long n = p;

            snprintf(target, sizeof(target), "/events/stream");
            headers[0] = 0;
            if (way == 0)
                snprintf(target, sizeof(target), "/events/stream?after=%llu", n);
            if (way == 1)
                snprintf(target, sizeof(target), "/events/stream?after=" EPOCH ".%llu", n);
            if (way == 2)
                snprintf(headers, sizeof(headers), "Last-Event-ID: " EPOCH ".%llu\r\n", n);
            if (way == 3) { /* the header wins */
                snprintf(target, sizeof(target), "/events/stream?after=%llu",
                         (unsigned long long)(p ? 0 : last));
                snprintf(headers, sizeof(headers), "Last-Event-ID: %llu\r\n", n);
            }
            listen_to(&l, f, "GET", target, headers);
            assert_int_equal(status_of(&l), 200);
            assert_ids(&l, p + 1, last);
            listener_deinit(&l);
        }
    }
}

static void streams__begin_at_the_present_end(void **state)
{
    struct api_fixture *f = *state;
    struct listener l, m;
    uint64_t before;

    an_order_s_id(f);
    before = durable(f);
    listen_to(&l, f, "GET", "/events/stream", "Last-Event-ID:\r\n");
    listen_to(&m, f, "GET", "/messages/stream", "");
    assert_ids(&l, before + 1, before);
    an_order_s_id(f);
    listener_settle(&l);
    listener_settle(&m);
    assert_ids(&l, before + 1, before + 7);
    assert_ids(&m, before + 1, before + 7);
    listener_deinit(&l);
    listener_deinit(&m);
}

static void streams__know_a_place_in_another_log(void **state)
{
    static const char *const gone[] = { "2", (EPOCH ".2"), "ff.1", "0123456789abcdee.0",
                                        "18446744073709551615" };
    static const char *const bad[] = { "x",
                                       "-1",
                                       ".1",
                                       (EPOCH "."),
                                       EPOCH,
                                       (EPOCH ".1.1"),
                                       "gg.1",
                                       "FF.1",
                                       "1 2",
                                       (EPOCH EPOCH "0.1"),
                                       "18446744073709551616" };
    struct api_fixture *f = *state;
    char target[160];

    for (unsigned way = 0; way < 3; way++) {
        for (size_t i = 0; i < ARRAY_LEN(gone) + ARRAY_LEN(bad); i++) {
            bool is_gone = i < ARRAY_LEN(gone);
            const char *id = is_gone ? gone[i] : bad[i - ARRAY_LEN(gone)];
            char headers[160] = "", place[80];
            size_t n = 0;

            for (const char *p = id; *p; p++)
                n += (size_t)snprintf(place + n, sizeof(place) - n, *p == ' ' ? "%%20" : "%c", *p);
            snprintf(target, sizeof(target),
                     way == 0 ? "/events/stream?after=%s" : "/messages?after=%s", place);
            if (way == 1) {
                snprintf(target, sizeof(target), "/messages/stream?after=0");
                snprintf(headers, sizeof(headers), "Last-Event-ID: %s\r\n", id);
            }
            ask_with(f, "GET", target, headers, NULL);
            if (is_gone)
                assert_problem(f, 410, "log_restored");
            else
                assert_problem(f, 400, "validation");
        }
    }
    ask_with(f, "GET", "/events/stream", "Last-Event-ID: 1\r\nLast-Event-ID: 1\r\n", NULL);
    assert_problem(f, 400, "validation");
    assert_value(f, "/errors/0/header", "Last-Event-ID");
    ask_with(f, "GET", "/events/stream?after=x", "Last-Event-ID: x\r\n", NULL);
    assert_int_equal(count(f, "/errors"), 1);
    assert_value(f, "/errors/0/header", "Last-Event-ID");
    get(f, "/events/stream?after=x");
    assert_value(f, "/errors/0/parameter", "after");
    assert_int_equal(get(f, "/messages?after=" EPOCH ".1"), 200);
    assert_int_equal(get(f, "/events?after=" EPOCH ".1"), 200);
}

static void streams__have_the_filters_of_the_lists(void **state)
{
    static const struct {
        const char *target;
        unsigned each; /* events of each order that it gives */
    } rows[] = {
        { "/events/stream?after=0&eventType=OrderPaid", 1 },
        { "/events/stream?after=0&eventType=OrderPaid&correlationId=WIDGET-001", 0 },
        { "/messages/stream?after=0&topic=order.*", 4 },
        { "/messages/stream?after=0&topic=order.placed", 1 },
        { "/messages/stream?after=0&topic=*", 7 },
    };
    struct api_fixture *f = *state;
    struct listener l[ARRAY_LEN(rows)], one[4];
    const char *id;
    char target[3][160];

    an_order_s_id(f);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        listen_to(&l[i], f, "GET", rows[i].target, "");
    id = an_order_s_id(f);
    snprintf(target[0], sizeof(target[0]), "/events/stream?after=0&orderId=%s", id);
    snprintf(target[1], sizeof(target[1]), "/events/stream?after=0&aggregateId=%s", id);
    snprintf(target[2], sizeof(target[2]),
             "/events/stream?after=0&eventType=OrderShipped&correlationId=%s", id);
    for (size_t i = 0; i < 3; i++)
        listen_to(&one[i], f, "GET", target[i], "");
    listen_to(&one[3], f, "GET", "/events/stream?after=0&orderId=x&correlationId=y", "");
    an_order_s_id(f);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned others = strstr(rows[i].target, "topic=*") ? 1 : 0; /* product.added */

        listener_settle(&l[i]);
        assert_int_equal(times_in(&l[i], "\nid: "), 3 * rows[i].each + others);
        listener_deinit(&l[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        static const unsigned expected[] = { 7, 4, 1, 0 };

        listener_settle(&one[i]);
        assert_int_equal(times_in(&one[i], "\nid: "), expected[i]);
        listener_deinit(&one[i]);
    }
}

/* ---- time ------------------------------------------------------------------------------------- */

static void streams__say_something_every_fifteen_seconds(void **state)
{
    struct api_fixture *f = *state;
    struct listener l;
    size_t n;

    listen_to(&l, f, "GET", "/events/stream", "");
    n = l.link.received.n;
    pass_ms(f, 14999);
    listener_settle(&l);
    assert_int_equal(l.link.received.n, n);
    pass_ms(f, 1);
    listener_settle(&l);
    assert_string_equal(text_of(&l, NULL), ": from " EPOCH ".1\n\n:\n\n");
    for (unsigned i = 2; i < 10; i++) {
        pass_ms(f, 15000);
        listener_settle(&l);
        assert_int_equal(times_in(&l, ":\n\n"), i);
    }
    /* Nothing is added for one that does not read. */
    l.link.window = 0;
    pass_ms(f, 15000);
    listener_settle(&l);
    n = l.link.writing_len;
    assert_true(n > 0);
    pass_ms(f, 15000);
    listener_settle(&l);
    assert_int_equal(l.link.writing_len, n);
    listener_deinit(&l);
}

/* One that shuts its side down may only listen, or have gone: writing to it finds out. */
static void streams__probe_a_client_that_sends_no_more(void **state)
{
    struct api_fixture *f = *state;
    struct listener l;

    listen_to(&l, f, "GET", "/events/stream", "");
    loopback_shutdown(&l.link);
    listener_settle(&l);
    assert_int_equal(times_in(&l, ":\n\n"), 1);
    pass_ms(f, 1000);
    listener_settle(&l);
    assert_int_equal(times_in(&l, ":\n\n"), 2);
    an_order_s_id(f);
    listener_settle(&l);
    assert_ids(&l, 2, 8);
    pass_ms(f, 14999);
    listener_settle(&l);
    assert_int_equal(times_in(&l, ":\n\n"), 2);
    loopback_reset(&l.link);
    assert_int_equal(app_feed(f->app.app)->n, 0);
    listener_deinit(&l);
}

/* ---- bounds ----------------------------------------------------------------------------------- */

static void streams__cut_a_slow_reader_off(void **state)
{
    struct api_fixture *f = *state;
    struct feed *feed = app_feed(f->app.app);
    struct listener l, other;
    bool is_whole;
    uint64_t last;
    char target[80];

    f->server.config.limits.stream_queue_max = 3000;
    listen_to(&l, f, "GET", "/events/stream", "");
    listen_to(&other, f, "GET", "/messages/stream", "");
    l.link.window = 0;
    while (feed->overflows[FEED_EVENTS] == 0 && durable(f) < 3 * FEED_RING_EVENTS) {
        assert_int_equal(an_order(&f->app, "WIDGET-001", 1), REPLY_CREATED);
        loopback_turn(&l.link);
        loopback_turn(&other.link);
    }
    assert_int_equal(feed->overflows[FEED_EVENTS], 1);
    assert_true(durable(f) > FEED_RING_EVENTS);
    assert_true(durable(f) < FEED_RING_EVENTS + 100);
    assert_int_equal(feed->n, 1);
    assert_int_equal(capture_log_count(&f->app.log, "streams_cut_off count=1"), 1);

    l.link.window = SIZE_MAX;
    listener_settle(&l);
    (void)text_of(&l, &is_whole);
    assert_true(is_whole);
    assert_true(l.link.is_shut);
    assert_int_equal(times_in(&l, "\n\nevent: overflow\ndata: {\"code\":\"overflow\","), 1);
    /* What it has heard is a beginning; it goes on behind it. */
    last = times_in(&l, "\nid: ");
    assert_ids(&l, 2, last + 1);
    listener_deinit(&l);
    f->server.config.limits.stream_queue_max = 1 << 20;
    snprintf(target, sizeof(target), "/events/stream?after=" EPOCH ".%llu",
             (unsigned long long)last + 1);
    listen_to(&l, f, "GET", target, "");
    assert_ids(&l, last + 2, durable(f));
    listener_deinit(&l);

    listener_settle(&other);
    assert_ids(&other, 2, durable(f));
    listener_deinit(&other);
}

static void streams__give_what_is_larger_than_the_queue(void **state)
{
    struct api_fixture *f = *state;
    struct listener l;

    f->server.config.limits.stream_queue_max = 100; /* smaller than any event */
    listen_to(&l, f, "GET", "/events/stream?after=0", "");
    for (unsigned i = 0; i < 3; i++)
        an_order_s_id(f);
    for (unsigned i = 0; i < 100; i++)
        listener_settle(&l);
    assert_ids(&l, 1, durable(f));
    listener_deinit(&l);
}

static void streams__take_n_clients_and_not_one_more(void **state)
{
    struct api_fixture *f = *state;
    struct listener a, b, c;

    listen_to(&a, f, "GET", "/events/stream", "");
    listen_to(&b, f, "GET", "/messages/stream", "");
    get(f, "/metrics");
    assert_non_null(strstr(f->body.p, "orderly_stream_clients{kind=\"events\"} 1\n"));
    assert_non_null(strstr(f->body.p, "orderly_stream_clients{kind=\"messages\"} 1\n"));
    ask_with(f, "GET", "/events/stream", "", NULL);
    assert_problem(f, 503, "overloaded");
    assert_header(f, "Retry-After", "1");
    ask_with(f, "GET", "/messages/stream?after=9", "",
             NULL); /* a better answer than to try again */
    assert_problem(f, 410, "log_restored");
    assert_int_equal(ask_with(f, "HEAD", "/messages/stream", "", NULL), 200);
    get(f, "/metrics");
    assert_non_null(strstr(f->body.p, "orderly_refused_total{reason=\"stream_clients\"} 1\n"));
    listener_deinit(&a);
    listen_to(&c, f, "GET", "/events/stream", "");
    assert_int_equal(status_of(&c), 200);
    listener_deinit(&b);
    listener_deinit(&c);
    get(f, "/metrics");
    assert_non_null(strstr(f->body.p, "orderly_stream_clients{kind=\"events\"} 0\n"));
}

/* ---- the end ---------------------------------------------------------------------------------- */

static void streams__say_that_the_store_failed(void **state)
{
    struct api_fixture *f = *state;
    struct listener l;
    bool is_whole;

    an_order_s_id(f);
    f->app.store.is_broken = true;
    listen_to(&l, f, "GET", "/events/stream?after=0", "");
    f->app.store.is_broken = false;
    (void)text_of(&l, &is_whole);
    assert_true(is_whole);
    assert_int_equal(times_in(&l, "event: failed\ndata: {\"code\":\"store_failed\""), 1);
    assert_int_equal(times_in(&l, "\nid: "), 0);
    assert_int_equal(capture_log_count(&f->app.log, "stream_failed"), 1);
    listener_deinit(&l);
}

static void ignore(void *ctx)
{
    (void)ctx;
}

static void streams__end_with_the_server(void **state)
{
    struct api_fixture *f = *state;
    struct listener l[2];

    listen_to(&l[0], f, "GET", "/events/stream?after=0", "");
    listen_to(&l[1], f, "GET", "/messages/stream", "");
    app_drain(f->app.app, ignore, NULL);
    for (unsigned i = 0; i < 2; i++) {
        bool is_whole;

        loopback_turn(&l[i].link);
        (void)text_of(&l[i], &is_whole);
        assert_true(is_whole);
        assert_true(l[i].link.is_shut);
        listener_deinit(&l[i]);
    }
    ask_with(f, "GET", "/events/stream", "", NULL);
    assert_problem(f, 503, "shutting_down");
    settle(f);
    /* The fixture's own drain must not be a second one. */
    loopback_deinit(&f->client);
    http_server_deinit(&f->server);
    api_destroy(f->api);
    app_destroy(f->app.app);
    memory_engine_destroy(f->app.engine);
    capture_log_deinit(&f->app.log);
    arena_deinit(&f->app.arena);
    buf_deinit(&f->app.trace);
    yyjson_doc_free(f->json);
    buf_deinit(&f->answer);
}

static int free_only(void **state)
{
    mem_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(streams__look_like_the_lists),
        TEST(streams__say_messages_as_cloud_events_to_who_asks),
        TEST(streams__refuse_who_does_not_take_them),
        TEST(streams__answer_head_at_once),
        TEST(streams__resume_behind_every_position),
        TEST(streams__begin_at_the_present_end),
        TEST(streams__know_a_place_in_another_log),
        TEST(streams__have_the_filters_of_the_lists),
        TEST(streams__say_something_every_fifteen_seconds),
        TEST(streams__probe_a_client_that_sends_no_more),
        TEST(streams__cut_a_slow_reader_off),
        TEST(streams__give_what_is_larger_than_the_queue),
        TEST(streams__say_that_the_store_failed),
        cmocka_unit_test_setup_teardown(streams__take_n_clients_and_not_one_more, setup_for_two,
                                        teardown),
        cmocka_unit_test_setup_teardown(streams__end_with_the_server, setup, free_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
