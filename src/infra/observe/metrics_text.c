#include "orderly/infra/observe/metrics_text.h"
#include "orderly/app/relay.h"
#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define LABELS_MAX 128

void metrics_head(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_printf(b, "# HELP orderly_%s %s\n# TYPE orderly_%s %s\n", name, help, name, type);
}

static void add_name(struct buf *b, const char *name, const char *suffix, const char *labels)
{
    if (*labels)
        buf_printf(b, "orderly_%s%s{%s} ", name, suffix, labels);
    else
        buf_printf(b, "orderly_%s%s ", name, suffix);
}

void metrics_u64(struct buf *b, const char *name, const char *labels, uint64_t value)
{
    add_name(b, name, "", labels);
    buf_printf(b, "%" PRIu64 "\n", value);
}

void metrics_double(struct buf *b, const char *name, const char *labels, double value)
{
    add_name(b, name, "", labels);
    buf_printf(b, "%.9g\n", value);
}

void metrics_histogram(struct buf *b, const char *name, const char *labels,
                       const struct histogram *h)
{
    const char *comma = *labels ? "," : "";
    uint64_t below = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        below += h->counts[i];
        buf_printf(b, "orderly_%s_bucket{%s%sle=\"%.9g\"} %" PRIu64 "\n", name, labels, comma,
                   (double)histogram_bounds_us[i] / 1e6, below);
    }
    buf_printf(b, "orderly_%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma, h->n);
    add_name(b, name, "_sum", labels);
    buf_printf(b, "%.9g\n", h->sum_us / 1e6);
    add_name(b, name, "_count", labels);
    buf_printf(b, "%" PRIu64 "\n", h->n);
}

void metrics_max(struct buf *b, const char *name, const char *help, struct histogram *h)
{
    char full[96];

    snprintf(full, sizeof(full), "%s_max", name);
    metrics_head(b, full, "gauge", help);
    metrics_double(b, full, "", (double)h->max_us / 1e6);
    h->max_us = 0;
}

/* ---- the app --------------------------------------------------------------------------------- */

static const char *labels_of(char out[LABELS_MAX], const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static const char *labels_of(char out[LABELS_MAX], const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(out, LABELS_MAX, fmt, ap);
    va_end(ap);
    return out;
}

static const char *subscription_label(char out[LABELS_MAX], unsigned id)
{
    struct str name = subscription_name((enum subscription_id)id);

    return labels_of(out, "subscription=\"" STR_FMT "\"", STR_ARG(name));
}

static const char *relay_label(char out[LABELS_MAX], unsigned id)
{
    struct str name = subscription_name((enum subscription_id)id);

    return labels_of(out, "relay=\"" STR_FMT "\"", STR_ARG(name));
}

static void write_events(struct buf *b, const struct metrics *m)
{
    char labels[LABELS_MAX];

    metrics_head(b, "events_appended_total", "counter", "Events that became durable, by type.");
    for (unsigned t = EVENT_NONE + 1; t < EVENT_TYPE_COUNT; t++) {
        if (m->events_appended[t])
            metrics_u64(b, "events_appended_total",
                        labels_of(labels, "type=\"" STR_FMT "\"", STR_ARG(event_infos[t].type)),
                        m->events_appended[t]);
    }
}

/* Its bounds are numbers of events. */
static void write_batches(struct buf *b, const struct commit_stats *s)
{
    uint64_t below = 0;

    metrics_head(b, "commit_batch_events", "histogram", "Events in a commit.");
    for (unsigned i = 0; i < COMMIT_SIZES - 1; i++) {
        below += s->by_size[i];
        buf_printf(b, "orderly_commit_batch_events_bucket{le=\"%u\"} %" PRIu64 "\n", 1u << i,
                   below);
    }
    below += s->by_size[COMMIT_SIZES - 1];
    buf_printf(b, "orderly_commit_batch_events_bucket{le=\"+Inf\"} %" PRIu64 "\n", below);
    metrics_u64(b, "commit_batch_events_sum", "", s->events);
    metrics_u64(b, "commit_batch_events_count", "", below);
}

static void write_commits(struct buf *b, struct metrics *m, struct app *app)
{
    struct store_stats stats = { .events = 0 };

    app_store(app)->ops->stats(app_store(app), &stats);
    metrics_head(b, "commit_duration_seconds", "histogram",
                 "A commit of the store: writing and making durable.");
    metrics_histogram(b, "commit_duration_seconds", "", &stats.opened->duration);
    write_batches(b, stats.opened);
    metrics_head(b, "store_bytes", "gauge", "What the store takes on disk, or in memory.");
    metrics_u64(b, "store_bytes", "", stats.bytes);
    metrics_head(b, "store_events", "gauge", "Events in the log.");
    metrics_u64(b, "store_events", "", stats.events);
    metrics_head(b, "store_damaged_rows_total", "counter",
                 "Reads that met a row whose sum is wrong.");
    metrics_u64(b, "store_damaged_rows_total", "", stats.damaged);
    metrics_head(b, "store_waiting", "gauge", "Writes that were handed over and are not back.");
    metrics_u64(b, "store_waiting", "", stats.waiting);

    metrics_head(b, "publish_accepted_seconds", "histogram",
                 "From handing an event to the log until it is durable.");
    metrics_histogram(b, "publish_accepted_seconds", "", &m->publish_accepted);
    metrics_max(b, "publish_accepted_seconds", "The longest since this was last read.",
                &m->publish_accepted);
    metrics_head(b, "publish_handled_seconds", "histogram",
                 "From handing an event to the log until a handler gets its message.");
    metrics_histogram(b, "publish_handled_seconds", "", &m->publish_handled);
    metrics_max(b, "publish_handled_seconds", "The longest since this was last read.",
                &m->publish_handled);
}

/* A context that is elsewhere, or a relay that is not configured, shows nothing but the dead letters
 * that it has left behind. */
static bool has_subscription(struct app *app, unsigned i)
{
    return app_bus(app)->subscriptions[i] || i == SUBSCRIPTION_AUDIT;
}

static void write_handlers(struct buf *b, const struct metrics *m, struct app *app)
{
    static const char *const kinds[FAILURE_KIND_COUNT] = {
        [FAILURE_RETRY] = "retry",
        [FAILURE_PERMANENT] = "permanent",
        [FAILURE_PARKED] = "parked",
    };
    char labels[LABELS_MAX], name[LABELS_MAX];

    metrics_head(b, "handler_duration_seconds", "histogram",
                 "From handing a message to its handler until it is done.");
    for (unsigned i = SUBSCRIPTION_NONE + 1; i < SUBSCRIPTION_COUNT; i++) {
        if (has_subscription(app, i))
            metrics_histogram(b, "handler_duration_seconds", subscription_label(labels, i),
                              &m->handler_duration[i]);
    }
    metrics_head(b, "handler_failures_total", "counter", "Failed attempts, by what followed.");
    for (unsigned i = SUBSCRIPTION_NONE + 1; i < SUBSCRIPTION_COUNT; i++) {
        for (unsigned k = 0; has_subscription(app, i) && k < FAILURE_KIND_COUNT; k++)
            metrics_u64(b, "handler_failures_total",
                        labels_of(labels, "%s,kind=\"%s\"", subscription_label(name, i), kinds[k]),
                        m->handler_failures[i][k]);
    }
}

static void write_subscriptions(struct buf *b, const struct metrics *m, struct app *app)
{
    struct subscription *const *all = app_bus(app)->subscriptions;
    char labels[LABELS_MAX], name[LABELS_MAX];

    metrics_head(b, "subscription_lag_events", "gauge", "Published and not yet passed.");
    for (unsigned i = SUBSCRIPTION_NONE + 1; i < SUBSCRIPTION_COUNT; i++) {
        if (all[i])
            metrics_u64(b, "subscription_lag_events", subscription_label(labels, i),
                        subscription_lag(all[i]));
    }
    metrics_head(b, "subscription_oldest_seconds", "gauge", "Age of the oldest message in work.");
    for (unsigned i = SUBSCRIPTION_NONE + 1; i < SUBSCRIPTION_COUNT; i++) {
        if (all[i])
            metrics_double(b, "subscription_oldest_seconds", subscription_label(labels, i),
                           (double)subscription_oldest_us(all[i]) / 1e6);
    }
    metrics_head(b, "lanes_deferred", "gauge", "Lanes that wait for a retry or for a person.");
    for (unsigned i = SUBSCRIPTION_NONE + 1; i < SUBSCRIPTION_COUNT; i++) {
        if (!all[i])
            continue;
        (void)subscription_label(name, i);
        metrics_u64(b, "lanes_deferred", labels_of(labels, "%s,state=\"retrying\"", name),
                    all[i]->n_deferred - all[i]->n_parked);
        metrics_u64(b, "lanes_deferred", labels_of(labels, "%s,state=\"parked\"", name),
                    all[i]->n_parked);
    }
    metrics_head(b, "dead_letters", "gauge", "Open dead letters.");
    for (unsigned i = SUBSCRIPTION_NONE + 1; i < SUBSCRIPTION_COUNT; i++) {
        if (has_subscription(app, i) || m->dead_letters_open[i] > 0)
            metrics_u64(b, "dead_letters", subscription_label(labels, i), m->dead_letters_open[i]);
    }
}

static bool flow_has(const struct flow *f, enum order_status s)
{
    bool has = f->start == s;

    for (unsigned i = 0; i < f->n_rows; i++)
        has |= f->rows[i].to == s;
    return has;
}

/* A currency stays where nothing is due in it any more. */
static void write_refunds(struct buf *b, const struct refund_totals *t)
{
    char labels[LABELS_MAX], amount[MONEY_TEXT_MAX];

    metrics_head(b, "refunds_due", "gauge", "Money that is due back, in its currency.");
    for (unsigned i = 0; i < t->n; i++) {
        size_t n = money_to_text(t->list[i].amount, t->list[i].currency, amount);

        buf_printf(b, "orderly_refunds_due{%s} %.*s\n",
                   labels_of(labels, "currency=\"%s\"", t->list[i].currency.code), (int)n, amount);
    }
}

static void write_orders(struct buf *b, const struct metrics *m)
{
    char labels[LABELS_MAX];

    metrics_head(b, "orders_total", "gauge", "Orders that are in the state now.");
    for (unsigned f = FLOW_NONE + 1; f < FLOW_COUNT; f++) {
        for (unsigned s = ORDER_NONE + 1; s < ORDER_STATUS_COUNT; s++) {
            struct str status = order_status_name((enum order_status)s);

            if (flow_has(flow_of((enum flow_id)f), (enum order_status)s))
                metrics_double(b, "orders_total",
                               labels_of(labels, "flow=\"%s\",status=\"" STR_FMT "\"",
                                         flow_of((enum flow_id)f)->name, STR_ARG(status)),
                               (double)m->orders[f][s]);
        }
    }
    metrics_head(b, "unasked_total", "counter", "Refunds and releases that nobody asked for.");
    metrics_u64(b, "unasked_total", "kind=\"refund\"", m->unasked_refunds);
    metrics_u64(b, "unasked_total", "kind=\"release\"", m->unasked_releases);
}

static void write_refused(struct buf *b, const struct metrics *m)
{
    static const char *const reasons[REFUSED_COUNT] = {
#define X(name, text) [REFUSED_##name] = text,
        REFUSED_MAP(X)
#undef X
    };
    char labels[LABELS_MAX];

    metrics_head(b, "refused_total", "counter", "Requests answered with 503, by reason.");
    for (unsigned i = 0; i < REFUSED_COUNT; i++)
        metrics_u64(b, "refused_total", labels_of(labels, "reason=\"%s\"", reasons[i]),
                    m->refused[i]);
}

static void write_feed(struct buf *b, const struct feed *fd)
{
    static const char *const kinds[FEED_KINDS] = {
        [FEED_EVENTS] = "kind=\"events\"",
        [FEED_MESSAGES] = "kind=\"messages\"",
        [FEED_CLOUD_EVENTS] = "kind=\"cloudevents\"",
    };

    metrics_head(b, "stream_clients", "gauge", "Clients that follow the log.");
    for (unsigned k = 0; k < FEED_KINDS; k++)
        metrics_u64(b, "stream_clients", kinds[k], fd->n_by_kind[k]);
    metrics_head(b, "stream_overflows_total", "counter",
                 "Clients cut off as they read too slowly.");
    for (unsigned k = 0; k < FEED_KINDS; k++)
        metrics_u64(b, "stream_overflows_total", kinds[k], fd->overflows[k]);
    metrics_head(b, "stream_frames_total", "counter", "Events and messages sent to them.");
    metrics_u64(b, "stream_frames_total", "", fd->frames_sent);
    metrics_head(b, "stream_pages_total", "counter", "Pages of the log read for them.");
    metrics_u64(b, "stream_pages_total", "", fd->pages_read);
}

/* Only where there are relays: a server without one says nothing of them. */
static void write_relays(struct buf *b, const struct app *app)
{
    static const struct {
        const char *outcome;
        size_t offset;
    } outcomes[] = {
        { "published", offsetof(struct relay_counts, published) },
        { "acked", offsetof(struct relay_counts, acked) },
        { "unrouted", offsetof(struct relay_counts, unrouted) },
        { "again", offsetof(struct relay_counts, again) },
        { "refused", offsetof(struct relay_counts, refused) },
        { "received", offsetof(struct relay_counts, received) },
        { "own", offsetof(struct relay_counts, own) },
        { "settled", offsetof(struct relay_counts, settled) },
    };
    char labels[LABELS_MAX], name[LABELS_MAX];
    bool any = false;

    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++)
        any |= app_relay(app, (enum subscription_id)i) != NULL;
    if (!any)
        return;
    metrics_head(b, "relay_connected", "gauge", "1: the broker is there.");
    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++) {
        const struct relay *r = app_relay(app, (enum subscription_id)i);

        if (r)
            metrics_u64(b, "relay_connected", relay_label(labels, i), r->is_connected);
    }
    metrics_head(b, "relay_stands_seconds", "gauge",
                 "Messages have waited so long without the broker taking one; 0: none waits.");
    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++) {
        const struct relay *r = app_relay(app, (enum subscription_id)i);

        if (r)
            metrics_double(b, "relay_stands_seconds", relay_label(labels, i),
                           (double)subscription_stands_us(r->subscription) / 1e6);
    }
    metrics_head(b, "relay_connections_lost_total", "counter", "Connections that ended.");
    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++) {
        const struct relay *r = app_relay(app, (enum subscription_id)i);

        if (r)
            metrics_u64(b, "relay_connections_lost_total", relay_label(labels, i),
                        r->counts.losses);
    }
    metrics_head(b, "relay_limit_messages_per_second", "gauge",
                 "What a relay may publish, as orders go first; 0: as fast as it can.");
    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++) {
        const struct relay *r = app_relay(app, (enum subscription_id)i);

        if (r)
            metrics_u64(b, "relay_limit_messages_per_second", relay_label(labels, i), r->limit);
    }
    metrics_head(b, "relay_messages_total", "counter",
                 "Messages to and from brokers, by what became of them.");
    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++) {
        const struct relay *r = app_relay(app, (enum subscription_id)i);

        for (size_t k = 0; r && k < ARRAY_LEN(outcomes); k++) {
            uint64_t n;

            memcpy(&n, (const char *)&r->counts + outcomes[k].offset, sizeof(n));
            metrics_u64(
                b, "relay_messages_total",
                labels_of(labels, "%s,outcome=\"%s\"", relay_label(name, i), outcomes[k].outcome),
                n);
        }
    }
}

static void write_cache(struct buf *b, const struct app *app)
{
    static const char *const kinds[CACHED_COUNT] = {
        [CACHED_ORDERS] = "kind=\"orders\"",
        [CACHED_CARTS] = "kind=\"carts\"",
    };

    metrics_head(b, "cache_bytes", "gauge", "Settled orders and carts kept in memory.");
    for (unsigned k = 0; k < CACHED_COUNT; k++)
        metrics_u64(b, "cache_bytes", kinds[k], app_cache_use(app, k).bytes);
    metrics_head(b, "cache_evictions_total", "counter",
                 "Those that made room for others, and are read anew when asked for.");
    for (unsigned k = 0; k < CACHED_COUNT; k++)
        metrics_u64(b, "cache_evictions_total", kinds[k], app_cache_use(app, k).n_evicted);
}

void metrics_write_app(struct buf *b, struct app *app)
{
    struct metrics *m = app_metrics_mut(app);

    write_events(b, m);
    write_commits(b, m, app);
    write_handlers(b, m, app);
    write_subscriptions(b, m, app);
    write_orders(b, m);
    write_refunds(b, &m->refunds_due);
    write_refused(b, m);
    metrics_head(b, "idempotency_entries", "gauge", "Idempotency keys and message ids kept.");
    metrics_u64(b, "idempotency_entries", "", app_idempotency_entries(app));
    write_cache(b, app);
    write_feed(b, app_feed(app));
    write_relays(b, app);
    metrics_head(b, "waiters", "gauge", "Requests that wait for an order to change.");
    metrics_u64(b, "waiters", "", app_waiters(app));
}

/* ---- the process ----------------------------------------------------------------------------- */

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

/* Fields 22 (start, in ticks), 23 (bytes) and 24 (pages) of /proc/self/stat, behind the name in
 * brackets, which may hold blanks. */
static bool read_stat(uint64_t *start_ticks, uint64_t *virtual_bytes, uint64_t *resident_pages)
{
    FILE *f = fopen("/proc/self/stat", "re");
    char text[1024];
    const char *at = NULL;
    size_t n;

    if (!f)
        return false;
    n = fread(text, 1, sizeof(text) - 1, f);
    (void)fclose(f);
    text[n] = 0;
    for (const char *p = text; (p = strchr(p, ')')); p++)
        at = p;
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (!at)
        return false;
    {
        char *end;

        *start_ticks = strtoull(at, &end, 10);
        *virtual_bytes = strtoull(end, &end, 10);
        *resident_pages = strtoull(end, &end, 10);
    }
    return true;
}

static uint64_t boot_seconds(void)
{
    FILE *f = fopen("/proc/stat", "re");
    char line[256];
    uint64_t boot = 0;

    while (f && fgets(line, sizeof(line), f)) {
        if (strncmp(line, "btime ", 6) == 0)
            boot = strtoull(line + 6, NULL, 10);
    }
    if (f)
        (void)fclose(f);
    return boot;
}

static uint64_t open_descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    uint64_t n = 0;

    while (d && readdir(d))
        n++;
    if (d)
        (void)closedir(d);
    return n > 3 ? n - 3 : 0; /* without ., .. and the directory itself */
}

/* The client libraries of Prometheus use these names as they are, without a prefix. */
static void process_line(struct buf *b, const char *name, const char *type, const char *help,
                         double value)
{
    buf_printf(b, "# HELP process_%s %s\n# TYPE process_%s %s\nprocess_%s %.15g\n", name, help,
               name, type, name, value);
}

void metrics_write_process(struct buf *b)
{
    struct rusage usage;
    struct rlimit files;
    uint64_t start, virtual_bytes, pages;

    if (getrusage(RUSAGE_SELF, &usage) == 0)
        process_line(b, "cpu_seconds_total", "counter", "User and system CPU time.",
                     seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
    if (read_stat(&start, &virtual_bytes, &pages)) {
        long ticks = sysconf(_SC_CLK_TCK), page = sysconf(_SC_PAGESIZE);

        process_line(b, "resident_memory_bytes", "gauge", "Resident memory.",
                     (double)pages * (double)page);
        process_line(b, "virtual_memory_bytes", "gauge", "Virtual memory.", (double)virtual_bytes);
        if (ticks > 0)
            process_line(b, "start_time_seconds", "gauge", "Start, since 1970.",
                         (double)boot_seconds() + (double)start / (double)ticks);
    }
    process_line(b, "open_fds", "gauge", "Open file descriptors.", (double)open_descriptors());
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        process_line(b, "max_fds", "gauge", "Most file descriptors.", (double)files.rlim_cur);
}
