/* What a process without Orders is told of an order. The message becomes an event of the order's
 * inbox, a stream that changes no aggregate here; the contexts hear it from the log, like any event,
 * and what they answer is caused by it.
 *
 * The message id keeps the same message from becoming two events for as long as keys are kept; one
 * that comes again later does no harm, because each context does its work once for an order. */
#include "app_private.h"
#include "orderly/app/lanes.h"

/* In which flow: what the message says, else what an earlier one said, else the only one in which a
 * context here hears such messages (a carrier need not know of flows). */
static enum flow_id hear_flow(const struct receive_message *m)
{
    const struct app *app = m->command.app;
    enum flow_id only = FLOW_NONE;
    unsigned n = 0;

    if (m->part->inbox.flow != FLOW_NONE)
        return m->part->inbox.flow;
    if (m->payload.flow != FLOW_NONE)
        return m->payload.flow;
    for (unsigned f = FLOW_NONE + 1; f < FLOW_COUNT; f++)
        for (unsigned c = CONTEXT_PAYMENTS; c <= CONTEXT_SHIPMENTS; c++)
            if (app_has(app, (enum context)c) &&
                flow_reaction_of(flow_of((enum flow_id)f), (uint16_t)m->type, (enum context)c)) {
                n += only != (enum flow_id)f;
                only = (enum flow_id)f;
            }
    return n == 1 ? only : FLOW_NONE;
}

static void hear_granted(struct turn_wait *w)
{
    struct command *c = container_of(w, struct command, turn);
    struct receive_message *m = container_of(c, struct receive_message, command);
    struct app *app = c->app;
    struct reply r = { .code = REPLY_ACCEPTED, .message_id = m->message_id };
    struct event *e;
    enum err err = append_begin(&c->append, &app->log, APPEND_COMMAND);

    m->has_turn = true;
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
    e->p.flow = hear_flow(m);
    e->stream.type = AGGREGATE_INBOX;
    e->stream.id = m->part->id;
    e->lane = m->lane;
    e->sequence = m->part->sequence + 1;
    e->message_id = m->message_id;
    e->raw_payload = m->raw_payload;
    command_event(c, e);
    append_event(&c->append, e);
    part_state_copy(&m->next, m->part);
    part_state_apply(&m->next, e);
    part_state_put(&c->append, m->lane, &m->part->id, &m->next);
    if (m->letter)
        dead_letter_command_received(m->letter, &c->append, e->position);
    else
        r.position = e->position;
    command_submit(c, &r, receive_applied);
}

static void hear_on_open(struct dossier_wait *w, enum err status)
{
    struct receive_message *m = container_of(w, struct receive_message, open);
    struct command *c = &m->command;
    char text[UUID_TEXT_LEN];

    if (status != ERR_OK) {
        command_refuse(c, status);
        if (m->letter)
            dead_letter_command_leave(m->letter);
        return;
    }
    uuid_format(m->payload.order_id.u, text);
    m->dossier = w->dossier;
    m->part = dossier_part(m->dossier, AGGREGATE_INBOX, (struct str){ text, sizeof(text) });
    if (!turn_take(&m->part->turn, &c->turn, hear_granted, true)) {
        command_refuse(c, ERR_LIMIT);
        receive_end(m);
    }
}

static void hear_fault(struct receive_message *m, const char *pointer, const char *detail)
{
    struct fault f = { .pointer = str_of(pointer), .detail = str_of(detail) };
    struct reply r = { .code = REPLY_VALIDATION, .faults = &f, .n_faults = 1 };

    command_reply(&m->command, &r);
    if (m->letter)
        dead_letter_command_leave(m->letter);
}

void hear_message_begin(struct receive_message *m)
{
    if (uuid_is_nil(m->payload.order_id.u)) {
        hear_fault(m, "/payload/orderId", "must be the UUID of an order of Orderly's");
        return;
    }
    m->lane = lane_of_order(m->payload.order_id);
    m->binding = NULL;
    m->has_turn = false;
    m->verdict = VERDICT_FINE;
    m->open.ready = hear_on_open;
    dossier_open(&m->command.app->dossiers, m->lane, &m->open);
}
