/* The keys of the rows of app/store.h: made in one place, so that who writes, who checks and who
 * makes them anew can't disagree; and read back into something for people.
 *
 * Each maker fills the caller's room and returns a view of it. */
#ifndef ORDERLY_APP_ROW_KEYS_H
#define ORDERLY_APP_ROW_KEYS_H
#include "orderly/app/store.h"
#include "orderly/domain/event.h"

#define ROW_KEY_POSITION 8
#define ROW_KEY_BY_LANE (16 + 8)
#define ROW_KEY_BY_TYPE (2 + 8)
#define ROW_KEY_PART_MAX (16 + 1 + TEXT_ID_MAX)
#define ROW_KEY_OWNER_MAX (1 + TEXT_ID_MAX)
#define ROW_KEY_STATUS (1 + 16)
#define ROW_KEY_CUSTOMER_MAX (TEXT_ID_MAX + 1 + 16)
#define ROW_KEY_TIME (8 + 16) /* UNSETTLED, DEADLINES, IDEMPOTENCY_EXPIRY */
#define ROW_KEY_LETTER (16 + 16)
#define ROW_KEY_IGNORED (16 + 8 + 1)

struct str row_key_position(char key[ROW_KEY_POSITION], uint64_t position);
struct str row_key_by_lane(char key[ROW_KEY_BY_LANE], struct lane_id lane, uint64_t position);
struct str row_key_by_type(char key[ROW_KEY_BY_TYPE], enum event_type type, uint64_t position);
struct str row_key_part(char key[ROW_KEY_PART_MAX], struct lane_id lane, enum aggregate type,
                        struct str id);
struct str row_key_owner(char key[ROW_KEY_OWNER_MAX], enum aggregate type, struct str id);
struct str row_key_status(char key[ROW_KEY_STATUS], enum order_status status, struct order_id id);
struct str row_key_customer(char key[ROW_KEY_CUSTOMER_MAX], const struct customer_id *customer,
                            struct order_id id);
struct str row_key_time(char key[ROW_KEY_TIME], int64_t ms, struct order_id id);
struct str row_key_letter(char key[ROW_KEY_LETTER], struct lane_id lane, struct dead_letter_id id);
/* BUS_META_LETTERS and the subscription; room for sizeof(BUS_META_LETTERS). */
struct str row_key_letters(char *key, enum subscription_id s);

/* What the key says, for people: ids as they are on the wire, numbers as numbers; hexadecimal where
 * it is no key of this database. out: ROW_KEY_TEXT_MAX bytes, always a string. */
#define ROW_KEY_TEXT_MAX 400
void row_key_text(enum store_db db, struct str key, char *out);
#endif
