#include "orderly/infra/inbound/inlet.h"
#include "orderly/app/app.h"
#include "orderly/base/list.h"
#include "orderly/base/mem.h"
#include "orderly/domain/pairs.h"

enum item_state {
    ITEM_WAITS, /* behind another of its order */
    ITEM_RUNS,  /* in the app's hands */
    ITEM_HELD,  /* refused for now */
    ITEM_ENDED  /* to be told: it never got to the app */
};

/* The messages of one order, first come first. */
struct inlet_lane {
    struct map_node node; /* by id */
    struct lane_id id;
    struct list items; /* by lane_link; the first one runs or is held */
};

struct inlet_item {
    struct inlet *inlet;
    uint64_t handle;
    enum item_state state;
    struct list link;        /* in the inlet's items */
    struct inlet_lane *lane; /* NULL: of no order that anybody knows */
    struct list lane_link;
    struct timer again;
    struct list due_link; /* its time has come, and its turn has not */
    int64_t wait_ms;      /* the last one; 0: it was not held yet */

    struct arena memory; /* what was said, and why it can't be received */
    struct message_said said;
    struct str attributes; /* packed */

    struct arena work; /* of one try */
    struct json_in in;
    struct message_in reading;
    bool is_poison;
    enum failure_code poison;
    struct str detail;
    enum reply_code code; /* of the last reply */
    union {
        struct command command; /* each of these starts with it */
        struct receive_message receive;
        struct refuse_message refuse;
    } u;
};
_Static_assert(offsetof(struct receive_message, command) == 0, "a command comes first");
_Static_assert(offsetof(struct refuse_message, command) == 0, "a command comes first");

struct inlet {
    struct inlet_config config;
    struct inlet_counts counts;
    struct list items; /* all of them, oldest first */
    struct list ended; /* ITEM_ENDED, oldest first */
    struct map lanes;
    struct timer tell;  /* runs while something has ended */
    struct list due;    /* held ones that may be tried again, by due_link */
    struct timer retry; /* runs while there are such */
    bool is_draining;
};

static void item_start(struct inlet_item *item);
static void item_end(struct inlet_item *item, bool is_durable);

static struct timers *timers_of(struct inlet *b)
{
    return app_timers(b->config.app);
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum failure_code poison_of(enum message_result result)
{
    switch (result) {
    case MESSAGE_UNKNOWN_TOPIC:
        return FAILURE_CODE_UNKNOWN_TOPIC;
    case MESSAGE_TOO_LARGE:
        return FAILURE_CODE_TOO_LARGE;
    case MESSAGE_UNKNOWN_FORM:
        return FAILURE_CODE_UNSUPPORTED;
    case MESSAGE_MALFORMED:
        return FAILURE_CODE_MALFORMED;
    case MESSAGE_INVALID:
        return FAILURE_CODE_VALIDATION;
    case MESSAGE_FINE:
    case MESSAGE_ELSEWHERE:
        break;
    }
    UNREACHABLE("what is wrong with a message");
}

static void item_poison(struct inlet_item *item, enum failure_code code, struct str why)
{
    struct str detail = message_in_detail(&item->reading, why, BUS_ERROR_DETAIL_MAX);

    item->is_poison = true;
    item->poison = code;
    item->detail = arena_str(&item->memory, detail);
}

/* Anew for each try, as what was read of the last one is gone. */
static enum message_result item_read(struct inlet_item *item)
{
    enum message_result result;
    struct str why;

    arena_reset(&item->work);
    memset(&item->u.receive, 0, sizeof(item->u.receive));
    item->in = (struct json_in){ .arena = &item->work };
    result = inbound_reader_read(item->inlet->config.reader, &item->reading, &item->in, &item->said,
                                 &item->u.receive, &why);
    if (result != MESSAGE_FINE && result != MESSAGE_ELSEWHERE)
        item_poison(item, poison_of(result), why);
    return result;
}

/* ---- lanes ----------------------------------------------------------------------------------- */

static void lane_join(struct inlet_item *item, struct lane_id id)
{
    struct inlet *b = item->inlet;
    struct map_node *n = map_find(&b->lanes, uuid_bytes(&id.u));
    struct inlet_lane *lane = n ? container_of(n, struct inlet_lane, node) : NULL;

    if (!lane) {
        lane = mem_zalloc(sizeof(*lane));
        lane->id = id;
        list_init(&lane->items);
        map_insert(&b->lanes, &lane->node, uuid_bytes(&lane->id.u));
    }
    item->lane = lane;
    list_push_back(&lane->items, &item->lane_link);
}

static struct inlet_item *lane_first(const struct inlet_lane *lane)
{
    return container_of(lane->items.next, struct inlet_item, lane_link);
}

/* Returns who is first now; NULL: nobody is. */
static struct inlet_item *lane_leave(struct inlet_item *item)
{
    struct inlet_lane *lane = item->lane;

    if (!lane)
        return NULL;
    item->lane = NULL;
    list_remove(&item->lane_link);
    if (!list_is_empty(&lane->items))
        return lane_first(lane);
    map_remove(&item->inlet->lanes, &lane->node);
    mem_free(lane);
    return NULL;
}

/* ---- one try --------------------------------------------------------------------------------- */

static void item_hold(struct inlet_item *item)
{
    struct inlet *b = item->inlet;

    item->state = ITEM_HELD;
    item->wait_ms = item->wait_ms ? 2 * item->wait_ms : INLET_RETRY_MS;
    if (item->wait_ms > INLET_RETRY_MS_MAX)
        item->wait_ms = INLET_RETRY_MS_MAX;
    b->counts.held++;
    timer_start(timers_of(b), &item->again, item->wait_ms);
}

/* What was refused together comes due together: its turn comes when those before it had theirs. */
static void item_on_again(struct timer *t)
{
    struct inlet_item *item = container_of(t, struct inlet_item, again);
    struct inlet *b = item->inlet;

    list_push_back(&b->due, &item->due_link);
    if (!timer_is_running(&b->retry))
        timer_start(timers_of(b), &b->retry, 0);
}

static void item_retry(struct inlet_item *item)
{
    item->inlet->counts.held--;
    item->inlet->counts.retries++;
    if (item->is_poison)
        arena_reset(&item->work);
    else
        (void)item_read(item); /* the same bytes, read by the same reader: as fine as before */
    item_start(item);
}

static void inlet_on_retry(struct timer *t)
{
    struct inlet *b = container_of(t, struct inlet, retry);
    struct scheduler *clock = app_scheduler(b->config.app);
    int64_t end_us = scheduler_mono_us(clock) + INLET_TURN_US_MAX;

    for (unsigned n = 0; n < INLET_TURN_RETRIES_MAX && !list_is_empty(&b->due); n++) {
        if (n > 0 && scheduler_mono_us(clock) >= end_us)
            break;
        item_retry(container_of(list_pop_front(&b->due), struct inlet_item, due_link));
    }
    if (!list_is_empty(&b->due))
        timer_start(timers_of(b), &b->retry, 0);
}

static struct inlet_item *item_of(struct command *c)
{
    return container_of(c, struct inlet_item, u.command);
}

static void item_render(struct command *c, const struct reply *r)
{
    struct inlet_item *item = item_of(c);

    item->code = r->code;
    c->answer = (struct answer){ .status = reply_status(r->code) };
    if (r->code == REPLY_ACCEPTED && !item->is_poison)
        c->answer = inbound_receipt(c->arena, r->message_id, r->position);
    for (unsigned i = 0; i < r->n_faults; i++) {
        struct str pointer = r->faults[i].pointer;

        json_in_fault_named(&item->in, r->faults[i].place, arena_str(c->arena, pointer),
                            arena_str(c->arena, r->faults[i].detail).p);
    }
}

static void item_durable(struct inlet_item *item)
{
    if (item->is_poison)
        item->inlet->counts.refused++;
    else
        item->inlet->counts.received++;
    item_end(item, true);
}

static void item_done(struct command *c)
{
    struct inlet_item *item = item_of(c);

    if (c->is_replayed || item->code == REPLY_ACCEPTED) {
        item_durable(item);
    } else if (item->code == REPLY_SHUTTING_DOWN || item->inlet->is_draining) {
        item_end(item, false);
    } else if (item->is_poison || reply_status(item->code) >= 500 ||
               reply_status(item->code) == 409) {
        item_hold(item);
    } else {
        item_poison(item,
                    item->code == REPLY_IDEMPOTENCY_MISMATCH ? FAILURE_CODE_ID_TAKEN
                                                             : FAILURE_CODE_VALIDATION,
                    item->code == REPLY_IDEMPOTENCY_MISMATCH
                        ? STR("The message's id was used for another message.")
                        : STR_NONE);
        item_start(item);
    }
}

static void item_start(struct inlet_item *item)
{
    struct command command = { .app = item->inlet->config.app,
                               .arena = &item->work,
                               .render = item_render,
                               .done = item_done };

    item->state = ITEM_RUNS;
    item->code = REPLY_OK;
    if (item->is_poison) {
        item->u.refuse = (struct refuse_message){ .command = command,
                                                  .subscription = item->inlet->config.id,
                                                  .topic = item->said.topic,
                                                  .message_id = item->said.id,
                                                  .content_type = item->said.content_type,
                                                  .body = item->said.body,
                                                  .attributes = item->attributes,
                                                  .code = item->poison,
                                                  .detail = item->detail };
        refuse_message_start(&item->u.refuse);
        return;
    }
    command.traceparent = item->u.receive.command.traceparent;
    item->u.receive.command = command;
    receive_message_start(&item->u.receive);
}

/* ---- the end of one -------------------------------------------------------------------------- */

static void item_free(struct inlet_item *item)
{
    list_remove(&item->link);
    arena_deinit(&item->work);
    arena_deinit(&item->memory);
    mem_free(item);
}

static void item_tell(struct inlet_item *item, bool is_durable)
{
    struct inlet *b = item->inlet;
    uint64_t handle = item->handle;

    item_free(item);
    b->counts.items--;
    b->config.done(b->config.ctx, handle, is_durable); /* last: it may take the next one */
}

static void item_end(struct inlet_item *item, bool is_durable)
{
    struct inlet *b = item->inlet;
    struct inlet_item *next = lane_leave(item);

    if (next && !b->is_draining) /* at a drain those that wait have ended */
        item_start(next);
    item_tell(item, is_durable);
}

static void inlet_on_tell(struct timer *t)
{
    struct inlet *b = container_of(t, struct inlet, tell);
    struct list now;

    list_take_all(&now, &b->ended);
    while (!list_is_empty(&now)) {
        struct inlet_item *item = container_of(list_pop_front(&now), struct inlet_item, lane_link);

        item_tell(item, item->state == ITEM_ENDED && !b->is_draining);
    }
}

/* Not now: the caller is in the middle of something. */
static void item_end_later(struct inlet_item *item)
{
    struct inlet *b = item->inlet;

    item->state = ITEM_ENDED;
    list_push_back(&b->ended, &item->lane_link);
    if (!timer_is_running(&b->tell))
        timer_start(timers_of(b), &b->tell, 0);
}

/* ---- taking ---------------------------------------------------------------------------------- */

static struct str lower_case(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n + 1);

    for (size_t i = 0; i < s.n; i++)
        p[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] | 0x20 : s.p[i]);
    return (struct str){ p, s.n };
}

static void copy_attributes(struct inlet_item *item, const struct broker_delivery *d)
{
    struct cloud_header *headers =
        arena_zalloc(&item->memory, d->n_attributes * sizeof(*headers) + 1);
    struct buf packed = { 0 };

    for (unsigned i = 0; i < d->n_attributes; i++) {
        headers[i].name = lower_case(&item->memory, d->attributes[i].name);
        headers[i].value = arena_str(&item->memory, d->attributes[i].value);
        headers[i].is_undecodable = !str_is_utf8(headers[i].value);
        pairs_add(&packed, headers[i].name, headers[i].value);
    }
    item->said.headers = headers;
    item->said.n_headers = d->n_attributes;
    item->attributes = arena_str(&item->memory, buf_str(&packed));
    buf_deinit(&packed);
}

static struct inlet_item *item_create(struct inlet *b, const struct broker_delivery *d)
{
    struct inlet_item *item = mem_zalloc(sizeof(*item));

    item->inlet = b;
    item->handle = d->handle;
    list_init(&item->lane_link);
    list_init(&item->due_link);
    timer_init(&item->again, item_on_again);
    arena_init(&item->memory, NULL, 0);
    arena_init(&item->work, NULL, 0);
    item->said.topic = arena_str(&item->memory, d->topic);
    item->said.id = arena_str(&item->memory, d->id);
    item->said.content_type = arena_str(&item->memory, d->content_type);
    item->said.body = arena_str(&item->memory, d->body);
    item->said.is_too_large = d->is_too_large;
    copy_attributes(item, d);
    list_push_back(&b->items, &item->link);
    b->counts.items++;
    b->counts.taken++;
    return item;
}

void inlet_take(struct inlet *b, const struct broker_delivery *d)
{
    struct inlet_item *item;

    REQUIRE(b->counts.items < b->config.items_max);
    item = item_create(b, d);
    if (b->is_draining) {
        item_end_later(item);
        return;
    }
    switch (item_read(item)) {
    case MESSAGE_FINE:
        lane_join(item, receive_message_lane(&item->u.receive));
        if (lane_first(item->lane) == item)
            item_start(item);
        else
            item->state = ITEM_WAITS;
        return;
    case MESSAGE_ELSEWHERE:
        b->counts.passed_over++;
        item_end_later(item);
        return;
    default:
        item_start(item);
        return;
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

struct inlet *inlet_create(const struct inlet_config *config)
{
    struct inlet *b = mem_zalloc(sizeof(*b));
    struct map_key key;

    REQUIRE(config->items_max > 0);
    REQUIRE(subscription_is_relay(config->id));
    b->config = *config;
    list_init(&b->items);
    list_init(&b->ended);
    random_fill(app_event_log(config->app)->random, key.bytes, sizeof(key.bytes));
    map_init(&b->lanes, &key);
    timer_init(&b->tell, inlet_on_tell);
    list_init(&b->due);
    timer_init(&b->retry, inlet_on_retry);
    return b;
}

void inlet_drain(struct inlet *b)
{
    struct list dropped;

    b->is_draining = true;
    list_init(&dropped);
    for (struct list *at = b->items.next, *next; at != &b->items; at = next) {
        struct inlet_item *item = container_of(at, struct inlet_item, link);

        next = at->next;
        if (item->state == ITEM_RUNS)
            continue;
        if (item->state == ITEM_HELD) {
            timer_stop(timers_of(b), &item->again);
            list_remove(&item->due_link);
            b->counts.held--;
        }
        (void)lane_leave(item);
        list_remove(&item->lane_link); /* of those that have ended */
        list_push_back(&dropped, &item->lane_link);
    }
    timer_stop(timers_of(b), &b->tell);
    timer_stop(timers_of(b), &b->retry);
    while (!list_is_empty(&dropped))
        item_tell(container_of(list_pop_front(&dropped), struct inlet_item, lane_link), false);
}

void inlet_destroy(struct inlet *b)
{
    while (!list_is_empty(&b->items)) {
        struct inlet_item *item = container_of(b->items.next, struct inlet_item, link);

        (void)lane_leave(item);
        item_free(item);
    }
    map_deinit(&b->lanes);
    mem_free(b);
}

const struct inlet_counts *inlet_counts(const struct inlet *b)
{
    return &b->counts;
}
