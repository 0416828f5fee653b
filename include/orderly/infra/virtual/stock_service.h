/* A warehouse outside of the server, for the simulator: payment_service.h's sibling. It reserves for
 * each order once, or says that there is nothing left, and lets its own go when Orders asks for that.
 * It has plenty: which order gets nothing is the caller's to choose. */
#ifndef ORDERLY_INFRA_VIRTUAL_STOCK_SERVICE_H
#define ORDERLY_INFRA_VIRTUAL_STOCK_SERVICE_H
#include "orderly/base/buf.h"
#include "orderly/base/map.h"
#include "orderly/domain/event.h"

struct stock_account {
    struct map_node node; /* by order */
    struct order_id order;
    enum { STOCK_OPEN, STOCK_REFUSED, STOCK_KEPT, STOCK_LET_GO } state;
    struct reservation_id reservation; /* reservation-<order> */
};

#define STOCK_WORD_ID_MAX 64 /* with the NUL */

/* A message of the service. */
struct stock_word {
    struct stock_account *account;
    enum event_type type;
    char id[STOCK_WORD_ID_MAX]; /* reserve-, reject- or release-<order> */
};

struct stock_service {
    struct map accounts;
};
void stock_service_init(struct stock_service *s, const struct map_key *key);
void stock_service_deinit(struct stock_service *s);
/* True: it says *out. has_some: where the order is to be reserved for; else not looked at. The account
 * lives as long as the service. */
bool stock_service_hear(struct stock_service *s, const struct event *e, bool has_some,
                        struct stock_word *out);
/* Appends its JSON. */
void stock_word_body(const struct stock_word *word, struct buf *out);
#endif
