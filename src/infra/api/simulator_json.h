/* The behaviour of the built-in contexts as JSON: what is written can be read back. */
#ifndef ORDERLY_INFRA_API_SIMULATOR_JSON_H
#define ORDERLY_INFRA_API_SIMULATOR_JSON_H
#include "orderly/app/settings.h"
#include "orderly/infra/inbound/json_in.h"
#include "orderly/infra/render/json_out.h"

void simulator_write(struct json_out *o, const struct simulators *s, enum simulator which);
/* Replaces the named simulator's settings whole: what is left out becomes its default. False: faults
 * were added, *s is unchanged. */
bool simulator_read(struct json_in *in, struct yyjson_val *root, enum simulator which,
                    struct simulators *s);
#endif
