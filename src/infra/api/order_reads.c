/* GET /orders/{id}, also when it waits.
 *
 *     until=…         a watch from the start
 *     wait=… alone    a read first, to know what "anything changes" is compared with, then a watch
 *     neither, HEAD   a read
 *
 * A client that half-closes while we wait is answered with the order as it is: most who do that
 * have gone, and those who have not may ask again. */
#include "commands.h"
#include "fields.h"
#include "handlers.h"
#include "orderly/domain/order.h"

#define UNTIL_WAIT_DEFAULT_MS 10000

struct order_get {
    struct call *call;
    struct order_read read;
    struct order_watch watch;
    uint32_t until;
    int64_t wait_ms;
    bool is_watching;
};

static void order_get_answer(struct order_get *get, const struct order *o, enum err status)
{
    struct call *c = get->call;
    struct call_extra extra = { .header = NULL };

    if (status != ERR_OK || !o) {
        call_read_failed(c, status, "order");
        return;
    }
    extra.etag = etag_of(&c->req->arena, o->sequence);
    if (call_is_unchanged(c, o->sequence)) {
        call_send(c, 304, STR_NONE, STR_NONE, &extra);
        return;
    }
    render_order(call_out(c), o);
    call_send_out(c, 200, &extra);
}

static void order_get_read(struct order_get *get,
                           void (*done)(struct order_read *, const struct order *, enum err))
{
    get->read = (struct order_read){ .id = get->watch.id, .done = done };
    order_read_start(&get->read, get->call->app);
}

static void order_get_on_read(struct order_read *read, const struct order *o, enum err status)
{
    order_get_answer(container_of(read, struct order_get, read), o, status);
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void order_get_on_watched(struct order_watch *watch, const struct order *o, enum err status)
{
    struct order_get *get = container_of(watch, struct order_get, watch);

    get->is_watching = false;
    order_get_answer(get, o, status);
}

static void order_get_on_freed(struct order_watch *watch)
{
    struct order_get *get = container_of(watch, struct order_get, watch);

    order_get_read(get, order_get_on_read); /* answers; a client that has gone hears nothing */
}

static void order_get_on_abort(struct http_request *req, enum http_gone how)
{
    struct call *c = req->user;
    struct order_get *get = c->waiting;

    (void)how;
    if (!get->is_watching)
        return;
    get->is_watching = false;
    if (order_watch_cancel(&get->watch, order_get_on_freed))
        order_get_read(get, order_get_on_read);
}

static void order_get_watch(struct order_get *get)
{
    struct call *c = get->call;

    get->watch.until = get->until;
    get->watch.wait_ms = get->wait_ms;
    get->watch.done = order_get_on_watched;
    get->is_watching = true;
    c->waiting = get;
    http_request_on_abort(c->req, order_get_on_abort);
    order_watch_start(&get->watch, c->app);
}

/* The read before a `wait` that names no state. */
static void order_get_on_first_read(struct order_read *read, const struct order *o, enum err status)
{
    struct order_get *get = container_of(read, struct order_get, read);
    struct str value;

    if (status != ERR_OK || !o ||
        (call_header(get->call, "If-None-Match", &value) &&
         !call_is_unchanged(get->call, o->sequence))) { /* it has changed already */
        order_get_answer(get, o, status);
        return;
    }
    get->watch.after_sequence = o->sequence;
    order_get_watch(get);
}

/* ---- the request ----------------------------------------------------------------------------- */

static void parse_until(struct call *c, struct json_in *in, uint32_t *until)
{
    struct str list, item;

    *until = 0;
    if (!call_param(c, "until", &list))
        return;
    while (field_next_item(&list, &item)) {
        enum order_status status;

        if (!order_status_parse(item, &status)) {
            call_fault(in, "until", "must be a list of order states such as SHIPPED,REJECTED");
            return;
        }
        *until |= 1u << status;
    }
    if (*until == 0)
        call_fault(in, "until", "must be a list of order states such as SHIPPED,REJECTED");
}

void orders_get(struct call *c)
{
    struct json_in in = { .arena = &c->req->arena };
    struct order_get *get;
    struct order_id id;
    struct str text;
    bool has_wait = call_param(c, "wait", &text);
    int64_t wait_ms = 0;
    uint32_t until;

    parse_until(c, &in, &until);
    if (has_wait && !field_duration(text, WAIT_MS_MAX, &wait_ms))
        call_fault(&in, "wait", "must be a duration from 0 to 60s such as 10s or 500ms");
    if (in.n_faults) {
        call_refuse(c, &in);
        return;
    }
    if (!uuid_parse(c->params[0], &id.u)) {
        call_not_found(c, "order");
        return;
    }
    get = arena_zalloc(&c->req->arena, sizeof(*get));
    get->call = c;
    get->watch.id = id;
    get->until = until;
    get->wait_ms = has_wait ? wait_ms : UNTIL_WAIT_DEFAULT_MS;
    if (c->req->is_head || get->wait_ms == 0 || (!until && !has_wait))
        order_get_read(get, order_get_on_read);
    else if (until)
        order_get_watch(get);
    else
        order_get_read(get, order_get_on_first_read);
}
