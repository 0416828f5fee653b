/* The gate: every request is routed, allowed and looked over here before its handler sees it. */
#include "api_private.h"
#include "fields.h"
#include "orderly/base/mem.h"
#include <stdio.h>

/* ---- life ------------------------------------------------------------------------------------ */

struct api *api_create(const struct api_config *config)
{
    struct api *a = mem_zalloc(sizeof(*a));

    REQUIRE(config->app != NULL);
    REQUIRE(config->epoch.n >= 1 && config->epoch.n <= API_EPOCH_MAX);
    a->config = *config;
    if (a->config.cloud.source.n == 0)
        a->config.cloud.source = STR(CLOUD_SOURCE_DEFAULT);
    REQUIRE(cloud_source_is_valid(a->config.cloud.source));
    REQUIRE(cloud_type_prefix_is_valid(a->config.cloud.type_prefix));
    inbound_reader_init(&a->reader);
    a->reader.cloud = a->config.cloud;
    app_set_message_reader(config->app, config->reader ? config->reader : &a->reader.base);
    route_table_init(&a->table);
    refusals_init(&a->refusals, app_timers(config->app));
    streams_init(a);
    return a;
}

void api_destroy(struct api *a)
{
    app_set_message_reader(a->config.app, NULL);
    refusals_deinit(&a->refusals);
    json_out_deinit(&a->out);
    mem_free(a->token_path);
    explicit_bzero(&a->access, sizeof(a->access));
    mem_free(a);
}

void api_attach(struct api *a, struct http_server *server)
{
    a->server = server;
}

enum err api_load_tokens(struct api *a, const char *path, struct str *why)
{
    size_t n = strlen(path) + 1;
    char *copy = mem_alloc(n);
    enum err e;

    memcpy(copy, path, n);
    mem_free(a->token_path);
    a->token_path = copy;
    e = access_load(&a->access, path, a->why);
    if (why)
        *why = e == ERR_OK ? STR_NONE : str_of(a->why);
    return e;
}

enum err api_reload_tokens(struct api *a, struct str *why)
{
    enum err e;

    if (why)
        *why = STR_NONE;
    if (!a->token_path)
        return ERR_OK;
    e = access_load(&a->access, a->token_path, a->why);
    if (why && e != ERR_OK)
        *why = str_of(a->why);
    if (e == ERR_OK)
        streams_recheck(a);
    return e;
}

/* ---- refusals at the gate -------------------------------------------------------------------- */

static void send_unauthorized(struct call *c)
{
    struct problem p = { .status = 401,
                         .code = STR("unauthorized"),
                         .detail = STR("A valid bearer token is needed.") };
    struct call_extra extra = { .header = "WWW-Authenticate", .value = "Bearer" };

    call_problem_with(c, &p, &extra);
}

static void send_not_allowed(struct call *c, const struct route_pattern *pattern)
{
    struct problem p = { .status = 405,
                         .code = STR("method_not_allowed"),
                         .detail = STR("The resource does not know this method.") };
    struct call_extra extra = { .header = "Allow", .value = pattern->allow_text };

    call_problem_with(c, &p, &extra);
}

static void send_options(struct call *c, const char *allow)
{
    struct call_extra extra = { .header = "Allow", .value = allow };

    call_send(c, 204, STR_NONE, STR_NONE, &extra);
}

static int64_t now_ms_of(const struct api *a)
{
    return scheduler_mono_us(app_scheduler(a->config.app)) / 1000;
}

/* At most one line a second, with a number and nothing of the tokens. */
static void tell_failures(struct api *a, int64_t now_ms)
{
    char text[24];
    struct log_field field = { "count", { text, 0 } };

    a->untold_failures++;
    if (!a->config.log || now_ms - a->told_failures_ms < 1000)
        return;
    field.value.n =
        (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)a->untold_failures);
    log_write(a->config.log, LOG_WARN, "access_refused", &field, 1);
    a->told_failures_ms = now_ms;
    a->untold_failures = 0;
}

static bool method_is_safe(enum http_method m)
{
    return m == HTTP_METHOD_GET || m == HTTP_METHOD_HEAD || m == HTTP_METHOD_OPTIONS ||
           m == HTTP_METHOD_TRACE;
}

/* True: go on. Otherwise the call was answered, or is_delayed says that it will be. */
static bool check_access(struct call *c)
{
    struct access *access = &c->api->access;
    struct str authorization = STR_NONE, origin;
    enum access_result result;
    int64_t now_ms;

    (void)call_header(c, "Authorization", &authorization);
    result = access_check(access, authorization, c->route->roles, &c->role, &c->caller);
    if (result != ACCESS_FINE) {
        now_ms = now_ms_of(c->api);
        tell_failures(c->api, now_ms);
        c->is_delayed = access_count_failure(access, result, now_ms);
        if (c->is_delayed)
            return false;
        if (result == ACCESS_FORBIDDEN)
            call_problem(c, 403, "forbidden", "The token's role may not do this.");
        else
            send_unauthorized(c);
        return false;
    }
    if (!method_is_safe(c->req->method) && call_header(c, "Origin", &origin) &&
        !access_origin_is_fine(origin, c->req->host, c->api->config.origins,
                               c->api->config.n_origins)) {
        call_problem(c, 403, "forbidden", "Pages of that origin may not do this.");
        return false;
    }
    return true;
}

static bool check_context(struct call *c)
{
    unsigned contexts = c->route->contexts;

    if (contexts == 0 || (contexts & app_contexts(c->app)))
        return true;
    call_elsewhere(c, contexts);
    return false;
}

static bool check_accept(struct call *c)
{
    static const struct {
        struct str type, subtype;
        const char *detail;
    } answers[] = {
        [ROUTE_JSON] = { { "application", 11 }, { "json", 4 }, "The answer is application/json." },
        [ROUTE_TEXT] = { { "text", 4 }, { "plain", 5 }, "The answer is text/plain." },
        [ROUTE_STREAM] = { { "text", 4 },
                           { "event-stream", 12 },
                           "The answer is text/event-stream." },
    };
    enum route_answer answer = c->route->answer;
    struct str accept;

    if (!call_header_list(c, "Accept", &accept) ||
        field_accepts(accept, answers[answer].type, answers[answer].subtype))
        return true;
    call_problem(c, 406, "not_acceptable", answers[answer].detail);
    return false;
}

/* For people who have mistyped a parameter. */
static const char *what_it_knows(struct call *c)
{
    struct str known = str_trim(str_of(c->route->query ? c->route->query : ""));
    struct buf b = { NULL, 0, 0 };
    struct str text;

    if (!known.n)
        return "is not known here; this takes no parameters";
    buf_add_str(&b, STR("is not known here; these are: "));
    for (size_t i = 0; i < known.n; i++) {
        if (known.p[i] == ' ')
            buf_add(&b, ",", 1);
        buf_add(&b, known.p + i, 1);
    }
    text = arena_str(&c->req->arena, buf_str(&b));
    buf_deinit(&b);
    return text.p;
}

static bool check_query(struct call *c)
{
    struct json_in in = { .arena = &c->req->arena };

    if (http_query_parse(&c->req->arena, c->req->query, &c->query) != ERR_OK) {
        call_fault(&in, "", "the query has an escape that is not valid, or too many parameters");
        call_refuse(c, &in);
        return false;
    }
    for (unsigned i = 0; i < c->query.n; i++) {
        const struct http_param *p = &c->query.params[i];

        if (!str_is_utf8(p->name))
            call_fault(&in, "", "a parameter's name is not UTF-8");
        else if (!route_knows(c->route, p->name))
            json_in_fault_named(&in, FAULT_PARAMETER, p->name, what_it_knows(c));
        else if (!str_is_utf8(p->value))
            json_in_fault_named(&in, FAULT_PARAMETER, p->name, "is not UTF-8");
        else if (http_query_find(&c->query, p->name, NULL) > 1)
            json_in_fault_named(&in, FAULT_PARAMETER, p->name, "is there more than once");
    }
    if (in.n_faults == 0)
        return true;
    call_refuse(c, &in);
    return false;
}

/* ---- the core's callbacks -------------------------------------------------------------------- */

static struct call *call_create(struct api *a, struct http_request *req)
{
    struct call *c = arena_zalloc(&req->arena, sizeof(*c));

    c->api = a;
    c->app = a->config.app;
    c->req = req;
    req->user = c;
    return c;
}

static void api_on_headers(void *ctx, struct http_request *req)
{
    struct api *a = ctx;
    struct call *c = call_create(a, req);
    struct route_match match;

    if (req->method == HTTP_METHOD_OPTIONS && str_eq(req->path, STR("*"))) {
        send_options(c, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        return;
    }
    if (route_find(&a->table, req->path, &req->arena, &match) != ERR_OK) {
        call_problem(c, 400, "bad_request", "The path has an escape that is not valid.");
        return;
    }
    c->has_prefix = match.has_prefix;
    memcpy(c->params, match.params, sizeof(c->params));
    if (!match.pattern) {
        call_not_found(c, "resource");
        return;
    }
    req->route = match.pattern;
    c->route = route_of(match.pattern, req->method);
    if (req->method == HTTP_METHOD_OPTIONS) {
        send_options(c, match.pattern->allow_text);
        return;
    }
    if (!c->route) {
        send_not_allowed(c, match.pattern);
        return;
    }
    if (!check_access(c) || !check_context(c) || !check_accept(c) || !check_query(c))
        return;
    /* Before the body is read: what is refused should cost as little as it can, since there is most
     * of it when there is least time. */
    if (c->route->is_new_work && app_is_crowded(c->app)) {
        app_count_refused(c->app, REFUSED_QUEUE_FULL);
        c->is_refused = true;
        return;
    }
    if (c->route->body_max && c->route->body_max < req->body_max)
        req->body_max = c->route->body_max;
    req->is_long = c->route->is_long;
}

static void delayed_fire(struct timer *t)
{
    struct call *c = container_of(t, struct call, timer);

    access_undelay(&c->api->access);
    send_unauthorized(c);
}

static void api_on_request(void *ctx, struct http_request *req)
{
    struct call *c = req->user;

    (void)ctx;
    if (c->is_delayed) { /* nothing is looked at; the answer only comes late */
        /* The place is taken here and not with the head: a client that hangs up inside its body
         * would keep it for ever. */
        if (!access_delay(&c->api->access)) {
            send_unauthorized(c);
            return;
        }
        timer_init(&c->timer, delayed_fire);
        timer_start(app_timers(c->app), &c->timer, ACCESS_DELAY_MS);
        return;
    }
    if (c->is_refused) {
        refusals_add(&c->api->refusals, c);
        return;
    }
    c->route->handle(c);
}

/* The API's own codes where the core has other words. */
static const char *fault_code(enum http_fault fault)
{
    switch (fault) {
    case HTTP_FAULT_BODY_SIZE:
        return "too_large";
    case HTTP_FAULT_CONNECTIONS:
        return "overloaded";
    default:
        return http_fault_rows[fault].code;
    }
}

static void api_render_error(void *ctx, struct http_request *req, enum http_fault fault,
                             struct http_response *out)
{
    static const struct http_header retry = { { "Retry-After", 11 }, { "1", 1 } };
    struct api *a = ctx;
    struct call c = { .api = a, .app = a->config.app, .req = req };
    struct problem p = { .status = http_fault_rows[fault].status,
                         .code = str_of(fault_code(fault)),
                         .detail = str_of(http_fault_rows[fault].detail),
                         .request_id = call_request_id(&c) };
    struct json_out *o = call_out(&c);

    render_problem(o, &p);
    out->body = json_out_take(o, &req->arena);
    out->content_type = CALL_TYPE_PROBLEM;
    if (p.status == 503) {
        out->headers = &retry;
        out->n_headers = 1;
    }
}

static enum api_status status_index(int status)
{
    switch (status) {
#define X(number)                                                                                  \
    case number:                                                                                   \
        return API_STATUS_##number;
        API_STATUS_MAP(X)
#undef X
    default:
        return API_STATUS_OTHER;
    }
}

static void api_on_answered(void *ctx, const struct http_request *req, int status, size_t bytes)
{
    struct api *a = ctx;
    const struct route_pattern *pattern = req->route;
    size_t index = pattern ? (size_t)(pattern - a->table.patterns) : ROUTE_PATTERNS_MAX;
    unsigned method = req->target.n ? req->method : API_METHOD_NONE;
    struct api_counters *counters = &a->counters[index];

    (void)bytes;
    counters->answered[method][status_index(status)]++;
    histogram_add(&counters->duration,
                  scheduler_mono_us(app_scheduler(a->config.app)) - req->started_us);
}

static void api_on_refused(void *ctx, uint64_t count)
{
    struct api *a = ctx;
    char text[24];
    struct log_field field = { "count", { text, 0 } };

    if (!a->config.log)
        return;
    field.value.n = (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)count);
    log_write(a->config.log, LOG_WARN, "connections_refused", &field, 1);
}

struct http_handler api_handler(struct api *a)
{
    return (struct http_handler){
        .ctx = a,
        .on_headers = api_on_headers,
        .on_request = api_on_request,
        .render_error = api_render_error,
        .on_answered = api_on_answered,
        .on_refused = api_on_refused,
    };
}
