/* /simulators: the built-in contexts' behaviour. */
#include "commands.h"
#include "handlers.h"
#include "simulator_json.h"

/* False: it has been answered. */
static bool simulator_of(struct call *c, enum simulator *which)
{
    static const enum context contexts[SIMULATOR_COUNT] = {
        [SIMULATOR_PAYMENTS] = CONTEXT_PAYMENTS,
        [SIMULATOR_INVENTORY] = CONTEXT_INVENTORY,
        [SIMULATOR_SHIPMENTS] = CONTEXT_SHIPMENTS,
    };

    for (int i = 0; i < SIMULATOR_COUNT; i++) {
        if (str_eq(c->params[0], simulator_name((enum simulator)i))) {
            *which = (enum simulator)i;
            if (app_has(c->app, contexts[i]))
                return true;
            call_elsewhere(c, 1u << contexts[i]);
            return false;
        }
    }
    call_not_found(c, "simulator");
    return false;
}

void simulators_get(struct call *c)
{
    enum simulator which;

    if (!simulator_of(c, &which))
        return;
    simulator_write(call_out(c), app_simulators(c->app), which);
    call_send_out(c, 200, NULL);
}

void simulators_put(struct call *c)
{
    enum simulator which;
    struct command_call *cc;
    struct yyjson_val *root;
    struct change_settings *change;

    if (!simulator_of(c, &which))
        return;
    cc = command_open_raw(c, COMMAND_BODY_NEEDED, &root);
    if (!cc)
        return;
    change = &cc->u.change_settings;
    change->simulator = which;
    change->settings = *app_simulators(c->app);
    (void)simulator_read(&cc->in, root, which, &change->settings);
    if (command_is_refused(cc))
        return;
    change_settings_start(change);
}
