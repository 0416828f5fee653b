/* /shipments: the carrier's steps. */
#include "commands.h"
#include "handlers.h"

static bool shipment_id_of(struct call *c, struct shipment_id *id)
{
    if (text_id_parse(c->params[0], &id->t))
        return true;
    call_not_found(c, "shipment");
    return false;
}

static void shipment_step(struct call *c, bool is_deliver)
{
    struct nothing_in nothing;
    struct shipment_id id;
    struct command_call *cc;

    if (!shipment_id_of(c, &id))
        return;
    cc = command_open(c, &command_nothing, &nothing, COMMAND_BODY_OPTIONAL);
    if (!cc || command_is_refused(cc))
        return;
    cc->u.shipment.shipment_id = id;
    cc->u.shipment.is_deliver = is_deliver;
    shipment_command_start(&cc->u.shipment);
}

void shipments_dispatch(struct call *c)
{
    shipment_step(c, false);
}

void shipments_deliver(struct call *c)
{
    shipment_step(c, true);
}

struct shipment_get {
    struct call *call;
    struct shipment_read read;
};

static void shipment_get_done(struct shipment_read *read, const struct shipment *s, enum err status)
{
    struct call *c = container_of(read, struct shipment_get, read)->call;

    if (status != ERR_OK || !s) {
        call_read_failed(c, status, "shipment");
        return;
    }
    render_shipment(call_out(c), &read->id, s);
    call_send_out(c, 200, NULL);
}

void shipments_get(struct call *c)
{
    struct shipment_id id;
    struct shipment_get *get;

    if (!shipment_id_of(c, &id))
        return;
    get = arena_zalloc(&c->req->arena, sizeof(*get));
    get->call = c;
    get->read.id = id;
    get->read.done = shipment_get_done;
    shipment_read_start(&get->read, c->app);
}
