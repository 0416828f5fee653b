/* Dossiers: in memory, everything that lies under one order's lane: the order, and the payments,
 * reservations and shipments that belong to it (or, in a process without Orders, what it heard). They are loaded together and evicted together, so a
 * dossier in memory is complete: what is not in it does not exist.
 *
 * A context touches only the parts of its own type. Bounded: dossiers that nobody uses are evicted,
 * oldest first, once the cache is over its bytes. Thread: loop. */
#ifndef ORDERLY_APP_DOSSIER_H
#define ORDERLY_APP_DOSSIER_H
#include "orderly/app/event_log.h"
#include "orderly/app/turn.h"
#include "orderly/base/map.h"
#include "orderly/domain/inbox.h"
#include "orderly/domain/order.h"
#include "orderly/domain/payment.h"
#include "orderly/domain/reservation.h"
#include "orderly/domain/shipment.h"

struct dossiers;

/* Payments, reservations and shipments of one order; beyond, an outside message is `too_many`. */
#define DOSSIER_PARTS_MAX 512

/* One payment, reservation or shipment; or, where no Orders is here, what was heard of the order. */
struct part {
    struct list link;
    enum aggregate type;
    struct text_id id;
    struct turn turn;
    uint64_t sequence; /* of its last durable event; 0: it does not exist (yet) */
    union {
        struct payment payment;
        struct reservation reservation;
        struct shipment shipment;
        struct inbox inbox;
    };
};

struct dossier {
    struct map_node node; /* by lane */
    struct list lru;
    struct lane_id lane;
    struct dossiers *dossiers;
    unsigned pins;
    bool is_loaded;
    struct order *order; /* NULL: no such order; durable state */
    struct turn turn;    /* of the order */
    struct list parts;
    unsigned n_parts;
    struct list waiting;  /* dossier_wait: for the load */
    struct list watchers; /* order_watch.link */
    size_t bytes;         /* as counted by the cache */
};

struct dossier_load;
struct dossiers {
    struct store *store;
    struct map map;
    struct list lru; /* unused ones, oldest first */
    size_t bytes, bytes_max;
    uint64_t n_evicted;
};

void dossiers_init(struct dossiers *ds, struct store *store, const struct map_key *key,
                   size_t bytes_max);
void dossiers_deinit(struct dossiers *ds);

/* One who needs a dossier. ready runs once: inside dossier_open if the dossier is in memory, else
 * later. ERR_OK: w->dossier is pinned until dossier_close. ERR_BUSY: too many reads wait;
 * ERR_DAMAGED, ERR_IO: it can't be read; then nothing is pinned. */
struct dossier_wait {
    struct list link;
    struct dossier *dossier;
    void (*ready)(struct dossier_wait *w, enum err status);
};
void dossier_open(struct dossiers *ds, struct lane_id lane, struct dossier_wait *w);
/* A dossier of a new id: known to be empty, so nothing is read. Pinned. */
struct dossier *dossier_open_new(struct dossiers *ds, struct lane_id lane);
void dossier_close(struct dossier *d);
/* Only if it is in memory and loaded; not pinned. */
struct dossier *dossier_peek(struct dossiers *ds, struct lane_id lane);

/* NULL if the dossier has no such part. */
struct part *dossier_find_part(struct dossier *d, enum aggregate type, struct str id);
/* The built-in context's own payment, reservation or shipment of this order; NULL: none yet. */
struct part *dossier_own_part(struct dossier *d, enum aggregate type);
/* What was heard of the order, where no Orders is here; NULL: nothing. */
const struct inbox *dossier_inbox(const struct dossier *d);
/* Whether it is this reservation that the order went on with, as OrderConfirmed or OrderStockReserved
 * has said; another one was late, or second, and goes back. */
bool dossier_reservation_counts(const struct dossier *d, const struct text_id *id);
/* Finds or makes it (with sequence 0). */
struct part *dossier_part(struct dossier *d, enum aggregate type, struct str id);
void dossier_set_order(struct dossier *d, struct order *next); /* takes next; frees the old one */
#endif
