/* The files that a relay's options name, looked at before it is made: a file that is not there, or is
 * not what it should be, is the operator's to hear of at the start and not at the first connection. */
#ifndef ORDERLY_SRC_INFRA_RELAY_FILES_H
#define ORDERLY_SRC_INFRA_RELAY_FILES_H
#include "orderly/base/buf.h"
#include "orderly/infra/relay/relay_options.h"

/* name: of the relay's kind. A line to complaints for each file that can't be used, with its option.
 * Waits for the disk. Files with a password or a token are read, and complained of, by relays.c. */
void relay_files_check(const char *name, const struct relay_options *o, struct buf *complaints);
#endif
