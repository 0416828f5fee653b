#include "messages.h"
#include "orderly/app/lanes.h"
#include <stdio.h>

enum item_state { ITEM_WAITS, ITEM_RUNS, ITEM_DONE };

struct batch_item {
    struct command_call cc;
    struct message_batch *batch;
    struct lane_id lane;
    enum item_state state;
    enum reply_code code;       /* of its own reply; a stored answer has none and is a success */
    bool is_skipped;            /* never tried */
    unsigned after[2], n_after; /* the last one before it of its order, and with its id */
};

struct message_batch {
    struct call *call;
    void (*render)(struct command *c, const struct reply *r); /* a command's own */
    unsigned n, n_left;
    struct batch_item *items;
};

static struct batch_item *item_of(struct command *c)
{
    return container_of(c, struct batch_item, cc.u.command);
}

/* ---- the answer ------------------------------------------------------------------------------ */

static int item_status(const struct batch_item *item)
{
    return item->is_skipped ? reply_status(item->code) : item->cc.u.command.answer.status;
}

/* What the sender has to know first: that it should come again, then what it has to mend. */
static unsigned gravity_of(int status)
{
    if (status >= 500)
        return status == 503 ? 4 : 3;
    if (status == 409)
        return 2;
    return status >= 400;
}

/* Refused for now; the same message may be taken later. */
static bool is_temporary(const struct batch_item *item)
{
    return gravity_of(item_status(item)) >= 2;
}

static void write_skipped(struct batch_item *item, struct json_out *o)
{
    struct call *c = item->batch->call;
    struct problem p = {
        .status = item_status(item),
        .code = str_of(reply_code_text(item->code)),
        .detail = STR("Not tried, as one before it was refused: of its order, or with its id."),
        .request_id = call_request_id(c),
    };

    render_problem(o, &p);
}

/* Each as it would have been answered alone: a problem has a place of its own beside the id. */
static void write_results(struct message_batch *b, struct json_out *o)
{
    json_open(o, '[');
    for (unsigned i = 0; i < b->n; i++) {
        struct batch_item *item = &b->items[i];
        const struct answer *answer = &item->cc.u.command.answer;

        json_item(o);
        if (item_status(item) < 400) {
            json_raw_str(o, answer->body);
            continue;
        }
        json_open(o, '{');
        JSON_KEY(o, "messageId");
        json_str(o, item->cc.u.receive_message.message_id);
        JSON_KEY(o, "problem");
        if (item->is_skipped)
            write_skipped(item, o);
        else
            json_raw_str(o, answer->body);
        json_close(o, '}');
    }
    json_close(o, ']');
}

static void batch_refuse(struct message_batch *b, const struct batch_item *worst, unsigned n_bad,
                         struct str results)
{
    struct call *c = b->call;
    struct problem p = { .status = item_status(worst),
                         .code = str_of(reply_code_text(worst->code)),
                         .results = results };
    struct call_extra extra = { .header = "Retry-After" };
    char seconds[12];
    unsigned wait_s = 1;

    p.detail = arena_printf(&c->req->arena,
                            "%u of %u messages %s not taken. What was taken is in the log, and is "
                            "not taken twice when the batch comes again.",
                            n_bad, b->n, n_bad == 1 ? "was" : "were");
    for (unsigned i = 0; i < b->n; i++) {
        if (b->items[i].cc.u.command.answer.retry_after_s > wait_s)
            wait_s = b->items[i].cc.u.command.answer.retry_after_s;
    }
    snprintf(seconds, sizeof(seconds), "%u", wait_s);
    extra.value = seconds;
    call_problem_with(c, &p, p.status == 503 || p.status == 409 ? &extra : NULL);
}

static void batch_answer(struct message_batch *b)
{
    struct call *c = b->call;
    struct json_out *o = call_out(c);
    const struct batch_item *worst = NULL;
    struct str results;
    unsigned n_bad = 0;

    write_results(b, o);
    results = json_out_take(o, &c->req->arena);
    for (unsigned i = 0; i < b->n; i++) {
        const struct batch_item *item = &b->items[i];

        if (item_status(item) < 400)
            continue;
        n_bad++;
        if (!worst || gravity_of(item_status(item)) > gravity_of(item_status(worst)))
            worst = item;
    }
    if (worst) {
        batch_refuse(b, worst, n_bad, results);
        return;
    }
    o = call_out(c);
    JSON_LITERAL(o, "{\"results\":");
    json_raw_str(o, results);
    JSON_LITERAL(o, "}");
    call_send_out(c, 202, NULL);
}

/* ---- running --------------------------------------------------------------------------------- */

static void item_start(struct batch_item *item)
{
    item->state = ITEM_RUNS;
    receive_message_start(&item->cc.u.receive_message);
}

/* It waits for one that is not done: false. Otherwise it is started, or skipped. */
static bool item_go_on(struct batch_item *item)
{
    const struct batch_item *before = NULL;

    for (unsigned i = 0; i < item->n_after; i++) {
        const struct batch_item *other = &item->batch->items[item->after[i]];

        if (other->state != ITEM_DONE)
            return false;
        if (is_temporary(other))
            before = other;
    }
    if (!before) {
        item_start(item);
        return true;
    }
    item->code = before->code;
    item->is_skipped = true;
    item->state = ITEM_DONE;
    item->batch->n_left--;
    return true;
}

/* In the order of the batch, so that what is skipped here is seen by what comes behind it. */
static void batch_go_on(struct message_batch *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        if (b->items[i].state == ITEM_WAITS)
            (void)item_go_on(&b->items[i]);
    }
}

static void item_render(struct command *command, const struct reply *r)
{
    struct batch_item *item = item_of(command);

    item->code = r->code;
    item->batch->render(command, r);
}

static void item_done(struct command *command)
{
    struct batch_item *item = item_of(command);
    struct message_batch *b = item->batch;

    item->state = ITEM_DONE;
    b->n_left--;
    batch_go_on(b);
    if (b->n_left == 0)
        batch_answer(b); /* last: the batch may be gone from here on */
}

/* ---- filling --------------------------------------------------------------------------------- */

struct message_batch *message_batch_create(struct command_call *first, unsigned n)
{
    struct arena *a = first->u.command.arena;
    struct message_batch *b = arena_zalloc(a, sizeof(*b));

    b->call = first->call;
    b->render = first->u.command.render;
    b->n = b->n_left = n;
    b->items = arena_zalloc(a, n * sizeof(*b->items) + 1);
    for (unsigned i = 0; i < n; i++) {
        struct batch_item *item = &b->items[i];

        item->batch = b;
        item->code = REPLY_ACCEPTED;
        item->cc.call = first->call;
        item->cc.u.command = first->u.command;
        item->cc.u.command.render = item_render;
        item->cc.u.command.done = item_done;
    }
    return b;
}

struct receive_message *message_batch_item(struct message_batch *b, unsigned i)
{
    REQUIRE(i < b->n);
    return &b->items[i].cc.u.receive_message;
}

/* A chain needs the nearest one before it only: that one waits for its own. */
static void item_find_before(struct message_batch *b, unsigned i)
{
    struct batch_item *item = &b->items[i];
    struct str id = item->cc.u.receive_message.message_id;
    bool has_lane = false, has_id = false;

    for (unsigned j = i; j-- > 0 && !(has_lane && has_id);) {
        const struct batch_item *other = &b->items[j];
        bool same_lane = !has_lane && uuid_eq(other->lane.u, item->lane.u);
        bool same_id = !has_id && str_eq(other->cc.u.receive_message.message_id, id);

        if (same_lane || same_id)
            item->after[item->n_after++] = j;
        has_lane |= same_lane;
        has_id |= same_id;
    }
}

void message_batch_start(struct message_batch *b)
{
    if (b->n == 0) {
        batch_answer(b);
        return;
    }
    for (unsigned i = 0; i < b->n; i++) {
        struct batch_item *item = &b->items[i];

        item->lane = receive_message_lane(&item->cc.u.receive_message);
        item_find_before(b, i);
    }
    batch_go_on(b); /* no command is done inside its start */
}
