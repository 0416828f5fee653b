/* A reservation as the Inventory context knows it: all or nothing over an order's items. */
#ifndef ORDERLY_DOMAIN_RESERVATION_H
#define ORDERLY_DOMAIN_RESERVATION_H
#include "orderly/domain/event.h"

#define RESERVATION_LINES_MAX 100 /* lines of a direct order */

enum reservation_status {
    RESERVATION_STATUS_NONE,
    RESERVATION_STATUS_RESERVED,
    RESERVATION_STATUS_REJECTED,
    RESERVATION_STATUS_RELEASED,
    RESERVATION_STATUS_TAKEN
};
struct reservation {
    enum reservation_status status;
    bool is_ours;
    uint64_t sequence;
    unsigned n_lines;
    struct stock_line *lines; /* own; reservation_deinit */
};
void reservation_deinit(struct reservation *r);
void reservation_apply(struct reservation *r, const struct event *e);

/* Lines of one sku are added up, in order of first appearance; out has room for n. Returns how many. */
unsigned reservation_add_up(const struct order_line *lines, unsigned n, struct stock_line *out);

/* What a message asks of Inventory; which: the reservation to release. What is taken off hand is the
 * order's own. */
enum reservation_task {
    RESERVATION_TASK_NONE,
    RESERVATION_TASK_RESERVE,
    RESERVATION_TASK_RELEASE,
    RESERVATION_TASK_TAKE
};
enum reservation_task reservation_task_of(const struct event *m,
                                          const struct reservation_id **which);

/* What a product can give, as the decider knows it now (decided reservations counted). */
struct stock_offer {
    bool known;
    int64_t available;
};
/* offers[i] belongs to lines[i] (added up). Adds *Reserved, or the rejection with its reason
 * ("Insufficient stock for WIDGET-001: requested 200, available 100", "Product X-1 not found");
 * reason is printed into `arena`. True: reserved. */
struct arena;
bool reservation_decide(const struct flow *f, struct order_id order,
                        const struct reservation_id *id, const struct stock_line *lines, unsigned n,
                        const struct stock_offer *offers, struct arena *arena,
                        struct event_list *out);
void reservation_reject(const struct flow *f, struct order_id order, struct str reason,
                        const struct stock_line *lines, unsigned n, struct event_list *out);
/* False: nothing to do (not ours, or not reserved any more). */
bool reservation_release(const struct reservation *r, const struct flow *f, struct order_id order,
                         const struct reservation_id *id, struct event_list *out);
bool reservation_take(const struct reservation *r, const struct flow *f, struct order_id order,
                      const struct reservation_id *id, struct event_list *out);
#endif
