#include "app_private.h"
#include "orderly/app/settings_codec.h"
#include "orderly/base/buf.h"

/* The named simulator's part of the settings. */
static void settings_take(struct simulators *to, const struct simulators *from, enum simulator s)
{
    switch (s) {
    case SIMULATOR_PAYMENTS:
        to->payments = from->payments;
        return;
    case SIMULATOR_INVENTORY:
        to->inventory = from->inventory;
        return;
    case SIMULATOR_SHIPMENTS:
        to->shipments = from->shipments;
        return;
    case SIMULATOR_COUNT:
        break;
    }
    UNREACHABLE("simulator");
}

static void change_settings_applied(struct command *c, enum err status)
{
    struct change_settings *cs = container_of(c, struct change_settings, command);

    if (status == ERR_OK)
        settings_take(&c->app->simulators, &cs->settings, cs->simulator);
}

static void change_settings_run(struct command *c)
{
    struct change_settings *cs = container_of(c, struct change_settings, command);
    struct reply r = { .code = REPLY_OK, .simulators = &cs->settings };
    struct buf row = { 0 };
    enum err err = append_begin(&c->append, &c->app->log, APPEND_COMMAND);

    if (err != ERR_OK) {
        command_refuse(c, err);
        return;
    }
    settings_encode(&cs->settings, cs->simulator, &row);
    append_put(&c->append, DB_SETTINGS, simulator_name(cs->simulator), buf_str(&row));
    buf_deinit(&row);
    command_submit(c, &r, change_settings_applied);
}

void change_settings_start(struct change_settings *cs)
{
    command_start(&cs->command, change_settings_run);
}
