/* The contexts that a process has. One process may have all of them; or two or four processes, with
 * a data directory each, share them, and speak only by integration messages, which relays carry.
 *
 * A process with Orders takes what the others answer as messages from outside (receive_message). One
 * without Orders is told of orders the same way (hear_message). A directory belongs to the contexts
 * that it was first started with: the others' work would be left undone, or done again. */
#ifndef ORDERLY_APP_CONTEXTS_H
#define ORDERLY_APP_CONTEXTS_H
#include "orderly/base/str.h"
#include "orderly/domain/event.h"
#include <stdbool.h>

#define CONTEXT_BIT(context) (1u << CONTEXT_##context)
#define CONTEXTS_ALL 0xfu
#define CONTEXTS_META "contexts" /* its row in DB_META: the bits(1); none: all of them */
#define CONTEXTS_TEXT_MAX 48     /* "orders,payments,inventory,shipments" */
#define APP_LISTENS_MAX 4

struct app;

/* orders, payments, inventory, shipments. */
struct str context_text(enum context c);
/* The names, with commas between. */
struct str contexts_text(unsigned contexts, char text[CONTEXTS_TEXT_MAX]);

unsigned app_contexts(const struct app *a);
bool app_has(const struct app *a, enum context c);
/* Those of the data directory, where a start ended with ERR_INVALID. */
unsigned app_contexts_of_store(const struct app *a);

/* A message of this type that comes from outside means something here. Others are nobody's: whoever
 * brings them may forget them. */
bool app_hears(const struct app *a, enum event_type type);
/* All of them: bits 1 << enum event_type. */
uint64_t app_heard_types(const struct app *a);
/* Patterns of the topics that have to come from outside: those of contexts that are not here, or
 * that are here and leave the answer to somebody else. Their settings may change, so whoever connects
 * asks anew. Returns how many. */
unsigned app_listens(const struct app *a, struct str patterns[APP_LISTENS_MAX]);
#endif
