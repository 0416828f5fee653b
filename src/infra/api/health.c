/* Alive, ready, and in numbers. */
#include "api_private.h"
#include "handlers.h"
#include "orderly/infra/observe/metrics_text.h"
#include <stdio.h>

/* For people who type the address into a browser: where to go from here. */
void health_root(struct call *c)
{
    static const struct {
        const char *name, *path;
        unsigned contexts; /* one of them has to be here; 0: any */
    } entries[] = {
        { "orders", "/orders", CONTEXT_BIT(ORDERS) },
        { "order", "/orders/{id}", CONTEXT_BIT(ORDERS) },
        { "explain", "/orders/{id}/explain", CONTEXT_BIT(ORDERS) },
        { "carts", "/carts", CONTEXT_BIT(ORDERS) },
        { "products", "/products", CONTEXT_BIT(ORDERS) | CONTEXT_BIT(INVENTORY) },
        { "events", "/events", 0 },
        { "eventStream", "/events/stream", 0 },
        { "messages", "/messages", 0 },
        { "messageStream", "/messages/stream", 0 },
        { "deadLetters", "/dead-letters", 0 },
        { "ready", "/readyz", 0 },
        { "metrics", "/metrics", 0 },
    };
    struct json_out *o = call_out(c);

    json_open(o, '{');
    JSON_KEY(o, "name");
    json_plain(o, STR("orderly"));
    JSON_KEY(o, "what");
    json_plain(o, STR("An order server whose whole life is events."));
    JSON_KEY(o, "contexts");
    json_open(o, '[');
    for (unsigned i = CONTEXT_ORDERS; i <= CONTEXT_SHIPMENTS; i++) {
        if (!app_has(c->app, (enum context)i))
            continue;
        json_item(o);
        json_plain(o, context_text((enum context)i));
    }
    json_close(o, ']');
    JSON_KEY(o, "entryPoints");
    json_open(o, '{');
    for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
        if (entries[i].contexts && !(entries[i].contexts & app_contexts(c->app)))
            continue;
        json_key(o, str_of(entries[i].name));
        json_str(o, call_location(c, "%s", entries[i].path));
    }
    json_close(o, '}');
    json_close(o, '}');
    call_send_out(c, 200, NULL);
}

void health_live(struct call *c)
{
    JSON_LITERAL(call_out(c), "{\"status\":\"alive\"}");
    call_send_out(c, 200, NULL);
}

void health_ready(struct call *c)
{
    struct json_out *o = call_out(c);
    struct str why = STR_NONE;
    bool is_ready = app_is_ready(c->app, &why);

    json_open(o, '{');
    JSON_KEY(o, "status");
    json_plain(o, is_ready ? STR("ready") : STR("not_ready"));
    JSON_KEY(o, "reasons");
    json_open(o, '[');
    if (why.n)
        json_str(o, why);
    json_close(o, ']');
    json_close(o, '}');
    call_send_out(c, is_ready ? 200 : 503, NULL);
}

/* ---- metrics --------------------------------------------------------------------------------- */

#define LABELS_MAX 192

static const char *const status_texts[API_STATUS_COUNT] = {
#define X(status) [API_STATUS_##status] = #status,
    API_STATUS_MAP(X)
#undef X
        [API_STATUS_OTHER] = "other",
};

static const char *route_label(const struct api *a, unsigned i)
{
    return i < a->table.n ? a->table.patterns[i].pattern : "none";
}

static bool is_counted(const struct api *a, unsigned i)
{
    return i < a->table.n || i == ROUTE_PATTERNS_MAX;
}

static void write_requests(const struct api *a, struct buf *b)
{
    char labels[LABELS_MAX];

    metrics_head(b, "http_requests_total", "counter", "Answers, by method, route and status.");
    for (unsigned i = 0; i <= ROUTE_PATTERNS_MAX; i++) {
        for (unsigned m = 0; is_counted(a, i) && m <= HTTP_METHODS; m++) {
            const char *method = m < HTTP_METHODS ? http_method_name((enum http_method)m) : "none";

            for (unsigned s = 0; s < API_STATUS_COUNT; s++) {
                if (a->counters[i].answered[m][s] == 0)
                    continue;
                snprintf(labels, sizeof(labels), "method=\"%s\",route=\"%s\",code=\"%s\"", method,
                         route_label(a, i), status_texts[s]);
                metrics_u64(b, "http_requests_total", labels, a->counters[i].answered[m][s]);
            }
        }
    }
    metrics_head(b, "http_request_duration_seconds", "histogram",
                 "From the first byte of a request until its answer is given.");
    for (unsigned i = 0; i <= ROUTE_PATTERNS_MAX; i++) {
        if (!is_counted(a, i) || a->counters[i].duration.n == 0)
            continue;
        snprintf(labels, sizeof(labels), "route=\"%s\"", route_label(a, i));
        metrics_histogram(b, "http_request_duration_seconds", labels, &a->counters[i].duration);
    }
}

static void write_server(const struct http_counters *n, struct buf *b)
{
    metrics_head(b, "http_connections", "gauge", "Open connections.");
    metrics_u64(b, "http_connections", "", n->connections_open);
    metrics_head(b, "http_connections_total", "counter", "Accepted connections.");
    metrics_u64(b, "http_connections_total", "", n->connections_accepted);
    metrics_head(b, "http_connections_refused_total", "counter", "Connections beyond a cap.");
    metrics_u64(b, "http_connections_refused_total", "reason=\"connections\"", n->refused_cap);
    metrics_u64(b, "http_connections_refused_total", "reason=\"address\"", n->refused_address);
    metrics_head(b, "http_requests_in_flight", "gauge", "Requests that are not answered yet.");
    metrics_u64(b, "http_requests_in_flight", "", n->requests_in_flight);
    metrics_head(b, "http_aborted_total", "counter", "Clients that went before their answer.");
    metrics_u64(b, "http_aborted_total", "", n->aborted);
    metrics_head(b, "http_received_bytes_total", "counter", "Bytes read from clients.");
    metrics_u64(b, "http_received_bytes_total", "", n->bytes_in);
    metrics_head(b, "http_sent_bytes_total", "counter", "Bytes written to clients.");
    metrics_u64(b, "http_sent_bytes_total", "", n->bytes_out);
}

static void write_access(const struct access *access, struct buf *b)
{
    metrics_head(b, "access_failures_total", "counter", "Requests without the right to go on.");
    metrics_u64(b, "access_failures_total", "reason=\"no_token\"", access->missing);
    metrics_u64(b, "access_failures_total", "reason=\"bad_token\"", access->refused);
    metrics_u64(b, "access_failures_total", "reason=\"role\"", access->forbidden);
}

void api_write_metrics(struct api *a, struct buf *b)
{
    char labels[LABELS_MAX];

    snprintf(labels, sizeof(labels), "version=\"" STR_FMT "\"", STR_ARG(a->config.version));
    metrics_head(b, "build_info", "gauge", "What runs here.");
    metrics_u64(b, "build_info", labels, 1);
    write_requests(a, b);
    if (a->server)
        write_server(&a->server->counters, b);
    write_access(&a->access, b);
    metrics_write_app(b, a->config.app);
    if (a->config.loop_lag) {
        metrics_head(b, "loop_lag_seconds", "histogram",
                     "How long a turn of the loop kept events waiting.");
        metrics_histogram(b, "loop_lag_seconds", "", a->config.loop_lag);
        metrics_max(b, "loop_lag_seconds", "The longest since this was last read.",
                    a->config.loop_lag);
    }
    metrics_write_process(b);
}

void health_metrics(struct call *c)
{
    struct json_out *o = call_out(c);

    api_write_metrics(c->api, &o->buf);
    call_send(c, 200, STR("text/plain; version=0.0.4; charset=utf-8"), buf_str(&o->buf), NULL);
}
