/* The state of a payment, reservation, shipment or inbox apart from its place in a dossier: what it will be
 * once an append is durable. Owns what it holds. Thread: loop. */
#ifndef ORDERLY_APP_PART_STATE_H
#define ORDERLY_APP_PART_STATE_H
#include "orderly/app/dossier.h"

struct part_state {
    enum aggregate type;
    union {
        struct payment payment;
        struct reservation reservation;
        struct shipment shipment;
        struct inbox inbox;
    };
};

void part_state_copy(struct part_state *out, const struct part *p);
/* Applies an event of the part's own stream. */
void part_state_apply(struct part_state *s, const struct event *e);
/* Its snapshot; adds to out. */
void part_state_encode(const struct part_state *s, struct buf *out);
/* The same, into the open append. */
void part_state_put(struct append *a, struct lane_id lane, const struct text_id *id,
                    const struct part_state *s);
void part_state_deinit(struct part_state *s);
/* Becomes the part's durable state; the state is taken. */
void part_become(struct part *p, struct part_state *s);
#endif
