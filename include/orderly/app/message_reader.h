/* Port: what reads messages from outside, for those that could not be read when they came. A person
 * who retries their letter has them read anew: by a newer version, or after another configuration. */
#ifndef ORDERLY_APP_MESSAGE_READER_H
#define ORDERLY_APP_MESSAGE_READER_H
#include "orderly/app/command.h"

struct message_reader {
    /* True: type, message_id, payload, raw_payload and content of *m are filled; memory of a and
     * views of the event. False: *why has the faults, or says so (REPLY_VALIDATION). */
    bool (*read)(const struct message_reader *r, const struct event *refused, struct arena *a,
                 struct receive_message *m, struct reply *why);
    /* What it is about, for a payload that a person gives. False: nobody knows. */
    bool (*topic)(const struct message_reader *r, const struct event *refused,
                  enum event_type *type);
    /* What a sender is told of a message that was received, kept for when it comes again. */
    void (*receipt)(const struct message_reader *r, struct arena *a, struct str message_id,
                    uint64_t position, struct answer *out);
};
/* r outlives the app. Without one such letters can only be discarded. */
void app_set_message_reader(struct app *a, const struct message_reader *r);
#endif
