/* Lists, and single rows that only the store has: read and rendered on the thread of the read, so
 * that the loop only sends what is ready. */
#include "call.h"
#include "fields.h"
#include "filters.h"
#include "handlers.h"
#include "letter_filter.h"
#include "orderly/app/event_codec.h"
#include "orderly/app/lanes.h"
#include "orderly/app/queries.h"
#include <stdio.h>

#define CURSOR_MAX 80
#define UNSETTLED_FOR_MAX_MS (INT64_C(10) * 366 * 24 * 3600 * 1000)

struct list_job {
    struct call *call;
    /* Writes what it found to out; for a list the items, and next where there is more. Any thread;
     * touches this object only. */
    enum err (*run)(struct list_job *job, const struct store_view *v);
    const char *what;                 /* of a single row; NULL: a list */
    const struct cloud_config *cloud; /* messages as a batch of CloudEvents; NULL: as JSON */
    union {
        struct order_query orders;
        struct product_query products;
        struct event_query events;
        struct event_id event;
        struct {
            struct dead_letter_filter filter;
            struct dead_letter_id after;
            unsigned limit;
        } dead_letters;
        struct dead_letter_id dead_letter;
    } q;

    struct store_read read;
    struct arena arena;
    struct json_out out;
    enum err status;
    bool has_more;
    char next[CURSOR_MAX];
    size_t next_len;
};

static struct list_job *list_job_create(
    struct call *c, enum err (*run)(struct list_job *, const struct store_view *), const char *what)
{
    struct list_job *job = arena_zalloc(&c->req->arena, sizeof(*job));

    job->call = c;
    job->run = run;
    job->what = what;
    arena_init(&job->arena, NULL, 0);
    return job;
}

static void list_job_free(struct list_job *job)
{
    json_out_deinit(&job->out);
    arena_deinit(&job->arena);
}

/* ---- the cursor of the next page ------------------------------------------------------------- */

static void set_next(struct list_job *job, struct str cursor)
{
    REQUIRE(cursor.n <= sizeof(job->next));
    memcpy(job->next, cursor.p, cursor.n);
    job->next_len = cursor.n;
    job->has_more = true;
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static void add_encoded(struct buf *b, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (is_unreserved(text.p[i]))
            buf_add(b, text.p + i, 1);
        else
            buf_printf(b, "%%%02X", (unsigned)(uint8_t)text.p[i]);
    }
}

/* The same request, going on behind the cursor. */
static struct str next_link(struct call *c, struct str cursor)
{
    struct buf b = { NULL, 0, 0 };
    struct str link;

    buf_add(&b, "<", 1);
    buf_add_str(&b, c->req->path);
    buf_add(&b, "?", 1);
    for (unsigned i = 0; i < c->query.n; i++) {
        const struct http_param *p = &c->query.params[i];

        if (str_eq(p->name, STR("after")) || str_eq(p->name, STR("cursor")))
            continue;
        add_encoded(&b, p->name);
        buf_add(&b, "=", 1);
        add_encoded(&b, p->value);
        buf_add(&b, "&", 1);
    }
    buf_add_str(&b, STR("after="));
    add_encoded(&b, cursor);
    buf_add_str(&b, STR(">; rel=\"next\""));
    link = arena_str(&c->req->arena, buf_str(&b));
    buf_deinit(&b);
    return link;
}

/* `after`, or `cursor`, which is the same. False: none. */
static bool param_after(struct call *c, struct json_in *in, struct str *value)
{
    struct str cursor;
    bool has_cursor = call_param(c, "cursor", &cursor);

    if (!call_param(c, "after", value)) {
        *value = cursor;
        return has_cursor;
    }
    if (has_cursor)
        call_fault(in, "cursor", "can't go together with after");
    return true;
}

static void fault_after(struct json_in *in)
{
    call_fault(in, "after", "is no cursor of this list");
}

/* ---- running --------------------------------------------------------------------------------- */

static void list_job_run(struct store_read *read, const struct store_view *v)
{
    struct list_job *job = container_of(read, struct list_job, read);
    struct json_out *o = &job->out;

    if (job->what) {
        job->status = job->run(job, v);
        return;
    }
    if (job->cloud) { /* it has no place for a cursor, so that is in Link alone */
        json_open(o, '[');
        job->status = job->run(job, v);
        json_close(o, ']');
        return;
    }
    JSON_LITERAL(o, "{\"data\":[");
    job->status = job->run(job, v);
    JSON_LITERAL(o, "],\"nextCursor\":");
    json_str_or_null(o, (struct str){ job->next, job->next_len });
    json_close(o, '}');
}

static void list_job_done(struct store_read *read)
{
    struct list_job *job = container_of(read, struct list_job, read);
    struct call *c = job->call;
    struct call_extra extra = { .header = NULL };
    struct list_job done = *job; /* the answer is the end of the request, and of the job in it */

    if (done.status != ERR_OK) {
        call_read_failed(c, done.status, done.what ? done.what : "list");
    } else {
        if (done.has_more)
            extra.link = next_link(c, (struct str){ done.next, done.next_len });
        call_send(c, 200, done.cloud ? CLOUD_TYPE_BATCH : CALL_TYPE_JSON, buf_str(&done.out.buf),
                  &extra);
    }
    list_job_free(&done);
}

static void list_job_start(struct list_job *job)
{
    struct call *c = job->call;
    enum err e;

    job->read.run = list_job_run;
    job->read.done = list_job_done;
    e = store_read_start(app_store(c->app), &job->read);
    if (e != ERR_OK) {
        app_metrics_mut(c->app)->refused[REFUSED_READS]++;
        list_job_free(job);
        call_read_failed(c, e, "list");
    }
}

/* ---- orders ---------------------------------------------------------------------------------- */

static enum err run_orders(struct list_job *job, const struct store_view *v)
{
    struct order_page page;
    enum err e = query_orders(v, &job->arena, &job->q.orders, &page);
    char text[UUID_TEXT_LEN], cursor[CURSOR_MAX];
    int n;

    for (unsigned i = 0; e == ERR_OK && i < page.n; i++) {
        json_item(&job->out);
        render_order(&job->out, page.orders[i]);
    }
    if (e == ERR_OK && page.has_more) {
        uuid_format(page.next.u, text);
        if (job->q.orders.has_unsettled_before)
            n = snprintf(cursor, sizeof(cursor), "%lld.%.*s", (long long)page.next_since_ms,
                         UUID_TEXT_LEN, text);
        else
            n = snprintf(cursor, sizeof(cursor), "%.*s", UUID_TEXT_LEN, text);
        set_next(job, (struct str){ cursor, (size_t)n });
    }
    order_page_deinit(&page);
    return e;
}

static void parse_order_cursor(struct call *c, struct json_in *in, struct order_query *q)
{
    struct str text, since;
    const char *dot;
    uint64_t ms = 0;

    if (!param_after(c, in, &text))
        return;
    dot = text.n ? memchr(text.p, '.', text.n) : NULL;
    if (dot) {
        since = (struct str){ text.p, (size_t)(dot - text.p) };
        text = (struct str){ dot + 1, text.n - since.n - 1 };
        if (!str_to_u64(since, &ms) || ms > INT64_MAX) {
            fault_after(in);
            return;
        }
    }
    q->has_after = true;
    q->after_since_ms = (int64_t)ms;
    if (!uuid_parse(text, &q->after.u) || q->has_unsettled_before != (dot != NULL))
        fault_after(in);
}

void orders_list(struct call *c)
{
    struct list_job *job = list_job_create(c, run_orders, NULL);
    struct json_in in = { .arena = &c->req->arena };
    struct order_query *q = &job->q.orders;
    struct str text;
    int64_t ms;

    if (call_param(c, "status", &text) && !order_status_parse(text, &q->status))
        call_fault(&in, "status", "must be an order state such as SHIPPED");
    if (call_param(c, "customerId", &text) && !text_id_parse(text, &q->customer_id.t))
        call_fault(&in, "customerId", "must be 1 to 64 characters of A-Z a-z 0-9 . _ : -");
    if (call_param(c, "flow", &text) && !flow_parse(text, &q->flow))
        call_fault(&in, "flow", "must be pay_first or stock_first");
    if (call_param(c, "refund", &text)) {
        q->refund_due = str_eq(text, STR("due"));
        if (!q->refund_due)
            call_fault(&in, "refund", "must be due");
    }
    if (call_param(c, "unsettledFor", &text)) {
        q->has_unsettled_before = field_duration(text, UNSETTLED_FOR_MAX_MS, &ms);
        if (q->has_unsettled_before)
            q->unsettled_before_ms = scheduler_wall_ms(app_scheduler(c->app)) - ms;
        else
            call_fault(&in, "unsettledFor",
                       "must be a duration of at most ten years such as 15m, 2h or 1d");
    }
    /* Who finds an order in the list may ask for it: the loop knows it too. */
    q->placed_upto = app_event_log(c->app)->durable_position;
    q->limit = call_limit(c, &in);
    parse_order_cursor(c, &in, q);
    if (in.n_faults)
        call_refuse(c, &in);
    else
        list_job_start(job);
}

/* ---- products -------------------------------------------------------------------------------- */

static enum err run_products(struct list_job *job, const struct store_view *v)
{
    struct product_page page;
    enum err e = query_products(v, &job->arena, &job->q.products, &page);

    for (unsigned i = 0; e == ERR_OK && i < page.n; i++) {
        json_item(&job->out);
        render_product(&job->out, &page.rows[i].product, &page.rows[i].stock);
    }
    if (e == ERR_OK && page.has_more)
        set_next(job, sku_str(&page.next));
    product_page_deinit(&page);
    return e;
}

void products_list(struct call *c)
{
    struct list_job *job = list_job_create(c, run_products, NULL);
    struct json_in in = { .arena = &c->req->arena };
    struct str text;

    if (param_after(c, &in, &text) && !sku_parse(text, &job->q.products.after))
        fault_after(&in);
    job->q.products.limit = call_limit(c, &in);
    if (in.n_faults)
        call_refuse(c, &in);
    else
        list_job_start(job);
}

/* ---- events and messages --------------------------------------------------------------------- */

static void render_cloud_event(struct list_job *job, const struct event *e)
{
    cloud_event_write(&job->out, job->cloud, e);
}

static void render_event_item(struct list_job *job, const struct event *e)
{
    render_event(&job->out, e);
}

static void render_message_item(struct list_job *job, const struct event *e)
{
    render_message(&job->out, e);
}

static enum err run_event_list(struct list_job *job, const struct store_view *v,
                               void (*render)(struct list_job *, const struct event *))
{
    struct event_page page;
    enum err e = query_events(v, &job->arena, &job->q.events, &page);
    char cursor[CURSOR_MAX];

    if (e != ERR_OK)
        return e;
    for (unsigned i = 0; i < page.n; i++) {
        json_item(&job->out);
        render(job, &page.events[i]);
    }
    if (page.has_more) {
        int n = snprintf(cursor, sizeof(cursor), "%llu", (unsigned long long)page.next);

        set_next(job, (struct str){ cursor, (size_t)n });
    }
    return ERR_OK;
}

static enum err run_events(struct list_job *job, const struct store_view *v)
{
    return run_event_list(job, v, render_event_item);
}

static enum err run_messages(struct list_job *job, const struct store_view *v)
{
    return run_event_list(job, v, job->cloud ? render_cloud_event : render_message_item);
}

/* False: the position is ahead of the log, so the log is another one than the reader knows. Which is
 * why the list ends where the loop knows the log to end: the store may be further already, and who
 * goes on from a position of there, at once, would be told that there is no such place. */
static bool parse_position(struct call *c, struct json_in *in, struct event_query *q)
{
    struct str text;
    enum call_place place;

    q->upto = app_event_log(c->app)->durable_position;
    q->limit = call_limit(c, in);
    if (!param_after(c, in, &text))
        return true;
    place = call_position(c, text, &q->after);
    if (place == PLACE_INVALID)
        fault_after(in);
    return place != PLACE_ELSEWHERE;
}

static void event_list_start(struct list_job *job, bool is_empty)
{
    if (!is_empty && job->q.events.upto > 0) {
        list_job_start(job);
        return;
    }
    if (job->cloud) {
        call_send(job->call, 200, CLOUD_TYPE_BATCH, STR("[]"), NULL);
        return;
    }
    JSON_LITERAL(call_out(job->call), "{\"data\":[],\"nextCursor\":null}");
    call_send_out(job->call, 200, NULL);
}

void events_list(struct call *c)
{
    struct list_job *job = list_job_create(c, run_events, NULL);
    struct json_in in = { .arena = &c->req->arena };
    struct event_query *q = &job->q.events;
    bool is_known = parse_position(c, &in, q);
    bool is_empty = !filter_events(c, &in, q);

    if (in.n_faults) {
        call_refuse(c, &in);
    } else if (!is_known) {
        call_restored(c);
    } else {
        event_list_start(job, is_empty);
    }
}

/* A list is no single CloudEvent, and who reads nothing else can't use it. */
static bool wants_one_cloud_event(const struct call *c)
{
    struct str accept;

    return !call_param(c, "encoding", &accept) && call_header_list(c, "Accept", &accept) &&
           field_accept_quality(accept, CLOUD_TYPE_EVENT) > 0 &&
           field_accept_quality(accept, CALL_TYPE_JSON) <= 0 &&
           field_accept_quality(accept, CLOUD_TYPE_BATCH) <= 0 &&
           field_accept_quality(accept, STR("application/*")) <= 0 &&
           field_accept_quality(accept, STR("*/*")) <= 0;
}

void messages_list(struct call *c)
{
    struct list_job *job = list_job_create(c, run_messages, NULL);
    struct json_in in = { .arena = &c->req->arena };
    struct event_query *q = &job->q.events;
    bool is_known = parse_position(c, &in, q);

    if (wants_one_cloud_event(c)) {
        call_problem(c, 406, "not_acceptable",
                     "The answer is application/json or application/cloudevents-batch+json.");
        return;
    }
    if (call_encoding(c, &in, CLOUD_TYPE_BATCH) == CLOUD_ENCODING_CLOUDEVENTS)
        job->cloud = call_cloud_config(c);
    filter_messages(c, &in, q);
    if (in.n_faults)
        call_refuse(c, &in);
    else if (!is_known)
        call_restored(c);
    else
        event_list_start(job, false);
}

static enum err run_event(struct list_job *job, const struct store_view *v)
{
    struct event event;
    enum err e = query_event(v, &job->arena, job->q.event, &event);

    if (e == ERR_OK)
        render_event(&job->out, &event);
    return e;
}

void events_get(struct call *c)
{
    struct list_job *job = list_job_create(c, run_event, "event");

    if (uuid_parse(c->params[0], &job->q.event.u))
        list_job_start(job);
    else
        call_not_found(c, "event");
}

/* ---- dead letters ---------------------------------------------------------------------------- */

static void render_item(struct list_job *job, const struct dead_letter_item *item)
{
    struct event message;
    bool has_message = item->message_row.n && event_decode(item->message_row, item->letter.position,
                                                           &message, &job->arena) == ERR_OK;

    render_dead_letter(&job->out, item, has_message ? &message : NULL);
}

static enum err run_dead_letters(struct list_job *job, const struct store_view *v)
{
    struct dead_letter_item *items;
    unsigned n;
    bool has_more;
    char text[UUID_TEXT_LEN];
    enum err e =
        dead_letters_list(v, &job->arena, &job->q.dead_letters.filter, &job->q.dead_letters.after,
                          job->q.dead_letters.limit, &items, &n, &has_more);

    if (e != ERR_OK)
        return e;
    for (unsigned i = 0; i < n; i++) {
        json_item(&job->out);
        render_item(job, &items[i]);
    }
    if (has_more) {
        uuid_format(job->q.dead_letters.after.u, text);
        set_next(job, (struct str){ text, sizeof(text) });
    }
    return ERR_OK;
}

void dead_letters_list_all(struct call *c)
{
    struct list_job *job = list_job_create(c, run_dead_letters, NULL);
    struct json_in in = { .arena = &c->req->arena };
    struct str text;

    for (unsigned i = 0; i < LETTER_FILTER_MEMBERS; i++) {
        enum letter_filter_member member = (enum letter_filter_member)i;
        const char *fault = call_param(c, letter_filter_name(member), &text)
                                ? letter_filter_set(&job->q.dead_letters.filter, member, text)
                                : NULL;

        if (fault)
            call_fault(&in, letter_filter_name(member), fault);
    }
    if (param_after(c, &in, &text) && !uuid_parse(text, &job->q.dead_letters.after.u))
        fault_after(&in);
    job->q.dead_letters.limit = call_limit(c, &in);
    if (in.n_faults)
        call_refuse(c, &in);
    else
        list_job_start(job);
}

static enum err run_dead_letter(struct list_job *job, const struct store_view *v)
{
    struct dead_letter_item item;
    enum err e = dead_letters_get(v, &job->arena, job->q.dead_letter, &item);

    if (e == ERR_OK)
        render_item(job, &item);
    return e;
}

void dead_letters_get_one(struct call *c)
{
    struct list_job *job = list_job_create(c, run_dead_letter, "dead letter");

    if (uuid_parse(c->params[0], &job->q.dead_letter.u))
        list_job_start(job);
    else
        call_not_found(c, "dead letter");
}
