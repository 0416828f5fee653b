/* URI references (RFC 3986). */
#ifndef ORDERLY_BASE_URI_H
#define ORDERLY_BASE_URI_H
#include "orderly/base/str.h"

/* A URI (`https://shop.example/orders`, `urn:uuid:…`) or a relative reference (`/orders`, `shop`), by
 * the grammar of §4.1: no character outside of it, whole escapes, brackets around a literal address
 * only. The empty text is a reference too. What a scheme demands beyond that is not looked at. */
bool uri_is_reference(struct str s);
#endif
