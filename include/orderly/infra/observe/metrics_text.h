/* The Prometheus text format (version 0.0.4), line by line, and the app's and the process's own
 * metrics in it. Thread: loop. */
#ifndef ORDERLY_INFRA_OBSERVE_METRICS_TEXT_H
#define ORDERLY_INFRA_OBSERVE_METRICS_TEXT_H
#include "orderly/app/app.h"
#include "orderly/base/buf.h"

/* `name` without the prefix orderly_. The head comes once, before the name's values. */
void metrics_head(struct buf *b, const char *name, const char *type, const char *help);
/* labels: `flow="x",status="y"`, ready, or "". Values of labels come from our own tables only. */
void metrics_u64(struct buf *b, const char *name, const char *labels, uint64_t value);
void metrics_double(struct buf *b, const char *name, const char *labels, double value);
void metrics_histogram(struct buf *b, const char *name, const char *labels,
                       const struct histogram *h);
/* The maximum since it was last read, as a gauge <name>_max; resets it. */
void metrics_max(struct buf *b, const char *name, const char *help, struct histogram *h);

/* Everything that the app counts; resets the maxima. */
void metrics_write_app(struct buf *b, struct app *app);
/* process_*: CPU, memory, descriptors, start. Where /proc is not there, what is known. */
void metrics_write_process(struct buf *b);
#endif
