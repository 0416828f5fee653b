/* The simulators' settings as rows of DB_SETTINGS, one for each simulator under its name. */
#ifndef ORDERLY_APP_SETTINGS_CODEC_H
#define ORDERLY_APP_SETTINGS_CODEC_H
#include "orderly/app/settings.h"
#include "orderly/base/buf.h"
#include "orderly/base/err.h"

void settings_encode(const struct simulators *s, enum simulator which, struct buf *out);
/* Changes the named one only, and only on ERR_OK. ERR_DAMAGED: cut off, too long, or a value that no
 * setting can have. */
MUST_CHECK enum err settings_decode(struct str row, enum simulator which, struct simulators *out);
#endif
