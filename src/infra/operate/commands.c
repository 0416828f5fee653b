#include "commands.h"
#include "orderly/infra/operate/operate.h"
#include <stddef.h>
#include <string.h>

const struct operate_command operate_commands[] = {
    { "events", "show what happened, and what happens", operate_events },
    { NULL, NULL, NULL },
};

const struct operate_command *operate_command_find(const char *name)
{
    for (const struct operate_command *c = operate_commands; c->name; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}
