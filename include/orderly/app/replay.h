/* What follows from the events of one lane: its order, payments, reservations, shipments, cart and
 * product as they are after the last of them, and the rows that snapshots and lists should have. A
 * pure function of the events, which `verify` compares with what is stored and `rebuild` writes.
 *
 * Not in it, because no event says it: that Shipments has heard OrderShipped (is_confirmed of a
 * shipment), which the stored row keeps. Stock is shared by many lanes; tally.h counts it. Any
 * thread; one at a time. */
#ifndef ORDERLY_APP_REPLAY_H
#define ORDERLY_APP_REPLAY_H
#include "orderly/app/part_state.h"
#include "orderly/app/store.h"
#include "orderly/domain/cart.h"
#include "orderly/domain/product.h"

#define REPLAY_TEXT_MAX 300

/* A message that Orders should have made something of. */
struct replay_mark {
    uint64_t position; /* of the first such message; 0: none */
    int64_t amount;
    struct currency currency;
    bool is_lettered; /* Orders failed on it */
};

/* One payment, reservation or shipment; or what was heard of the order. */
struct replay_part {
    struct text_id id;
    struct part_state state;
    uint64_t sequence;
    bool is_bound;                    /* DB_OWNERS leads from its id to the lane */
    struct replay_mark taken, undone; /* approved, reserved, created; refunded, released */
};

struct replay {
    struct lane_id lane;
    uint64_t n_events;
    struct order *order;    /* NULL: it has none */
    struct text_id marked;  /* the payment that a person named (mark-paid), bound too */
    struct cart cart;       /* sequence 0: it has none */
    struct product product; /* the same */
    struct replay_part *parts;
    unsigned n_parts, parts_cap;
    uint64_t n_letters; /* DeadLettered events */
    char why[REPLAY_TEXT_MAX];
};

void replay_init(struct replay *r);
void replay_deinit(struct replay *r);
/* Another lane, from its beginning. */
void replay_begin(struct replay *r, struct lane_id lane);

/* The next event of the lane, in order of position. Returns NULL, or what is wrong with it, for
 * people; valid until the next call. Goes on as well as it can. */
const char *replay_event(struct replay *r, const struct event *e);

/* All rows that should be there because of this lane, in no order: ORDERS, PARTS, OWNERS, CARTS,
 * PRODUCTS and the lists of orders. Not STOCK, nor what has one row for each event (BY_LANE,
 * BY_TYPE, dead letters). Key and value are valid inside the call. */
typedef void (*replay_row_cb)(void *ctx, enum store_db db, struct str key, struct str value);
void replay_rows(const struct replay *r, replay_row_cb row, void *ctx);
const struct replay_part *replay_find_part(const struct replay *r, enum aggregate type,
                                           struct str id);
/* It is this shipment that the order was shipped with, as the order or what was heard of it says. */
bool replay_ships_with(const struct replay *r, const struct text_id *id);
/* DB_OWNERS leads from this id to the lane. */
bool replay_binds(const struct replay *r, enum aggregate type, struct str id);

/* Money and stock of the order: what was charged is what it paid less what went back, and what has
 * to go back is due. heard_position: Orders has made what it would of all messages of this lane up
 * to there. Calls `fault` for each thing that is not so. */
void replay_balance(struct replay *r, uint64_t heard_position,
                    void (*fault)(void *ctx, const char *what), void *ctx);

/* The rows of an order alone, but for its snapshot: the lists that it stands in. */
void replay_order_lists(const struct order *o, replay_row_cb row, void *ctx);
#endif
