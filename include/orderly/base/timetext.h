/* RFC 3339 times. Inside, a time is milliseconds since 1970 in UTC. */
#ifndef ORDERLY_BASE_TIMETEXT_H
#define ORDERLY_BASE_TIMETEXT_H
#include "orderly/base/str.h"
#include <stdbool.h>
#include <stdint.h>

#define TIMETEXT_LEN 24 /* 2026-11-20T12:00:00.000Z */

/* Years 0000..9999; a time outside is clamped. No NUL. */
void timetext_format(int64_t ms, char out[TIMETEXT_LEN]);
/* Any RFC 3339 date-time: offset or Z, lower-case t/z, any number of fraction digits (cut to
 * milliseconds), leap second 60 read as 59.999. False if it is none or the date does not exist. */
bool timetext_parse(struct str text, int64_t *ms);
/* IMF-fixdate of RFC 9110 §5.6.7, 29 characters, no NUL. */
#define TIMETEXT_HTTP_LEN 29
void timetext_format_http(int64_t ms, char out[TIMETEXT_HTTP_LEN]);
#endif
