/* The carrier's commands on a shipment: dispatch and deliver. */
#include "app_private.h"

static void shipment_command_end(struct shipment_command *sc)
{
    if (sc->has_turn)
        turn_give(&sc->part->turn, &sc->command.turn);
    dossier_close(sc->dossier);
}

static void shipment_command_applied(struct command *c, enum err status)
{
    struct shipment_command *sc = container_of(c, struct shipment_command, command);

    if (status == ERR_OK)
        part_become(sc->part, &sc->next);
    else
        part_state_deinit(&sc->next);
    shipment_command_end(sc);
}

static void shipment_command_change(struct shipment_command *sc)
{
    struct command *c = &sc->command;
    struct app *app = c->app;
    struct part *part = sc->part;
    struct reply r = { .code = REPLY_OK, .shipment_id = sc->shipment_id };
    enum err err = append_begin(&c->append, &app->log, APPEND_COMMAND);

    if (err != ERR_OK) {
        command_refuse(c, err);
        shipment_command_end(sc);
        return;
    }
    part_state_copy(&sc->next, part);
    for (unsigned i = 0; i < app->decision.n; i++) {
        struct event *e = &app->decision.events[i];

        e->stream.type = AGGREGATE_SHIPMENT;
        e->stream.id = part->id;
        e->lane = sc->dossier->lane;
        e->sequence = sc->next.shipment.sequence + 1;
        command_event(c, e);
        append_event(&c->append, e);
        part_state_apply(&sc->next, e);
    }
    part_state_put(&c->append, sc->dossier->lane, &part->id, &sc->next);
    r.shipment = &sc->next.shipment;
    command_submit(c, &r, shipment_command_applied);
}

static void shipment_command_say_no(struct shipment_command *sc, enum shipment_outcome outcome)
{
    struct reply r = { .code = REPLY_ILLEGAL_STATE, .shipment = &sc->part->shipment };

    if (outcome == SHIPMENT_NOT_CONFIRMED) {
        r.code = REPLY_NOT_CONFIRMED;
        r.detail = STR("Shipments has not handled OrderShipped yet; try again in a moment.");
    } else {
        r.status = shipment_status_name(sc->part->shipment.status);
        r.detail =
            arena_printf(sc->command.arena, "The shipment is " STR_FMT ".", STR_ARG(r.status));
        if (sc->part->shipment.status == SHIPMENT_STATUS_CREATED)
            r.legal_text[0] = "dispatch";
        else if (sc->part->shipment.status == SHIPMENT_STATUS_DISPATCHED)
            r.legal_text[0] = "deliver";
    }
    command_reply(&sc->command, &r);
    shipment_command_end(sc);
}

static void shipment_command_granted(struct turn_wait *w)
{
    struct command *c = container_of(w, struct command, turn);
    struct shipment_command *sc = container_of(c, struct shipment_command, command);
    struct shipment *s = &sc->part->shipment;
    int64_t now_ms = scheduler_wall_ms(c->app->scheduler);
    struct reply r = { .code = REPLY_OK, .shipment = s, .shipment_id = sc->shipment_id };
    enum shipment_outcome outcome;

    sc->has_turn = true;
    if (!command_if_match(c, s->sequence)) {
        shipment_command_end(sc);
        return;
    }
    event_list_init(&c->app->decision);
    outcome = sc->is_deliver ? shipment_deliver(s, &sc->shipment_id, now_ms, &c->app->decision)
                             : shipment_dispatch(s, &sc->shipment_id, now_ms, &c->app->decision);
    if (outcome == SHIPMENT_CHANGED) {
        shipment_command_change(sc);
        return;
    }
    if (outcome != SHIPMENT_HOLDS) {
        shipment_command_say_no(sc, outcome);
        return;
    }
    command_reply(c, &r);
    shipment_command_end(sc);
}

static void shipment_command_not_found(struct command *c)
{
    struct reply r = { .code = REPLY_NOT_FOUND, .detail = STR("There is no such shipment.") };

    command_reply(c, &r);
}

static void shipment_command_on_open(struct dossier_wait *w, enum err status)
{
    struct shipment_command *sc = container_of(w, struct shipment_command, open);
    struct command *c = &sc->command;

    if (status != ERR_OK) {
        command_refuse(c, status);
        return;
    }
    sc->dossier = w->dossier;
    sc->part = dossier_find_part(sc->dossier, AGGREGATE_SHIPMENT, text_id_str(&sc->shipment_id.t));
    if (!sc->part || sc->part->sequence == 0) {
        shipment_command_not_found(c);
        dossier_close(sc->dossier);
        return;
    }
    if (!turn_take(&sc->part->turn, &c->turn, shipment_command_granted, true)) {
        command_refuse(c, ERR_LIMIT);
        dossier_close(sc->dossier);
    }
}

static void shipment_command_on_owner(struct binding_check *b, enum err status, bool taken)
{
    struct shipment_command *sc = container_of(b, struct shipment_command, owner);
    struct command *c = &sc->command;

    (void)taken;
    if (status != ERR_OK) {
        command_refuse(c, status);
    } else if (!b->is_found) {
        shipment_command_not_found(c);
    } else {
        sc->open.ready = shipment_command_on_open;
        dossier_open(&c->app->dossiers, b->owner, &sc->open);
    }
}

static void shipment_command_run(struct command *c)
{
    struct shipment_command *sc = container_of(c, struct shipment_command, command);

    sc->has_turn = false;
    sc->owner = (struct binding_check){ .app = c->app,
                                        .type = AGGREGATE_SHIPMENT,
                                        .id = sc->shipment_id.t,
                                        .done = shipment_command_on_owner };
    binding_check_start(&sc->owner);
}

void shipment_command_start(struct shipment_command *sc)
{
    command_start(&sc->command, shipment_command_run);
}
