#include "orderly/infra/inbound/address_in.h"

static const struct json_field address_fields[] = {
#define X(member, json, alias_, min_, max_, required)                                              \
    { .name = json,                                                                                \
      .alias = alias_,                                                                             \
      .kind = JSON_TEXT,                                                                           \
      .is_required = required,                                                                     \
      .offset = offsetof(struct address_in, member),                                               \
      .min = min_,                                                                                 \
      .max = max_ },
    ADDRESS_FIELD_MAP(X)
#undef X
};
const struct json_shape address_shape = JSON_SHAPE(struct address_in, address_fields);

void address_of(const struct address_in *in, struct address *out)
{
#define X(member, json, alias, min, max, required) out->member = in->member.text;
    ADDRESS_FIELD_MAP(X)
#undef X
}
