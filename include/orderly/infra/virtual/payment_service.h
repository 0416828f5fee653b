/* A payment service outside of the server, for tests and the simulator: hears what a relay has passed
 * on, and says what a broker is to bring. It remembers each order, so that whatever it hears again
 * makes it say nothing; an order is charged once, and what was charged goes back once, when Orders
 * asks for it. A payment that it did not take is none of its affair.
 *
 * Messages of one order have to be heard in their order. Not thread safe; no clock, no chance. */
#ifndef ORDERLY_INFRA_VIRTUAL_PAYMENT_SERVICE_H
#define ORDERLY_INFRA_VIRTUAL_PAYMENT_SERVICE_H
#include "orderly/base/buf.h"
#include "orderly/base/map.h"
#include "orderly/domain/event.h"

/* What becomes of an order that is to be charged. */
enum payment_service_choice {
    PAYMENT_SERVICE_CHARGES,
    PAYMENT_SERVICE_DECLINES,
    PAYMENT_SERVICE_WAITS /* until somebody asks for it (OrderPaymentRequested) */
};

struct payment_account {
    struct map_node node; /* by order */
    struct order_id order;
    enum { ACCOUNT_OPEN, ACCOUNT_WAITS, ACCOUNT_DECLINED, ACCOUNT_CHARGED, ACCOUNT_REFUNDED } state;
    struct payment_id payment; /* payment-<order> */
    int64_t amount;            /* minor units; of what was charged */
    struct currency currency;
};

#define PAYMENT_WORD_ID_MAX 64 /* with the NUL */

/* A message of the service. */
struct payment_word {
    struct payment_account *account;
    enum event_type type;
    char id[PAYMENT_WORD_ID_MAX]; /* charge-, decline- or refund-<order> */
};

struct payment_service {
    struct map accounts;
};
void payment_service_init(struct payment_service *s, const struct map_key *key);
void payment_service_deinit(struct payment_service *s);
/* True: it says *out. choice: where the order is to be charged; else not looked at. The account lives
 * as long as the service. */
bool payment_service_hear(struct payment_service *s, const struct event *e,
                          enum payment_service_choice choice, struct payment_word *out);
/* Appends its JSON. */
void payment_word_body(const struct payment_word *word, struct buf *out);

/* What a broken service says, and no server can receive: no JSON, not an object, no payload, no UTF-8,
 * and an unknown topic. n: no two are the same. Appends to body; topic is static. */
#define PAYMENT_NONSENSE_KINDS 5
void payment_nonsense(unsigned kind, unsigned n, char id[PAYMENT_WORD_ID_MAX], struct str *topic,
                      struct buf *body);
#endif
