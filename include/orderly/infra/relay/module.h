/* Finds and loads the adapter of a broker: the shared object `orderly-NAME.so`, in the folder that is
 * named, else beside the program, else in ../lib/orderly from there. It stays loaded.
 * Thread: any; at the start of the program. */
#ifndef ORDERLY_INFRA_RELAY_MODULE_H
#define ORDERLY_INFRA_RELAY_MODULE_H
#include "orderly/base/check.h"
#include "orderly/base/err.h"
#include "orderly/infra/relay/broker.h"

#define BROKER_MODULE_WHY_MAX 1024

/* folder: "" where none is named. ERR_NOT_FOUND: there is no such file. ERR_INVALID: it can't be
 * loaded (its client library is missing, say), or is of another version. `why` says it with the path. */
MUST_CHECK enum err broker_module_load(const char *name, const char *folder,
                                       const struct broker_module **out,
                                       char why[BROKER_MODULE_WHY_MAX]);
#endif
