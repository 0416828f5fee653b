/* Which dead letters are meant: the same members in the query of GET /dead-letters and in the filter
 * of POST /dead-letters/retry. */
#ifndef ORDERLY_INFRA_API_LETTER_FILTER_H
#define ORDERLY_INFRA_API_LETTER_FILTER_H
#include "orderly/app/dead_letters.h"

enum letter_filter_member {
    LETTER_FILTER_SUBSCRIPTION,
    LETTER_FILTER_ORDER_ID,
    LETTER_FILTER_TOPIC, /* exact, or a word's: payment.* */
    LETTER_FILTER_CODE,
    LETTER_FILTER_STATE,
    LETTER_FILTER_MEMBERS
};
const char *letter_filter_name(enum letter_filter_member m);
/* NULL; or what is wrong with the value, for people. */
const char *letter_filter_set(struct dead_letter_filter *f, enum letter_filter_member m,
                              struct str value);
#endif
