/* What is different between two JSON objects that the same renderer made: same members, same order,
 * no blanks. Pure. */
#ifndef SRC_INFRA_OPERATE_JSON_CHANGES_H
#define SRC_INFRA_OPERATE_JSON_CHANGES_H
#include "orderly/base/str.h"
#include <stdbool.h>

struct json_change {
    struct str name;          /* without its quotes */
    struct str before, after; /* JSON texts; before.n == 0: there was none */
};
struct json_changes {
    struct str before, after; /* what is left of them; set by the caller: the objects, before may be
                                 empty */
};
/* The next difference; false: there is none any more. */
bool json_changes_next(struct json_changes *c, struct json_change *out);
#endif
