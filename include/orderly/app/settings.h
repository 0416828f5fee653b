/* How the built-in contexts behave; durable, changed while running. */
#ifndef ORDERLY_APP_SETTINGS_H
#define ORDERLY_APP_SETTINGS_H
#include "orderly/domain/flow.h"
#include <stdbool.h>
#include <stdint.h>

enum simulator { SIMULATOR_PAYMENTS, SIMULATOR_INVENTORY, SIMULATOR_SHIPMENTS, SIMULATOR_COUNT };
struct str simulator_name(enum simulator s);

enum payments_mode { PAYMENTS_APPROVE, PAYMENTS_DECLINE, PAYMENTS_WAIT };
enum inventory_mode { INVENTORY_AUTO, INVENTORY_REJECT };
enum shipments_mode { SHIPMENTS_AUTO, SHIPMENTS_WAIT };

#define SIMULATOR_DELAY_MAX_MS 60000
#define SIMULATOR_REASON_MAX 200

struct simulators {
    struct {
        bool enabled;
        enum payments_mode mode;
        int64_t delay_ms[FLOW_COUNT];
        double failure_rate; /* 0..1, by (seed, order id) */
        uint64_t seed;
        unsigned fail_first; /* the handler fails that many times per message */
        bool has_decline_above;
        int64_t decline_above_e4; /* in ten-thousandths of the currency's unit */
        char reason[SIMULATOR_REASON_MAX * 4 + 1];
        double poison_rate; /* 0..1, by (seed, order id): the handler always fails */
    } payments;
    struct {
        bool enabled;
        enum inventory_mode mode;
        int64_t delay_ms[FLOW_COUNT];
        unsigned fail_first;
    } inventory;
    struct {
        bool enabled;
        enum shipments_mode mode;
        int64_t delay_ms[FLOW_COUNT];
        unsigned fail_first;
    } shipments;
};
extern const struct simulators simulators_default;
#endif
