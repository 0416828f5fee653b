/* Every resource of the API as JSON, once; events and messages are rendered for others too, by
 * orderly/infra/render/render_event.h. Pure: any thread. */
#ifndef ORDERLY_INFRA_API_RENDER_H
#define ORDERLY_INFRA_API_RENDER_H
#include "orderly/app/dead_letters.h"
#include "orderly/app/reply.h"
#include "orderly/app/settings.h"
#include "orderly/infra/render/render_event.h"

void render_order(struct json_out *o, const struct order *order);
/* Its members refund, refunds and release, for an object that is open. */
void render_order_returns(struct json_out *o, const struct order *order);
void render_cart(struct json_out *o, const struct cart *cart);
void render_product(struct json_out *o, const struct product *p, const struct stock *stock);
void render_shipment(struct json_out *o, const struct shipment_id *id, const struct shipment *s);

/* message: decoded from the item's row; NULL where it can't be read. */
void render_dead_letter(struct json_out *o, const struct dead_letter_item *item,
                        const struct event *message);

/* RFC 9457. */
struct problem {
    int status;
    struct str code, detail; /* detail may be empty */
    const struct fault *faults;
    unsigned n_faults;
    struct str state; /* of the resource, for illegal_state; n == 0: none */
    const struct str *legal;
    unsigned n_legal;
    bool has_legal;
    struct str results;    /* JSON: how each part of the request ended; n == 0: left out */
    struct str request_id; /* n == 0: left out */
};
void render_problem(struct json_out *o, const struct problem *p);
struct str status_title(int status);
#endif
