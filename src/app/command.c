#include "app_private.h"

#define RETRY_AFTER_S 1

/* What the use case left for the moment when its append comes back. */
static void command_finish(struct command *c)
{
    if (c->is_key_held) {
        map_remove(&c->app->idempotency.in_flight, &c->key_node);
        c->is_key_held = false;
    }
    c->app->commands_in_flight--;
    c->done(c); /* last: c may be gone from here on */
}

/* The answer is there and needs no commit; done must not run inside start. */
static void command_finish_later(struct command *c)
{
    list_push_back(&c->app->finished, &c->link);
    scheduler_wake(c->app->scheduler);
}

/* ---- the key --------------------------------------------------------------------------------- */

static bool reply_is_stored(enum reply_code code)
{
    int status = reply_status(code);

    if (code == REPLY_RETRY_RUNNING)
        return false; /* of the moment, and asks to come again */
    return (status >= 200 && status < 300) || status == 404 || status == 409;
}

static struct str key_str(const struct command *c)
{
    return (struct str){ (const char *)c->key.b, sizeof(c->key.b) };
}

/* Rows of the stored answer, in the append that is open. */
static void command_put_key(struct command *c)
{
    stored_answer_put(&c->append, &c->key, &c->request, &c->answer,
                      scheduler_wall_ms(c->app->scheduler));
}

/* A key that was counted and is not going to be stored. */
static void command_give_up_key(struct command *c)
{
    if (c->is_key_counted)
        c->app->idempotency.len--;
    c->is_key_counted = false;
}

static void command_key_came_back(struct command *c, enum err status)
{
    if (status != ERR_OK) {
        command_give_up_key(c);
        return;
    }
    idempotency_add(&c->app->idempotency, &c->key);
    c->is_key_counted = false; /* the set counts it from here on */
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void command_render(struct command *c, const struct reply *r)
{
    c->answer = (struct answer){ .status = reply_status(r->code) };
    c->render(c, r);
}

void command_refuse(struct command *c, enum err err)
{
    struct app *app = c->app;
    struct reply r = { .code = REPLY_OVERLOADED, .retry_after_s = RETRY_AFTER_S };
    enum refused why = REFUSED_QUEUE_FULL;

    if (err == ERR_FULL) {
        r.code = REPLY_DISK_FULL;
        r.detail = STR("The store is full; nothing was changed.");
        why = REFUSED_STORE_FULL;
    } else if (err == ERR_SHUTTING_DOWN) {
        r.code = REPLY_SHUTTING_DOWN;
        r.detail = STR("The server is shutting down.");
        why = REFUSED_SHUTTING_DOWN;
    } else if (err == ERR_LIMIT) {
        r.detail = STR("Too many commands wait for this one resource; try again.");
        why = REFUSED_TURN;
    } else if (err == ERR_DAMAGED || err == ERR_IO) {
        r.code = err == ERR_DAMAGED ? REPLY_DAMAGED : REPLY_STORE_FAILED;
        r.detail = err == ERR_DAMAGED ? STR("What is stored does not agree with its sum.")
                                      : STR("The store could not be read.");
        r.retry_after_s = 0;
        why = REFUSED_COUNT;
    } else {
        r.detail = STR("The server is busy; try again.");
    }
    if (why != REFUSED_COUNT) /* those are 503 */
        app->metrics.refused[why]++;
    command_give_up_key(c);
    command_render(c, &r);
    command_finish_later(c);
}

static void command_on_key_written(struct append *a)
{
    struct command *c = container_of(a, struct command, append);

    command_key_came_back(c, a->status);
    if (a->status != ERR_OK) {
        command_refuse(c, a->status);
        return;
    }
    command_finish(c);
}

void command_reply(struct command *c, const struct reply *r)
{
    enum err err;

    command_render(c, r);
    if (!c->is_key_held || !reply_is_stored(r->code)) {
        command_give_up_key(c);
        command_finish_later(c);
        return;
    }
    err = append_begin(&c->append, &c->app->log, APPEND_COMMAND);
    if (err != ERR_OK) {
        command_refuse(c, err);
        return;
    }
    c->is_stored = true;
    command_put_key(c);
    append_submit(&c->append, command_on_key_written);
}

static void command_on_written(struct append *a)
{
    struct command *c = container_of(a, struct command, append);
    enum err status = a->status;

    if (c->is_stored)
        command_key_came_back(c, status);
    if (c->applied)
        c->applied(c, status);
    if (status != ERR_OK) {
        command_refuse(c, status);
        return;
    }
    command_finish(c);
}

void command_submit(struct command *c, const struct reply *r,
                    void (*applied)(struct command *c, enum err status))
{
    command_render(c, r);
    c->applied = applied;
    if (c->is_key_held && reply_is_stored(r->code)) {
        c->is_stored = true;
        command_put_key(c);
    } else {
        command_give_up_key(c);
    }
    append_submit(&c->append, command_on_written);
}

/* ---- start ----------------------------------------------------------------------------------- */

static void command_run(struct command *c)
{
    c->run(c);
}

static void command_take_key(struct command *c)
{
    struct idempotency *i = &c->app->idempotency;

    if (i->len >= i->len_max) {
        struct reply r = { .code = REPLY_OVERLOADED,
                           .detail = STR("Too many idempotency keys are kept; try again later."),
                           .retry_after_s = 60 };

        c->app->metrics.refused[REFUSED_IDEMPOTENCY]++;
        command_render(c, &r);
        command_finish_later(c);
        return;
    }
    i->len++;
    c->is_key_counted = c->is_key_held = true;
    map_insert(&i->in_flight, &c->key_node, key_str(c));
    command_run(c);
}

static void command_read_key(struct store_read *r, const struct store_view *v)
{
    struct command *c = container_of(r, struct command, key_read);

    /* Not into the command's own arena: those of a batch share one, and are read side by side. */
    arena_init(&c->read_arena, NULL, 0);
    c->stored_err = store_get(v, DB_IDEMPOTENCY, key_str(c), &c->read_arena, &c->stored_row);
}

static void command_on_key_read(struct store_read *r)
{
    struct command *c = container_of(r, struct command, key_read);
    struct stored_answer s;
    enum err err = c->stored_err;

    map_remove(&c->app->idempotency.in_flight, &c->key_node);
    c->is_key_held = false;
    if (err == ERR_OK) {
        c->stored_row = arena_str(c->arena, c->stored_row);
        err = stored_answer_decode(c->stored_row, &s);
    }
    arena_deinit(&c->read_arena);
    if (err == ERR_NOT_FOUND ||
        (err == ERR_OK && s.expires_ms <= scheduler_wall_ms(c->app->scheduler))) {
        command_take_key(c);
        return;
    }
    if (err != ERR_OK) {
        command_refuse(c, err);
        return;
    }
    if (memcmp(&s.request, &c->request, sizeof(s.request)) != 0) {
        struct reply reply = { .code = REPLY_IDEMPOTENCY_MISMATCH,
                               .detail = STR("This Idempotency-Key or messageId was used for "
                                             "another request.") };

        command_render(c, &reply);
        command_finish_later(c);
        return;
    }
    c->answer = s.answer;
    c->is_replayed = true;
    command_finish(c);
}

static void command_check_key(struct command *c)
{
    struct idempotency *i = &c->app->idempotency;
    enum err err;

    if (map_find(&i->in_flight, key_str(c))) {
        struct reply r = { .code = REPLY_IDEMPOTENCY_IN_FLIGHT,
                           .detail = STR("The first request with this key is still in progress."),
                           .retry_after_s = RETRY_AFTER_S };

        command_render(c, &r);
        command_finish_later(c);
        return;
    }
    if (!idempotency_may_hold(i, &c->key)) {
        command_take_key(c);
        return;
    }
    /* Held while it is read, so that a twin of this request can't slip in between. */
    c->key_read = (struct store_read){ .run = command_read_key, .done = command_on_key_read };
    err = store_read_start(c->app->store, &c->key_read);
    if (err != ERR_OK) {
        command_refuse(c, err);
        return;
    }
    map_insert(&i->in_flight, &c->key_node, key_str(c));
}

void command_start(struct command *c, void (*run)(struct command *c))
{
    struct app *app = c->app;

    c->run = run;
    c->is_key_held = c->is_key_counted = c->is_stored = c->is_replayed = false;
    list_init(&c->link);
    app->commands_in_flight++;
    if (app->is_draining) {
        command_refuse(c, ERR_SHUTTING_DOWN);
        return;
    }
    if (c->has_key)
        command_check_key(c);
    else
        command_run(c);
}

bool command_if_match(struct command *c, uint64_t current)
{
    struct reply r = { .code = REPLY_PRECONDITION_FAILED,
                       .detail = STR("The resource has another version than If-Match names.") };

    if (c->if_match != IF_MATCH_LIST)
        return true;
    for (unsigned i = 0; i < c->n_if_match; i++)
        if (c->if_match_list[i] == current)
            return true;
    command_reply(c, &r);
    return false;
}

void command_event(const struct command *c, struct event *e)
{
    e->user_id = c->user_id;
    e->traceparent = c->traceparent;
}

/* The app's turn gives these their answers. */
bool command_run_finished(struct app *app, unsigned max)
{
    while (!list_is_empty(&app->finished) && max-- > 0)
        command_finish(container_of(list_pop_front(&app->finished), struct command, link));
    return !list_is_empty(&app->finished);
}
