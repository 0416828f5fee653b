/* Names with values of any bytes, packed into one text so that an event can hold them: what stood
 * beside a message from outside. */
#ifndef ORDERLY_DOMAIN_PAIRS_H
#define ORDERLY_DOMAIN_PAIRS_H
#include "orderly/base/buf.h"
#include <stdbool.h>

void pairs_add(struct buf *packed, struct str name, struct str value);
/* Takes the first one off; false: there is none, or what is there was not packed by pairs_add. */
bool pairs_take(struct str *packed, struct str *name, struct str *value);
#endif
