#include "load.h"
#include "clock_ns.h"
#include "connection.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "schedule.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    EVENTS_PER_WAIT = 512,
    READ_SIZE = 256 * 1024,
};

static const uint64_t CONNECT_WAIT_NS = 5 * NS_PER_S;
static const uint64_t HOUSEKEEPING_NS = 20 * NS_PER_MS;

struct load {
    const struct load_options *options;
    struct load_result *result;
    struct connection *connections;
    int epoll_fd;
    unsigned open_n;
    bool sending; /* false once nothing new may be sent */

    /* Connections with room for a request, first come first served. */
    struct list free_list;
    unsigned free_n;

    struct schedule schedule;
    uint64_t next_index; /* of the schedule: the first request not yet sent */
    uint64_t budget;     /* closed loop: requests still to be sent */
    uint64_t outstanding;
    uint64_t next_number;

    /* A burst is written from one buffer of copies of the request. */
    char *burst;
    char *read_buffer;
    uint64_t housekeeping_at_ns;

    size_t second_index; /* the second that second_latency collects */
    struct histogram second_latency;
};

static bool is_open_loop(const struct load *l)
{
    return l->options->rate_per_s > 0.0;
}

/* ---- seconds ---- */

static void second_close(struct load *l)
{
    struct load_second *s = &l->result->seconds[l->second_index];

    s->p50_ns = histogram_quantile(&l->second_latency, 0.50);
    s->p99_ns = histogram_quantile(&l->second_latency, 0.99);
    s->max_ns = l->second_latency.max;
    histogram_reset(&l->second_latency);
}

static struct load_second *second_at(struct load *l, uint64_t now_ns)
{
    size_t index = (size_t)((now_ns - l->result->start_ns) / NS_PER_S);

    if (index >= LOAD_SECONDS_MAX)
        index = LOAD_SECONDS_MAX - 1;
    if (index > l->second_index) {
        second_close(l);
        l->second_index = index;
    }
    if (l->result->seconds_n < index + 1)
        l->result->seconds_n = index + 1;
    return &l->result->seconds[index];
}

/* ---- connections ---- */

static void free_list_leave(struct load *l, struct connection *c)
{
    if (!c->is_free)
        return;
    list_remove(&c->free_link);
    c->is_free = false;
    l->free_n--;
}

/* Enters or leaves the list of connections that can take a request. */
static void free_list_update(struct load *l, struct connection *c, uint64_t now_ns)
{
    bool can_take = connection_room(c) > 0 && c->rest_until_ns <= now_ns;

    if (can_take && !c->is_free) {
        list_push_back(&l->free_list, &c->free_link);
        c->is_free = true;
        l->free_n++;
    } else if (!can_take) {
        free_list_leave(l, c);
    }
}

static void open_connection(struct load *l, struct connection *c)
{
    if (connection_open(c, &l->options->address, l->epoll_fd))
        l->result->connects++;
    else
        l->result->connect_failures++;
}

/* Closes it and counts what it still owed into *lost. It is opened again by the housekeeping. */
static void drop_connection(struct load *l, struct connection *c, uint64_t *lost)
{
    *lost += c->outstanding_n;
    l->outstanding -= c->outstanding_n;
    if (c->state == CONNECTION_OPEN)
        l->open_n--;
    else
        l->result->connect_failures++;
    free_list_leave(l, c);
    connection_close(c);
}

/* ---- sending ---- */

/* Sends n requests on a connection that has room for them. */
static void send_requests(struct load *l, struct connection *c, unsigned n, uint64_t now_ns)
{
    const struct request_template *t = &l->options->request;

    REQUIRE(n <= connection_room(c));
    for (unsigned i = 0; i < n; i++) {
        uint64_t due_ns = now_ns;

        if (is_open_loop(l)) {
            due_ns = schedule_due_ns(&l->schedule, l->next_index++);
            histogram_record(&l->result->send_delay, now_ns - due_ns);
        }
        request_template_stamp(t, l->burst + i * t->bytes.n, l->next_number++);
        connection_push_outstanding(c, due_ns, now_ns);
    }
    l->outstanding += n;
    l->result->sent += n;
    if (l->options->keep_seconds)
        second_at(l, now_ns)->sent += n;
    if (!connection_write(c, l->burst, n * t->bytes.n))
        drop_connection(l, c, &l->result->lost_closed);
    else
        free_list_update(l, c, now_ns);
}

/* Closed loop: fills one connection. */
static void fill_connection(struct load *l, struct connection *c, uint64_t now_ns)
{
    unsigned room = connection_room(c);

    if (!l->sending || c->rest_until_ns > now_ns)
        return;
    if (room > l->budget)
        room = (unsigned)l->budget;
    if (room == 0)
        return;
    l->budget -= room;
    send_requests(l, c, room, now_ns);
}

/* Open loop: sends what is due, spread over the connections that can take it. */
static void send_due(struct load *l, uint64_t now_ns)
{
    uint64_t due = schedule_due_count(&l->schedule, l->next_index, now_ns);

    while (due > 0 && !list_is_empty(&l->free_list)) {
        struct connection *c = container_of(l->free_list.next, struct connection, free_link);
        uint64_t share = (due + l->free_n - 1) / l->free_n;
        unsigned room = connection_room(c);
        unsigned n = share < room ? (unsigned)share : room;

        free_list_leave(l, c); /* to the back of the list, if it still has room */
        send_requests(l, c, n, now_ns);
        due -= n;
    }
}

/* A connection may have room again, or lost it. */
static void offer_room(struct load *l, struct connection *c, uint64_t now_ns)
{
    if (is_open_loop(l))
        free_list_update(l, c, now_ns);
    else
        fill_connection(l, c, now_ns);
}

/* ---- receiving ---- */

static void take_answer(struct load *l, struct connection *c, uint64_t now_ns)
{
    struct load_result *r = l->result;
    uint64_t latency_ns = now_ns - connection_pop_outstanding(c);
    int status = c->parser.status;
    bool succeeded = status >= 200 && status < 300;

    l->outstanding--;
    r->answered++;
    r->by_status[status < LOAD_STATUS_MAX ? status : 0]++;
    r->last_answer_ns = now_ns;
    histogram_record(&r->latency, latency_ns);
    if (succeeded)
        histogram_record(&r->latency_ok, latency_ns);
    if (l->options->keep_seconds) {
        struct load_second *s = second_at(l, now_ns);
        s->answered++;
        s->succeeded += succeeded;
        if (succeeded)
            histogram_record(&l->second_latency, latency_ns);
    }
    if (l->options->locations && status == 201 && c->parser.location_n > 0) {
        (void)fwrite(c->parser.location, 1, c->parser.location_n, l->options->locations);
        (void)fputc('\n', l->options->locations);
    }
    if (status == 503 && l->options->retry_503 && !is_open_loop(l)) {
        unsigned rest_s = c->parser.retry_after_s ? c->parser.retry_after_s : 1;
        c->rest_until_ns = now_ns + rest_s * NS_PER_S;
        l->budget++;
        r->resent++;
    }
}

/* Returns false when the connection is to be closed. */
static bool take_bytes(struct load *l, struct connection *c, const char *at, const char *end,
                       uint64_t now_ns)
{
    while (at < end) {
        switch (response_parse(&c->parser, &at, end)) {
        case RESPONSE_PARTIAL:
            return true;
        case RESPONSE_COMPLETE:
            if (c->outstanding_n == 0) {
                l->result->refusal = "an answer came that nobody asked for";
                return false;
            }
            take_answer(l, c, now_ns);
            if (c->parser.closes)
                return false;
            break;
        case RESPONSE_REFUSED:
            l->result->refusal = c->parser.refusal;
            return false;
        }
    }
    return true;
}

static void read_connection(struct load *l, struct connection *c)
{
    for (;;) {
        ssize_t n = connection_read(c, l->read_buffer, READ_SIZE);
        uint64_t now_ns = clock_now_ns();

        if (n == CONNECTION_AGAIN)
            break;
        if (n == CONNECTION_ENDED ||
            !take_bytes(l, c, l->read_buffer, l->read_buffer + n, now_ns)) {
            drop_connection(l, c, &l->result->lost_closed);
            return;
        }
        if (n < READ_SIZE) {
            offer_room(l, c, now_ns);
            break;
        }
    }
}

static void serve_event(struct load *l, const struct epoll_event *event)
{
    struct connection *c = event->data.ptr;

    if (c->state == CONNECTION_OPENING) {
        if (!connection_finish_open(c)) {
            drop_connection(l, c, &l->result->lost_closed);
            return;
        }
        l->open_n++;
        offer_room(l, c, clock_now_ns());
        return;
    }
    if (c->state == CONNECTION_OPEN && (event->events & EPOLLOUT)) {
        if (!connection_flush(c)) {
            drop_connection(l, c, &l->result->lost_closed);
            return;
        }
        offer_room(l, c, clock_now_ns());
    }
    if (c->state == CONNECTION_OPEN && (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        read_connection(l, c);
}

/* Sleeps to the nanosecond where the kernel can; where it cannot, the last millisecond is spent
 * polling, because a request sent late would be measured as a slow one. */
static int wait_for_events(struct load *l, struct epoll_event *events, uint64_t until_ns)
{
    static bool has_pwait2 = true;
    uint64_t now_ns = clock_now_ns();
    uint64_t sleep_ns = until_ns > now_ns ? until_ns - now_ns : 0;

    if (has_pwait2) {
        struct timespec t = { .tv_sec = (time_t)(sleep_ns / NS_PER_S),
                              .tv_nsec = (long)(sleep_ns % NS_PER_S) };
        int n = epoll_pwait2(l->epoll_fd, events, EVENTS_PER_WAIT, &t, NULL);

        if (n >= 0 || errno != ENOSYS)
            return n;
        has_pwait2 = false;
    }
    return epoll_wait(l->epoll_fd, events, EVENTS_PER_WAIT, (int)(sleep_ns / NS_PER_MS));
}

static void wait_and_serve(struct load *l, uint64_t until_ns)
{
    struct epoll_event events[EVENTS_PER_WAIT];
    int n = wait_for_events(l, events, until_ns);

    for (int i = 0; i < n; i++)
        serve_event(l, &events[i]);
}

/* ---- the run ---- */

/* Rests that are over, answers that are too late, connections to open again. */
static void keep_house(struct load *l, uint64_t now_ns)
{
    if (now_ns < l->housekeeping_at_ns)
        return;
    l->housekeeping_at_ns = now_ns + HOUSEKEEPING_NS;
    for (unsigned i = 0; i < l->options->connections; i++) {
        struct connection *c = &l->connections[i];

        if (c->state == CONNECTION_CLOSED && l->sending)
            open_connection(l, c);
        else if (c->outstanding_n > 0 &&
                 now_ns - connection_oldest_sent_ns(c) > l->options->timeout_ns)
            drop_connection(l, c, &l->result->lost_timeout);
        else if (c->state == CONNECTION_OPEN)
            offer_room(l, c, now_ns);
    }
}

static bool stop_wanted(const struct load *l)
{
    return (l->options->stop && *l->options->stop) || l->result->refusal;
}

static bool all_sent(const struct load *l)
{
    return is_open_loop(l) ? l->next_index >= l->schedule.total : l->budget == 0;
}

static uint64_t next_wake_ns(const struct load *l, uint64_t limit_ns)
{
    uint64_t wake_ns = l->housekeeping_at_ns < limit_ns ? l->housekeeping_at_ns : limit_ns;

    if (is_open_loop(l) && !all_sent(l) && !list_is_empty(&l->free_list)) {
        uint64_t due_ns = schedule_due_ns(&l->schedule, l->next_index);
        wake_ns = due_ns < wake_ns ? due_ns : wake_ns;
    }
    return wake_ns;
}

/* The requests that fall due until the end of the duration, or the budget's. */
static void run_sending(struct load *l)
{
    uint64_t end_ns = l->result->start_ns + l->options->duration_ns;
    uint64_t now_ns = clock_now_ns();

    /* A resent request gives its place back to the budget, so an empty one may fill again. */
    while (now_ns < end_ns && !stop_wanted(l) && !(all_sent(l) && l->outstanding == 0)) {
        keep_house(l, now_ns);
        if (is_open_loop(l))
            send_due(l, now_ns);
        wait_and_serve(l, next_wake_ns(l, end_ns));
        now_ns = clock_now_ns();
    }
    if (is_open_loop(l) && !stop_wanted(l)) /* what fell due in the last sleep */
        send_due(l, now_ns);
}

/* The late ones of an open loop, and the answers that are still to come. */
static void run_drain(struct load *l)
{
    uint64_t now_ns = clock_now_ns();
    uint64_t end_ns = now_ns + l->options->drain_ns;
    bool sends_late = is_open_loop(l) && !l->options->drop_unsent && !stop_wanted(l);
    uint64_t total = l->schedule.total;

    if (is_open_loop(l) && stop_wanted(l)) /* what falls due after a stop was never promised */
        total = l->next_index + schedule_due_count(&l->schedule, l->next_index, now_ns);
    l->sending = sends_late;
    while (now_ns < end_ns && !l->result->refusal &&
           (l->outstanding > 0 || (sends_late && !all_sent(l)))) {
        keep_house(l, now_ns);
        if (sends_late)
            send_due(l, now_ns);
        wait_and_serve(l, next_wake_ns(l, end_ns));
        now_ns = clock_now_ns();
    }
    l->result->unanswered = l->outstanding;
    if (is_open_loop(l) && total > l->next_index)
        l->result->unsent = total - l->next_index;
}

static const char *connect_all(struct load *l)
{
    uint64_t deadline_ns = clock_now_ns() + CONNECT_WAIT_NS;

    for (unsigned i = 0; i < l->options->connections; i++)
        open_connection(l, &l->connections[i]);
    while (l->open_n < l->options->connections) {
        if (l->result->connect_failures > 0 || clock_now_ns() > deadline_ns || stop_wanted(l))
            return "cannot open all connections";
        wait_and_serve(l, deadline_ns);
    }
    return NULL;
}

static void measure_processor(struct load_result *r)
{
    struct rusage usage;

    REQUIRE(getrusage(RUSAGE_SELF, &usage) == 0);
    r->user_ns =
        (uint64_t)usage.ru_utime.tv_sec * NS_PER_S + (uint64_t)usage.ru_utime.tv_usec * 1000;
    r->system_ns =
        (uint64_t)usage.ru_stime.tv_sec * NS_PER_S + (uint64_t)usage.ru_stime.tv_usec * 1000;
}

static void load_init(struct load *l, const struct load_options *options,
                      struct load_result *result)
{
    const struct buf *bytes = &options->request.bytes;

    REQUIRE(options->connections >= 1);
    REQUIRE(options->connections <= LOAD_CONNECTIONS_MAX);
    REQUIRE(options->pipeline >= 1);
    REQUIRE(options->pipeline <= LOAD_PIPELINE_MAX);
    REQUIRE(options->duration_ns <= LOAD_SECONDS_MAX * NS_PER_S);
    memset(result, 0, sizeof(*result));
    memset(l, 0, sizeof(*l));
    l->options = options;
    l->result = result;
    list_init(&l->free_list);
    l->next_number = options->number_first;
    l->budget = options->count;
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    REQUIRE(l->epoll_fd >= 0);
    result->seconds = mem_zalloc(LOAD_SECONDS_MAX * sizeof(*result->seconds));
    l->read_buffer = mem_alloc(READ_SIZE);
    l->burst = mem_alloc(options->pipeline * bytes->n);
    for (unsigned i = 0; i < options->pipeline; i++)
        memcpy(l->burst + i * bytes->n, bytes->p, bytes->n);
    l->connections = mem_zalloc(options->connections * sizeof(*l->connections));
    for (unsigned i = 0; i < options->connections; i++)
        connection_init(&l->connections[i], options->pipeline, options->head_only,
                        options->locations != NULL);
}

static void load_deinit(struct load *l)
{
    for (unsigned i = 0; i < l->options->connections; i++) {
        connection_close(&l->connections[i]);
        connection_deinit(&l->connections[i]);
    }
    mem_free(l->connections);
    mem_free(l->burst);
    mem_free(l->read_buffer);
    (void)close(l->epoll_fd);
}

const char *load_run(const struct load_options *options, struct load_result *result)
{
    /* Static because of its histogram; there is one load in a process. */
    static struct load load;
    struct load *l = &load;
    const char *failure;

    load_init(l, options, result);
    /* Without it the kernel may wake a sleeper 50 us late, which is most of a short latency. */
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    failure = connect_all(l);
    if (!failure) {
        result->start_ns = clock_now_ns();
        result->last_answer_ns = result->start_ns;
        if (is_open_loop(l))
            schedule_init(&l->schedule, result->start_ns, options->rate_per_s, options->duration_ns,
                          options->count);
        l->sending = true;
        run_sending(l);
        run_drain(l);
        result->end_ns = clock_now_ns();
        if (options->keep_seconds)
            second_close(l);
        measure_processor(result);
    }
    load_deinit(l);
    return failure;
}

void load_result_deinit(struct load_result *result)
{
    mem_free(result->seconds);
    result->seconds = NULL;
}
