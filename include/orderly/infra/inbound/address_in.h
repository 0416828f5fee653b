/* An address, wherever JSON has one. */
#ifndef ORDERLY_INFRA_INBOUND_ADDRESS_IN_H
#define ORDERLY_INFRA_INBOUND_ADDRESS_IN_H
#include "orderly/domain/address.h"
#include "orderly/infra/inbound/json_in.h"

struct address_in {
    bool is_set;
#define X(member, json, alias, min, max, required) struct json_text member;
    ADDRESS_FIELD_MAP(X)
#undef X
};
extern const struct json_shape address_shape;
void address_of(const struct address_in *in, struct address *out);
#endif
