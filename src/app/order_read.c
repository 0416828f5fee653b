#include "orderly/app/order_read.h"
#include "app_private.h"

static void order_read_on_open(struct dossier_wait *w, enum err status)
{
    struct order_read *r = container_of(w, struct order_read, wait);
    struct dossier *d = w->dossier;

    if (status != ERR_OK) {
        r->done(r, NULL, status);
        return;
    }
    r->done(r, d->order, ERR_OK); /* r may be gone from here on */
    dossier_close(d);
}

void order_read_start(struct order_read *r, struct app *a)
{
    r->wait.ready = order_read_on_open;
    dossier_open(&a->dossiers, lane_of_order(r->id), &r->wait);
}

/* ---- shipments ------------------------------------------------------------------------------- */

static void shipment_read_on_open(struct dossier_wait *w, enum err status)
{
    struct shipment_read *r = container_of(w, struct shipment_read, wait);
    struct dossier *d = w->dossier;
    struct part *p;

    if (status != ERR_OK) {
        r->done(r, NULL, status);
        return;
    }
    p = dossier_find_part(d, AGGREGATE_SHIPMENT, text_id_str(&r->id.t));
    r->done(r, p && p->sequence > 0 ? &p->shipment : NULL, ERR_OK);
    dossier_close(d);
}

static void shipment_read_on_owner(struct binding_check *b, enum err status, bool taken)
{
    struct shipment_read *r = container_of(b, struct shipment_read, owner);

    (void)taken;
    if (status != ERR_OK || !b->is_found) {
        r->done(r, NULL, status);
        return;
    }
    r->wait.ready = shipment_read_on_open;
    dossier_open(&b->app->dossiers, b->owner, &r->wait);
}

void shipment_read_start(struct shipment_read *r, struct app *a)
{
    r->owner = (struct binding_check){
        .app = a, .type = AGGREGATE_SHIPMENT, .id = r->id.t, .done = shipment_read_on_owner
    };
    binding_check_start(&r->owner);
}

/* ---- carts ----------------------------------------------------------------------------------- */

static void cart_read_on_open(struct cart_wait *w, enum err status)
{
    struct cart_read *r = container_of(w, struct cart_read, wait);
    struct cart_entry *e = w->entry;

    if (status != ERR_OK) {
        r->done(r, NULL, status);
        return;
    }
    r->done(r, e->cart.sequence > 0 ? &e->cart : NULL, ERR_OK);
    cart_entry_close(e);
}

void cart_read_start(struct cart_read *r, struct app *a)
{
    r->wait.ready = cart_read_on_open;
    carts_open(&a->carts, r->id, &r->wait);
}
