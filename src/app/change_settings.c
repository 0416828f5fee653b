#include "app_private.h"
#include "orderly/app/settings_codec.h"
#include "orderly/base/buf.h"
#include "orderly/base/bytes.h"

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

    if (status != ERR_OK)
        return;
    settings_take(&c->app->simulators, &cs->settings, cs->simulator);
    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++)
        if (c->app->relays[i])
            c->app->relays[i]->contexts_changed(c->app->relays[i]);
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

static void settings_on_kept(struct append *ap)
{
    struct app *app = container_of(ap, struct app, settings_append);

    app->has_contexts |= ap->status == ERR_OK;
    if (ap->status == ERR_OK)
        memset(app->begins_at_end, 0, sizeof(app->begins_at_end));
    app->settings_kept(app);
}

/* Where a relay begins is chosen once. Nothing is in the log behind this append when it is made. */
static void settings_put_cursors(struct app *app)
{
    char value[8];

    bytes_put_u64(value, app->log.last_position);
    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++) {
        const char key = (char)i;

        if (app->begins_at_end[i])
            append_put(&app->settings_append, DB_CURSORS, (struct str){ &key, 1 },
                       (struct str){ value, sizeof(value) });
    }
}

void settings_keep(struct app *app, void (*done)(struct app *app))
{
    const char contexts = (char)app->config.contexts;
    unsigned n = !app->has_contexts;

    for (unsigned i = 0; i < SIMULATOR_COUNT; i++)
        n += !app->has_setting[i];
    for (unsigned i = 0; i < SUBSCRIPTION_COUNT; i++)
        n += app->begins_at_end[i];
    if (n == 0 || append_begin(&app->settings_append, &app->log, APPEND_CONSEQUENCE) != ERR_OK) {
        done(app);
        return;
    }
    for (unsigned i = 0; i < SIMULATOR_COUNT; i++) {
        struct buf row = { 0 };

        if (app->has_setting[i])
            continue;
        settings_encode(&app->simulators, (enum simulator)i, &row);
        append_put(&app->settings_append, DB_SETTINGS, simulator_name((enum simulator)i),
                   buf_str(&row));
        buf_deinit(&row);
    }
    if (!app->has_contexts)
        append_put(&app->settings_append, DB_META, STR(CONTEXTS_META),
                   (struct str){ &contexts, 1 });
    settings_put_cursors(app);
    app->settings_kept = done;
    append_submit(&app->settings_append, settings_on_kept);
}

void change_settings_start(struct change_settings *cs)
{
    command_start(&cs->command, change_settings_run);
}
