/* Whether the rows of the last events are where they should be.
 *
 * A disk that said it had synced and had not may after a power cut show the last commit's meta page
 * without all of its pages. What stands in the others' place is sound by itself, so no sum finds it;
 * but every page of a commit held some row that the commit changed. So a start looks for the rows of
 * the last batch's events, and plays the orders and carts that they belong to again. Its time is
 * bounded, whatever the history; all of it is `orderly verify`'s to look at. */
#ifndef SRC_APP_RECENT_CHECK_H
#define SRC_APP_RECENT_CHECK_H
#include "orderly/app/store.h"

#define RECENT_EVENTS STORE_BATCH_EVENTS_MAX
#define RECENT_REPLAY_MAX 16384u /* events that are played again; what is beyond is left out */

/* ERR_DAMAGED if one is missing, or is not what the events make of it; the store is told which
 * database. */
MUST_CHECK enum err recent_check(const struct store_view *v, uint64_t last_position);
#endif
