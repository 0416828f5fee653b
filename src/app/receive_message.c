/* What an outside context publishes. The message becomes an event of its payment's, reservation's or
 * shipment's stream, under its order's lane; what Orders makes of it comes later, by the bus.
 *
 * What is wrong with it is found here, under the turn of its stream, and kept in the event as a
 * verdict: such an event changes no aggregate and lies in the order's own stream of that type. */
#include "app_private.h"
#include "orderly/app/lanes.h"

static enum aggregate receive_type(const struct receive_message *m)
{
    return event_infos[m->type].aggregate;
}

/* The id that the message is about; none where an outcome has none. */
static struct str receive_id(const struct receive_message *m)
{
    switch (receive_type(m)) {
    case AGGREGATE_PAYMENT:
        return text_id_str(&m->payload.payment_id.t);
    case AGGREGATE_RESERVATION:
        return text_id_str(&m->payload.reservation_id.t);
    default:
        return text_id_str(&m->payload.shipment_id.t);
    }
}

static struct str receive_order_text(const struct receive_message *m, char text[UUID_TEXT_LEN])
{
    if (m->payload.foreign_order_id.n)
        return m->payload.foreign_order_id;
    uuid_format(m->payload.order_id.u, text);
    return (struct str){ text, UUID_TEXT_LEN };
}

void receive_end(struct receive_message *m)
{
    if (m->has_turn)
        turn_give(&m->part->turn, &m->command.turn);
    dossier_close(m->dossier);
    if (m->letter)
        dead_letter_command_leave(m->letter);
}

void receive_applied(struct command *c, enum err status)
{
    struct receive_message *m = container_of(c, struct receive_message, command);

    if (m->letter)
        dead_letter_command_applied(m->letter, status);
    if (m->binding)
        binding_release(c->app, m->binding, status == ERR_OK);
    if (status == ERR_OK)
        part_become(m->part, &m->next);
    else
        part_state_deinit(&m->next);
    receive_end(m);
}

static enum verdict receive_verdict_of(enum shipment_outcome o)
{
    if (o == SHIPMENT_NOT_CONFIRMED)
        return VERDICT_NOT_CONFIRMED;
    return o == SHIPMENT_ILLEGAL ? VERDICT_ILLEGAL_STATE : VERDICT_FINE;
}

/* A carrier's step that comes too early or too late. */
static enum verdict receive_judge_shipment(const struct receive_message *m)
{
    const struct app *app = m->command.app;
    struct shipment seen = m->part->shipment; /* its text is borrowed */
    const struct shipment *s = &seen;
    struct event_list *scratch = &m->command.app->decision;

    event_list_init(scratch);
    if (!app_has(app, CONTEXT_SHIPMENTS)) /* then the order itself is asked */
        seen.is_confirmed = text_id_eq(&m->dossier->order->shipment_id.t, &m->part->id);
    switch (m->type) {
    case EVENT_SHIPMENT_DISPATCHED:
        return receive_verdict_of(shipment_dispatch(s, &m->payload.shipment_id, 0, scratch));
    case EVENT_SHIPMENT_DELIVERED:
        return receive_verdict_of(shipment_deliver(s, &m->payload.shipment_id, 0, scratch));
    case EVENT_SHIPMENT_CANCELLED:
        if (s->status == SHIPMENT_STATUS_NONE)
            return VERDICT_ILLEGAL_STATE;
        return receive_verdict_of(shipment_cancel(s, &m->payload.shipment_id, scratch));
    default:
        return VERDICT_FINE;
    }
}

/* The built-in contexts undo what they did themselves, and count only that. Stock
 * that they hold, and a payment that has taken nothing yet, can't be given back by anybody else: if
 * the order believed it, the stock would stay reserved, and the payment could never be taken. */
static enum verdict receive_judge_undoing(const struct receive_message *m)
{
    const struct part *p = m->part;

    switch (m->type) {
    case EVENT_STOCK_RELEASED:
    case EVENT_INVENTORY_RELEASED:
        if (p->reservation.is_ours && p->reservation.status == RESERVATION_STATUS_RESERVED)
            return VERDICT_NOT_THEIRS;
        return VERDICT_FINE;
    case EVENT_PAYMENT_REFUNDED:
        if (p->payment.is_ours && p->payment.status == PAYMENT_STATUS_PENDING)
            return VERDICT_NOT_THEIRS;
        return VERDICT_FINE;
    default:
        return VERDICT_FINE;
    }
}

static void receive_append(struct receive_message *m)
{
    struct command *c = &m->command;
    struct app *app = c->app;
    struct reply r = { .code = REPLY_ACCEPTED, .message_id = m->message_id };
    struct event *e;
    enum err err = append_begin(&c->append, &app->log, APPEND_COMMAND);

    if (err != ERR_OK) {
        command_refuse(c, err);
        receive_end(m);
        return;
    }
    event_list_init(&app->decision);
    e = event_list_add(&app->decision, m->type);
    if (m->letter) {
        e->cause = dead_letter_command_append(m->letter, &c->append);
        r = (struct reply){ .code = REPLY_OK, .dead_letter = &m->letter->item };
    }
    e->p = m->payload;
    if (m->dossier->order)
        e->p.flow = m->dossier->order->body->flow;
    e->stream.type = m->part->type;
    e->stream.id = m->part->id;
    e->lane = m->lane;
    e->sequence = m->part->sequence + 1;
    e->message_id = m->message_id;
    e->raw_payload = m->raw_payload;
    e->verdict = m->verdict;
    command_event(c, e);
    append_event(&c->append, e);
    if (m->letter)
        dead_letter_command_received(m->letter, &c->append, e->position);
    if (m->verdict == VERDICT_FINE && receive_id(m).n)
        m->binding = binding_bind(app, &c->append, m->part->type, receive_id(m), m->lane);
    part_state_copy(&m->next, m->part);
    part_state_apply(&m->next, e);
    part_state_put(&c->append, m->lane, &m->part->id, &m->next);
    if (!m->letter)
        r.position = e->position;
    command_submit(c, &r, receive_applied);
}

static void receive_granted(struct turn_wait *w);

/* In which stream it goes: the id's own, or the order's where there is none or it is refused. */
static void receive_take_turn(struct receive_message *m)
{
    char text[UUID_TEXT_LEN];
    struct str id = receive_id(m);

    if (m->verdict != VERDICT_FINE || id.n == 0)
        id = receive_order_text(m, text);
    m->part = dossier_part(m->dossier, receive_type(m), id);
    if (!turn_take(&m->part->turn, &m->command.turn, receive_granted, true)) {
        command_refuse(&m->command, ERR_LIMIT);
        receive_end(m);
    }
}

/* It does not belong into the stream of its own id. */
static void receive_turn_down(struct receive_message *m, enum verdict verdict)
{
    m->verdict = verdict;
    turn_give(&m->part->turn, &m->command.turn);
    m->has_turn = false;
    receive_take_turn(m);
}

static void receive_judge(struct receive_message *m)
{
    enum verdict verdict =
        m->part->type == AGGREGATE_SHIPMENT ? receive_judge_shipment(m) : receive_judge_undoing(m);

    if (verdict == VERDICT_FINE)
        receive_append(m);
    else
        receive_turn_down(m, verdict);
}

static enum verdict receive_taken(enum aggregate type)
{
    if (type == AGGREGATE_PAYMENT)
        return VERDICT_PAYMENT_TAKEN;
    return type == AGGREGATE_RESERVATION ? VERDICT_RESERVATION_TAKEN : VERDICT_SHIPMENT_TAKEN;
}

static void receive_on_checked(struct binding_check *b, enum err status, bool taken)
{
    struct receive_message *m = container_of(b, struct receive_message, binding_check);

    if (status != ERR_OK) {
        command_refuse(&m->command, status);
        receive_end(m);
    } else if (taken) {
        receive_turn_down(m, receive_taken(b->type));
    } else {
        receive_judge(m);
    }
}

/* The order has this id already. What has no id, or is refused, lies under the order's own id, which
 * binds nothing. */
static bool receive_is_bound(const struct receive_message *m)
{
    char text[UUID_TEXT_LEN];

    return m->part->sequence > 0 && !str_eq(text_id_str(&m->part->id), receive_order_text(m, text));
}

/* Whose the id is, is asked under the turn: from the answer to the append nobody comes between. */
static void receive_granted(struct turn_wait *w)
{
    struct command *c = container_of(w, struct command, turn);
    struct receive_message *m = container_of(c, struct receive_message, command);
    struct str id = receive_id(m);

    m->has_turn = true;
    if (m->verdict != VERDICT_FINE) {
        receive_append(m);
        return;
    }
    if (id.n == 0 || receive_is_bound(m)) {
        receive_judge(m);
        return;
    }
    m->binding_check = (struct binding_check){ .app = c->app,
                                               .type = receive_type(m),
                                               .id = m->part->id,
                                               .lane = m->lane,
                                               .done = receive_on_checked };
    binding_check_start(&m->binding_check);
}

static void receive_on_open(struct dossier_wait *w, enum err status)
{
    struct receive_message *m = container_of(w, struct receive_message, open);
    struct command *c = &m->command;
    struct str id = receive_id(m);

    if (status != ERR_OK) {
        command_refuse(c, status);
        if (m->letter)
            dead_letter_command_leave(m->letter);
        return;
    }
    m->dossier = w->dossier;
    if (!m->dossier->order) /* and then it binds no id: the sender may mean another order */
        m->verdict = VERDICT_UNKNOWN_ORDER;
    else if (m->dossier->n_parts >= DOSSIER_PARTS_MAX && id.n &&
             !dossier_find_part(m->dossier, receive_type(m), id))
        m->verdict = VERDICT_TOO_MANY;
    receive_take_turn(m);
}

static bool receive_is_refused(struct receive_message *m)
{
    struct command *c = &m->command;
    struct reply r = { .code = REPLY_OVERLOADED,
                       .detail = STR("Too many dead letters are open."),
                       .retry_after_s = 60 };

    if (c->app->bus.n_dead_letters_open < c->app->bus.dead_letters_max)
        return false;
    c->app->metrics.refused[REFUSED_DEAD_LETTERS]++;
    command_reply(c, &r);
    return true;
}

struct lane_id receive_message_lane(const struct receive_message *m)
{
    return m->payload.foreign_order_id.n ? lane_of_text(m->payload.foreign_order_id)
                                         : lane_of_order(m->payload.order_id);
}

static void receive_begin(struct receive_message *m)
{
    if (!app_has(m->command.app, CONTEXT_ORDERS)) {
        hear_message_begin(m);
        return;
    }
    m->lane = receive_message_lane(m);
    m->binding = NULL;
    m->has_turn = false;
    m->verdict = VERDICT_FINE;
    m->open.ready = receive_on_open;
    dossier_open(&m->command.app->dossiers, m->lane, &m->open);
}

static void receive_enter(struct command *c)
{
    struct receive_message *m = container_of(c, struct receive_message, command);

    if (!receive_is_refused(m))
        receive_begin(m);
}

/* Takes no room among the dead letters: it gives one back first. */
void receive_again(struct receive_message *m, struct dead_letter_command *letter)
{
    m->letter = letter;
    receive_begin(m);
}

static void receive_run(struct command *c)
{
    door_enter(c, receive_enter);
}

void receive_message_key(struct str message_id, struct digest16 *key)
{
    digest16_of(key, (struct str[]){ STR("message"), message_id }, 2);
}

void receive_message_start(struct receive_message *m)
{
    struct command *c = &m->command;

    m->letter = NULL;
    receive_message_key(m->message_id, &c->key);
    c->request = m->content;
    c->has_key = true;
    command_start(c, receive_run);
}
