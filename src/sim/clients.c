/* Clients: each has a connection of its own, sends its requests one after the other or pipelined, and
 * reads the answers when it likes. What a client was not answered, it tries again. */
#include "orderly/base/mem.h"
#include "world.h"
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

#define TRIES_MAX 6
#define GIVE_UP_US 20000000
#define RETRY_US_MIN 20000
#define ESSENTIAL_RETRY_US 700000

void clients_init(struct world *w)
{
    struct clients *cs = &w->clients;
    struct chance c = chance_of_seed(w->config.seed, 'c', 0);

    cs->n = 2 + (unsigned)chance_below(&c, CLIENTS_MAX - 1);
    cs->n_all = cs->n + CLIENTS_WAITING;
    cs->pipeline = chance_hits(&c, 250000) ? 1 + (unsigned)chance_below(&c, 4) : 1;
    list_init(&cs->kept);
    for (unsigned i = 0; i < cs->n_all; i++) {
        list_init(&cs->all[i].flying);
        list_init(&cs->all[i].waiting);
    }
}

/* ---- requests -------------------------------------------------------------------------------- */

struct wish *wish_create(struct world *w, enum sim_command command, const char *method,
                         struct plan *plan)
{
    struct wish *r = mem_alloc(sizeof(*r));

    *r = (struct wish){ .command = command,
                        .number = ++w->clients.n_numbers,
                        .method = method,
                        .plan = plan,
                        .tries_max = TRIES_MAX,
                        .may_lose = true,
                        .client = UINT_MAX };
    list_init(&r->link);
    return r;
}

__attribute__((format(printf, 3, 0))) static void format(char *out, size_t size, const char *fmt,
                                                         va_list args)
{
    int n = vsnprintf(out, size, fmt, args);

    ENSURE(n >= 0);
    ENSURE((size_t)n < size);
}

void wish_target(struct wish *r, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    format(r->target, sizeof(r->target), fmt, args);
    va_end(args);
}

void wish_body(struct wish *r, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    format(r->body, sizeof(r->body), fmt, args);
    va_end(args);
}

void wish_key(struct world *w, struct wish *r)
{
    (void)snprintf(r->key, sizeof(r->key), "key-%llu-%llu", (unsigned long long)w->config.seed,
                   (unsigned long long)r->number);
}

void wish_order(struct wish *r, const struct order_id *id)
{
    r->has_order = true;
    r->order = *id;
}

struct wish *wish_repeat(struct world *w, const struct wish *r)
{
    struct wish *again = wish_create(w, r->command, r->method, r->plan);

    again->number = r->number;
    again->has_order = r->has_order;
    again->order = r->order;
    again->message_type = r->message_type;
    again->simulator = r->simulator;
    again->if_match = r->if_match;
    again->was_repeated = true;
    memcpy(again->key, r->key, sizeof(r->key));
    memcpy(again->target, r->target, sizeof(r->target));
    memcpy(again->body, r->body, sizeof(r->body));
    return again;
}

static void on_due(struct world *w, struct task *t);

static void free_all(struct list *l)
{
    while (!list_is_empty(l))
        mem_free(container_of(list_pop_front(l), struct wish, link));
}

/* Those that would have been sent later. */
static void free_due(struct world *w)
{
    struct heap_node *n;

    while ((n = heap_peek(&w->tasks))) {
        struct task *t = container_of(n, struct task, node);

        heap_remove(&w->tasks, n);
        if (t->run == on_due)
            mem_free(container_of(t, struct wish, task));
    }
}

void clients_deinit(struct world *w)
{
    struct clients *cs = &w->clients;

    for (unsigned i = 0; i < cs->n_all; i++) {
        struct client *c = &cs->all[i];

        free_all(&c->flying);
        free_all(&c->waiting);
        mem_free(c->sending);
        buf_deinit(&c->out);
    }
    free_all(&cs->kept);
    free_due(w);
}

static struct client *client_of(struct world *w, struct wish *r)
{
    if (r->client == UINT_MAX && r->command == SIM_WAIT)
        r->client = w->clients.n + (unsigned)chance_below(&w->wishes, CLIENTS_WAITING);
    else if (r->client == UINT_MAX)
        r->client = (unsigned)chance_below(&w->wishes, w->clients.n);
    return &w->clients.all[r->client];
}

static void on_due(struct world *w, struct task *t)
{
    struct wish *r = container_of(t, struct wish, task);

    list_push_back(&client_of(w, r)->waiting, &r->link);
}

void wish_start(struct world *w, struct wish *r, int64_t delay_us)
{
    if (delay_us <= 0)
        on_due(w, &r->task);
    else
        task_start(w, &r->task, on_due, delay_us);
}

static bool is_post(const struct wish *r)
{
    return strcmp(r->method, "POST") == 0;
}

/* Another try, or the end. */
static void wish_failed(struct world *w, struct wish *r)
{
    int64_t delay_us = RETRY_US_MIN + chance_span(&w->wishes, 23);
    bool is_keyed = r->key[0] != 0;

    list_remove(&r->link);
    r->tries++;
    if (r->is_essential) {
        wish_start(w, r, ESSENTIAL_RETRY_US);
        return;
    }
    if (r->tries >= r->tries_max) {
        if (r->done)
            r->done(w, r, NULL);
        mem_free(r);
        return;
    }
    /* The id of a message stays the message's. */
    if (r->command != SIM_MESSAGE && is_post(r) &&
        (!is_keyed || fault_hits(w, SIM_FAULT_NEW_KEY))) {
        r->number = ++w->clients.n_numbers;
        if (is_keyed)
            wish_key(w, r);
    } else if (r->command == SIM_MESSAGE || is_keyed) {
        fault_count(w, SIM_FAULT_SAME_KEY);
    }
    if (chance_hits(&w->wishes, 300000))
        r->client = UINT_MAX; /* another connection, or the same */
    wish_start(w, r, delay_us);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void fail_all(struct world *w, struct client *c)
{
    struct list failed;

    list_take_all(&failed, &c->flying);
    c->n_flying = 0;
    if (c->sending) {
        list_push_back(&failed, &c->sending->link);
        c->sending = NULL;
    }
    while (!list_is_empty(&failed)) {
        struct wish *r = container_of(list_pop_front(&failed), struct wish, link);

        world_tell(w, r->has_order ? &r->order.u : NULL, r->plan ? (int)r->plan->index : TRACE_NONE,
                   "client %u  no answer to %llu %s %s", r->client, (unsigned long long)r->number,
                   r->method, r->target);
        wish_failed(w, r);
    }
}

static void disconnect(struct world *w, struct client *c)
{
    struct mem_source *before = process_enter(w);

    loopback_deinit(&c->link);
    process_leave(before);
    c->is_connected = false;
}

static void client_reset(struct world *w, struct client *c)
{
    trace_step(&w->trace, 'r', (uint64_t)(c - w->clients.all), c->n_flying, 0);
    disconnect(w, c);
    fail_all(w, c);
}

void clients_lose_all(struct world *w)
{
    for (unsigned i = 0; i < w->clients.n_all; i++) {
        struct client *c = &w->clients.all[i];

        c->is_connected = false; /* its memory goes with the process's */
        fail_all(w, c);
    }
    followers_lose_all(w);
}

void clients_close_all(struct world *w)
{
    for (unsigned i = 0; i < w->clients.n_all; i++)
        if (w->clients.all[i].is_connected)
            client_reset(w, &w->clients.all[i]);
    followers_close_all(w);
}

void clients_turn(struct world *w)
{
    struct mem_source *before = process_enter(w);

    http_server_flush(&w->process.http);
    for (unsigned i = 0; i < w->clients.n_all; i++) {
        struct client *c = &w->clients.all[i];

        if (c->is_connected && c->link.is_closing && !c->link.is_closed)
            loopback_turn(&c->link);
    }
    followers_turn(w);
    process_leave(before);
}

static void connect_client(struct world *w, struct client *c)
{
    struct mem_source *before = process_enter(w);

    loopback_connect(&c->link, &w->process.http);
    process_leave(before);
    c->is_connected = true;
    c->seen = c->looked = 0;
    c->reads_at_us = 0;
}

/* ---- sending --------------------------------------------------------------------------------- */

/* Who waits keeps nobody else waiting behind. */
static unsigned pipeline_of(const struct world *w, const struct client *c)
{
    return c - w->clients.all < (ptrdiff_t)w->clients.n ? w->clients.pipeline : 1;
}

bool client_can_send(const struct world *w, const struct client *c)
{
    if (!w->process.is_listening || (c->is_connected && c->link.is_shut))
        return false;
    return c->sending || (!list_is_empty(&c->waiting) && c->n_flying < pipeline_of(w, c));
}

static void write_request(struct client *c, const struct wish *r)
{
    c->out.n = 0;
    c->out_at = 0;
    buf_printf(&c->out, "%s %s HTTP/1.1\r\nHost: shop.example\r\n", r->method, r->target);
    if (r->key[0] && r->command != SIM_MESSAGE)
        buf_printf(&c->out, "Idempotency-Key: %s\r\n", r->key);
    if (r->if_match)
        buf_printf(&c->out, "If-Match: \"%llu\"\r\n", (unsigned long long)r->if_match);
    if (r->body[0])
        buf_printf(&c->out, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                   strlen(r->body), r->body);
    else if (is_post(r))
        buf_printf(&c->out, "Content-Length: 0\r\n\r\n");
    else
        buf_printf(&c->out, "\r\n");
}

static void begin_request(struct world *w, struct client *c)
{
    struct wish *r = container_of(list_pop_front(&c->waiting), struct wish, link);

    c->sending = r;
    r->client = (unsigned)(c - w->clients.all);
    r->asked_wall_ms = scheduler_wall_ms(&w->ms.scheduler);
    r->asked_us = world_now_us(w);
    r->asked_awake_us = witness_awake_us(w->witness);
    r->give_up_us = world_now_us(w) + GIVE_UP_US + r->wait_ms * 1000;
    w->clients.n_requests++;
    if (is_post(r) && r->key[0] && r->may_lose && !r->was_repeated && fault_hits(w, SIM_FAULT_TWIN))
        wish_start(w, wish_repeat(w, r), 0);
    write_request(c, r);
    world_tell(w, r->has_order ? &r->order.u : NULL, r->plan ? (int)r->plan->index : TRACE_NONE,
               "client %u  sends %llu %s %s%s%s %s", r->client, (unsigned long long)r->number,
               r->method, r->target, r->key[0] ? " key " : "", r->key, r->body);
}

static void end_of_request(struct world *w, struct client *c)
{
    struct wish *r = c->sending;

    c->sending = NULL;
    list_push_back(&c->flying, &r->link);
    c->n_flying++;
    if (r->may_lose && fault_hits(w, SIM_FAULT_LOST_REPLY))
        r->give_up_us = world_now_us(w) + chance_span(&w->faults.chance, 21);
    if (r->may_lose && fault_hits(w, SIM_FAULT_LATE_REPLY))
        c->reads_at_us = world_now_us(w) + chance_span(&w->faults.chance, 23);
}

void client_send(struct world *w, struct client *c)
{
    struct str rest;
    struct mem_source *before;

    if (!c->is_connected)
        connect_client(w, c);
    if (!c->sending)
        begin_request(w, c);
    rest = (struct str){ c->out.p + c->out_at, c->out.n - c->out_at };
    if (rest.n > 1 && c->sending->may_lose && fault_hits(w, SIM_FAULT_SPLIT))
        rest.n = 1 + (size_t)chance_below(&w->faults.chance, rest.n - 1);
    c->out_at += rest.n;
    trace_step(&w->trace, '>', (uint64_t)(c - w->clients.all), (uint64_t)world_now_us(w), rest.n);
    trace_bytes(&w->trace, rest);
    if (c->out_at == c->out.n)
        end_of_request(w, c);
    before = process_enter(w);
    loopback_send(&c->link, rest);
    process_leave(before);
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool has_something(const struct client *c)
{
    return c->link.is_closed || (c->link.received.n > c->looked && !list_is_empty(&c->flying));
}

bool client_can_read(const struct world *w, const struct client *c)
{
    if (!c->is_connected)
        return false;
    return world_now_us(w) >= c->reads_at_us && has_something(c);
}

static bool header_of(struct str head, const char *name, struct str *value)
{
    size_t n = strlen(name);
    const char *at = memmem(head.p, head.n, name, n);
    const char *end;

    if (!at)
        return false;
    at += n;
    end = memmem(at, (size_t)(head.p + head.n - at), "\r\n", 2);
    *value = (struct str){ at, (size_t)(end - at) };
    return true;
}

/* The next whole answer out of what was received. */
static bool take_response(struct client *c, struct response *out)
{
    struct str got = { c->link.received.p + c->seen, c->link.received.n - c->seen };
    const char *end = got.n ? memmem(got.p, got.n, "\r\n\r\n", 4) : NULL;
    struct str head, value;
    uint64_t n = 0, status = 0, sequence = 0;

    if (!end)
        return false;
    head = (struct str){ got.p, (size_t)(end - got.p) + 2 };
    if (header_of(head, "\r\nContent-Length: ", &value) && !str_to_u64(value, &n))
        return false;
    if (got.n < head.n + 2 + n)
        return false;
    ENSURE(head.n > 12);
    ENSURE(str_to_u64((struct str){ head.p + 9, 3 }, &status));
    if (header_of(head, "\r\nETag: \"", &value) && value.n > 0)
        (void)str_to_u64((struct str){ value.p, value.n - 1 }, &sequence);
    *out =
        (struct response){ .status = (int)status,
                           .is_replayed = header_of(head, "\r\nIdempotent-Replayed: true", &value),
                           .sequence = sequence,
                           .body = { head.p + head.n + 2, (size_t)n } };
    c->seen += head.n + 2 + (size_t)n;
    return true;
}

static bool is_worth_another_try(const struct response *res)
{
    static const char in_flight[] = "idempotency_in_flight";

    if (res->status == 409)
        return memmem(res->body.p, res->body.n, in_flight, sizeof(in_flight) - 1) != NULL;
    return res->status >= 500 || res->status == 408;
}

static bool is_about_an_order(const struct wish *r)
{
    return r->command == SIM_PLACE || r->command == SIM_CHECKOUT;
}

static void tell_witness(struct world *w, struct wish *r, const struct response *res)
{
    struct sim_answer a = {
        .command = r->command,
        .request = r->number,
        .key = r->command == SIM_MESSAGE ? STR_NONE : str_of(r->key),
        .is_replayed = res->is_replayed,
        .status = res->status,
        .has_order = r->has_order,
        .order = r->order,
        .sequence = res->sequence,
        .if_match = r->if_match,
        .body = res->body,
        .asked_wall_ms = r->asked_wall_ms,
        .answered_wall_ms = scheduler_wall_ms(&w->ms.scheduler),
        .asked_us = r->asked_us,
        .asked_awake_us = r->asked_awake_us,
        .message_type = r->message_type,
        .simulator = r->simulator,
        .until = r->until,
        .wait_ms = r->wait_ms,
        .is_ending = w->process.is_draining,
        .message_id = r->command == SIM_MESSAGE ? str_of(r->key) : STR_NONE,
    };
    char id[UUID_TEXT_LEN + 1];

    if (is_about_an_order(r) && res->status < 300 &&
        json_text(res->body, "orderId", id, sizeof(id)))
        a.has_order = uuid_parse(str_of(id), &a.order.u);
    world_tell_time(w);
    witness_answered(w->witness, &a);
    world_tell(w, a.has_order ? &a.order.u : NULL, r->plan ? (int)r->plan->index : TRACE_NONE,
               "client %u  reads %d%s for %llu %s %s: " STR_FMT, r->client, res->status,
               res->is_replayed ? " (replayed)" : "", (unsigned long long)r->number, r->method,
               r->target, (int)(res->body.n < 160 ? res->body.n : 160), res->body.p);
}

/* Some that were answered are said again a day later. */
static bool keep(struct world *w, struct wish *r, const struct response *res)
{
    struct clients *cs = &w->clients;

    if (!is_post(r) || !r->key[0] || r->was_repeated || res->status >= 300 ||
        cs->n_kept >= REPEATS_MAX || w->faults.are_over || !chance_hits(&w->wishes, 150000))
        return false;
    r->answered_wall_ms = scheduler_wall_ms(&w->ms.scheduler);
    list_push_back(&cs->kept, &r->link);
    cs->n_kept++;
    return true;
}

static void take_answer(struct world *w, struct client *c, const struct response *res)
{
    struct wish *r = container_of(list_pop_front(&c->flying), struct wish, link);

    c->n_flying--;
    trace_step(&w->trace, '<', (uint64_t)(c - w->clients.all), (uint64_t)world_now_us(w),
               (uint64_t)res->status);
    trace_bytes(&w->trace, res->body);
    tell_witness(w, r, res);
    if (is_worth_another_try(res)) {
        wish_failed(w, r);
        return;
    }
    if (r->done)
        r->done(w, r, res);
    if (!keep(w, r, res))
        mem_free(r);
}

void client_read(struct world *w, struct client *c)
{
    struct response res;

    /* The callback of an answer sends nothing and resets nothing: it only makes new wishes. */
    while (!list_is_empty(&c->flying) && take_response(c, &res)) {
        take_answer(w, c, &res);
        if (c->seen == c->link.received.n)
            c->link.received.n = c->seen = 0;
    }
    c->looked = c->link.received.n; /* what is there is no whole answer, or answers nothing */
    if (c->link.is_closed)
        client_reset(w, c);
}

void client_give_up(struct world *w, struct client *c)
{
    client_reset(w, c);
}

int64_t client_next_us(const struct world *w, const struct client *c)
{
    int64_t next = INT64_MAX;

    (void)w;
    if (!c->is_connected)
        return next;
    if (!list_is_empty(&c->flying))
        next = container_of(c->flying.next, struct wish, link)->give_up_us;
    else if (c->sending)
        next = c->sending->give_up_us;
    if (has_something(c) && c->reads_at_us < next)
        next = c->reads_at_us;
    return next;
}
