/* A shipping address: views of text that somebody else owns. */
#ifndef ORDERLY_DOMAIN_ADDRESS_H
#define ORDERLY_DOMAIN_ADDRESS_H
#include "orderly/base/str.h"
#include <stddef.h>

/* member, JSON name, second JSON name or NULL, least and greatest length in code points, required */
#define ADDRESS_FIELD_MAP(X)                                                                       \
    X(street, "street", NULL, 1, 200, true)                                                        \
    X(address_line2, "addressLine2", NULL, 0, 200, false)                                          \
    X(city, "city", NULL, 1, 100, true)                                                            \
    X(state, "stateOrProvince", "state", 0, 100, false)                                            \
    X(postal_code, "postalCode", "zipCode", 1, 20, true)                                           \
    X(country, "country", NULL, 2, 100, true)                                                      \
    X(delivery_instructions, "deliveryInstructions", NULL, 0, 500, false)

struct address {
#define X(member, json, alias, min, max, required) struct str member;
    ADDRESS_FIELD_MAP(X)
#undef X
};
#endif
