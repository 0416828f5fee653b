/* A route of the table by a number that stays its own when routes are added or move: each route has
 * a place on a ring, by its name, and a number means the next place from there on. */
#ifndef TESTS_FUZZ_PICK_ROUTE_H
#define TESTS_FUZZ_PICK_ROUTE_H
#include "../../../src/infra/api/routes.h"

/* at: 16 bits. At least one route must fit. */
const struct route *pick_route(bool (*fits)(const struct route *r), unsigned at);
#endif
