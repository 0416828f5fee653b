/* The program: the only file that knows every concrete type.
 *
 * Life of a server
 *
 *   options -> store opened -> parts built -> app loads -> demo -> listening
 *                                                     | SIGTERM, SIGINT
 *                                    draining: no new connections, no new commands
 *                                                     | nothing in flight, or --drain is over
 *                                    closing: store, timers, handles; the loop ends; exit 0
 *
 * A second signal ends the process at once, by its default action. SIGHUP rereads the tokens. What
 * a drain that ran out of time left unfinished is delivered again at the next start, where the
 * durable store remembers it.
 *
 * A store that does not know what it has written, or whose file is broken, ends the process at
 * once: nothing may be answered any more.
 */
#include "orderly/app/app.h"
#include "orderly/app/settings.h"
#include "orderly/app/settings_codec.h"
#include "orderly/base/buf.h"
#include "orderly/base/check.h"
#include "orderly/base/list.h"
#include "orderly/base/mem.h"
#include "orderly/infra/api/api.h"
#include "orderly/infra/http/http.h"
#include "orderly/infra/inbound/proto_form.h"
#include "orderly/infra/inbound/reader.h"
#include "orderly/infra/loop/random_sodium.h"
#include "orderly/infra/loop/scheduler_uv.h"
#include "orderly/infra/loop/tcp.h"
#include "orderly/infra/observe/log_lines.h"
#include "orderly/infra/observe/log_pump.h"
#include "orderly/infra/observe/loop_lag.h"
#include "orderly/infra/operate/operate.h"
#include "orderly/infra/options/options.h"
#include "orderly/infra/relay/relays.h"
#include "orderly/infra/store/lmdb_engine.h"
#include "orderly/infra/store/memory.h"
#include "orderly/infra/store/store_thread.h"
#include "sim/sim.h"
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>
#include <uv.h>

/* When a drain has run out of time: for the store to write what it has. */
#define LEAVE_MS 2000
#define LOG_AT_EXIT_MS 200
/* Beside connections: store, log, pipes, the loop. */
#define DESCRIPTORS_BESIDE 64
/* Bytes of chance: a log in memory is a new one with each process. */
#define MEMORY_EPOCH_LEN 8
#define GROUP_MAX (sizeof("orderly-") + CONTEXTS_TEXT_MAX)

struct server {
    struct options options;
    struct str names[OPTIONS_LIST_MAX], origins[OPTIONS_LIST_MAX];
    struct tcp_address address;

    uv_loop_t loop;
    struct log_lines log;
    struct log_pump pump;
    struct loop_lag lag;
    struct scheduler_uv scheduler;
    struct random_sodium random;
    struct engine *engine;
    struct lmdb_report report; /* of the store's opening */
    char epoch[API_EPOCH_MAX + 1];
    char origin[2 * LMDB_EPOCH_LEN + 1];
    struct store_thread *store;
    struct app *app;
    struct inbound_reader reader; /* of messages from outside, but for those over HTTP */
    struct relays *relays;
    struct api *api;
    struct http_server http;
    struct tcp_listener *listener;

    uv_signal_t on_term, on_int, on_hup;
    uv_timer_t deadline; /* of the drain, then of the closing */
    bool is_app_ready;   /* it has loaded what it needs */
    bool is_draining, is_closing;
    bool is_app_drained, is_unconnected;
    bool is_late; /* the drain ran out of time: leave without tidying up */
    int exit_code;
};

/* ---- lines */

static void say(struct server *s, enum log_level level, const char *event,
                const struct log_field *fields, unsigned n)
{
    log_write(&s->log.log, level, event, fields, n);
}

static void say_one(struct server *s, enum log_level level, const char *event, const char *name,
                    struct str value)
{
    const struct log_field field = { name, value };

    say(s, level, event, &field, 1);
}

static void say_number(struct server *s, enum log_level level, const char *event, const char *name,
                       uint64_t value)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)value);

    say_one(s, level, event, name, (struct str){ text, (size_t)n });
}

/* Whatever else is under way: this was the last line. */
_Noreturn static void leave_now(struct server *s, int code)
{
    log_lines_flush_within(&s->log, LOG_AT_EXIT_MS);
    _exit(code);
}

/* The process ends now: a reader of stderr that has stalled must not keep it. For signal handlers,
 * too. Up to so many bytes a pipe that can be written takes without waiting. */
#define LAST_LINE_MAX 2048
static void write_last(const char *line, size_t n)
{
    struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };

    if (poll(&out, 1, LOG_AT_EXIT_MS) > 0)
        (void)!write(STDERR_FILENO, line, n);
}

/* Wrong from the start: one line for people, no log. */
__attribute__((format(printf, 1, 2))) static void complain(const char *fmt, ...)
{
    va_list args;

    (void)fputs("orderly: ", stderr);
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

/* ---- the end */

static void close_handle(uv_handle_t *h)
{
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

/* Nothing is left that could need the loop; it runs empty and uv_run returns. */
static void on_store_closed(void *ctx)
{
    struct server *s = ctx;

    scheduler_uv_close(&s->scheduler, NULL);
    log_pump_close(&s->pump);
    loop_lag_close(&s->lag);
    close_handle((uv_handle_t *)&s->on_term);
    close_handle((uv_handle_t *)&s->on_int);
    close_handle((uv_handle_t *)&s->on_hup);
    close_handle((uv_handle_t *)&s->deadline);
}

static void on_left_behind(uv_timer_t *timer)
{
    struct server *s = container_of(timer, struct server, deadline);

    say(s, LOG_WARN, "closed_unfinished", NULL, 0);
    leave_now(s, s->exit_code);
}

static void on_relays_closed(void *ctx)
{
    struct server *s = ctx;

    ENSURE(uv_timer_start(&s->deadline, on_left_behind, LEAVE_MS, 0) == 0);
    store_thread_close(s->store, on_store_closed, s);
}

/* The store writes what it was given before it ends. */
static void close_all(struct server *s)
{
    if (s->is_closing)
        return;
    s->is_closing = true;
    ENSURE(uv_timer_start(&s->deadline, on_left_behind, RELAYS_CLOSE_MS, 0) == 0);
    relays_close(s->relays, on_relays_closed, s);
}

static void close_when_drained(struct server *s)
{
    if (s->is_app_drained && s->is_unconnected)
        close_all(s);
}

static void on_app_drained(void *ctx)
{
    struct server *s = ctx;

    s->is_app_drained = true;
    close_when_drained(s);
}

static void on_listener_closed(void *ctx)
{
    struct server *s = ctx;

    s->is_unconnected = true;
    close_when_drained(s);
}

static void on_drain_over(uv_timer_t *timer)
{
    struct server *s = container_of(timer, struct server, deadline);

    say_number(s, LOG_WARN, "drain_over", "connections", s->http.counters.connections_open);
    s->is_late = true;
    http_server_close(&s->http);
    close_all(s);
}

static void drain(struct server *s)
{
    if (s->is_draining)
        return;
    s->is_draining = true;
    ENSURE(uv_timer_start(&s->deadline, on_drain_over, (uint64_t)s->options.drain_ms, 0) == 0);
    if (s->listener)
        tcp_listener_close(s->listener, on_listener_closed, s);
    else
        s->is_unconnected = true;
    http_server_drain(&s->http);
    relays_drain(s->relays);
    if (s->is_app_ready) {
        app_drain(s->app, on_app_drained, s);
    } else {
        s->is_app_drained = true;
        close_when_drained(s);
    }
}

static void on_end_signal(uv_signal_t *handle, int number)
{
    struct server *s = handle->data;
    struct sigaction by_default = { .sa_handler = SIG_DFL };

    say_one(s, LOG_INFO, "draining", "signal", str_of(number == SIGINT ? "SIGINT" : "SIGTERM"));
    /* Set behind libuv's back on purpose: a second signal works even if the loop is stuck. */
    (void)sigaction(SIGTERM, &by_default, NULL);
    (void)sigaction(SIGINT, &by_default, NULL);
    drain(s);
}

static void on_hup_signal(uv_signal_t *handle, int number)
{
    struct server *s = handle->data;
    struct str why = STR_NONE;

    (void)number;
    if (!s->options.token_file[0])
        return;
    if (api_reload_tokens(s->api, &why) == ERR_OK)
        say(s, LOG_INFO, "tokens_reread", NULL, 0);
    else
        say_one(s, LOG_ERROR, "tokens_kept", "why", why);
}

/* ---- the store */

static bool is_durable(const struct server *s)
{
    return s->options.store == OPTIONS_STORE_LMDB;
}

/* The store does not know what it has written: nothing may be answered any more. */
static void on_store_fatal(void *ctx, enum err why)
{
    struct server *s = ctx;
    const char *what = is_durable(s) ? lmdb_engine_failure(s->engine) : err_text(why);

    say_one(s, LOG_ERROR, "store_failed", "why", str_of(what));
    leave_now(s, EX_IOERR);
}

/* On any thread, with who knows which locks held. */
static void on_store_broken(void *ctx, const char *why)
{
    const struct server *s = ctx;
    char line[LAST_LINE_MAX];
    int n = snprintf(line, sizeof(line),
                     "orderly: the store in %.1000s is damaged: %s; restore it from a backup\n",
                     s->options.data, why);

    write_last(line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
    _exit(EX_IOERR);
}

/* A page of the store's file can't be had: the file is shorter than it says, or the disk fails. */
static void on_bus_error(int number)
{
    static const char line[] = "orderly: the store's file can't be read: it is shorter than it "
                               "says, or the disk fails; restore it from a backup\n";

    (void)number;
    write_last(line, sizeof(line) - 1);
    _exit(EX_IOERR);
}

/* Before any thread: the opening looks at the file from a child. Returns an exit code, 0 to go on. */
static int open_store(struct server *s)
{
    const struct lmdb_config config = {
        .dir = s->options.data,
        .map_bytes = s->options.store_bytes_max,
        .on_broken = on_store_broken,
        .broken_ctx = s,
    };
    const struct sigaction on_bus = { .sa_handler = on_bus_error };
    enum err err;

    if (!is_durable(s)) {
        s->engine = memory_engine_create(s->options.memory_events_max);
        return 0;
    }
    err = lmdb_engine_open(&config, &s->engine, &s->report);
    if (err == ERR_OK) {
        (void)sigaction(SIGBUS, &on_bus, NULL);
        return 0;
    }
    complain("%s", s->report.why);
    switch (err) {
    case ERR_BUSY:
        return EX_UNAVAILABLE;
    case ERR_INVALID:
        return EX_CONFIG;
    case ERR_DAMAGED:
        return EX_DATAERR;
    default:
        return EX_IOERR;
    }
}

static void close_store(struct server *s)
{
    if (is_durable(s))
        lmdb_engine_close(s->engine);
    else
        memory_engine_destroy(s->engine);
}

static void write_hex(char *out, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

/* Of the log: with a position the epoch names an event for ever, as another log has another one. The
 * origin stays what it is where a backup is restored: what was said before was said by this log. */
static void name_log(struct server *s)
{
    struct lmdb_state state = { 0 };
    size_t n = sizeof(state.epoch);

    if (is_durable(s)) {
        lmdb_engine_state(s->engine, &state);
    } else {
        n = MEMORY_EPOCH_LEN;
        random_fill(&s->random.port, state.epoch, n);
        memcpy(state.origin, state.epoch, n);
    }
    write_hex(s->epoch, state.epoch, n);
    write_hex(s->origin, state.origin, n);
}

/* ---- the beginning */

static void give_up(struct server *s, int code)
{
    s->exit_code = code;
    drain(s);
}

/* An order, and first the product that it is of where that is not there; nothing where the product has
 * no price. */
static void print_order_greeting(struct server *s, const char *token, const char *host)
{
    const struct catalogue_entry *widget;
    struct sku sku;

    ENSURE(sku_parse(STR("WIDGET-001"), &sku));
    widget = catalogue_find(app_catalogue(s->app), &sku);
    if (!widget)
        (void)printf("  curl%s http://%s/products --json '{\"sku\":\"WIDGET-001\",\"name\":"
                     "\"Widget\",\"price\":19.99,\"currency\":\"USD\",\"stockQuantity\":100}'\n",
                     token, host);
    if (!widget || widget->product.has_price)
        (void)printf(
            "  curl%s http://%s/orders --json '{\"customerId\":\"me\",\"items\":[{\"sku\":"
            "\"WIDGET-001\",\"quantity\":2}],\"shippingAddress\":{\"street\":\"1 Main "
            "St\",\"city\":\"Springfield\",\"postalCode\":\"62701\",\"country\":\"US\"}}'\n",
            token, host);
    (void)printf("  curl%s 'http://%s/orders?customerId=me'\n", token, host);
}

/* The first line is for programs, the others are to be pasted, as they are and in their order. */
static void print_greeting(struct server *s)
{
    char where[TCP_ADDRESS_TEXT_MAX], host[TCP_ADDRESS_TEXT_MAX];
    const char *token = s->options.token_file[0] ? " -H \"Authorization: Bearer $TOKEN\"" : "";
    struct tcp_address bound;

    tcp_listener_address(s->listener, &bound);
    tcp_address_format(&bound, where);
    if (s->address.is_any)
        (void)snprintf(host, sizeof(host), "localhost:%u", tcp_listener_port(s->listener));
    else
        (void)snprintf(host, sizeof(host), "%s", where);
    (void)printf("listening on http://%s\n\n", where);
    if (app_has(s->app, CONTEXT_ORDERS))
        print_order_greeting(s, token, host);
    else
        (void)printf("  curl%s http://%s/readyz\n", token, host);
    (void)printf("  curl%s 'http://%s/events?limit=10'\n\n", token, host);
    (void)fflush(stdout);
}

static void on_accept_failed(void *ctx, uint64_t count, const char *why)
{
    struct server *s = ctx;
    char text[24];
    int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)count);
    const struct log_field fields[] = {
        { "count", { text, (size_t)n } },
        { "why", str_of(why) },
    };

    say(s, LOG_ERROR, "accept_failed", fields, ARRAY_LEN(fields));
}

/* The contexts that answer by themselves, as the store has it: with real payments none should do so
 * unnoticed, and the options say it at a directory's first start only. */
static struct str built_in(const struct server *s, char text[static 64])
{
    const struct simulators *sims = app_simulators(s->app);
    const bool is_on[SIMULATOR_COUNT] = {
        [SIMULATOR_PAYMENTS] = sims->payments.enabled && app_has(s->app, CONTEXT_PAYMENTS),
        [SIMULATOR_INVENTORY] = sims->inventory.enabled && app_has(s->app, CONTEXT_INVENTORY),
        [SIMULATOR_SHIPMENTS] = sims->shipments.enabled && app_has(s->app, CONTEXT_SHIPMENTS),
    };
    size_t n = 0;

    for (unsigned i = 0; i < SIMULATOR_COUNT; i++)
        if (is_on[i])
            n += (size_t)snprintf(text + n, 64 - n, "%s" STR_FMT, n ? "," : "",
                                  STR_ARG(simulator_name((enum simulator)i)));
    return n ? (struct str){ text, n } : STR("none");
}

static uint64_t parked_lanes(const struct bus *bus)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++)
        if (bus->subscriptions[i])
            n += bus->subscriptions[i]->n_parked;
    return n;
}

/* What was asked for with options is not what holds: only a directory's first start takes them. */
static void warn_of_kept_settings(struct server *s)
{
    for (unsigned i = 0; i < SIMULATOR_COUNT; i++) {
        enum simulator which = (enum simulator)i;
        struct buf asked = { 0 }, by_default = { 0 }, held = { 0 };

        settings_encode(&s->options.app.simulators, which, &asked);
        settings_encode(&simulators_default, which, &by_default);
        settings_encode(app_simulators(s->app), which, &held);
        if (!str_eq(buf_str(&asked), buf_str(&by_default)) &&
            !str_eq(buf_str(&asked), buf_str(&held))) {
            const struct log_field fields[] = {
                { "simulator", simulator_name(which) },
                { "why", STR("options set it at a directory's first start only; PUT /simulators "
                             "changes it") },
            };

            say(s, LOG_WARN, "simulator_option_ignored", fields, ARRAY_LEN(fields));
        }
        buf_deinit(&asked);
        buf_deinit(&by_default);
        buf_deinit(&held);
    }
}

/* Where it goes on: up to which event the log goes, and what of it waits to be handled. */
static void say_loaded(struct server *s)
{
    const struct bus *bus = app_bus(s->app);
    const struct {
        const char *name;
        uint64_t n;
    } numbers[] = {
        { "position", app_event_log(s->app)->durable_position },
        { "behind", bus_backlog(bus) },
        { "lanes_parked", parked_lanes(bus) },
        { "dead_letters", bus->n_dead_letters_open },
        { "keys", app_idempotency_entries(s->app) },
    };
    struct log_field fields[ARRAY_LEN(numbers)];
    char texts[ARRAY_LEN(numbers)][24];

    for (unsigned i = 0; i < ARRAY_LEN(numbers); i++) {
        int n = snprintf(texts[i], sizeof(texts[i]), "%llu", (unsigned long long)numbers[i].n);

        fields[i] = (struct log_field){ numbers[i].name, { texts[i], (size_t)n } };
    }
    say(s, LOG_INFO, "loaded", fields, ARRAY_LEN(fields));
}

/* There is no relay. A process with Orders may still have all that it needs: over HTTP. */
static void warn_of_absent_contexts(struct server *s)
{
    char absent[CONTEXTS_TEXT_MAX], why[192];

    if (app_contexts(s->app) == CONTEXTS_ALL)
        return;
    if (!app_has(s->app, CONTEXT_ORDERS)) {
        say_one(s, LOG_WARN, "hears_nobody", "why",
                STR("a process without Orders is told of orders by a relay, and has none"));
        return;
    }
    (void)snprintf(why, sizeof(why),
                   "there is no relay, so what " STR_FMT
                   " would answer has to come by POST /messages, or orders wait for it",
                   STR_ARG(contexts_text(CONTEXTS_ALL & ~app_contexts(s->app), absent)));
    say_one(s, LOG_WARN, "hears_nobody", "why", str_of(why));
}

static void listen_now(struct server *s)
{
    char where[TCP_ADDRESS_TEXT_MAX], simulators[64], contexts[CONTEXTS_TEXT_MAX];
    struct tcp_address bound;

    s->listener = tcp_listener_create(&(struct tcp_listener_config){
        .loop = &s->loop,
        .acceptor = http_server_acceptor(&s->http),
        .on_accept_failed = on_accept_failed,
        .ctx = s,
    });
    if (tcp_listener_start(s->listener, &s->address) != ERR_OK) {
        complain("can't listen on %s: %s; --listen names another address", s->options.listen,
                 tcp_listener_error(s->listener));
        give_up(s, EX_UNAVAILABLE);
        return;
    }
    tcp_listener_address(s->listener, &bound);
    tcp_address_format(&bound, where);
    relays_start(s->relays);
    if (!relays_any(s->relays))
        warn_of_absent_contexts(s);
    say_loaded(s);
    warn_of_kept_settings(s);
    {
        const struct log_field fields[] = {
            { "version", STR(ORDERLY_VERSION) },
            { "address", str_of(where) },
            { "store", is_durable(s) ? str_of(s->options.data) : STR("memory") },
            { "access", s->options.token_file[0] ? STR("tokens") : STR("everybody on this host") },
            { "contexts", contexts_text(app_contexts(s->app), contexts) },
            { "built_in", built_in(s, simulators) },
        };

        say(s, LOG_INFO, "listening", fields, ARRAY_LEN(fields));
    }
    print_greeting(s);
}

static void on_demo_ready(void *ctx, enum err status)
{
    struct server *s = ctx;

    if (s->is_draining)
        return;
    if (status != ERR_OK) {
        say_one(s, LOG_ERROR, "demo_failed", "why", str_of(err_text(status)));
        give_up(s, EX_IOERR);
        return;
    }
    listen_now(s);
}

/* The start reads what it builds on, and does without none of it. */
static void complain_of_start(struct server *s)
{
    struct store *store = store_thread_port(s->store);
    struct store_stats stats = { 0 };

    store->ops->stats(store, &stats);
    complain("the store in %s is damaged: %s%s; restore it from a backup", s->options.data,
             stats.damaged ? "a start needs a row that is not what was written, of "
                           : "what a start needs does not fit together",
             stats.damaged ? store_db_name(stats.damaged_db) : "");
}

/* The other contexts' work would be left undone, or done again from the log's beginning. */
static void complain_of_contexts(struct server *s)
{
    char kept[CONTEXTS_TEXT_MAX], asked[CONTEXTS_TEXT_MAX];

    complain("contexts: the store in %s is of " STR_FMT ", and not of " STR_FMT
             "; start it with those, or name another directory with --data",
             s->options.data, STR_ARG(contexts_text(app_contexts_of_store(s->app), kept)),
             STR_ARG(contexts_text(app_contexts(s->app), asked)));
}

static void on_app_ready(void *ctx, enum err status)
{
    struct server *s = ctx;

    if (s->is_draining)
        return;
    s->is_app_ready = status == ERR_OK;
    if (status == ERR_DAMAGED) {
        complain_of_start(s);
        give_up(s, EX_DATAERR);
    } else if (status == ERR_INVALID) {
        complain_of_contexts(s);
        give_up(s, EX_CONFIG);
    } else if (status != ERR_OK) {
        say_one(s, LOG_ERROR, "start_failed", "why", str_of(err_text(status)));
        give_up(s, EX_IOERR);
    } else if (s->options.demo) {
        app_add_demo(s->app, on_demo_ready, s);
    } else {
        listen_now(s);
    }
}

/* How many connections so many descriptors are enough for. */
static uint64_t connections_within(uint64_t descriptors)
{
    uint64_t beside = descriptors < 2 * DESCRIPTORS_BESIDE ? descriptors / 2 : DESCRIPTORS_BESIDE;
    uint64_t n = (descriptors - beside) * HTTP_REFUSED_SHARE / (HTTP_REFUSED_SHARE + 1);

    return n > 1 ? n - 1 : 1;
}

/* As many descriptors as the system allows. Where they are fewer than connections, the limit on
 * these is lowered, and who is beyond it is told so: for want of a descriptor a connection can only
 * be dropped without a word to the client or to the log. */
static void raise_descriptors(struct server *s)
{
    size_t *connections_max = &s->options.http.connections_max;
    char texts[2][24];
    struct log_field fields[] = { { "limit", { texts[0], 0 } },
                                  { "connections", { texts[1], 0 } } };
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur == RLIM_INFINITY || connections_within(limit.rlim_cur) >= *connections_max)
        return;
    *connections_max = connections_within(limit.rlim_cur);
    fields[0].value.n =
        (size_t)snprintf(texts[0], sizeof(texts[0]), "%llu", (unsigned long long)limit.rlim_cur);
    fields[1].value.n = (size_t)snprintf(texts[1], sizeof(texts[1]), "%zu", *connections_max);
    say(s, LOG_WARN, "few_descriptors", fields, ARRAY_LEN(fields));
}

static void watch_signal(struct server *s, uv_signal_t *handle, int number, uv_signal_cb cb)
{
    ENSURE(uv_signal_init(&s->loop, handle) == 0);
    handle->data = s;
    ENSURE(uv_signal_start(handle, cb, number) == 0);
}

/* Everything that can be wrong before anything is built. Returns an exit code, 0 to go on. */
static int check(struct server *s)
{
    enum err err = tcp_address_parse(str_of(s->options.listen), &s->address);

    ENSURE(err == ERR_OK); /* as an option it is none without */
    if (!s->address.is_loopback && !s->options.token_file[0]) {
        complain("listen: %s can be reached from other hosts, so --token-file is needed; without "
                 "one the server listens on loopback only",
                 s->options.listen);
        return EX_CONFIG;
    }
    return 0;
}

/* Processes of other contexts are other consumers: each gets what it listens to. */
static struct str group_of(const struct server *s, char text[static GROUP_MAX])
{
    char contexts[CONTEXTS_TEXT_MAX];
    struct str names = contexts_text(app_contexts(s->app), contexts);
    int n = snprintf(text, GROUP_MAX, "orderly");

    if (app_contexts(s->app) != CONTEXTS_ALL)
        n = snprintf(text, GROUP_MAX, "orderly-" STR_FMT, STR_ARG(names));
    for (int i = 0; i < n; i++)
        if (text[i] == ',')
            text[i] = '-';
    return (struct str){ text, (size_t)n };
}

/* What is wrong with them goes to complaints. */
static enum err build_relays(struct server *s, struct buf *complaints)
{
    char group[GROUP_MAX]; /* is copied */
    const struct relays_config config = {
        .urls = s->options.relay,
        .options = s->options.relays,
        .modules = s->options.relay_modules,
        .group = group_of(s, group),
        .origin = str_of(s->origin),
        .cloud = { str_of(s->options.cloud_source), str_of(s->options.cloud_type_prefix) },
        .reader = &s->reader,
        .log = &s->log.log,
        .app = s->app,
        .loop = &s->loop,
    };

    return relays_create(&config, &s->relays, complaints);
}

static void build_reader(struct server *s)
{
    inbound_reader_init(&s->reader);
    s->reader.cloud = (struct cloud_config){ str_of(s->options.cloud_source),
                                             str_of(s->options.cloud_type_prefix) };
    s->reader.types = app_heard_types(s->app);
    s->reader.forms = &message_form_protobuf;
    s->reader.n_forms = 1;
}

static void build(struct server *s)
{
    struct http_config http = { .clock = &s->scheduler.port };

    name_log(s);
    s->store = store_thread_create(&s->loop, s->engine, on_store_fatal, s);
    s->app = app_create(&s->options.app, &s->scheduler.port, store_thread_port(s->store),
                        &s->random.port, &s->log.log);
    build_reader(s);
    s->api = api_create(&(struct api_config){
        .app = s->app,
        .reader = &s->reader.base,
        .log = &s->log.log,
        .version = STR(ORDERLY_VERSION),
        .epoch = str_of(s->epoch),
        .origins = s->origins,
        .n_origins = options_list(s->options.origins, s->origins, OPTIONS_LIST_MAX),
        .cloud = { str_of(s->options.cloud_source), str_of(s->options.cloud_type_prefix) },
        .loop_lag = &s->lag.histogram,
    });
    http.limits = s->options.http;
    http.handler = api_handler(s->api);
    http.checks_host = s->address.is_loopback;
    http.hosts = s->names;
    http.n_hosts = options_list(s->options.names, s->names, OPTIONS_LIST_MAX);
    random_fill(&s->random.port, &http.map_key, sizeof(http.map_key));
    http_server_init(&s->http, &http);
    api_attach(s->api, &s->http);
}

static void unbuild(struct server *s)
{
    http_server_deinit(&s->http);
    api_destroy(s->api);
    app_destroy(s->app);
    relays_destroy(s->relays);
}

static int run_server(struct server *s, struct str unknown_variables)
{
    struct str why = STR_NONE;
    struct buf complaints = { 0 };
    int code;

    if (random_sodium_init(&s->random) != ERR_OK) {
        complain("this system has no source of randomness");
        return EX_OSERR;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a write that fails says more */
    code = open_store(s);
    if (code != 0)
        return code;
    ENSURE(uv_loop_init(&s->loop) == 0);
    loop_lag_init(&s->lag, &s->loop);
    log_lines_init(&s->log, STDERR_FILENO, s->options.log_level, NULL, NULL);
    log_pump_init(&s->pump, &s->loop, &s->log);
    scheduler_uv_init(&s->scheduler, &s->loop);
    ENSURE(uv_timer_init(&s->loop, &s->deadline) == 0);
    watch_signal(s, &s->on_term, SIGTERM, on_end_signal);
    watch_signal(s, &s->on_int, SIGINT, on_end_signal);
    watch_signal(s, &s->on_hup, SIGHUP, on_hup_signal);
    raise_descriptors(s);
    if (unknown_variables.n)
        say_one(s, LOG_WARN, "unknown_variables", "names", unknown_variables);
    if (s->report.warning[0])
        say_one(s, LOG_WARN, "store_warning", "what", str_of(s->report.warning));
    if (s->report.note[0])
        say_one(s, LOG_INFO, "store_note", "what", str_of(s->report.note));
    build(s);

    if (build_relays(s, &complaints) != ERR_OK) {
        (void)fwrite(complaints.p, 1, complaints.n, stderr);
        give_up(s, EX_CONFIG);
    } else if (s->options.token_file[0] &&
               api_load_tokens(s->api, s->options.token_file, &why) != ERR_OK) {
        complain("token-file '%s': " STR_FMT, s->options.token_file, STR_ARG(why));
        give_up(s, EX_CONFIG);
    } else {
        app_start(s->app, on_app_ready, s);
    }
    ENSURE(uv_run(&s->loop, UV_RUN_DEFAULT) == 0);
    ENSURE(uv_loop_close(&s->loop) == 0);

    if (s->is_late)
        leave_now(s, s->exit_code);
    if (s->exit_code == 0) /* else the last line says why it ended */
        say(s, LOG_INFO, "stopped", NULL, 0);
    unbuild(s);
    close_store(s);
    buf_deinit(&complaints);
    log_lines_flush_within(&s->log, LOG_AT_EXIT_MS);
    log_lines_deinit(&s->log);
    random_sodium_deinit(&s->random);
    return s->exit_code;
}

/* ---- commands */

struct command_line {
    const char *name, *what;
    int (*run)(unsigned n_args, char *const *args);
};
static const struct command_line command_lines[];

static void print(struct str text)
{
    (void)fwrite(text.p, 1, text.n, stdout);
}

static int help_serve(void)
{
    struct buf help = { 0 };

    print(STR("usage: orderly serve [--FLAG VALUE | --set KEY=VALUE]…\n"
              "\n"
              "Takes orders over HTTP and carries them through payment, stock and shipping.\n"
              "\n"
              "Each line below is one option, with what holds where nothing is said. Those with\n"
              "two dashes are flags; all of them can be given as\n"
              "\n"
              "  --set payment.timeout=10m        on the command line\n"
              "  ORDERLY_PAYMENT_TIMEOUT=10m      in the environment\n"
              "  payment.timeout = 10m            as a line of the file that --config names\n"
              "\n"
              "A flag wins over the environment, the environment over the file. Times have a unit\n"
              "(500ms, 10s, 30m, 2h, 1d), sizes may have one (64KiB, 1MiB, 1GiB).\n"));
    options_print_help(&help);
    print(buf_str(&help));
    buf_deinit(&help);
    print(STR("\n"
              "Examples\n"
              "  orderly serve --demo\n"
              "  orderly serve --data /var/lib/orderly\n"
              "  orderly serve --store memory --demo\n"
              "  orderly serve --listen 127.0.0.1:0 --set simulators.payments.mode=wait\n"
              "  orderly serve --listen '*:8080' --token-file /etc/orderly/tokens\n"
              "\n"
              "Signals\n"
              "  SIGTERM, SIGINT   accept nothing more, finish what is in progress, exit 0;\n"
              "                    a second one ends the server at once\n"
              "  SIGHUP            read the token file again\n"
              "\n"
              "Exit codes\n"
              "  0   ended as asked\n"
              "  64  wrong command line: what is no option, or a value that can't be one\n"
              "  65  the store is damaged, seen at the start: restore it from a backup\n"
              "  69  can't listen on the address, or another server has the data directory\n"
              "  71  the system lacks something\n"
              "  74  the store failed: a write, an fsync, a directory that can't be used, or\n"
              "      damage that was met while serving\n"
              "  78  wrong configuration: the same in a variable or in the file; what is no fault\n"
              "      of one value but can't be had or does not go together, such as a secret's\n"
              "      file, an adapter, or an address beyond loopback without tokens; or a data\n"
              "      directory of a newer version or of other contexts\n"));
    return 0;
}

static int run_serve(unsigned n_args, char *const *args)
{
    struct server *s = mem_zalloc(sizeof(*s));
    struct buf complaints = { 0 }, warnings = { 0 };
    int code = 0;

    switch (options_read(&s->options, n_args, args, environ, &complaints, &warnings)) {
    case OPTIONS_HELP:
        code = help_serve();
        break;
    case OPTIONS_USAGE:
        code = EX_USAGE;
        break;
    case OPTIONS_CONFIG:
        code = EX_CONFIG;
        break;
    case OPTIONS_OK:
        code = check(s);
        if (code == 0)
            code = run_server(s, buf_str(&warnings));
        break;
    }
    if (complaints.n)
        (void)fwrite(complaints.p, 1, complaints.n, stderr);
    buf_deinit(&complaints);
    buf_deinit(&warnings);
    mem_free(s);
    return code;
}

static int run_version(unsigned n_args, char *const *args)
{
    (void)n_args;
    (void)args;
    (void)printf("orderly %s\n", ORDERLY_VERSION);
    return 0;
}

static void print_overview(FILE *to)
{
    (void)fputs("orderly: an order server whose whole life is events\n"
                "\n"
                "usage: orderly COMMAND [OPTIONS]\n"
                "\n",
                to);
    for (const struct command_line *c = command_lines; c->name; c++)
        (void)fprintf(to, "  %-10s%s\n", c->name, c->what);
    for (const struct operate_command *c = operate_commands; c->name; c++)
        (void)fprintf(to, "  %-10s%s\n", c->name, c->what);
    (void)fputs(
        "\n"
        "'orderly serve --demo' is a good start; 'orderly help serve' lists its options, and\n"
        "'orderly help COMMAND' explains any other.\n",
        to);
}

static int run_help(unsigned n_args, char *const *args)
{
    char help[] = "--help";
    char *const explain[] = { help };
    const struct operate_command *command = n_args ? operate_command_find(args[0]) : NULL;

    if (n_args && strcmp(args[0], "serve") == 0)
        return help_serve();
    if (command)
        return command->run(1, explain);
    if (n_args && strcmp(args[0], "sim") == 0)
        return sim_command_run(1, explain);
    for (const struct command_line *c = command_lines; n_args && c->name; c++) {
        if (strcmp(c->name, args[0]) == 0)
            n_args = 0;
    }
    if (n_args) {
        complain("there is no command '%s'; 'orderly help' lists them", args[0]);
        return EX_USAGE;
    }
    print_overview(stdout);
    return 0;
}

static const struct command_line command_lines[] = {
    { "serve", "take orders over HTTP", run_serve },
    { "sim", "run the whole server on virtual time, with faults, and judge it", sim_command_run },
    { "help", "say this, or with a command behind it what that can be told", run_help },
    { "version", "say which version this is", run_version },
    { NULL, NULL, NULL },
};

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    const struct operate_command *command = operate_command_find(name);

    operate_fill_descriptors();
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        name = "version";
    for (const struct command_line *c = command_lines; c->name; c++)
        if (strcmp(c->name, name) == 0)
            return c->run((unsigned)argc - 2, argv + 2);
    if (command)
        return command->run((unsigned)argc - 2, argv + 2);
    if (name[0] == 0) {
        print_overview(stderr);
        return EX_USAGE;
    }
    complain("there is no command '%s'; 'orderly help' lists them", name);
    return EX_USAGE;
}
