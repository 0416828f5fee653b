/* Retry and discard of one dead letter.
 *
 *     letter's turn -> read it -> decide -> [payload] -> append with redrive -> done
 *                                        -> message received anew (receive_message.c), the same append
 *
 * The letter's turn is no aggregate's turn: it only says that this letter is in somebody's hands, so
 * that what was read is still so when it is written. It is held while a message that is received
 * anew waits for the turn of its stream; nobody waits the other way round. */
#include "app_private.h"
#include "orderly/app/event_codec.h"
#include "orderly/base/bytes.h"
#include "orderly/base/mem.h"

/* A letter that is in somebody's hands. */
struct letter_hold {
    struct map_node node; /* in app->letters, by id */
    struct dead_letter_id id;
    struct turn turn;
};

static void letter_hold_start(struct dead_letter_command *dc, turn_cb granted)
{
    struct app *app = dc->receive.command.app;
    struct map_node *n = map_find(&app->letters, uuid_bytes(&dc->id.u));
    struct letter_hold *hold = n ? container_of(n, struct letter_hold, node) : NULL;

    if (!hold) {
        hold = mem_alloc(sizeof(*hold));
        hold->id = dc->id;
        turn_init(&hold->turn);
        map_insert(&app->letters, &hold->node, uuid_bytes(&hold->id.u));
    }
    dc->hold = hold;
    if (!turn_take(&hold->turn, &dc->hold_wait, granted, true))
        command_refuse(&dc->receive.command, ERR_LIMIT);
}

void dead_letter_command_leave(struct dead_letter_command *dc)
{
    struct letter_hold *hold = dc->hold;
    struct idempotency *keys = &dc->receive.command.app->idempotency;
    bool is_last = list_is_empty(&hold->turn.waiting);

    if (dc->is_key_held)
        map_remove(&keys->in_flight, &dc->message_key_node);
    keys->len -= dc->is_key_counted;
    dc->is_key_held = dc->is_key_counted = false;
    /* Who gets it next may leave it inside this call, and take the hold along. */
    turn_give(&hold->turn, &dc->hold_wait);
    if (!is_last)
        return;
    map_remove(&dc->receive.command.app->letters, &hold->node);
    mem_free(hold);
}

static void letter_reply(struct dead_letter_command *dc, const struct reply *r)
{
    command_reply(&dc->receive.command, r);
    dead_letter_command_leave(dc);
}

static void letter_refuse(struct dead_letter_command *dc, enum err err)
{
    command_refuse(&dc->receive.command, err);
    dead_letter_command_leave(dc);
}

/* ---- the append ------------------------------------------------------------------------------ */

static void letter_tell(const struct dead_letter_command *dc)
{
    const struct command *c = &dc->receive.command;
    const struct dead_letter *letter = &dc->redrive->letter;
    char id[UUID_TEXT_LEN], lane[UUID_TEXT_LEN];
    struct log_field fields[] = {
        { "deadLetterId", { id, sizeof(id) } },
        { "subscription", subscription_name(letter->subscription) },
        { "correlationId", { lane, sizeof(lane) } },
        { "topic", event_infos[letter->type].topic },
        { "userId", c->user_id },
    };

    uuid_format(letter->id.u, id);
    uuid_format(letter->lane.u, lane);
    log_write(c->app->logger, LOG_INFO,
              dc->is_discard ? "dead_letter_discarded" : "dead_letter_retried", fields,
              ARRAY_LEN(fields) - (c->user_id.n == 0));
}

struct event_id dead_letter_command_append(struct dead_letter_command *dc, struct append *a)
{
    redrive_append(dc->redrive, a);
    dc->item.letter = dc->redrive->letter;
    dc->item.queued_behind = 0;
    return dc->redrive->event.id;
}

void dead_letter_command_received(struct dead_letter_command *dc, struct append *a,
                                  uint64_t position)
{
    struct receive_message *m = &dc->receive;
    struct app *app = m->command.app;
    struct answer answer;

    if (!dc->is_key_held)
        return;
    app->reader->receipt(app->reader, m->command.arena, m->message_id, position, &answer);
    stored_answer_put(a, &dc->message_key, &m->content, &answer, scheduler_wall_ms(app->scheduler));
}

void dead_letter_command_applied(struct dead_letter_command *dc, enum err status)
{
    if (status == ERR_OK && dc->is_key_held) {
        idempotency_add(&dc->receive.command.app->idempotency, &dc->message_key);
        dc->is_key_counted = false; /* the set counts it from here on */
    }
    if (status == ERR_OK)
        letter_tell(dc);
    redrive_end(dc->redrive, status);
}

static void letter_applied(struct command *c, enum err status)
{
    struct dead_letter_command *dc = container_of(c, struct dead_letter_command, receive.command);

    dead_letter_command_applied(dc, status);
    dead_letter_command_leave(dc);
}

static void letter_redrive(struct dead_letter_command *dc, enum redrive_kind kind)
{
    struct command *c = &dc->receive.command;
    struct reply r = { .code = REPLY_OK, .dead_letter = &dc->item };
    struct event *e = &dc->redrive->event;
    enum err err;

    *dc->redrive = (struct redrive){ .bus = &c->app->bus, .kind = kind, .letter = dc->item.letter };
    e->type = dc->is_discard ? EVENT_DEAD_LETTER_DISCARDED : EVENT_DEAD_LETTER_RETRIED;
    e->p.order_id = dc->message->p.order_id;
    e->p.foreign_order_id = dc->message->p.foreign_order_id;
    e->p.reason = dc->reason;
    e->p.message_row = dc->given_row;
    command_event(c, e);
    err = redrive_check(dc->redrive);
    if (err == ERR_NOT_FOUND) {
        r = (struct reply){ .code = REPLY_ILLEGAL_STATE,
                            .status = dead_letter_state_name(dc->item.letter.state),
                            .detail = STR("Its subscription is no part of this process.") };
        letter_reply(dc, &r);
        return;
    }
    if (err == ERR_OK && kind == REDRIVE_ANEW && !dc->is_here) {
        receive_again(&dc->receive, dc);
        return;
    }
    if (err == ERR_OK)
        err = append_begin(&c->append, &c->app->log, APPEND_COMMAND);
    if (err != ERR_OK) {
        letter_refuse(dc, err);
        return;
    }
    (void)dead_letter_command_append(dc, &c->append);
    command_submit(c, &r, letter_applied);
}

/* ---- another payload ------------------------------------------------------------------------- */

static bool order_is_the_same(const struct payload *a, const struct payload *b)
{
    return uuid_eq(a->order_id.u, b->order_id.u) &&
           str_eq(a->foreign_order_id, b->foreign_order_id);
}

/* What the message is about can't be changed where its stream has it already. */
static const char *letter_changed_id(const struct payload *a, const struct payload *b)
{
    if (!text_id_eq(&a->payment_id.t, &b->payment_id.t))
        return "/payload/paymentId";
    if (!text_id_eq(&a->reservation_id.t, &b->reservation_id.t))
        return "/payload/reservationId";
    if (!text_id_eq(&a->shipment_id.t, &b->shipment_id.t))
        return "/payload/shipmentId";
    return NULL;
}

static bool letter_fault(struct dead_letter_command *dc, const char *pointer, const char *detail)
{
    struct fault *f = arena_alloc(dc->receive.command.arena, sizeof(*f));
    struct reply r = { .code = REPLY_VALIDATION, .faults = f, .n_faults = 1 };

    *f = (struct fault){ .pointer = str_of(pointer), .detail = str_of(detail) };
    letter_reply(dc, &r);
    return false;
}

/* Reads it as its topic asks for, and sees that it is still the same message. False: replied. */
static bool letter_take_payload(struct dead_letter_command *dc)
{
    struct receive_message *m = &dc->receive;
    const struct event *original = dc->message;
    struct reply r = { .code = REPLY_VALIDATION };
    struct event given = *original;
    struct buf row = { 0 };
    const char *changed;

    if (original->message_id.n == 0)
        return letter_fault(dc, "/payload",
                            "can't be given: the message is the server's own record of what "
                            "happened; only one from outside can be corrected");
    m->type = original->type;
    m->payload = (struct payload){ 0 };
    if (!dc->read_payload(dc, &r)) {
        letter_reply(dc, &r);
        return false;
    }
    if (!order_is_the_same(&m->payload, &original->p))
        return letter_fault(dc, "/payload/orderId", "must be the message's own");
    changed = letter_changed_id(&m->payload, &original->p);
    if (changed && original->verdict == VERDICT_FINE)
        return letter_fault(dc, changed, "must be the message's own: it was accepted with it");
    given.p = m->payload;
    given.p.flow = original->p.flow;
    given.raw_payload = m->raw_payload;
    event_encode(&given, &row);
    dc->given_row = arena_str(m->command.arena, buf_str(&row));
    buf_deinit(&row);
    return true;
}

/* ---- a message that was refused ---------------------------------------------------------------- */

static void letter_id_is_taken(struct dead_letter_command *dc)
{
    struct reply r = { .code = REPLY_IDEMPOTENCY_MISMATCH,
                       .detail =
                           STR("The message's id was used for another message. Retry it with a "
                               "payload, which is received under the dead letter's id, or "
                               "discard it.") };

    letter_reply(dc, &r);
}

/* Held until the command ends, so that the same message can't come in by another road meanwhile. */
static void letter_take_key(struct dead_letter_command *dc)
{
    struct idempotency *keys = &dc->receive.command.app->idempotency;
    struct str key = { (const char *)dc->message_key.b, sizeof(dc->message_key.b) };

    if (map_find(&keys->in_flight, key) || keys->len >= keys->len_max) {
        letter_refuse(dc, ERR_BUSY);
        return;
    }
    keys->len++;
    dc->is_key_held = dc->is_key_counted = true;
    map_insert(&keys->in_flight, &dc->message_key_node, key);
    letter_redrive(dc, REDRIVE_ANEW);
}

static void letter_read_key(struct store_read *read, const struct store_view *v)
{
    struct dead_letter_command *dc = container_of(read, struct dead_letter_command, read);
    struct str key = { (const char *)dc->message_key.b, sizeof(dc->message_key.b) };

    dc->read_err = store_get(v, DB_IDEMPOTENCY, key, dc->receive.command.arena, &dc->stored_row);
}

static void letter_on_key_read(struct store_read *read)
{
    struct dead_letter_command *dc = container_of(read, struct dead_letter_command, read);
    struct command *c = &dc->receive.command;
    struct stored_answer s;
    enum err err = dc->read_err;

    if (err == ERR_OK)
        err = stored_answer_decode(dc->stored_row, &s);
    if (err == ERR_NOT_FOUND ||
        (err == ERR_OK && s.expires_ms <= scheduler_wall_ms(c->app->scheduler))) {
        letter_take_key(dc);
    } else if (err != ERR_OK) {
        letter_refuse(dc, err);
    } else if (memcmp(&s.request, &dc->receive.content, sizeof(s.request)) != 0) {
        letter_id_is_taken(dc);
    } else {
        dc->is_here = true; /* then only the letter is left to be closed */
        letter_redrive(dc, REDRIVE_ANEW);
    }
}

/* Its id may have been used since it was refused, or be the very reason. */
static void letter_check_key(struct dead_letter_command *dc)
{
    struct app *app = dc->receive.command.app;
    enum err err;

    receive_message_key(dc->receive.message_id, &dc->message_key);
    if (!idempotency_may_hold(&app->idempotency, &dc->message_key)) {
        letter_take_key(dc);
        return;
    }
    dc->read = (struct store_read){ .run = letter_read_key, .done = letter_on_key_read };
    err = store_read_start(app->store, &dc->read);
    if (err != ERR_OK)
        letter_refuse(dc, err);
}

/* The payload that was given, under the message's id, or the letter's where that can't be one. False:
 * replied. */
static bool letter_take_refused_payload(struct dead_letter_command *dc)
{
    struct receive_message *m = &dc->receive;
    struct arena *a = m->command.arena;
    struct reply r = { .code = REPLY_VALIDATION };
    struct event given = { .type = EVENT_NONE };
    struct buf row = { 0 };
    char text[UUID_TEXT_LEN];

    if (!m->command.app->reader->topic(m->command.app->reader, dc->message, &m->type))
        return letter_fault(dc, "/payload",
                            "can't be given: nobody knows the message's topic; post the message to "
                            "/messages/{topic}, and discard this letter");
    m->payload = (struct payload){ 0 };
    if (!dc->read_payload(dc, &r)) {
        letter_reply(dc, &r);
        return false;
    }
    m->message_id = dc->message->message_id;
    if (m->message_id.n == 0 ||
        str_eq(dc->item.letter.error_code, failure_code_text(FAILURE_CODE_ID_TAKEN))) {
        uuid_format(dc->id.u, text);
        m->message_id = arena_str(a, (struct str){ text, sizeof(text) });
    }
    digest16_of(&m->content, (struct str[]){ event_infos[m->type].topic, m->raw_payload }, 2);
    given.type = m->type;
    given.p = m->payload;
    given.message_id = m->message_id;
    given.raw_payload = m->raw_payload;
    event_encode(&given, &row);
    dc->given_row = arena_str(a, buf_str(&row));
    buf_deinit(&row);
    return true;
}

static void letter_retry_refused(struct dead_letter_command *dc)
{
    struct receive_message *m = &dc->receive;
    const struct message_reader *reader = m->command.app->reader;
    struct reply r = { .code = REPLY_ILLEGAL_STATE,
                       .status = dead_letter_state_name(dc->item.letter.state),
                       .detail = STR("Nothing in this process reads such messages.") };

    if (!reader) {
        letter_reply(dc, &r);
        return;
    }
    r = (struct reply){ .code = REPLY_VALIDATION };
    if (dc->has_payload) {
        if (!letter_take_refused_payload(dc))
            return;
    } else if (!reader->read(reader, dc->message, m->command.arena, m, &r)) {
        letter_reply(dc, &r);
        return;
    }
    m->payload.flow = FLOW_NONE; /* the order's, as ever */
    letter_check_key(dc);
}

static void letter_retry(struct dead_letter_command *dc)
{
    struct receive_message *m = &dc->receive;
    const struct event *e = dc->message;

    if (!dc->has_message) {
        letter_refuse(dc, ERR_DAMAGED);
        return;
    }
    if (e->type == EVENT_MESSAGE_REFUSED) {
        letter_retry_refused(dc);
        return;
    }
    if (dc->has_payload && !letter_take_payload(dc))
        return;
    if (dc->item.letter.state == DEAD_LETTER_PARKED) {
        letter_redrive(dc, REDRIVE_LANE);
    } else if (e->verdict == VERDICT_FINE) {
        letter_redrive(dc, REDRIVE_ALONE);
    } else {
        if (!dc->has_payload) {
            m->type = e->type;
            m->payload = e->p;
            m->raw_payload = e->raw_payload;
        }
        m->payload.flow = FLOW_NONE; /* the order's, as ever */
        m->message_id = e->message_id;
        letter_redrive(dc, REDRIVE_ANEW);
    }
}

/* ---- discard --------------------------------------------------------------------------------- */

/* Without it money or stock would not go back, or nobody would know that it did: the order shows it
 * as due, and only a person sees to it from then on. */
static bool letter_settles_something(const struct dead_letter_command *dc)
{
    const struct payload *p = &dc->message->p;

    if (dc->message->verdict != VERDICT_FINE)
        return false;
    switch (dc->item.letter.subscription) {
    case SUBSCRIPTION_PAYMENTS:
        return p->refund.set || dc->message->type == EVENT_ORDER_REFUND_REQUESTED;
    case SUBSCRIPTION_INVENTORY:
        return p->release.set || dc->message->type == EVENT_ORDER_RELEASE_REQUESTED;
    case SUBSCRIPTION_ORDERS:
        return dc->message->type == EVENT_PAYMENT_REFUNDED ||
               dc->message->type == EVENT_STOCK_RELEASED ||
               dc->message->type == EVENT_INVENTORY_RELEASED;
    default:
        return false;
    }
}

static void letter_discard(struct dead_letter_command *dc)
{
    struct reply r = { .code = REPLY_FORCE_NEEDED };

    if (!dc->is_forced && (!dc->has_message || letter_settles_something(dc))) {
        r.detail = dc->has_message
                       ? STR("The message settles a refund or a release, which stays due without "
                             "it; discard it with force if that is meant.")
                       : STR("The message can't be read, so nobody knows what it asks for; discard "
                             "it with force if that is meant.");
        letter_reply(dc, &r);
        return;
    }
    letter_redrive(dc, REDRIVE_SKIP);
}

/* ---- deciding -------------------------------------------------------------------------------- */

/* A retry holds where it was retried with the same payload, or none is asked for. */
static bool letter_holds(const struct dead_letter_command *dc)
{
    if (dc->is_discard)
        return dc->item.letter.state == DEAD_LETTER_DISCARDED;
    return dc->item.letter.state == DEAD_LETTER_RETRIED &&
           (!dc->has_payload || str_eq(dc->given_before, dc->receive.raw_payload));
}

static void letter_decide(struct dead_letter_command *dc)
{
    struct reply r = { .code = REPLY_OK, .dead_letter = &dc->item };

    if (dead_letter_is_open(&dc->item.letter)) {
        if (dc->is_discard)
            letter_discard(dc);
        else
            letter_retry(dc);
        return;
    }
    if (!letter_holds(dc)) {
        r = (struct reply){ .code = REPLY_ILLEGAL_STATE,
                            .status = dead_letter_state_name(dc->item.letter.state) };
        r.detail = dc->item.letter.state == DEAD_LETTER_DISCARDED
                       ? STR("The dead letter was discarded.")
                   : dc->is_discard ? STR("The dead letter was retried.")
                                    : STR("The dead letter was retried with another payload.");
    }
    letter_reply(dc, &r);
}

/* What an operator gave a message when the letter was retried. */
static enum err letter_read_given(const struct store_view *v, struct arena *a, uint64_t position,
                                  struct str *out)
{
    char key[8];
    struct str row;
    struct event closed, given;
    enum err err;

    bytes_put_u64(key, position);
    err = store_get(v, DB_EVENTS, (struct str){ key, sizeof(key) }, a, &row);
    if (err == ERR_OK)
        err = event_decode(row, position, &closed, a);
    if (err != ERR_OK || closed.p.message_row.n == 0)
        return err == ERR_NOT_FOUND ? ERR_DAMAGED : err;
    err = event_decode(closed.p.message_row, position, &given, a);
    if (err == ERR_OK)
        *out = given.raw_payload;
    return err;
}

static void letter_read_run(struct store_read *read, const struct store_view *v)
{
    struct dead_letter_command *dc = container_of(read, struct dead_letter_command, read);
    struct arena *a = dc->receive.command.arena;

    dc->read_err = dead_letters_get(v, a, dc->id, &dc->item);
    dc->has_message = dc->read_err == ERR_OK && dc->item.message_row.n;
    if (dc->has_message)
        dc->read_err = event_decode(dc->item.message_row, dc->item.letter.position, dc->message, a);
    if (dc->read_err == ERR_OK && dc->item.letter.closed_position && dc->has_payload)
        dc->read_err = letter_read_given(v, a, dc->item.letter.closed_position, &dc->given_before);
}

static void letter_on_read(struct store_read *read)
{
    struct dead_letter_command *dc = container_of(read, struct dead_letter_command, read);
    struct reply r = { .code = REPLY_NOT_FOUND, .detail = STR("There is no such dead letter.") };

    if (dc->read_err == ERR_NOT_FOUND)
        letter_reply(dc, &r);
    else if (dc->read_err != ERR_OK)
        letter_refuse(dc, dc->read_err);
    else
        letter_decide(dc);
}

static void letter_granted(struct turn_wait *w)
{
    struct dead_letter_command *dc = container_of(w, struct dead_letter_command, hold_wait);
    enum err err;

    dc->read = (struct store_read){ .run = letter_read_run, .done = letter_on_read };
    err = store_read_start(dc->receive.command.app->store, &dc->read);
    if (err != ERR_OK)
        letter_refuse(dc, err);
}

static void letter_run(struct command *c)
{
    struct dead_letter_command *dc = container_of(c, struct dead_letter_command, receive.command);

    dc->given_row = dc->given_before = STR_NONE;
    dc->is_key_held = dc->is_key_counted = dc->is_here = false;
    dc->message = arena_zalloc(c->arena, sizeof(*dc->message));
    dc->redrive = arena_zalloc(c->arena, sizeof(*dc->redrive));
    letter_hold_start(dc, letter_granted);
}

void dead_letter_command_start(struct dead_letter_command *dc)
{
    command_start(&dc->receive.command, letter_run);
}
