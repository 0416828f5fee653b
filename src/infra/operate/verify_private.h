/* What the parts of verify share. */
#ifndef SRC_INFRA_OPERATE_VERIFY_PRIVATE_H
#define SRC_INFRA_OPERATE_VERIFY_PRIVATE_H
#include "orderly/app/replay.h"
#include "orderly/app/row_keys.h"
#include "orderly/app/tally.h"
#include "verify.h"

struct verifier {
    struct verify *v;
    struct lmdb_look *look;
    struct tally tally;
    struct arena arena;    /* of one event */
    bool has_bad_events;   /* the log can't be told to its end */
    bool is_over;          /* nothing can be read any more, or somebody said stop */
    enum err status;       /* why */
    uint64_t log_position; /* the walk along the log came to there */
    uint64_t first_position;
    struct lmdb_scan types[EVENT_TYPE_COUNT];
    bool has_type[EVENT_TYPE_COUNT];
    uint64_t type_from[EVENT_TYPE_COUNT]; /* rows of lower positions were passed */
};

/* "DATABASE key: what". An empty key: of no one row. */
void verifier_fault(struct verifier *vr, enum store_db db, struct str key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Takes the status of a get or of a scan: true if there is a row of use. A damaged one was reported
 * by the walk already; what can't be read ends the work. */
bool verifier_has(struct verifier *vr, enum err status);
bool verifier_goes_on(struct verifier *vr); /* asks is_stopped now and then */
/* A new moment; false: it is over. */
bool verifier_renew(struct verifier *vr);
void verifier_progress(struct verifier *vr, const char *what, uint64_t done, uint64_t about);

/* Decodes; the event's views are good until the next call. */
enum err verifier_event(struct verifier *vr, struct str row, uint64_t position, struct event *out);

void verify_log(struct verifier *vr);
void verify_lanes(struct verifier *vr);
void verify_lists(struct verifier *vr);
void verify_rest(struct verifier *vr);

/* verify_log.c: the next event of the log has its row in the list by type, and there is none before
 * it that has no event. */
void verify_type_of(struct verifier *vr, const struct event *e);
/* A new moment, in which that list may have grown. */
bool verify_types_renew(struct verifier *vr);
/* In this moment there is nothing in that list behind the events that were met. */
void verify_types_end(struct verifier *vr);
#endif
