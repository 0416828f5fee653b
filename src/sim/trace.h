/* What happened, twice: a sum over every step, by which two runs are compared, and, where it is asked
 * for, lines for people, each about one order or about all. */
#ifndef SRC_SIM_TRACE_H
#define SRC_SIM_TRACE_H
#include "orderly/base/buf.h"
#include "orderly/base/digest.h"
#include "orderly/domain/ids.h"

#define TRACE_BLOCK 16384

/* Where no order is named: the line is about all, or about none. */
enum { TRACE_ALL = -1, TRACE_NONE = -2 };

struct trace_line {
    int64_t at_us;
    struct uuid order; /* nil: not known */
    int plan;          /* of the workload's orders; or one of those below */
    size_t from, n;    /* in the text */
};

struct trace {
    struct digest16 sum;
    uint64_t n_steps;
    size_t n;
    uint8_t block[TRACE_BLOCK];

    bool tells;
    int64_t started_us;
    struct trace_line *lines;
    size_t n_lines, lines_cap;
    struct buf text;
};

void trace_init(struct trace *t, bool tells, int64_t started_us);
void trace_deinit(struct trace *t);
/* A step: what it is and three numbers that describe it. */
void trace_step(struct trace *t, char what, uint64_t a, uint64_t b, uint64_t c);
void trace_bytes(struct trace *t, struct str bytes);
struct digest16 trace_sum(struct trace *t);

/* Does nothing unless the trace tells. order may be NULL. */
void trace_tell(struct trace *t, int64_t at_us, const struct uuid *order, int plan, const char *fmt,
                ...) __attribute__((format(printf, 5, 6)));
/* The lines about this order, and those about all; order NULL: every line. plan_of: which plan made
 * the order, -1: none. At most lines_max of the newest. */
void trace_print(const struct trace *t, const struct uuid *order, int plan_of, size_t lines_max,
                 struct buf *out);
#endif
