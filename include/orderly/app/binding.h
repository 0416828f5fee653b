/* Bindings: a payment's, reservation's or shipment's id belongs to one order for ever, first come
 * first served. The rows are in DB_OWNERS; here are those that are decided but not yet durable.
 * Thread: loop. */
#ifndef ORDERLY_APP_BINDING_H
#define ORDERLY_APP_BINDING_H
#include "orderly/app/event_log.h"
#include "orderly/base/list.h"
#include "orderly/base/map.h"

#define BINDING_KEY_MAX (1 + TEXT_ID_MAX)

struct app;

struct binding {
    struct map_node node;
    uint8_t key[BINDING_KEY_MAX];
    uint8_t n;
    struct lane_id lane;
    unsigned refs;
    bool is_durable;  /* the store knows it now */
    struct list link; /* of those that stay for checks that read before */
    uint64_t left_at; /* number of the last check that was under way then */
};

/* Asks whose an id is. */
struct binding_check {
    /* Set by the caller. */
    struct app *app;
    enum aggregate type;
    struct text_id id;
    struct lane_id lane;
    /* taken: it is another lane's than `lane`. owner, is_found: whose it is in the store. Runs once,
     * inside start or later. ERR_BUSY, ERR_DAMAGED, ERR_IO: not known. */
    void (*done)(struct binding_check *b, enum err status, bool taken);

    struct lane_id owner;
    bool is_found;

    /* App only. */
    struct store_read read;
    enum err status;
    struct list link;
    uint64_t number;
};
void binding_check_start(struct binding_check *b);

/* Decided: bound to the lane, with its row in the append, which is open. Give it back by
 * binding_release once the append has come back: then the store knows, or nobody. A check that had
 * read the store before still sees it. The id must not be another lane's in flight. */
struct binding *binding_bind(struct app *app, struct append *a, enum aggregate type, struct str id,
                             struct lane_id lane);
void binding_release(struct app *app, struct binding *b, bool is_durable);
void bindings_deinit(struct app *app);
/* Another order has decided to use this id, not durable yet. */
bool binding_is_taken_in_flight(struct app *app, enum aggregate type, struct str id,
                                struct lane_id lane);
#endif
