/* The flows themselves, one file each. */
#ifndef ORDERLY_SRC_DOMAIN_FLOW_TABLES_H
#define ORDERLY_SRC_DOMAIN_FLOW_TABLES_H
#include "orderly/domain/flow.h"

extern const struct flow flow_pay_first;
extern const struct flow flow_stock_first;
#endif
