/* Reading one order. */
#ifndef ORDERLY_APP_ORDER_READ_H
#define ORDERLY_APP_ORDER_READ_H
#include "orderly/app/dossier.h"

struct app;

/* From the cache, or from its snapshot. done runs once, inside start or later. The order (NULL: not
 * found, or status is not ERR_OK) is valid during done only. */
struct order_read {
    struct order_id id;
    void (*done)(struct order_read *r, const struct order *o, enum err status);
    /* App only. */
    struct dossier_wait wait;
};
void order_read_start(struct order_read *r, struct app *a);
#endif
