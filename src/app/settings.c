#include "orderly/app/settings.h"
#include "orderly/base/check.h"

const struct simulators simulators_default = {
    .payments = { .enabled = true,
                  .mode = PAYMENTS_APPROVE,
                  .delay_ms = { [FLOW_PAY_FIRST] = 10, [FLOW_STOCK_FIRST] = 100 },
                  .seed = 1,
                  .reason = "Card declined" },
    .inventory = { .enabled = true,
                   .mode = INVENTORY_AUTO,
                   .delay_ms = { [FLOW_PAY_FIRST] = 10, [FLOW_STOCK_FIRST] = 50 } },
    .shipments = { .enabled = true,
                   .mode = SHIPMENTS_AUTO,
                   .delay_ms = { [FLOW_PAY_FIRST] = 10, [FLOW_STOCK_FIRST] = 100 } },
};

struct str simulator_name(enum simulator s)
{
    static const struct str names[] = {
        [SIMULATOR_PAYMENTS] = { "payments", 8 },
        [SIMULATOR_INVENTORY] = { "inventory", 9 },
        [SIMULATOR_SHIPMENTS] = { "shipments", 9 },
    };

    REQUIRE(s < SIMULATOR_COUNT);
    return names[s];
}
