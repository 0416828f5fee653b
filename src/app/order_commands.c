/* The store's commands on an order that exists: pay, mark-paid, cancel, ready, complete. */
#include "app_private.h"

/* One use case per command: decides on the order. */
typedef enum order_outcome (*order_decide)(const struct order_command *oc, const struct order *o,
                                           struct event_list *out);

static enum order_outcome pay_order(const struct order_command *oc, const struct order *o,
                                    struct event_list *out)
{
    (void)oc;
    return order_request_payment(o, out);
}

static enum order_outcome mark_order_paid(const struct order_command *oc, const struct order *o,
                                          struct event_list *out)
{
    return order_record_external_payment(o, &oc->payment_id, out);
}

static enum order_outcome cancel_order(const struct order_command *oc, const struct order *o,
                                       struct event_list *out)
{
    return order_cancel(o, oc->reason, out);
}

static enum order_outcome make_order_ready(const struct order_command *oc, const struct order *o,
                                           struct event_list *out)
{
    (void)oc;
    return order_make_ready(o, out);
}

static enum order_outcome complete_order(const struct order_command *oc, const struct order *o,
                                         struct event_list *out)
{
    return order_complete(o, &oc->invoice_id, out);
}

static const order_decide deciders[ORDER_INPUT_COUNT] = {
    [ORDER_INPUT_PAY] = pay_order,           [ORDER_INPUT_MARK_PAID] = mark_order_paid,
    [ORDER_INPUT_CANCEL] = cancel_order,     [ORDER_INPUT_READY] = make_order_ready,
    [ORDER_INPUT_COMPLETE] = complete_order,
};

static void order_command_end(struct order_command *oc)
{
    if (oc->has_turn)
        turn_give(&oc->dossier->turn, &oc->command.turn);
    dossier_close(oc->dossier);
}

static void order_command_applied(struct command *c, enum err status)
{
    struct order_command *oc = container_of(c, struct order_command, command);

    if (oc->binding)
        binding_release(c->app, oc->binding, status == ERR_OK);
    if (status == ERR_OK)
        order_became(c->app, oc->dossier, oc->next);
    else
        order_destroy(oc->next);
    order_command_end(oc);
}

static void order_command_say_illegal(struct order_command *oc, const struct order *o)
{
    struct reply r = {
        .code = REPLY_ILLEGAL_STATE,
        .order = o,
        .status = order_status_name(o->status),
        .legal = order_legal_commands(o),
    };

    r.detail = arena_printf(oc->command.arena, "%s is not possible: the order is " STR_FMT ".",
                            order_input_name(oc->input), STR_ARG(r.status));
    command_reply(&oc->command, &r);
    order_command_end(oc);
}

static void order_command_change(struct order_command *oc, const struct order *o)
{
    struct command *c = &oc->command;
    struct app *app = c->app;
    struct reply r = { .code = oc->input == ORDER_INPUT_PAY ? REPLY_ACCEPTED : REPLY_OK };
    enum err err = append_begin(&c->append, &app->log, APPEND_COMMAND);

    if (err != ERR_OK) {
        command_refuse(c, err);
        order_command_end(oc);
        return;
    }
    if (oc->input == ORDER_INPUT_MARK_PAID)
        oc->binding = binding_bind(app, &c->append, AGGREGATE_PAYMENT,
                                   text_id_str(&oc->payment_id.t), oc->dossier->lane);
    oc->next = order_append_events(app, &c->append, o, &app->decision, NULL, SUBSCRIPTION_NONE, c);
    r.order = oc->next;
    command_submit(c, &r, order_command_applied);
}

static void order_command_decide(struct order_command *oc)
{
    struct command *c = &oc->command;
    const struct order *o = oc->dossier->order;
    struct reply r = { .order = o };
    enum order_outcome outcome;

    event_list_init(&c->app->decision);
    outcome = deciders[oc->input](oc, o, &c->app->decision);
    if (outcome == ORDER_OUTCOME_CHANGED) {
        order_command_change(oc, o);
        return;
    }
    if (outcome != ORDER_OUTCOME_HOLDS) {
        order_command_say_illegal(oc, o);
        return;
    }
    r.code = oc->input == ORDER_INPUT_PAY ? REPLY_ACCEPTED : REPLY_OK;
    command_reply(c, &r);
    order_command_end(oc);
}

static void order_command_on_checked(struct binding_check *b, enum err status, bool taken)
{
    struct order_command *oc = container_of(b, struct order_command, binding_check);
    struct reply r = { .code = REPLY_PAYMENT_TAKEN,
                       .detail = STR("This payment belongs to another order.") };

    if (status != ERR_OK) {
        command_refuse(&oc->command, status);
        order_command_end(oc);
    } else if (taken) {
        command_reply(&oc->command, &r);
        order_command_end(oc);
    } else {
        order_command_decide(oc);
    }
}

static void order_command_granted(struct turn_wait *w)
{
    struct command *c = container_of(w, struct command, turn);
    struct order_command *oc = container_of(c, struct order_command, command);
    const struct order *o = oc->dossier->order;

    oc->has_turn = true;
    if (!command_if_match(c, o->sequence)) {
        order_command_end(oc);
        return;
    }
    if (oc->input == ORDER_INPUT_COMPLETE && oc->invoice_id.t.n == 0) {
        oc->invoice_id.t = o->invoice_id.t.n
                               ? o->invoice_id.t
                               : text_id_of_word("invoice", event_log_new_uuid(&c->app->log));
    }
    if (oc->input != ORDER_INPUT_MARK_PAID) {
        order_command_decide(oc);
        return;
    }
    oc->binding_check = (struct binding_check){ .app = c->app,
                                                .type = AGGREGATE_PAYMENT,
                                                .id = oc->payment_id.t,
                                                .lane = oc->dossier->lane,
                                                .done = order_command_on_checked };
    binding_check_start(&oc->binding_check);
}

static void order_command_on_open(struct dossier_wait *w, enum err status)
{
    struct order_command *oc = container_of(w, struct order_command, open);
    struct command *c = &oc->command;
    struct reply r = { .code = REPLY_NOT_FOUND, .detail = STR("There is no such order.") };

    if (status != ERR_OK) {
        command_refuse(c, status);
        return;
    }
    oc->dossier = w->dossier;
    if (!oc->dossier->order) {
        command_reply(c, &r);
        dossier_close(oc->dossier);
        return;
    }
    if (!turn_take(&oc->dossier->turn, &c->turn, order_command_granted, true)) {
        command_refuse(c, ERR_LIMIT);
        dossier_close(oc->dossier);
    }
}

static void order_command_run(struct command *c)
{
    struct order_command *oc = container_of(c, struct order_command, command);

    oc->has_turn = false;
    oc->binding = NULL;
    oc->next = NULL;
    oc->open.ready = order_command_on_open;
    dossier_open(&c->app->dossiers, lane_of_order(oc->order_id), &oc->open);
}

void order_command_start(struct order_command *oc)
{
    REQUIRE(deciders[oc->input] != NULL);
    command_start(&oc->command, order_command_run);
}
