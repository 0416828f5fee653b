#include "commands.h"
#include "orderly/infra/operate/operate.h"
#include <stddef.h>
#include <string.h>

const struct operate_command operate_commands[] = {
    { "events", "show what happened, and what happens", operate_events },
    { "replay", "make an order again, event by event", operate_replay },
    { "export", "write all events as JSON lines", operate_export },
    { "report", "write what was charged, refunded and is due, as CSV", operate_report },
    { "backup", "copy the store, also while the server serves", operate_backup },
    { "verify", "check that everything stored is what the events say", operate_verify },
    { "rebuild", "make snapshots and lists anew from the events", operate_rebuild },
    { "flow", "check the flows in every interleaving, and draw them", operate_flow },
    { NULL, NULL, NULL },
};

const struct operate_command *operate_command_find(const char *name)
{
    for (const struct operate_command *c = operate_commands; c->name; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}
